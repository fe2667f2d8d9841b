/* mul_mat of BF16 weights. */
#define WEIGHT uint16_t
#define v16_load_weights v16_load_bf16
#include "mul_mat_float.h"

GG_MUL_MAT(mul_mat_bf16, GG_FLOAT_COLS, 4, GG_FLOAT_SUMS)
