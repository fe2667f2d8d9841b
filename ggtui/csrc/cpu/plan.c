/* The executor: runs the steps of a plan on the threads of a pool. It is the only place that takes time stamps.
 *
 * Every thread of a run, some of the pool may rest, walks all steps in order and does its share of each. Threads wait for each other only at the barriers that steps
 * ask for, and at the end. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cache_line.h"
#include "base/pool.h"
#include "base/record.h"
#include "base/team.h"
#include "base/watch.h"
#include "cpu/isa.h"
#include "cpu/ops.h"
#include "cpu/plan_memory.h"

/* A step's counters of chunks, on a cache line of their own: those handed out, and those done. */
typedef struct {
    _Alignas(GG_CACHE_LINE) _Atomic int64_t next;
    _Atomic int64_t done;
} gg_counter;

typedef struct {
    gg_patch patch;
    int64_t capacity; /* the dimension as the plan was made with it: what memory there is for */
} gg_place;

struct gg_plan {
    gg_step *steps;       /* [n_steps] */
    gg_counter *counters; /* [n_steps] */
    gg_place *places;     /* [n_places] */
    gg_team team;
    int n_steps, n_places;
    const gg_kernels *kernels;
    void *user;
    _Atomic pid_t process; /* whose lock that is; 0 while it is made anew */
    pthread_mutex_t lock;  /* held for a run */

    /* Scratch: n_scratch parts of scratch_bytes, whole pages, one for each thread. In a part the thread's own tensors come
     * first, then at own_bytes the temporaries. */
    uint8_t *scratch;
    size_t scratch_bytes, own_bytes;
    int n_scratch;
    uint8_t *shared; /* [shared_bytes] what threads have together; steps of one phase have parts of their own */
    size_t shared_bytes;

    /* GG_OK, or why the run under way ends early: the first failure, or a request to stop. */
    _Atomic int halt;
    char message[256]; /* of the failure, written by the thread that set halt */
};

/* ---- making a plan ---- */

static gg_tensor *patched_tensor(gg_plan *plan, const gg_patch *patch) {
    gg_step *step = &plan->steps[patch->step];
    return patch->tensor < 0 ? &step->dst : &step->src[patch->tensor];
}

gg_plan *gg_plan_new(const gg_step *steps, int n_steps, const gg_patch *patches, int n_patches, int64_t own_bytes, int isa,
                     void *user) {
    if (gg_check_plan(steps, n_steps, patches, n_patches, own_bytes, isa) != GG_OK) {
        return NULL;
    }
    gg_plan *plan = calloc(1, sizeof(*plan));
    if (plan == NULL) {
        gg_fail(GG_NO_MEMORY, "no memory for a plan");
        return NULL;
    }
    pthread_mutex_init(&plan->lock, NULL);
    atomic_init(&plan->process, getpid());
    plan->user = user;
    /* One more than needed: room for nothing may come back as NULL. */
    plan->steps = malloc(((size_t)n_steps + 1) * sizeof(*plan->steps));
    plan->counters = aligned_alloc(GG_CACHE_LINE, ((size_t)n_steps + 1) * sizeof(*plan->counters));
    plan->places = malloc(((size_t)n_patches + 1) * sizeof(*plan->places));
    if (plan->steps == NULL || plan->counters == NULL || plan->places == NULL) {
        gg_plan_free(plan);
        gg_fail(GG_NO_MEMORY, "no memory for a plan of %d steps", n_steps);
        return NULL;
    }
    for (int i = 0; i < n_steps; i++) {
        plan->steps[i] = steps[i];
        atomic_init(&plan->counters[i].next, 0);
        atomic_init(&plan->counters[i].done, 0);
    }
    plan->n_steps = n_steps;
    plan->shared_bytes = gg_place_shared(plan->steps, n_steps, NULL);
    plan->shared = plan->shared_bytes > 0 ? aligned_alloc(GG_CACHE_LINE, plan->shared_bytes) : NULL;
    if (plan->shared == NULL && plan->shared_bytes > 0) {
        gg_fail(GG_NO_MEMORY, "no memory for %zu bytes that threads share", plan->shared_bytes);
        gg_plan_free(plan);
        return NULL;
    }
    (void)gg_place_shared(plan->steps, n_steps, plan->shared);
    for (int i = 0; i < n_patches; i++) {
        const gg_patch *patch = &patches[i];
        const int64_t capacity = patch->place == GG_PATCH_NE ? patched_tensor(plan, patch)->ne[patch->index] : 0;
        plan->places[i] = (gg_place){*patch, capacity};
    }
    plan->n_places = n_patches;
    plan->kernels = gg_kernels_of(isa);
    plan->own_bytes = gg_round_up((size_t)own_bytes, GG_CACHE_LINE);
    plan->scratch_bytes = gg_round_up(plan->own_bytes + gg_most_tmp(steps, n_steps) + 1, (size_t)sysconf(_SC_PAGESIZE));
    return plan;
}

