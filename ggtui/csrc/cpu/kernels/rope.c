/* Pairs of a row turned by their angles: (x0, x1) becomes (x0 c - x1 s, x0 s + x1 c). */
#include <string.h>

#include "names.h"

enum { PAIRS = 16 }; /* at once, out of arrays of their own: y may be x, and the compiler finds the shuffles */

static void turn_neighbours(int n, float *y, const float *x, const float *c, const float *s) {
    for (int i = 0; i < n; i++) {
        y[2 * i] = x[2 * i] * c[i] - x[2 * i + 1] * s[i];
        y[2 * i + 1] = x[2 * i] * s[i] + x[2 * i + 1] * c[i];
    }
}

void GG_KERNEL(rope_neighbours)(int64_t n, float *y, const float *x, const float *c, const float *s) {
    float from[2 * PAIRS], to[2 * PAIRS];
    int64_t i = 0;
    for (; i + PAIRS <= n; i += PAIRS) {
        memcpy(from, x + 2 * i, sizeof from);
        turn_neighbours(PAIRS, to, from, c + i, s + i);
        memcpy(y + 2 * i, to, sizeof to);
    }
    const size_t rest = (size_t)(n - i) * 2 * sizeof(float);
    memcpy(from, x + 2 * i, rest);
    turn_neighbours((int)(n - i), to, from, c + i, s + i);
    memcpy(y + 2 * i, to, rest);
}

void GG_KERNEL(rope_halves)(int64_t n, float *y, const float *x, const float *c, const float *s) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const v16 x0 = v16_load(x + i), x1 = v16_load(x + n + i), vc = v16_load(c + i), vs = v16_load(s + i);
        v16_store(y + i, v16_sub(v16_mul(x0, vc), v16_mul(x1, vs)));
        v16_store(y + n + i, v16_add(v16_mul(x0, vs), v16_mul(x1, vc)));
    }
    for (; i < n; i++) {
        const float x0 = x[i], x1 = x[n + i];
        y[i] = x0 * c[i] - x1 * s[i];
        y[n + i] = x0 * s[i] + x1 * c[i];
    }
}
