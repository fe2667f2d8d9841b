/* Rows of any type to floats and back, and the ops that pick rows by index: get_rows, set_rows. */
#include "cpu/rows.h"

/* By value: cut towards zero, kept in range; a NaN becomes 0. */
static int32_t to_i32(float x) {
    if (x != x) {
        return 0;
    }
    return x >= 2147483648.0f ? INT32_MAX : x < -2147483648.0f ? INT32_MIN : (int32_t)x;
}

static void load_i32(int64_t n, float *y, const uint8_t *x, int64_t nb0) {
    for (int64_t i = 0; i < n; i++) {
        int32_t value;
        memcpy(&value, x + i * nb0, sizeof(value));
        y[i] = (float)value;
    }
}

/* 2-byte floats that do not follow each other, gathered in pieces. */
static void load_half(int64_t n, float *y, const uint8_t *x, int64_t nb0,
                      void (*to_f32)(int64_t, float *, const uint16_t *)) {
    enum { PIECE = 128 };
    uint16_t piece[PIECE];
    if (nb0 == sizeof(uint16_t)) {
        to_f32(n, y, (const uint16_t *)x);
        return;
    }
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t m = gg_min(PIECE, n - i);
        gg_gather(m, sizeof(uint16_t), piece, x + i * nb0, nb0);
        to_f32(m, y + i, piece);
    }
}

int gg_load_row(const gg_share *share, const gg_tensor *t, gg_row_index at, float *y) {
    const int64_t n = t->ne[0];
    if (t->packed) {
        return gg_unpack_row(t->type, n, at.i1, gg_row(share, t, (gg_row_index){0, at.i2, at.i3}), y);
    }
    const uint8_t *x = gg_row(share, t, at);
    switch (t->type) {
        case GG_TYPE_F32: gg_gather(n, sizeof(float), y, x, t->nb[0]); return GG_OK;
        case GG_TYPE_F16: load_half(n, y, x, t->nb[0], share->kernels->f16_to_f32); return GG_OK;
        case GG_TYPE_BF16: load_half(n, y, x, t->nb[0], share->kernels->bf16_to_f32); return GG_OK;
        case GG_TYPE_I32: load_i32(n, y, x, t->nb[0]); return GG_OK;
        default: return gg_is_own_type(t->type) ? gg_decode_rows(share, t->type, n, 1, x, y) : gg_dequantize(t->type, n, x, y);
    }
}

int gg_store_row(const gg_kernels *kernels, int type, int64_t n, const float *x, void *y) {
    switch (type) {
        case GG_TYPE_F32: gg_gather(n, sizeof(float), y, x, sizeof(float)); return GG_OK;
        case GG_TYPE_F16: kernels->f32_to_f16(n, y, x); return GG_OK;
        case GG_TYPE_BF16: kernels->f32_to_bf16(n, y, x); return GG_OK;
        case GG_TYPE_Q8_A: kernels->quantize_q8_a(n, y, x); return GG_OK;
        case GG_TYPE_I32:
            for (int64_t i = 0; i < n; i++) {
                ((int32_t *)y)[i] = to_i32(x[i]);
            }
            return GG_OK;
        default: return gg_quantize(type, n, x, y);
    }
}

static int32_t index_at(const gg_share *share, const gg_tensor *rows, int64_t i, int64_t j, int64_t l) {
    const uint8_t *base = gg_row(share, rows, (gg_row_index){j, l, 0});
    return *(const int32_t *)(base + i * rows->nb[0]);
}

static int out_of_range(const char *op, int32_t row, int64_t n_rows) {
    return gg_fail(GG_FAILED, "%s: row %d of %lld is out of range", op, (int)row, (long long)n_rows);
}

/* dst[:, i, j, l] = src[:, rows[i, j, l], j, l] */
int gg_op_get_rows(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;     // (ne0, n, b1, b2) f32
    const gg_tensor *src = &step->src[0];  // (ne0, n_rows, b1, b2) of any type
    const gg_tensor *rows = &step->src[1]; // (n, b1, b2) i32
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        const int32_t row = index_at(share, rows, at.i1, at.i2, at.i3);
        if (row < 0 || row >= src->ne[1]) {
            return out_of_range("get_rows", row, src->ne[1]);
        }
        const int status = gg_load_row(share, src, (gg_row_index){row, at.i2, at.i3}, gg_row(share, dst, at));
        if (status != GG_OK) {
            return status;
        }
    }
    return GG_OK;
}

/* n values of each of n_rows rows, which follow each other in x, to row i1 on of a packed matrix, all in one tile: of each k
 * the rows lie side by side there. size: bytes of a value, 2 or 4. */
static void store_packed_rows(int64_t n, int64_t n_rows, int64_t size, const uint8_t *x, uint8_t *matrix, int64_t nb1,
                              int64_t i1) {
    if (n_rows == 0) {
        return; // there is no matrix then
    }
    uint8_t *y = matrix + i1 / GG_TILE * GG_TILE * nb1 + i1 % GG_TILE * size; // (GG_TILE, n)
    for (int64_t k = 0; k < n; k++, y += GG_TILE * size, x += size) {
        for (int64_t r = 0; r < n_rows; r++) {
            if (size == 2) {
                memcpy(y + r * 2, x + r * n * 2, 2);
            } else {
                memcpy(y + r * 4, x + r * n * 4, 4);
            }
        }
    }
}