void gg_plan_free(gg_plan *plan) {
    if (plan != NULL) {
        pthread_mutex_destroy(&plan->lock);
        free(plan->steps);
        free(plan->counters);
        free(plan->places);
        free(plan->scratch);
        free(plan->shared);
        free(plan);
    }
}

const gg_step *gg_plan_step(const gg_plan *plan, int i) { return i >= 0 && i < plan->n_steps ? &plan->steps[i] : NULL; }

int64_t gg_plan_scratch(const gg_plan *plan) { return (int64_t)plan->scratch_bytes; }

int64_t gg_plan_shared(const gg_plan *plan) { return (int64_t)plan->shared_bytes; }

int gg_plan_team(const gg_plan *plan) { return plan->team.n; }

/* ---- stopping ---- */

static bool halted(gg_plan *plan) { return atomic_load_explicit(&plan->halt, memory_order_relaxed) != GG_OK; }

static bool halt(gg_plan *plan, int status) {
    int running = GG_OK;
    return atomic_compare_exchange_strong(&plan->halt, &running, status);
}

void gg_plan_stop(gg_plan *plan) { halt(plan, GG_STOPPED); }

void gg_plan_forget_stop(gg_plan *plan) { atomic_store(&plan->halt, GG_OK); }

/* This thread's op failed: if it is the first, its status and its message are the run's. */
static void fail(gg_plan *plan, int status) {
    if (halt(plan, status)) {
        snprintf(plan->message, sizeof(plan->message), "%s", gg_last_error());
    }
}

/* ---- running ---- */

typedef struct gg_run {
    gg_plan *plan;
    gg_pool *pool;
    int nth;     /* threads that take part */
    int n_steps; /* that are run */
    gg_trace *trace;
    bool recorded;
    int64_t place;             /* where in the trace */
    int64_t asked;             /* the tick when the caller woke the pool */
    int64_t every;             /* ticks after which the system is asked about a thread again */
    const struct gg_run *outer; /* the run in which a function of Python's asked for this one, or NULL */
} gg_run;

static _Thread_local const gg_run *inside; /* the run that this thread works for */

/* Never asked of the first step, which threads come to from the end of the last run. */
static bool barrier_before(const gg_run *run, int i) {
    const gg_plan *plan = run->plan;
    const int nth = run->nth;
    if (i == run->n_steps || nth == 1) {
        return false;
    }
    const gg_step *step = &plan->steps[i];
    return step->flags & GG_BARRIER || (step->flags & GG_BY_HEAD && !gg_own_heads(step, nth));
}

/* Records that step i ended now, and the wait at the barrier where there is one before the next step. */
static void wait_and_record(const gg_run *run, gg_recorder *recorder, int i, int ith) {
    const int64_t end = gg_ticks_loose();
    int64_t done = end;
    if (barrier_before(run, i + 1)) {
        gg_pool_barrier(run->pool, ith);
        done = gg_ticks_fenced();
    }
    gg_record_step(recorder, end, done);
}

/* One thread's share of step i. `alone` is for a step that this thread does wholly. */
static int do_step(gg_plan *plan, int i, gg_share *share, gg_share *alone) {
    const gg_step *step = &plan->steps[i];
    if (share->nth == 1 || step->flags & GG_EVERY) {
        atomic_store_explicit(alone->next, 0, memory_order_relaxed);
        return gg_op_function(step->op)(step, alone);
    }
    share->next = &plan->counters[i].next;
    share->done = &plan->counters[i].done;
    return gg_op_function(step->op)(step, share);
}

/* What thread ith does in a run. `recorder` is NULL where nothing is recorded: inlined into two callers, so that a run that is
 * not recorded has not even a branch for it. */
