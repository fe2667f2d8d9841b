/* Walking tensors by rows. A row is the values along dimension 0; rows are counted through dimensions 1, 2 and 3, so
 * row r of a tensor is (i1, i2, i3) with r = i1 + ne[1] * (i2 + ne[2] * i3). */
#ifndef GG_CPU_ROWS_H
#define GG_CPU_ROWS_H
#include <string.h>

#include "cpu/ops.h"

typedef struct {
    int64_t i1, i2, i3;
} gg_row_index;

static inline int64_t gg_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gg_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t gg_div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline gg_row_index gg_row_at(const gg_tensor *t, int64_t r) {
    const int64_t r2 = r / t->ne[1];
    return (gg_row_index){r % t->ne[1], r2 % t->ne[2], r2 / t->ne[2]};
}

/* The row of t that stands at `at` when t is repeated in dimensions 1, 2 and 3 without end. */
static inline gg_row_index gg_row_wrap(const gg_tensor *t, gg_row_index at) {
    return (gg_row_index){at.i1 % t->ne[1], at.i2 % t->ne[2], at.i3 % t->ne[3]};
}

/* Where a row of a tensor that is not packed begins. */
static inline void *gg_row(const gg_share *share, const gg_tensor *t, gg_row_index at) {
    return (uint8_t *)gg_data(t, share) + at.i1 * t->nb[1] + at.i2 * t->nb[2] + at.i3 * t->nb[3];
}

/* n values of `size` bytes from x, nb0 bytes apart, to y without gaps. */
static inline void gg_gather(int64_t n, int64_t size, void *y, const void *x, int64_t nb0) {
    uint8_t *to = y;
    const uint8_t *from = x;
    if (nb0 == size) {
        if (to != from) {
            memcpy(to, from, (size_t)(n * size));
        }
    } else if (size == 4) {
        for (int64_t i = 0; i < n; i++) {
            memcpy(to + i * 4, from + i * nb0, 4);
        }
    } else if (size == 2) {
        for (int64_t i = 0; i < n; i++) {
            memcpy(to + i * 2, from + i * nb0, 2);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            memcpy(to + i * size, from + i * nb0, (size_t)size);
        }
    }
}

/* A row of an f32 tensor: where it lies, or gathered into y if its values do not follow each other. Ops give their dst
 * row for y and then work in place. */
static inline const float *gg_f32_row(const gg_share *share, const gg_tensor *t, gg_row_index at, float *y) {
    const void *x = gg_row(share, t, at);
    if (t->nb[0] == sizeof(float)) {
        return x;
    }
    gg_gather(t->ne[0], sizeof(float), y, x, t->nb[0]);
    return y;
}

/* A row of any type, packed or not, as floats in y[t->ne[0]]. Returns a gg_status. */
int gg_load_row(const gg_share *share, const gg_tensor *t, gg_row_index at, float *y);

/* n floats as values of a type, without gaps. Returns a gg_status. */
int gg_store_row(const gg_kernels *kernels, int type, int64_t n, const float *x, void *y);

/* The next chunk of the step that no thread has taken yet. */
static inline int64_t gg_next_chunk(const gg_share *share) {
    return atomic_fetch_add_explicit(share->next, 1, memory_order_relaxed);
}
#endif
