/* Whether steps and patches make a plan that can be run: what a step or a patch says of itself, and of the ones before it. */
#include "cpu/isa.h"
#include "cpu/ops.h"

/* Bytes from its first to behind its last element; -1 where sizes or strides are negative, or where that or the number of its
 * elements does not fit into 64 bits with room to spare: what is computed from them then does too. */
static int64_t extent(const gg_tensor *t) {
    const gg_type_info *type = gg_type_info_of(t->type);
    int64_t n = 1, bytes = (int64_t)type->head + type->bytes, part;
    for (int i = 0; i < GG_MAX_DIMS; i++) {
        const int64_t places = i == 0 ? t->ne[i] / type->block : t->ne[i];
        if (t->ne[i] < 0 || t->nb[i] < 0 || __builtin_mul_overflow(n, t->ne[i] > 0 ? t->ne[i] : 1, &n) ||
            __builtin_mul_overflow(places > 0 ? places - 1 : 0, t->nb[i], &part) ||
            __builtin_add_overflow(bytes, part, &bytes)) {
            return -1;
        }
    }
    return n < INT64_MAX >> 8 && bytes < INT64_MAX >> 8 ? bytes : -1;
}

/* `name` says which tensor it is. */
static int check_tensor(const gg_tensor *t, int step, const char *op, const char *name, int64_t own_bytes) {
    if (gg_type_info_of(t->type) == NULL) {
        return gg_fail(GG_FAILED, "step %d, %s: %s has the unknown type %d", step, op, name, t->type);
    }
    const int64_t bytes = extent(t);
    if (bytes < 0) {
        return gg_fail(GG_FAILED, "step %d, %s: %s has sizes or strides that are negative or too large: ne = %lld, %lld, %lld, %lld",
                       step, op, name, (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2], (long long)t->ne[3]);
    }
    const int64_t at = t->own ? (int64_t)(uintptr_t)t->data : 0;
    if (at < 0 || (t->own && at > own_bytes - bytes)) {
        return gg_fail(GG_FAILED, "step %d, %s: %s lies at byte %lld of %lld bytes of scratch", step, op, name, (long long)at,
                       (long long)own_bytes);
    }
    return GG_OK;
}

static int check_step(const gg_step *step, int i, int64_t own_bytes) {
    static const char *const names[GG_MAX_SRC] = {"src0", "src1", "src2", "src3", "src4", "src5"};
    const char *op = gg_op_name(step->op);
    if (op == NULL) {
        return gg_fail(GG_FAILED, "step %d: there is no op %d", i, step->op);
    }
    if (gg_op_function(step->op) == NULL) {
        return gg_fail(GG_FAILED, "step %d: %s moves no data, so it cannot be a step", i, op);
    }
    const int known = GG_BARRIER | GG_EVERY | (step->op == GG_OP_FLASH_ATTN_EXT || step->op == GG_OP_PAGED_ATTENTION ? GG_BY_HEAD : 0);
    if (step->flags & ~known) {
        return gg_fail(GG_FAILED, "step %d, %s: unknown flags %d", i, op, step->flags);
    }
    int status = check_tensor(&step->dst, i, op, "dst", own_bytes);
    for (int s = 0; s < GG_MAX_SRC && status == GG_OK; s++) {
        if (gg_present(&step->src[s])) {
            status = check_tensor(&step->src[s], i, op, names[s], own_bytes);
        }
    }
    return status;
}

static int check_patch(const gg_patch *patch, int i, int n_steps) {
    const int n_index = patch->place == GG_PATCH_NE ? GG_MAX_DIMS : GG_MAX_PARAMS;
    if (patch->step < 0 || patch->step >= n_steps || patch->tensor < -1 || patch->tensor >= GG_MAX_SRC || patch->var < 0 ||
        (patch->place != GG_PATCH_NE && patch->place != GG_PATCH_PARAM) || patch->index < 0 || patch->index >= n_index) {
        return gg_fail(GG_FAILED, "patch %d of a plan of %d steps is out of range: step %d, tensor %d, place %d, index %d, var %d",
                       i, n_steps, patch->step, patch->tensor, patch->place, patch->index, patch->var);
    }
    return GG_OK;
}

int gg_check_plan(const gg_step *steps, int n_steps, const gg_patch *patches, int n_patches, int64_t own_bytes, int isa) {
    if (n_steps < 0 || n_patches < 0 || own_bytes < 0 || (steps == NULL && n_steps > 0) || (patches == NULL && n_patches > 0)) {
        return gg_fail(GG_FAILED, "a plan of %d steps, %d patches and %lld bytes of scratch", n_steps, n_patches,
                       (long long)own_bytes);
    }
    if (gg_kernels_of(isa) == NULL) {
        return gg_fail(GG_FAILED, "instruction set %d is not usable here", isa);
    }
    int status = GG_OK;
    for (int i = 0; i < n_steps && status == GG_OK; i++) {
        status = check_step(&steps[i], i, own_bytes);
    }
    for (int i = 0; i < n_patches && status == GG_OK; i++) {
        status = check_patch(&patches[i], i, n_steps);
    }
    return status;
}
