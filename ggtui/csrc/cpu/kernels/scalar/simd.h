/* Sixteen lanes in plain C: the meaning of every function, and the only set that every machine has.
 *
 * v16 are floats, v16i 32-bit integers, v16w 64 bytes of weights, v16m one truth value a lane; v16q4, v16q6 and v16q8 are
 * running sums of integer products. Functions with _n touch the first n lanes alone, 0 < n < 16; on loading, the others are 0. */
#ifndef GG_SIMD_H
#define GG_SIMD_H
#include <math.h>
#include <stdint.h>

#include "codec/f16.h"

enum {
    GG_FLOAT_COLS = 1, /* most columns that a mul_mat of floats works on at once */
    GG_FLOAT_SUMS = 1, /* most columns times halves of tiles: vectors of sums that registers hold */
    GG_INT_COLS = 1,   /* the same of an integer mul_mat */
    GG_INT_SUMS = 1,
    GG_ATTN_Q = 1,     /* queries that attention works on at once ... */
    GG_ATTN_HALVES = 1, /* ... times halves of tiles, of 16 positions, where keys are used */
    GG_ATTN_V = 1,     /* ... times vectors of an output row, where values are */
};

/* None of these vectors is a register, so that loops over them are not unrolled and one size of pieces is enough: otherwise this
 * set would be larger than all others together. */
#define GG_NO_UNROLL

typedef struct { float v[16]; } v16;
typedef struct { int32_t v[16]; } v16i;
typedef struct { uint8_t v[64]; } v16w;
typedef struct { uint8_t v[16]; } v16m;
typedef v16i v16q4;
typedef v16i v16q6;
typedef v16i v16q8;

#define GG_EACH for (int i = 0; i < 16; i++)

static inline v16 v16_load_n(const float *p, int64_t n) {
    v16 r;
    GG_EACH r.v[i] = i < n ? p[i] : 0.0f;
    return r;
}

static inline void v16_store_n(float *p, v16 a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        p[i] = a.v[i];
}

static inline v16 v16_load(const float *p) {
    v16 r;
    memcpy(&r, p, sizeof r);
    return r;
}

static inline void v16_store(float *p, v16 a) { memcpy(p, &a, sizeof a); }

static inline v16 v16_set1(float x) {
    v16 r;
    GG_EACH r.v[i] = x;
    return r;
}

static inline v16 v16_add(v16 a, v16 b) {
    GG_EACH a.v[i] += b.v[i];
    return a;
}

static inline v16 v16_sub(v16 a, v16 b) {
    GG_EACH a.v[i] -= b.v[i];
    return a;
}

static inline v16 v16_mul(v16 a, v16 b) {
    GG_EACH a.v[i] *= b.v[i];
    return a;
}

static inline v16 v16_div(v16 a, v16 b) {
    GG_EACH a.v[i] /= b.v[i];
    return a;
}

/* a * b + c, rounded once */
static inline v16 v16_fma(v16 a, v16 b, v16 c) {
    GG_EACH a.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return a;
}

static inline v16 v16_sqrt(v16 a) {
    GG_EACH a.v[i] = sqrtf(a.v[i]);
    return a;
}

static inline v16 v16_abs(v16 a) {
    GG_EACH a.v[i] = fabsf(a.v[i]);
    return a;
}

static inline v16 v16_neg(v16 a) {
    GG_EACH a.v[i] = -a.v[i];
    return a;
}

/* b where either is NaN, and where they are equal */
static inline v16 v16_min(v16 a, v16 b) {
    GG_EACH a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}

static inline v16 v16_max(v16 a, v16 b) {
    GG_EACH a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}

/* a with the sign of b */
static inline v16 v16_copysign(v16 a, v16 b) {
    GG_EACH a.v[i] = copysignf(a.v[i], b.v[i]);
    return a;
}

static inline v16m v16_lt(v16 a, v16 b) {
    v16m r;
    GG_EACH r.v[i] = a.v[i] < b.v[i];
    return r;
}

static inline v16m v16_is_nan(v16 a) {
    v16m r;
    GG_EACH r.v[i] = a.v[i] != a.v[i];
    return r;
}

