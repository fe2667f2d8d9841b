/* What the system says of threads: for how long one was not scheduled, though it wanted to run. */
#ifndef GG_WATCH_H
#define GG_WATCH_H
#include "base/ticks.h"

enum {
    GG_BUSY_PART = 50, /* losing more than one part of so many makes a machine busy: it is asked sooner again */
    GG_SOONER = 10,    /* so many times */
    GG_MUCH_PART = 20, /* losing so much and so long is reason to see whether fewer threads are faster: */
    GG_MUCH_NS = 200000,
};

/* Asks the system about the thread that calls: since the time before. */
static inline gg_scheduled gg_ask(void) {
    const gg_reading before = gg_last_reading, now = {gg_ticks_loose(), gg_thread_ns(), gg_slept, 0};
    const double tick_ns = gg_tick_ns();
    const int64_t span = (int64_t)((double)(now.at - before.at) * tick_ns);
    const int64_t lost = span - (now.ran - before.ran) - (int64_t)((double)(now.slept - before.slept) * tick_ns);
    gg_last_reading = now;
    gg_last_reading.busy = lost > span / GG_BUSY_PART;
    return (gg_scheduled){span, lost > 0 ? lost : 0};
}

/* This thread begins to work. Returns whether that was after a pause, which is nobody's loss: the system is asked now, and is to be asked
 * at the end. */
static inline int gg_watch_begin(int64_t every) {
    const int paused = gg_ticks_loose() - gg_last_reading.at > 2 * every;
    if (paused) {
        (void)gg_ask();
    }
    return paused;
}

/* Whether it is long ago that the system was asked; where the machine is busy less is long, so that little at the end of a generation
 * is not spoken of. */
static inline int gg_watch_is_due(int64_t every) {
    return gg_ticks_loose() - gg_last_reading.at > (gg_last_reading.busy ? every / GG_SOONER : every);
}

/* Whether a thread lost much of a time most of which it spent in a run, of so many ticks, or ready for one. */
static inline int gg_lost_much(gg_scheduled said, int64_t run) {
    return said.lost > GG_MUCH_NS && said.lost > said.span / GG_MUCH_PART && (double)run * gg_tick_ns() > (double)(said.span / 2);
}
#endif
