/* mul_mat of Q4_0 weights: a block of a tile is 16 scales and then 4 pieces of 64 bytes, [row][4], of which piece i holds
 * k = 4i .. 4i + 3 in its low and k = 16 + 4i .. in its high nibbles. */
#include "mul_mat.h"

enum { SCALES = 2 * GG_ROWS, TILE_BLOCK = 18 * GG_ROWS };

/* One tile at a time: even one column's work keeps up with the memory then, which is fastest when read in one stream. */
GG_INLINE void piece(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_tiles, int n_cols) {
    const uint8_t *w = a->w + row * a->w_nb;
    const gg_block_q8_a *x[GG_MAX_COLS];
    v16 sums[GG_MAX_COLS];
    GG_UNROLL for (int c = 0; c < n_cols; c++) x[c] = (const gg_block_q8_a *)(a->x + (col + c) * a->x_nb);
    GG_UNROLL for (int c = 0; c < n_cols; c++) sums[c] = v16_set1(0.0f);

    for (int64_t b = 0; b < a->k / 32; b++, w += TILE_BLOCK) {
        v16q4 acc[GG_MAX_COLS];
        GG_UNROLL for (int c = 0; c < n_cols; c++) acc[c] = v16q4_start(x[c][b].nsum, 8);
        GG_UNROLL for (int i = 0; i < 4; i++) {
            v16w both = v16w_load(w + SCALES + 64 * i), low = v16w_low(both), high = v16w_high(both);
            GG_UNROLL for (int c = 0; c < n_cols; c++) acc[c] = v16q4_dot(acc[c], low, x[c][b].qs + 4 * i);
            GG_UNROLL for (int c = 0; c < n_cols; c++) acc[c] = v16q4_dot(acc[c], high, x[c][b].qs + 16 + 4 * i);
        }
        v16 d = v16_load_f16((const uint16_t *)w);
        GG_UNROLL for (int c = 0; c < n_cols; c++) {
            v16 products = v16_from_i32(v16q4_end(acc[c], x[c][b].nsum, 8));
            sums[c] = v16_fma(products, v16_mul(d, v16_set1(x[c][b].d)), sums[c]);
        }
    }

    float out[GG_MAX_COLS * GG_ROWS];
    GG_UNROLL for (int c = 0; c < n_cols; c++) v16_store(out + c * GG_ROWS, sums[c]);
    finish(a, row, col, n_tiles, n_cols, out);
}

GG_MUL_MAT(mul_mat_q4_0, GG_INT_COLS, 0, a->k / 32 * (int64_t)sizeof(gg_block_q8_a))
