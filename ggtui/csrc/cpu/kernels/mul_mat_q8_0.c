/* mul_mat of Q8_0 weights: d, bytes stored + 128. */
#include "mul_mat_fields.h"

enum { BYTES = 34, HEAD = F16S, GROUP = 8 * STRIP };
#define BLOCK 32
#define SCALES 1
#define BITS 8
#define OFFSET 128
#define MINIMUMS NONE

GG_INLINE void get_scales(scales *s, const uint8_t *block) { s->d[0] = load_f16(block); }
GG_INLINE v16w get_weights(const uint8_t *group, int i) { return v16w_load(group + i * STRIP); }

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q8_0)
