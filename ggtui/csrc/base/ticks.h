/* The clock of the stamps: the processor's own counter, which takes some ten nanoseconds to read and runs at one rate on all
 * cores, whatever their frequency. */
#ifndef GG_TICKS_H
#define GG_TICKS_H
#include <stdint.h>

#include "gg.h"

uint64_t gg_ticks(void); /* the counter, fenced, from a function that is not inlined */

/* The counter, not before all that stands before it is done. The fence costs as much again as reading, and is needed after a
 * wait: without it the counter may be read while the value waited for is still on its way, and a thread would note that a
 * wait ended before it did. */
static inline uint64_t gg_ticks_fenced(void) {
#if defined(__x86_64__)
    __builtin_ia32_lfence();
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
#else
    return gg_ticks();
#endif
}

/* The counter, perhaps while the last instructions before it are still at work: good enough between two steps of one thread. */
static inline uint64_t gg_ticks_loose(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
#else
    return gg_ticks();
#endif
}
#endif
