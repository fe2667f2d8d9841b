/* Functions of Python's that C calls: map_custom, an op that is one, and the codecs of types of one's own. */
#include "base/ticks.h"
#include "cpu/ops.h"

static _Atomic(gg_map_custom_fn) custom;
static _Atomic(gg_decode_fn) decode;

void gg_set_map_custom(gg_map_custom_fn fn) { atomic_store(&custom, fn); }
void gg_set_decode(gg_decode_fn fn) { atomic_store(&decode, fn); }

/* What a function of Python's makes a thread wait for (the interpreter's lock, a file, time.sleep) is the function's own time: the
 * thread counts as asleep by its own will whenever it had no core meanwhile. */
typedef struct {
    int64_t at, ran, slept;
} gg_call_of_python;

static gg_call_of_python begin_call(void) { return (gg_call_of_python){gg_ticks(), gg_thread_ns(), gg_slept}; }

static void end_call(const gg_call_of_python *call) {
    const int64_t ran = (int64_t)((double)(gg_thread_ns() - call->ran) / gg_tick_ns());
    const int64_t off = gg_ticks() - call->at - ran - (gg_slept - call->slept);
    gg_slept += off > 0 ? off : 0;
}

int gg_op_map_custom(const gg_step *step, const gg_share *share) {
    const gg_map_custom_fn fn = atomic_load(&custom);
    if (fn == NULL) {
        return gg_fail(GG_FAILED, "map_custom: no function was set; call gg_set_map_custom first");
    }
    const gg_call_of_python call = begin_call();
    const int failed = fn(share->user, (void *)step, share->ith, share->nth);
    end_call(&call);
    return failed ? GG_CUSTOM : GG_OK;
}

int gg_decode_rows(const gg_share *share, int type, int64_t ne0, int64_t n_rows, const void *src, float *dst) {
    const gg_decode_fn fn = atomic_load(&decode);
    if (fn == NULL || !gg_is_own_type(type) || gg_type_info_of(type) == NULL) {
        return gg_fail(GG_FAILED, "decode: unknown type %d", type);
    }
    const gg_call_of_python call = begin_call();
    const int failed = fn(share->user, type, ne0, n_rows, src, dst);
    end_call(&call);
    return failed ? GG_CUSTOM : GG_OK;
}
