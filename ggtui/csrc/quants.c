/* The codecs of the tensor types; quants_k.c has those of the K and IQ4 types. These give the bytes that ggml gives. */
#include <math.h>
#include <string.h>

#include "cpu/kernels/half.h"
#include "internal.h"
#include "quants.h"

/* The numbers in a block of nibbles, and of fifth bits where there are any. */
static void get_places(uint8_t q[GG_BLOCK], const uint8_t *qs, const uint8_t *qh) {
    memset(q, 0, GG_BLOCK);
    gg_get_fields(q, GG_BLOCK, 0, qs, 4, GG_BLOCK / 2);
    if (qh) {
        gg_get_fields(q, GG_BLOCK, 4, qh, 1, 1);
    }
}

static void put_places(uint8_t *qs, uint8_t *qh, const uint8_t q[GG_BLOCK]) {
    memset(qs, 0, GG_BLOCK / 2);
    gg_put_fields(qs, 4, GG_BLOCK / 2, q, GG_BLOCK, 0);
    if (qh) {
        memset(qh, 0, GG_BLOCK / 8);
        gg_put_fields(qh, 1, 1, q, GG_BLOCK, 4);
    }
}

/* d * (q - middle) */
static void scaled(float *y, float d, int middle, const uint8_t *qs, const uint8_t *qh) {
    uint8_t q[GG_BLOCK];
    get_places(q, qs, qh);
    for (int i = 0; i < GG_BLOCK; i++) {
        y[i] = d * (float)(q[i] - middle);
    }
}

/* d * q + m */
static void affine(float *y, float d, float m, const uint8_t *qs, const uint8_t *qh) {
    uint8_t q[GG_BLOCK];
    get_places(q, qs, qh);
    for (int i = 0; i < GG_BLOCK; i++) {
        y[i] = d * (float)q[i] + m;
    }
}

static void dequantize_q4_0(int64_t n, const gg_block_q4_0 *x, float *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        scaled(y + b * GG_BLOCK, gg_f16_to_f32(x->d), 8, x->qs, NULL);
    }
}

static void dequantize_q4_1(int64_t n, const gg_block_q4_1 *x, float *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        affine(y + b * GG_BLOCK, gg_f16_to_f32(x->d), gg_f16_to_f32(x->m), x->qs, NULL);
    }
}

static void dequantize_q5_0(int64_t n, const gg_block_q5_0 *x, float *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        scaled(y + b * GG_BLOCK, gg_f16_to_f32(x->d), 16, x->qs, x->qh);
    }
}

static void dequantize_q5_1(int64_t n, const gg_block_q5_1 *x, float *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        affine(y + b * GG_BLOCK, gg_f16_to_f32(x->d), gg_f16_to_f32(x->m), x->qs, x->qh);
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

static int too_large(int type, int64_t block) {
    const gg_type_info *info = gg_type_info_of(type);
    const long long first = (long long)block * info->block, last = first + info->block - 1;
    return gg_fail(GG_FAILED, "%s: values %lld to %lld are NaN, infinite or too large", info->name, first, last);
}

/* The largest value at place 0, 0 in the middle. Returns false where the scale is no f16. */
static bool from_extreme(const float *x, int middle, gg_half *d16, uint8_t q[GG_BLOCK]) {
    const float d = largest(x) / (float)-middle, id = inverse(d);
    if (!fits_f16(d)) {
        return false;
    }
    *d16 = gg_f32_to_f16(d);
    for (int i = 0; i < GG_BLOCK; i++) {
        const int place = (int)(x[i] * id + ((float)middle + 0.5f));
        q[i] = (uint8_t)(place < 2 * middle ? place : 2 * middle - 1);
    }
    return true;
}

/* The least value at place 0, the greatest at `last`. Returns false where a scale is no f16. */
static bool from_least(const float *x, int last, gg_half *d16, gg_half *m16, uint8_t q[GG_BLOCK]) {
    if (!isfinite(largest(x))) {
        return false;
    }
    float m = x[0], max = x[0];
    for (int i = 1; i < GG_BLOCK; i++) {
        m = x[i] < m ? x[i] : m, max = x[i] > max ? x[i] : max;
    }
    const float d = (max - m) / (float)last, id = inverse(d);
    if (!fits_f16(d) || !fits_f16(m)) {
        return false;
    }
    *d16 = gg_f32_to_f16(d), *m16 = gg_f32_to_f16(m);
    for (int i = 0; i < GG_BLOCK; i++) {
        const int place = (int)((x[i] - m) * id + 0.5f);
        q[i] = (uint8_t)(place < last ? place : last);
    }
    return true;
}

static int quantize_q4_0(int64_t n, const float *x, gg_block_q4_0 *y) {
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_extreme(x + b * GG_BLOCK, 8, &y->d, q)) {
            return too_large(GG_TYPE_Q4_0, b);
        }
        put_places(y->qs, NULL, q);
    }
    return GG_OK;
}

static int quantize_q4_1(int64_t n, const float *x, gg_block_q4_1 *y) {
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_least(x + b * GG_BLOCK, 15, &y->d, &y->m, q)) {
            return too_large(GG_TYPE_Q4_1, b);
        }
        put_places(y->qs, NULL, q);
    }
    return GG_OK;
}

static int quantize_q5_0(int64_t n, const float *x, gg_block_q5_0 *y) {
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_extreme(x + b * GG_BLOCK, 16, &y->d, q)) {
            return too_large(GG_TYPE_Q5_0, b);
        }
        put_places(y->qs, y->qh, q);
    }
    return GG_OK;
}

static int quantize_q5_1(int64_t n, const float *x, gg_block_q5_1 *y) {
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_least(x + b * GG_BLOCK, 31, &y->d, &y->m, q)) {
            return too_large(GG_TYPE_Q5_1, b);
        }
        put_places(y->qs, y->qh, q);
    }
    return GG_OK;
}

static int quantize_q8_0(int64_t n, const float *x, gg_block_q8_0 *y) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x += GG_BLOCK) {
        const float d = fabsf(largest(x)) / 127, id = inverse(d);
        if (!fits_f16(d)) {
            return too_large(GG_TYPE_Q8_0, b);
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
    const gg_half *halves = src;
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
    case GG_TYPE_Q4_1:
        dequantize_q4_1(n, src, dst);
        return GG_OK;
    case GG_TYPE_Q5_0:
        dequantize_q5_0(n, src, dst);
        return GG_OK;
    case GG_TYPE_Q5_1:
        dequantize_q5_1(n, src, dst);
        return GG_OK;
    case GG_TYPE_Q8_0:
        dequantize_q8_0(n, src, dst);
        return GG_OK;
    default:
        return gg_dequantize_k(type, n, src, dst) ? GG_OK : refuse("dequantize", type);
    }
}

int gg_quantize(int type, int64_t n, const float *src, void *dst) {
    gg_half *halves = dst;
    int64_t bad;
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
    case GG_TYPE_Q4_1:
        return quantize_q4_1(n, src, dst);
    case GG_TYPE_Q5_0:
        return quantize_q5_0(n, src, dst);
    case GG_TYPE_Q5_1:
        return quantize_q5_1(n, src, dst);
    case GG_TYPE_Q8_0:
        return quantize_q8_0(n, src, dst);
    default:
        if (!gg_quantize_k(type, n, src, dst, &bad)) {
            return refuse("quantize", type);
        }
        return bad < 0 ? GG_OK : too_large(type, bad);
    }
}
