/* Attention's softmax over the keys of each query, and the causal mask as an op of its own. */
#include <math.h>

#include "cpu/alibi.h"
#include "cpu/rows.h"

/* A row of the mask as floats. */
size_t gg_tmp_soft_max(const gg_step *step) { return (size_t)step->src[0].ne[0] * sizeof(float); }

/* dst = softmax(scale * src + slope(head) * mask) along dimension 0, with the head's sink in the denominator */
int gg_op_soft_max(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;      // (n_kv, n_q, n_head, ne3)
    const gg_tensor *src = &step->src[0];   // like dst
    const gg_tensor *mask = &step->src[1];  // (n_kv, >= n_q, m2, m3) f32 or f16, repeated in 2 and 3; or absent
    const gg_tensor *sinks = &step->src[2]; // (n_head) or absent
    const float scale = step->params[0].f, max_bias = step->params[1].f;
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        const float *x = gg_f32_row(share, src, at, y);
        const float *m = NULL;
        if (gg_present(mask)) {
            const gg_row_index mask_at = gg_row_wrap(mask, at);
            if (mask->type == GG_TYPE_F32) {
                m = gg_f32_row(share, mask, mask_at, share->tmp);
            } else {
                const int status = gg_load_row(share, mask, mask_at, share->tmp);
                if (status != GG_OK) {
                    return status;
                }
                m = share->tmp;
            }
        }
        const uint8_t *sink = gg_present(sinks) ? (uint8_t *)gg_data(sinks, share) + at.i2 * sinks->nb[0] : NULL;
        const float slope = gg_alibi_slope(max_bias, at.i2, src->ne[2]);
        share->kernels->soft_max(dst->ne[0], y, x, scale, m, slope, (const float *)sink);
    }
    return GG_OK;
}

/* dst[i0, i1] = src[i0, i1], but -inf, or of a gradient 0, for the keys i0 that come after query i1 */
int gg_op_diag_mask(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;      // (n_kv, n_q, n_head, ne3)
    const gg_tensor *src = &step->src[0];   // like dst
    const int64_t n_past = step->params[0].i;
    const float masked = step->op == GG_OP_DIAG_MASK_INF ? -INFINITY : 0.0f;
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        const int64_t seen = gg_max(0, gg_min(dst->ne[0], n_past + at.i1 + 1));
        gg_gather(seen, sizeof(float), y, gg_row(share, src, at), src->nb[0]);
        for (int64_t i = seen; i < dst->ne[0]; i++) {
            y[i] = masked;
        }
    }
    return GG_OK;
}
