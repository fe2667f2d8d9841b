/* mul_mat of F32 weights. */
#define WEIGHT float
#define v16_load_weights v16_load
#include "mul_mat_float.h"

GG_MUL_MAT(mul_mat_f32, GG_FLOAT_COLS, 4, GG_FLOAT_SUMS)
