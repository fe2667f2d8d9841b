/* What the threads record in a run: each step. Records leave no gap: where one is done the next one starts. */
#ifndef GG_RECORD_H
#define GG_RECORD_H
#include <stddef.h>

#include "base/ticks.h"

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

/* Thread ith begins a run now, which the caller asked for at the tick `asked`. */
static inline gg_recorder gg_recorder_begin(const gg_trace *trace, int ith, int64_t asked) {
    gg_recorder r = {.records = &trace->records[ith * trace->capacity], .capacity = trace->capacity};
    gg_record_step(&r, asked, gg_ticks_fenced());
    return r;
}

/* The thread has come to the end of its steps. */
static inline void gg_recorder_end(const gg_recorder *r, const gg_trace *trace, int ith) {
    trace->n_records[ith] = r->n;
    trace->n_dropped[ith] = r->n_dropped;
}

/* For thread ith, which rested while a run went from `asked` to `done`: that is its only record. */
static inline void gg_record_rest(const gg_trace *trace, int ith, int64_t asked, int64_t done) {
    gg_recorder r = {.records = &trace->records[ith * trace->capacity], .capacity = trace->capacity};
    gg_record_step(&r, asked, done);
    gg_recorder_end(&r, trace, ith);
    if (trace->scheduled != NULL) {
        trace->scheduled[ith] = (gg_scheduled){0};
    }
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

/* Adds what thread ith recorded in the last run to its totals, unless they are to be without that run, or it rested. Each thread
 * does so for itself when it begins the next run: what it recorded lies beside it, and nobody waits for a token meanwhile. */
static inline void gg_add_last(const gg_trace *trace, int n_steps, int ith) {
    if (!trace->is_to_add || trace->n_records[ith] < 2) {
        return;
    }
    const gg_record *r = &trace->records[ith * trace->capacity];
    gg_total *totals = &trace->totals[(size_t)ith * ((size_t)n_steps + 1)];
    gg_add_total(&totals[0], r[0].done - r[0].end, 0);
    for (int64_t i = 1; i < trace->n_records[ith]; i++) {
        gg_add_total(&totals[i], r[i].end - r[i - 1].done, r[i].done - r[i].end);
    }
}

/* A run of that size, on the first `team` of nth threads, asked for at `asked`, is over. Each thread's last record waited for this
 * moment, which only the caller sees. */
static inline void gg_record_end(gg_trace *trace, int n_steps, int64_t size, int team, int nth, int64_t asked, int64_t done) {
    const int disturbed = gg_is_disturbed(trace, size, done - asked);
    trace->n_asked = 0;
    for (int ith = 0; ith < nth; ith++) {
        if (ith >= team) {
            gg_add_last(trace, n_steps, ith);
            gg_record_rest(trace, ith, asked, done);
        }
        const int64_t n = trace->n_records[ith];
        if (n > 1 && trace->n_dropped[ith] == 0) { /* the first one is of waking up */
            trace->records[ith * trace->capacity + n - 1].done = done;
        }
        trace->n_asked += trace->scheduled != NULL && trace->scheduled[ith].span > 0;
    }
    trace->n_disturbed += disturbed;
    trace->is_to_add = trace->totals != NULL && !disturbed;
}
#endif
