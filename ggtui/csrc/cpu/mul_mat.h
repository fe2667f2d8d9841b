/* What the two ways of mul_mat share: how a call is described, and how a kernel is called for a part of it. */
#ifndef GG_CPU_MUL_MAT_H
#define GG_CPU_MUL_MAT_H
#include "cpu/rows.h"

typedef struct {
    const gg_tensor *dst;      // (m, n, b2, b3) f32
    const gg_tensor *a;        // (k, m, a2, a3), b2 % a2 == 0, b3 % a3 == 0
    const gg_tensor *b;        // (k, n, b2, b3) f32, or q8_a where a is packed and of a block type
    const gg_tensor *bias;     // (m) f32 or absent
    const gg_tensor *residual; // like dst or absent; may be dst itself
    const gg_tensor *up;       // like a, packed as it is, or absent
    const gg_tensor *up_bias;  // (m) f32 or absent
    int act;
    gg_mul_mat_fn kernel, up_kernel;
} gg_mul_mat;

/* The matrices of a and b that make matrix i of dst: several of b may share one of a. */
static inline gg_row_index gg_matrix_of_b(const gg_mul_mat *p, int64_t i) {
    return (gg_row_index){0, i % p->b->ne[2], i / p->b->ne[2]};
}
static inline gg_row_index gg_matrix_of_a(const gg_mul_mat *p, gg_row_index at) {
    return (gg_row_index){0, at.i2 / (p->b->ne[2] / p->a->ne[2]), at.i3 / (p->b->ne[3] / p->a->ne[3])};
}

/* What is done with the sums of rows from row0 and columns from col0 on of matrix `at` of dst. */
static inline void gg_mul_mat_finish(const gg_mul_mat *p, const gg_share *share, gg_row_index at, int64_t row0, int64_t col0,
                                     gg_mul_mat_args *args) {
    at.i1 = col0;
    args->bias = gg_present(p->bias) ? (const float *)gg_data(p->bias, share) + row0 : NULL;
    args->act = p->act;
    if (gg_present(p->residual)) {
        args->residual = (const float *)gg_row(share, p->residual, at) + row0;
        args->residual_nb = p->residual->nb[1];
    }
    args->times_y = gg_present(p->up);
}

/* mul_mat of weights that are not packed: of any layout and type, but without a gate. Returns a gg_status. */
int gg_mul_mat_strided(const gg_mul_mat *p, const gg_share *share);
size_t gg_mul_mat_strided_tmp(const gg_step *step);
#endif
