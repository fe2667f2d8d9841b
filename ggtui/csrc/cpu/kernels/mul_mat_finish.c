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

void GG_HELPER(finish)(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols, const float *sums) {
    for (int t = 0; t < n_halves; t++, row += GG_ROWS) {
        int64_t n = a->n_rows - row;
        v16 bias = v16_set1(-0.0f);
        if (a->bias)
            bias = n >= GG_ROWS ? v16_load(a->bias + row) : v16_load_n(a->bias + row, n);
        for (int c = 0; c < n_cols; c++, sums += GG_ROWS) {
            float *y = (float *)((uint8_t *)a->y + (col + c) * a->y_nb) + row;
            v16 v = v16_add(v16_load(sums), bias);
            if (a->act != GG_OP_NONE)
                v = activate(a->act, v);
            if (a->residual) {
                const float *r = (const float *)((const uint8_t *)a->residual + (col + c) * a->residual_nb) + row;
                v = v16_add(v, n >= GG_ROWS ? v16_load(r) : v16_load_n(r, n));
            }
            if (n >= GG_ROWS)
                v16_store(y, v);
            else
                v16_store_n(y, v, n);
        }
    }
}
