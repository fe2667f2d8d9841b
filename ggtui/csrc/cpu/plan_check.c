/* Whether steps and patches make a plan that can be run: what a step or a patch says of itself, and of the ones before it. */
#include "cpu/isa.h"
#include "cpu/ops.h"

enum { BY_HEADS = GG_TAKE_HEADS | GG_SAME_HEADS };

/* `name` says which tensor it is. */
static int check_tensor(const gg_tensor *t, int step, const char *op, const char *name, int64_t own_bytes) {
    if (gg_type_info_of(t->type) == NULL) {
        return gg_fail(GG_FAILED, "step %d, %s: %s has the unknown type %d", step, op, name, t->type);
    }
    for (int i = 0; i < GG_MAX_DIMS; i++) {
        if (t->ne[i] < 0) {
            return gg_fail(GG_FAILED, "step %d, %s: %s has ne[%d] = %lld", step, op, name, i, (long long)t->ne[i]);
        }
    }
    if (t->own && (uint64_t)(uintptr_t)t->data >= (uint64_t)own_bytes) {
        return gg_fail(GG_FAILED, "step %d, %s: %s lies at byte %llu of %lld bytes of scratch", step, op, name,
                       (unsigned long long)(uintptr_t)t->data, (long long)own_bytes);
    }
    return GG_OK;
}

/* Whether each head is a part of its own of the step's work. */
static bool has_heads(const gg_step *step) {
    const gg_tensor *dst = &step->dst, *src = step->src;
    if (step->n_head < 1 || step->n_head > GG_MAX_HEADS || step->d_head < 1) {
        return false;
    }
    switch (step->op) {
    case GG_OP_MUL_MAT: /* a head's rows are whole tiles */
        return src[0].packed && step->d_head % GG_TILE == 0 && src[0].ne[1] % ((int64_t)step->n_head * step->d_head) == 0 &&
               dst->ne[2] * dst->ne[3] == 1;
    case GG_OP_SET_ROWS:
        return src[0].ne[2] == step->n_head && src[0].ne[3] == 1;
    case GG_OP_FLASH_ATTN_EXT:
        return src[0].ne[1] == 1 && src[0].ne[2] == step->n_head && src[1].ne[2] == step->n_head && src[0].ne[3] == 1;
    default:
        return false;
    }
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
    if (step->flags & ~(GG_MEET | GG_EVERY | BY_HEADS)) {
        return gg_fail(GG_FAILED, "step %d, %s: unknown flags %d", i, op, step->flags);
    }
    if (step->flags & BY_HEADS && !has_heads(step)) {
        return gg_fail(GG_FAILED, "step %d, %s: can't be shared by %d heads of %d", i, op, step->n_head, step->d_head);
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

/* The heads of such a step are those that were taken in the last one to take any. */
static int check_heads(const gg_step *steps, int n_steps) {
    const gg_step *taken = NULL;
    for (int i = 0; i < n_steps; i++) {
        const gg_step *step = &steps[i];
        if (step->flags & GG_TAKE_HEADS) {
            taken = step;
        } else if (step->flags & GG_SAME_HEADS &&
                   (taken == NULL || step->n_head != taken->n_head || step->d_head != taken->d_head)) {
            return gg_fail(GG_FAILED, "step %d, %s: no step before it took %d heads of %d", i, gg_op_name(step->op), step->n_head,
                           step->d_head);
        }
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
    return status == GG_OK ? check_heads(steps, n_steps) : status;
}
