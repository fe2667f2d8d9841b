/* Finding the scales of quantized blocks, four blocks at a time: core/quant_fit.py in C, to the bit. */
#ifndef GG_QUANT_FIT_H
#define GG_QUANT_FIT_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "codec/blocks.h"
#include "codec/f16.h"

#define GG_FIT static inline __attribute__((always_inline))

typedef float v4 __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));

#define GG_TINY 1e-30f
#define GG_LARGE 1e8f
enum { GG_REFITS = 2 };

/* Grid i has its largest weight at place first + i * step past its last one. */
typedef struct {
    double first, step;
    int count;
} gg_grids;

static inline float grid_end(const gg_grids *grids, int last, int i) {
    return (float)(last + grids->first + grids->step * i);
}

GG_FIT v4 v4_set1(float x) { return (v4){x, x, x, x}; }
GG_FIT v4 v4_select(v4i m, v4 a, v4 b) { return (v4)((m & (v4i)a) | (~m & (v4i)b)); }
GG_FIT v4 v4_abs(v4 a) { return (v4)((v4i)a & 0x7fffffff); }
GG_FIT v4 v4_min(v4 a, v4 b) { return v4_select(a < b, a, b); }
GG_FIT v4 v4_max(v4 a, v4 b) { return v4_select(a > b, a, b); }
/* To the nearest whole number, even where two are; what is 2^22 or more is only near one. */
GG_FIT v4 v4_rint(v4 a) { return (a + 0x1.8p23f) - 0x1.8p23f; }
GG_FIT v4 v4_rounded(v4 a, int low, int high) {
    return v4_min(v4_max(v4_rint(a), v4_set1((float)low)), v4_set1((float)high));
}
/* 1 / d, and 0 where d is (nearly) 0 */
GG_FIT v4 v4_inverse(v4 d) {
    const v4i there = v4_abs(d) > GG_TINY;
    return v4_select(there, 1.0f / v4_select(there, d, v4_set1(1.0f)), v4_set1(0.0f));
}

static inline float inverse1(float d) { return fabsf(d) > GG_TINY ? 1.0f / d : 0.0f; }
static inline float rounded1(float x, int low, int high) {
    const float r = (x + 0x1.8p23f) - 0x1.8p23f;
    return r < (float)low ? (float)low : r > (float)high ? (float)high : r;
}
/* d rounded to f16; what is not 0 does not become 0, for smaller scales of blocks can mend it */
static inline float as_half(float d) {
    const float h = gg_f16_to_f32(gg_f32_to_f16(d));
    return h == 0.0f && d != 0.0f ? copysignf(0x1p-24f, d) : h;
}
static inline bool fits_half(float d) { return fabsf(d) < 65520.0f; }
static inline gg_f16 to_half(float d) { return gg_f32_to_f16(d + 0.0f); } /* a 0 without its sign */

static inline bool fits_large(const float *x, int n) {
    for (int i = 0; i < n; i++) {
        if (!(fabsf(x[i]) <= GG_LARGE)) {
            return false;
        }
    }
    return true;
}

/* Where the codebook's next weight is nearer than the one before. */
static const float codebook[16] = {GG_CODEBOOK};
GG_FIT float codebook_middle(int i) { return (codebook[i] + codebook[i + 1]) / 2; }

/* The nearest places of a grid: the codebook's weights for last = 0, else -last .. last - 1. */
GG_FIT v4 v4_snap(v4 x, int last) {
    if (last) {
        return v4_rounded(x, -last, last - 1);
    }
    v4 w = v4_set1(codebook[0]);
    for (int i = 0; i < 15; i++) {
        w += (v4)((x > codebook_middle(i)) & (v4i)v4_set1(codebook[i + 1] - codebook[i]));
    }
    return w;
}

/* The number of the nearest weight of the codebook. */
GG_FIT v4 v4_place(v4 x) {
    v4 place = v4_set1(0.0f);
    for (int i = 0; i < 15; i++) {
        place += (v4)((x > codebook_middle(i)) & (v4i)v4_set1(1.0f));
    }
    return place;
}

/* What the squared errors of four blocks' weights count. */
GG_FIT void importance(const v4 *x, int n, float sigmas, v4 *w) {
    v4 base = v4_set1(1.0f);
    if (sigmas != 0.0f) {
        v4 squares = v4_set1(0.0f);
        for (int i = 0; i < n; i++) {
            squares += x[i] * x[i];
        }
        for (int j = 0; j < 4; j++) {
            base[j] = sigmas * sqrtf(squares[j] / (float)n);
        }
    }
    for (int i = 0; i < n; i++) {
        w[i] = sigmas != 0.0f ? base + v4_abs(x[i]) : base;
    }
}

