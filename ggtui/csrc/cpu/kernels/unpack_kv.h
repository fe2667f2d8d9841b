/* Keys and values of q8_0 as floats, for attention: scale x quant is exact in f32, so that what follows has the bits of attention over
 * floats. A page of keys is [2 tiles][d_k / 32 blocks][2 halves] of 16 positions: their scales, then their quants + 128 in strips of 4
 * bytes a position (see gg_pack in gg.h); a value row is d_v / 32 blocks as in a file. */
#ifndef GG_UNPACK_KV_H
#define GG_UNPACK_KV_H
#include <string.h>

#include "base/cache_line.h"
#include "codec/blocks.h"
#include "names.h"

enum { KV_BLOCK = 32, HALF_BYTES = GG_ROWS * (int)sizeof(gg_block_q8_0) };

/* y[d][16], GG_TILE apart, from half a tile of a block. */
GG_INLINE void unpack_half(float *y, const uint8_t *half) {
    float scales[GG_ROWS];
    v16_store(scales, v16_load_f16((const uint16_t *)half));
    const uint8_t *strip = half + 2 * GG_ROWS;
    for (int d = 0; d < KV_BLOCK; d += 4, strip += 4 * GG_ROWS) {
        uint32_t quants[GG_ROWS];
        memcpy(quants, strip, sizeof(quants));
        for (int i = 0; i < 4; i++)
            for (int r = 0; r < GG_ROWS; r++)
                y[(d + i) * GG_TILE + r] = scales[r] * (float)((int)(quants[r] >> 8 * i & 255) - 128);
    }
}

/* A page of keys as [2][d_k][32]. */
GG_INLINE void unpack_keys(float *y, const uint8_t *page, int64_t d_k) {
    for (int64_t at = 0; at < 2 * d_k; at += KV_BLOCK, y += KV_BLOCK * GG_TILE, page += 2 * HALF_BYTES) {
        __builtin_prefetch(page + 4 * HALF_BYTES);
        for (int h = 0; h < GG_HALVES; h++)
            unpack_half(y + h * GG_ROWS, page + h * HALF_BYTES);
    }
}

/* n rows of values, v_nb bytes apart, as [n][d_v]. */
GG_INLINE void unpack_values(float *y, const uint8_t *v, int64_t v_nb, int64_t n, int64_t d_v) {
    for (int64_t j = 0; j < n; j++, v += v_nb) {
        const gg_block_q8_0 *blocks = (const gg_block_q8_0 *)v;
        for (int64_t b = 0; b < d_v / KV_BLOCK; b++, y += KV_BLOCK) {
            float scale[16];
            v16_store(scale, v16_load_f16_n((const uint16_t *)&blocks[b], 1));
            for (int i = 0; i < KV_BLOCK; i++)
                y[i] = scale[0] * (float)blocks[b].qs[i];
        }
    }
}
#endif
