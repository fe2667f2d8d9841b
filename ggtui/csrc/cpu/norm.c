/* Rows brought to a common size: norm (mean 0, variance 1), rms_norm (mean square 1), l2_norm (length 1), and quantize,
 * which makes the 8-bit activations of a mul_mat and can do the norm before it on the way. */
#include "cpu/rows.h"

/* y[n] = norm(x[n]) * w[n] + b[n]; w and b may be NULL. y may be x. */
static void norm_row(const gg_kernels *kernels, int op, int64_t n, float *y, const float *x, float eps, const float *w,
                     const float *b) {
    switch (op) {
        case GG_OP_NORM: kernels->norm(n, y, x, eps, w, b); break;
        case GG_OP_RMS_NORM: kernels->rms_norm(n, y, x, eps, w, b); break;
        default:
            kernels->l2_norm(n, y, x, eps);
            if (w != NULL) {
                kernels->mul(n, y, y, w, 0);
            }
            if (b != NULL) {
                kernels->add(n, y, y, b, 0);
            }
    }
}

/* An optional weight or bias (ne0), its values one after the other. */
static const float *vector(const gg_share *share, const gg_tensor *t) {
    return gg_present(t) ? gg_data(t, share) : NULL;
}

int gg_op_norm(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;                  // (ne0, ne1, ne2, ne3)
    const gg_tensor *src = &step->src[0];               // like dst
    const float *w = vector(share, &step->src[1]);      // (ne0) or NULL
    const float *b = vector(share, &step->src[2]);      // (ne0) or NULL
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        const float *x = gg_f32_row(share, src, at, y);
        norm_row(share->kernels, step->op, dst->ne[0], y, x, step->params[0].f, w, b);
    }
    return GG_OK;
}

/* The row between its norm and its quantization. */
size_t gg_tmp_quantize(const gg_step *step) { return (size_t)step->src[0].ne[0] * sizeof(float); }

int gg_op_quantize(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;             // (ne0, ne1, ne2, ne3) q8_a
    const gg_tensor *src = &step->src[0];          // (ne0, ne1, ne2, ne3) f32
    const float *w = vector(share, &step->src[1]); // (ne0) or NULL
    const float *b = vector(share, &step->src[2]); // (ne0) or NULL
    const int norm = step->params[0].i;
    float *row = share->tmp;                       // (ne0)
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        const float *x = gg_f32_row(share, src, at, row);
        if (norm != GG_OP_NONE) {
            norm_row(share->kernels, norm, src->ne[0], row, x, step->params[1].f, w, b);
            x = row;
        }
        share->kernels->quantize_q8_a(src->ne[0], gg_row(share, dst, at), x);
    }
    return GG_OK;
}
