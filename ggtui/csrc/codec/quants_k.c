/* The codecs of the K and IQ4 types: core/quants_k.py in C, to the bit. */
#include "codec/codec.h"
#include "codec/quant_fit.h"

/* ---- reading ---- */

/* y = d * (s - s_middle) * (q - q_middle) - dmin * m, in blocks of n */
GG_FIT void spread(const super *x, int n, int s_middle, int q_middle, float *y) {
    for (int b = 0; b < GG_SUPER / n; b++) {
        const float scale = x->d * (float)(x->s[b] - s_middle);
        for (int i = b * n; i < (b + 1) * n; i++) {
            y[i] = scale * (float)(x->q[i] - q_middle);
        }
    }
}

GG_FIT void spread_affine(const super *x, int n, float *y) {
    for (int b = 0; b < GG_SUPER / n; b++) {
        const float scale = x->d * (float)x->s[b], minimum = x->dmin * (float)x->m[b];
        for (int i = b * n; i < (b + 1) * n; i++) {
            y[i] = scale * (float)x->q[i] - minimum;
        }
    }
}

/* 8 scales and 8 minimums of 6 bits in 12 bytes */
static void get_scales(super *x, const uint8_t *b) {
    for (int i = 0; i < 4; i++) {
        x->s[i] = b[i] & 63, x->s[i + 4] = (uint8_t)((b[i + 8] & 15) | b[i] >> 6 << 4);
        x->m[i] = b[i + 4] & 63, x->m[i + 4] = (uint8_t)(b[i + 8] >> 4 | b[i + 4] >> 6 << 4);
    }
}

static void put_scales(uint8_t *b, const super *x) {
    for (int i = 0; i < 4; i++) {
        b[i] = (uint8_t)(x->s[i] | x->s[i + 4] >> 4 << 6);
        b[i + 4] = (uint8_t)(x->m[i] | x->m[i + 4] >> 4 << 6);
        b[i + 8] = (uint8_t)((x->s[i + 4] & 15) | x->m[i + 4] << 4);
    }
}

static void read_q2_k(const gg_block_q2_k *b, float *y) {
    super x = {.d = gg_f16_to_f32(b->d), .dmin = gg_f16_to_f32(b->dmin)};
    for (int i = 0; i < GG_SUPER / 16; i++) {
        x.s[i] = b->scales[i] & 15, x.m[i] = b->scales[i] >> 4;
    }
    gg_get_fields(x.q, GG_SUPER, 0, b->qs, 2, 32);
    spread_affine(&x, 16, y);
}

static void read_q3_k(const gg_block_q3_k *b, float *y) {
    super x = {.d = gg_f16_to_f32(b->d)};
    gg_get_fields(x.s, 16, 0, b->scales, 4, 8);
    gg_get_fields(x.s, 16, 4, b->scales + 8, 2, 4);
    gg_get_fields(x.q, GG_SUPER, 0, b->qs, 2, 32);
    gg_get_fields(x.q, GG_SUPER, 2, b->hmask, 1, 32);
    spread(&x, 16, 32, 4, y);
}

static void read_q4_k(const gg_block_q4_k *b, float *y) {
    super x = {.d = gg_f16_to_f32(b->d), .dmin = gg_f16_to_f32(b->dmin)};
    get_scales(&x, b->scales);
    gg_get_fields(x.q, GG_SUPER, 0, b->qs, 4, 32);
    spread_affine(&x, 32, y);
}

static void read_q5_k(const gg_block_q5_k *b, float *y) {
    super x = {.d = gg_f16_to_f32(b->d), .dmin = gg_f16_to_f32(b->dmin)};
    get_scales(&x, b->scales);
    gg_get_fields(x.q, GG_SUPER, 0, b->qs, 4, 32);
    gg_get_fields(x.q, GG_SUPER, 4, b->qh, 1, 32);
    spread_affine(&x, 32, y);
}

static void read_q6_k(const gg_block_q6_k *b, float *y) {
    super x = {.d = gg_f16_to_f32(b->d)};
    for (int i = 0; i < GG_SUPER / 16; i++) {
        x.s[i] = (uint8_t)(b->scales[i] + 128);
    }
    gg_get_fields(x.q, GG_SUPER, 0, b->ql, 4, 64);
    gg_get_fields(x.q, GG_SUPER, 4, b->qh, 2, 32);
    spread(&x, 16, 128, 32, y);
}