static inline v16m v16m_or(v16m a, v16m b) {
    GG_EACH a.v[i] |= b.v[i];
    return a;
}

static inline int v16m_any(v16m a) {
    int any = 0;
    GG_EACH any |= a.v[i];
    return any;
}

/* the first n lanes, 0 <= n <= 16 */
static inline v16m v16m_first(int64_t n) {
    v16m r;
    GG_EACH r.v[i] = i < n;
    return r;
}

/* a where m, else b */
static inline v16 v16_select(v16m m, v16 a, v16 b) {
    GG_EACH a.v[i] = m.v[i] ? a.v[i] : b.v[i];
    return a;
}

/* a * 2^n, rounded once; n a whole number, -160 <= n <= 160, and a in 0.5 .. 2 or NaN */
static inline v16 v16_scale2(v16 a, v16 n) {
    GG_EACH {
        /* 1.5 * 2^23 + n has n in its last bits; a NaN's n can be anything. */
        int32_t e = (int32_t)(gg_bits(n.v[i] + 0x1.8p23f) - 0x4b400000), part = e >> 1;
        uint32_t low = (uint32_t)(127 + part) << 23, high = (uint32_t)(127 + (e - part)) << 23;
        a.v[i] = a.v[i] * gg_from_bits(low) * gg_from_bits(high);
    }
    return a;
}

/* The lanes added pairwise: i and i + 8, then i and i + 4, 2, 1. */
static inline float v16_sum(v16 a) {
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++)
            a.v[i] += a.v[i + h];
    return a.v[0];
}

/* The largest lane; a NaN may be lost. */
static inline float v16_hmax(v16 a) {
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++)
            a.v[i] = a.v[i] > a.v[i + h] ? a.v[i] : a.v[i + h];
    return a.v[0];
}

/* ---- 16-bit floats ---- */
static inline v16 v16_load_f16_n(const uint16_t *p, int64_t n) {
    v16 r;
    GG_EACH r.v[i] = i < n ? gg_f16_to_f32(p[i]) : 0.0f;
    return r;
}

static inline v16 v16_load_f16(const uint16_t *p) { return v16_load_f16_n(p, 16); }

static inline void v16_store_f16_n(uint16_t *p, v16 a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        p[i] = gg_f32_to_f16(a.v[i]);
}

static inline void v16_store_f16(uint16_t *p, v16 a) { v16_store_f16_n(p, a, 16); }

static inline v16 v16_load_bf16_n(const uint16_t *p, int64_t n) {
    v16 r;
    GG_EACH r.v[i] = i < n ? gg_bf16_to_f32(p[i]) : 0.0f;
    return r;
}

static inline v16 v16_load_bf16(const uint16_t *p) { return v16_load_bf16_n(p, 16); }

static inline void v16_store_bf16_n(uint16_t *p, v16 a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        p[i] = gg_f32_to_bf16(a.v[i]);
}

static inline void v16_store_bf16(uint16_t *p, v16 a) { v16_store_bf16_n(p, a, 16); }

/* ---- integers ---- */
static inline v16 v16_from_i32(v16i a) {
    v16 r;
    GG_EACH r.v[i] = (float)a.v[i];
    return r;
}

static inline v16 v16_load_i8(const int8_t *p) {
    v16 r;
    GG_EACH r.v[i] = (float)p[i];
    return r;
}

static inline v16 v16_set1_f16(const uint16_t *p) { return v16_set1(gg_f16_to_f32(*p)); }

/* To the nearest whole number, even where two are; |a| < 2^22. */
static inline v16i v16_round(v16 a) {
    v16i r;
    GG_EACH r.v[i] = (int32_t)(gg_bits(a.v[i] + 0x1.8p23f) - 0x4b400000);
    return r;
}

static inline v16i v16i_add(v16i a, v16i b) {
    GG_EACH a.v[i] += b.v[i];
    return a;
}

static inline int32_t v16i_sum(v16i a) {
    int32_t s = 0;
    GG_EACH s += a.v[i];
    return s;
}

