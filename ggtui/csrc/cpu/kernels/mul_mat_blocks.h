/* mul_mat of weights in blocks of 32, or in super-blocks of 256 that are cut into such groups: a group goes with a block of
 * activations.
 *
 * A packed tile holds 32 rows, and is read from front to back. Block follows block, and in each of them one half of the tile,
 * 16 rows, the other:
 *
 *       block 0             block 1                      along k ->
 *     +---------+---------+---------+---------+---
 *     | half 0  | half 1  | half 0  | half 1  | ...     half 0: rows 0-15, half 1: rows 16-31
 *     +---------+---------+---------+---------+---
 *
 * Half a tile's block begins with HEAD bytes of scales and minimums; then come GROUP bytes for each 32 weights. Q4_0's, whose
 * blocks are one group:
 *
 *       HEAD            GROUP
 *     +---------------+---------+---------+---------+---------+
 *     | 16 times d    | strip 0 | strip 1 | strip 2 | strip 3 |
 *     +---------------+---------+---------+---------+---------+
 *       32 bytes        64 bytes each
 *
 * A strip is 4 bytes of each of the 16 rows. It is loaded as one v16w, in which a row is a lane:
 *
 *       lane 0          lane 1                lane 15
 *     +-------------+-------------+-------+-------------+
 *     | b0 b1 b2 b3 | b0 b1 b2 b3 |  ...  | b0 b1 b2 b3 |   strip s of Q4_0: in the low nibble of byte j is weight 4s + j
 *     +-------------+-------------+-------+-------------+   of the row, in the high one weight 16 + 4s + j
 *
 * The kernel walks through a group in 8 steps. In step i get_weights brings weights 4i .. 4i + 3 of every row into the lanes,
 * one weight a byte; SUM_DOT multiplies them with the same four activations x of a column in all lanes, and adds the four
 * products to each lane's sum:
 *
 *     acc[lane] += w[4i] x[4i] + w[4i+1] x[4i+1] + w[4i+2] x[4i+2] + w[4i+3] x[4i+3]
 *
 * After the steps acc, an integer, times the scales of weights and activations is added to the float sum of the lane, which
 * thus becomes the result of its row. A piece does this for several columns and both halves at once: what is loaded of the
 * weights serves all columns.
 *
 * The including file has included mul_mat_fields.h and defined HEAD, GROUP and
 *     BLOCK     weights a block
 *     BYTES     a block takes in one row
 *     SCALES    a group has: 1, or 2 where each 16 weights have their own
 *     BITS      of a weight, at most: 4, 6 or 8
 *     OFFSET    what is taken off the weights: 0 or a power of 2; 128 for 8 bits
 *     MINIMUMS  NONE, FLOATS (scales.m) or PAIRS (scales.pairs)
 *     void get_scales(scales *, const uint8_t *block)
 *     v16w get_weights(const uint8_t *group, int i)   weights 4i .. 4i + 3 of each row */
#define NONE 0
#define FLOATS 1
#define PAIRS 2
enum { GROUPS = BLOCK / 32, STEPS = 8 / SCALES };

#if BITS == 8
typedef v16q8 sum;
#define SUM_START(x, h) v16q8_start((x).nsum)
#define SUM_DOT v16q8_dot
#define SUM_END(acc, x) v16q8_end(acc)
#elif BITS == 6
typedef v16q6 sum;
#if SCALES == 1
#define SUM_START(x, h) v16q6_start((x).nsum, OFFSET)
#else /* a scale goes with a sum over its 16 activations */
#define SUM_START(x, h) v16i_dot_pairs(v16i_set1((h) == 0 ? OFFSET : OFFSET << 16), (x).sums)
#endif
#define SUM_DOT v16q6_dot
#define SUM_END(acc, x) v16q6_end(acc)
#else
typedef v16q4 sum;
_Static_assert(SCALES == 1 || OFFSET == 0, "no sum of 4 bits over 16 weights has an offset");
#define SUM_START(x, h) v16q4_start((x).nsum, OFFSET)
#define SUM_DOT v16q4_dot
#define SUM_END(acc, x) v16q4_end(acc, (x).nsum, OFFSET)
#endif

