/* 16-bit floats in plain C, with the bits that the processors' own conversions give. */
#ifndef GG_F16_H
#define GG_F16_H
#include <stdint.h>
#include <string.h>

#include "base/exact_math.h"

static inline uint32_t gg_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float gg_from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float gg_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest > 0x7c00) /* NaN, made quiet */
        return gg_from_bits(sign | 0x7fc00000 | rest << 13);
    if (rest == 0x7c00)
        return gg_from_bits(sign | 0x7f800000);
    /* The bits moved to their place are 2^-112 times the value, denormal ones included. */
    return gg_from_bits(gg_bits(gg_from_bits(rest << 13) * 0x1p112f) | sign);
}

/* To nearest even. */
static inline uint16_t gg_f32_to_f16(float x) {
    uint32_t u = gg_bits(x), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
    if (rest > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    if (rest >= 0x477ff000) /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (rest < 0x38800000) /* below 2^-14: added to 0.5, the sum's last place is the denormals' 2^-24 */
        return (uint16_t)(sign | (gg_bits(gg_from_bits(rest) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (((rest + 0xfff + (rest >> 13 & 1)) >> 13) - (112 << 10)));
}

static inline float gg_bf16_to_f32(uint16_t h) { return gg_from_bits((uint32_t)h << 16); }

/* To nearest even; a NaN stays one. */
static inline uint16_t gg_f32_to_bf16(float x) {
    uint32_t u = gg_bits(x);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
#endif
