/* exp and what is made of it, sixteen lanes at a time. */
#ifndef GG_EXP_H
#define GG_EXP_H
#include <math.h>

#include "simd.h"

/* x = n ln 2 + r with |r| <= ln 2 / 2, and exp(r) = 1 + r + r^2 p(r), where p is within 3.3e-9 of the best fit. */
static inline v16 v16_exp(v16 x) {
    /* Beyond these bounds the result is infinite or 0 in any case. NaN passes both. */
    x = v16_min(v16_set1(89.0f), v16_max(v16_set1(-104.0f), x));
    v16 magic = v16_set1(0x1.8p23f); /* its last place is 1: adding it rounds to a whole number */
    v16 n = v16_sub(v16_fma(x, v16_set1(0x1.715476p0f), magic), magic);
    v16 r = v16_fma(n, v16_set1(-0x1.62e430p-1f), x); /* ln 2 in two parts */
    r = v16_fma(n, v16_set1(0x1.05c610p-29f), r);
    v16 p = v16_set1(0x1.6a1a72p-10f);
    p = v16_fma(p, r, v16_set1(0x1.123fc6p-7f));
    p = v16_fma(p, r, v16_set1(0x1.555916p-5f));
    p = v16_fma(p, r, v16_set1(0x1.55548ap-3f));
    p = v16_fma(p, r, v16_set1(0x1.fffffcp-2f));
    p = v16_fma(v16_mul(r, r), p, r);
    return v16_scale2(v16_add(p, v16_set1(1.0f)), n);
}

/* x / (1 + exp(-y)): x times the logistic function of y. */
static inline v16 v16_mul_sigmoid(v16 x, v16 y) {
    return v16_div(x, v16_add(v16_set1(1.0f), v16_exp(v16_neg(y))));
}

static inline v16 v16_sigmoid(v16 x) { return v16_mul_sigmoid(v16_set1(1.0f), x); }
static inline v16 v16_silu(v16 x) { return v16_mul_sigmoid(x, x); }
static inline v16 v16_gelu_quick(v16 x) { return v16_mul_sigmoid(x, v16_mul(x, v16_set1(1.702f))); }

/* x/2 (1 + tanh(u)) = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline v16 v16_gelu(v16 x) {
    v16 c = v16_fma(v16_mul(x, x), v16_set1(1.5957691216f * 0.044715f), v16_set1(1.5957691216f));
    return v16_mul_sigmoid(x, v16_mul(x, c));
}

/* x/2 (1 + erf(x / sqrt 2)); erfc by formula 7.1.26 of Abramowitz and Stegun, 1.5e-7 at most beside it. */
static inline v16 v16_gelu_erf(v16 x) {
    v16 z = v16_mul(v16_abs(x), v16_set1(0.70710678f)), one = v16_set1(1.0f);
    v16 t = v16_div(one, v16_fma(z, v16_set1(0.3275911f), one));
    v16 p = v16_set1(1.061405429f / 2); /* all coefficients / 2: this is erfc / 2 */
    p = v16_fma(p, t, v16_set1(-1.453152027f / 2));
    p = v16_fma(p, t, v16_set1(1.421413741f / 2));
    p = v16_fma(p, t, v16_set1(-0.284496736f / 2));
    p = v16_fma(p, t, v16_set1(0.254829592f / 2));
    v16 erfc_2 = v16_mul(v16_mul(p, t), v16_exp(v16_neg(v16_mul(z, z))));
    return v16_mul(x, v16_select(v16_lt(x, v16_set1(0.0f)), erfc_2, v16_sub(one, erfc_2)));
}

/* 1 - 2 / (exp(2 |x|) + 1) with the sign of x; near 0, where that cancels, x + x^3 p(x^2). */
static inline v16 v16_tanh(v16 x) {
    v16 a = v16_abs(x), z = v16_mul(x, x), one = v16_set1(1.0f), two = v16_set1(2.0f);
    v16 far = v16_sub(one, v16_div(two, v16_add(v16_exp(v16_add(a, a)), one)));
    v16 p = v16_set1(-0x1.76ac0ep-8f);
    p = v16_fma(p, z, v16_set1(0x1.5256d4p-6f));
    p = v16_fma(p, z, v16_set1(-0x1.b84448p-5f));
    p = v16_fma(p, z, v16_set1(0x1.110768p-3f));
    p = v16_fma(p, z, v16_set1(-0x1.555534p-2f));
    v16 near = v16_fma(v16_mul(x, z), p, x);
    return v16_select(v16_lt(a, v16_set1(0.625f)), near, v16_copysign(far, x));
}

static inline v16 v16_relu(v16 x) { return v16_max(v16_set1(0.0f), x); }
static inline v16 v16_sqr(v16 x) { return v16_mul(x, x); }

static inline v16 v16_log(v16 x) {
    float lanes[16];
    v16_store(lanes, x);
    for (int i = 0; i < 16; i++)
        lanes[i] = logf(lanes[i]);
    return v16_load(lanes);
}
#endif
