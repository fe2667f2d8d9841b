/* The thread pool. gg.h declares how to make and free one; here is how plan.c uses it.
 *
 * A pool belongs to the process that made it: a child of fork() has none of its threads, and must make its own pool (running
 * on the parent's is refused, freeing it frees the memory alone). Freeing a pool while a run is under way is not allowed. */
#ifndef GG_POOL_H
#define GG_POOL_H
#include <stdbool.h>

#include "gg.h"

int gg_pool_n_threads(const gg_pool *pool);
bool gg_pool_may_rest(const gg_pool *pool);

/* What every thread of the pool does in a run, ith counting from 0, the caller. */
typedef void (*gg_work_fn)(void *arg, int ith);

/* That a run on `outer` is not done before one on `inner` is, which a function of it asked for. */
typedef struct gg_nesting {
    const gg_pool *outer, *inner; /* outer is NULL where nothing asked but the program */
    struct gg_nesting *next;
} gg_nesting;

/* The pool for oneself, until it is given back with the same `nesting`; waits while another thread has it. Returns a gg_status:
 * GG_NO_THREAD where the pool stayed behind in a parent process, GG_FAILED where the wait would have no end. */
int gg_pool_take(gg_pool *pool, gg_nesting *nesting);
void gg_pool_give_back(gg_pool *pool, gg_nesting *nesting);

/* Of a pool that one has taken: calls work(arg, ith) on its first n threads while the others rest, and returns when all are done. What
 * any of them wrote is visible then. */
void gg_pool_run(gg_pool *pool, int n, gg_work_fn work, void *arg);

/* Within a run, by thread ith: returns when each of its threads has called it. */
void gg_pool_barrier(gg_pool *pool, int ith);
#endif
