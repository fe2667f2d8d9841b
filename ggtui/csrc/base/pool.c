/* A pool of threads that live as long as it does. Between runs they wait at the gate `start`, or at `back` where they rest; the
 * barriers of a run are the gate `barrier`, which the last one to arrive opens. */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#include "base/cache_line.h"
#include "base/error.h"
#include "base/gate.h"
#include "base/ticks.h"

enum { MAX_THREADS = 512 };

/* Spinning is worth it while the thread waited for is running on another core: then the wait is mostly shorter than waking
 * from sleep takes. It is worth nothing when that thread waits for this core, or for a core that another process has. */
static const double SPIN_NS = 50e3, SPIN_NS_CROWDED = 1e3;
static const double START_SPINS = 4; /* as long between runs, so that choosing a token and the like is no reason to sleep */

typedef struct {
    _Alignas(GG_CACHE_LINE) gg_pool *pool;
    int ith;
    pthread_t thread;
    gg_patience start, barrier, back; /* at the gates */
} gg_worker;

struct gg_pool {
    int n_threads;
    bool may_rest;         /* some threads, where a run is faster without them */
    pid_t process;         /* that made it */
    pthread_mutex_t lock;  /* of `taken` */
    pthread_cond_t given_back;
    bool taken;            /* by somebody who runs on it */
    gg_work_fn work;       /* of the run; NULL asks the workers to end */
    void *arg;
    _Atomic uint64_t team; /* of the runs, see make_team */
    gg_gate back;          /* opened when threads that rested are to work again */
    _Alignas(GG_CACHE_LINE) gg_gate start;
    _Alignas(GG_CACHE_LINE) gg_gate barrier;
    _Alignas(GG_CACHE_LINE) _Atomic int arrived; /* at the barrier under way */
    gg_worker workers[]; /* [n_threads]; workers[0] is the caller, whoever that is */
};

static int usable_cores(void) {
#ifdef __linux__
    cpu_set_t set; /* knows of taskset and the like */
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static _Thread_local gg_pool *working; /* the pool in whose run this thread works */

/* Those of all runs that were asked for within others, waiting or under way. There is never a circle. */
static gg_nesting *nestings;
static pthread_mutex_t nestings_lock = PTHREAD_MUTEX_INITIALIZER;

/* With their lock: whether a run on `from` is not done before one on `to` is. */
static bool leads_to(const gg_pool *from, const gg_pool *to) {
    bool found = from == to;
    for (const gg_nesting *n = nestings; n != NULL && !found; n = n->next) {
        found = n->outer == from && leads_to(n->inner, to);
    }
    return found;
}

/* A child of fork() has none of the threads that these belong to, one of which may have held the lock. */
static void forget_nestings(void) {
    nestings = NULL;
    pthread_mutex_init(&nestings_lock, NULL);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_nestings); }

/* Returns whether the wait for the inner pool has an end. */
static bool enter(gg_nesting *nesting) {
    pthread_mutex_lock(&nestings_lock);
    const bool ends = !leads_to(nesting->inner, nesting->outer);
    if (ends) {
        nesting->next = nestings;
        nestings = nesting;
    }
    pthread_mutex_unlock(&nestings_lock);
    return ends;
}

static void leave(const gg_nesting *nesting) {
    pthread_mutex_lock(&nestings_lock);
    gg_nesting **at = &nestings;
    while (*at != NULL && *at != nesting) {
        at = &(*at)->next;
    }
    if (*at != NULL) { /* gone in a child of fork() */
        *at = nesting->next;
    }
    pthread_mutex_unlock(&nestings_lock);
}

/* ---- the team: the first n threads of the pool, who take part in runs; the others rest ---- */

/* The team is so many threads, in the lower half of a word, from that opening of `start` on, in the upper one. */
static uint64_t team_of(int n, uint32_t since) { return (uint64_t)since << 32 | (uint32_t)n; }
static int size_of(uint64_t team) { return (int)(uint32_t)team; }
static uint32_t since_of(uint64_t team) { return (uint32_t)(team >> 32); }
static int team_size(gg_pool *pool) { return size_of(atomic_load_explicit(&pool->team, memory_order_relaxed)); }

