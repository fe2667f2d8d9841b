/* AVX2, FMA and F16C: how much goes at once, and the integer products. */
#ifndef GG_SIMD_H
#define GG_SIMD_H
#include "lanes.h"

enum { GG_FLOAT_COLS = 6, GG_FLOAT_SUMS = 5, GG_INT_COLS = 4, GG_INT_SUMS = 4,
       GG_ATTN_Q = 4, GG_ATTN_HALVES = 1, GG_ATTN_V = 1 };

typedef v16i v16q4; /* 16-bit sums of two products each */
typedef v16i v16q6;
typedef v16i v16q8;

/* Keeps the compiler from adding up in another order, for which it would have to keep all products at hand. */
static inline __m256i v16_in_order(__m256i x) {
    __asm__("" : "+x"(x));
    return x;
}

/* A product is at most 15 * 127, so that the 16 of a block fit into a 16-bit sum. */
static inline v16q4 v16q4_start(int32_t nsum, int offset) { return (void)nsum, (void)offset, v16i_set1(0); }
static inline v16q4 v16q4_dot(v16q4 acc, v16w w, const int8_t *x) {
    __m256i four = v16_four(x);
    return (v16q4){v16_in_order(_mm256_add_epi16(acc.low, _mm256_maddubs_epi16(w.low, four))),
                   v16_in_order(_mm256_add_epi16(acc.high, _mm256_maddubs_epi16(w.high, four)))};
}
static inline v16i v16q4_end(v16q4 acc, int32_t nsum, int offset) {
    __m256i one = _mm256_set1_epi16(1);
    v16i sum = {_mm256_madd_epi16(acc.low, one), _mm256_madd_epi16(acc.high, one)};
    return offset ? v16i_add(sum, v16i_set1(offset * nsum)) : sum;
}

/* Two products, at most 63 * 127 each, fit into 16 bits, more do not. */
static inline __m256i v16q6_dot_8(__m256i acc, __m256i w, __m256i four) {
    __m256i pairs = _mm256_maddubs_epi16(w, four);
    return v16_in_order(_mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
}
static inline v16q6 v16q6_start(int32_t nsum, int offset) { return v16i_set1(offset * nsum); }
static inline v16q6 v16q6_dot(v16q6 acc, v16w w, const int8_t *x) {
    __m256i four = v16_four(x);
    return (v16q6){v16q6_dot_8(acc.low, w.low, four), v16q6_dot_8(acc.high, w.high, four)};
}
static inline v16i v16q6_end(v16q6 acc) { return acc; }

/* maddubs adds pairs in 16 bits with saturation: 255 * 127 twice would not fit, |w| * 127 with |w| <= 128 does. So the
 * offset is taken off the weights and their sign goes to the activations. */
static inline __m256i v16q8_dot_8(__m256i acc, __m256i w, __m256i four) {
    w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(four, w));
    return v16_in_order(_mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
}
static inline v16q8 v16q8_start(int32_t nsum) { return (void)nsum, v16i_set1(0); }
static inline v16q8 v16q8_dot(v16q8 acc, v16w w, const int8_t *x) {
    __m256i four = v16_four(x);
    return (v16q8){v16q8_dot_8(acc.low, w.low, four), v16q8_dot_8(acc.high, w.high, four)};
}
static inline v16i v16q8_end(v16q8 acc) { return acc; }
#endif
