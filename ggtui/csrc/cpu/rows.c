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
        default: return gg_is_own_type(t->type) ? gg_decode_rows(t->type, n, 1, x, y) : gg_dequantize(t->type, n, x, y);
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

/* A source row as floats, and a tile's rows in the type of a packed matrix. */
size_t gg_tmp_set_rows(const gg_step *step) {
    const size_t rows = step->dst.packed ? GG_TILE + 1 : 1;
    return (size_t)step->src[0].ne[0] * sizeof(float) * rows;
}

/* Rows [r0, r1) of src to their places in dst. Rows that follow each other, and do so in a tile too, go there together.
 * Returns a gg_status. */
static int set_rows(const gg_step *step, const gg_share *share, int64_t r0, int64_t r1) {
    const gg_tensor *dst = &step->dst;     // (ne0, n_rows, ne2, ne3) of any type, f32 f16 bf16 where packed
    const gg_tensor *src = &step->src[0];  // (ne0, n, ne2, ne3) f32
    const gg_tensor *rows = &step->src[1]; // (n, c1, c2) i32
    const int64_t ne0 = src->ne[0], size = gg_type_info_of(dst->type)->bytes;
    float *gathered = share->tmp;                // (ne0)
    uint8_t *tile = (uint8_t *)(gathered + ne0); // (ne0, GG_TILE) of dst's type
    int64_t n_held = 0;                          // rows in it, which go to `held` on of matrix `of`
    int32_t held = 0;
    uint8_t *of = NULL;
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(src, r);
        const int32_t row = index_at(share, rows, at.i1, at.i2 % rows->ne[1], at.i3 % rows->ne[2]);
        if (row < 0 || row >= dst->ne[1]) {
            return out_of_range("set_rows", row, dst->ne[1]);
        }
        const float *x = gg_f32_row(share, src, at, gathered);
        uint8_t *y = gg_row(share, dst, (gg_row_index){row, at.i2, at.i3});
        if (dst->packed) {
            uint8_t *matrix = gg_row(share, dst, (gg_row_index){0, at.i2, at.i3});
            if (matrix != of || row != held + n_held || row % GG_TILE == 0) {
                store_packed_rows(ne0, n_held, size, tile, of, dst->nb[1], held);
                of = matrix, held = row, n_held = 0;
            }
            y = tile + n_held++ * ne0 * size;
        }
        const int status = gg_store_row(share->kernels, dst->type, ne0, x, y);
        if (status != GG_OK) {
            return status;
        }
    }
    store_packed_rows(ne0, n_held, size, tile, of, dst->nb[1], held);
    return GG_OK;
}

/* dst[:, rows[i, j % c1, l % c2], j, l] = src[:, i, j, l]; heads are ne2. */
int gg_op_set_rows(const gg_step *step, const gg_share *share) {
    int64_t r0, r1;
    if (share->heads == NULL) {
        gg_split(gg_n_rows(&step->src[0]), share, &r0, &r1);
        return set_rows(step, share, r0, r1);
    }
    const int64_t n = step->src[0].ne[1];
    int status = GG_OK;
    while (status == GG_OK && gg_next_heads(share, step->n_head, &r0, &r1)) {
        status = set_rows(step, share, r0 * n, r1 * n);
    }
    return status;
}
