/* Sixteen lanes in four quarters with NEON and its dot products (Armv8.2). See scalar/simd.h for what the functions mean. */
#ifndef GG_SIMD_H
#define GG_SIMD_H
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

enum { GG_FLOAT_COLS = 6, GG_FLOAT_SUMS = 6, GG_INT_COLS = 4, GG_INT_SUMS = 4,
       GG_ATTN_Q = 4, GG_ATTN_HALVES = 1, GG_ATTN_V = 1 };

typedef float32x4x4_t v16;
typedef int32x4x4_t v16i;
typedef uint8x16x4_t v16w;
typedef uint32x4x4_t v16m; /* all bits of a true lane are set */
typedef v16i v16q4;
typedef v16i v16q6;
typedef v16i v16q8;

/* A result of a type, quarter by quarter. */
#define GG_QUARTERS(type, expr)                                                                                          \
    type r;                                                                                                              \
    for (int i = 0; i < 4; i++)                                                                                          \
        r.val[i] = expr;                                                                                                 \
    return r

static inline v16 v16_load(const float *p) { GG_QUARTERS(v16, vld1q_f32(p + 4 * i)); }
static inline void v16_store(float *p, v16 x) {
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, x.val[i]);
}
static inline v16 v16_load_n(const float *p, int64_t n) {
    float lanes[16] = {0};
    memcpy(lanes, p, (size_t)n * sizeof *p);
    return v16_load(lanes);
}
static inline void v16_store_n(float *p, v16 x, int64_t n) {
    float lanes[16];
    v16_store(lanes, x);
    memcpy(p, lanes, (size_t)n * sizeof *p);
}

static inline v16 v16_set1(float x) { GG_QUARTERS(v16, vdupq_n_f32(x)); }
static inline v16 v16_add(v16 x, v16 y) { GG_QUARTERS(v16, vaddq_f32(x.val[i], y.val[i])); }
static inline v16 v16_sub(v16 x, v16 y) { GG_QUARTERS(v16, vsubq_f32(x.val[i], y.val[i])); }
static inline v16 v16_mul(v16 x, v16 y) { GG_QUARTERS(v16, vmulq_f32(x.val[i], y.val[i])); }
static inline v16 v16_div(v16 x, v16 y) { GG_QUARTERS(v16, vdivq_f32(x.val[i], y.val[i])); }
static inline v16 v16_fma(v16 x, v16 y, v16 z) { GG_QUARTERS(v16, vfmaq_f32(z.val[i], x.val[i], y.val[i])); }
static inline v16 v16_sqrt(v16 x) { GG_QUARTERS(v16, vsqrtq_f32(x.val[i])); }
static inline v16 v16_abs(v16 x) { GG_QUARTERS(v16, vabsq_f32(x.val[i])); }
static inline v16 v16_neg(v16 x) { GG_QUARTERS(v16, vnegq_f32(x.val[i])); }
static inline v16m v16_lt(v16 x, v16 y) { GG_QUARTERS(v16m, vcltq_f32(x.val[i], y.val[i])); }
static inline v16 v16_select(v16m m, v16 x, v16 y) { GG_QUARTERS(v16, vbslq_f32(m.val[i], x.val[i], y.val[i])); }
/* Not vminq and vmaxq: those treat NaN and zeros of two signs in another way. */
static inline v16 v16_min(v16 x, v16 y) { return v16_select(v16_lt(x, y), x, y); }
static inline v16 v16_max(v16 x, v16 y) { return v16_select(v16_lt(y, x), x, y); }
static inline v16 v16_copysign(v16 x, v16 y) {
    GG_QUARTERS(v16, vbslq_f32(vdupq_n_u32(0x80000000), y.val[i], x.val[i]));
}
static inline v16m v16_is_nan(v16 x) { GG_QUARTERS(v16m, vmvnq_u32(vceqq_f32(x.val[i], x.val[i]))); }
static inline v16m v16m_or(v16m x, v16m y) { GG_QUARTERS(v16m, vorrq_u32(x.val[i], y.val[i])); }
static inline int v16m_any(v16m x) {
    return vmaxvq_u32(vorrq_u32(vorrq_u32(x.val[0], x.val[1]), vorrq_u32(x.val[2], x.val[3]))) != 0;
}
static inline v16m v16m_first(int64_t n) {
    static const int32_t lanes[4] = {0, 1, 2, 3};
    GG_QUARTERS(v16m, vcgtq_s32(vdupq_n_s32((int)n - 4 * i), vld1q_s32(lanes)));
}

