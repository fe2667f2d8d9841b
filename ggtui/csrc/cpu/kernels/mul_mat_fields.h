/* What the packed forms of block types have in common: the fields of their weights, and what scales come to. */
#ifndef GG_KERNELS_MUL_MAT_FIELDS_H
#define GG_KERNELS_MUL_MAT_FIELDS_H
#include "mul_mat.h"

enum { F16S = 2 * GG_ROWS, STRIP = 4 * GG_ROWS }; /* bytes of an f16 and of 4 bytes of each row of half a tile */

/* The scales and minimums of half a tile's block, ready to multiply sums with. */
typedef struct {
    v16 d[16];  /* scales, in their order */
    v16 m[8];   /* minus what weights begin at, in each group */
    v16 dmin;
    v16i pairs[8]; /* ... or two such numbers for each group, one for each 16 weights, to be multiplied by dmin */
} scales;

GG_INLINE v16 load_f16(const uint8_t *p) { return v16_load_f16((const uint16_t *)p); }

/* Step i of a group, weights 4i .. 4i + 3: from its nibbles, 4 strips of which the low ones are steps 0-3; from its 2-bit
 * fields, 2 strips, moved left by `to`; from its single bits, 1 strip, moved left by `to`. */
GG_INLINE v16w nibbles(const uint8_t *p, int i) { return v16w_bits(v16w_load(p + i % 4 * STRIP), i / 4 * 4, 15); }
GG_INLINE v16w two_bits(const uint8_t *p, int i, int to) {
    return v16w_bits(v16w_load(p + i / 4 * STRIP), i % 4 * 2 - to, 3 << to);
}
GG_INLINE v16w one_bit(const uint8_t *p, int i, int to) { return v16w_bits(v16w_load(p), i - to, 1 << to); }

/* Those of Q4_K and Q5_K: d, dmin, and 8 scales and 8 minimums of 6 bits. */
GG_INLINE void get_scales_6_bits(scales *s, const uint8_t *block) {
    const v16 d = load_f16(block), dmin = load_f16(block + F16S);
    const v16w a = v16w_load(block + 2 * F16S), b = v16w_load(block + 2 * F16S + STRIP);
    const v16w c = v16w_load(block + 2 * F16S + 2 * STRIP);
    const v16w q[2] = {v16w_bits(a, 0, 63), v16w_or(v16w_low(c), v16w_bits(a, 2, 48))};
    const v16w m[2] = {v16w_bits(b, 0, 63), v16w_or(v16w_high(c), v16w_bits(b, 2, 48))};
    GG_UNROLL for (int i = 0; i < 8; i++) {
        s->d[i] = v16_mul(d, v16_from_i32(v16w_number(q[i / 4], i % 4 * 8, 255)));
        s->m[i] = v16_mul(dmin, v16_from_i32(v16w_number(m[i / 4], i % 4 * 8, 255)));
    }
}

/* The codebook of the IQ4 types, 128 added. */
static const uint8_t codebook[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
#endif
