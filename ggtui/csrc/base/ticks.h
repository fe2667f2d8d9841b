/* Time stamps: the processor's counter, or the system's clock where there is no counter or none that can be trusted. */
#ifndef GG_TICKS_H
#define GG_TICKS_H
#include <stdatomic.h>
#include <stdint.h>

#include "gg.h"

/* Whether stamps are nanoseconds of the system's clock. Decided once, before any stamp is taken; only tests change it. */
extern atomic_int gg_ticks_from_clock;
int64_t gg_clock_ns(void);

int64_t gg_thread_ns(void); /* for how long this thread has had a core so far; some 300 ns to ask */
extern _Thread_local int64_t gg_slept; /* ticks that it wanted none: it waited for another thread, or for a function of Python's */

/* When the system was last asked about this thread, and what it and gg_slept said then. */
typedef struct {
    int64_t at, ran, slept; /* a tick, nanoseconds, ticks */
    int busy;               /* it had lost time since the time before */
} gg_reading;
extern _Thread_local gg_reading gg_last_reading;

int64_t gg_ticks(void); /* as gg_ticks_fenced, from a function that is not inlined */

#if defined(__x86_64__)
static inline int64_t gg_read_counter(void) { return (int64_t)__builtin_ia32_rdtsc(); }
static inline int64_t gg_read_counter_fenced(void) {
    __builtin_ia32_lfence();
    return gg_read_counter();
}
#elif defined(__aarch64__)
static inline int64_t gg_read_counter(void) {
    int64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
}
static inline int64_t gg_read_counter_fenced(void) {
    int64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
}
#else
static inline int64_t gg_read_counter(void) { return gg_clock_ns(); }
static inline int64_t gg_read_counter_fenced(void) { return gg_clock_ns(); }
#endif

static inline int gg_clock_is_used(void) {
    return __builtin_expect(atomic_load_explicit(&gg_ticks_from_clock, memory_order_relaxed), 0);
}

/* Now, not before all that stands before it is done. The fence costs as much again as reading, and is needed after a wait:
 * without it the counter may be read while the value waited for is still on its way, and a thread would note that a wait ended
 * before it did. */
static inline int64_t gg_ticks_fenced(void) { return gg_clock_is_used() ? gg_clock_ns() : gg_read_counter_fenced(); }

/* Now, perhaps while the last instructions before it are still at work: good enough between two steps of one thread. */
static inline int64_t gg_ticks_loose(void) { return gg_clock_is_used() ? gg_clock_ns() : gg_read_counter(); }
#endif
