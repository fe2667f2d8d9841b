/* Weights rearranged so that the mul_mat kernels read them from front to back: see gg_pack in gg.h. */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "codec/blocks.h"
#include "codec/pack.h"
#include "codec/types.h"

/* Values of a row moved at a time, at most 4 bytes each: the tile's part stays in the nearest cache for all its rows. */
enum { PART = GG_SUPER };

/* Fields of a few bits, `at` bytes into a block, in runs of `run` bytes (see gg_get_fields). */
typedef struct {
    int bits, at, run;
} plane;

/* A block's fields in their packed order. */
typedef struct {
    int weights, bytes;
    int n_pairs, pairs[2];           /* where its 2-byte fields lie */
    struct {
        int at, n;
        uint8_t flip;                  /* bits to change on the way; 0x80 adds 128 */
    } whole;                           /* what moves as it is: scales, and quants that are in the kernels' order already */
    plane planes[2];                   /* fields that are rearranged, in groups of 32 weights; bits = 0 for none */
} layout;

static const layout *layout_of(int type) {
#define GG_LAYOUT(NAME, name, weights, ...)                                                                              \
    case GG_TYPE_##NAME: {                                                                                               \
        static const layout l = {weights, sizeof(gg_block_##name), __VA_ARGS__};                                         \
        return &l;                                                                                                       \
    }
#define AT(name, field) offsetof(gg_block_##name, field)
    switch (type) {
        GG_LAYOUT(Q4_0, q4_0, 32, 1, {0}, {AT(q4_0, qs), 16, 0}, {{0}})
        GG_LAYOUT(Q4_1, q4_1, 32, 2, {0, 2}, {AT(q4_1, qs), 16, 0}, {{0}})
        GG_LAYOUT(Q5_0, q5_0, 32, 1, {0}, {0}, {{1, AT(q5_0, qh), 1}, {4, AT(q5_0, qs), 16}})
        GG_LAYOUT(Q5_1, q5_1, 32, 2, {0, 2}, {0}, {{1, AT(q5_1, qh), 1}, {4, AT(q5_1, qs), 16}})
        GG_LAYOUT(Q8_0, q8_0, 32, 1, {0}, {AT(q8_0, qs), 32, 0x80}, {{0}})
        GG_LAYOUT(Q2_K, q2_k, 256, 2, {AT(q2_k, d), AT(q2_k, dmin)}, {AT(q2_k, scales), 16, 0}, {{2, AT(q2_k, qs), 32}})
        GG_LAYOUT(Q3_K, q3_k, 256, 1, {AT(q3_k, d)}, {AT(q3_k, scales), 12, 0},
                  {{1, AT(q3_k, hmask), 32}, {2, AT(q3_k, qs), 32}})
        GG_LAYOUT(Q4_K, q4_k, 256, 2, {0, 2}, {AT(q4_k, scales), 12, 0}, {{4, AT(q4_k, qs), 32}})
        GG_LAYOUT(Q5_K, q5_k, 256, 2, {0, 2}, {AT(q5_k, scales), 12, 0}, {{1, AT(q5_k, qh), 32}, {4, AT(q5_k, qs), 32}})
        GG_LAYOUT(Q6_K, q6_k, 256, 1, {AT(q6_k, d)}, {AT(q6_k, scales), 16, 0x80},
                  {{2, AT(q6_k, qh), 32}, {4, AT(q6_k, ql), 64}})
        GG_LAYOUT(IQ4_NL, iq4_nl, 32, 1, {0}, {AT(iq4_nl, qs), 16, 0}, {{0}})
        GG_LAYOUT(IQ4_XS, iq4_xs, 256, 2, {0, AT(iq4_xs, scales_h)}, {AT(iq4_xs, scales_l), 4 + 128, 0}, {{0}})
    default:
        return NULL;
    }
}

/* Bytes of the rearranged fields of 32 weights. */
static int group_bytes(const layout *l) { return 4 * (l->planes[0].bits + l->planes[1].bits); }

/* The runs of a plane in the packed order are as long as lets a kernel take 4 weights of a row at a time. */
static inline __attribute__((always_inline)) void regroup(uint8_t *groups, int group, uint8_t *block, int weights, int bits,
                                                          int run, bool back) {
    uint8_t q[GG_SUPER] = {0};
    const int packed_run = bits == 4 ? 16 : 4;
    if (back) {
        for (int i = 0; i < weights; i += 32) {
            gg_get_fields(q + i, 32, 0, groups + i / 32 * group, bits, packed_run);
        }
        gg_put_fields(block, bits, run, q, weights, 0);
    } else {
        gg_get_fields(q, weights, 0, block, bits, run);
        for (int i = 0; i < weights; i += 32) {
            gg_put_fields(groups + i / 32 * group, bits, packed_run, q + i, 32, 0);
        }
    }
}

/* The rearranged fields of a block to their groups, or back from there; what is written to holds zeros. */
static void move_planes(const layout *l, uint8_t *groups, uint8_t *block, bool back) {
    const int group = group_bytes(l);
    for (int i = 0, at = 0; i < 2 && l->planes[i].bits; at += 4 * l->planes[i].bits, i++) {
        const plane *p = &l->planes[i];
        switch (p->bits * 100 + p->run) { /* so that each is compiled for its sizes */
#define GG_REGROUP(weights, bits, run)                                                                                   \
    case (bits) * 100 + (run):                                                                                           \
        regroup(groups + at, group, block + p->at, weights, bits, run, back);                                            \
        break;
            GG_REGROUP(32, 1, 1)
            GG_REGROUP(32, 4, 16)
            GG_REGROUP(256, 1, 32)
            GG_REGROUP(256, 2, 32)
            GG_REGROUP(256, 4, 32)
            GG_REGROUP(256, 4, 64)
        }
    }
}

/* Rows move in pieces of 2 or 4 bytes; those of one row that follow each other lie `rows` pieces apart in a tile.
 * tile points at the row's own first piece. flip: bits to change; 0x80808080 adds 128 to four 8-bit numbers. */
static void put2(uint8_t *tile, int rows, const uint8_t *row, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        memcpy(tile + i * 2 * rows, row + i * 2, 2);
    }
}