/* Scales and minimums of four blocks of n weights, x[n], of which the squares count w, for places 0..last. */
GG_FIT void fit_affine(const v4 *x, const v4 *w, int n, int last, gg_grids grids, v4 *scale, v4 *minimum) {
    v4 low = x[0], high = x[0], w_sum = w[0], x_sum = w[0] * x[0];
    for (int i = 1; i < n; i++) {
        low = v4_min(x[i], low), high = v4_max(x[i], high), w_sum += w[i], x_sum += w[i] * x[i];
    }
    low = v4_min(low, v4_set1(0.0f));
    const v4 unit = v4_inverse(high - low);
    v4 best = v4_set1(0.0f);
    *scale = best, *minimum = -low;
    for (int g = 0; g < grids.count; g++) {
        const v4 inverse = grid_end(&grids, last, g) * unit;
        v4 q_sum = v4_set1(0.0f), qq = q_sum, qx = q_sum;
        for (int i = 0; i < n; i++) {
            const v4 q = v4_min(v4_rint((x[i] - low) * inverse), v4_set1((float)last));
            const v4 wq = w[i] * q;
            q_sum += wq, qq += wq * q, qx += wq * x[i];
        }
        const v4 det = w_sum * qq - q_sum * q_sum;
        v4 m = (qq * x_sum - q_sum * qx) / det;
        const v4i free = (det > 1e-5f * w_sum * qq) & (m <= 0.0f);
        const v4 s = v4_select(free, (w_sum * qx - q_sum * x_sum) / det, qx / qq);
        m = v4_select(free, m, v4_set1(0.0f));
        const v4 gain = s * qx + m * x_sum;
        const v4i better = gain > best;
        best = v4_select(better, gain, best), *scale = v4_select(better, s, *scale);
        *minimum = v4_select(better, -m, *minimum);
    }
}

/* Scales of four blocks of n weights, x[n], of which the squares count w, for the places that v4_snap(., last) gives. */
GG_FIT v4 fit_scale(const v4 *x, const v4 *w, int n, int last, gg_grids grids) {
    v4 largest = x[0];
    for (int i = 1; i < n; i++) {
        largest = v4_select(v4_abs(x[i]) > v4_abs(largest), x[i], largest);
    }
    const v4 unit = v4_inverse(largest);
    v4 best = v4_set1(0.0f), scale = best;
    const int count = last ? grids.count : 2 * grids.count; /* the codebook is lopsided: both ends are tried */
    for (int g = 0; g < count; g++) {
        const float end = grid_end(&grids, last ? last : 127, g % grids.count);
        const v4 inverse = (g < grids.count ? -end : end) * unit;
        v4 qq = v4_set1(0.0f), qx = qq;
        for (int i = 0; i < n; i++) {
            const v4 q = v4_snap(x[i] * inverse, last), wq = w[i] * q;
            qq += wq * q, qx += wq * x[i];
        }
        const v4 s = qx / qq, gain = s * qx;
        const v4i better = gain > best;
        best = v4_select(better, gain, best), scale = v4_select(better, s, scale);
    }
    return scale;
}

/* A super-block of which every number has its own place. */
typedef struct {
    float d, dmin;
    uint8_t s[GG_SUPER / 16], m[GG_SUPER / 16]; /* blocks' scales and minimums */
    uint8_t q[GG_SUPER];
} super;

/* Lane j of x[g * n + i] is weight i of block 4 * g + j. */
GG_FIT void columns_of(const float *y, int n, v4 *x) {
    for (int g = 0; g < GG_SUPER / n / 4; g++) {
        for (int i = 0; i < n; i++) {
            const float *at = y + 4 * g * n + i;
            x[g * n + i] = (v4){at[0], at[n], at[2 * n], at[3 * n]};
        }
    }
}

/* The places of 4 blocks' weights, plus `middle`, in their rows. */
GG_FIT void rows_of(const v4 *q, int n, int middle, uint8_t *rows) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < 4; j++) {
            rows[j * n + i] = (uint8_t)(int)(q[i][j] + (float)middle);
        }
    }
}

/* The places and scales of a super-block, for blocks of n weights and places 0..last. False where a scale is no f16
 * number. */