GG_INLINE void piece(const gg_mul_mat_args *a, int64_t row, int64_t col, int n_halves, int n_cols) {
    enum { HALF_BLOCK = BYTES * GG_ROWS };
    const uint8_t *block = tile_of(a, row) + row % GG_TILE / GG_ROWS * HALF_BLOCK;
    const gg_block_q8_a *x[GG_INT_COLS];
    v16 sums[GG_INT_SUMS]; /* [half][column], as all that follows */
    GG_UNROLL for (int c = 0; c < n_cols; c++) x[c] = (const gg_block_q8_a *)(a->x + (col + c) * a->x_nb);
    GG_UNROLL for (int i = 0; i < n_halves * n_cols; i++) sums[i] = v16_set1(0.0f);

    const int prefetch = n_cols <= GG_FEW_COLS && a->n_cols <= GG_FEW_COLS;
    for (int64_t b = 0; b < a->k / 32; block += GG_HALVES * HALF_BLOCK) {
        scales s[GG_HALVES];
        GG_UNROLL for (int t = 0; t < n_halves; t++) get_scales(&s[t], block + t * HALF_BLOCK);
        const uint8_t *group = block + HEAD;
        for (int g = 0; g < GROUPS; g++, b++, group += GROUP) {
            const uint8_t *now = block + n_halves * HALF_BLOCK / GROUPS * g; /* about what is read now */
            GG_UNROLL for (int h = 0; h < SCALES; h++) {
                sum acc[GG_INT_SUMS];
                GG_UNROLL for (int t = 0; t < n_halves; t++) GG_UNROLL for (int c = 0; c < n_cols; c++)
                    acc[t * n_cols + c] = SUM_START(x[c][b], h);
                GG_UNROLL for (int j = 0; j < STEPS; j++) {
                    /* Both nibbles of a byte follow each other. */
                    const int i = SCALES == 1 ? j / 2 + j % 2 * 4 : h * STEPS + j;
                    if (prefetch)
                        prefetch_weights(now, n_halves * HALF_BLOCK / GROUPS, h * STEPS + j, 8);
                    GG_UNROLL for (int t = 0; t < n_halves; t++) {
                        const v16w w = get_weights(group + t * HALF_BLOCK, i);
                        GG_UNROLL for (int c = 0; c < n_cols; c++)
                            acc[t * n_cols + c] = SUM_DOT(acc[t * n_cols + c], w, x[c][b].qs + 4 * i);
                    }
                }
                GG_UNROLL for (int t = 0; t < n_halves; t++) {
                    const v16 d = s[t].d[g * SCALES + h];
                    GG_UNROLL for (int c = 0; c < n_cols; c++) {
                        const v16 products = v16_from_i32(SUM_END(acc[t * n_cols + c], x[c][b]));
                        sums[t * n_cols + c] = v16_fma(products, v16_mul(d, v16_set1(x[c][b].d)), sums[t * n_cols + c]);
                    }
                }
            }
#if MINIMUMS == FLOATS
            GG_UNROLL for (int t = 0; t < n_halves; t++) GG_UNROLL for (int c = 0; c < n_cols; c++)
                sums[t * n_cols + c] = v16_fma(s[t].m[g], v16_set1(x[c][b].dnsum), sums[t * n_cols + c]);
#elif MINIMUMS == PAIRS
            GG_UNROLL for (int t = 0; t < n_halves; t++) GG_UNROLL for (int c = 0; c < n_cols; c++) {
                const v16 products = v16_from_i32(v16i_dot_pairs(s[t].pairs[g], x[c][b].sums));
                sums[t * n_cols + c] = v16_fma(products, v16_mul(s[t].dmin, v16_set1(x[c][b].d)), sums[t * n_cols + c]);
            }
#endif
        }
    }

    float out[GG_INT_SUMS * GG_ROWS];
    GG_UNROLL for (int i = 0; i < n_halves * n_cols; i++) v16_store(out + i * GG_ROWS, sums[i]);
    GG_HELPER(finish)(a, row, col, n_halves, n_cols, out);
}

/* The kernel called `name`. */
#define GG_MUL_MAT_BLOCKS(name) GG_MUL_MAT(name, GG_INT_COLS, GG_HALVES, GG_INT_SUMS)
