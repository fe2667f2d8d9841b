/* What AVX-VNNI does better than AVX2: products of weights in blocks. */
#include "../names.h"

void GG_HELPER(fill)(gg_kernels *kernels) {
#define GG_SET(NAME, name) kernels->mul_mat_##name = GG_KERNEL(mul_mat_##name);
    GG_EACH_MUL_MAT_BLOCKS(GG_SET)
#undef GG_SET
}
