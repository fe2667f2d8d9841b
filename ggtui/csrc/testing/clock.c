/* Another clock for time stamps. */
#include "base/ticks.h"
#include "testing/testing.h"

void gg_test_system_clock(int use) {
    static int own = -1; /* what this machine has */
    if (own < 0) {
        own = gg_clock_is_used();
    }
    atomic_store(&gg_ticks_from_clock, use || own);
}