GG_FIT bool fit_super_affine(const float *y, int n, int last, int last_scale, gg_grids grids, float sigmas, super *out) {
    enum { MOST = GG_SUPER / 16 };
    const int blocks = GG_SUPER / n;
    v4 x[GG_SUPER / 4], w[GG_SUPER / 4], q[GG_SUPER / 4];
    union {
        v4 v[MOST / 4];
        float f[MOST];
    } scale, minimum, s, m, q_sum, qq, qx, w_sum, x_sum;
    if (!fits_large(y, GG_SUPER)) {
        return false;
    }
    columns_of(y, n, x);
    float d = 0.0f, dmin = 0.0f;
    for (int g = 0; g < blocks / 4; g++) {
        importance(x + g * n, n, sigmas, w + g * n);
        fit_affine(x + g * n, w + g * n, n, last, grids, &scale.v[g], &minimum.v[g]);
        w_sum.v[g] = x_sum.v[g] = v4_set1(0.0f);
        for (int i = g * n; i < (g + 1) * n; i++) {
            w_sum.v[g] += w[i], x_sum.v[g] += w[i] * x[i];
        }
    }
    for (int b = 0; b < blocks; b++) {
        d = scale.f[b] > d ? scale.f[b] : d, dmin = minimum.f[b] > dmin ? minimum.f[b] : dmin;
    }
    d = as_half(d / (float)last_scale), dmin = as_half(dmin / (float)last_scale);
    for (int b = 0; b < blocks; b++) {
        s.f[b] = rounded1(scale.f[b] * inverse1(d), 0, last_scale);
        m.f[b] = rounded1(minimum.f[b] * inverse1(dmin), 0, last_scale);
    }
    for (int fit = 0; fit <= GG_REFITS && fits_half(d) && fits_half(dmin); fit++) {
        for (int g = 0; g < blocks / 4; g++) {
            const v4 a = d * s.v[g], b = dmin * m.v[g], inverse = v4_inverse(a);
            q_sum.v[g] = qq.v[g] = qx.v[g] = v4_set1(0.0f);
            for (int i = g * n; i < (g + 1) * n; i++) {
                q[i] = v4_rounded((x[i] + b) * inverse, 0, last);
                const v4 wq = w[i] * q[i];
                q_sum.v[g] += wq, qq.v[g] += wq * q[i], qx.v[g] += wq * x[i];
            }
        }
        if (fit == GG_REFITS) {
            break;
        }
        float aa = 0.0f, ab = 0.0f, bb = 0.0f, ax = 0.0f, bx = 0.0f;
        for (int b = 0; b < blocks; b++) {
            aa += s.f[b] * s.f[b] * qq.f[b], ab += s.f[b] * m.f[b] * q_sum.f[b], bb += m.f[b] * m.f[b] * w_sum.f[b];
            ax += s.f[b] * qx.f[b], bx += m.f[b] * x_sum.f[b];
        }
        const float det = aa * bb - ab * ab;
        const bool both = det > 1e-4f * aa * bb;
        const float new_d = both ? (ax * bb - bx * ab) / det : (ax + dmin * ab) / aa;
        const float new_dmin = both ? (ax * ab - bx * aa) / det : dmin;
        if (new_d > 0.0f && new_dmin >= 0.0f) {
            d = as_half(new_d), dmin = as_half(new_dmin);
        }
    }
    if (!fits_half(d) || !fits_half(dmin)) {
        return false;
    }
    out->d = d, out->dmin = dmin;
    for (int b = 0; b < blocks; b++) {
        out->s[b] = (uint8_t)s.f[b], out->m[b] = (uint8_t)m.f[b];
    }
    for (int g = 0; g < blocks / 4; g++) {
        rows_of(q + g * n, n, 0, out->q + 4 * g * n);
    }
    return true;
}

/* The same for the places of v4_snap(., last). The least scale, -last_scale, and the least place are 0 in out. */
GG_FIT bool fit_super_scale(const float *y, int n, int last, int last_scale, gg_grids grids, float sigmas, super *out) {
    enum { MOST = GG_SUPER / 16 };
    const int blocks = GG_SUPER / n;
    v4 x[GG_SUPER / 4], w[GG_SUPER / 4];
    union {
        v4 v[MOST / 4];
        float f[MOST];
    } scale, s, qq, qx;
    if (!fits_large(y, GG_SUPER)) {
        return false;
    }
    columns_of(y, n, x);
    for (int g = 0; g < blocks / 4; g++) {
        importance(x + g * n, n, sigmas, w + g * n);
        scale.v[g] = fit_scale(x + g * n, w + g * n, n, last, grids);
    }
    float d = scale.f[0];
    for (int b = 1; b < blocks; b++) {
        d = fabsf(scale.f[b]) > fabsf(d) ? scale.f[b] : d;
    }
    d = as_half(d / (float)-last_scale);
    for (int b = 0; b < blocks; b++) {
        s.f[b] = rounded1(scale.f[b] * inverse1(d), -last_scale, last_scale - 1);
    }
    for (int fit = 0; fit < GG_REFITS && fits_half(d); fit++) {
        for (int g = 0; g < blocks / 4; g++) {
            const v4 inverse = v4_inverse(d * s.v[g]);
            qq.v[g] = qx.v[g] = v4_set1(0.0f);
            for (int i = g * n; i < (g + 1) * n; i++) {
                const v4 q = v4_snap(x[i] * inverse, last), wq = w[i] * q;
                qq.v[g] += wq * q, qx.v[g] += wq * x[i];
            }
        }
        float aa = 0.0f, ax = 0.0f;
        for (int b = 0; b < blocks; b++) {
            aa += s.f[b] * s.f[b] * qq.f[b], ax += s.f[b] * qx.f[b];
        }
        d = isfinite(ax / aa) ? as_half(ax / aa) : d;
    }
    if (!fits_half(d)) {
        return false;
    }
    out->d = d;
    for (int b = 0; b < blocks; b++) {
        out->s[b] = (uint8_t)(int)(s.f[b] + (float)last_scale);
    }
    for (int g = 0; g < blocks / 4; g++) {
        const v4 inverse = v4_inverse(d * s.v[g]);
        v4 q[32];
        for (int i = 0; i < n; i++) {
            const v4 scaled = x[g * n + i] * inverse;
            q[i] = last ? v4_snap(scaled, last) : v4_place(scaled);
        }
        rows_of(q, n, last, out->q + 4 * g * n);
    }
    return true;
}
#endif
