/* map_custom: an op that is a function of Python's. */
#include "../internal.h"

static _Atomic(gg_map_custom_fn) custom;

void gg_set_map_custom(gg_map_custom_fn fn) { atomic_store(&custom, fn); }

int gg_op_map_custom(const gg_step *step, const gg_share *share) {
    const gg_map_custom_fn fn = atomic_load(&custom);
    if (fn == NULL) {
        return gg_fail(GG_FAILED, "map_custom: no function was set; call gg_set_map_custom first");
    }
    return fn((void *)step, share->ith, share->nth) == 0 ? GG_OK : GG_CUSTOM;
}
