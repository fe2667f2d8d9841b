/* Functions of Python's that C calls: map_custom, an op that is one, and the codecs of types of one's own. */
#include "cpu/ops.h"

static _Atomic(gg_map_custom_fn) custom;
static _Atomic(gg_decode_fn) decode;

void gg_set_map_custom(gg_map_custom_fn fn) { atomic_store(&custom, fn); }
void gg_set_decode(gg_decode_fn fn) { atomic_store(&decode, fn); }

int gg_op_map_custom(const gg_step *step, const gg_share *share) {
    const gg_map_custom_fn fn = atomic_load(&custom);
    if (fn == NULL) {
        return gg_fail(GG_FAILED, "map_custom: no function was set; call gg_set_map_custom first");
    }
    return fn(share->user, (void *)step, share->ith, share->nth) == 0 ? GG_OK : GG_CUSTOM;
}

int gg_decode_rows(const gg_share *share, int type, int64_t ne0, int64_t n_rows, const void *src, float *dst) {
    const gg_decode_fn fn = atomic_load(&decode);
    if (fn == NULL || !gg_is_own_type(type) || gg_type_info_of(type) == NULL) {
        return gg_fail(GG_FAILED, "decode: unknown type %d", type);
    }
    return fn(share->user, type, ne0, n_rows, src, dst) == 0 ? GG_OK : GG_CUSTOM;
}
