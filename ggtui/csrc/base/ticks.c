/* Which clock time stamps come from, and what a tick of the processor's counter is in nanoseconds, measured once against the
 * system's clock. */
#include "base/ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <pthread.h>
#include <time.h>

#ifdef CLOCK_MONOTONIC_RAW
#define CLOCK CLOCK_MONOTONIC_RAW /* not bent by the network's time */
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static int64_t ns_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t gg_clock_ns(void) { return ns_of(CLOCK); }

_Thread_local int64_t gg_slept;
_Thread_local gg_reading gg_last_reading;

int64_t gg_thread_ns(void) { return ns_of(CLOCK_THREAD_CPUTIME_ID); }

atomic_int gg_ticks_from_clock;

/* Whether there is a counter that runs at one pace, whatever the processor's frequency and while it sleeps. */
static int counter_is_steady(void) {
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && edx >> 8 & 1; /* the bit "invariant TSC" */
#elif defined(__aarch64__)
    return 1; /* so the architecture says */
#else
    return 0;
#endif
}

const char *gg_tick_source(void) {
    return !gg_clock_is_used()    ? "the processor's counter"
           : counter_is_steady() ? "the system's clock"
                                 : "the system's clock: the processor has no counter of a steady pace";
}

int64_t gg_ticks(void) { return gg_ticks_fenced(); }

/* One moment on both clocks: of a few attempts the one that took the least time. */
static void read_both(int64_t *ns, int64_t *ticks) {
    int64_t least = INT64_MAX;
    for (int i = 0; i < 16; i++) {
        const int64_t before = gg_read_counter_fenced(), now = gg_clock_ns(), took = gg_read_counter_fenced() - before;
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
static const double ASK_EVERY_NS = 10e6; /* asking takes some 400 ns */
static double tick_ns;
static int64_t ns0, ticks0;

/* The span begins as the module is loaded, so that it is mostly over when the first session asks. */
__attribute__((constructor)) static void begin(void) {
    atomic_store(&gg_ticks_from_clock, !counter_is_steady());
    read_both(&ns0, &ticks0);
}

static void calibrate(void) {
    int64_t ns1 = 0, ticks1 = 0;
    int64_t passed = gg_clock_ns() - ns0;
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
    if (gg_clock_is_used()) {
        return 1.0;
    }
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, calibrate);
    return tick_ns;
}

int64_t gg_ask_every(void) { return (int64_t)(ASK_EVERY_NS / gg_tick_ns()); }

double gg_stamp_ns(int fenced) {
    enum { STAMPS = 1000, ROUNDS = 5 };
    int64_t least = INT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t started = gg_ticks();
        int64_t last = started;
        for (int i = 0; i < STAMPS; i++) {
            last = fenced ? gg_ticks_fenced() : gg_ticks_loose();
        }
        least = last - started < least ? last - started : least;
    }
    return (double)least * gg_tick_ns() / STAMPS;
}
