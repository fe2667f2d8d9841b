/* mul_mat of IQ4_XS weights: d, 8 scales of 6 bits, high bits first, nibbles that are places in the codebook. */
#include "mul_mat_fields.h"

enum { BYTES = 136, HEAD = 2 * F16S + STRIP, GROUP = 4 * STRIP };
#define BLOCK 256
#define SCALES 1
#define BITS 8
#define OFFSET 128
#define MINIMUMS NONE

GG_INLINE void get_scales(scales *s, const uint8_t *block) {
    const v16 d = load_f16(block);
    const v16w high = v16w_load_pairs(block + F16S), low = v16w_load(block + 2 * F16S);
    GG_UNROLL for (int i = 0; i < 8; i++) {
        const v16 l = v16_from_i32(v16w_number(low, 4 * i, 15)), h = v16_from_i32(v16w_number(high, 2 * i, 3));
        s->d[i] = v16_mul(d, v16_fma(h, v16_set1(16.0f), v16_sub(l, v16_set1(32.0f))));
    }
}
GG_INLINE v16w get_weights(const uint8_t *group, int i) { return v16w_lookup(codebook, nibbles(group, i)); }

#include "mul_mat_blocks.h"
GG_MUL_MAT_BLOCKS(mul_mat_iq4_xs)
