/* The names of the kernels of one instruction set. The build defines GG_ISA. */
#ifndef GG_NAMES_H
#define GG_NAMES_H
#include "kernels.h"

#define GG_PASTE2(a, b) a##_##b
#define GG_PASTE(a, b) GG_PASTE2(a, b)
#define GG_TEXT2(a) #a
#define GG_TEXT(a) GG_TEXT2(a)
#define GG_KERNEL(name) GG_PASTE(gg_##name, GG_ISA)

#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name) void GG_KERNEL(name)(int64_t n, float *y, const float *x);
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY

void GG_KERNEL(add)(int64_t n, float *y, const float *a, const float *b, int b_one);
void GG_KERNEL(sub)(int64_t n, float *y, const float *a, const float *b, int b_one);
void GG_KERNEL(mul)(int64_t n, float *y, const float *a, const float *b, int b_one);
void GG_KERNEL(div)(int64_t n, float *y, const float *a, const float *b, int b_one);
void GG_KERNEL(scale)(int64_t n, float *y, const float *x, float s, float b);
void GG_KERNEL(clamp)(int64_t n, float *y, const float *x, float min, float max);
void GG_KERNEL(swiglu)(int64_t n, float *y, const float *x, const float *g);
void GG_KERNEL(geglu)(int64_t n, float *y, const float *x, const float *g);

float GG_KERNEL(sum)(int64_t n, const float *x);
float GG_KERNEL(dot)(int64_t n, const float *a, const float *b);
float GG_KERNEL(max)(int64_t n, const float *x);
void GG_KERNEL(norm)(int64_t n, float *y, const float *x, float eps, const float *w, const float *b);
void GG_KERNEL(rms_norm)(int64_t n, float *y, const float *x, float eps, const float *w, const float *b);
void GG_KERNEL(l2_norm)(int64_t n, float *y, const float *x, float eps);
void GG_KERNEL(soft_max)(int64_t n, float *y, const float *x, float scale, const float *mask, float slope,
                         const float *sink);

void GG_KERNEL(f16_to_f32)(int64_t n, float *y, const uint16_t *x);
void GG_KERNEL(f32_to_f16)(int64_t n, uint16_t *y, const float *x);
void GG_KERNEL(bf16_to_f32)(int64_t n, float *y, const uint16_t *x);
void GG_KERNEL(f32_to_bf16)(int64_t n, uint16_t *y, const float *x);
void GG_KERNEL(quantize_q8_a)(int64_t n, gg_block_q8_a *y, const float *x);

#define GG_DECLARE(NAME, name) void GG_KERNEL(mul_mat_##name)(const gg_mul_mat_args *);
GG_EACH_MUL_MAT(GG_DECLARE)
#undef GG_DECLARE

void GG_KERNEL(attention)(const gg_attention_args *);
#endif
