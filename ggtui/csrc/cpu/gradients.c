/* Ops of gradients: what comes back through an op from the gradient g of its result, and how gradients of one tensor are
 * added up. Threads own places of the result, so every sum has its order, whatever their number. */
#include <math.h>

#include "cpu/rows.h"

/* dst = value */
int gg_op_fill(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst; // (ne0, ne1, ne2, ne3)
    const float value = step->params[0].f;
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        float *y = gg_row(share, dst, gg_row_at(dst, r));
        for (int64_t i = 0; i < dst->ne[0]; i++) {
            y[i] = value;
        }
    }
    return GG_OK;
}

/* The columns of rows that a thread takes: as many threads as there are share each row. */
enum { UNIT = 16, ROWS = 64 };

typedef struct {
    int64_t row, c0, c1;
} part;

/* Part i of n_rows * n_parts. */
static part part_at(int64_t i, int64_t n_parts, int64_t n_columns) {
    const int64_t n_units = gg_div_up(n_columns, UNIT), p = i % n_parts;
    return (part){i / n_parts, n_units * p / n_parts * UNIT, gg_min(n_columns, n_units * (p + 1) / n_parts * UNIT)};
}

static int64_t parts_of(int64_t n_rows, int64_t n_columns, int nth) {
    return n_rows >= nth ? 1 : gg_max(1, gg_min(gg_div_up(n_columns, UNIT), gg_div_up(nth, gg_max(1, n_rows))));
}

/* n values from x, nb0 bytes apart, added to y; piece: room for them */
static void add_values(const gg_kernels *kernels, int64_t n, float *y, const uint8_t *x, int64_t nb0, float *piece) {
    const float *values = (const float *)x;
    if (nb0 != sizeof(float)) {
        gg_gather(n, sizeof(float), piece, x, nb0);
        values = piece;
    }
    kernels->add(n, y, y, values, 0);
}

size_t gg_tmp_row_of_second(const gg_step *step) { return (size_t)step->src[1].ne[0] * sizeof(float); }

/* dst += b at a place: at params[3] bytes, with strides params[0..2] of dimensions 1 to 3 */
int gg_op_acc(const gg_step *step, const gg_share *share) {
    const gg_tensor *b = &step->src[1]; // dst's memory is that of src[0]
    uint8_t *y = (uint8_t *)gg_data(&step->dst, share) + step->params[3].i;
    int64_t r0, r1;
    gg_split(gg_n_rows(b), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(b, r);
        float *row = (float *)(y + at.i1 * step->params[0].i + at.i2 * step->params[1].i + at.i3 * step->params[2].i);
        add_values(share->kernels, b->ne[0], row, gg_row(share, b, at), b->nb[0], share->tmp);
    }
    return GG_OK;
}

/* dst[:, rows[i, j, l], j, l] += b[:, i, j, l], in the order of i */
int gg_op_add_rows(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;     // (ne0, n_rows, b1, b2), the memory of src[0]
    const gg_tensor *b = &step->src[1];    // (ne0, n, b1, b2)
    const gg_tensor *rows = &step->src[2]; // (n, b1, b2) i32
    const int64_t n_matrices = b->ne[2] * b->ne[3], n_parts = parts_of(n_matrices, b->ne[0], share->nth);
    int64_t p0, p1;
    gg_split(n_matrices * n_parts, share, &p0, &p1);
    for (int64_t p = p0; p < p1; p++) {
        const part at = part_at(p, n_parts, b->ne[0]);
        const int64_t i2 = at.row % b->ne[2], i3 = at.row / b->ne[2];
        const uint8_t *index = gg_row(share, rows, (gg_row_index){i2, i3, 0});
        for (int64_t i = 0; i < b->ne[1]; i++) {
            const int32_t row = *(const int32_t *)(index + i * rows->nb[0]);
            if (row < 0 || row >= dst->ne[1]) {
                return gg_fail(GG_FAILED, "add_rows: row %d of %lld is out of range", (int)row, (long long)dst->ne[1]);
            }
            const uint8_t *x = (uint8_t *)gg_row(share, b, (gg_row_index){i, i2, i3}) + at.c0 * b->nb[0];
            float *y = (float *)gg_row(share, dst, (gg_row_index){row, i2, i3}) + at.c0;
            add_values(share->kernels, at.c1 - at.c0, y, x, b->nb[0], share->tmp);
        }
    }
    return GG_OK;
}

/* Sums of ROWS rows, and a row that is gathered. */
size_t gg_tmp_repeat_back(const gg_step *step) { return (size_t)(2 * gg_max(step->dst.ne[0], step->src[0].ne[0])) * sizeof(float); }

/* dst = the sum of all that stands where a repeated dst would: so many rows are added up before they are added to the others,
 * which keeps small ones from being lost */
