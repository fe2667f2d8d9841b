/* What tests alone set and try. */
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

void gg_test_team(int most, int n_runs, const int64_t *ns, const int *alone, int *teams) {
    gg_team team = {0};
    int64_t now = 0;
    for (int i = 0; i < n_runs; i++) {
        teams[i] = gg_team_next(&team, most, 1, now);
        const int64_t took = (int64_t)((double)ns[i * most + teams[i] - 1] / gg_tick_ns());
        now += took;
        if (teams[i] > alone[i]) {
            gg_team_lost(&team);
        }
        gg_team_ran(&team, took, now);
    }
}
