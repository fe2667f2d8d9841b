/* exp in double precision, for probabilities. */
#ifndef GG_EXP_F64_H
#define GG_EXP_F64_H
#include <stdint.h>

/* e^t for t <= 0, without a branch so that compilers make vectors of it, and with no products fused, so that they give the same
 * bits with every instruction set: t = k log 2 + r, the Taylor series of e^r, and k into the exponent. 0 from where the result
 * would be no normal number. */
static inline __attribute__((always_inline)) double gg_exp_f64(double t) {
    const double least = -708.0, magic = 0x1.8p52; /* adding it leaves the nearest whole number in the lowest bits */
    const double s = t < least ? least : t;
    const double k_magic = s * 0x1.71547652b82fep+0 + magic, k = k_magic - magic;
    const double r = (s - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    union {
        double value;
        uint64_t bits;
    } exponent = {.value = k_magic}, result = {.value = p};
    result.bits += exponent.bits << 52;
    return t < least ? 0.0 : result.value;
}
#endif
