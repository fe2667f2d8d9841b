/* Tensor types of a user's own: their rows of the type table, and their codecs, which are Python's. */
#include <string.h>

#include "internal.h"

enum { MAX_TYPES = 64, MAX_NAME = 32 };

static struct {
    gg_type_info info;
    char name[MAX_NAME];
} types[MAX_TYPES];
static _Atomic int n_types;
static _Atomic(gg_decode_fn) decode;

void gg_set_decode(gg_decode_fn fn) { atomic_store(&decode, fn); }

/* Python calls this under the GIL, so one at a time. The counter is stored last: who finds a type finds all of it. */
int gg_add_type(const char *name, int block, int bytes, int head) {
    const int i = atomic_load(&n_types);
    if (i == MAX_TYPES) {
        return gg_fail(-1, "type %s: there are %d types of one's own already, and no room for more", name, MAX_TYPES);
    }
    if (strlen(name) >= MAX_NAME || block < 1 || bytes < 1 || head < 0) {
        return gg_fail(-1, "type %s: its name is too long, or block, bytes or head are out of range", name);
    }
    strcpy(types[i].name, name);
    types[i].info = (gg_type_info){types[i].name, GG_OWN_TYPE + i, block, bytes, 1, head};
    atomic_store(&n_types, i + 1);
    return GG_OWN_TYPE + i;
}

const gg_type_info *gg_own_type_info(int type) {
    return gg_is_own_type(type) && type - GG_OWN_TYPE < atomic_load(&n_types) ? &types[type - GG_OWN_TYPE].info : NULL;
}

int gg_decode_rows(int type, int64_t ne0, int64_t n_rows, const void *src, float *dst) {
    const gg_decode_fn fn = atomic_load(&decode);
    if (fn == NULL || gg_own_type_info(type) == NULL) {
        return gg_fail(GG_FAILED, "decode: unknown type %d", type);
    }
    return fn(type, ne0, n_rows, src, dst) == 0 ? GG_OK : GG_CUSTOM;
}
