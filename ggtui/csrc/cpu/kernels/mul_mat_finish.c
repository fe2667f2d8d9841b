/* What happens to the sums of mul_mat before they are written: see mul_mat.h. */
#include "exp.h"
#include "mul_mat.h"

static v16 activate(int act, v16 v) {
    switch (act) {
#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name)                                                                                             \
    case GG_OP_##NAME:                                                                                                   \
        return v16_##name(v);
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
    }
    return v;
}

GG_INLINE v16 load_rows(const void *x, int64_t n) {
    return n >= GG_ROWS ? v16_load((const float *)x) : v16_load_n((const float *)x, n);
}

/* A sum with all that is added to it, or done; n: rows from the first lane on. */
GG_INLINE v16 finished(const gg_mul_mat_args *a, v16 sum, v16 bias, const uint8_t *residual, const uint8_t *y, int64_t n) {
    v16 v = v16_add(sum, bias);
    if (a->act != GG_OP_NONE)
        v = activate(a->act, v);
    if (residual)
        v = v16_add(v, load_rows(residual, n));
    if (a->times_y)
        v = v16_mul(v, load_rows(y, n));
    return v;
}

void GG_HELPER(finish)(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols, const float *sums) {
    for (int t = 0; t < n_halves; t++, row += GG_ROWS) {
        const int64_t n = a->n_rows - row;
        uint8_t *y = (uint8_t *)(a->y + row) + col * a->y_nb;
        const uint8_t *residual = a->residual ? (const uint8_t *)(a->residual + row) + col * a->residual_nb : 0;
        v16 bias = v16_set1(-0.0f);
        if (a->bias)
            bias = load_rows(a->bias + row, n);
        if (n >= GG_ROWS && a->act == GG_OP_NONE && !residual && !a->times_y) { /* most products, without a branch for each column */
            for (int c = 0; c < n_cols; c++, sums += GG_ROWS)
                v16_store((float *)(y + c * a->y_nb), v16_add(v16_load(sums), bias));
            continue;
        }
        for (int c = 0; c < n_cols; c++, sums += GG_ROWS) {
            uint8_t *to = y + c * a->y_nb;
            const v16 v = finished(a, v16_load(sums), bias, residual ? residual + c * a->residual_nb : 0, to, n);
            if (n >= GG_ROWS)
                v16_store((float *)to, v);
            else
                v16_store_n((float *)to, v, n);
        }
    }
}
