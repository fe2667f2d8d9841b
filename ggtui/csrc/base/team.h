/* How many of a pool's threads the runs of a plan get.
 *
 * All of them, as long as each has a core to itself. Where other programs want the cores too, threads wait at every barrier for
 * one that the system has put aside, and fewer of them may be faster: which is found by trying. Fewer are tried after a
 * thread lost time, one more now and then as long as some rest, and what was faster stays. Results have the same bits for any
 * number of threads. */
#ifndef GG_TEAM_H
#define GG_TEAM_H
#include <stdatomic.h>
#include <stdint.h>

#include "base/ticks.h"

static const double GG_TRIAL_NS = 12e6;                   /* several turns of the system's scheduler; the first comes after as long */
static const double GG_HOLD_NS = 200e6, GG_HOLD_MOST = 8; /* until the next trial; after each in vain twice as long, up to 8 times */
static const double GG_FASTER = 0.95;                     /* of the time: what is worth a change */

/* The ticks of some runs. */
typedef struct {
    double ticks, runs;
} gg_took;

typedef struct {
    int64_t size;       /* of the runs: those of one size take about equally long */
    int most;           /* threads that there are */
    int n, trial;       /* threads of the runs; of those that are on trial, 0 where none are */
    int fewer_was_vain; /* the last trial was of fewer, which were no faster */
    int by;             /* by how many fewer the next trial is of: more after each in vain */
    int fresh;          /* the next run is the first with another number of threads: it has to wake them, and tells nothing */
    double hold;        /* ticks until the next trial */
    int64_t next;       /* the tick of it */
    gg_took took, tried;
    _Atomic int lost; /* since the last trial a thread lost time */
} gg_team;

static inline void gg_team_clear(gg_team *team, int most, int64_t size, int64_t now) {
    team->size = size;
    team->n = team->most = most;
    team->trial = team->fewer_was_vain = team->fresh = 0;
    team->by = 1;
    team->hold = GG_HOLD_NS / gg_tick_ns();
    team->next = now + (int64_t)(GG_TRIAL_NS / gg_tick_ns());
    team->took = team->tried = (gg_took){0};
    atomic_store_explicit(&team->lost, 0, memory_order_relaxed);
}

/* A thread of a run lost much time. */
static inline void gg_team_lost(gg_team *team) { atomic_store_explicit(&team->lost, 1, memory_order_relaxed); }

/* The threads of the next run, of at most `most`. */
static inline int gg_team_next(gg_team *team, int most, int64_t size, int64_t now) {
    if (team->size != size || team->most != most) {
        gg_team_clear(team, most, size, now);
    }
    if (team->trial == 0 && team->took.runs >= 2 && now >= team->next) {
        const int lost = atomic_load_explicit(&team->lost, memory_order_relaxed);
        if (lost && team->n > 1 && !(team->fewer_was_vain && team->n < most)) {
            team->by = team->by < team->n ? team->by : 1;
            team->trial = team->n - team->by;
        } else if (team->n < most) {
            team->trial = team->n + 1;
        }
        if (team->trial != 0) {
            team->tried = (gg_took){0};
            team->fresh = 1;
        }
    }
    return team->trial != 0 ? team->trial : team->n;
}

/* A run of that many threads is over, at the tick `now`. */
static inline void gg_team_ran(gg_team *team, int64_t took, int64_t now) {
    const double trial = GG_TRIAL_NS / gg_tick_ns();
    gg_took *mean = team->trial != 0 ? &team->tried : &team->took;
    if (team->fresh) {
        team->fresh = 0;
        return;
    }
    mean->ticks += (double)took;
    mean->runs++;
    if (team->trial == 0) {
        if (mean->ticks > 2 * trial && mean->runs >= 4) { /* what was long ago counts less and less */
            mean->ticks /= 2;
            mean->runs /= 2;
        }
        return;
    }
    if (mean->ticks < trial || mean->runs < 2) {
        return;
    }
    const int faster = team->tried.ticks / team->tried.runs < GG_FASTER * team->took.ticks / team->took.runs;
    const double least = GG_HOLD_NS / gg_tick_ns(), longest = 10 * team->tried.ticks;
    team->fewer_was_vain = !faster && team->trial < team->n;
    if (faster) {
        team->n = team->trial;
        team->took = team->tried;
        team->hold = least;
        team->by = 1;
    } else {
        team->fresh = 1;
        team->by += team->fewer_was_vain ? 1 + team->by / 4 : 0;
        team->hold = team->hold < GG_HOLD_MOST * least ? 2 * team->hold : team->hold;
    }
    team->trial = 0;
    team->next = now + (int64_t)(team->hold > longest ? team->hold : longest);
    atomic_store_explicit(&team->lost, 0, memory_order_relaxed);
}
#endif
