/* What the mul_mat kernels share: how rows and columns are cut into pieces, and what happens to finished sums.
 *
 * A piece is a few tiles of 16 rows times a few columns whose sums all stay in registers. A file that includes this one
 * defines, for its type of weights,
 *     static inline void piece(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_tiles, int n_cols)
 * which is compiled for every size that fits, so that no number of columns is a slow one. */
#ifndef GG_KERNELS_MUL_MAT_H
#define GG_KERNELS_MUL_MAT_H
#include "exp.h"
#include "names.h"

#define GG_INLINE static inline __attribute__((always_inline))
#define GG_UNROLL _Pragma("GCC unroll 32") /* all of a loop, if only over registers: GG_MAX_SUMS times at most */

enum {
    GG_MAX_COLS = 12,
    GG_MAX_SUMS = 24,
    GG_PANEL = 256 * 1024, /* bytes of columns that go through all rows before the next columns do, to stay in the cache */
};
_Static_assert((int)GG_FLOAT_COLS <= (int)GG_MAX_COLS && (int)GG_FLOAT_SUMS <= (int)GG_MAX_SUMS, "GG_PIECES");
_Static_assert((int)GG_INT_COLS <= (int)GG_MAX_COLS, "GG_PIECES");

typedef void (*piece_fn)(const gg_mul_mat_args *a, int64_t row, int64_t col);

static v16 activate(int act, v16 v) {
    switch (act) {
#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name)                                                                                             \
    case GG_OP_##NAME:                                                                                                   \
        return v16_##name(v);
#include "../../ops.def"
#undef GG_OP
#undef GG_UNARY
    }
    return v;
}

/* sums[n_tiles][n_cols][16] on their way to y. Not inlined: its registers are not to be taken from the loop before it. */
static __attribute__((noinline)) void finish(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_tiles, int n_cols,
                                             const float *sums) {
    for (int t = 0; t < n_tiles; t++, row += GG_ROWS) {
        int64_t n = a->n_rows - row;
        v16 bias = v16_set1(-0.0f);
        if (a->bias)
            bias = n >= GG_ROWS ? v16_load(a->bias + row) : v16_load_n(a->bias + row, n);
        for (int c = 0; c < n_cols; c++, sums += GG_ROWS) {
            float *y = (float *)((uint8_t *)a->y + (col + c) * a->y_nb) + row;
            v16 v = v16_add(v16_load(sums), bias);
            if (a->act != GG_OP_NONE)
                v = activate(a->act, v);
            if (a->residual) {
                const float *r = (const float *)((const uint8_t *)a->residual + (col + c) * a->residual_nb) + row;
                v = v16_add(v, n >= GG_ROWS ? v16_load(r) : v16_load_n(r, n));
            }
            if (n >= GG_ROWS)
                v16_store(y, v);
            else
                v16_store_n(y, v, n);
        }
    }
}

/* Asks for the lines of y that a piece will write: many columns make them too many for the processor to foresee. */
GG_INLINE void expect_y(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_tiles, int n_cols) {
    for (int c = 0; c < n_cols; c++)
        for (int t = 0; t < n_tiles; t++)
            __builtin_prefetch((uint8_t *)a->y + (col + c) * a->y_nb + (row + t * GG_ROWS) * (int64_t)sizeof(float), 1);
}

static void run_pieces(const gg_mul_mat_args *a, const piece_fn pieces[3][GG_MAX_COLS + 1], int max_cols, int max_sums,
                       int64_t x_bytes) {
    if (a->n_cols <= 0)
        return;
    /* Groups of columns of equal size, or one more: 13 columns are 7 and 6 rather than 12 and 1. */
    int64_t n_groups = (a->n_cols + max_cols - 1) / max_cols;
    int64_t size = a->n_cols / n_groups, larger = a->n_cols % n_groups;
    int largest = (int)size + (larger > 0);
    /* One column is memory's work, and one tile at a time reads it in one stream, the fastest way. */
    int log_tiles = largest == 1 ? 0 : 4 * largest <= max_sums ? 2 : 2 * largest <= max_sums ? 1 : 0;
    int64_t panel = GG_PANEL / (x_bytes * largest + 1) + 1;

    for (int64_t g0 = 0; g0 < n_groups; g0 += panel) {
        int64_t g1 = g0 + panel < n_groups ? g0 + panel : n_groups;
        for (int64_t row = 0; row < a->n_rows;) {
            int log = row + (GG_ROWS << log_tiles) < a->n_rows + GG_ROWS ? log_tiles : 0;
            for (int64_t g = g0; g < g1; g++) {
                int64_t col = g * size + (g < larger ? g : larger);
                pieces[log][size + (g < larger)](a, row, col);
            }
            row += GG_ROWS << log;
        }
    }
}

#define GG_PIECE(log, cols, max_cols, max_sums)                                                                          \
    static void piece_##log##_##cols(const gg_mul_mat_args *a, int64_t row, int64_t col) {                               \
        if (log == 0 ? cols <= max_cols : cols > 1 && (cols << log) <= max_sums) { /* the others are never called */     \
            expect_y(a, row, col, 1 << log, cols);                                                                       \
            piece(a, row, col, 1 << log, cols);                                                                          \
        }                                                                                                                \
    }
#define GG_PIECES_OF(log, mc, ms)                                                                                        \
    GG_PIECE(log, 1, mc, ms)                                                                                             \
    GG_PIECE(log, 2, mc, ms)                                                                                             \
    GG_PIECE(log, 3, mc, ms)                                                                                             \
    GG_PIECE(log, 4, mc, ms)                                                                                             \
    GG_PIECE(log, 5, mc, ms)                                                                                             \
    GG_PIECE(log, 6, mc, ms)                                                                                             \
    GG_PIECE(log, 7, mc, ms)                                                                                             \
    GG_PIECE(log, 8, mc, ms)                                                                                             \
    GG_PIECE(log, 9, mc, ms)                                                                                             \
    GG_PIECE(log, 10, mc, ms)                                                                                            \
    GG_PIECE(log, 11, mc, ms)                                                                                            \
    GG_PIECE(log, 12, mc, ms)
#define GG_PIECE_NAMES(log)                                                                                              \
    {0, piece_##log##_1, piece_##log##_2, piece_##log##_3, piece_##log##_4, piece_##log##_5, piece_##log##_6,            \
     piece_##log##_7, piece_##log##_8, piece_##log##_9, piece_##log##_10, piece_##log##_11, piece_##log##_12}

/* The kernel called `name`, from `piece`; x_bytes is what a column takes. Up to max_sums sums, pieces are more than one
 * tile high. */
#define GG_MUL_MAT(name, max_cols, max_sums, x_bytes)                                                                    \
    GG_PIECES_OF(0, max_cols, max_sums)                                                                                  \
    GG_PIECES_OF(1, max_cols, max_sums)                                                                                  \
    GG_PIECES_OF(2, max_cols, max_sums)                                                                                  \
    void GG_KERNEL(name)(const gg_mul_mat_args *a) {                                                                     \
        static const piece_fn pieces[3][GG_MAX_COLS + 1] = {GG_PIECE_NAMES(0), GG_PIECE_NAMES(1), GG_PIECE_NAMES(2)};    \
        run_pieces(a, pieces, max_cols, max_sums, x_bytes);                                                              \
    }
#endif
