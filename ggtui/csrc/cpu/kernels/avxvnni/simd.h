/* AVX2 with an instruction for integer products, AVX-VNNI: what desktop processors without AVX-512 have. It multiplies 8-bit
 * numbers, the first ones without sign, and adds four products to a 32-bit sum, with no step in between that could overflow. */
#ifndef GG_SIMD_H
#define GG_SIMD_H
#include "../avx2/lanes.h"

enum { GG_FLOAT_COLS = 6, GG_FLOAT_SUMS = 5, GG_INT_COLS = 5, GG_INT_SUMS = 5,
       GG_ATTN_Q = 4, GG_ATTN_HALVES = 1, GG_ATTN_V = 1 };

typedef v16i v16q4;
typedef v16i v16q6;
typedef v16i v16q8;

static inline v16i v16i_dot(v16i acc, v16w w, const int8_t *x) {
    __m256i four = v16_four(x);
    return (v16i){_mm256_dpbusd_avx_epi32(acc.low, w.low, four), _mm256_dpbusd_avx_epi32(acc.high, w.high, four)};
}

static inline v16q4 v16q4_start(int32_t nsum, int offset) { return v16i_set1(offset * nsum); }
static inline v16q4 v16q4_dot(v16q4 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q4_end(v16q4 acc, int32_t nsum, int offset) { return (void)nsum, (void)offset, acc; }
static inline v16q6 v16q6_start(int32_t nsum, int offset) { return v16i_set1(offset * nsum); }
static inline v16q6 v16q6_dot(v16q6 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q6_end(v16q6 acc) { return acc; }
static inline v16q8 v16q8_start(int32_t nsum) { return v16i_set1(128 * nsum); }
static inline v16q8 v16q8_dot(v16q8 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q8_end(v16q8 acc) { return acc; }
#endif
