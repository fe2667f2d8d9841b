/* A gate: threads wait at it until another thread opens it. It closes again by itself, and counts how often it was opened:
 * who waits says which count it has seen, so nobody can miss an opening or take an old one for a new one.
 *
 * Waiting is spinning for a while, which notices an opening within some 100 ns, and then sleeping, which leaves the
 * core to others. The lowest bit of the word says that somebody may sleep; only then does opening cost a system call.
 *
 * How to sleep until a word changes is all that differs between systems: a futex on Linux, else a condition variable. */
#ifndef GG_GATE_H
#define GG_GATE_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ticks.h"

#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

typedef struct {
    _Atomic uint32_t word;  /* twice the count of openings, plus the bit */
    _Atomic int64_t opened; /* the tick of the last opening that found the bit */
#ifndef __linux__
    pthread_mutex_t mutex;
    pthread_cond_t changed;
#endif
} gg_gate;

enum { GG_GATE_SLEEPERS = 1, GG_GATE_STEP = 2 };
#define GG_GATE_COUNT (UINT32_MAX / GG_GATE_STEP) /* after so many openings the count begins anew */

#ifdef __linux__
static inline void gg_gate_init(gg_gate *gate) {
    atomic_init(&gate->word, 0);
    atomic_init(&gate->opened, 0);
}
static inline void gg_gate_destroy(gg_gate *gate) { (void)gate; }

/* Returns when the word is no longer `word`, or earlier: the caller looks again. */
static inline void gg_gate_sleep(gg_gate *gate, uint32_t word) {
    syscall(SYS_futex, &gate->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
}
static inline void gg_gate_wake(gg_gate *gate) {
    syscall(SYS_futex, &gate->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#else
static inline void gg_gate_init(gg_gate *gate) {
    atomic_init(&gate->word, 0);
    atomic_init(&gate->opened, 0);
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->changed, NULL);
}
static inline void gg_gate_destroy(gg_gate *gate) {
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->mutex);
}
static inline void gg_gate_sleep(gg_gate *gate, uint32_t word) {
    pthread_mutex_lock(&gate->mutex);
    while (atomic_load_explicit(&gate->word, memory_order_relaxed) == word) {
        pthread_cond_wait(&gate->changed, &gate->mutex);
    }
    pthread_mutex_unlock(&gate->mutex);
}
static inline void gg_gate_wake(gg_gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}
#endif

/* Tells the processor that this is a loop that waits. */
static inline void gg_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline uint32_t gg_gate_count(gg_gate *gate) {
    return atomic_load_explicit(&gate->word, memory_order_acquire) / GG_GATE_STEP;
}

/* Whether one count is of an opening before the other, of which fewer than half of GG_GATE_COUNT lie between them. */
static inline bool gg_gate_is_before(uint32_t one, uint32_t other) {
    return one != other && ((other - one) & GG_GATE_COUNT) <= GG_GATE_COUNT / 2;
}

/* How long one thread spins at one gate. Each time it spins in vain it spins for half as long the next time: it may be standing
 * on the very core that the thread it waits for needs. Now and then it tries the whole time again, since the other core may
 * be free by now. */
typedef struct {
    int64_t most;   /* ticks */
    uint32_t vain;  /* times in a row */
} gg_patience;

static inline int64_t gg_patience_ticks(const gg_patience *patience) {
    const uint32_t halvings = patience->vain % 32;
    return patience->most >> (halvings < 5 ? halvings : 5);
}

/* Returns the gate's count as soon as it is not `seen` any more. What was written before the opening is visible then. */
static inline uint32_t gg_gate_wait(gg_gate *gate, uint32_t seen, gg_patience *patience) {
    uint32_t count = gg_gate_count(gate);
    if (count != seen) {
        return count;
    }
    const int64_t start = gg_ticks(), spin = gg_patience_ticks(patience);
    while (count == seen && gg_ticks() - start < spin) {
        gg_relax();
        count = gg_gate_count(gate);
    }
    if (count != seen) {
        patience->vain = 0;
        return count;
    }
    patience->vain++;
    const int64_t asleep_since = gg_ticks();
    for (; count == seen; count = gg_gate_count(gate)) {
        const uint32_t asleep = seen * GG_GATE_STEP + GG_GATE_SLEEPERS;
        uint32_t word = seen * GG_GATE_STEP;
        if (atomic_compare_exchange_strong(&gate->word, &word, asleep) || word == asleep) {
            gg_gate_sleep(gate, asleep);
        }
    }
    const int64_t opened = atomic_load_explicit(&gate->opened, memory_order_relaxed);
    /* Until the gate was opened (perhaps just as sleep began); what came after is not its own will. */
    gg_slept += (opened > asleep_since ? opened : gg_ticks()) - asleep_since;
    return count;
}

/* Lets everyone through who waits now. One thread at a time may open a gate. */
static inline void gg_gate_open(gg_gate *gate) {
    const uint32_t word = atomic_load_explicit(&gate->word, memory_order_relaxed);
    const uint32_t next = (word / GG_GATE_STEP + 1) * GG_GATE_STEP;
    if (word & GG_GATE_SLEEPERS) {
        atomic_store_explicit(&gate->opened, gg_ticks(), memory_order_relaxed);
    }
    if (atomic_exchange_explicit(&gate->word, next, memory_order_acq_rel) & GG_GATE_SLEEPERS) {
        gg_gate_wake(gate);
    }
}
#endif
