/* What the kernels of one instruction set are written with: its vectors, and their names. The build defines GG_ISA. */
#ifndef GG_NAMES_H
#define GG_NAMES_H
#include "kernels.h"
#include "simd.h"

#define GG_INLINE static inline __attribute__((always_inline))
/* Before a loop whose turns are known when it is compiled: all of it, so that arrays of vectors become registers. */
#ifdef GG_NO_UNROLL
#define GG_UNROLL
#else
#define GG_UNROLL _Pragma("GCC unroll 32")
#endif

#define GG_PASTE2(a, b) a##_##b
#define GG_PASTE(a, b) GG_PASTE2(a, b)
#define GG_KERNEL(name) GG_PASTE(gg_##name, GG_ISA)
#define GG_HELPER(name) GG_PASTE(GG_PASTE(gg, GG_ISA), name) /* no kernel, but shared by files of the set */

#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name) void GG_KERNEL(name)(int64_t n, float *y, const float *x);
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY

#define GG_ROW(name, parameters, arguments) void GG_KERNEL(name) parameters;
#define GG_VALUE(name, parameters, arguments) float GG_KERNEL(name) parameters;
#include "kernels.def"

#define GG_DECLARE(NAME, name) void GG_KERNEL(mul_mat_##name)(const gg_mul_mat_args *);
GG_EACH_MUL_MAT(GG_DECLARE)
#undef GG_DECLARE

void GG_KERNEL(attention)(const gg_attention_args *);
void GG_KERNEL(attention_join)(const gg_attention_args *, int64_t n_parts, const float *parts);

/* Sets the fields of the kernels that the instruction set has of its own. */
void GG_HELPER(fill)(gg_kernels *kernels);
#endif
