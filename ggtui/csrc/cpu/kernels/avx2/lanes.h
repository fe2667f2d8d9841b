/* Sixteen lanes in two vectors with AVX2, FMA and F16C: all but the integer products. See scalar/simd.h for what the functions
 * mean. */
#ifndef GG_AVX2_LANES_H
#define GG_AVX2_LANES_H
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef struct { __m256 low, high; } v16;   /* lanes 0-7, 8-15 */
typedef struct { __m256i low, high; } v16i;
typedef v16i v16w;
typedef v16 v16m; /* all bits of a true lane are set */

static inline v16 v16_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline void v16_store(float *p, v16 x) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}

static inline v16i v16i_first(int64_t n) {
    __m256i count = _mm256_set1_epi32((int)n), lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (v16i){_mm256_cmpgt_epi32(count, lanes),
                  _mm256_cmpgt_epi32(count, _mm256_add_epi32(lanes, _mm256_set1_epi32(8)))};
}
static inline v16m v16m_first(int64_t n) {
    v16i m = v16i_first(n);
    return (v16m){_mm256_castsi256_ps(m.low), _mm256_castsi256_ps(m.high)};
}
static inline v16 v16_load_n(const float *p, int64_t n) {
    v16i m = v16i_first(n);
    return (v16){_mm256_maskload_ps(p, m.low), n > 8 ? _mm256_maskload_ps(p + 8, m.high) : _mm256_setzero_ps()};
}
static inline void v16_store_n(float *p, v16 x, int64_t n) {
    v16i m = v16i_first(n);
    _mm256_maskstore_ps(p, m.low, x.low);
    if (n > 8)
        _mm256_maskstore_ps(p + 8, m.high, x.high);
}

static inline v16 v16_set1(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline v16 v16_add(v16 x, v16 y) { return (v16){_mm256_add_ps(x.low, y.low), _mm256_add_ps(x.high, y.high)}; }
static inline v16 v16_sub(v16 x, v16 y) { return (v16){_mm256_sub_ps(x.low, y.low), _mm256_sub_ps(x.high, y.high)}; }
static inline v16 v16_mul(v16 x, v16 y) { return (v16){_mm256_mul_ps(x.low, y.low), _mm256_mul_ps(x.high, y.high)}; }
static inline v16 v16_div(v16 x, v16 y) { return (v16){_mm256_div_ps(x.low, y.low), _mm256_div_ps(x.high, y.high)}; }
static inline v16 v16_fma(v16 x, v16 y, v16 z) {
    return (v16){_mm256_fmadd_ps(x.low, y.low, z.low), _mm256_fmadd_ps(x.high, y.high, z.high)};
}
static inline v16 v16_sqrt(v16 x) { return (v16){_mm256_sqrt_ps(x.low), _mm256_sqrt_ps(x.high)}; }
static inline v16 v16_min(v16 x, v16 y) { return (v16){_mm256_min_ps(x.low, y.low), _mm256_min_ps(x.high, y.high)}; }
static inline v16 v16_max(v16 x, v16 y) { return (v16){_mm256_max_ps(x.low, y.low), _mm256_max_ps(x.high, y.high)}; }
static inline v16 v16_and(v16 x, v16 y) { return (v16){_mm256_and_ps(x.low, y.low), _mm256_and_ps(x.high, y.high)}; }
static inline v16 v16_or(v16 x, v16 y) { return (v16){_mm256_or_ps(x.low, y.low), _mm256_or_ps(x.high, y.high)}; }
static inline v16 v16_xor(v16 x, v16 y) { return (v16){_mm256_xor_ps(x.low, y.low), _mm256_xor_ps(x.high, y.high)}; }
static inline v16 v16_abs(v16 x) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high)};
}
static inline v16 v16_neg(v16 x) { return v16_xor(x, v16_set1(-0.0f)); }
static inline v16 v16_copysign(v16 x, v16 y) { return v16_or(v16_abs(x), v16_and(y, v16_set1(-0.0f))); }
static inline v16m v16m_or(v16m x, v16m y) { return v16_or(x, y); }
static inline int v16m_any(v16m x) { return _mm256_movemask_ps(_mm256_or_ps(x.low, x.high)) != 0; }
static inline v16m v16_lt(v16 x, v16 y) {
    return (v16m){_mm256_cmp_ps(x.low, y.low, _CMP_LT_OQ), _mm256_cmp_ps(x.high, y.high, _CMP_LT_OQ)};
}
static inline v16m v16_is_nan(v16 x) {
    return (v16m){_mm256_cmp_ps(x.low, x.low, _CMP_UNORD_Q), _mm256_cmp_ps(x.high, x.high, _CMP_UNORD_Q)};
}
static inline v16 v16_select(v16m m, v16 x, v16 y) {
    return (v16){_mm256_blendv_ps(y.low, x.low, m.low), _mm256_blendv_ps(y.high, x.high, m.high)};
}