enum { SINCE_AGES = 1 << 20 }; /* openings after which a team is said anew: which of two is before the other has a horizon */

/* Between runs: the next ones are of n threads. */
static void make_team(gg_pool *pool, int n) {
    const uint64_t before = atomic_load_explicit(&pool->team, memory_order_relaxed);
    const uint32_t next = (gg_gate_count(&pool->start) + 1) & GG_GATE_COUNT;
    if (n == size_of(before) && ((next - since_of(before)) & GG_GATE_COUNT) < SINCE_AGES) {
        return;
    }
    atomic_store_explicit(&pool->team, team_of(n, next), memory_order_release);
    if (n > size_of(before)) {
        gg_gate_open(&pool->back);
    }
}

/* Returns the opening of `start` that this worker takes part in, the first after `seen` or one later. */
static uint32_t wait_for_run(gg_worker *worker, uint32_t seen) {
    gg_pool *pool = worker->pool;
    uint32_t count = gg_gate_wait(&pool->start, seen, &worker->start);
    for (;;) {
        const uint32_t back = gg_gate_count(&pool->back);
        const uint64_t team = atomic_load_explicit(&pool->team, memory_order_acquire);
        if (worker->ith < size_of(team)) {
            /* Perhaps called back for a run that is yet to start; it can't end without this thread. */
            while (gg_gate_is_before(count, since_of(team))) {
                count = gg_gate_wait(&pool->start, count, &worker->start);
            }
            return count;
        }
        gg_gate_wait(&pool->back, back, &worker->back);
        count = gg_gate_count(&pool->start);
    }
}

/* ---- runs ---- */

/* Comes to the barrier without waiting for the others. */
static void arrive(gg_pool *pool) {
    const int others = team_size(pool) - 1; /* before it arrives: then the run may end, and the next one have another team */
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == others) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed); /* nobody comes to the next one before the gate opens */
        gg_gate_open(&pool->barrier);
    }
}

void gg_pool_barrier(gg_pool *pool, int ith) {
    const uint32_t seen = gg_gate_count(&pool->barrier); /* cannot change before this thread arrives */
    arrive(pool);
    gg_gate_wait(&pool->barrier, seen, &pool->workers[ith].barrier);
}

static void *worker_main(void *arg) {
    gg_worker *worker = arg;
    gg_pool *pool = worker->pool;
    char name[16]; /* what `top -H` shows */
    snprintf(name, sizeof(name), "ggtui/%d", worker->ith);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
    pthread_setname_np(name);
#endif
    for (uint32_t seen = 0;;) {
        seen = wait_for_run(worker, seen);
        if (pool->work == NULL) {
            return NULL;
        }
        working = pool;
        pool->work(pool->arg, worker->ith);
        arrive(pool); /* the caller alone waits for the end of the run */
    }
}

void gg_pool_run(gg_pool *pool, int n, gg_work_fn work, void *arg) {
    gg_pool *before = working;
    working = pool;
    make_team(pool, n);
    if (n == 1) {
        work(arg, 0);
    } else {
        pool->work = work;
        pool->arg = arg;
        gg_gate_open(&pool->start);
        work(arg, 0);
        gg_pool_barrier(pool, 0);
    }
    working = before;
}

int gg_pool_take(gg_pool *pool, gg_nesting *nesting) {
    if (pool->process != getpid()) {
        return gg_fail(GG_NO_THREAD, "the thread pool stayed behind in the parent process; make a new one after fork()");
    }
    *nesting = (gg_nesting){.outer = working, .inner = pool};
    if (working != NULL && !enter(nesting)) {
        return gg_fail(GG_FAILED, "a function that a run calls can't run a graph on the threads of that very run, or on such as wait "
                                  "for it: compute it before, or on threads of its own, another number of them");
    }
    pthread_mutex_lock(&pool->lock);
    while (pool->taken) {
        pthread_cond_wait(&pool->given_back, &pool->lock);
    }
    pool->taken = true;
    pthread_mutex_unlock(&pool->lock);
    return GG_OK;
}

