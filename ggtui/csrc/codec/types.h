/* The table of tensor types: the rows of types.def, and those that a user adds. */
#ifndef GG_TYPES_H
#define GG_TYPES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gg.h"

enum gg_type {
#define GG_TYPE(NAME, name, id, block, bytes, file) GG_TYPE_##NAME = id,
#include "codec/types.def"
#undef GG_TYPE
};

const gg_type_info *gg_type_info_of(int type); /* NULL when unknown */
static inline bool gg_is_own_type(int type) { return type >= GG_OWN_TYPE; }

static inline size_t gg_row_bytes(int type, int64_t ne0) {
    const gg_type_info *t = gg_type_info_of(type);
    return (size_t)t->head + (size_t)(ne0 / t->block) * (size_t)t->bytes;
}
#endif
