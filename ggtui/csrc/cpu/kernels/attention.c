/* Attention of one head, with the softmax computed online.
 *
 * A few queries go together through blocks of 64 positions. Of a block, first the scores are computed: lanes are positions,
 * and the sum over d_k goes in order. Then each query's m, about the maximum so far, is brought up to date: with it grow or
 * shrink l, the sum of exp(score - m), and the output row, the sum of exp(score - m) v. All that is done for each query by
 * itself and in the order of the positions, so a result depends neither on the other queries nor on how many there are. */
#include "base/cache_line.h"
#include "exp.h"
#include "names.h"


enum { BLOCK = 64 };
_Static_assert((int)GG_ATTN_Q <= (int)GG_ATTN_MAX_Q, "gg_attention_tmp");

GG_INLINE v16 load_kv(const uint8_t *p, int64_t i, int f16) {
    return f16 ? v16_load_f16((const uint16_t *)p + i) : v16_load((const float *)p + i);
}

GG_INLINE v16 load_kv_n(const uint8_t *p, int64_t i, int64_t n, int f16) {
    return f16 ? v16_load_f16_n((const uint16_t *)p + i, n) : v16_load_n((const float *)p + i, n);
}

/* n values from the ith on. */
GG_INLINE void prefetch_kv(const uint8_t *p, int64_t i, int64_t n, int f16) {
    const int size = f16 ? 2 : 4;
    for (int64_t at = 0; at < n * size; at += GG_CACHE_LINE)
        __builtin_prefetch(p + i * size + at);
}

/* q . k of n_q queries with 16 positions for each of n_halves halves of tiles, the first of which is half `first` of those
 * at k. Those at `next`, if any, are prefetched on the way. */
GG_INLINE void dot_halves(const gg_attention_args *a, const float *const *q, const uint8_t *k, int first, int n_q,
                          int n_halves, int f16, const uint8_t *next, float *scores) {
    const int64_t tile = GG_TILE * a->d_k;
    v16 sums[GG_ATTN_Q][4];
    GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int t = 0; t < n_halves; t++) sums[i][t] = v16_set1(0.0f);
    for (int64_t d = 0; d < a->d_k; d++) {
        if (next)
            prefetch_kv(next, first * GG_ROWS * a->d_k + d * GG_TILE, GG_TILE, f16);
        v16 halves[4];
        GG_UNROLL for (int t = 0; t < n_halves; t++) halves[t] =
            load_kv(k, (first + t) / GG_HALVES * tile + d * GG_TILE + (first + t) % GG_HALVES * GG_ROWS, f16);
        GG_UNROLL for (int i = 0; i < n_q; i++) {
            v16 one = v16_set1(q[i][d]);
            GG_UNROLL for (int t = 0; t < n_halves; t++) sums[i][t] = v16_fma(one, halves[t], sums[i][t]);
        }
    }
    GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int t = 0; t < n_halves; t++)
        v16_store(scores + i * BLOCK + GG_ROWS * (first + t), sums[i][t]);
}

/* out += weights v, over positions [j0, j1) of the block that starts at v. Those at `next`, if any, are prefetched on the
 * way. */