int gg_op_repeat_back(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (m0, m1, m2, m3)
    const gg_tensor *src = &step->src[0]; // (n0, n1, n2, n3), multiples of them
    const int64_t m0 = dst->ne[0], n0 = src->ne[0], n_rows = gg_n_rows(dst), n_parts = parts_of(n_rows, m0, share->nth);
    int64_t times[4];
    for (int i = 0; i < 4; i++) {
        times[i] = dst->ne[i] > 0 ? src->ne[i] / dst->ne[i] : 0;
    }
    const int64_t n = times[1] * times[2] * times[3];
    float *sum = share->tmp, *piece = sum + gg_max(m0, n0);
    int64_t p0, p1;
    gg_split(n_rows * n_parts, share, &p0, &p1);
    for (int64_t p = p0; p < p1; p++) {
        const part own = part_at(p, n_parts, m0);
        const gg_row_index at = gg_row_at(dst, own.row);
        const int64_t width = own.c1 - own.c0;
        float *y = (float *)gg_row(share, dst, at) + own.c0;
        memset(y, 0, (size_t)width * sizeof(float));
        for (int64_t first = 0; first < n; first += ROWS) {
            memset(sum, 0, (size_t)width * sizeof(float));
            for (int64_t i = first; i < gg_min(first + ROWS, n); i++) {
                const gg_row_index from = {at.i1 + i % times[1] * dst->ne[1], at.i2 + i / times[1] % times[2] * dst->ne[2],
                                           at.i3 + i / times[1] / times[2] * dst->ne[3]};
                const uint8_t *x = gg_row(share, src, from);
                if (m0 == 1) {
                    sum[0] += share->kernels->sum(n0, gg_f32_row(share, src, from, piece));
                    continue;
                }
                for (int64_t j = 0; j < times[0]; j++) {
                    add_values(share->kernels, width, sum, x + (j * m0 + own.c0) * src->nb[0], src->nb[0], piece);
                }
            }
            share->kernels->add(width, y, y, sum, 0);
        }
    }
    return GG_OK;
}

typedef void (*back_fn)(int64_t n, float *y, const float *g, const float *x);

static back_fn slope_kernel(const gg_kernels *kernels, int op) {
    switch (op) {
        case GG_OP_RELU_BACK: return kernels->relu_back;
        case GG_OP_SILU_BACK: return kernels->silu_back;
        case GG_OP_GELU_BACK: return kernels->gelu_back;
        case GG_OP_GELU_ERF_BACK: return kernels->gelu_erf_back;
        default: return kernels->gelu_quick_back;
    }
}

/* One row of an op's from g and x, the source or the result of the op that the gradient goes back through. */
static void back_row(const gg_step *step, const gg_kernels *kernels, int64_t n, float *y, const float *g, const float *x) {
    const float a = step->params[0].f, b = step->params[1].f;
    switch (step->op) {
        case GG_OP_CLAMP_BACK: kernels->clamp_back(n, y, g, x, a, b); break;
        case GG_OP_NORM_BACK: kernels->norm_back(n, y, g, x, a); break;
        case GG_OP_RMS_NORM_BACK: kernels->rms_norm_back(n, y, g, x, a); break;
        case GG_OP_L2_NORM_BACK: kernels->l2_norm_back(n, y, g, x, a); break;
        case GG_OP_SOFT_MAX_BACK: kernels->soft_max_back(n, y, g, x, a); break;
        default: slope_kernel(kernels, step->op)(n, y, g, x);
    }
}

/* dst = what g becomes, row by row */
int gg_op_back(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;  // (ne0, ne1, ne2, ne3)
    const gg_tensor *g = &step->src[0]; // like dst
    const gg_tensor *x = &step->src[1]; // like dst
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        const float *xs = gg_f32_row(share, x, at, share->tmp);
        back_row(step, share->kernels, dst->ne[0], y, gg_f32_row(share, g, at, y), xs);
    }
    return GG_OK;
}

/* The target of row r: -1 where it has none. Returns a gg_status. */
static int target_of(const gg_share *share, const char *op, const gg_tensor *targets, int64_t r, int64_t n, int32_t *target) {
    *target = ((const int32_t *)gg_data(targets, share))[r];
    if (*target < -1 || *target >= n) {
        return gg_fail(GG_FAILED, "%s: target %d of %lld is out of range", op, (int)*target, (long long)n);
    }
    return GG_OK;
}

size_t gg_tmp_row_of_first(const gg_step *step) { return (size_t)step->src[0].ne[0] * sizeof(float); }

/* dst[r] = ln(sum(exp(logits[:, r]))) - logits[target, r], 0 without a target */
int gg_op_cross_entropy(const gg_step *step, const gg_share *share) {
    const gg_tensor *logits = &step->src[0];  // (n, ne1, ne2, ne3)
    const gg_tensor *targets = &step->src[1]; // (ne1, ne2, ne3) i32
    float *y = gg_data(&step->dst, share);    // (ne1, ne2, ne3)
    int64_t r0, r1;
    gg_split(gg_n_rows(logits), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        int32_t target;
        const int status = target_of(share, "cross_entropy", targets, r, logits->ne[0], &target);
        if (status != GG_OK) {
            return status;
        }
        const float *x = gg_f32_row(share, logits, gg_row_at(logits, r), share->tmp);
        y[r] = target < 0 ? 0.0f : share->kernels->log_sum_exp(logits->ne[0], x) - x[target];
    }
    return GG_OK;
}

/* dst[:, r] = g[r] * (softmax(logits[:, r]) - 1 at the target), 0 without a target */
int gg_op_cross_entropy_back(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;        // (n, ne1, ne2, ne3)
    const float *g = gg_data(&step->src[0], share); // (ne1, ne2, ne3)
    const gg_tensor *logits = &step->src[1];  // like dst
    const gg_tensor *targets = &step->src[2]; // (ne1, ne2, ne3) i32
    const int64_t n = dst->ne[0];
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        int32_t target;
        const int status = target_of(share, "cross_entropy_back", targets, r, n, &target);
        if (status != GG_OK) {
            return status;
        }
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        if (target < 0) {
            memset(y, 0, (size_t)n * sizeof(float));
            continue;
        }
        share->kernels->soft_max(n, y, gg_f32_row(share, logits, at, y), 1.0f, NULL, 1.0f, NULL);
        y[target] -= 1.0f;
        share->kernels->scale(n, y, y, g[r], 0.0f);
    }
    return GG_OK;
}