/* lanes in -128..127 */
static inline void v16i_store_i8(int8_t *p, v16i a) { GG_EACH p[i] = (int8_t)a.v[i]; }

static inline v16i v16i_set1(int32_t x) {
    v16i r;
    GG_EACH r.v[i] = x;
    return r;
}

/* Lanes of two 16-bit numbers; low must not be negative. */
static inline v16i v16i_pair(v16i low, v16i high) {
    GG_EACH low.v[i] |= high.v[i] << 16;
    return low;
}

/* The two 16-bit numbers of each lane times two others: low * x[0] + high * x[1]. */
static inline v16i v16i_dot_pairs(v16i a, const int16_t *x) {
    GG_EACH a.v[i] = (int16_t)(a.v[i] & 0xffff) * x[0] + (a.v[i] >> 16) * x[1];
    return a;
}

/* ---- bits of weights, 4 bytes of each of 16 rows, [row][4] ---- */
static inline v16w v16w_load(const uint8_t *p) {
    v16w r;
    memcpy(&r, p, sizeof r);
    return r;
}

/* 2 bytes of each row, then zeros */
static inline v16w v16w_load_pairs(const uint8_t *p) {
    v16w r = {{0}};
    GG_EACH memcpy(r.v + 4 * i, p + 2 * i, 2);
    return r;
}

/* Each byte shifted right, or left where shift is negative; mask has none of the bits that a shift must fill in. */
static inline v16w v16w_bits(v16w w, int shift, int mask) {
    for (int i = 0; i < 64; i++)
        w.v[i] = (uint8_t)((shift < 0 ? w.v[i] << -shift : w.v[i] >> shift) & mask);
    return w;
}
static inline v16w v16w_low(v16w w) { return v16w_bits(w, 0, 15); }
static inline v16w v16w_high(v16w w) { return v16w_bits(w, 4, 15); }

static inline v16w v16w_or(v16w a, v16w b) {
    for (int i = 0; i < 64; i++)
        a.v[i] |= b.v[i];
    return a;
}

/* table[byte], bytes 0..15 */
static inline v16w v16w_lookup(const uint8_t *table, v16w w) {
    for (int i = 0; i < 64; i++)
        w.v[i] = table[w.v[i]];
    return w;
}

/* Each row's 4 bytes as one number, the first the lowest, shifted right and masked. */
static inline v16i v16w_number(v16w w, int shift, int mask) {
    v16i r;
    GG_EACH {
        uint32_t u = w.v[4 * i] | w.v[4 * i + 1] << 8 | w.v[4 * i + 2] << 16 | (uint32_t)w.v[4 * i + 3] << 24;
        r.v[i] = (int32_t)(u >> shift & (uint32_t)mask);
    }
    return r;
}

/* ---- integer products: 4 weights of each row times 4 activations ----
 * A sum starts from the activations' nsum, takes its products, and ends as the sum of (weight - offset) * x. The offset is
 * 0 or a power of 2. */
static inline v16i v16i_dot(v16i acc, v16w w, const int8_t *x) {
    for (int r = 0; r < 16; r++)
        for (int b = 0; b < 4; b++)
            acc.v[r] += w.v[4 * r + b] * x[b];
    return acc;
}

/* weights 0..15; at most 8 products */
static inline v16q4 v16q4_start(int32_t nsum, int offset) { return v16i_set1(offset * nsum); }
static inline v16q4 v16q4_dot(v16q4 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q4_end(v16q4 acc, int32_t nsum, int offset) { return (void)nsum, (void)offset, acc; }

/* weights 0..63; a v16i can take the place of v16q6_start */
static inline v16q6 v16q6_start(int32_t nsum, int offset) { return v16i_set1(offset * nsum); }
static inline v16q6 v16q6_dot(v16q6 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q6_end(v16q6 acc) { return acc; }

/* weights 0..255, offset 128 */
static inline v16q8 v16q8_start(int32_t nsum) { return v16i_set1(128 * nsum); }
static inline v16q8 v16q8_dot(v16q8 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q8_end(v16q8 acc) { return acc; }

#undef GG_EACH
#endif