__attribute__((always_inline)) static inline void walk_steps(const gg_run *run, gg_recorder *recorder, int ith) {
    gg_plan *plan = run->plan;
    uint8_t *own = plan->scratch + (size_t)ith * plan->scratch_bytes;
    _Atomic int64_t alone_next; /* not the plan's: every thread that works alone does all chunks */
    gg_share share = {ith, run->nth, plan->kernels, own, own + plan->own_bytes, NULL, NULL, plan->user};
    gg_share alone = {0, 1, plan->kernels, own, own + plan->own_bytes, &alone_next, NULL, plan->user};
    inside = run;

    int i = 0;
    for (; i < run->n_steps && !halted(plan); i++) {
        const int status = do_step(plan, i, &share, &alone);
        if (status != GG_OK) {
            fail(plan, status);
        }
        if (recorder != NULL) {
            wait_and_record(run, recorder, i, ith);
        } else if (barrier_before(run, i + 1)) {
            gg_pool_barrier(run->pool, ith);
        }
    }
    /* Halted: others may be steps ahead or behind, and count on this thread at every barrier that is left. */
    for (i++; i < run->n_steps; i++) {
        if (barrier_before(run, i)) {
            gg_pool_barrier(run->pool, ith);
        }
    }
    inside = ith == 0 ? run->outer : NULL;
}

/* Thread ith has done its part of a run, and is asked about where that is due. */
static void watch_end(const gg_run *run, int ith, int paused) {
    gg_trace *trace = run->trace;
    const int64_t took = gg_ticks_loose() - run->asked;
    gg_scheduled said = {0};
    if (paused || gg_watch_is_due(run->every) || (trace != NULL && gg_takes_long(trace, took))) {
        said = gg_ask();
        /* Between runs the caller may have had other things to wait for, others only the next run. */
        if (gg_lost_much(said, ith == 0 ? took : INT64_MAX)) {
            gg_team_lost(&run->plan->team);
        }
    }
    if (trace != NULL && trace->scheduled != NULL && (said.span > 0 || trace->scheduled[ith].span > 0)) {
        trace->scheduled[ith] = said; /* mostly nothing is written: other threads' words lie beside it */
    }
}

/* Whether records have to make room for those of the next run, and are to be added up. */
static bool trace_is_full(const gg_trace *trace) { return trace->totals != NULL && trace->n == trace->n_runs; }

static void walk(void *arg, int ith) {
    const gg_run *run = arg;
    const int paused = ith > 0 && gg_watch_begin(run->every);
    if (run->recorded) {
        if (trace_is_full(run->trace)) {
            gg_add_runs(run->trace, ith); /* what it recorded itself lies beside it */
        }
        gg_recorder recorder = gg_recorder_begin(run->trace, run->place, ith, run->asked);
        walk_steps(run, &recorder, ith);
        gg_recorder_end(&recorder, run->trace, run->place, ith);
    } else {
        walk_steps(run, NULL, ith);
    }
    if (ith > 0) { /* the caller has yet to wait for the others */
        watch_end(run, ith, paused);
    }
}

/* Writes the values of the run-time variables to their places. */
static int patch_steps(gg_plan *plan, const int64_t *vars) {
    for (int i = 0; i < plan->n_places; i++) {
        const gg_patch *patch = &plan->places[i].patch;
        const int64_t value = vars[patch->var], capacity = plan->places[i].capacity;
        gg_step *step = &plan->steps[patch->step];
        if (patch->place == GG_PATCH_NE) {
            if (value < 0 || value > capacity) {
                return gg_fail(GG_FAILED, "step %d, %s: run-time variable %d is %lld, but ne[%d] was made for 0 to %lld",
                               patch->step, gg_op_name(step->op), patch->var, (long long)value, patch->index,
                               (long long)capacity);
            }
            patched_tensor(plan, patch)->ne[patch->index] = value;
        } else {
            if (value < INT32_MIN || value > INT32_MAX) {
                return gg_fail(GG_FAILED, "step %d, %s: run-time variable %d is %lld, too large for params[%d]", patch->step,
                               gg_op_name(step->op), patch->var, (long long)value, patch->index);
            }
            step->params[patch->index].i = (int32_t)value;
        }
    }
    return GG_OK;
}

/* Scratch for nth threads; each touches its own pages first, so they lie near its core. */
static int make_scratch(gg_plan *plan, int nth) {
    if (nth <= plan->n_scratch) {
        return GG_OK;
    }
    free(plan->scratch);
    plan->n_scratch = 0;
    const size_t bytes = plan->scratch_bytes;
    plan->scratch = bytes <= PTRDIFF_MAX / (size_t)nth ? aligned_alloc((size_t)sysconf(_SC_PAGESIZE), bytes * (size_t)nth) : NULL;
    if (plan->scratch == NULL) {
        return gg_fail(GG_NO_MEMORY, "no memory for %zu bytes of scratch for each of %d threads", bytes, nth);
    }
    plan->n_scratch = nth;
    return GG_OK;
}

