/* mul_mat of Q4_1 weights: d, m, nibbles. */
#include "mul_mat_fields.h"

enum { BYTES = 20, HEAD = 2 * F16S, GROUP = 4 * STRIP };
#define BLOCK 32
#define SCALES 1
#define BITS 4
#define OFFSET 0
#define MINIMUMS FLOATS

GG_INLINE void get_scales(scales *s, const uint8_t *block) {
    s->d[0] = load_f16(block), s->m[0] = v16_neg(load_f16(block + F16S));
}
GG_INLINE v16w get_weights(const uint8_t *group, int i) { return nibbles(group, i); }

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q4_1)
