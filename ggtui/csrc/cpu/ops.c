/* The rows of ops.def as a table. */
#include "cpu/ops.h"

static const struct {
    const char *name;
    gg_op_fn function;
    gg_tmp_fn tmp;
} ops[GG_N_OPS] = {
#define GG_OP(NAME, name, function, tmp) {#name, function, tmp},
#define GG_UNARY(NAME, name) {#name, gg_op_unary, NULL},
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY
};

static bool is_op(int op) { return op >= 0 && op < GG_N_OPS; }

int gg_n_ops(void) { return GG_N_OPS; }
const char *gg_op_name(int op) { return is_op(op) ? ops[op].name : NULL; }
int gg_op_moves_data(int op) { return gg_op_function(op) != NULL; }
gg_op_fn gg_op_function(int op) { return is_op(op) ? ops[op].function : NULL; }
gg_tmp_fn gg_op_tmp(int op) { return is_op(op) ? ops[op].tmp : NULL; }
