/* Float weights: a tile is [k][32]. The including file defines WEIGHT, the type of a weight, and v16_load_weights. */
#include "mul_mat.h"

/* What the sums of a piece begin with: nothing, or where they go on what was summed before. */
GG_INLINE void start(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols, v16 *sums) {
    GG_UNROLL for (int i = 0; i < n_halves * n_cols; i++) sums[i] = v16_set1(0.0f);
    if (!a->go_on)
        return;
    GG_UNROLL for (int t = 0; t < n_halves; t++) {
        const int64_t n = a->n_rows - row - t * GG_ROWS;
        GG_UNROLL for (int c = 0; c < n_cols; c++) {
            const float *y = (const float *)((uint8_t *)(a->y + row + t * GG_ROWS) + (col + c) * a->y_nb);
            sums[t * n_cols + c] = n >= GG_ROWS ? v16_load(y) : v16_load_n(y, n);
        }
    }
}

GG_INLINE void piece(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols) {
    const WEIGHT *w = (const WEIGHT *)tile_of(a, row) + row % GG_TILE;
    const int64_t tile = GG_TILE * a->k;
    const uint8_t *x[GG_MAX_COLS];
    v16 sums[GG_MAX_SUMS]; /* [half][column] */
    GG_UNROLL for (int c = 0; c < n_cols; c++) x[c] = a->x + (col + c) * a->x_nb;
    start(a, row, col, n_halves, n_cols, sums);

    const int64_t step = a->x_step, end = a->k * step;
    for (int64_t k = 0; k < end; k += step, w += GG_TILE) {
        if (n_cols <= GG_FEW_COLS && a->n_cols <= GG_FEW_COLS)
            prefetch_weights((const uint8_t *)w, n_halves * GG_ROWS * (int)sizeof(WEIGHT), 0, 1);
        v16 halves[4];
        GG_UNROLL for (int t = 0; t < n_halves; t++)
            halves[t] = v16_load_weights(w + t / GG_HALVES * tile + t % GG_HALVES * GG_ROWS);
        GG_UNROLL for (int c = 0; c < n_cols; c++) {
            v16 one = v16_set1(*(const float *)(x[c] + k));
            GG_UNROLL for (int t = 0; t < n_halves; t++)
                sums[t * n_cols + c] = v16_fma(halves[t], one, sums[t * n_cols + c]);
        }
    }

    float out[GG_MAX_SUMS * GG_ROWS];
    GG_UNROLL for (int i = 0; i < n_halves * n_cols; i++) v16_store(out + i * GG_ROWS, sums[i]);
    GG_HELPER(finish)(a, row, col, n_halves, n_cols, out);
}
