/* The ops: what a thread is given for its share of a step, and the functions of ops.def. */
#ifndef GG_OPS_H
#define GG_OPS_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "codec/types.h"
#include "cpu/kernels/kernels.h"
#include "gg.h"

/* One thread's share of a step. */
typedef struct {
    int ith, nth;
    const gg_kernels *kernels;
    uint8_t *own;              /* this thread's own tensors (gg_tensor.own) */
    void *tmp;                 /* this thread's room for temporaries, as much as the op's tmp function said */
    _Atomic int64_t *next;     /* the step's counter of chunks handed out, 0 when the step starts */
    _Atomic int64_t *done;     /* and of what is done with them, for ops of which one thread has to wait for all */
    void *user;                /* the plan's, for functions of Python's */
} gg_share;

typedef int (*gg_op_fn)(const gg_step *step, const gg_share *share);
typedef size_t (*gg_tmp_fn)(const gg_step *step);

int gg_op_copy(const gg_step *, const gg_share *);
int gg_op_repeat(const gg_step *, const gg_share *);
int gg_op_concat(const gg_step *, const gg_share *);
int gg_op_get_rows(const gg_step *, const gg_share *);
int gg_op_set_rows(const gg_step *, const gg_share *);
int gg_op_binary(const gg_step *, const gg_share *);
int gg_op_scale(const gg_step *, const gg_share *);
int gg_op_clamp(const gg_step *, const gg_share *);
int gg_op_unary(const gg_step *, const gg_share *);
int gg_op_glu(const gg_step *, const gg_share *);
int gg_op_sum(const gg_step *, const gg_share *);
int gg_op_sum_rows(const gg_step *, const gg_share *);
int gg_op_argmax(const gg_step *, const gg_share *);
int gg_op_norm(const gg_step *, const gg_share *);
int gg_op_diag_mask(const gg_step *, const gg_share *);
int gg_op_soft_max(const gg_step *, const gg_share *);
int gg_op_rope_angles(const gg_step *, const gg_share *);
int gg_op_rope(const gg_step *, const gg_share *);
int gg_op_quantize(const gg_step *, const gg_share *);
int gg_op_mul_mat(const gg_step *, const gg_share *);
int gg_op_flash_attn_ext(const gg_step *, const gg_share *);
int gg_op_paged_attention(const gg_step *, const gg_share *);
int gg_op_map_custom(const gg_step *, const gg_share *);
int gg_op_fill(const gg_step *, const gg_share *);
int gg_op_acc(const gg_step *, const gg_share *);
int gg_op_add_rows(const gg_step *, const gg_share *);
int gg_op_repeat_back(const gg_step *, const gg_share *);
int gg_op_back(const gg_step *, const gg_share *);
int gg_op_cross_entropy(const gg_step *, const gg_share *);
int gg_op_cross_entropy_back(const gg_step *, const gg_share *);
int gg_op_flash_attn_back(const gg_step *, const gg_share *);
int gg_op_sum_sqr(const gg_step *, const gg_share *);
int gg_op_opt_step_adamw(const gg_step *, const gg_share *);
int gg_op_opt_step_sgd(const gg_step *, const gg_share *);
size_t gg_tmp_copy(const gg_step *);
size_t gg_tmp_set_rows(const gg_step *);
size_t gg_tmp_soft_max(const gg_step *);
size_t gg_tmp_rope_angles(const gg_step *);
size_t gg_tmp_quantize(const gg_step *);
size_t gg_tmp_mul_mat(const gg_step *);
size_t gg_tmp_flash_attn_ext(const gg_step *);
size_t gg_tmp_paged_attention(const gg_step *);
size_t gg_tmp_row_of_first(const gg_step *);
size_t gg_tmp_row_of_second(const gg_step *);
size_t gg_tmp_repeat_back(const gg_step *);
size_t gg_tmp_flash_attn_back(const gg_step *);

/* Bytes that the threads of a step want to have together, undisturbed until the next barrier: of attention of a single token for
 * the parts that they compute of the same heads. 0 for none. */
int64_t gg_shared_bytes(const gg_step *step);

/* n_rows rows of a type of one's own, which follow each other, as floats. Returns a gg_status. */
int gg_decode_rows(const gg_share *share, int type, int64_t ne0, int64_t n_rows, const void *src, float *dst);

gg_op_fn gg_op_function(int op); /* NULL where no data moves, or op is unknown */
gg_tmp_fn gg_op_tmp(int op);     /* NULL for no temporaries */

/* Returns a gg_status: GG_FAILED for what gg_plan_new refuses. */
int gg_check_plan(const gg_step *steps, int n_steps, const gg_patch *patches, int n_patches, int64_t own_bytes, int isa);

static inline int64_t gg_n_rows(const gg_tensor *t) { return t->ne[1] * t->ne[2] * t->ne[3]; }
static inline bool gg_present(const gg_tensor *t) { return t->data != NULL || t->own; }

/* Where the tensor's data lies for this thread. */
static inline void *gg_data(const gg_tensor *t, const gg_share *share) {
    return t->own ? (void *)(share->own + (size_t)(uintptr_t)t->data) : t->data;
}

/* Thread ith's rows of n: [*r0, *r1). Every op that works by rows uses this split and no other, so that a thread
 * finds in the next op the rows that it made itself. */
static inline void gg_split(int64_t n, const gg_share *s, int64_t *r0, int64_t *r1) {
    *r0 = n * s->ith / s->nth;
    *r1 = n * (s->ith + 1) / s->nth;
}

/* Whether threads have as many heads each in attention, and so in storing its keys and values: then gg_split gives a thread
 * the same ones in both. */
static inline bool gg_own_heads(const gg_step *attention, int nth) {
    const gg_tensor *k = &attention->src[1];
    return k->ne[2] * k->ne[3] % nth == 0;
}
#endif
