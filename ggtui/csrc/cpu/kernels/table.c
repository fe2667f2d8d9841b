/* The kernels of one instruction set, as the struct that the rest of the runtime calls them through. */
#include "names.h"

const gg_kernels GG_PASTE(gg_kernels, GG_ISA) = {
    .name = GG_TEXT(GG_ISA),
    .unary =
        {
#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name) [GG_OP_##NAME] = GG_KERNEL(name),
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
        },
#define GG_FIELD(name) .name = GG_KERNEL(name),
    GG_FIELD(add)
    GG_FIELD(sub)
    GG_FIELD(mul)
    GG_FIELD(div)
    GG_FIELD(scale)
    GG_FIELD(clamp)
    GG_FIELD(swiglu)
    GG_FIELD(geglu)
    GG_FIELD(sum)
    GG_FIELD(dot)
    GG_FIELD(max)
    GG_FIELD(norm)
    GG_FIELD(rms_norm)
    GG_FIELD(l2_norm)
    GG_FIELD(soft_max)
    GG_FIELD(f16_to_f32)
    GG_FIELD(f32_to_f16)
    GG_FIELD(bf16_to_f32)
    GG_FIELD(f32_to_bf16)
    GG_FIELD(quantize_q8_a)
    GG_FIELD(attention)
#define GG_MUL_MAT_FIELD(NAME, name) GG_FIELD(mul_mat_##name)
    GG_EACH_MUL_MAT(GG_MUL_MAT_FIELD)
#undef GG_MUL_MAT_FIELD
#undef GG_FIELD
};
