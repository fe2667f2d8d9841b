/* The rows of types.def and ops.def as numbers. */
#ifndef GG_TABLES_H
#define GG_TABLES_H

enum gg_type {
#define GG_TYPE(NAME, name, id, block, bytes, file) GG_TYPE_##NAME = id,
#include "types.def"
#undef GG_TYPE
};

enum gg_op {
#define GG_OP(NAME, name, function, tmp) GG_OP_##NAME,
#define GG_UNARY(NAME, name) GG_OP_##NAME,
#include "ops.def"
#undef GG_OP
#undef GG_UNARY
    GG_N_OPS
};
#endif
