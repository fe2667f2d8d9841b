/* The blocks of the quantized types, as files hold them, and how numbers of a few bits lie in them. */
#ifndef GG_BLOCKS_H
#define GG_BLOCKS_H
#include <stdint.h>

#define GG_BLOCK 32
#define GG_SUPER 256 /* weights of a super-block */

/* Blocks may lie at any address: legacy files do not align theirs. */
typedef uint16_t gg_f16 __attribute__((aligned(1)));

/* 4.5 bits a weight: w = d * (q - 8). Low nibbles are weights 0-15, high nibbles 16-31. */
typedef struct {
    gg_f16 d; /* f16 */
    uint8_t qs[GG_BLOCK / 2];
} gg_block_q4_0;
_Static_assert(sizeof(gg_block_q4_0) == 18, "q4_0 block");

/* 5 bits: w = d * q + m */
typedef struct {
    gg_f16 d, m; /* f16 */
    uint8_t qs[GG_BLOCK / 2];
} gg_block_q4_1;
_Static_assert(sizeof(gg_block_q4_1) == 20, "q4_1 block");

/* 5.5 bits: w = d * (q - 16). qh holds the fifth bits, weight 0's first. */
typedef struct {
    gg_f16 d; /* f16 */
    uint8_t qh[GG_BLOCK / 8];
    uint8_t qs[GG_BLOCK / 2];
} gg_block_q5_0;
_Static_assert(sizeof(gg_block_q5_0) == 22, "q5_0 block");

/* 6 bits: w = d * q + m */
typedef struct {
    gg_f16 d, m; /* f16 */
    uint8_t qh[GG_BLOCK / 8];
    uint8_t qs[GG_BLOCK / 2];
} gg_block_q5_1;
_Static_assert(sizeof(gg_block_q5_1) == 24, "q5_1 block");

/* 8.5 bits: w = d * q */
typedef struct {
    gg_f16 d; /* f16 */
    int8_t qs[GG_BLOCK];
} gg_block_q8_0;
_Static_assert(sizeof(gg_block_q8_0) == 34, "q8_0 block");

/* 2.625 bits: w = d * s * q - dmin * m, in blocks of 16. scales: s in the low, m in the high nibbles. */
typedef struct {
    uint8_t scales[GG_SUPER / 16];
    uint8_t qs[GG_SUPER / 4];
    gg_f16 d, dmin; /* f16 */
} gg_block_q2_k;
_Static_assert(sizeof(gg_block_q2_k) == 84, "q2_k block");

/* 3.4375 bits: w = d * (s - 32) * (q - 4), in blocks of 16. scales: 6 bits, low nibbles first, then the high bits. */
typedef struct {
    uint8_t hmask[GG_SUPER / 8]; /* highest bits of q */
    uint8_t qs[GG_SUPER / 4];
    uint8_t scales[12];
    gg_f16 d; /* f16 */
} gg_block_q3_k;
_Static_assert(sizeof(gg_block_q3_k) == 110, "q3_k block");

/* 4.5 bits: w = d * s * q - dmin * m, in blocks of 32. scales: s 0-3, m 0-3, each with two bits of s or m 4-7 on top,
 * then the low nibbles of s and m 4-7. */
typedef struct {
    gg_f16 d, dmin; /* f16 */
    uint8_t scales[12];
    uint8_t qs[GG_SUPER / 2];
} gg_block_q4_k;
_Static_assert(sizeof(gg_block_q4_k) == 144, "q4_k block");

/* 5.5 bits: as q4_k, with the fifth bits in qh */
typedef struct {
    gg_f16 d, dmin; /* f16 */
    uint8_t scales[12];
    uint8_t qh[GG_SUPER / 8];
    uint8_t qs[GG_SUPER / 2];
} gg_block_q5_k;
_Static_assert(sizeof(gg_block_q5_k) == 176, "q5_k block");

/* 6.5625 bits: w = d * s * (q - 32), in blocks of 16 */
typedef struct {
    uint8_t ql[GG_SUPER / 2]; /* low nibbles */
    uint8_t qh[GG_SUPER / 4]; /* high 2 bits */
    int8_t scales[GG_SUPER / 16];
    gg_f16 d; /* f16 */
} gg_block_q6_k;
_Static_assert(sizeof(gg_block_q6_k) == 210, "q6_k block");

/* 4.5 bits: w = d * gg_codebook[q] */
typedef struct {
    gg_f16 d; /* f16 */
    uint8_t qs[GG_BLOCK / 2];
} gg_block_iq4_nl;
_Static_assert(sizeof(gg_block_iq4_nl) == 18, "iq4_nl block");

/* 4.25 bits: w = d * (s - 32) * gg_codebook[q], in blocks of 32. Scales are 6 bits: low nibbles, and high bits. */
typedef struct {
    gg_f16 d; /* f16 */
    uint8_t scales_h[GG_SUPER / 128];
    uint8_t scales_l[GG_SUPER / 64];
    uint8_t qs[GG_SUPER / 2];
} gg_block_iq4_xs;
_Static_assert(sizeof(gg_block_iq4_xs) == 136, "iq4_xs block");

#define GG_CODEBOOK -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113

/* `count` numbers of `bits` bits in b, or-ed into q above its lowest `shift` bits. They lie in runs of n bytes: the first
 * n numbers are the lowest bits of a run's bytes, the next n those above, and so on. */
static inline void gg_get_fields(uint8_t *q, int count, int shift, const uint8_t *b, int bits, int n) {
    const int mask = (1 << bits) - 1;
    for (int i = 0; i < count; b += n) {
        for (int at = 0; at < 8; at += bits, i += n) {
            for (int l = 0; l < n; l++) {
                q[i + l] |= (uint8_t)((b[l] >> at & mask) << shift);
            }
        }
    }
}

/* The inverse: bits [shift, shift + bits) of q, or-ed into b. */
static inline void gg_put_fields(uint8_t *b, int bits, int n, const uint8_t *q, int count, int shift) {
    const int mask = (1 << bits) - 1;
    for (int i = 0; i < count; b += n) {
        for (int at = 0; at < 8; at += bits, i += n) {
            for (int l = 0; l < n; l++) {
                b[l] |= (uint8_t)((q[i + l] >> shift & mask) << at);
            }
        }
    }
}
#endif
