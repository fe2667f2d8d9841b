/* mul_mat of F16 weights. */
#define WEIGHT uint16_t
#define v16_load_weights v16_load_f16
#include "mul_mat_float.h"

GG_MUL_MAT(mul_mat_f16, GG_FLOAT_COLS, 4, GG_FLOAT_SUMS)
