/* The rows of types.def as a table, and behind them the types of a user's own. */
#include "codec/types.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"

static const gg_type_info types[] = {
#define GG_TYPE(NAME, name, id, block, bytes, file) {#name, id, block, bytes, file, 0},
#include "codec/types.def"
#undef GG_TYPE
};
enum { N_TYPES = sizeof(types) / sizeof(types[0]), MAX_OWN = 64, MAX_NAME = 32 };

static struct {
    gg_type_info info;
    char name[MAX_NAME];
} own[MAX_OWN];
static _Atomic int n_own;

int gg_n_own_types(void) { return atomic_load(&n_own); }

int gg_n_types(void) { return N_TYPES; }
const gg_type_info *gg_type_at(int i) { return i >= 0 && i < N_TYPES ? &types[i] : NULL; }

const gg_type_info *gg_type_info_of(int type) {
    if (gg_is_own_type(type)) {
        return type - GG_OWN_TYPE < atomic_load(&n_own) ? &own[type - GG_OWN_TYPE].info : NULL;
    }
    for (int i = 0; i < N_TYPES; i++) {
        if (types[i].id == type) {
            return &types[i];
        }
    }
    return NULL;
}

/* One thread at a time may add; others may look meanwhile. The counter is stored last: who finds a type finds all of it. */
int gg_add_type(const char *name, int block, int bytes, int head) {
    const int i = atomic_load(&n_own);
    if (i == MAX_OWN) {
        return gg_fail(-1, "type %s: there are %d types of one's own already, and no room for more", name, MAX_OWN);
    }
    if (strlen(name) >= MAX_NAME || block < 1 || bytes < 1 || head < 0) {
        return gg_fail(-1, "type %s: its name is too long, or block, bytes or head are out of range", name);
    }
    strcpy(own[i].name, name);
    own[i].info = (gg_type_info){own[i].name, GG_OWN_TYPE + i, block, bytes, 1, head};
    atomic_store(&n_own, i + 1);
    return GG_OWN_TYPE + i;
}
