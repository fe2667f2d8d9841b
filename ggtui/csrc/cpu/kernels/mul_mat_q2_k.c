/* mul_mat of Q2_K weights: d, dmin, 16 bytes with a scale and a minimum each, 2-bit fields. */
#include "mul_mat_fields.h"

enum { BYTES = 84, HEAD = 2 * F16S + 4 * STRIP, GROUP = 2 * STRIP };
#define BLOCK 256
#define SCALES 2
#define BITS 4
#define OFFSET 0
#define MINIMUMS PAIRS

GG_INLINE void get_scales(scales *s, const uint8_t *block) {
    const v16 d = load_f16(block);
    s->dmin = load_f16(block + F16S);
    GG_UNROLL for (int i = 0; i < 4; i++) {
        const v16w both = v16w_load(block + 2 * F16S + i * STRIP), m = v16w_high(both);
        GG_UNROLL for (int j = 0; j < 4; j++) {
            s->d[4 * i + j] = v16_mul(d, v16_from_i32(v16w_number(v16w_low(both), j * 8, 255)));
        }
        GG_UNROLL for (int j = 0; j < 2; j++) {
            s->pairs[2 * i + j] = v16i_pair(v16w_number(m, j * 16, 255), v16w_number(m, j * 16 + 8, 255));
        }
    }
}
GG_INLINE v16w get_weights(const uint8_t *group, int i) { return two_bits(group, i, 0); }

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_q2_k)
