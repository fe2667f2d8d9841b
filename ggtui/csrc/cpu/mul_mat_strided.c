/* mul_mat of weights that are not packed: gradients, attention written out, tensors made by hand. Parts are packed on the fly, a
 * slice of k at a time, so that a tile and the columns it meets stay in the second-level cache:
 *
 *     chunk: rows [row0, row1) of a, some tiles, times a block of columns of b
 *       slice of k:  columns of b to [k][column], where those of b are no rows of floats
 *         tile:      32 rows of a to [k][32], times all columns of the block; sums go on where the slice before left them in dst
 *
 * No sum is cut otherwise: its terms are added in the order of k, by one thread. */
#include "cpu/mul_mat.h"

enum {
    SLICE = 512,    /* of k: a tile takes 64 KB, a block of columns at most half a megabyte */
    COLUMNS = 252,  /* most in a block: a multiple of what kernels take at a time */
    GROUP = 12,     /* of which blocks are multiples */
    FEW_TILES = 4,  /* that packed columns serve at least, where there are so many */
    CHUNKS = 8,     /* for each thread, so that all end at about the same time */
};

/* Whether the rows of a are decoded a tile at a time: those of a user's own type, where each call costs a trip to Python. */
static bool decodes_tiles(const gg_tensor *a) {
    return gg_is_own_type(a->type) && a->nb[1] == (int64_t)gg_row_bytes(a->type, a->ne[0]);
}

/* Rows of one's own types may begin with a head, and have no meaning from the middle on. Where the residual lies in dst, there is no
 * room for sums that go on. Of nothing to sum there is still a slice, or those who go from slice to slice would never end. */
static int64_t slice_of(const gg_tensor *a, const gg_tensor *dst, const gg_tensor *residual) {
    const bool in_place = gg_present(residual) && residual->data == dst->data && residual->own == dst->own;
    return gg_max(1, in_place || gg_is_own_type(a->type) ? a->ne[0] : gg_min(SLICE, a->ne[0]));
}

static bool packs_columns(const gg_tensor *b) { return b->nb[0] != sizeof(float); }

static int64_t block_of(const gg_tensor *b) {
    const int64_t n = gg_max(1, b->ne[1]);
    return gg_div_up(gg_div_up(n, gg_div_up(n, COLUMNS)), GROUP) * GROUP; // blocks of about the same size
}

/* What a thread packs into: (GG_TILE, slice), then (slice) rows of a that are decoded, one or a tile of them, then
 * (block, slice). */
typedef struct {
    int64_t tile, rows, columns;
} room;

static room room_of(const gg_tensor *a, const gg_tensor *b, int64_t k) {
    const int64_t decoded = a->type == GG_TYPE_F32 ? 0 : decodes_tiles(a) ? GG_TILE : 1;
    return (room){GG_TILE * k, decoded * k, packs_columns(b) ? block_of(b) * k : 0};
}

size_t gg_mul_mat_strided_tmp(const gg_step *step) {
    const gg_tensor *a = &step->src[0];
    const room r = room_of(a, &step->src[1], slice_of(a, &step->dst, &step->src[3]));
    return (size_t)(r.tile + r.rows + r.columns) * sizeof(float);
}

/* Values [k0, k0 + k) of n_rows rows that follow each other, n_rows <= GG_TILE, as a tile of floats. Returns a gg_status. */
static int pack_tile(const gg_share *share, const gg_tensor *a, gg_row_index at, int64_t n_rows, int64_t k0, int64_t k,
                     float *tile, float *rows) {
    const gg_type_info *type = gg_type_info_of(a->type);
    const uint8_t *x = (uint8_t *)gg_row(share, a, at) + k0 / type->block * a->nb[0];
    if (a->type == GG_TYPE_F32 && a->nb[0] == sizeof(float)) {
        share->kernels->pack_rows(k, tile, (const float *)x, a->nb[1], (int)n_rows);
        return GG_OK;
    }
    if (a->type == GG_TYPE_F32) { // rows side by side, or whatever
        for (int64_t i = 0; i < k; i++, tile += GG_TILE) {
            gg_gather(n_rows, sizeof(float), tile, x + i * a->nb[0], a->nb[1]);
            memset(tile + n_rows, 0, (size_t)(GG_TILE - n_rows) * sizeof(float));
        }
        return GG_OK;
    }
    if (decodes_tiles(a)) {
        const int status = gg_decode_rows(share, a->type, k, n_rows, x, rows);
        if (status == GG_OK) {
            share->kernels->pack_rows(k, tile, rows, k * (int64_t)sizeof(float), (int)n_rows);
        }
        return status;
    }
    gg_tensor part = *a; // the values of a slice
    part.ne[0] = k;
    part.data = (uint8_t *)part.data + k0 / type->block * a->nb[0];
    for (int64_t r = 0; r < n_rows; r++, at.i1++) {
        const int status = gg_load_row(share, &part, at, rows);
        if (status != GG_OK) {
            return status;
        }
        for (int64_t i = 0; i < k; i++) {
            tile[i * GG_TILE + r] = rows[i];
        }
    }
    for (int64_t i = 0; i < k && n_rows < GG_TILE; i++) {
        memset(tile + i * GG_TILE + n_rows, 0, (size_t)(GG_TILE - n_rows) * sizeof(float));
    }
    return GG_OK;
}

