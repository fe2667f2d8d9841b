/* ALiBi (Press et al., 2021): each head weighs the mask's distances with a slope of its own, a geometric series. */
#ifndef GG_CPU_ALIBI_H
#define GG_CPU_ALIBI_H
#include <math.h>
#include <stdint.h>

/* With n2 the largest power of two <= n_head: 2^(-max_bias (h+1) / n2) for the first n2 heads, for the others the odd
 * steps of the series with half the ratio; 1 where max_bias is 0. */
static inline float gg_alibi_slope(float max_bias, int64_t h, int64_t n_head) {
    int64_t n2 = 1;
    while (n2 * 2 <= n_head) {
        n2 *= 2;
    }
    const double ratio = -(double)max_bias / (double)n2; // log2
    return (float)exp2(h < n2 ? ratio * (double)(h + 1) : ratio / 2 * (double)(2 * (h - n2) + 1));
}
#endif
