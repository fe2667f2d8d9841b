/* The sizes of a packed tile: see gg_pack in gg.h. */
#ifndef GG_PACK_H
#define GG_PACK_H
#include "gg.h"

enum {
    GG_ROWS = 16,  /* of half a tile: a row is a lane of a vector */
    GG_HALVES = 2, /* of a tile: one stream from memory feeds two sums that do not wait for each other */
};
/* Values [k, k + n) of a row to their places in a tile, where it is row r; of a packable type, k and n multiples of its block. */
void gg_pack_values(int type, uint8_t *tile, int r, int64_t k, int64_t n, const uint8_t *row);
_Static_assert(GG_TILE == GG_HALVES * GG_ROWS, "a tile");
_Static_assert(GG_PAGE == 2 * GG_TILE, "a page");
#endif