/* In two steps, of which the first is exact, since 2^n may be no float. */
static inline __m256 v16_scale2_8(__m256 x, __m256 n) {
    __m256i e = _mm256_cvtps_epi32(n), part = _mm256_srai_epi32(e, 1), bias = _mm256_set1_epi32(127);
    __m256i low = _mm256_slli_epi32(_mm256_add_epi32(bias, part), 23);
    __m256i high = _mm256_slli_epi32(_mm256_add_epi32(bias, _mm256_sub_epi32(e, part)), 23);
    return _mm256_mul_ps(_mm256_mul_ps(x, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high));
}
static inline v16 v16_scale2(v16 x, v16 n) { return (v16){v16_scale2_8(x.low, n.low), v16_scale2_8(x.high, n.high)}; }

static inline float v16_sum(v16 x) {
    __m256 b = _mm256_add_ps(x.low, x.high);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
static inline float v16_hmax(v16 x) {
    __m256 b = _mm256_max_ps(x.low, x.high);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

/* 16-bit lanes of which n are there, by way of a buffer */
typedef struct { uint16_t v[16]; } v16_16bit;
static inline v16_16bit v16_load_16bit_n(const uint16_t *p, int64_t n) {
    v16_16bit h = {{0}};
    memcpy(h.v, p, (size_t)n * sizeof *p);
    return h;
}
static inline __m128i v16_load_16bit(const uint16_t *p) { return _mm_loadu_si128((const __m128i_u *)p); }
static inline void v16_store_16bit(uint16_t *p, __m128i x) { _mm_storeu_si128((__m128i_u *)p, x); }

static inline v16 v16_load_f16(const uint16_t *p) {
    return (v16){_mm256_cvtph_ps(v16_load_16bit(p)), _mm256_cvtph_ps(v16_load_16bit(p + 8))};
}
static inline v16 v16_load_f16_n(const uint16_t *p, int64_t n) {
    v16_16bit h = v16_load_16bit_n(p, n);
    return v16_load_f16(h.v);
}
static inline void v16_store_f16(uint16_t *p, v16 x) {
    v16_store_16bit(p, _mm256_cvtps_ph(x.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    v16_store_16bit(p + 8, _mm256_cvtps_ph(x.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline void v16_store_f16_n(uint16_t *p, v16 x, int64_t n) {
    v16_16bit h;
    v16_store_f16(h.v, x);
    memcpy(p, h.v, (size_t)n * sizeof *p);
}

static inline __m256 v16_from_bf16_8(__m128i h) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
static inline v16 v16_load_bf16(const uint16_t *p) {
    return (v16){v16_from_bf16_8(v16_load_16bit(p)), v16_from_bf16_8(v16_load_16bit(p + 8))};
}
static inline v16 v16_load_bf16_n(const uint16_t *p, int64_t n) {
    v16_16bit h = v16_load_16bit_n(p, n);
    return v16_load_bf16(h.v);
}
static inline __m256i v16_to_bf16_8(__m256 x) {
    __m256i u = _mm256_castps_si256(x), high = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i near = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256i nan = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(near, nan, is_nan);
}
static inline void v16_store_bf16(uint16_t *p, v16 x) {
    __m256i packed = _mm256_packus_epi32(v16_to_bf16_8(x.low), v16_to_bf16_8(x.high));
    _mm256_storeu_si256((__m256i_u *)p, _mm256_permute4x64_epi64(packed, 0xd8));
}
static inline void v16_store_bf16_n(uint16_t *p, v16 x, int64_t n) {
    v16_16bit h;
    v16_store_bf16(h.v, x);
    memcpy(p, h.v, (size_t)n * sizeof *p);
}

static inline v16 v16_from_i32(v16i x) { return (v16){_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)}; }
static inline v16 v16_load_i8(const int8_t *p) {
    __m128i x = _mm_loadu_si128((const __m128i_u *)p);
    return v16_from_i32((v16i){_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))});
}
static inline v16 v16_set1_f16(const uint16_t *p) {
    __m256 x = _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(*p)));
    return (v16){x, x};
}
static inline v16i v16_round(v16 x) { return (v16i){_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)}; }
static inline v16i v16i_set1(int32_t x) { return (v16i){_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
static inline v16i v16i_add(v16i x, v16i y) {
    return (v16i){_mm256_add_epi32(x.low, y.low), _mm256_add_epi32(x.high, y.high)};
}
static inline int32_t v16i_sum(v16i x) {
    __m256i b = _mm256_add_epi32(x.low, x.high);
    __m128i c = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    c = _mm_add_epi32(c, _mm_unpackhi_epi64(c, c));
    return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 1)));
}
static inline void v16i_store_i8(int8_t *p, v16i x) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.low, x.high), 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i_u *)p, bytes);
}

