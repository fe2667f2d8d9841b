/* What only tests call. cffi parses it beside gg.h; nothing of the product includes it. */
#ifndef GG_TESTING_H
#define GG_TESTING_H
/* cffi: skip */
#include "gg.h"
/* cffi: end */

const gg_step *gg_plan_step(const gg_plan *plan, int i); /* NULL where there is none */
int gg_pool_n_threads(const gg_pool *pool);
int64_t gg_ticks(void); /* now, as time stamps count */
/* Stamps from the system's clock, as where the processor's counter is not steady, or as this machine has them. Only while no
 * thread of a pool is awake. */
void gg_test_system_clock(int use);
#endif
