/* A pool whose thread is put aside for a while right after it has come to the end of a run, as a system may do it at any time: the next run,
 * of a smaller team, must wait for its own threads. Exit code 0 where it does. */
#include <stdatomic.h>
#include <unistd.h>

static _Thread_local int is_late;
#undef atomic_fetch_add_explicit
#define atomic_fetch_add_explicit(p, v, order) late(__atomic_fetch_add(p, v, __ATOMIC_ACQ_REL))

static int late(int arrived) {
    if (is_late) {
        is_late = 0;
        usleep(200000);
    }
    return arrived;
}

#include "base/pool.c"

static _Atomic int done;

/* Thread 2 of three comes second, and thread 0 ends the run. */
static void first(void *arg, int ith) {
    (void)arg;
    if (ith == 0) {
        usleep(100000);
    } else if (ith == 2) {
        usleep(50000);
        is_late = 1;
    }
}

static void second(void *arg, int ith) {
    (void)arg;
    if (ith == 1) {
        usleep(400000);
        done = 1;
    }
}

int main(void) {
    gg_pool *pool = gg_pool_new(3);
    gg_pool_run(pool, 3, first, NULL);
    gg_pool_run(pool, 2, second, NULL);
    return !done;
}
