/* Ops of optimizers: how long all gradients together are, and the steps that weights take. */
#include <math.h>

#include "cpu/rows.h"

enum {
    SQUARES = 65536, /* values whose squares make one sum */
    PIECE = 16384,   /* values of a step that a thread takes at a time */
};

/* dst[i] = the sum of squares of values [SQUARES i, SQUARES (i + 1)) */
int gg_op_sum_sqr(const gg_step *step, const gg_share *share) {
    const gg_tensor *src = &step->src[0];     // contiguous, n values
    const float *x = gg_data(src, share);
    float *y = gg_data(&step->dst, share);    // (n / SQUARES, rounded up)
    const int64_t n = src->ne[0] * gg_n_rows(src);
    int64_t p0, p1;
    gg_split(step->dst.ne[0], share, &p0, &p1);
    for (int64_t p = p0; p < p1; p++) {
        const float *part = x + p * SQUARES;
        y[p] = share->kernels->dot(gg_min(SQUARES, n - p * SQUARES), part, part);
    }
    return GG_OK;
}

/* The numbers of a step, with what clips gradients: in place of GG_GRADIENT there is the longest that all of them together may be, none
 * where that is not above 0. */
static void rates_of(const gg_tensor *rates, const gg_tensor *squares, const gg_share *share, float *h) {
    memcpy(h, gg_data(rates, share), GG_N_RATES * sizeof(float));
    const double most = (double)h[GG_GRADIENT], length = sqrt((double)*(const float *)gg_data(squares, share));
    h[GG_GRADIENT] = most > 0 && length > most ? (float)(most / length) : 1.0f;
}

/* The state moves by its gradient: n weights, then what is remembered of each. Pieces begin at fixed places, but no value hangs on
 * another. */
int gg_op_opt_step_adamw(const gg_step *step, const gg_share *share) {
    float *w = gg_data(&step->dst, share); // (n, 3): weights, means, means of squares
    const float *g = gg_data(&step->src[1], share);
    const int64_t n = step->dst.ne[0];
    float *m = w + n, *v = m + n, h[GG_N_RATES];
    rates_of(&step->src[2], &step->src[3], share, h);
    for (int64_t i; (i = gg_next_chunk(share) * PIECE) < n;) {
        share->kernels->adamw(gg_min(PIECE, n - i), w + i, g + i, m + i, v + i, h);
    }
    return GG_OK;
}

int gg_op_opt_step_sgd(const gg_step *step, const gg_share *share) {
    float *w = gg_data(&step->dst, share); // (n, 2): weights, momentum
    const float *g = gg_data(&step->src[1], share);
    const int64_t n = step->dst.ne[0];
    float *m = w + n, h[GG_N_RATES];
    rates_of(&step->src[2], &step->src[3], share, h);
    for (int64_t i; (i = gg_next_chunk(share) * PIECE) < n;) {
        share->kernels->sgd(gg_min(PIECE, n - i), w + i, g + i, m + i, h);
    }
    return GG_OK;
}
