/* What a tick of the processor's counter is in nanoseconds, measured once against the system's clock. */
#include "base/ticks.h"

#include <pthread.h>
#include <time.h>

#ifdef CLOCK_MONOTONIC_RAW
#define CLOCK CLOCK_MONOTONIC_RAW /* not bent by the network's time */
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t gg_ticks(void) {
#if defined(__x86_64__) || defined(__aarch64__)
    return gg_ticks_fenced();
#else
    return clock_ns();
#endif
}

/* One moment on both clocks: of a few attempts the one that took the least time. */
static void read_both(uint64_t *ns, uint64_t *ticks) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        const uint64_t before = gg_ticks(), now = clock_ns(), took = gg_ticks() - before;
        if (took < least) {
            least = took;
            *ns = now;
            *ticks = before + took / 2;
        }
    }
}

enum {
    SPAN = 3000000,        /* nanoseconds; both clocks are good to some 20: 1e-5 of it */
    TOO_LONG = 1000000000, /* meanwhile the machine may have slept, and one clock with it */
};
static double tick_ns;
static uint64_t ns0, ticks0;

/* The span begins as the module is loaded, so that it is mostly over when the first session asks. */
__attribute__((constructor)) static void begin(void) { read_both(&ns0, &ticks0); }

static void calibrate(void) {
    uint64_t ns1 = 0, ticks1 = 0;
    uint64_t passed = clock_ns() - ns0;
    if (passed > TOO_LONG) {
        read_both(&ns0, &ticks0);
        passed = 0;
    }
    if (passed < SPAN) {
        const struct timespec rest = {.tv_nsec = (long)(SPAN - passed)};
        nanosleep(&rest, NULL);
    }
    read_both(&ns1, &ticks1);
    tick_ns = ticks1 > ticks0 ? (double)(ns1 - ns0) / (double)(ticks1 - ticks0) : 1.0;
}

double gg_tick_ns(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, calibrate);
    return tick_ns;
}

double gg_stamp_ns(int fenced) {
    enum { STAMPS = 1000, ROUNDS = 5 };
    uint64_t least = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t started = gg_ticks();
        uint64_t last = started;
        for (int i = 0; i < STAMPS; i++) {
            last = fenced ? gg_ticks_fenced() : gg_ticks_loose();
        }
        least = last - started < least ? last - started : least;
    }
    return (double)least * gg_tick_ns() / STAMPS;
}
