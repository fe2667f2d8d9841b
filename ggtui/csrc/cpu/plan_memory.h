/* What memory the steps of a plan want besides their tensors: each thread for itself, and all together. */
#ifndef GG_PLAN_MEMORY_H
#define GG_PLAN_MEMORY_H
#include "base/cache_line.h"
#include "cpu/ops.h"

static inline size_t gg_round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* The most that any step needs for temporaries. */
static inline size_t gg_most_tmp(const gg_step *steps, int n_steps) {
    size_t most = 0;
    for (int i = 0; i < n_steps; i++) {
        const gg_tmp_fn tmp = gg_op_tmp(steps[i].op);
        const size_t bytes = tmp != NULL ? tmp(&steps[i]) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Steps' places in what threads have together, from `base` on, or where that is NULL their sizes alone. Returns the size of all. */
static inline size_t gg_place_shared(gg_step *steps, int n_steps, uint8_t *base) {
    size_t at = 0, most = 0;
    for (int i = 0; i < n_steps; i++) {
        gg_step *step = &steps[i];
        const size_t bytes = gg_round_up((size_t)gg_shared_bytes(step), GG_CACHE_LINE);
        at = step->flags & GG_BARRIER ? 0 : at; /* all threads are done with those before */
        step->shared = base != NULL && bytes > 0 ? base + at : NULL;
        at += bytes;
        most = at > most ? at : most;
    }
    return most;
}
#endif