static inline v16i v16i_pair(v16i low, v16i high) {
    return (v16i){_mm256_or_si256(low.low, _mm256_slli_epi32(high.low, 16)),
                  _mm256_or_si256(low.high, _mm256_slli_epi32(high.high, 16))};
}
static inline v16i v16i_dot_pairs(v16i a, const int16_t *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    __m256i both = _mm256_set1_epi32(pair);
    return (v16i){_mm256_madd_epi16(a.low, both), _mm256_madd_epi16(a.high, both)};
}

static inline v16w v16w_load(const uint8_t *p) {
    return (v16w){_mm256_loadu_si256((const __m256i_u *)p), _mm256_loadu_si256((const __m256i_u *)(p + 32))};
}
static inline v16w v16w_load_pairs(const uint8_t *p) {
    return (v16w){_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)p)),
                  _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)(p + 16)))};
}
static inline __m256i v16w_bits_8(__m256i w, int shift, int mask) {
    w = shift < 0 ? _mm256_slli_epi16(w, -shift) : _mm256_srli_epi16(w, shift);
    return _mm256_and_si256(w, _mm256_set1_epi8((char)mask));
}
static inline v16w v16w_bits(v16w w, int shift, int mask) {
    return (v16w){v16w_bits_8(w.low, shift, mask), v16w_bits_8(w.high, shift, mask)};
}
static inline v16w v16w_low(v16w w) { return v16w_bits(w, 0, 15); }
static inline v16w v16w_high(v16w w) { return v16w_bits(w, 4, 15); }
static inline v16w v16w_or(v16w x, v16w y) { return (v16w){_mm256_or_si256(x.low, y.low), _mm256_or_si256(x.high, y.high)}; }
static inline v16w v16w_lookup(const uint8_t *table, v16w w) {
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i_u *)table));
    return (v16w){_mm256_shuffle_epi8(t, w.low), _mm256_shuffle_epi8(t, w.high)};
}
static inline v16i v16w_number(v16w w, int shift, int mask) {
    __m256i m = _mm256_set1_epi32(mask);
    return (v16i){_mm256_and_si256(_mm256_srli_epi32(w.low, shift), m), _mm256_and_si256(_mm256_srli_epi32(w.high, shift), m)};
}
static inline __m256i v16_four(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
}
#endif
