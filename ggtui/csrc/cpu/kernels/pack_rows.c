/* Rows become a tile: turned by blocks of 4 x 4, so that what is read and what is written goes by four at a time. */
#include <string.h>

#include "names.h"

typedef float v4 __attribute__((vector_size(16)));

GG_INLINE v4 load4(const uint8_t *p) {
    v4 r;
    memcpy(&r, p, sizeof r);
    return r;
}

GG_INLINE void store4(float *p, v4 a) { memcpy(p, &a, sizeof a); }

/* Values [k, k + 4) of four rows, x_nb apart, to four rows of the tile. */
GG_INLINE void turn4(float *y, const uint8_t *x, int64_t x_nb) {
    const v4 a = load4(x), b = load4(x + x_nb), c = load4(x + 2 * x_nb), d = load4(x + 3 * x_nb);
    const v4 ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const v4 cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store4(y, __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5));
    store4(y + GG_TILE, __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7));
    store4(y + 2 * GG_TILE, __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5));
    store4(y + 3 * GG_TILE, __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7));
}

void GG_KERNEL(pack_rows)(int64_t n, float *y, const float *x, int64_t x_nb, int n_rows) {
    const uint8_t *rows = (const uint8_t *)x;
    const int n4 = n_rows / 4 * 4;
    const int64_t k4 = n / 4 * 4;
    for (int64_t k = 0; k < k4; k += 4)
        for (int r = 0; r < n4; r += 4)
            turn4(y + k * GG_TILE + r, rows + r * x_nb + k * (int64_t)sizeof(float), x_nb);
    for (int64_t k = 0; k < n; k++)
        for (int r = k < k4 ? n4 : 0; r < GG_TILE; r++)
            y[k * GG_TILE + r] = r < n_rows ? *((const float *)(rows + r * x_nb) + k) : 0.0f;
}
