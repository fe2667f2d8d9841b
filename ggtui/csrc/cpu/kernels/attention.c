/* Attention of one head, with the softmax computed online.
 *
 * A few queries go together through blocks of 64 positions. Of a block, first the scores are computed: lanes are positions,
 * and the sum over d_k goes in order. Then each query's maximum so far, m, is brought up to date: with it grow or shrink
 * l, the sum of exp(score - m), and the output row, the sum of exp(score - m) v. All that is done for each query by
 * itself and in the order of the positions, so a result depends neither on the other queries nor on how many there are. */
#include "exp.h"
#include "names.h"

#define GG_INLINE static inline __attribute__((always_inline))
#define GG_UNROLL _Pragma("GCC unroll 16")

enum { BLOCK = 64 };
_Static_assert((int)GG_ATTN_Q <= (int)GG_ATTN_MAX_Q, "gg_attention_tmp");

GG_INLINE v16 load_kv(const uint8_t *p, int64_t i, int f16) {
    return f16 ? v16_load_f16((const uint16_t *)p + i) : v16_load((const float *)p + i);
}

GG_INLINE v16 load_kv_n(const uint8_t *p, int64_t i, int64_t n, int f16) {
    return f16 ? v16_load_f16_n((const uint16_t *)p + i, n) : v16_load_n((const float *)p + i, n);
}

/* q . k of n_q queries with the positions of n_tiles tiles of k */
GG_INLINE void dot_tiles(const gg_attention_args *a, const float *const *q, const uint8_t *k, int n_q, int n_tiles,
                         int f16, float *scores) {
    v16 sums[GG_ATTN_Q][4];
    GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int t = 0; t < n_tiles; t++) sums[i][t] = v16_set1(0.0f);
    for (int64_t d = 0; d < a->d_k; d++) {
        v16 tiles[4];
        GG_UNROLL for (int t = 0; t < n_tiles; t++) tiles[t] = load_kv(k, (t * a->d_k + d) * 16, f16);
        GG_UNROLL for (int i = 0; i < n_q; i++) {
            v16 one = v16_set1(q[i][d]);
            GG_UNROLL for (int t = 0; t < n_tiles; t++) sums[i][t] = v16_fma(one, tiles[t], sums[i][t]);
        }
    }
    GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int t = 0; t < n_tiles; t++)
        v16_store(scores + i * BLOCK + 16 * t, sums[i][t]);
}

/* out += weights v, over positions [j0, j1) of the block that starts at v */
GG_INLINE void add_values(const gg_attention_args *a, float *out, int64_t stride, const float *weights,
                          const uint8_t *v, int64_t j0, int64_t j1, int n_q, int f16) {
    int64_t c = 0;
    for (; c + 16 * GG_ATTN_V <= a->d_v; c += 16 * GG_ATTN_V) {
        v16 sums[GG_ATTN_Q][GG_ATTN_V];
        GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++)
            sums[i][u] = v16_load(out + i * stride + c + 16 * u);
        for (int64_t j = j0; j < j1; j++) {
            v16 row[GG_ATTN_V];
            GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++) row[u] = load_kv(v + j * a->v_nb, c + 16 * u, f16);
            GG_UNROLL for (int i = 0; i < n_q; i++) {
                v16 one = v16_set1(weights[i * BLOCK + j]);
                GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++) sums[i][u] = v16_fma(one, row[u], sums[i][u]);
            }
        }
        GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++)
            v16_store(out + i * stride + c + 16 * u, sums[i][u]);
    }
    for (; c < a->d_v; c += 16) {
        int64_t n = a->d_v - c;
        for (int i = 0; i < n_q; i++) {
            v16 sum = v16_load(out + i * stride + c);
            for (int64_t j = j0; j < j1; j++) {
                const uint8_t *row = v + j * a->v_nb;
                sum = v16_fma(v16_set1(weights[i * BLOCK + j]), n < 16 ? load_kv_n(row, c, n, f16) : load_kv(row, c, f16), sum);
            }
            v16_store(out + i * stride + c, sum);
        }
    }
}

typedef struct {
    float m;
    v16 l;
} gg_online;

/* Turns the scores of a block's first n positions, j0 on, into exp(score - m). Returns 0 where none of them counts. */
static int64_t update(const gg_attention_args *a, gg_online *state, float *out, int64_t stride, float *scores,
                      int64_t i, int64_t j0, int64_t n) {
    const float *mask = a->mask ? (const float *)((const uint8_t *)a->mask + i * a->mask_nb) + j0 : 0;
    v16 scale = v16_set1(a->scale), slope = v16_set1(a->slope), lowest = v16_set1(-INFINITY), max = lowest;
    v16m nan = v16m_first(0);
    for (int64_t j = 0; j < n; j += 16) {
        int64_t left = n - j < 16 ? n - j : 16;
        v16 s = v16_mul(v16_load(scores + j), scale);
        if (mask)
            s = v16_fma(slope, left < 16 ? v16_load_n(mask + j, left) : v16_load(mask + j), s);
        s = v16_select(v16m_first(left), s, lowest);
        v16_store(scores + j, s);
        nan = v16m_or(nan, v16_is_nan(s));
        max = v16_max(s, max);
    }
    float m = v16m_any(nan) ? NAN : v16_hmax(max);
    if (m == -INFINITY)
        return 0;
    if (!(m <= state->m)) {
        v16 shrink = v16_exp(v16_set1(state->m - m));
        state->m = m;
        state->l = v16_mul(state->l, shrink);
        for (int64_t c = 0; c < stride; c += 16)
            v16_store(out + c, v16_mul(v16_load(out + c), shrink));
    }
    v16 vm = v16_set1(state->m);
    for (int64_t j = 0; j < n; j += 16) {
        v16 e = v16_exp(v16_sub(v16_load(scores + j), vm));
        v16_store(scores + j, e);
        state->l = v16_add(state->l, e);
    }
    return n;
}

