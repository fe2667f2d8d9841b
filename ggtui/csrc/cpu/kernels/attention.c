/* Attention of queries that share keys and values, with the softmax computed online.
 *
 * Positions are split at multiples of GG_SPLIT, and all queries go through one split after the other, so that its keys and values stay
 * in the caches: a few queries at a time, through blocks of 64 positions, a page each. Of a block, first the scores are
 * computed: lanes are positions, and the sum over d_k goes in order. Then each query's m, about the maximum so far, is brought up
 * to date: with it grow or shrink l, the sum of exp(score - m), and the output row, the sum of exp(score - m) v.
 *
 * Each split is begun anew and then joined to those before: so those of one query may be shared out to several threads. Splits lie
 * at fixed positions, and each query is worked on by itself and in the order of the positions: a result depends neither on the
 * other queries nor on how many there are. */
#include "attention_kv.h"
#include "exp.h"
#include "names.h"

_Static_assert((int)GG_ATTN_Q <= (int)GG_ATTN_MAX_Q, "a group");
_Static_assert((int)GG_SPLIT % (int)BLOCK == 0, "a split");

/* What some positions of a query come to: the sum of exp(score - m) is l, that of exp(score - m) v the output row beside it. */
typedef struct {
    float m;
    v16 l;
} gg_online;

static const gg_online NOTHING = {.m = -INFINITY};

/* Scales the scores of a query for positions [lo, hi) of a block that begins at position j0, and masks them and the others. Returns their
 * maximum. */
