/* An instruction set that has every kernel of its own. */
#include "names.h"

void GG_HELPER(fill)(gg_kernels *kernels) {
#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name) kernels->unary[GG_OP_##NAME] = GG_KERNEL(name);
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
#define GG_ROW(name, parameters, arguments) kernels->name = GG_KERNEL(name);
#define GG_VALUE(name, parameters, arguments) kernels->name = GG_KERNEL(name);
#include "kernels.def"
#define GG_SET(NAME, name) kernels->mul_mat_##name = GG_KERNEL(mul_mat_##name);
    GG_EACH_MUL_MAT(GG_SET)
#undef GG_SET
    kernels->attention = GG_KERNEL(attention);
    kernels->attention_join = GG_KERNEL(attention_join);
}
