/* The instruction sets. */
#ifndef GG_ISA_H
#define GG_ISA_H
#include "cpu/kernels/kernels.h"

/* Loops that measure what a set's widest instructions can do: see limits.c. All NULL where there are none for this machine. */
typedef struct {
    uint64_t (*read)(const uint8_t *p, int64_t n); /* n a multiple of GG_READ_STEP */
    void (*f32)(int64_t turns);                    /* a turn does GG_CHAINS times f32_ops operations, a multiply-add two */
    double f32_ops;
    void (*int8)(int64_t turns);
    double int8_ops;
} gg_loops;

enum { GG_CHAINS = 12, GG_READ_STEP = 512 };

extern const gg_loops gg_loops_scalar;
extern const gg_loops gg_loops_avx2;
extern const gg_loops gg_loops_avxvnni;
extern const gg_loops gg_loops_avx512;
extern const gg_loops gg_loops_neon;

void gg_scalar_fill(gg_kernels *kernels);
void gg_avx2_fill(gg_kernels *kernels);
void gg_avxvnni_fill(gg_kernels *kernels);
void gg_avx512_fill(gg_kernels *kernels);
void gg_neon_fill(gg_kernels *kernels);

/* NULL where the set is not usable. */
const gg_kernels *gg_kernels_of(int isa);
const gg_loops *gg_loops_of(int isa);
const gg_kernels *gg_best_kernels(void);
#endif
