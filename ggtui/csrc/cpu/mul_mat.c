/* mul_mat: dst[r, c] = act(sum over k of a[k, r] * b[k, c] + bias[r]) + residual[r, c], for each matrix; of a gate, instead of
 * plus the residual, times sum over k of up[k, r] * b[k, c] + up_bias[r].
 *
 * The work is cut into chunks that threads take as they come free, so that a thread which the system has put aside
 * holds up no more than its chunk. A chunk is some rows of a times some columns of b; no sum over k is ever cut. */
#include "cpu/rows.h"

enum {
    CACHE = 1024 * 1024,  /* bytes of b that stay in the second- or third-level cache while the weights pass */
    CHUNK = 256 * 1024,   /* bytes of a that a thread takes at a time, at most */
    COLUMNS = 12,         /* column blocks are multiples of this, so that kernels work on full groups of columns */
    GATHERED = 16,        /* columns gathered at a time where b is strided */
};

typedef struct {
    const gg_tensor *dst;      // (m, n, b2, b3) f32
    const gg_tensor *a;        // (k, m, a2, a3), b2 % a2 == 0, b3 % a3 == 0
    const gg_tensor *b;        // (k, n, b2, b3) f32, or q8_a where a is packed and of a block type
    const gg_tensor *bias;     // (m) f32 or absent
    const gg_tensor *residual; // like dst or absent; may be dst itself
    const gg_tensor *up;       // like a, packed as it is, or absent
    const gg_tensor *up_bias;  // (m) f32 or absent
    int act;
    gg_mul_mat_fn kernel, up_kernel;
} mul_mat;

/* The matrices of a and b that make matrix i of dst: several of b may share one of a. */
static gg_row_index matrix_of_b(const mul_mat *p, int64_t i) {
    return (gg_row_index){0, i % p->b->ne[2], i / p->b->ne[2]};
}
static gg_row_index matrix_of_a(const mul_mat *p, gg_row_index at) {
    return (gg_row_index){0, at.i2 / (p->b->ne[2] / p->a->ne[2]), at.i3 / (p->b->ne[3] / p->a->ne[3])};
}

/* Rows [row0, row0 + n_rows) of packed weights w times columns [col0, col0 + n_cols) of matrix `at`, which are at x: without what
 * is done with the sums. */
static gg_mul_mat_args args_of(const mul_mat *p, const gg_share *share, gg_row_index at, const uint8_t *w, int64_t w_nb,
                               int64_t row0, int64_t n_rows, const uint8_t *x, int64_t x_nb, int64_t col0, int64_t n_cols) {
    at.i1 = col0;
    return (gg_mul_mat_args){
        .k = p->a->ne[0],
        .w = w,
        .w_nb = w_nb,
        .n_rows = n_rows,
        .x = x,
        .x_nb = x_nb,
        .n_cols = n_cols,
        .y = (float *)gg_row(share, p->dst, at) + row0,
        .y_nb = p->dst->nb[1],
        .act = GG_OP_NONE,
    };
}

static const float *rows_of(const gg_share *share, const gg_tensor *vector, int64_t row0) {
    return gg_present(vector) ? (const float *)gg_data(vector, share) + row0 : NULL;
}

static void run_kernel(const mul_mat *p, const gg_share *share, gg_row_index at, const uint8_t *w, int64_t w_nb,
                       int64_t row0, int64_t n_rows, const uint8_t *x, int64_t x_nb, int64_t col0, int64_t n_cols) {
    gg_mul_mat_args args = args_of(p, share, at, w, w_nb, row0, n_rows, x, x_nb, col0, n_cols);
    args.bias = rows_of(share, p->bias, row0);
    args.act = p->act;
    if (gg_present(p->residual)) {
        at.i1 = col0;
        args.residual = (const float *)gg_row(share, p->residual, at) + row0;
        args.residual_nb = p->residual->nb[1];
    }
    args.times_y = gg_present(p->up);
    p->kernel(&args);
}

/* What the gate is multiplied with, into the place of the result. */
static void run_up(const mul_mat *p, const gg_share *share, gg_row_index at, int64_t row0, int64_t n_rows, const uint8_t *x,
                   int64_t col0, int64_t n_cols) {
    const uint8_t *w = (uint8_t *)gg_row(share, p->up, matrix_of_a(p, at)) + row0 * p->up->nb[1];
    gg_mul_mat_args args = args_of(p, share, at, w, p->up->nb[1], row0, n_rows, x, p->b->nb[1], col0, n_cols);
    args.bias = rows_of(share, p->up_bias, row0);
    p->up_kernel(&args);
}

/* How the packed weights of one matrix are cut: into n_ranges runs of tiles, and b into blocks of `cols` columns. */
typedef struct {
    int64_t n_tiles, n_ranges, cols, n_blocks;
} cut;