static inline v16i v16_round(v16 x) { GG_QUARTERS(v16i, vcvtnq_s32_f32(x.val[i])); }
static inline v16 v16_from_i32(v16i x) { GG_QUARTERS(v16, vcvtq_f32_s32(x.val[i])); }
static inline v16 v16_load_i8(const int8_t *p) {
    int8x16_t x = vld1q_s8(p);
    int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
    return v16_from_i32((v16i){{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)),
                                vmovl_s16(vget_low_s16(high)), vmovl_s16(vget_high_s16(high))}});
}
static inline v16 v16_set1_f16(const uint16_t *p) {
    float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(*p)));
    return (v16){{x, x, x, x}};
}
static inline v16i v16i_set1(int32_t x) { GG_QUARTERS(v16i, vdupq_n_s32(x)); }
static inline v16i v16i_add(v16i x, v16i y) { GG_QUARTERS(v16i, vaddq_s32(x.val[i], y.val[i])); }
static inline int32_t v16i_sum(v16i x) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(x.val[0], x.val[1]), vaddq_s32(x.val[2], x.val[3])));
}

/* In two steps, of which the first is exact, since 2^n may be no float. */
static inline float32x4_t v16_scale2_quarter(float32x4_t x, int32x4_t e) {
    int32x4_t part = vshrq_n_s32(e, 1), bias = vdupq_n_s32(127);
    int32x4_t low = vshlq_n_s32(vaddq_s32(bias, part), 23);
    int32x4_t high = vshlq_n_s32(vaddq_s32(bias, vsubq_s32(e, part)), 23);
    return vmulq_f32(vmulq_f32(x, vreinterpretq_f32_s32(low)), vreinterpretq_f32_s32(high));
}
static inline v16 v16_scale2(v16 x, v16 n) {
    v16i e = v16_round(n);
    GG_QUARTERS(v16, v16_scale2_quarter(x.val[i], e.val[i]));
}

static inline float v16_sum(v16 x) {
    float32x4_t b = vaddq_f32(vaddq_f32(x.val[0], x.val[2]), vaddq_f32(x.val[1], x.val[3]));
    float32x2_t c = vadd_f32(vget_low_f32(b), vget_high_f32(b));
    return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
}
static inline float v16_hmax(v16 x) {
    float lanes[16];
    v16_store(lanes, x);
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++)
            lanes[i] = lanes[i] > lanes[i + h] ? lanes[i] : lanes[i + h];
    return lanes[0];
}

static inline v16 v16_load_f16(const uint16_t *p) {
    GG_QUARTERS(v16, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
static inline void v16_store_f16(uint16_t *p, v16 x) {
    for (int i = 0; i < 4; i++)
        vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.val[i])));
}
static inline v16 v16_load_bf16(const uint16_t *p) {
    GG_QUARTERS(v16, vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
static inline void v16_store_bf16(uint16_t *p, v16 x) {
    v16m nan = v16_is_nan(x);
    for (int i = 0; i < 4; i++) {
        uint32x4_t u = vreinterpretq_u32_f32(x.val[i]), high = vshrq_n_u32(u, 16);
        uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
        uint32x4_t near = vshrq_n_u32(vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16);
        vst1_u16(p + 4 * i, vmovn_u32(vbslq_u32(nan.val[i], vorrq_u32(high, vdupq_n_u32(0x40)), near)));
    }
}
#define GG_16BIT_N(name)                                                                                                \
    static inline v16 v16_load_##name##_n(const uint16_t *p, int64_t n) {                                                \
        uint16_t lanes[16] = {0};                                                                                        \
        memcpy(lanes, p, (size_t)n * sizeof *p);                                                                         \
        return v16_load_##name(lanes);                                                                                   \
    }                                                                                                                    \
    static inline void v16_store_##name##_n(uint16_t *p, v16 x, int64_t n) {                                             \
        uint16_t lanes[16];                                                                                              \
        v16_store_##name(lanes, x);                                                                                      \
        memcpy(p, lanes, (size_t)n * sizeof *p);                                                                         \
    }
