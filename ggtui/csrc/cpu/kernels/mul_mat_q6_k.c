/* mul_mat of Q6_K weights: d, 16 scale bytes stored + 128, 2-bit fields, nibbles. */
#include "mul_mat_fields.h"

enum { BYTES = 210, HEAD = F16S + 4 * STRIP, GROUP = 2 * STRIP + 4 * STRIP };
#define BLOCK 256
#define SCALES 2
#define BITS 6
#define OFFSET 32
#define MINIMUMS NONE

GG_INLINE void get_scales(scales *s, const uint8_t *block) {
    const v16 d = load_f16(block);
    GG_UNROLL for (int i = 0; i < 16; i++) {
        const v16w q = v16w_load(block + F16S + i / 4 * STRIP);
        s->d[i] = v16_mul(d, v16_from_i32(v16i_add(v16w_number(q, i % 4 * 8, 255), v16i_set1(-128))));
    }
}
GG_INLINE v16w get_weights(const uint8_t *group, int i) {
    return v16w_or(nibbles(group + 2 * STRIP, i), two_bits(group, i, 4));
}

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q6_k)
