/* The rows of types.def and ops.def as tables, and each thread's last error message. */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

static const gg_type_info types[] = {
#define GG_TYPE(NAME, name, id, block, bytes, file) {#name, id, block, bytes, file, 0},
#include "types.def"
#undef GG_TYPE
};
enum { N_TYPES = sizeof(types) / sizeof(types[0]) };

static const struct {
    const char *name;
    gg_op_fn function;
    gg_tmp_fn tmp;
} ops[GG_N_OPS] = {
#define GG_OP(NAME, name, function, tmp) {#name, function, tmp},
#define GG_UNARY(NAME, name) {#name, gg_op_unary, NULL},
#include "ops.def"
#undef GG_OP
#undef GG_UNARY
};

int gg_n_types(void) { return N_TYPES; }
const gg_type_info *gg_type_at(int i) { return i >= 0 && i < N_TYPES ? &types[i] : NULL; }

const gg_type_info *gg_type_info_of(int type) {
    for (int i = 0; i < N_TYPES; i++) {
        if (types[i].id == type) {
            return &types[i];
        }
    }
    return gg_own_type_info(type);
}

static bool is_op(int op) { return op >= 0 && op < GG_N_OPS; }

int gg_n_ops(void) { return GG_N_OPS; }
const char *gg_op_name(int op) { return is_op(op) ? ops[op].name : NULL; }
int gg_op_moves_data(int op) { return gg_op_function(op) != NULL; }
gg_op_fn gg_op_function(int op) { return is_op(op) ? ops[op].function : NULL; }
gg_tmp_fn gg_op_tmp(int op) { return is_op(op) ? ops[op].tmp : NULL; }

static _Thread_local char last_error[256];

int gg_fail(int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last_error, sizeof(last_error), format, args);
    va_end(args);
    return status;
}

void gg_set_last_error(const char *message) { snprintf(last_error, sizeof(last_error), "%s", message); }

const char *gg_last_error(void) { return last_error; }
