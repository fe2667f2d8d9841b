/* The kernels one at a time, as measurements and tests call them. */
#include <stdlib.h>

#include "base/error.h"
#include "codec/types.h"
#include "cpu/isa.h"

static const gg_kernels *kernels_of(int isa) {
    const gg_kernels *kernels = gg_kernels_of(isa);
    if (kernels == NULL) {
        gg_fail(GG_FAILED, "instruction set %d is not usable here", isa);
    }
    return kernels;
}

/* The kernels over rows by number. */
enum {
#define GG_ROW(name, parameters, arguments) ROW_##name,
#define GG_VALUE(name, parameters, arguments) ROW_##name,
#include "cpu/kernels/kernels.def"
#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name) ROW_##name,
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
    N_ROWS
};

static const char *const row_names[N_ROWS] = {
#define GG_ROW(name, parameters, arguments) #name,
#define GG_VALUE(name, parameters, arguments) #name,
#include "cpu/kernels/kernels.def"
#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name) #name,
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
};

int gg_n_row_kernels(void) { return N_ROWS; }
const char *gg_row_kernel_name(int kernel) { return kernel >= 0 && kernel < N_ROWS ? row_names[kernel] : NULL; }

int gg_call_row(int isa, int kernel, int64_t n, void *y, const void *a, const void *b, const float *c, float s, float t) {
    const gg_kernels *kernels = kernels_of(isa);
    if (kernels == NULL) {
        return GG_FAILED;
    }
    switch (kernel) {
#define GG_ROW(name, parameters, arguments)                                                                              \
    case ROW_##name:                                                                                                     \
        kernels->name arguments;                                                                                         \
        return GG_OK;
#define GG_VALUE(name, parameters, arguments)                                                                            \
    case ROW_##name:                                                                                                     \
        *(float *)y = kernels->name arguments;                                                                           \
        return GG_OK;
#include "cpu/kernels/kernels.def"
#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name)                                                                                             \
    case ROW_##name:                                                                                                     \
        kernels->unary[GG_OP_##NAME](n, y, a);                                                                           \
        return GG_OK;
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
    default:
        return gg_fail(GG_FAILED, "there is no kernel %d over rows", kernel);
    }
}

int gg_call_mul_mat(int isa, int type, int64_t k, int64_t n_rows, const void *packed, int64_t n_cols, const void *x,
                    int64_t x_nb, float *y, int64_t y_nb, const float *bias, int act, const float *residual,
                    int64_t residual_nb) {
    const gg_kernels *kernels = kernels_of(isa);
    if (kernels == NULL) {
        return GG_FAILED;
    }
    const gg_mul_mat_fn mul_mat = gg_mul_mat_kernel(kernels, type);
    if (mul_mat == NULL) {
        return gg_fail(GG_FAILED, "there is no mul_mat for type %d", type);
    }
    mul_mat(&(gg_mul_mat_args){.k = k,
                               .w = packed,
                               .w_nb = (int64_t)gg_row_bytes(type, k),
                               .n_rows = n_rows,
                               .x = x,
                               .x_nb = x_nb,
                               .x_step = sizeof(float),
                               .n_cols = n_cols,
                               .y = y,
                               .y_nb = y_nb,
                               .bias = bias,
                               .act = act,
                               .residual = residual,
                               .residual_nb = residual_nb});
    return GG_OK;
}

int gg_call_attention(int isa, int kv_type, int64_t d_k, int64_t d_v, int64_t n_kv, int64_t n_q, const float *q,
                      int64_t q_nb, const void *k, const void *v, int64_t v_nb, float scale, const float *mask,
                      int64_t mask_nb, float slope, const float *sink, int causal, int64_t first, float *out,
                      int64_t out_nb) {
    const gg_kernels *kernels = kernels_of(isa);
    if (kernels == NULL) {
        return GG_FAILED;
    }
    float *tmp = malloc((size_t)gg_attention_tmp(kv_type, d_k, d_v) * sizeof(float));
    if (tmp == NULL) {
        return gg_fail(GG_NO_MEMORY, "no memory for attention");
    }
    gg_query queries[GG_ATTN_QUERIES];
    for (int64_t i0 = 0; i0 < n_q; i0 += GG_ATTN_QUERIES) {
        const int n = (int)(n_q - i0 < GG_ATTN_QUERIES ? n_q - i0 : GG_ATTN_QUERIES);
        for (int i = 0; i < n; i++) {
            const int64_t seen = first + i0 + i + 1;
            queries[i] = (gg_query){.q = (const float *)((const uint8_t *)q + (i0 + i) * q_nb),
                                    .out = (float *)((uint8_t *)out + (i0 + i) * out_nb),
                                    .to = causal && seen < n_kv ? seen : n_kv,
                                    .mask = mask ? (const float *)((const uint8_t *)mask + (i0 + i) * mask_nb) : NULL,
                                    .slope = slope,
                                    .sink = sink};
        }
        kernels->attention(&(gg_attention_args){.d_k = d_k,
                                                .d_v = d_v,
                                                .queries = queries,
                                                .n_q = n,
                                                .kv_type = kv_type,
                                                .k = k,
                                                .v = v,
                                                .v_nb = v_nb,
                                                .scale = scale,
                                                .tmp = tmp});
    }
    free(tmp);
    return GG_OK;
}
