/* Sixteen lanes with AVX-512 (F, BW, VL, DQ, VNNI). See scalar/simd.h for what the functions mean. */
#ifndef GG_SIMD_H
#define GG_SIMD_H
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { GG_FLOAT_COLS = 6, GG_FLOAT_SUMS = 24, GG_INT_COLS = 6, GG_INT_SUMS = 12,
       GG_ATTN_Q = 6, GG_ATTN_HALVES = 4, GG_ATTN_V = 4 };

typedef __m512 v16;
typedef __m512i v16i;
typedef __m512i v16w;
typedef __mmask16 v16m;
typedef __m512i v16q4;
typedef __m512i v16q6;
typedef __m512i v16q8;

static inline v16m v16m_first(int64_t n) { return (v16m)((1u << n) - 1); }
static inline v16m v16m_or(v16m a, v16m b) { return a | b; }
static inline int v16m_any(v16m a) { return a != 0; }

static inline v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
static inline v16 v16_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v16m_first(n), p); }
static inline void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
static inline void v16_store_n(float *p, v16 a, int64_t n) { _mm512_mask_storeu_ps(p, v16m_first(n), a); }
static inline v16 v16_set1(float x) { return _mm512_set1_ps(x); }
static inline v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
static inline v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
static inline v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
static inline v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
static inline v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
static inline v16 v16_abs(v16 a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
static inline v16 v16_neg(v16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
static inline v16 v16_copysign(v16 a, v16 b) {
    return _mm512_or_ps(v16_abs(a), _mm512_and_ps(b, _mm512_set1_ps(-0.0f)));
}
static inline v16m v16_lt(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline v16m v16_is_nan(v16 a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
static inline v16 v16_select(v16m m, v16 a, v16 b) { return _mm512_mask_blend_ps(m, b, a); }
static inline v16 v16_scale2(v16 a, v16 n) { return _mm512_scalef_ps(a, n); }

static inline float v16_sum(v16 a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

static inline float v16_hmax(v16 a) {
    __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

static inline __m256i v16_load_16bit(const uint16_t *p) { return _mm256_loadu_si256((const __m256i_u *)p); }
static inline __m256i v16_load_16bit_n(const uint16_t *p, int64_t n) {
    return _mm256_maskz_loadu_epi16(v16m_first(n), p);
}
static inline v16 v16_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(v16_load_16bit(p)); }
static inline v16 v16_load_f16_n(const uint16_t *p, int64_t n) { return _mm512_cvtph_ps(v16_load_16bit_n(p, n)); }
static inline __m256i v16_to_f16(v16 a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline void v16_store_f16(uint16_t *p, v16 a) { _mm256_storeu_si256((__m256i_u *)p, v16_to_f16(a)); }
static inline void v16_store_f16_n(uint16_t *p, v16 a, int64_t n) {
    _mm256_mask_storeu_epi16(p, v16m_first(n), v16_to_f16(a));
}

static inline v16 v16_from_bf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
static inline v16 v16_load_bf16(const uint16_t *p) { return v16_from_bf16(v16_load_16bit(p)); }
static inline v16 v16_load_bf16_n(const uint16_t *p, int64_t n) { return v16_from_bf16(v16_load_16bit_n(p, n)); }
static inline __m256i v16_to_bf16(v16 a) {
    __m512i u = _mm512_castps_si512(a), high = _mm512_srli_epi32(u, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i near = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    __m512i nan = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(v16_is_nan(a), near, nan));
}
static inline void v16_store_bf16(uint16_t *p, v16 a) { _mm256_storeu_si256((__m256i_u *)p, v16_to_bf16(a)); }
static inline void v16_store_bf16_n(uint16_t *p, v16 a, int64_t n) {
    _mm256_mask_storeu_epi16(p, v16m_first(n), v16_to_bf16(a));
}

static inline v16 v16_from_i32(v16i a) { return _mm512_cvtepi32_ps(a); }
static inline v16i v16_round(v16 a) {
    return _mm512_cvt_roundps_epi32(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline v16 v16_load_i8(const int8_t *p) { return v16_from_i32(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u *)p))); }
static inline v16 v16_set1_f16(const uint16_t *p) { return _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(*p))); }
static inline v16i v16i_add(v16i a, v16i b) { return _mm512_add_epi32(a, b); }
static inline int32_t v16i_sum(v16i a) { return _mm512_reduce_add_epi32(a); }
static inline void v16i_store_i8(int8_t *p, v16i a) { _mm_storeu_si128((__m128i_u *)p, _mm512_cvtepi32_epi8(a)); }

static inline v16i v16i_set1(int32_t x) { return _mm512_set1_epi32(x); }
static inline v16i v16i_pair(v16i low, v16i high) { return _mm512_or_si512(low, _mm512_slli_epi32(high, 16)); }
static inline v16i v16i_dot_pairs(v16i a, const int16_t *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm512_madd_epi16(a, _mm512_set1_epi32(pair));
}

static inline v16w v16w_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
static inline v16w v16w_load_pairs(const uint8_t *p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)p));
}
static inline v16w v16w_bits(v16w w, int shift, int mask) {
    w = shift < 0 ? _mm512_slli_epi16(w, (unsigned)-shift) : _mm512_srli_epi16(w, (unsigned)shift);
    return _mm512_and_si512(w, _mm512_set1_epi8((char)mask));
}
static inline v16w v16w_low(v16w w) { return v16w_bits(w, 0, 15); }
static inline v16w v16w_high(v16w w) { return v16w_bits(w, 4, 15); }
static inline v16w v16w_or(v16w a, v16w b) { return _mm512_or_si512(a, b); }
static inline v16w v16w_lookup(const uint8_t *table, v16w w) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i_u *)table)), w);
}
static inline v16i v16w_number(v16w w, int shift, int mask) {
    return _mm512_and_si512(_mm512_srli_epi32(w, (unsigned)shift), _mm512_set1_epi32(mask));
}
static inline v16i v16i_dot(v16i acc, v16w w, const int8_t *x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(four));
}

static inline v16i v16i_times(int32_t nsum, int offset) {
    return offset ? _mm512_slli_epi32(_mm512_set1_epi32(nsum), (unsigned)__builtin_ctz((unsigned)offset)) : v16i_set1(0);
}
static inline v16q4 v16q4_start(int32_t nsum, int offset) { return v16i_times(nsum, offset); }
static inline v16q4 v16q4_dot(v16q4 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q4_end(v16q4 acc, int32_t nsum, int offset) { return (void)nsum, (void)offset, acc; }
static inline v16q6 v16q6_start(int32_t nsum, int offset) { return v16i_times(nsum, offset); }
static inline v16q6 v16q6_dot(v16q6 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q6_end(v16q6 acc) { return acc; }
static inline v16q8 v16q8_start(int32_t nsum) { return v16i_times(nsum, 128); }
static inline v16q8 v16q8_dot(v16q8 acc, v16w w, const int8_t *x) { return v16i_dot(acc, w, x); }
static inline v16i v16q8_end(v16q8 acc) { return acc; }
#endif
