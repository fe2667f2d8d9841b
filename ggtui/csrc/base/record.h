/* What one thread records in a run: each step, or their totals. Records leave no gap: where one is done the next one starts. */
#ifndef GG_RECORD_H
#define GG_RECORD_H
#include <stddef.h>

#include "base/ticks.h"

typedef struct {
    gg_record *records;
    gg_total *totals; /* NULL, or [n_steps + 1] */
    int64_t capacity, n, n_dropped;
    int64_t done; /* of the last one */
} gg_recorder;

static inline void gg_add_total(gg_total *total, int64_t work, int64_t wait) {
    total->least = total->count == 0 || work < total->least ? work : total->least;
    total->most = work > total->most ? work : total->most;
    total->count++;
    total->work += work;
    total->wait += wait;
    total->work_squared += (double)work * (double)work;
}

static inline void gg_add_record(gg_recorder *r, int64_t end, int64_t done) {
    if (r->n < r->capacity) {
        r->records[r->n++] = (gg_record){.end = end, .done = done};
    } else {
        r->n_dropped++;
    }
}

/* Step i ended, and the barrier after it, if there is one, was passed at `done`. */
static inline void gg_record_step(gg_recorder *r, int i, int64_t end, int64_t done) {
    if (r->totals != NULL) {
        gg_add_total(&r->totals[i + 1], end - r->done, done - end);
    } else {
        gg_add_record(r, end, done);
    }
    r->done = done;
}

/* Thread ith begins a run of n_steps now, which the caller asked for at the tick `asked`. */
static inline gg_recorder gg_recorder_begin(const gg_trace *trace, int n_steps, int ith, int64_t asked) {
    gg_recorder r = {.done = gg_ticks_fenced()};
    if (trace->totals != NULL) {
        r.totals = &trace->totals[(size_t)ith * ((size_t)n_steps + 1)];
        gg_add_total(r.totals, r.done - asked, 0);
    } else {
        r.records = &trace->records[ith * trace->capacity];
        r.capacity = trace->capacity;
        gg_add_record(&r, asked, r.done);
    }
    return r;
}

/* The thread has come to the end of its steps. */
static inline void gg_recorder_end(const gg_recorder *r, const gg_trace *trace, int n_steps, int ith) {
    if (r->totals != NULL) {
        r->totals[n_steps].wait -= r->done; /* gg_record_end adds when the run ended */
    } else {
        trace->n_records[ith] = r->n;
        trace->n_dropped[ith] = r->n_dropped;
    }
}

/* Each thread's last record waited for the end of the run, which only the caller sees. */
static inline void gg_record_end(const gg_trace *trace, int n_steps, int nth) {
    const int64_t done = gg_ticks_fenced();
    for (int ith = 0; ith < nth; ith++) {
        if (trace->totals != NULL) {
            trace->totals[(size_t)(ith + 1) * ((size_t)n_steps + 1) - 1].wait += done;
            continue;
        }
        const int64_t n = trace->n_records[ith];
        if (n > 1 && trace->n_dropped[ith] == 0) { /* the first one is of waking up */
            trace->records[ith * trace->capacity + n - 1].done = done;
        }
    }
}
#endif
