/* The blocks of the quantized types, as files hold them. */
#ifndef GG_QUANTS_H
#define GG_QUANTS_H
#include <stdint.h>

#define GG_BLOCK 32

/* 4.5 bits a weight: w = d * (q - 8). Low nibbles are weights 0-15, high nibbles 16-31. */
typedef struct {
    uint16_t d; /* f16 */
    uint8_t qs[GG_BLOCK / 2];
} gg_block_q4_0;
_Static_assert(sizeof(gg_block_q4_0) == 18, "q4_0 block");

/* 8.5 bits a weight: w = d * q */
typedef struct {
    uint16_t d; /* f16 */
    int8_t qs[GG_BLOCK];
} gg_block_q8_0;
_Static_assert(sizeof(gg_block_q8_0) == 34, "q8_0 block");
#endif