/* Values [k0, k0 + k) of n columns from col0 on as [k][n]. */
static void pack_columns(const gg_tensor *b, const uint8_t *matrix, int64_t col0, int64_t n, int64_t k0, int64_t k, float *y) {
    const uint8_t *x = matrix + k0 * b->nb[0] + col0 * b->nb[1];
    for (int64_t i = 0; i < k; i++, x += b->nb[0], y += n) {
        gg_gather(n, sizeof(float), y, x, b->nb[1]);
    }
}

typedef struct {
    int64_t row0, row1, col0, n_cols;
} chunk;

/* All of a chunk of matrix `at`. Returns a gg_status. */
static int multiply(const gg_mul_mat *p, const gg_share *share, gg_row_index at, chunk c) {
    const int64_t k = p->a->ne[0], slice = slice_of(p->a, p->dst, p->residual);
    const room r = room_of(p->a, p->b, slice);
    float *tile = share->tmp, *rows = tile + r.tile, *columns = rows + r.rows;
    const uint8_t *b = gg_row(share, p->b, at);
    gg_row_index y_at = at, a_at = gg_matrix_of_a(p, at);
    y_at.i1 = c.col0;
    for (int64_t k0 = 0; k0 < k || k0 == 0; k0 += slice) {
        const int64_t n_k = gg_min(slice, k - k0);
        if (packs_columns(p->b)) {
            pack_columns(p->b, b, c.col0, c.n_cols, k0, n_k, columns);
        }
        for (int64_t row0 = c.row0; row0 < c.row1; row0 += GG_TILE) {
            const int64_t n_rows = gg_min(GG_TILE, c.row1 - row0);
            a_at.i1 = row0;
            const int status = pack_tile(share, p->a, a_at, n_rows, k0, n_k, tile, rows);
            if (status != GG_OK) {
                return status;
            }
            gg_mul_mat_args args = {
                .k = n_k,
                .w = (const uint8_t *)tile,
                .w_nb = n_k * (int64_t)sizeof(float),
                .n_rows = n_rows,
                .x = b + c.col0 * p->b->nb[1] + k0 * (int64_t)sizeof(float),
                .x_nb = p->b->nb[1],
                .x_step = sizeof(float),
                .n_cols = c.n_cols,
                .y = (float *)gg_row(share, p->dst, y_at) + row0,
                .y_nb = p->dst->nb[1],
                .act = GG_OP_NONE,
                .go_on = k0 > 0,
            };
            if (packs_columns(p->b)) {
                args.x = (const uint8_t *)columns;
                args.x_nb = sizeof(float);
                args.x_step = c.n_cols * (int64_t)sizeof(float);
            }
            if (k0 + slice >= k) {
                gg_mul_mat_finish(p, share, at, row0, c.col0, &args);
            }
            p->kernel(&args);
        }
    }
    return GG_OK;
}

int gg_mul_mat_strided(const gg_mul_mat *p, const gg_share *share) {
    const int64_t n_matrices = p->b->ne[2] * p->b->ne[3], m = p->a->ne[1], n = p->b->ne[1];
    if (n * m * n_matrices == 0) {
        return GG_OK;
    }
    const int64_t cols = block_of(p->b), n_blocks = gg_div_up(n, cols), n_tiles = gg_div_up(m, GG_TILE);
    const int64_t wanted = gg_div_up(CHUNKS * share->nth, n_blocks * n_matrices);
    const int64_t most = packs_columns(p->b) ? gg_div_up(n_tiles, FEW_TILES) : n_tiles;
    const int64_t n_ranges = gg_max(1, gg_min(most, wanted)), per_matrix = n_ranges * n_blocks;
    for (int64_t i; (i = gg_next_chunk(share)) < per_matrix * n_matrices;) {
        const int64_t range = i % n_ranges, col0 = i % per_matrix / n_ranges * cols;
        const chunk c = {n_tiles * range / n_ranges * GG_TILE, gg_min(m, n_tiles * (range + 1) / n_ranges * GG_TILE), col0,
                         gg_min(cols, n - col0)};
        const int status = multiply(p, share, gg_matrix_of_b(p, i / per_matrix), c);
        if (status != GG_OK) {
            return status;
        }
    }
    return GG_OK;
}
