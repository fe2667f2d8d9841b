/* mul_mat of Q4_0 weights: d, nibbles. */
#include "mul_mat_fields.h"

enum { BYTES = 18, HEAD = F16S, GROUP = 4 * STRIP };
#define BLOCK 32
#define SCALES 1
#define BITS 4
#define OFFSET 8
#define MINIMUMS NONE

GG_INLINE void get_scales(scales *s, const uint8_t *block) { s->d[0] = load_f16(block); }
GG_INLINE v16w get_weights(const uint8_t *group, int i) { return nibbles(group, i); }

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q4_0)
