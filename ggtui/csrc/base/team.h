/* How many of a pool's threads the runs of a plan get.
 *
 * All of them, as long as each has a core to itself. Where other programs want the cores too, threads wait at every barrier for
 * one that the system has put aside, and fewer of them may be faster: which is found by trying. Fewer are tried after a
 * thread lost time, more now and then as long as some rest, and what was faster stays. Results have the same bits for any
 * number of threads.
 *
 * A trial is of some runs in a row of one size: it serves a generation, and prompts only if many of one length follow each other. */
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
    int fewer_was_vain; /* the last trial was of fewer, which were no faster; */
    int all_was_vain;   /* or it was of all, by more than one more */
    int by;             /* by how many fewer the next trial is of: more after each in vain */
    int fresh;          /* the next run is the first of its kind, or with another number of threads: it has to wake them and to touch
                         * memory for the first time, and tells nothing */
    double hold;        /* ticks until the next trial */
    int64_t next;       /* the tick of it */
    gg_took took, tried;
    _Atomic int lost; /* since the last trial began a thread lost time */
} gg_team;

/* What was measured tells nothing of the runs to come. */
static inline void gg_team_forget(gg_team *team, int64_t now) {
    const int64_t soon = now + (int64_t)(GG_TRIAL_NS / gg_tick_ns());
    team->took = team->tried = (gg_took){0};
    team->trial = 0;
    team->fresh = 1;
    team->next = team->next > soon ? team->next : soon;
}

/* Nor does the time before a pause tell what the machine is like. */
static inline void gg_team_begin(gg_team *team, int64_t now) {
    team->next = 0;
    gg_team_forget(team, now);
    team->fewer_was_vain = team->all_was_vain = 0;
    team->by = 1;
    team->hold = GG_HOLD_NS / gg_tick_ns();
    atomic_store_explicit(&team->lost, 0, memory_order_relaxed);
}

/* A thread of a run lost much time. */
static inline void gg_team_lost(gg_team *team) { atomic_store_explicit(&team->lost, 1, memory_order_relaxed); }

/* How many threads are to be tried now, 0 for none. */
static inline int gg_team_trial(gg_team *team) {
    const int lost = atomic_load_explicit(&team->lost, memory_order_relaxed);
    if (lost && team->n > 1 && !(team->fewer_was_vain && team->n < team->most)) {
        team->by = team->by < team->n ? team->by : 1;
        return team->n - team->by;
    }
    if (team->n < team->most) { /* where nothing was lost the others may all have gone */
        return lost || team->all_was_vain ? team->n + 1 : team->most;
    }
    return 0;
}

/* The threads of the next run, of at most `most`. `paused`: nothing ran for a while before it. */
static inline int gg_team_next(gg_team *team, int most, int64_t size, int paused, int64_t now) {
    if (team->most != most) {
        team->n = team->most = most;
        gg_team_begin(team, now);
    } else if (paused) {
        gg_team_begin(team, now);
    } else if (team->size != size) {
        gg_team_forget(team, now);
    }
    team->size = size;
    if (team->trial == 0 && team->took.runs >= 2 && now >= team->next && (team->trial = gg_team_trial(team)) != 0) {
        team->tried = (gg_took){0};
        team->fresh = 1;
        atomic_store_explicit(&team->lost, 0, memory_order_relaxed);
    }
    return team->trial != 0 ? team->trial : team->n;
}

/* Whether the threads on trial do better: fewer if they are clearly faster; more also if they are no slower and lose nothing. */
static inline int gg_team_is_better(gg_team *team) {
    const double ratio = team->tried.ticks / team->tried.runs / (team->took.ticks / team->took.runs);
    const int lost = atomic_load_explicit(&team->lost, memory_order_relaxed);
    return ratio < GG_FASTER || (team->trial > team->n && !lost && ratio <= 1);
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
    const double least = GG_HOLD_NS / gg_tick_ns(), longest = 10 * team->tried.ticks;
    const int better = gg_team_is_better(team);
    team->fewer_was_vain = !better && team->trial < team->n;
    team->all_was_vain = !better && team->trial > team->n + 1;
    if (better) {
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