GG_16BIT_N(f16)
GG_16BIT_N(bf16)
#undef GG_16BIT_N

static inline void v16i_store_i8(int8_t *p, v16i x) {
    int16x8_t a = vcombine_s16(vmovn_s32(x.val[0]), vmovn_s32(x.val[1]));
    int16x8_t b = vcombine_s16(vmovn_s32(x.val[2]), vmovn_s32(x.val[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
}

static inline v16i v16i_pair(v16i low, v16i high) {
    GG_QUARTERS(v16i, vorrq_s32(low.val[i], vshlq_n_s32(high.val[i], 16)));
}
static inline v16i v16i_dot_pairs(v16i a, const int16_t *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    int16x4_t both = vreinterpret_s16_s32(vdup_n_s32(pair));
    GG_QUARTERS(v16i, vpaddq_s32(vmull_s16(vget_low_s16(vreinterpretq_s16_s32(a.val[i])), both),
                                 vmull_s16(vget_high_s16(vreinterpretq_s16_s32(a.val[i])), both)));
}

static inline v16w v16w_load(const uint8_t *p) { GG_QUARTERS(v16w, vld1q_u8(p + 16 * i)); }
static inline v16w v16w_load_pairs(const uint8_t *p) {
    GG_QUARTERS(v16w, vreinterpretq_u8_u32(vmovl_u16(vreinterpret_u16_u8(vld1_u8(p + 8 * i)))));
}
static inline v16w v16w_bits(v16w w, int shift, int mask) {
    GG_QUARTERS(v16w, vandq_u8(vshlq_u8(w.val[i], vdupq_n_s8((int8_t)-shift)), vdupq_n_u8((uint8_t)mask)));
}
static inline v16w v16w_low(v16w w) { GG_QUARTERS(v16w, vandq_u8(w.val[i], vdupq_n_u8(15))); }
static inline v16w v16w_high(v16w w) { GG_QUARTERS(v16w, vshrq_n_u8(w.val[i], 4)); }
static inline v16w v16w_or(v16w x, v16w y) { GG_QUARTERS(v16w, vorrq_u8(x.val[i], y.val[i])); }
static inline v16w v16w_lookup(const uint8_t *table, v16w w) {
    uint8x16_t t = vld1q_u8(table);
    GG_QUARTERS(v16w, vqtbl1q_u8(t, w.val[i]));
}
static inline v16i v16w_number(v16w w, int shift, int mask) {
    GG_QUARTERS(v16i, vreinterpretq_s32_u32(vandq_u32(vshlq_u32(vreinterpretq_u32_u8(w.val[i]), vdupq_n_s32(-shift)),
                                                      vdupq_n_u32((uint32_t)mask))));
}
static inline int8x16_t v16_four(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

static inline v16q4 v16q4_start(int32_t nsum, int offset) { return v16i_set1(offset * nsum); }
static inline v16q4 v16q4_dot(v16q4 acc, v16w w, const int8_t *x) {
    int8x16_t four = v16_four(x);
    GG_QUARTERS(v16q4, vdotq_s32(acc.val[i], vreinterpretq_s8_u8(w.val[i]), four));
}
static inline v16i v16q4_end(v16q4 acc, int32_t nsum, int offset) { return (void)nsum, (void)offset, acc; }
static inline v16q6 v16q6_start(int32_t nsum, int offset) { return v16i_set1(offset * nsum); }
static inline v16q6 v16q6_dot(v16q6 acc, v16w w, const int8_t *x) { return v16q4_dot(acc, w, x); }
static inline v16i v16q6_end(v16q6 acc) { return acc; }

/* Both factors of a product are signed here, so the offset is taken off the weights. */
static inline v16q8 v16q8_start(int32_t nsum) { return (void)nsum, v16i_set1(0); }
static inline v16q8 v16q8_dot(v16q8 acc, v16w w, const int8_t *x) {
    int8x16_t four = v16_four(x);
    GG_QUARTERS(v16q8, vdotq_s32(acc.val[i], vreinterpretq_s8_u8(veorq_u8(w.val[i], vdupq_n_u8(128))), four));
}
static inline v16i v16q8_end(v16q8 acc) { return acc; }

#undef GG_QUARTERS
#endif
