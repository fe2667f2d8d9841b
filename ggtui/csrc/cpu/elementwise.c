/* Ops that make each value from the values at the same place: unary, binary, scale, clamp and the gated units. */
#include "cpu/rows.h"

/* dst = f(src), f by the op */
int gg_op_unary(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (ne0, ne1, ne2, ne3)
    const gg_tensor *src = &step->src[0]; // like dst
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        share->kernels->unary[step->op](dst->ne[0], y, gg_f32_row(share, src, at, y));
    }
    return GG_OK;
}

/* dst = s * src + b */
int gg_op_scale(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (ne0, ne1, ne2, ne3)
    const gg_tensor *src = &step->src[0]; // like dst
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        share->kernels->scale(dst->ne[0], y, gg_f32_row(share, src, at, y), step->params[0].f, step->params[1].f);
    }
    return GG_OK;
}

/* dst = min(max(src, low), high) */
int gg_op_clamp(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (ne0, ne1, ne2, ne3)
    const gg_tensor *src = &step->src[0]; // like dst
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        share->kernels->clamp(dst->ne[0], y, gg_f32_row(share, src, at, y), step->params[0].f, step->params[1].f);
    }
    return GG_OK;
}

enum { PIECE = 256 }; /* values gathered at a time, on the stack */

typedef void (*binary_fn)(int64_t n, float *y, const float *a, const float *b, int b_one);

static binary_fn binary_kernel(const gg_kernels *kernels, int op) {
    switch (op) {
        case GG_OP_ADD: return kernels->add;
        case GG_OP_SUB: return kernels->sub;
        case GG_OP_MUL: return kernels->mul;
        default: return kernels->div;
    }
}

/* y[n] = a[n] op b[n], b's values nb0 bytes apart */
static void binary_piecewise(binary_fn f, int64_t n, float *y, const float *a, const uint8_t *b, int64_t nb0) {
    float piece[PIECE];
    if (nb0 == sizeof(float)) {
        f(n, y, a, (const float *)b, 0);
        return;
    }
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t m = gg_min(PIECE, n - i);
        gg_gather(m, sizeof(float), piece, b + i * nb0, nb0);
        f(m, y + i, a + i, piece, 0);
    }
}

/* dst = a op b, b repeated to the shape of a */
int gg_op_binary(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;  // (ne0, ne1, ne2, ne3)
    const gg_tensor *a = &step->src[0]; // like dst
    const gg_tensor *b = &step->src[1]; // each ne divides dst's
    const int64_t n = b->ne[0];
    const binary_fn f = binary_kernel(share->kernels, step->op);
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        const float *x = gg_f32_row(share, a, at, y);
        const uint8_t *z = gg_row(share, b, gg_row_wrap(b, at));
        if (n == 1) {
            f(dst->ne[0], y, x, (const float *)z, 1);
            continue;
        }
        for (int64_t i = 0; i < dst->ne[0]; i += n) {
            binary_piecewise(f, n, y + i, x + i, z, b->nb[0]);
        }
    }
    return GG_OK;
}

/* dst = f(x) * gate, the gate being the second source or else the second half of each row */
int gg_op_glu(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;  // (n, ne1, ne2, ne3)
    const gg_tensor *x = &step->src[0]; // like dst, or (2n, ne1, ne2, ne3) where there is no gate
    const gg_tensor *g = &step->src[1]; // like dst, or absent
    const int64_t n = dst->ne[0];
    const bool two = gg_present(g);
    const int64_t x_nb = x->nb[0], g_nb = two ? g->nb[0] : x_nb;
    void (*f)(int64_t, float *, const float *, const float *) =
        step->op == GG_OP_SWIGLU ? share->kernels->swiglu : share->kernels->geglu;
    float x_piece[PIECE], g_piece[PIECE];
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        const uint8_t *x_row = gg_row(share, x, at);
        const uint8_t *g_row = two ? gg_row(share, g, at) : x_row + n * x_nb;
        if (x_nb == sizeof(float) && g_nb == sizeof(float)) {
            f(n, y, (const float *)x_row, (const float *)g_row);
            continue;
        }
        for (int64_t i = 0; i < n; i += PIECE) {
            const int64_t m = gg_min(PIECE, n - i);
            gg_gather(m, sizeof(float), x_piece, x_row + i * x_nb, x_nb);
            gg_gather(m, sizeof(float), g_piece, g_row + i * g_nb, g_nb);
            f(m, y + i, x_piece, g_piece);
        }
    }
    return GG_OK;
}
