/* The codecs of the types in blocks of 32: the bytes that ggml gives. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "codec/blocks.h"
#include "codec/codec.h"
#include "codec/f16.h"

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

static void read_q4_0(int64_t n, const void *src, float *y) {
    const gg_block_q4_0 *x = src;
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        scaled(y + b * GG_BLOCK, gg_f16_to_f32(x->d), 8, x->qs, NULL);
    }
}

static void read_q4_1(int64_t n, const void *src, float *y) {
    const gg_block_q4_1 *x = src;
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        affine(y + b * GG_BLOCK, gg_f16_to_f32(x->d), gg_f16_to_f32(x->m), x->qs, NULL);
    }
}

static void read_q5_0(int64_t n, const void *src, float *y) {
    const gg_block_q5_0 *x = src;
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        scaled(y + b * GG_BLOCK, gg_f16_to_f32(x->d), 16, x->qs, x->qh);
    }
}

static void read_q5_1(int64_t n, const void *src, float *y) {
    const gg_block_q5_1 *x = src;
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x++) {
        affine(y + b * GG_BLOCK, gg_f16_to_f32(x->d), gg_f16_to_f32(x->m), x->qs, x->qh);
    }
}

static void read_q8_0(int64_t n, const void *src, float *y) {
    const gg_block_q8_0 *x = src;
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

/* The largest value at place 0, 0 in the middle. Returns false where the scale is no f16. */
static bool from_extreme(const float *x, int middle, gg_f16 *d16, uint8_t q[GG_BLOCK]) {
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
static bool from_least(const float *x, int last, gg_f16 *d16, gg_f16 *m16, uint8_t q[GG_BLOCK]) {
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

static int64_t write_q4_0(int64_t n, const float *x, void *dst) {
    gg_block_q4_0 *y = dst;
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_extreme(x + b * GG_BLOCK, 8, &y->d, q)) {
            return b;
        }
        put_places(y->qs, NULL, q);
    }
    return -1;
}

static int64_t write_q4_1(int64_t n, const float *x, void *dst) {
    gg_block_q4_1 *y = dst;
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_least(x + b * GG_BLOCK, 15, &y->d, &y->m, q)) {
            return b;
        }
        put_places(y->qs, NULL, q);
    }
    return -1;
}

static int64_t write_q5_0(int64_t n, const float *x, void *dst) {
    gg_block_q5_0 *y = dst;
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_extreme(x + b * GG_BLOCK, 16, &y->d, q)) {
            return b;
        }
        put_places(y->qs, y->qh, q);
    }
    return -1;
}

static int64_t write_q5_1(int64_t n, const float *x, void *dst) {
    gg_block_q5_1 *y = dst;
    uint8_t q[GG_BLOCK];
    for (int64_t b = 0; b < n / GG_BLOCK; b++, y++) {
        if (!from_least(x + b * GG_BLOCK, 31, &y->d, &y->m, q)) {
            return b;
        }
        put_places(y->qs, y->qh, q);
    }
    return -1;
}

static int64_t write_q8_0(int64_t n, const float *x, void *dst) {
    gg_block_q8_0 *y = dst;
    for (int64_t b = 0; b < n / GG_BLOCK; b++, x += GG_BLOCK) {
        const float d = fabsf(largest(x)) / 127, id = inverse(d);
        if (!fits_f16(d)) {
            return b;
        }
        y[b].d = gg_f32_to_f16(d);
        for (int i = 0; i < GG_BLOCK; i++) {
            y[b].qs[i] = (int8_t)roundf(x[i] * id);
        }
    }
    return -1;
}

#define CODEC(name) const gg_codec gg_codec_##name = {read_##name, write_##name};
CODEC(q4_0)
CODEC(q4_1)
CODEC(q5_0)
CODEC(q5_1)
CODEC(q8_0)
