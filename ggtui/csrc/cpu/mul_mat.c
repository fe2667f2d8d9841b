/* mul_mat: dst[r, c] = act(sum over k of a[k, r] * b[k, c] + bias[r]) + residual[r, c], for each matrix; of a gate, instead of
 * plus the residual, times sum over k of up[k, r] * b[k, c] + up_bias[r].
 *
 * The work is cut into chunks that threads take as they come free, so that a thread which the system has put aside
 * holds up no more than its chunk. A chunk is some rows of a times some columns of b; no sum over k is ever cut. */
#include "cpu/mul_mat.h"

enum {
    CACHE = 1024 * 1024,  /* bytes of b that stay in the second- or third-level cache while the weights pass */
    CHUNK = 256 * 1024,   /* bytes of a that a thread takes at a time, at most */
    COLUMNS = 12,         /* column blocks are multiples of this, so that kernels work on full groups of columns */
};

/* Rows [row0, row0 + n_rows) of packed weights w times columns [col0, col0 + n_cols) of matrix `at`, which are at x: without what
 * is done with the sums. */
static gg_mul_mat_args args_of(const gg_mul_mat *p, const gg_share *share, gg_row_index at, const uint8_t *w, int64_t w_nb,
                               int64_t row0, int64_t n_rows, const uint8_t *x, int64_t x_nb, int64_t col0, int64_t n_cols) {
    at.i1 = col0;
    return (gg_mul_mat_args){
        .k = p->a->ne[0],
        .w = w,
        .w_nb = w_nb,
        .n_rows = n_rows,
        .x = x,
        .x_nb = x_nb,
        .x_step = sizeof(float),
        .n_cols = n_cols,
        .y = (float *)gg_row(share, p->dst, at) + row0,
        .y_nb = p->dst->nb[1],
        .act = GG_OP_NONE,
    };
}

static void run_kernel(const gg_mul_mat *p, const gg_share *share, gg_row_index at, const uint8_t *w, int64_t w_nb,
                       int64_t row0, int64_t n_rows, const uint8_t *x, int64_t x_nb, int64_t col0, int64_t n_cols) {
    gg_mul_mat_args args = args_of(p, share, at, w, w_nb, row0, n_rows, x, x_nb, col0, n_cols);
    gg_mul_mat_finish(p, share, at, row0, col0, &args);
    p->kernel(&args);
}

/* What the gate is multiplied with, into the place of the result. */
static void run_up(const gg_mul_mat *p, const gg_share *share, gg_row_index at, int64_t row0, int64_t n_rows, const uint8_t *x,
                   int64_t col0, int64_t n_cols) {
    const uint8_t *w = (uint8_t *)gg_row(share, p->up, gg_matrix_of_a(p, at)) + row0 * p->up->nb[1];
    gg_mul_mat_args args = args_of(p, share, at, w, p->up->nb[1], row0, n_rows, x, p->b->nb[1], col0, n_cols);
    args.bias = gg_present(p->up_bias) ? (const float *)gg_data(p->up_bias, share) + row0 : NULL;
    p->up_kernel(&args);
}

/* How the packed weights of one matrix are cut: into n_ranges runs of tiles, and b into blocks of `cols` columns. */
typedef struct {
    int64_t n_tiles, n_ranges, cols, n_blocks;
} cut;

static cut cut_packed(const gg_mul_mat *p, int64_t n_matrices, int nth) {
    cut c;
    const int64_t n = p->b->ne[1];
    const int64_t column_bytes = (int64_t)gg_row_bytes(p->b->type, p->b->ne[0]);
    const int64_t most = gg_max(1, CACHE / gg_max(1, column_bytes) / COLUMNS) * COLUMNS;
    c.cols = gg_div_up(gg_div_up(n, gg_div_up(n, most)), COLUMNS) * COLUMNS; // blocks of about the same size
    c.n_blocks = gg_div_up(n, c.cols);
    c.n_tiles = gg_div_up(p->a->ne[1], GG_TILE);
    // One column: memory is what takes the time, a few long runs a thread are best, but none so long that the others
    // wait for the last one. Many columns: a chunk is long, so more of them for an even end.
    const int64_t wanted = gg_div_up((n == 1 ? 4 : 16) * nth, c.n_blocks * n_matrices);
    const int64_t by_size = p->a->ne[1] * p->a->nb[1] / CHUNK;
    c.n_ranges = gg_max(1, gg_min(c.n_tiles, gg_max(wanted, by_size)));
    return c;
}

/* All ranges of tiles of one column block come one after the other: the block stays in the cache, the weights pass. */
static void mul_mat_packed(const gg_mul_mat *p, const gg_share *share) {
    const int64_t n_matrices = p->b->ne[2] * p->b->ne[3], m = p->a->ne[1], n = p->b->ne[1];
    if (n * m * n_matrices == 0) {
        return;
    }
    const cut c = cut_packed(p, n_matrices, share->nth);
    const int64_t per_matrix = c.n_ranges * c.n_blocks;
    for (int64_t chunk; (chunk = gg_next_chunk(share)) < per_matrix * n_matrices;) {
        const gg_row_index at = gg_matrix_of_b(p, chunk / per_matrix);
        const int64_t range = chunk % c.n_ranges, col0 = chunk % per_matrix / c.n_ranges * c.cols;
        const int64_t row0 = c.n_tiles * range / c.n_ranges * GG_TILE;
        const int64_t row1 = gg_min(m, c.n_tiles * (range + 1) / c.n_ranges * GG_TILE);
        const uint8_t *w = (uint8_t *)gg_row(share, p->a, gg_matrix_of_a(p, at)) + row0 * p->a->nb[1];
        const uint8_t *x = (uint8_t *)gg_row(share, p->b, at) + col0 * p->b->nb[1];
        const int64_t n_cols = gg_min(c.cols, n - col0);
        if (gg_present(p->up)) {
            run_up(p, share, at, row0, row1 - row0, x, col0, n_cols);
        }
        run_kernel(p, share, at, w, p->a->nb[1], row0, row1 - row0, x, p->b->nb[1], col0, n_cols);
    }
}

size_t gg_tmp_mul_mat(const gg_step *step) {
    return step->src[0].packed ? 0 : gg_mul_mat_strided_tmp(step);
}

static gg_mul_mat_fn kernel_of(const gg_share *share, const gg_tensor *weights) {
    return gg_mul_mat_kernel(share->kernels, weights->packed ? weights->type : GG_TYPE_F32);
}

int gg_op_mul_mat(const gg_step *step, const gg_share *share) {
    const gg_tensor *a = &step->src[0], *up = &step->src[4];
    const gg_mul_mat p = {
        .dst = &step->dst,
        .a = a,
        .b = &step->src[1],
        .bias = &step->src[2],
        .residual = &step->src[3],
        .up = up,
        .up_bias = &step->src[5],
        .act = step->params[0].i,
        .kernel = kernel_of(share, a),
        .up_kernel = gg_present(up) ? kernel_of(share, up) : NULL,
    };
    const gg_tensor *without = p.kernel == NULL ? a : gg_present(up) && p.up_kernel == NULL ? up : NULL;
    if (without != NULL) {
        return gg_fail(GG_FAILED, "mul_mat: no kernel for packed weights of type %s", gg_type_info_of(without->type)->name);
    }
    if (gg_present(up) && (!a->packed || !up->packed)) {
        return gg_fail(GG_FAILED, "mul_mat: a gate needs packed weights");
    }
    if (!a->packed) {
        return gg_mul_mat_strided(&p, share);
    }
    mul_mat_packed(&p, share);
    return GG_OK;
}
