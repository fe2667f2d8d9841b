/* mul_mat of Q3_K weights: d, 16 scales of 6 bits, highest bits, 2-bit fields. */
#include "mul_mat_fields.h"

enum { BYTES = 110, HEAD = F16S + 3 * STRIP, GROUP = STRIP + 2 * STRIP };
#define BLOCK 256
#define SCALES 2
#define BITS 6 /* 3; sums of 6 bits can start anywhere */
#define OFFSET 4
#define MINIMUMS NONE

GG_INLINE void get_scales(scales *s, const uint8_t *block) {
    const v16 d = load_f16(block);
    const v16w high = v16w_load(block + F16S + 2 * STRIP);
    GG_UNROLL for (int i = 0; i < 4; i++) {
        const v16w low = v16w_bits(v16w_load(block + F16S + i % 2 * STRIP), i / 2 * 4, 15);
        const v16w q = v16w_or(low, v16w_bits(high, 2 * i - 4, 48));
        GG_UNROLL for (int j = 0; j < 4; j++) {
            s->d[4 * i + j] = v16_mul(d, v16_from_i32(v16i_add(v16w_number(q, j * 8, 255), v16i_set1(-32))));
        }
    }
}
GG_INLINE v16w get_weights(const uint8_t *group, int i) {
    return v16w_or(two_bits(group + STRIP, i, 0), one_bit(group, i, 2));
}

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q3_k)
