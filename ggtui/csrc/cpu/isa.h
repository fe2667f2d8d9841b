/* The instruction sets that were compiled in. */
#ifndef GG_ISA_H
#define GG_ISA_H
#include "cpu/kernels/kernels.h"

const gg_kernels *gg_kernels_of(int isa); /* NULL when not usable */
#endif
