/* What the threads record in a run: each step, and what the system says of them. Records leave no gap: where one is done the next
 * one starts. */
#ifndef GG_RECORD_H
#define GG_RECORD_H
#include <stddef.h>

#include "base/ticks.h"

enum { GG_AFTER_PAUSE = -1 }; /* as the span of a gg_scheduled: the run began after a pause, and is asked about when it ends */
enum { BUSY_PART = 50, SOONER = 10 }; /* the part of the time lost that makes a machine busy */
static const double GG_DISTURBED = 1.5; /* a run that takes so many times as long as half of them do was disturbed */

/* What one thread writes. */
typedef struct {
    gg_record *records;
    int64_t capacity, n, n_dropped;
} gg_recorder;

/* Step i ended, and the barrier after it, if there is one, was passed at `done`. */
static inline void gg_record_step(gg_recorder *r, int64_t end, int64_t done) {
    if (r->n < r->capacity) {
        r->records[r->n++] = (gg_record){.end = end, .done = done};
    } else {
        r->n_dropped++;
    }
}

/* Asks the system about the thread that calls. */
static inline gg_scheduled gg_ask(void) {
    const gg_reading before = gg_last_reading, now = {gg_ticks_loose(), gg_thread_ns(), gg_slept, 0};
    const double tick_ns = gg_tick_ns();
    const int64_t span = (int64_t)((double)(now.at - before.at) * tick_ns);
    const int64_t lost = span - (now.ran - before.ran) - (int64_t)((double)(now.slept - before.slept) * tick_ns);
    gg_last_reading = now;
    gg_last_reading.busy = lost > span / BUSY_PART;
    return (gg_scheduled){span, lost > 0 ? lost : 0};
}

/* Whether the system is to be asked again, since it was long ago: where the machine is busy, sooner, so that little at the end of
 * a generation is not spoken of. */
static inline int gg_is_due(const gg_trace *trace, int64_t now) {
    return now - gg_last_reading.at > (gg_last_reading.busy ? trace->every / SOONER : trace->every);
}

/* Thread ith begins a run now, which the caller asked for at the tick `asked`. */
static inline gg_recorder gg_recorder_begin(const gg_trace *trace, int ith, int64_t asked) {
    const int64_t now = gg_ticks_fenced();
    gg_recorder r = {.records = &trace->records[ith * trace->capacity], .capacity = trace->capacity};
    gg_record_step(&r, asked, now);
    if (trace->scheduled != NULL) {
        gg_scheduled *s = &trace->scheduled[ith];
        *s = (gg_scheduled){0};
        if (now - gg_last_reading.at > 2 * trace->every) { /* there was a pause, which is nobody's loss */
            (void)gg_ask();
            s->span = GG_AFTER_PAUSE;
        }
    }
    return r;
}

static inline void gg_ask_if_due(const gg_trace *trace, int ith, int64_t asked) {
    if (trace->scheduled != NULL) {
        gg_scheduled *s = &trace->scheduled[ith];
        const int64_t now = gg_ticks_loose();
        if (s->span == GG_AFTER_PAUSE || gg_is_due(trace, now) ||
            (double)(now - asked) > GG_DISTURBED * (double)trace->typical) {
            *s = gg_ask();
        }
    }
}

/* The thread has come to the end of its steps. */
static inline void gg_recorder_end(const gg_recorder *r, const gg_trace *trace, int ith, int64_t asked) {
    trace->n_records[ith] = r->n;
    trace->n_dropped[ith] = r->n_dropped;
    if (ith > 0) { /* the caller has yet to wait for the others */
        gg_ask_if_due(trace, ith, asked);
    }
}

/* Moves `typical` towards what half of the runs take longer than, and returns whether this one was disturbed. */
static inline int gg_is_disturbed(gg_trace *trace, int64_t took) {
    if (trace->typical == 0 || trace->size != trace->typical_size) {
        trace->typical = took;
        trace->typical_size = trace->size;
        return 0;
    }
    const int disturbed = (double)took > GG_DISTURBED * (double)trace->typical;
    trace->typical += (took > trace->typical ? 1 : -1) * (trace->typical / 16 + 1);
    return disturbed;
}

static inline void gg_add_total(gg_total *total, int64_t work, int64_t wait) {
    total->least = total->count == 0 || work < total->least ? work : total->least;
    total->most = work > total->most ? work : total->most;
    total->count++;
    total->work += work;
    total->wait += wait;
    total->work_squared += (double)work * (double)work;
}

/* Adds the records of thread ith, of a run that was recorded wholly. */
static inline void gg_add_totals(const gg_trace *trace, int n_steps, int ith) {
    const gg_record *r = &trace->records[ith * trace->capacity];
    gg_total *totals = &trace->totals[(size_t)ith * ((size_t)n_steps + 1)];
    gg_add_total(&totals[0], r[0].done - r[0].end, 0);
    for (int64_t i = 1; i < trace->n_records[ith]; i++) {
        gg_add_total(&totals[i], r[i].end - r[i - 1].done, r[i].done - r[i].end);
    }
}

/* The run, asked for at `asked`, is over. Each thread's last record waited for this moment, which only the caller sees. */
static inline void gg_record_end(gg_trace *trace, int n_steps, int nth, int64_t asked) {
    const int64_t done = gg_ticks_fenced();
    gg_ask_if_due(trace, 0, asked);
    const int disturbed = gg_is_disturbed(trace, done - asked);
    trace->n_asked = 0;
    for (int ith = 0; ith < nth; ith++) {
        const int64_t n = trace->n_records[ith];
        if (n > 1 && trace->n_dropped[ith] == 0) { /* the first one is of waking up */
            trace->records[ith * trace->capacity + n - 1].done = done;
        }
        trace->n_asked += trace->scheduled != NULL && trace->scheduled[ith].span > 0;
        if (trace->totals != NULL && !disturbed) {
            gg_add_totals(trace, n_steps, ith);
        }
    }
    trace->n_disturbed += disturbed;
}
#endif