void gg_pool_give_back(gg_pool *pool, gg_nesting *nesting) {
    pthread_mutex_lock(&pool->lock);
    pool->taken = false;
    pthread_cond_signal(&pool->given_back);
    pthread_mutex_unlock(&pool->lock);
    if (nesting->outer != NULL) {
        leave(nesting);
    }
}

int gg_pool_n_threads(const gg_pool *pool) { return pool->n_threads; }

void gg_pool_let_rest(gg_pool *pool) { pool->may_rest = true; }

bool gg_pool_may_rest(const gg_pool *pool) { return pool->may_rest; }

/* Ends the first n_started threads and frees the rest. */
static void end_pool(gg_pool *pool, int n_started) {
    if (pool->process == getpid()) {
        make_team(pool, pool->n_threads);
        pool->work = NULL;
        gg_gate_open(&pool->start);
        for (int ith = 1; ith < n_started; ith++) {
            pthread_join(pool->workers[ith].thread, NULL);
        }
        gg_gate_destroy(&pool->back);
        gg_gate_destroy(&pool->start);
        gg_gate_destroy(&pool->barrier);
        pthread_mutex_destroy(&pool->lock);
        pthread_cond_destroy(&pool->given_back);
    }
    free(pool);
}

void gg_pool_free(gg_pool *pool) {
    if (pool != NULL) {
        end_pool(pool, pool->n_threads);
    }
}

/* Signals are for the program's own threads (Ctrl-C for Python's main thread), but those that a fault raises stay with the
 * thread that made it, so that a handler can say where. */
static void worker_signals(sigset_t *set) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigfillset(set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        sigdelset(set, faults[i]);
    }
}

gg_pool *gg_pool_new(int n_threads) {
    if (n_threads < 1 || n_threads > MAX_THREADS) {
        gg_fail(GG_FAILED, "%d threads: choose a number from 1 to %d", n_threads, MAX_THREADS);
        return NULL;
    }
    gg_pool *pool = aligned_alloc(GG_CACHE_LINE, sizeof(gg_pool) + (size_t)n_threads * sizeof(gg_worker));
    if (pool == NULL) {
        gg_fail(GG_NO_MEMORY, "no memory for a pool of %d threads", n_threads);
        return NULL;
    }
    pool->n_threads = n_threads;
    pool->may_rest = false;
    pool->process = getpid();
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->given_back, NULL);
    pool->taken = false;
    atomic_init(&pool->team, team_of(n_threads, 0));
    gg_gate_init(&pool->back);
    gg_gate_init(&pool->start);
    gg_gate_init(&pool->barrier);
    atomic_init(&pool->arrived, 0);

    sigset_t blocked, before; /* a new thread inherits what its maker blocks */
    worker_signals(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const double spin_ns = n_threads <= usable_cores() ? SPIN_NS : SPIN_NS_CROWDED;
    const gg_patience barrier = {.most = (int64_t)(spin_ns / gg_tick_ns())};
    const gg_patience start = {.most = (int64_t)(START_SPINS * spin_ns / gg_tick_ns())};
    int error = 0, ith = 0;
    for (; ith < n_threads; ith++) {
        gg_worker *worker = &pool->workers[ith];
        *worker = (gg_worker){.pool = pool, .ith = ith, .start = start, .barrier = barrier}; /* no spinning at `back` */
        if (ith > 0 && (error = pthread_create(&worker->thread, NULL, worker_main, worker)) != 0) {
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        gg_fail(GG_NO_THREAD, "could not start thread %d of %d: %s; ask for fewer", ith + 1, n_threads, strerror(error));
        end_pool(pool, ith);
        return NULL;
    }
    return pool;
}