static void put4(uint8_t *tile, int rows, const uint8_t *row, int64_t n, uint32_t flip) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t piece;
        memcpy(&piece, row + i * 4, 4);
        piece ^= flip;
        memcpy(tile + i * 4 * rows, &piece, 4);
    }
}

static void take2(uint8_t *row, int rows, const uint8_t *tile, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        memcpy(row + i * 2, tile + i * 2 * rows, 2);
    }
}

static void take4(uint8_t *row, int rows, const uint8_t *tile, int64_t n, uint32_t flip) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t piece;
        memcpy(&piece, tile + i * 4 * rows, 4);
        piece ^= flip;
        memcpy(row + i * 4, &piece, 4);
    }
}

/* A block of row r to its places in half a tile's block, or back from there. */
static void put_block(const layout *l, uint8_t *half, int r, const uint8_t *block) {
    for (int i = 0; i < l->n_pairs; i++, half += 2 * GG_ROWS) {
        put2(half + r * 2, GG_ROWS, block + l->pairs[i], 1);
    }
    put4(half + r * 4, GG_ROWS, block + l->whole.at, l->whole.n / 4, l->whole.flip * 0x01010101u);
    if (l->planes[0].bits) {
        uint8_t groups[GG_SUPER] = {0};
        move_planes(l, groups, (uint8_t *)block, false);
        put4(half + l->whole.n * GG_ROWS + r * 4, GG_ROWS, groups, l->weights / 32 * group_bytes(l) / 4, 0);
    }
}

static void take_block(const layout *l, uint8_t *block, const uint8_t *half, int r) {
    memset(block, 0, (size_t)l->bytes);
    for (int i = 0; i < l->n_pairs; i++, half += 2 * GG_ROWS) {
        take2(block + l->pairs[i], GG_ROWS, half + r * 2, 1);
    }
    take4(block + l->whole.at, GG_ROWS, half + r * 4, l->whole.n / 4, l->whole.flip * 0x01010101u);
    if (l->planes[0].bits) {
        uint8_t groups[GG_SUPER];
        take4(groups, GG_ROWS, half + l->whole.n * GG_ROWS + r * 4, l->weights / 32 * group_bytes(l) / 4, 0);
        move_planes(l, groups, block, true);
    }
}

/* Where block b of row r's half of a tile lies, from the tile's start. */
static int64_t half_at(const layout *l, int64_t b, int r) { return (b * GG_TILE + r / GG_ROWS * GG_ROWS) * l->bytes; }

void gg_pack_values(int type, uint8_t *tile, int r, int64_t k, int64_t n, const uint8_t *row) {
    switch (type) {
    case GG_TYPE_F32:
        put4(tile + (k * GG_TILE + r) * 4, GG_TILE, row, n, 0);
        return;
    case GG_TYPE_F16:
    case GG_TYPE_BF16:
        put2(tile + (k * GG_TILE + r) * 2, GG_TILE, row, n);
        return;
    }
    const layout *l = layout_of(type);
    for (int64_t b = k / l->weights; b < (k + n) / l->weights; b++, row += l->bytes) {
        put_block(l, tile + half_at(l, b, r), r % GG_ROWS, row);
    }
}

/* Back from there. */
static void take(int type, uint8_t *row, const uint8_t *tile, int r, int64_t k, int64_t n) {
    switch (type) {
    case GG_TYPE_F32:
        take4(row, GG_TILE, tile + (k * GG_TILE + r) * 4, n, 0);
        return;
    case GG_TYPE_F16:
    case GG_TYPE_BF16:
        take2(row, GG_TILE, tile + (k * GG_TILE + r) * 2, n);
        return;
    }
    const layout *l = layout_of(type);
    for (int64_t b = k / l->weights; b < (k + n) / l->weights; b++, row += l->bytes) {
        take_block(l, row, tile + half_at(l, b, r), r % GG_ROWS);
    }
}

int gg_packable(int type) {
    return type == GG_TYPE_F32 || type == GG_TYPE_F16 || type == GG_TYPE_BF16 || layout_of(type) != NULL;
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
                gg_pack_values(type, tile, r, k, n, there ? (const uint8_t *)src + (row + r) * row_bytes + k_bytes : zeros);
            }
        }
    }
    return GG_OK;
}

int gg_unpack(int type, int64_t ne0, int64_t ne1, const void *packed, void *dst) {
    if (!gg_packable(type)) {
        return refuse(type);
    }
    const int64_t row_bytes = (int64_t)gg_row_bytes(type, ne0);
    for (int64_t row = 0; row < ne1; row++) {
        const uint8_t *tile = (const uint8_t *)packed + row / GG_TILE * GG_TILE * row_bytes;
        take(type, (uint8_t *)dst + row * row_bytes, tile, (int)(row % GG_TILE), 0, ne0);
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
