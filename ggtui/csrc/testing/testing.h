/* What only tests call. cffi parses it beside gg.h; nothing of the product includes it. */
#ifndef GG_TESTING_H
#define GG_TESTING_H
/* cffi: skip */
#include "gg.h"
#include "gg_vk.h"
/* cffi: end */

const gg_step *gg_plan_step(const gg_plan *plan, int i); /* NULL where there is none */
int gg_pool_n_threads(const gg_pool *pool);
int gg_plan_team(const gg_plan *plan); /* threads that its runs get but for trials; 0 before the first, and where none may rest */
int64_t gg_ticks(void); /* now, as time stamps count */
/* Stamps from the system's clock, as where the processor's counter is not steady, or as this machine has them. Only while no
 * thread of a pool is awake. */
void gg_test_system_clock(int use);
/* The numbers of threads, of at most `most`, that n_runs get, one after the other: run i, of sizes[i], is after a pause of paused[i]
 * nanoseconds, 0 for none, and takes ns[i * most + n - 1] with n of them, who lose time where they are more than alone[i]. */
void gg_test_team(int most, int n_runs, const int64_t *sizes, const int64_t *paused, const int64_t *ns, const int *alone, int *teams);
/* Makes n_runs on a pool, of 1 to all of its threads, teams[i % n_teams], who count and look at n_barriers whether all have. Returns
 * how often one had not, or had though it should rest. */
int64_t gg_test_runs(gg_pool *pool, int64_t n_runs, int n_teams, const int *teams, int n_barriers);
/* Makes Vulkan's device i with one queue, loads its functions, calls one, and ends it. Before that it makes n mistakes that do no harm
 * and that validation layers see. Returns a gg_status. */
int gg_test_vk(int i, int n);
/* What a device of Vulkan's fails at from now on: of enum gg_vk_fault; GG_VK_SOUND: at nothing any more. */
enum gg_vk_fault { GG_VK_SOUND = 0, GG_VK_LOSES = 1 /* it is lost when commands are submitted */, GG_VK_IS_FULL = 2, GG_VK_REFUSES = 3 /* shaders */ };
void gg_test_vk_fault(gg_vk_device *device, int fault);
#endif
