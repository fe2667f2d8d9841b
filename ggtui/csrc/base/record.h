/* What the threads record in a run: each step. Records leave no gap: where one is done the next one starts. */
#ifndef GG_RECORD_H
#define GG_RECORD_H
#include <stddef.h>

#include "base/ticks.h"

static const double GG_DISTURBED = 1.5; /* a run that takes so many times as long as half of them do was disturbed */

enum { GG_TOLD_PART = 100 }; /* less than one part of so many is no time without a core: the clocks' own jitter */

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

static inline gg_record *gg_records_of(const gg_trace *trace, int64_t run, int ith) {
    return &trace->records[(run * trace->n_threads + ith) * trace->capacity];
}

static inline int64_t *gg_n_records_of(const gg_trace *trace, int64_t run, int ith) {
    return &trace->n_records[run * trace->n_threads + ith];
}

/* Thread ith begins a run now, to be recorded at that place, which the caller asked for at the tick `asked`. */
static inline gg_recorder gg_recorder_begin(const gg_trace *trace, int64_t place, int ith, int64_t asked) {
    gg_recorder r = {.records = gg_records_of(trace, place, ith), .capacity = trace->capacity};
    gg_record_step(&r, asked, gg_ticks_fenced());
    return r;
}

/* The thread has come to the end of its steps. */
static inline void gg_recorder_end(const gg_recorder *r, const gg_trace *trace, int64_t place, int ith) {
    *gg_n_records_of(trace, place, ith) = r->n;
    trace->n_dropped[ith] = r->n_dropped;
}

/* For thread ith, which rested while a run went from `asked` to `done`: that is its only record. */
static inline void gg_record_rest(const gg_trace *trace, int64_t place, int ith, int64_t asked, int64_t done) {
    gg_recorder r = {.records = gg_records_of(trace, place, ith), .capacity = trace->capacity};
    gg_record_step(&r, asked, done);
    gg_recorder_end(&r, trace, place, ith);
}

static inline int gg_takes_long(const gg_trace *trace, int64_t took) {
    return (double)took > GG_DISTURBED * (double)trace->typical;
}

/* Moves `typical` towards what half of the runs take longer than, and returns whether this one was disturbed. */
static inline int gg_is_disturbed(gg_trace *trace, int64_t size, int64_t took) {
    if (trace->typical == 0 || size != trace->typical_size) {
        trace->typical = took;
        trace->typical_size = size;
        return 0;
    }
    const int disturbed = gg_takes_long(trace, took);
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

/* Whether the next run, of that size, is to be recorded. */
static inline int gg_is_recorded(gg_trace *trace, int64_t size) {
    const int is_long = size != trace->typical_size || trace->typical >= trace->longest;
    const int is = trace->totals == NULL || is_long || ++trace->n_passed >= trace->one_of;
    trace->n_passed = is ? 0 : trace->n_passed;
    return is;
}

/* Adds what thread ith recorded in all n runs of the ring to its totals, but of runs in which it rested. */
static inline void gg_add_runs(const gg_trace *trace, int ith) {
    gg_total *totals = &trace->totals[ith * trace->capacity];
    for (int64_t run = 0; run < trace->n; run++) {
        const gg_record *r = gg_records_of(trace, run, ith);
        const int64_t n = *gg_n_records_of(trace, run, ith);
        if (n < 2) {
            continue;
        }
        gg_add_total(&totals[0], r[0].done - r[0].end, 0);
        for (int64_t i = 1; i < n; i++) {
            gg_add_total(&totals[i], r[i].end - r[i - 1].done, r[i].done - r[i].end);
        }
    }
}

/* A run on the first `team` threads, recorded at that place and asked for at `asked`, is over. Each thread's last record waited for
 * this moment, which only the caller sees. `adds`: totals are to be with it. */
static inline void gg_record_end(gg_trace *trace, int64_t place, int team, int64_t asked, int64_t done, int adds) {
    for (int ith = 0; ith < trace->n_threads; ith++) {
        if (ith >= team) {
            gg_record_rest(trace, place, ith, asked, done);
        }
        int64_t *n = gg_n_records_of(trace, place, ith);
        if (*n > 1 && trace->n_dropped[ith] == 0) { /* the first one is of waking up */
            gg_records_of(trace, place, ith)[*n - 1].done = done;
        }
        if (!adds && trace->totals != NULL) {
            *n = 0;
        }
    }
    trace->n = place + 1;
}

/* The place of the next run that is recorded. Where all are filled and there are no totals nobody took the last one. */
static inline int64_t gg_next_place(const gg_trace *trace) {
    return trace->n < trace->n_runs ? trace->n : trace->totals != NULL ? 0 : trace->n_runs - 1;
}

/* A run of that size is over, to its end unless it `failed`. Returns whether there is more to be told of it. */
static inline int gg_trace_end(gg_trace *trace, int recorded, int failed, int64_t place, int64_t size, int team, int64_t asked,
                               int64_t done) {
    const int disturbed = !failed && gg_is_disturbed(trace, size, done - asked);
    trace->n_disturbed += disturbed && recorded;
    if (recorded) {
        gg_record_end(trace, place, team, asked, done, !failed && !disturbed);
    }
    int told = 0;
    trace->n_asked = 0;
    for (int ith = 0; ith < trace->n_threads; ith++) {
        const gg_scheduled said = trace->scheduled != NULL ? trace->scheduled[ith] : (gg_scheduled){0};
        trace->n_asked += said.span > 0;
        told |= said.lost > said.span / GG_TOLD_PART || (recorded && trace->n_dropped[ith] > 0);
    }
    return told;
}
#endif