static void read_iq4_nl(const gg_block_iq4_nl *b, float *y) {
    const float d = gg_f16_to_f32(b->d);
    uint8_t q[GG_BLOCK] = {0};
    gg_get_fields(q, GG_BLOCK, 0, b->qs, 4, 16);
    for (int i = 0; i < GG_BLOCK; i++) {
        y[i] = d * codebook[q[i]];
    }
}

static void read_iq4_xs(const gg_block_iq4_xs *b, float *y) {
    super x = {.d = gg_f16_to_f32(b->d)};
    gg_get_fields(x.s, 8, 0, b->scales_l, 4, 1);
    gg_get_fields(x.s, 8, 4, b->scales_h, 2, 1);
    gg_get_fields(x.q, GG_SUPER, 0, b->qs, 4, 16);
    for (int i = 0; i < GG_SUPER; i++) {
        y[i] = x.d * (float)(x.s[i / 32] - 32) * codebook[x.q[i]];
    }
}

/* ---- writing; false where a scale is no f16 number ---- */

static bool write_q2_k(const float *y, gg_block_q2_k *b) {
    super x;
    if (!fit_super_affine(y, 16, 3, 15, (gg_grids){-0.5, 0.1, 16}, 2, &x)) {
        return false;
    }
    *b = (gg_block_q2_k){.d = to_half(x.d), .dmin = to_half(x.dmin)};
    for (int i = 0; i < GG_SUPER / 16; i++) {
        b->scales[i] = (uint8_t)(x.s[i] | x.m[i] << 4);
    }
    gg_put_fields(b->qs, 2, 32, x.q, GG_SUPER, 0);
    return true;
}

static bool write_q3_k(const float *y, gg_block_q3_k *b) {
    super x;
    if (!fit_super_scale(y, 16, 4, 32, (gg_grids){-0.9, 0.1, 19}, 1, &x)) {
        return false;
    }
    *b = (gg_block_q3_k){.d = to_half(x.d)};
    gg_put_fields(b->scales, 4, 8, x.s, 16, 0);
    gg_put_fields(b->scales + 8, 2, 4, x.s, 16, 4);
    gg_put_fields(b->qs, 2, 32, x.q, GG_SUPER, 0);
    gg_put_fields(b->hmask, 1, 32, x.q, GG_SUPER, 2);
    return true;
}

static bool write_q4_k(const float *y, gg_block_q4_k *b) {
    super x;
    if (!fit_super_affine(y, 32, 15, 63, (gg_grids){-1.5, 0.1, 21}, 0, &x)) {
        return false;
    }
    *b = (gg_block_q4_k){.d = to_half(x.d), .dmin = to_half(x.dmin)};
    put_scales(b->scales, &x);
    gg_put_fields(b->qs, 4, 32, x.q, GG_SUPER, 0);
    return true;
}

static bool write_q5_k(const float *y, gg_block_q5_k *b) {
    super x;
    if (!fit_super_affine(y, 32, 31, 63, (gg_grids){-2.5, 0.2, 21}, 0, &x)) {
        return false;
    }
    *b = (gg_block_q5_k){.d = to_half(x.d), .dmin = to_half(x.dmin)};
    put_scales(b->scales, &x);
    gg_put_fields(b->qs, 4, 32, x.q, GG_SUPER, 0);
    gg_put_fields(b->qh, 1, 32, x.q, GG_SUPER, 4);
    return true;
}

static bool write_q6_k(const float *y, gg_block_q6_k *b) {
    super x;
    if (!fit_super_scale(y, 16, 32, 128, (gg_grids){-4.0, 0.2, 26}, 0, &x)) {
        return false;
    }
    *b = (gg_block_q6_k){.d = to_half(x.d)};
    for (int i = 0; i < GG_SUPER / 16; i++) {
        b->scales[i] = (int8_t)(x.s[i] - 128);
    }
    gg_put_fields(b->ql, 4, 64, x.q, GG_SUPER, 0);
    gg_put_fields(b->qh, 2, 32, x.q, GG_SUPER, 4);
    return true;
}

#define CODEBOOK_GRIDS (gg_grids){-28.0, 4.0, 10}

static bool write_iq4_xs(const float *y, gg_block_iq4_xs *b) {
    super x;
    if (!fit_super_scale(y, 32, 0, 32, CODEBOOK_GRIDS, 1, &x)) {
        return false;
    }
    *b = (gg_block_iq4_xs){.d = to_half(x.d)};
    gg_put_fields(b->scales_l, 4, 1, x.s, 8, 0);
    gg_put_fields(b->scales_h, 2, 1, x.s, 8, 4);
    gg_put_fields(b->qs, 4, 16, x.q, GG_SUPER, 0);
    return true;
}