/* With the locks of plan and pool. */
static int run_locked(gg_plan *plan, gg_pool *pool, const int64_t *vars, int64_t size, int n_steps, gg_trace *trace) {
    const int nth = gg_pool_n_threads(pool);
    if (trace != NULL && trace->n_threads != nth) {
        return gg_fail(GG_FAILED, "records of %d threads, but a pool of %d", (int)trace->n_threads, nth);
    }
    int status = patch_steps(plan, vars);
    if (status == GG_OK) {
        status = make_scratch(plan, nth);
    }
    if (status != GG_OK) {
        return status;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        atomic_store_explicit(&plan->counters[i].next, 0, memory_order_relaxed);
        atomic_store_explicit(&plan->counters[i].done, 0, memory_order_relaxed);
    }
    const int64_t every = trace != NULL ? trace->every : gg_ask_every();
    const int paused = gg_watch_begin(every);
    const int64_t asked = gg_ticks_fenced();
    const int team = gg_pool_may_rest(pool) ? gg_team_next(&plan->team, nth, size, paused, asked) : nth;
    const bool recorded = trace != NULL && gg_is_recorded(trace, size);
    const int64_t place = recorded ? gg_next_place(trace) : 0;
    const gg_run run = {.plan = plan, .nth = team, .n_steps = n_steps, .pool = pool, .trace = trace, .recorded = recorded,
                        .place = place, .asked = asked, .every = every, .outer = inside};
    for (int ith = team; trace != NULL && ith < nth; ith++) { /* threads that rest */
        if (recorded && trace_is_full(trace)) {
            gg_add_runs(trace, ith);
        }
        if (trace->scheduled != NULL) {
            trace->scheduled[ith] = (gg_scheduled){0};
        }
    }
    gg_pool_run(pool, team, walk, (void *)&run);
    const int64_t done = gg_ticks_fenced();
    watch_end(&run, 0, paused);
    if (gg_pool_may_rest(pool) && !halted(plan)) {
        gg_team_ran(&plan->team, done - asked, done);
    }
    status = atomic_exchange(&plan->halt, GG_OK);
    const int told = trace != NULL && gg_trace_end(trace, recorded, status != GG_OK, place, size, team, asked, done);
    if (status == GG_STOPPED) {
        return gg_fail(GG_STOPPED, "the run was stopped");
    }
    if (status != GG_OK) {
        gg_set_last_error(plan->message);
    }
    return status == GG_OK && told ? GG_TOLD : status;
}

void gg_trace_finish(gg_trace *trace) {
    for (int ith = 0; ith < trace->n_threads; ith++) {
        gg_add_runs(trace, ith);
    }
    trace->n = 0;
}

/* Whether a function of a run of this plan asks for another one: it would wait for itself. */
static bool runs_already(const gg_plan *plan) {
    const gg_run *run = inside;
    while (run != NULL && run->plan != plan) {
        run = run->outer;
    }
    return run != NULL;
}

/* A child of fork() has its own copy of the plan, in which a lock may be held by a thread that stayed behind. */
static void own_lock(gg_plan *plan) {
    const pid_t here = getpid();
    pid_t process = atomic_load(&plan->process);
    while (process != here) {
        if (process != 0 && atomic_compare_exchange_strong(&plan->process, &process, 0)) {
            pthread_mutex_init(&plan->lock, NULL);
            atomic_store(&plan->halt, GG_OK);
            atomic_store(&plan->process, here);
        }
        process = atomic_load(&plan->process);
    }
}

int gg_plan_run(gg_plan *plan, gg_pool *pool, const int64_t *vars, int64_t size, int n_steps, gg_trace *trace) {
    if (n_steps < 0 || n_steps > plan->n_steps) {
        n_steps = plan->n_steps;
    }
    if (runs_already(plan)) {
        return gg_fail(GG_FAILED, "a function that a run calls can't ask for that very run again");
    }
    gg_nesting nesting;
    int status = gg_pool_take(pool, &nesting);
    if (status != GG_OK) {
        return status;
    }
    /* After the pool: who waits for it must not hold a plan that a run within the run on that pool waits for. */
    own_lock(plan);
    pthread_mutex_lock(&plan->lock);
    status = run_locked(plan, pool, vars, size, n_steps, trace);
    pthread_mutex_unlock(&plan->lock);
    gg_pool_give_back(pool, &nesting);
    return status;
}