/* Queries i0 .. i0 + n_q - 1 */
GG_INLINE void group(const gg_attention_args *a, int64_t i0, int n_q, int f16) {
    const int64_t stride = (a->d_v + 15) / 16 * 16, k_tile = a->d_k * 16 * (f16 ? 2 : 4);
    const float *q[GG_ATTN_Q];
    float scores[GG_ATTN_Q * BLOCK];
    gg_online states[GG_ATTN_Q];
    for (int i = 0; i < n_q; i++) {
        q[i] = (const float *)((const uint8_t *)a->q + (i0 + i) * a->q_nb);
        /* The sink is a first position without a value. */
        int sink = a->sink && *a->sink > -INFINITY;
        states[i].m = sink ? *a->sink : -INFINITY;
        states[i].l = v16_select(v16m_first(sink), v16_set1(1.0f), v16_set1(0.0f));
    }
    for (int64_t c = 0; c < n_q * stride; c += 16)
        v16_store(a->tmp + c, v16_set1(0.0f));

    int64_t end = a->n_kv; /* of the last query, who sees most */
    if (a->causal && a->first + i0 + n_q < end)
        end = a->first + i0 + n_q;
    for (int64_t j0 = 0; j0 < end; j0 += BLOCK) {
        int64_t n_tiles = end - j0 < BLOCK ? (end - j0 + 15) / 16 : BLOCK / 16, t = 0;
        const uint8_t *k = a->k + j0 / 16 * k_tile;
        /* For one query the keys come from memory: one tile at a time reads them in one stream, the fastest way. */
        for (; n_q > 1 && t + GG_ATTN_TILES <= n_tiles; t += GG_ATTN_TILES)
            dot_tiles(a, q, k + t * k_tile, n_q, GG_ATTN_TILES, f16, scores + 16 * t);
        for (; t < n_tiles; t++)
            dot_tiles(a, q, k + t * k_tile, n_q, 1, f16, scores + 16 * t);

        int64_t ends[GG_ATTN_Q], common = BLOCK;
        for (int i = 0; i < n_q; i++) {
            int64_t n = a->causal && a->first + i0 + i + 1 < end ? a->first + i0 + i + 1 - j0 : end - j0;
            n = n < 0 ? 0 : n > BLOCK ? BLOCK : n;
            ends[i] = update(a, &states[i], a->tmp + i * stride, stride, scores + i * BLOCK, i0 + i, j0, n);
            common = ends[i] < common ? ends[i] : common;
        }
        const uint8_t *v = a->v + j0 * a->v_nb;
        add_values(a, a->tmp, stride, scores, v, 0, common, n_q, f16);
        for (int i = 0; i < n_q; i++)
            if (ends[i] > common)
                add_values(a, a->tmp + i * stride, stride, scores + i * BLOCK, v, common, ends[i], 1, f16);
    }

    for (int i = 0; i < n_q; i++) {
        float *out = (float *)((uint8_t *)a->out + (i0 + i) * a->out_nb), l = v16_sum(states[i].l);
        v16 scale = v16_set1(l == 0.0f ? 0.0f : 1.0f / l);
        int64_t c = 0;
        for (; c + 16 <= a->d_v; c += 16)
            v16_store(out + c, v16_mul(v16_load(a->tmp + i * stride + c), scale));
        if (c < a->d_v)
            v16_store_n(out + c, v16_mul(v16_load(a->tmp + i * stride + c), scale), a->d_v - c);
    }
}

#define GG_GROUP(n_q)                                                                                                    \
    static void group_##n_q(const gg_attention_args *a, int64_t i0) {                                                    \
        if (n_q <= GG_ATTN_Q) { /* others are never called */                                                            \
            if (a->kv_type == GG_TYPE_F16)                                                                               \
                group(a, i0, n_q, 1);                                                                                    \
            else                                                                                                         \
                group(a, i0, n_q, 0);                                                                                    \
        }                                                                                                                \
    }
GG_GROUP(1)
GG_GROUP(2)
GG_GROUP(3)
GG_GROUP(4)
GG_GROUP(5)
GG_GROUP(6)

void GG_KERNEL(attention)(const gg_attention_args *a) {
    static void (*const groups[GG_ATTN_MAX_Q + 1])(const gg_attention_args *, int64_t) = {
        0, group_1, group_2, group_3, group_4, group_5, group_6};
    for (int64_t i = 0; i < a->n_q; i += GG_ATTN_Q)
        groups[a->n_q - i < GG_ATTN_Q ? a->n_q - i : GG_ATTN_Q](a, i);
}
