/* Ops that only move values: dup, cpy and cont (to another type, layout or shape), repeat, concat. */
#include "cpu/rows.h"

/* One row of the source and one of dst, as floats. */
size_t gg_tmp_copy(const gg_step *step) {
    return (size_t)(step->src[0].ne[0] + step->dst.ne[0]) * sizeof(float);
}

/* Row r of dst from a source of the same type. Blocks are moved whole: a unit is a block, or a value. */
static void copy_same(const gg_share *share, const gg_tensor *dst, const gg_tensor *src, int64_t r) {
    const gg_type_info *type = gg_type_info_of(dst->type);
    const int64_t n = dst->ne[0] / type->block, src_n = src->ne[0] / type->block;
    uint8_t *y = gg_row(share, dst, gg_row_at(dst, r));
    for (int64_t i = 0, m; i < n; i += m) {
        const int64_t unit = r * n + i, at = unit % src_n;
        m = gg_min(n - i, src_n - at);
        const uint8_t *x = (uint8_t *)gg_row(share, src, gg_row_at(src, unit / src_n)) + at * src->nb[0];
        gg_gather(m, type->bytes, y + i * type->bytes, x, src->nb[0]);
    }
}

/* A source row that is held as floats, since several rows of dst may be cut from it. */
typedef struct {
    float *values; // (ne0 of the source)
    int64_t row;   /* -1: none yet */
} held_row;

/* Row r of dst from a source of another type, by way of floats. made: (ne0 of dst), unused where dst is f32. */
static int copy_convert(const gg_share *share, const gg_tensor *dst, const gg_tensor *src, int64_t r, held_row *held,
                        float *made) {
    const int64_t n = dst->ne[0], src_n = src->ne[0];
    uint8_t *y = gg_row(share, dst, gg_row_at(dst, r));
    float *x = dst->type == GG_TYPE_F32 ? (float *)y : made;
    for (int64_t i = 0, m; i < n; i += m) {
        const int64_t at = (r * n + i) % src_n, row = (r * n + i) / src_n;
        m = gg_min(n - i, src_n - at);
        float *to = m == src_n ? x + i : held->values; // a whole row needs no holding
        if (to != held->values || row != held->row) {
            const int status = gg_load_row(share, src, gg_row_at(src, row), to);
            if (status != GG_OK) {
                return status;
            }
        }
        if (to == held->values) {
            held->row = row;
            memcpy(x + i, held->values + at, (size_t)m * sizeof(float));
        }
    }
    return dst->type == GG_TYPE_F32 ? GG_OK : gg_store_row(share->kernels, dst->type, n, x, y);
}

/* dst = src, value by value in the order of the rows; the shapes may differ, the number of values not */
int gg_op_copy(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (ne0, ne1, ne2, ne3)
    const gg_tensor *src = &step->src[0]; // as many values
    held_row held = {share->tmp, -1};
    float *made = held.values + src->ne[0];
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        if (src->type == dst->type && !src->packed) {
            copy_same(share, dst, src, r);
            continue;
        }
        const int status = copy_convert(share, dst, src, r, &held, made);
        if (status != GG_OK) {
            return status;
        }
    }
    return GG_OK;
}

/* dst = src over and over in every dimension */
int gg_op_repeat(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (ne0, ne1, ne2, ne3), each a multiple of src's
    const gg_tensor *src = &step->src[0]; // of dst's type, not of blocks
    const int64_t size = gg_type_info_of(dst->type)->bytes;
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        uint8_t *y = gg_row(share, dst, at);
        const uint8_t *x = gg_row(share, src, gg_row_wrap(src, at));
        for (int64_t i = 0; i < dst->ne[0]; i += src->ne[0]) {
            gg_gather(src->ne[0], size, y + i * size, x, src->nb[0]);
        }
    }
    return GG_OK;
}

/* dst = a and then b along one dimension */
int gg_op_concat(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;  // like a, but a.ne[dim] + b.ne[dim] along dim
    const gg_tensor *a = &step->src[0]; // of dst's type, not of blocks
    const gg_tensor *b = &step->src[1]; // like a but for ne[dim]
    const int dim = step->params[0].i;
    const int64_t size = gg_type_info_of(dst->type)->bytes;
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        gg_row_index at = gg_row_at(dst, r);
        uint8_t *y = gg_row(share, dst, at);
        if (dim == 0) {
            gg_gather(a->ne[0], size, y, gg_row(share, a, at), a->nb[0]);
            gg_gather(b->ne[0], size, y + a->ne[0] * size, gg_row(share, b, at), b->nb[0]);
            continue;
        }
        int64_t *i = dim == 1 ? &at.i1 : dim == 2 ? &at.i2 : &at.i3;
        const gg_tensor *from = *i < a->ne[dim] ? a : b;
        *i -= from == b ? a->ne[dim] : 0;
        gg_gather(dst->ne[0], size, y, gg_row(share, from, at), from->nb[0]);
    }
    return GG_OK;
}
