/* Weights rearranged so that the mul_mat kernels read them from front to back: see gg_pack in gg.h. */
#include <string.h>

#include "internal.h"
#include "quants.h"

/* Values of a row moved at a time, at most 4 bytes each: the tile's part stays in the nearest cache for all its rows. */
enum { PART = 128 };

/* Rows move in pieces of 2 or 4 bytes; those of one tile that belong together lie GG_TILE pieces after one another.
 * tile points at the row's own first piece. flip: bits to change; 0x80808080 adds 128 to four 8-bit numbers. */
static void put2(uint8_t *tile, const uint8_t *row, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        memcpy(tile + i * 2 * GG_TILE, row + i * 2, 2);
    }
}

static void put4(uint8_t *tile, const uint8_t *row, int64_t n, uint32_t flip) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t piece;
        memcpy(&piece, row + i * 4, 4);
        piece ^= flip;
        memcpy(tile + i * 4 * GG_TILE, &piece, 4);
    }
}

static void take2(uint8_t *row, const uint8_t *tile, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        memcpy(row + i * 2, tile + i * 2 * GG_TILE, 2);
    }
}

static void take4(uint8_t *row, const uint8_t *tile, int64_t n, uint32_t flip) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t piece;
        memcpy(&piece, tile + i * 4 * GG_TILE, 4);
        piece ^= flip;
        memcpy(row + i * 4, &piece, 4);
    }
}

/* Values [k, k + n) of row r, to their places in the tile or back from there; k and n are multiples of the type's block. */
static void put(int type, uint8_t *tile, int r, int64_t k, int64_t n, const uint8_t *row) {
    switch (type) {
    case GG_TYPE_F32:
        put4(tile + (k * GG_TILE + r) * 4, row, n, 0);
        return;
    case GG_TYPE_F16:
    case GG_TYPE_BF16:
        put2(tile + (k * GG_TILE + r) * 2, row, n);
        return;
    case GG_TYPE_Q4_0:
    case GG_TYPE_Q8_0:
        for (int64_t b = 0; b < n / GG_BLOCK; b++) {
            const int64_t bytes = type == GG_TYPE_Q4_0 ? sizeof(gg_block_q4_0) : sizeof(gg_block_q8_0);
            uint8_t *block = tile + (k / GG_BLOCK + b) * bytes * GG_TILE;
            put2(block + r * 2, row + b * bytes, 1);
            put4(block + 2 * GG_TILE + r * 4, row + b * bytes + 2, bytes / 4, type == GG_TYPE_Q8_0 ? 0x80808080 : 0);
        }
    }
}

static void take(int type, uint8_t *row, const uint8_t *tile, int r, int64_t k, int64_t n) {
    switch (type) {
    case GG_TYPE_F32:
        take4(row, tile + (k * GG_TILE + r) * 4, n, 0);
        return;
    case GG_TYPE_F16:
    case GG_TYPE_BF16:
        take2(row, tile + (k * GG_TILE + r) * 2, n);
        return;
    case GG_TYPE_Q4_0:
    case GG_TYPE_Q8_0:
        for (int64_t b = 0; b < n / GG_BLOCK; b++) {
            const int64_t bytes = type == GG_TYPE_Q4_0 ? sizeof(gg_block_q4_0) : sizeof(gg_block_q8_0);
            const uint8_t *block = tile + (k / GG_BLOCK + b) * bytes * GG_TILE;
            take2(row + b * bytes, block + r * 2, 1);
            take4(row + b * bytes + 2, block + 2 * GG_TILE + r * 4, bytes / 4, type == GG_TYPE_Q8_0 ? 0x80808080 : 0);
        }
    }
}

int gg_packable(int type) {
    switch (type) {
    case GG_TYPE_F32:
    case GG_TYPE_F16:
    case GG_TYPE_BF16:
    case GG_TYPE_Q4_0:
    case GG_TYPE_Q8_0:
        return 1;
    default:
        return 0;
    }
}

static int refuse(int type) {
    const gg_type_info *info = gg_type_info_of(type);
    return info ? gg_fail(GG_FAILED, "pack: type %s has no packed form", info->name)
                : gg_fail(GG_FAILED, "pack: unknown type %d", type);
}

int gg_pack(int type, int64_t ne0, int64_t ne1, const void *src, void *dst) {
    if (!gg_packable(type)) {
        return refuse(type);
    }
    static const uint8_t zeros[PART * 4]; /* rows past ne1 are made of these: every type has them for 0 */
    const int64_t row_bytes = (int64_t)gg_row_bytes(type, ne0);
    for (int64_t row = 0; row < ne1; row += GG_TILE) {
        uint8_t *tile = (uint8_t *)dst + row * row_bytes;
        for (int64_t k = 0; k < ne0; k += PART) {
            const int64_t n = ne0 - k < PART ? ne0 - k : PART, k_bytes = (int64_t)gg_row_bytes(type, k);
            for (int r = 0; r < GG_TILE; r++) {
                const bool there = row + r < ne1;
                put(type, tile, r, k, n, there ? (const uint8_t *)src + (row + r) * row_bytes + k_bytes : zeros);
            }
        }
    }
    return GG_OK;
}

int gg_unpack_row(int type, int64_t ne0, int64_t i1, const void *packed, float *dst) {
    if (!gg_packable(type)) {
        return refuse(type);
    }
    uint8_t part[PART * 4];
    const uint8_t *tile = (const uint8_t *)packed + i1 / GG_TILE * GG_TILE * (int64_t)gg_row_bytes(type, ne0);
    for (int64_t k = 0; k < ne0; k += PART) {
        const int64_t n = ne0 - k < PART ? ne0 - k : PART;
        take(type, part, tile, (int)(i1 % GG_TILE), k, n);
        const int status = gg_dequantize(type, n, part, dst + k);
        if (status != GG_OK) {
            return status;
        }
    }
    return GG_OK;
}