static cut cut_packed(const mul_mat *p, int64_t n_matrices, int nth) {
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
static void mul_mat_packed(const mul_mat *p, const gg_share *share) {
    const int64_t n_matrices = p->b->ne[2] * p->b->ne[3], m = p->a->ne[1], n = p->b->ne[1];
    if (n * m * n_matrices == 0) {
        return;
    }
    const cut c = cut_packed(p, n_matrices, share->nth);
    const int64_t per_matrix = c.n_ranges * c.n_blocks;
    for (int64_t chunk; (chunk = gg_next_chunk(share)) < per_matrix * n_matrices;) {
        const gg_row_index at = matrix_of_b(p, chunk / per_matrix);
        const int64_t range = chunk % c.n_ranges, col0 = chunk % per_matrix / c.n_ranges * c.cols;
        const int64_t row0 = c.n_tiles * range / c.n_ranges * GG_TILE;
        const int64_t row1 = gg_min(m, c.n_tiles * (range + 1) / c.n_ranges * GG_TILE);
        const uint8_t *w = (uint8_t *)gg_row(share, p->a, matrix_of_a(p, at)) + row0 * p->a->nb[1];
        const uint8_t *x = (uint8_t *)gg_row(share, p->b, at) + col0 * p->b->nb[1];
        const int64_t n_cols = gg_min(c.cols, n - col0);
        if (gg_present(p->up)) {
            run_up(p, share, at, row0, row1 - row0, x, col0, n_cols);
        }
        run_kernel(p, share, at, w, p->a->nb[1], row0, row1 - row0, x, p->b->nb[1], col0, n_cols);
    }
}

/* Whether the rows of a are decoded a tile at a time: those of a user's own type, where each call costs a trip to Python. */
static bool decodes_tiles(const gg_tensor *a) {
    return gg_is_own_type(a->type) && a->nb[1] == (int64_t)gg_row_bytes(a->type, a->ne[0]);
}

/* Rows [row0, row0 + n_rows) of a, at most GG_TILE, packed as floats; rows: scratch for one of them, or (k, GG_TILE)
 * where whole tiles are decoded. Returns a gg_status. */
static int pack_tile(const mul_mat *p, const gg_share *share, gg_row_index at, int64_t row0, int64_t n_rows,
                     float *tile, float *rows) {
    const int64_t k = p->a->ne[0];
    const bool decoded = decodes_tiles(p->a);
    at.i1 = row0;
    if (decoded) {
        const int status = gg_decode_rows(share, p->a->type, k, n_rows, gg_row(share, p->a, at), rows);
        if (status != GG_OK) {
            return status;
        }
    }
    for (int64_t r = 0; r < GG_TILE; r++) {
        float *row = decoded ? rows + r * k : rows;
        const float *x = row;
        at.i1 = row0 + r;
        if (r >= n_rows) {
            memset(row, 0, (size_t)k * sizeof(float));
        } else if (decoded) {
            // is there already
        } else if (p->a->type == GG_TYPE_F32) {
            x = gg_f32_row(share, p->a, at, row);
        } else {
            const int status = gg_load_row(share, p->a, at, row);
            if (status != GG_OK) {
                return status;
            }
        }
        for (int64_t i = 0; i < k; i++) {
            tile[i * GG_TILE + r] = x[i];
        }
    }
    return GG_OK;
}

/* a in whatever layout and type: a chunk packs one tile of it as floats and multiplies it with all columns. */
static int mul_mat_strided(const mul_mat *p, const gg_share *share) {
    const int64_t n_matrices = p->b->ne[2] * p->b->ne[3], k = p->a->ne[0], m = p->a->ne[1], n = p->b->ne[1];
    const int64_t n_tiles = gg_div_up(m, GG_TILE), row_bytes = k * (int64_t)sizeof(float);
    const bool gather = p->b->nb[0] != sizeof(float);
    float *tile = share->tmp;             // (GG_TILE, k)
    float *columns = tile + GG_TILE * k;  // (k, GATHERED); before that a row of a, or a tile of them
    for (int64_t chunk; (chunk = gg_next_chunk(share)) < n_tiles * n_matrices;) {
        gg_row_index at = matrix_of_b(p, chunk / n_tiles);
        const int64_t row0 = chunk % n_tiles * GG_TILE, n_rows = gg_min(GG_TILE, m - row0);
        const int status = pack_tile(p, share, matrix_of_a(p, at), row0, n_rows, tile, columns);
        if (status != GG_OK) {
            return status;
        }
        const uint8_t *w = (const uint8_t *)tile;
        if (!gather) {
            run_kernel(p, share, at, w, row_bytes, row0, n_rows, gg_row(share, p->b, at), p->b->nb[1], 0, n);
            continue;
        }
        for (int64_t col0 = 0; col0 < n; col0 += GATHERED) {
            const int64_t n_cols = gg_min(GATHERED, n - col0);
            for (int64_t i = 0; i < n_cols; i++) {
                at.i1 = col0 + i;
                gg_f32_row(share, p->b, at, columns + i * k);
            }
            const uint8_t *x = (const uint8_t *)columns;
            run_kernel(p, share, at, w, row_bytes, row0, n_rows, x, row_bytes, col0, n_cols);
        }
    }
    return GG_OK;
}

size_t gg_tmp_mul_mat(const gg_step *step) {
    const gg_tensor *a = &step->src[0], *b = &step->src[1];
    const int64_t gathered = b->nb[0] != sizeof(float) ? GATHERED : 1;
    const int64_t rows = GG_TILE + (decodes_tiles(a) ? gg_max(GG_TILE, gathered) : gathered);
    return a->packed ? 0 : (size_t)(rows * a->ne[0]) * sizeof(float);
}

static gg_mul_mat_fn kernel_of(const gg_share *share, const gg_tensor *weights) {
    return gg_mul_mat_kernel(share->kernels, weights->packed ? weights->type : GG_TYPE_F32);
}

int gg_op_mul_mat(const gg_step *step, const gg_share *share) {
    const gg_tensor *a = &step->src[0], *up = &step->src[4];
    const mul_mat p = {
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
        return mul_mat_strided(&p, share);
    }
    mul_mat_packed(&p, share);
    return GG_OK;
}