/* Of a head's rows the columns that one thread writes. */
typedef struct {
    int64_t i2, i3;  /* the head */
    int64_t c0, c1;  /* its columns [c0, c1) */
} columns;

/* Source values as floats, and a tile's rows in the type of a packed matrix. */
size_t gg_tmp_set_rows(const gg_step *step) {
    const size_t rows = step->dst.packed ? GG_TILE + 1 : 1;
    return (size_t)step->src[0].ne[0] * sizeof(float) * rows;
}

/* These columns of all rows of src to their places in dst, in the order of the rows, so that of those with the same index the
 * last one stays. Rows that follow each other, and do so in a tile too, go there together. Returns a gg_status. */
static int set_columns(const gg_step *step, const gg_share *share, columns part) {
    const gg_tensor *dst = &step->dst;     // (ne0, n_rows, ne2, ne3) of any type
    const gg_tensor *src = &step->src[0];  // (ne0, n, ne2, ne3) f32
    const gg_tensor *rows = &step->src[1]; // (n, c1, c2) i32
    const gg_type_info *type = gg_type_info_of(dst->type);
    const int64_t n = part.c1 - part.c0, size = type->bytes, at = part.c0 / type->block * size;
    float *gathered = share->tmp;              // (n)
    uint8_t *tile = (uint8_t *)(gathered + n); // (n, GG_TILE) of dst's type
    uint8_t *matrix = gg_row(share, dst, (gg_row_index){0, part.i2, part.i3});
    int64_t n_held = 0; // rows in it, which go to `held` on
    int32_t held = 0;
    for (int64_t i = 0; i < src->ne[1]; i++) {
        const int32_t row = index_at(share, rows, i, part.i2 % rows->ne[1], part.i3 % rows->ne[2]);
        if (row < 0 || row >= dst->ne[1]) {
            return out_of_range("set_rows", row, dst->ne[1]);
        }
        const uint8_t *from = (uint8_t *)gg_row(share, src, (gg_row_index){i, part.i2, part.i3}) + part.c0 * src->nb[0];
        const float *x = (const float *)from;
        if (src->nb[0] != sizeof(float)) {
            gg_gather(n, sizeof(float), gathered, from, src->nb[0]);
            x = gathered;
        }
        uint8_t *y = matrix + row * dst->nb[1] + at;
        const bool in_blocks = dst->packed && type->block > 1;
        if (in_blocks) {
            y = tile;
        } else if (dst->packed) {
            if (row != held + n_held || row % GG_TILE == 0) {
                store_packed_rows(n, n_held, size, tile, matrix + GG_TILE * at, dst->nb[1], held);
                held = row, n_held = 0;
            }
            y = tile + n_held++ * n * size;
        }
        int status = GG_OK;
        if (dst->type == GG_TYPE_Q8_0) { // keys and values, for each token
            share->kernels->f32_to_q8_0(n, (gg_block_q8_0 *)y, x);
        } else {
            status = gg_store_row(share->kernels, dst->type, n, x, y);
        }
        if (status != GG_OK) {
            return status;
        }
        if (in_blocks) {
            gg_pack_values(dst->type, matrix + row / GG_TILE * GG_TILE * dst->nb[1], row % GG_TILE, part.c0, n, tile);
        }
    }
    store_packed_rows(n, n_held, size, tile, matrix + GG_TILE * at, dst->nb[1], held);
    return GG_OK;
}

/* dst[:, rows[i, j % c1, l % c2], j, l] = src[:, i, j, l]; heads are ne2 and ne3. Threads share heads, and columns where there are
 * fewer heads than threads; never rows, of which several may have the same index. */
int gg_op_set_rows(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst, *src = &step->src[0];
    const gg_type_info *type = gg_type_info_of(dst->type);
    const int64_t n_heads = src->ne[2] * src->ne[3], unit = type->block > 1 ? type->block : 16;
    const int64_t most = type->head ? 1 : gg_max(1, src->ne[0] / unit); // parts of a row that are units of their own
    const int64_t n_parts = n_heads >= share->nth ? 1 : gg_min(most, gg_div_up(share->nth, gg_max(1, n_heads)));
    int64_t p0, p1;
    gg_split(n_heads * n_parts, share, &p0, &p1);
    int status = GG_OK;
    for (int64_t p = p0; p < p1 && status == GG_OK; p++) {
        const int64_t head = p / n_parts, c = p % n_parts, n_units = src->ne[0] / unit;
        const int64_t c0 = n_units * c / n_parts * unit;
        const int64_t c1 = c + 1 == n_parts ? src->ne[0] : n_units * (c + 1) / n_parts * unit;
        status = set_columns(step, share, (columns){head % src->ne[2], head / src->ne[2], c0, c1});
    }
    return status;
}
