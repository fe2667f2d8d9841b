/* Ops that make one value of many: sum, sum_rows, mean, argmax. */
#include "cpu/rows.h"

/* The sum of a row whose values do not follow each other, by the same rule and so to the same bits as kernels->sum:
 * value i goes into lane i % 16, then the lanes are added in halves. */
static float sum_strided(int64_t n, const uint8_t *x, int64_t nb0) {
    float lane[16] = {0};
    for (int64_t i = 0; i < n; i++) {
        lane[i % 16] += *(const float *)(x + i * nb0);
    }
    for (int half = 8; half >= 1; half /= 2) {
        for (int i = 0; i < half; i++) {
            lane[i] += lane[i + half];
        }
    }
    return lane[0];
}

static float sum_row(const gg_share *share, const gg_tensor *t, gg_row_index at) {
    const void *x = gg_row(share, t, at); // (ne0)
    return t->nb[0] == sizeof(float) ? share->kernels->sum(t->ne[0], x) : sum_strided(t->ne[0], x, t->nb[0]);
}

/* dst = the sum of all values. One thread does it, since no sum is split over threads. */
int gg_op_sum(const gg_step *step, const gg_share *share) {
    const gg_tensor *src = &step->src[0]; // (ne0, ne1, ne2, ne3)
    if (share->ith != 0) {
        return GG_OK;
    }
    double sum = 0;
    for (int64_t r = 0; r < gg_n_rows(src); r++) {
        sum += (double)sum_row(share, src, gg_row_at(src, r));
    }
    *(float *)gg_data(&step->dst, share) = (float)sum;
    return GG_OK;
}

/* dst[0, i1, i2, i3] = the sum of row (i1, i2, i3), for mean divided by the row's length */
int gg_op_sum_rows(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (1, ne1, ne2, ne3)
    const gg_tensor *src = &step->src[0]; // (ne0, ne1, ne2, ne3)
    const float count = step->op == GG_OP_MEAN ? (float)src->ne[0] : 1.0f;
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        *(float *)gg_row(share, dst, at) = sum_row(share, src, at) / count;
    }
    return GG_OK;
}

/* dst[i1] = the place of the largest value in row i1, of the first one where several are equal */
int gg_op_argmax(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (ne1) i32
    const gg_tensor *src = &step->src[0]; // (ne0, ne1)
    uint8_t *places = gg_data(dst, share);
    int64_t r0, r1;
    gg_split(gg_n_rows(src), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const uint8_t *x = gg_row(share, src, gg_row_at(src, r));
        int64_t best = 0;
        float most = *(const float *)x;
        for (int64_t i = 1; i < src->ne[0]; i++) {
            const float value = *(const float *)(x + i * src->nb[0]);
            if (value > most) {
                most = value;
                best = i;
            }
        }
        *(int32_t *)(places + r * dst->nb[0]) = (int32_t)best;
    }
    return GG_OK;
}
