/* The rows of ops.def as numbers. */
#ifndef GG_OP_NUMBERS_H
#define GG_OP_NUMBERS_H

enum gg_op {
#define GG_OP(NAME, name, function, tmp) GG_OP_##NAME,
#define GG_UNARY(NAME, name) GG_OP_##NAME,
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
    GG_N_OPS
};
#endif
