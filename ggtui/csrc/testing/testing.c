/* What tests alone set and try. */
#include <string.h>

#include "base/pool.h"
#include "base/team.h"
#include "base/ticks.h"
#include "testing/testing.h"

void gg_test_system_clock(int use) {
    static int own = -1; /* what this machine has */
    if (own < 0) {
        own = gg_clock_is_used();
    }
    atomic_store(&gg_ticks_from_clock, use || own);
}

void gg_test_team(int most, int n_runs, const int64_t *sizes, const int64_t *paused, const int64_t *ns, const int *alone, int *teams) {
    gg_team team = {0};
    int64_t now = 0;
    for (int i = 0; i < n_runs; i++) {
        now += (int64_t)((double)paused[i] / gg_tick_ns());
        teams[i] = gg_team_next(&team, most, sizes[i], paused[i] > 0, now);
        const int64_t took = (int64_t)((double)ns[i * most + teams[i] - 1] / gg_tick_ns());
        now += took;
        if (teams[i] > alone[i]) {
            gg_team_lost(&team);
        }
        gg_team_ran(&team, took, now);
    }
}

enum { MOST = 16 };

typedef struct {
    gg_pool *pool;
    int n, n_barriers;
    int64_t done[MOST]; /* of each thread, barriers come to */
    _Atomic int64_t wrong;
} runs;

static void count(void *arg, int ith) {
    runs *r = arg;
    for (int b = 0; b < r->n_barriers; b++) {
        r->done[ith]++;
        gg_pool_barrier(r->pool, ith);
        for (int i = 0; i < r->n; i++) {
            r->wrong += r->done[i] != b + 1;
        }
        gg_pool_barrier(r->pool, ith); /* nobody counts on before all have looked */
    }
    r->done[ith]++;
}

int64_t gg_test_runs(gg_pool *pool, int64_t n_runs, int n_teams, const int *teams, int n_barriers) {
    runs r = {.pool = pool, .n_barriers = n_barriers};
    if (gg_pool_n_threads(pool) > MOST) {
        return -1;
    }
    for (int64_t i = 0; i < n_runs; i++) {
        r.n = teams[i % n_teams];
        memset(r.done, 0, sizeof(r.done));
        gg_pool_run(pool, r.n, count, &r);
        for (int ith = 0; ith < MOST; ith++) {
            r.wrong += r.done[ith] != (ith < r.n ? n_barriers + 1 : 0);
        }
    }
    return r.wrong;
}
