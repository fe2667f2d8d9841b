/* The codecs of the tensor types, value by value. They give the bytes that ggml gives. */
#include <math.h>
#include <string.h>

#include "cpu/kernels/half.h"
#include "internal.h"
#include "quants.h"

static void dequantize_q4_0(int64_t n, const gg_block_q4_0 *x, float *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y += GG_BLOCK) {
        const float d = gg_f16_to_f32(x[b].d);
        for (int i = 0; i < GG_BLOCK / 2; i++) {
            y[i] = d * (float)((x[b].qs[i] & 15) - 8);
            y[i + GG_BLOCK / 2] = d * (float)((x[b].qs[i] >> 4) - 8);
        }
    }
}

static void dequantize_q8_0(int64_t n, const gg_block_q8_0 *x, float *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y += GG_BLOCK) {
        const float d = gg_f16_to_f32(x[b].d);
        for (int i = 0; i < GG_BLOCK; i++) {
            y[i] = d * (float)x[b].qs[i];
        }
    }
}

/* The value of largest magnitude, the first of several, with its sign. NaN and infinity come out as infinity. */
static float largest(const float *x) {
    float max = x[0];
    for (int i = 0; i < GG_BLOCK; i++) {
        if (!isfinite(x[i])) {
            return INFINITY;
        }
        if (fabsf(x[i]) > fabsf(max)) {
            max = x[i];
        }
    }
    return max;
}

/* 1 / d, and 0 where d is 0 or so small that 1 / d is no float: such a block's scale is 0 in f16 too. */
static float inverse(float d) {
    const float id = 1.0f / d;
    return isfinite(id) ? id : 0.0f;
}

/* Where the scale of x is no f16: NaN, infinity, or values too large. */
static bool fits_f16(float d) { return fabsf(d) < 65520.0f; }

static int too_large(const char *type, int64_t block) {
    return gg_fail(GG_FAILED, "%s: values %lld to %lld are NaN, infinite or too large", type,
                   (long long)block * GG_BLOCK, (long long)block * GG_BLOCK + GG_BLOCK - 1);
}

static int quantize_q4_0(int64_t n, const float *x, gg_block_q4_0 *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x += GG_BLOCK) {
        const float d = largest(x) / -8, id = inverse(d);
        if (!fits_f16(d)) {
            return too_large("q4_0", b);
        }
        y[b].d = gg_f32_to_f16(d);
        for (int i = 0; i < GG_BLOCK / 2; i++) {
            const int low = (int)(x[i] * id + 8.5f), high = (int)(x[i + GG_BLOCK / 2] * id + 8.5f);
            y[b].qs[i] = (uint8_t)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
        }
    }
    return GG_OK;
}

static int quantize_q8_0(int64_t n, const float *x, gg_block_q8_0 *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x += GG_BLOCK) {
        const float d = fabsf(largest(x)) / 127, id = inverse(d);
        if (!fits_f16(d)) {
            return too_large("q8_0", b);
        }
        y[b].d = gg_f32_to_f16(d);
        for (int i = 0; i < GG_BLOCK; i++) {
            y[b].qs[i] = (int8_t)roundf(x[i] * id);
        }
    }
    return GG_OK;
}

static int refuse(const char *what, int type) {
    const gg_type_info *info = gg_type_info_of(type);
    return info ? gg_fail(GG_FAILED, "%s: not possible for type %s", what, info->name)
                : gg_fail(GG_FAILED, "%s: unknown type %d", what, type);
}

int gg_dequantize(int type, int64_t n, const void *src, float *dst) {
    const uint16_t *halves = src;
    switch (type) {
    case GG_TYPE_F32:
        memcpy(dst, src, (size_t)n * sizeof(float));
        return GG_OK;
    case GG_TYPE_F16:
        for (int64_t i = 0; i < n; i++) {
            dst[i] = gg_f16_to_f32(halves[i]);
        }
        return GG_OK;
    case GG_TYPE_BF16:
        for (int64_t i = 0; i < n; i++) {
            dst[i] = gg_bf16_to_f32(halves[i]);
        }
        return GG_OK;
    case GG_TYPE_Q4_0:
        dequantize_q4_0(n, src, dst);
        return GG_OK;
    case GG_TYPE_Q8_0:
        dequantize_q8_0(n, src, dst);
        return GG_OK;
    default:
        return refuse("dequantize", type);
    }
}

int gg_quantize(int type, int64_t n, const float *src, void *dst) {
    uint16_t *halves = dst;
    switch (type) {
    case GG_TYPE_F32:
        memcpy(dst, src, (size_t)n * sizeof(float));
        return GG_OK;
    case GG_TYPE_F16:
        for (int64_t i = 0; i < n; i++) {
            halves[i] = gg_f32_to_f16(src[i]);
        }
        return GG_OK;
    case GG_TYPE_BF16:
        for (int64_t i = 0; i < n; i++) {
            halves[i] = gg_f32_to_bf16(src[i]);
        }
        return GG_OK;
    case GG_TYPE_Q4_0:
        return quantize_q4_0(n, src, dst);
    case GG_TYPE_Q8_0:
        return quantize_q8_0(n, src, dst);
    default:
        return refuse("quantize", type);
    }
}
