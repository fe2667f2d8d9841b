/* mul_mat of Q5_K weights: d, dmin, 8 scales and minimums of 6 bits, fifth bits, nibbles. */
#include "mul_mat_fields.h"

enum { BYTES = 176, HEAD = 2 * F16S + 3 * STRIP, GROUP = STRIP + 4 * STRIP };
#define BLOCK 256
#define SCALES 1
#define BITS 6
#define OFFSET 0
#define MINIMUMS FLOATS

GG_INLINE void get_scales(scales *s, const uint8_t *block) { get_scales_6_bits(s, block); }
GG_INLINE v16w get_weights(const uint8_t *group, int i) {
    return v16w_or(nibbles(group + STRIP, i), one_bit(group, i, 4));
}

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q5_k)
