/* What the mul_mat kernels share: how rows and columns are cut into pieces.
 *
 * A piece is 1, 2 or 4 halves of tiles, of 16 rows each, times a few columns, whose sums all stay in registers. The file of
 * a type of weights defines
 *     static inline void piece(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols)
 * which is compiled for every size that fits, so that no number of columns is a slow one. */
#ifndef GG_KERNELS_MUL_MAT_H
#define GG_KERNELS_MUL_MAT_H
#include "base/cache_line.h"
#include "names.h"
#include "simd.h"

enum {
    GG_MAX_COLS = 6,
    GG_MAX_SUMS = 24,
    GG_FEW_COLS = 4,       /* a matrix of no more columns is memory's work: weights go by once, and are prefetched ... */
    GG_AHEAD = 8 * 1024,   /* ... so many bytes before they are read */
};
_Static_assert((int)GG_FLOAT_COLS <= (int)GG_MAX_COLS && (int)GG_FLOAT_SUMS <= (int)GG_MAX_SUMS, "GG_PIECES");
_Static_assert((int)GG_INT_COLS <= (int)GG_MAX_COLS && (int)GG_INT_SUMS <= (int)GG_MAX_SUMS, "GG_PIECES");

typedef void (*piece_fn)(const gg_mul_mat_args *a, int64_t row, int64_t col);

/* sums[n_halves][n_cols][16] on their way to y: bias, activation and residual. A function of its own, once for all types: its
 * registers are not to be taken from the loop before it. */
void GG_HELPER(finish)(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols, const float *sums);

/* Prefetches the lines of y that a piece will write: many columns make them too many for the processor to foresee. */
GG_INLINE void prefetch_y(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols) {
    for (int c = 0; c < n_cols; c++)
        for (int t = 0; t < n_halves; t++)
            __builtin_prefetch((uint8_t *)a->y + (col + c) * a->y_nb + (row + t * GG_ROWS) * (int64_t)sizeof(float), 1);
}

/* The tile that a row is in. */
GG_INLINE const uint8_t *tile_of(const gg_mul_mat_args *a, int64_t row) {
    return a->w + row / GG_TILE * GG_TILE * a->w_nb;
}

/* Prefetches weights, as much of them as is being read now: the part of n_bytes that belongs to step i of n_steps. The
 * processor's own prefetching stops where a kernel works long on a few lines. */
GG_INLINE void prefetch_weights(const uint8_t *w, int n_bytes, int i, int n_steps) {
    const int n_lines = (n_bytes + GG_CACHE_LINE - 1) / GG_CACHE_LINE;
    GG_UNROLL for (int line = n_lines * i / n_steps; line < n_lines * (i + 1) / n_steps; line++)
        __builtin_prefetch(w + GG_AHEAD + line * GG_CACHE_LINE);
}

static inline void run_pieces(const gg_mul_mat_args *a, const piece_fn pieces[3][GG_MAX_COLS + 1], int max_cols,
                              int max_halves, int max_sums) {
    if (a->n_cols <= 0)
        return;
    /* Groups of columns of equal size, or one more: 13 columns are 7 and 6 rather than 12 and 1. */
    int64_t n_groups = (a->n_cols + max_cols - 1) / max_cols;
    int64_t size = a->n_cols / n_groups, larger = a->n_cols % n_groups;
    int largest = (int)size + (larger > 0);
    /* One tile at a time reads memory in one stream, the fastest way. */
    int most = a->n_cols <= GG_FEW_COLS ? GG_HALVES : max_halves, log_halves = 2;
    while (log_halves > 0 && (1 << log_halves > most || largest << log_halves > max_sums))
        log_halves--;
    for (int64_t row = 0; row < a->n_rows;) {
        int log = log_halves;
        while (log > 0 && row + ((1 << log) - 1) * GG_ROWS >= a->n_rows)
            log--;
        for (int64_t g = 0, col = 0; g < n_groups; g++) {
            const int64_t n = size + (g < larger);
            pieces[log][n](a, row, col);
            col += n;
        }
        row += GG_ROWS << log;
    }
}

#define GG_PIECE(log, cols, max_cols, max_halves, max_sums)                                                              \
    static void piece_##log##_##cols(const gg_mul_mat_args *a, int64_t row, int64_t col) {                               \
        /* The others are never called. */                                                                               \
        if (log == 0 ? cols <= max_cols : 1 << log <= max_halves && cols << log <= max_sums) {                           \
            prefetch_y(a, row, col, 1 << log, cols);                                                                       \
            piece(a, row, col, 1 << log, cols);                                                                          \
        }                                                                                                                \
    }
#define GG_PIECES_OF(log, max_cols, max_halves, max_sums)                                                                \
    GG_PIECE(log, 1, max_cols, max_halves, max_sums)                                                                     \
    GG_PIECE(log, 2, max_cols, max_halves, max_sums)                                                                     \
    GG_PIECE(log, 3, max_cols, max_halves, max_sums)                                                                     \
    GG_PIECE(log, 4, max_cols, max_halves, max_sums)                                                                     \
    GG_PIECE(log, 5, max_cols, max_halves, max_sums)                                                                     \
    GG_PIECE(log, 6, max_cols, max_halves, max_sums)
#define GG_PIECE_NAMES(log)                                                                                              \
    {0, piece_##log##_1, piece_##log##_2, piece_##log##_3, piece_##log##_4, piece_##log##_5, piece_##log##_6}

/* The kernel called `name`, from `piece`: of up to max_cols columns, max_halves halves of tiles (2 or 4), and
 * where that is more than one, of max_sums sums. */
#define GG_MUL_MAT(name, max_cols, max_halves, max_sums)                                                                 \
    GG_PIECES_OF(0, max_cols, max_halves, max_sums)                                                                      \
    GG_PIECES_OF(1, max_cols, max_halves, max_sums)                                                                      \
    GG_PIECES_OF(2, max_cols, max_halves, max_sums)                                                                      \
    void GG_KERNEL(name)(const gg_mul_mat_args *a) {                                                                     \
        static const piece_fn pieces[3][GG_MAX_COLS + 1] = {GG_PIECE_NAMES(0), GG_PIECE_NAMES(1), GG_PIECE_NAMES(2)};    \
        run_pieces(a, pieces, max_cols, max_halves, max_sums);                                                           \
    }
#endif