/* Four blocks at a time, of which the last may be there in part: `lanes` of them. Returns how many are done. */
static int write_iq4_nl(const float *y, int lanes, gg_block_iq4_nl *b) {
    v4 x[GG_BLOCK], w[GG_BLOCK], q[GG_BLOCK];
    for (int i = 0; i < GG_BLOCK; i++) {
        for (int j = 0; j < 4; j++) {
            x[i][j] = j < lanes ? y[j * GG_BLOCK + i] : 0.0f;
        }
    }
    for (int j = 0; j < lanes; j++) {
        if (!fits_large(y + j * GG_BLOCK, GG_BLOCK)) {
            return j == 0 ? 0 : write_iq4_nl(y, j, b);
        }
    }
    importance(x, GG_BLOCK, 1, w);
    const v4 scale = fit_scale(x, w, GG_BLOCK, 0, CODEBOOK_GRIDS);
    v4 d;
    for (int j = 0; j < 4; j++) {
        d[j] = gg_f16_to_f32(to_half(scale[j]));
    }
    for (int fit = 0; fit < GG_REFITS; fit++) {
        const v4 inverse = v4_inverse(d);
        v4 qq = v4_set1(0.0f), qx = qq;
        for (int i = 0; i < GG_BLOCK; i++) {
            const v4 value = v4_snap(x[i] * inverse, 0), wv = w[i] * value;
            qq += wv * value, qx += wv * x[i];
        }
        for (int j = 0; j < 4; j++) {
            d[j] = isfinite(qx[j] / qq[j]) ? gg_f16_to_f32(to_half(qx[j] / qq[j])) : d[j];
        }
    }
    for (int i = 0; i < GG_BLOCK; i++) {
        q[i] = v4_place(x[i] * v4_inverse(d));
    }
    uint8_t rows[4 * GG_BLOCK];
    rows_of(q, GG_BLOCK, 0, rows);
    for (int j = 0; j < lanes; j++) {
        if (!fits_half(d[j])) {
            return j;
        }
        b[j] = (gg_block_iq4_nl){.d = to_half(d[j])};
        gg_put_fields(b[j].qs, 4, 16, rows + j * GG_BLOCK, GG_BLOCK, 0);
    }
    return lanes;
}

/* The codec of a type in super-blocks, from a function that reads one and one that writes one. */
#define CODEC(name)                                                                                                      \
    static void read_all_##name(int64_t n, const void *src, float *dst) {                                                \
        for (int64_t b = 0; b < n / GG_SUPER; b++) {                                                                     \
            read_##name((const gg_block_##name *)src + b, dst + b * GG_SUPER);                                           \
        }                                                                                                                \
    }                                                                                                                    \
    static int64_t write_all_##name(int64_t n, const float *src, void *dst) {                                            \
        for (int64_t b = 0; b < n / GG_SUPER; b++) {                                                                     \
            if (!write_##name(src + b * GG_SUPER, (gg_block_##name *)dst + b)) {                                         \
                return b;                                                                                                \
            }                                                                                                            \
        }                                                                                                                \
        return -1;                                                                                                       \
    }                                                                                                                    \
    const gg_codec gg_codec_##name = {read_all_##name, write_all_##name};
CODEC(q2_k)
CODEC(q3_k)
CODEC(q4_k)
CODEC(q5_k)
CODEC(q6_k)
CODEC(iq4_xs)

static void read_all_iq4_nl(int64_t n, const void *src, float *dst) {
    for (int64_t b = 0; b < n / GG_BLOCK; b++) {
        read_iq4_nl((const gg_block_iq4_nl *)src + b, dst + b * GG_BLOCK);
    }
}

static int64_t write_all_iq4_nl(int64_t n, const float *src, void *dst) {
    for (int64_t b = 0; b < n / GG_BLOCK; b += 4) {
        const int lanes = n / GG_BLOCK - b < 4 ? (int)(n / GG_BLOCK - b) : 4;
        const int done = write_iq4_nl(src + b * GG_BLOCK, lanes, (gg_block_iq4_nl *)dst + b);
        if (done < lanes) {
            return b + done;
        }
    }
    return -1;
}

const gg_codec gg_codec_iq4_nl = {read_all_iq4_nl, write_all_iq4_nl};