GG_INLINE void add_values(const gg_attention_args *a, float *out, int64_t stride, const float *weights,
                          const uint8_t *v, int64_t j0, int64_t j1, int n_q, int f16, const uint8_t *next) {
    int64_t c = 0;
    for (; c + 16 * GG_ATTN_V <= a->d_v; c += 16 * GG_ATTN_V) {
        v16 sums[GG_ATTN_Q][GG_ATTN_V];
        GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++)
            sums[i][u] = v16_load(out + i * stride + c + 16 * u);
        for (int64_t j = j0; j < j1; j++) {
            if (next)
                prefetch_kv(next + j * a->v_nb, c, 16 * GG_ATTN_V, f16);
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

/* Scales the scores of query i for the block's first n positions, j0 on, and masks them. Returns their maximum. */
GG_INLINE float scale_scores(const gg_attention_args *a, float *scores, int64_t i, int64_t j0, int64_t n) {
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
    return v16m_any(nan) ? NAN : v16_hmax(max);
}

/* Brings a query's m up to date with the maximum of its next scores, and with it l and the output row. */
GG_INLINE void raise_m(gg_online *state, float max, float *out, int64_t stride) {
    /* A little more than m does no harm: exp of it is large, but far from too large. So m seldom changes, and what follows
     * need not wait for the new one. */
    if (max <= state->m + 8.0f)
        return;
    v16 shrink = v16_exp(v16_set1(state->m - max));
    state->m = max;
    state->l = v16_mul(state->l, shrink);
    for (int64_t c = 0; c < stride; c += 16)
        v16_store(out + c, v16_mul(v16_load(out + c), shrink));
}

/* Turns scores into exp(score - m). */
GG_INLINE void exponentiate(gg_online *state, float *scores, int64_t n) {
    v16 m = v16_set1(state->m), l = state->l;
    for (int64_t j = 0; j < n; j += 16) {
        v16 e = v16_exp(v16_sub(v16_load(scores + j), m));
        v16_store(scores + j, e);
        l = v16_add(l, e);
    }
    state->l = l;
}

/* Queries i0 .. i0 + n_q - 1 */
GG_INLINE void group(const gg_attention_args *a, int64_t i0, int n_q, int f16) {
    const int64_t stride = (a->d_v + 15) / 16 * 16, k_tile = GG_TILE * a->d_k * (f16 ? 2 : 4);
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
        const int n_halves = (int)((end - j0 < BLOCK ? end - j0 + GG_ROWS - 1 : BLOCK) / GG_ROWS);
        const uint8_t *k = a->k + j0 / GG_TILE * k_tile, *v = a->v + j0 * a->v_nb;
        /* For one query keys and values come from memory: the next ones are prefetched while these are used. */
        const uint8_t *next_k = 0, *next_v = 0;
        if (n_q == 1) {
            next_k = j0 + BLOCK < end ? k + BLOCK / GG_TILE * k_tile : a->next_k;
            next_v = j0 + BLOCK < end ? v + BLOCK * a->v_nb : a->next_v;
        }
        int t = 0;
        /* One tile at a time reads memory in one stream, the fastest way. */
        const int together = n_q == 1 ? GG_HALVES : GG_ATTN_HALVES;
        for (; t + together <= n_halves; t += together)
            dot_halves(a, q, k, t, n_q, together, f16, next_k, scores);
        for (; t < n_halves; t++)
            dot_halves(a, q, k, t, n_q, 1, f16, next_k, scores);

        /* One step after the other for all queries, so that they wait for nothing but their own last one. */
        int64_t ends[GG_ATTN_Q], common = BLOCK; /* positions of the block that a query sees, where any counts */
        for (int i = 0; i < n_q; i++) {
            int64_t n = a->causal && a->first + i0 + i + 1 < end ? a->first + i0 + i + 1 - j0 : end - j0;
            n = n < 0 ? 0 : n > BLOCK ? BLOCK : n;
            const float max = scale_scores(a, scores + i * BLOCK, i0 + i, j0, n);
            ends[i] = max == -INFINITY ? 0 : n;
            if (ends[i] > 0)
                raise_m(&states[i], max, a->tmp + i * stride, stride);
            common = ends[i] < common ? ends[i] : common;
        }
        for (int i = 0; i < n_q; i++)
            exponentiate(&states[i], scores + i * BLOCK, ends[i]);
        add_values(a, a->tmp, stride, scores, v, 0, common, n_q, f16, next_v);
        for (int i = 0; i < n_q; i++)
            if (ends[i] > common)
                add_values(a, a->tmp + i * stride, stride, scores + i * BLOCK, v, common, ends[i], 1, f16, 0);
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