GG_INLINE float scale_scores(const gg_attention_args *a, const gg_query *query, float *scores, int64_t j0, int64_t lo,
                             int64_t hi) {
    const float *mask = query->mask ? query->mask + j0 : 0;
    v16 scale = v16_set1(a->scale), slope = v16_set1(query->slope), lowest = v16_set1(-INFINITY), max = lowest;
    v16m nan = v16m_first(0);
    if (!mask && a->softcap <= 0.0f && lo == 0 && hi == BLOCK) { /* mostly so, and known when compiled how much it is */
        GG_UNROLL for (int j = 0; j < BLOCK; j += 16) {
            v16 s = v16_mul(v16_load(scores + j), scale);
            v16_store(scores + j, s);
            nan = v16m_or(nan, v16_is_nan(s));
            max = v16_max(s, max);
        }
        return v16m_any(nan) ? NAN : v16_hmax(max);
    }
    v16 cap = v16_set1(a->softcap), per_cap = v16_set1(a->softcap > 0.0f ? 1.0f / a->softcap : 0.0f);
    for (int64_t j = lo / 16 * 16; j < hi; j += 16) {
        int64_t left = hi - j < 16 ? hi - j : 16;
        v16 s = v16_mul(v16_load(scores + j), scale);
        if (a->softcap > 0.0f)
            s = v16_mul(cap, v16_tanh(v16_mul(s, per_cap)));
        if (mask)
            s = v16_fma(slope, left < 16 ? v16_load_n(mask + j, left) : v16_load(mask + j), s);
        s = v16_select(v16m_first(left), s, lowest);
        if (j < lo)
            s = v16_select(v16m_first(lo - j), lowest, s);
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

/* Turns the scores of positions [lo, hi) into exp(score - m), and those before within a vector into 0. */
GG_INLINE void exponentiate(gg_online *state, float *scores, int64_t lo, int64_t hi) {
    v16 m = v16_set1(state->m), l = state->l;
    if (lo == 0 && hi == BLOCK) {
        GG_UNROLL for (int j = 0; j < BLOCK; j += 16) {
            v16 e = v16_exp(v16_sub(v16_load(scores + j), m));
            v16_store(scores + j, e);
            l = v16_add(l, e);
        }
        state->l = l;
        return;
    }
    for (int64_t j = lo < hi ? lo / 16 * 16 : hi; j < hi; j += 16) {
        v16 e = v16_exp(v16_sub(v16_load(scores + j), m));
        v16_store(scores + j, e);
        l = v16_add(l, e);
    }
    state->l = l;
}

/* The output rows in the temporaries: those of the split under way, of the queries that go together, and behind them the sums over all
 * splits so far, of all queries. */
GG_INLINE int64_t row_floats(const gg_attention_args *a) { return (a->d_v + 15) / 16 * 16; }
GG_INLINE float *sum_row(const gg_attention_args *a, int i) { return a->tmp + (GG_ATTN_MAX_Q + i) * row_floats(a); }

/* Joins a split of a query to those before. What is joined to nothing stays as it is, to the sign of zeros. */
GG_INLINE void join(gg_online *all, float *sum, const gg_online *split, const float *row, int64_t stride) {
    if (all->m == -INFINITY) {
        *all = *split;
        for (int64_t c = 0; c < stride; c += 16)
            v16_store(sum + c, v16_load(row + c));
        return;
    }
    const float m = split->m <= all->m ? all->m : split->m;
    v16 old = v16_exp(v16_set1(all->m - m)), new = v16_exp(v16_set1(split->m - m));
    all->m = m;
    all->l = v16_fma(split->l, new, v16_mul(all->l, old));
    for (int64_t c = 0; c < stride; c += 16)
        v16_store(sum + c, v16_fma(v16_load(row + c), new, v16_mul(v16_load(sum + c), old)));
}

GG_INLINE int64_t within(int64_t j, int64_t low, int64_t high) { return j < low ? low : j > high ? high : j; }

/* Where the keys and values of the page with position j0 lie; those behind the last one are NULL, or a->next_k and a->next_v. */
typedef struct {
    const uint8_t *k, *v;
} gg_place;

GG_INLINE gg_place place_of(const gg_attention_args *a, int64_t j0, int kv) {
    const int64_t page = a->pages ? a->pages[j0 / BLOCK] : j0 / BLOCK - a->page0;
    return (gg_place){a->k + page * BLOCK * kv_bytes(a->d_k, kv), a->v + page * BLOCK * a->v_nb};
}

/* Queries i0 .. i0 + n_q - 1 and the positions [from, to) of a split. What comes at `to` is prefetched, if it is anything. */
GG_INLINE void split(const gg_attention_args *a, gg_online *states, int i0, int n_q, int64_t from, int64_t to, gg_place next_split,
                     int kv) {
    const int64_t stride = row_floats(a);
    const gg_query *queries = a->queries + i0;
    const float *q[GG_ATTN_Q];
    float scores[GG_ATTN_Q * BLOCK];
    gg_online online[GG_ATTN_Q];
    int is_first = 1;                       /* there is nothing to join it to */
    int64_t all_from = 0, all_to = INT64_MAX; /* what all of them see */
    for (int i = 0; i < n_q; i++) {
        q[i] = queries[i].q;
        online[i] = NOTHING;
        is_first &= states[i0 + i].m == -INFINITY;
        all_from = queries[i].from > all_from ? queries[i].from : all_from;
        all_to = queries[i].to < all_to ? queries[i].to : all_to;
    }
    float *out = is_first ? sum_row(a, i0) : a->tmp;
    if (!is_first)
        for (int64_t c = 0; c < n_q * stride; c += 16)
            v16_store(out + c, v16_set1(0.0f));

    for (int64_t j0 = from / BLOCK * BLOCK; j0 < to; j0 += BLOCK) {
        int64_t lo[GG_ATTN_Q], hi[GG_ATTN_Q], first = BLOCK, end = 0; /* positions of the block that a query sees, and that any does */
        const int whole = j0 >= all_from && j0 + BLOCK <= all_to;
        if (whole) {
            for (int i = 0; i < n_q; i++) {
                lo[i] = 0;
                hi[i] = BLOCK;
            }
            first = 0;
            end = BLOCK;
        } else {
            for (int i = 0; i < n_q; i++) {
                lo[i] = within(queries[i].from - j0, 0, BLOCK);
                hi[i] = within(queries[i].to - j0, lo[i], BLOCK);
                if (lo[i] < hi[i]) {
                    first = lo[i] < first ? lo[i] : first;
                    end = hi[i] > end ? hi[i] : end;
                }
            }
            if (end == 0)
                continue;
        }
        const gg_place here = place_of(a, j0, kv);
        /* For few queries keys and values come from memory: the next ones are prefetched while these are used. */
        gg_place next = {0, 0};
        if (a->n_q <= GG_ATTN_Q)
            next = j0 + BLOCK < to ? place_of(a, j0 + BLOCK, kv) : next_split;

        const int n_halves = (int)((end + GG_ROWS - 1) / GG_ROWS);
        int t = (int)(first / GG_TILE) * GG_HALVES;
        if (n_q == 1 || next.k) { /* one tile at a time reads memory in one stream, the fastest way */
            for (; t + GG_HALVES <= n_halves; t += GG_HALVES)
                dot_halves(a, q, here.k, t, n_q, GG_HALVES, kv, next.k, scores);
        } else {
            for (; t + GG_ATTN_HALVES <= n_halves; t += GG_ATTN_HALVES)
                dot_halves(a, q, here.k, t, n_q, GG_ATTN_HALVES, kv, 0, scores);
        }
        for (; t < n_halves; t++)
            dot_halves(a, q, here.k, t, n_q, 1, kv, next.k, scores);

        /* One step after the other for all queries, so that they wait for nothing but their own last one. */
        int64_t common_lo = 0, common_hi = BLOCK; /* what all see, where any of it counts */
        for (int i = 0; i < n_q; i++) {
            const float max = lo[i] < hi[i] ? scale_scores(a, &queries[i], scores + i * BLOCK, j0, lo[i], hi[i]) : -INFINITY;
            if (max == -INFINITY)
                hi[i] = lo[i];
            else
                raise_m(&online[i], max, out + i * stride, stride);
            common_lo = lo[i] > common_lo ? lo[i] : common_lo;
            common_hi = hi[i] < common_hi ? hi[i] : common_hi;
        }
        for (int i = 0; i < n_q; i++)
            exponentiate(&online[i], scores + i * BLOCK, lo[i], hi[i]);
        if (common_lo > common_hi) /* nothing: each by itself */
            common_lo = common_hi = BLOCK;
        for (int i = 0; i < n_q; i++)
            if (lo[i] < common_lo && lo[i] < hi[i])
                add_values(a, out + i * stride, stride, scores + i * BLOCK, here.v, lo[i], hi[i] < common_lo ? hi[i] : common_lo, 1, kv, 0);
        if (common_lo == 0 && common_hi == BLOCK)
            add_values(a, out, stride, scores, here.v, 0, BLOCK, n_q, kv, next.v);
        else
            add_values(a, out, stride, scores, here.v, common_lo, common_hi, n_q, kv, next.v);
        for (int i = 0; i < n_q; i++)
            if (hi[i] > common_hi)
                add_values(a, out + i * stride, stride, scores + i * BLOCK, here.v, common_hi, hi[i], 1, kv, 0);
    }
    for (int i = 0; i < n_q; i++) {
        if (is_first)
            states[i0 + i] = online[i];
        else if (online[i].m > -INFINITY || online[i].m != online[i].m)
            join(&states[i0 + i], sum_row(a, i0 + i), &online[i], out + i * stride, stride);
    }
}

typedef void split_fn(const gg_attention_args *, gg_online *, int i0, int64_t from, int64_t to, gg_place next);

/* Those of more queries than one group have their keys and values as floats. */
#define GG_GROUP(n_q)                                                                                                    \
    static void split_##n_q(const gg_attention_args *a, gg_online *states, int i0, int64_t from, int64_t to, gg_place next) { \
        if (n_q <= GG_ATTN_Q) { /* others are never called */                                                            \
            switch (a->kv_type) {                                                                                        \
                case GG_TYPE_F16: split(a, states, i0, n_q, from, to, next, F16); return;                                \
                case GG_TYPE_Q8_0: split(a, states, i0, n_q, from, to, next, Q8); return;                                \
                default: split(a, states, i0, n_q, from, to, next, F32);                                                 \
            }                                                                                                            \
        }                                                                                                                \
    }
GG_GROUP(1)
GG_GROUP(2)
GG_GROUP(3)
GG_GROUP(4)
GG_GROUP(5)
GG_GROUP(6)

static void begin(const gg_attention_args *a, gg_online *states) {
    for (int i = 0; i < a->n_q; i++) {
        /* The sink is a first position without a value. */
        const float *sink = a->part ? NULL : a->queries[i].sink;
        states[i] = NOTHING;
        if (sink && *sink > -INFINITY) {
            states[i].m = *sink;
            states[i].l = v16_select(v16m_first(1), v16_set1(1.0f), v16_set1(0.0f));
        }
        for (int64_t c = 0; c < row_floats(a); c += 16)
            v16_store(sum_row(a, i) + c, v16_set1(0.0f));
    }
}

static void finish(const gg_attention_args *a, const gg_online *states) {
    for (int i = 0; i < a->n_q; i++) {
        const float *row = sum_row(a, i), l = v16_sum(states[i].l);
        float *out = a->queries[i].out;
        v16 scale = v16_set1(l == 0.0f ? 0.0f : 1.0f / l);
        int64_t c = 0;
        for (; c + 16 <= a->d_v; c += 16)
            v16_store(out + c, v16_mul(v16_load(row + c), scale));
        if (c < a->d_v)
            v16_store_n(out + c, v16_mul(v16_load(row + c), scale), a->d_v - c);
    }
}

/* What each query came to, for attention_join: m, l and the output row. */
static void save(const gg_attention_args *a, const gg_online *states) {
    float *part = a->part;
    for (int i = 0; i < a->n_q; i++, part += gg_attention_part(a->d_v)) {
        part[0] = states[i].m;
        v16_store(part + 16, states[i].l);
        for (int64_t c = 0; c < row_floats(a); c += 16)
            v16_store(part + 32 + c, v16_load(sum_row(a, i) + c));
    }
}

/* Keys and values of the positions [from, to) of a split as floats, in the temporaries: what is to be read in their place. */
static gg_attention_args unpacked(const gg_attention_args *a, int64_t from, int64_t to) {
    gg_attention_args floats = *a;
    float *k = a->tmp + gg_attention_rows() * row_floats(a), *v = k + GG_SPLIT * a->d_k;
    floats.kv_type = GG_TYPE_F32;
    floats.k = (const uint8_t *)k;
    floats.v = (const uint8_t *)v;
    floats.v_nb = a->d_v * (int64_t)sizeof(float);
    floats.pages = NULL;
    floats.page0 = from / BLOCK;
    for (int64_t j0 = from / BLOCK * BLOCK; j0 < to; j0 += BLOCK, k += BLOCK * a->d_k, v += BLOCK * a->d_v) {
        const int64_t page = a->pages ? a->pages[j0 / BLOCK] : j0 / BLOCK;
        unpack_keys(k, a->k + page * BLOCK * kv_bytes(a->d_k, Q8), a->d_k);
        unpack_values(v, a->v + page * BLOCK * a->v_nb, a->v_nb, to - j0 < BLOCK ? to - j0 : BLOCK, a->d_v);
    }
    return floats;
}

void GG_KERNEL(attention)(const gg_attention_args *a) {
    static split_fn *const splits[GG_ATTN_MAX_Q + 1] = {0, split_1, split_2, split_3, split_4, split_5, split_6};
    const int kv = a->kv_type == GG_TYPE_F16 ? F16 : a->kv_type == GG_TYPE_Q8_0 ? Q8 : F32;
    gg_online states[GG_ATTN_QUERIES];
    int64_t from = INT64_MAX, to = 0; /* what any query sees */
    for (int i = 0; i < a->n_q; i++) {
        const gg_query *query = &a->queries[i];
        if (query->from < query->to) {
            from = query->from < from ? query->from : from;
            to = query->to > to ? query->to : to;
        }
    }
    begin(a, states);
    for (int64_t end; from < to; from = end) {
        end = (from / GG_SPLIT + 1) * GG_SPLIT;
        end = end < to ? end : to;
        gg_attention_args floats;
        const gg_attention_args *as = a;
        gg_place next = {0, 0};
        if (a->kv_type == GG_TYPE_Q8_0 && a->n_q > GG_ATTN_Q) { /* for several groups once */
            floats = unpacked(a, from, end);
            as = &floats;
        } else {
            next = end < to ? place_of(a, end, kv) : (gg_place){a->next_k, a->next_v};
        }
        for (int i = 0; i < a->n_q; i += GG_ATTN_Q)
            splits[a->n_q - i < GG_ATTN_Q ? a->n_q - i : GG_ATTN_Q](as, states, i, from, end, next);
    }
    if (a->part)
        save(a, states);
    else
        finish(a, states);
}

void GG_KERNEL(attention_join)(const gg_attention_args *a, int64_t n_parts, const float *parts) {
    gg_online states[GG_ATTN_QUERIES];
    begin(a, states);
    for (int64_t p = 0; p < n_parts; p++)
        for (int i = 0; i < a->n_q; i++, parts += gg_attention_part(a->d_v)) {
            const gg_online one = {.m = parts[0], .l = v16_load(parts + 16)};
            if (one.m > -INFINITY || one.m != one.m)
                join(&states[i], sum_row(a, i), &one, parts + 32, row_floats(a));
        }
    finish(a, states);
}
