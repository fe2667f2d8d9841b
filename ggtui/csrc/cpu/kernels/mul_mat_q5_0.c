/* mul_mat of Q5_0 weights: d, fifth bits, nibbles. */
#include "mul_mat_fields.h"

enum { BYTES = 22, HEAD = F16S, GROUP = STRIP + 4 * STRIP };
#define BLOCK 32
#define SCALES 1
#define BITS 6
#define OFFSET 16
#define MINIMUMS NONE

GG_INLINE void get_scales(scales *s, const uint8_t *block) { s->d[0] = load_f16(block); }
GG_INLINE v16w get_weights(const uint8_t *group, int i) {
    return v16w_or(nibbles(group + STRIP, i), one_bit(group, i, 4));
}

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q5_0)
