/* Keys and values of attention, as they lie in pages: q . k of the positions of a page, and weighted sums of its values.
 *
 * Of q8_0, scale x quant is exact in f32, so that sums have the bits of those over floats. A page of keys is [2 tiles][d_k / 32 blocks][2 halves] of 16 positions: their scales, then their quants + 128 in strips of 4
 * bytes a position (see gg_pack in gg.h); a value row is d_v / 32 blocks as in a file. */
#ifndef GG_ATTENTION_KV_H
#define GG_ATTENTION_KV_H
#include <string.h>

#include "base/cache_line.h"
#include "codec/blocks.h"
#include "names.h"

enum { BLOCK = GG_PAGE };

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
/* Of a row, or of keys of 32 positions side by side. */
enum { F32, F16, Q8 };

GG_INLINE int64_t kv_bytes(int64_t n, int kv) {
    return kv == F32 ? n * 4 : kv == F16 ? n * 2 : n / KV_BLOCK * (int64_t)sizeof(gg_block_q8_0);
}

/* Values i to i + 15 of a row. */
GG_INLINE v16 load_values(const uint8_t *row, int64_t i, int kv) {
    if (kv == Q8) {
        const gg_block_q8_0 *block = (const gg_block_q8_0 *)row + i / KV_BLOCK;
        return v16_mul(v16_set1_f16((const uint16_t *)block), v16_load_i8(block->qs + i % KV_BLOCK));
    }
    return kv == F16 ? v16_load_f16((const uint16_t *)row + i) : v16_load((const float *)row + i);
}

GG_INLINE v16 load_values_n(const uint8_t *row, int64_t i, int64_t n, int kv) {
    return kv == F16 ? v16_load_f16_n((const uint16_t *)row + i, n) : v16_load_n((const float *)row + i, n);
}

/* n values from the ith on. */
GG_INLINE void prefetch_kv(const uint8_t *p, int64_t i, int64_t n, int kv) {
    for (int64_t at = 0; at < n * (kv == F32 ? 4 : kv == F16 ? 2 : 1); at += GG_CACHE_LINE)
        __builtin_prefetch(p + kv_bytes(i, kv) + at);
}

/* q . k of n_q queries with 16 positions for each of n_halves halves of tiles, the first of which is half `first` of those
 * at k. Those at `next`, if any, are prefetched on the way. */
GG_INLINE void dot_halves(const gg_attention_args *a, const float *const *q, const uint8_t *k, int first, int n_q,
                          int n_halves, int kv, const uint8_t *next, float *scores) {
    const int64_t tile = GG_TILE * a->d_k;
    v16 sums[GG_ATTN_Q][4];
    GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int t = 0; t < n_halves; t++) sums[i][t] = v16_set1(0.0f);
    for (int64_t d = 0; kv != Q8 && d < a->d_k; d++) {
        if (next)
            prefetch_kv(next, first * GG_ROWS * a->d_k + d * GG_TILE, GG_TILE, kv);
        v16 halves[4];
        GG_UNROLL for (int t = 0; t < n_halves; t++) halves[t] =
            load_values(k, (first + t) / GG_HALVES * tile + d * GG_TILE + (first + t) % GG_HALVES * GG_ROWS, kv);
        GG_UNROLL for (int i = 0; i < n_q; i++) {
            v16 one = v16_set1(q[i][d]);
            GG_UNROLL for (int t = 0; t < n_halves; t++) sums[i][t] = v16_fma(one, halves[t], sums[i][t]);
        }
    }
    for (int64_t b = 0; kv == Q8 && b < a->d_k; b += KV_BLOCK) {
        GG_UNROLL for (int t = 0; t < n_halves; t++) {
            const int64_t at = ((first + t) / GG_HALVES * a->d_k + b) / KV_BLOCK * GG_HALVES + (first + t) % GG_HALVES;
            const uint8_t *half = k + at * HALF_BYTES;
            if (next)
                for (int line = 0; line < HALF_BYTES; line += GG_CACHE_LINE)
                    __builtin_prefetch(next + at * HALF_BYTES + line);
            const v16 scale = v16_load_f16((const uint16_t *)half), minus_128 = v16_mul(scale, v16_set1(-128.0f));
            for (int s = 0; s < KV_BLOCK; s += 4) {
                const v16w strip = v16w_load(half + 2 * GG_ROWS + s * GG_ROWS);
#define GG_BYTE(j)                                                                                                           {                                                                                                                            const v16 key = v16_fma(v16_from_i32(v16w_number(strip, 8 * j, 255)), scale, minus_128); /* exact */                     GG_UNROLL for (int i = 0; i < n_q; i++) sums[i][t] = v16_fma(v16_set1(q[i][b + s + j]), key, sums[i][t]);            }
                GG_BYTE(0)
                GG_BYTE(1)
                GG_BYTE(2)
                GG_BYTE(3)
            }
        }
    }
    GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int t = 0; t < n_halves; t++)
        v16_store(scores + i * BLOCK + GG_ROWS * (first + t), sums[i][t]);
}

/* out += weights v, over positions [j0, j1) of the block that starts at v. Those at `next`, if any, are prefetched on the
 * way. */
GG_INLINE void add_values(const gg_attention_args *a, float *out, int64_t stride, const float *weights,
                          const uint8_t *v, int64_t j0, int64_t j1, int n_q, int kv, const uint8_t *next) {
    int64_t c = 0;
    for (; c + 16 * GG_ATTN_V <= a->d_v; c += 16 * GG_ATTN_V) {
        v16 sums[GG_ATTN_Q][GG_ATTN_V];
        GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++)
            sums[i][u] = v16_load(out + i * stride + c + 16 * u);
        for (int64_t j = j0; j < j1; j++) {
            if (next)
                prefetch_kv(next + j * a->v_nb, c, 16 * GG_ATTN_V, kv);
            v16 row[GG_ATTN_V];
            GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++) row[u] = load_values(v + j * a->v_nb, c + 16 * u, kv);
            GG_UNROLL for (int i = 0; i < n_q; i++) {
                v16 one = v16_set1(weights[i * BLOCK + j]);
                GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++) sums[i][u] = v16_fma(one, row[u], sums[i][u]);
            }
        }
        GG_UNROLL for (int i = 0; i < n_q; i++) GG_UNROLL for (int u = 0; u < GG_ATTN_V; u++)
            v16_store(out + i * stride + c + 16 * u, sums[i][u]);
    }
    for (; c < a->d_v; c += 16) {
        int64_t n = a->d_v - c;
        for (int i = 0; i < n_q; i++) {
            v16 sum = v16_load(out + i * stride + c);
            for (int64_t j = j0; j < j1; j++) {
                const uint8_t *row = v + j * a->v_nb;
                sum = v16_fma(v16_set1(weights[i * BLOCK + j]), n < 16 ? load_values_n(row, c, n, kv) : load_values(row, c, kv), sum);
            }
            v16_store(out + i * stride + c, sum);
        }
    }
}
#endif
