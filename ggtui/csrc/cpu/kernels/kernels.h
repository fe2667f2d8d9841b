/* The kernels: what the ops of cpu/ call for the inner loops. They see pointers and counts, never tensors.
 *
 * Every family is written once, over the sixteen-lane vectors of simd.h, and compiled once per instruction set with that
 * set's own simd.h. So that all sets give the same bits:
 *   - a sum over a row goes into 16 lanes, value i into lane i % 16, and the lanes are added pairwise: i and i + 8, then 4, 2, 1;
 *   - a sum over k in mul_mat goes through k in order, one lane a row of the weights;
 *   - products are fused into sums only where the source says v16_fma, and there always;
 *   - exp, and what is made of it, is one polynomial.
 * Counts need not be multiples of 16, pointers need no alignment beyond their type's, and nothing is read or written
 * outside [0, n). y may be x. */
#ifndef GG_KERNELS_H
#define GG_KERNELS_H
#include <stdint.h>

#include "codec/blocks.h"
#include "codec/pack.h"
#include "codec/types.h"
#include "cpu/op_numbers.h"

enum {
    GG_ATTN_QUERIES = 48, /* most queries of a call of attention */
    GG_ATTN_MAX_Q = 6,    /* most that it works on at once */
    GG_SPLIT = 256,       /* positions after which a sum over them is begun anew */
};

/* 32 activations as 8-bit numbers for the integer mul_mat: 48 bytes, 12 bits a value. */
typedef struct {
    float d;            /* value = d * qs */
    int32_t nsum;       /* minus the sum of qs: what an offset in the weights is corrected with ... */
    float dnsum;        /* ... d times that, for an offset that is a float ... */
    int16_t sums[2];    /* ... and the same of the first and the last 16, for weights with a scale for each 16 */
    int8_t qs[32];      /* -127..127 */
} gg_block_q8_a;
_Static_assert(sizeof(gg_block_q8_a) == 48, "q8_a block");

/* The types of weights that mul_mat has a kernel for, packed ones: GG_EACH_MUL_MAT(X) is X(NAME, name) for each. */
#define GG_EACH_MUL_MAT(X)                                                                                               \
    X(F32, f32)                                                                                                          \
    X(F16, f16)                                                                                                          \
    X(BF16, bf16)                                                                                                        \
    GG_EACH_MUL_MAT_BLOCKS(X)

/* Those in blocks, which are multiplied as integers. */
#define GG_EACH_MUL_MAT_BLOCKS(X)                                                                                        \
    X(Q4_0, q4_0)                                                                                                        \
    X(Q4_1, q4_1)                                                                                                        \
    X(Q5_0, q5_0)                                                                                                        \
    X(Q5_1, q5_1)                                                                                                        \
    X(Q8_0, q8_0)                                                                                                        \
    X(Q2_K, q2_k)                                                                                                        \
    X(Q3_K, q3_k)                                                                                                        \
    X(Q4_K, q4_k)                                                                                                        \
    X(Q5_K, q5_k)                                                                                                        \
    X(Q6_K, q6_k)                                                                                                        \
    X(IQ4_NL, iq4_nl)                                                                                                    \
    X(IQ4_XS, iq4_xs)

/* y[c][r] = act(sum over k of w[r][k] x[c][k] + bias[r]) + residual[c][r]; or times what y holds already. */
typedef struct {
    int64_t k;
    const uint8_t *w;       /* packed tiles of 32 rows: a tile takes 32 * w_nb bytes */
    int64_t w_nb;           /* bytes of one row */
    int64_t n_rows;         /* counted from w on; the last tile may be short */
    const uint8_t *x;       /* n_cols columns: f32[k], or q8_a blocks where w is of a block type */
    int64_t x_nb;
    int64_t x_step;         /* bytes from one f32 of a column to the next; blocks follow each other */
    int64_t n_cols;
    float *y;
    int64_t y_nb;           /* bytes from column to column */
    const float *bias;      /* [n_rows] or NULL */
    int act;                /* GG_OP_NONE or a unary op */
    const float *residual;  /* as y, residual_nb bytes apart, or NULL; may be y itself */
    int64_t residual_nb;
    int times_y;            /* and no residual */
    int go_on;              /* the sums begin with what y holds, those over the k before: float weights alone */
} gg_mul_mat_args;

/* A query of attention: it sees the positions from `from` to `to` - 1. One that sees none, or only positions with a score of -inf, gets
 * zeros. */
typedef struct {
    const float *q;         /* [d_k] */
    float *out;             /* [d_v] */
    int64_t from, to;
    const float *mask;      /* of each position, added to its score times slope; or NULL */
    float slope;
    const float *sink;      /* a logit that takes part in the softmax and has no value; or NULL */
} gg_query;

/* Queries that share keys and values, which lie in pages of GG_PAGE positions. */
typedef struct {
    int64_t d_k, d_v;
    const gg_query *queries; /* [n_q] */
    int n_q;                 /* up to GG_ATTN_QUERIES */
    int kv_type;             /* GG_TYPE_F32, GG_TYPE_F16, or GG_TYPE_Q8_0 for d_k and d_v of whole blocks; of k and v both */
    const uint8_t *k;        /* packed: a page is [2][d_k][32] */
    const uint8_t *v;        /* a row of d_v for each position, v_nb bytes apart */
    int64_t v_nb;
    const int32_t *pages;    /* where positions GG_PAGE j and on lie: in page pages[j]; NULL: in page j - page0 */
    int64_t page0;
    float scale;             /* of q . k */
    float softcap;           /* c > 0: scores s become c tanh(s / c) */
    float *tmp;              /* gg_attention_tmp(kv_type, d_k, d_v) floats */
    float *part;             /* NULL, or where to put what the queries come to over their positions, all of one split, without sinks:
                              * gg_attention_part(d_v) floats each */
    const uint8_t *next_k;   /* the page that is worked on next, which few queries prefetch; or NULL */
    const uint8_t *next_v;
} gg_attention_args;

/* The numbers of an optimizer's step, floats, in this order. AdamW (Loshchilov and Hutter 2017): m and v are the means of g and g^2; SGD
 * uses RATE, BETA1, DECAY and GRADIENT alone. */
enum gg_step_rates {
    GG_RATE,      /* by which weights move */
    GG_BETA1,     /* how much of m stays */
    GG_BETA2,     /* and of v */
    GG_EPS,       /* added to the root of v */
    GG_DECAY,     /* rate times weight decay: the part of a weight that goes */
    GG_UNBIAS1,   /* 1 / (1 - beta1^step) */
    GG_UNBIAS2,   /* 1 / (1 - beta2^step) */
    GG_GRADIENT,  /* what gradients are multiplied with */
    GG_N_RATES
};

/* One instruction set's. A set may have its own of only some, and the others of the set that it builds on: see isa.c. */
typedef struct {
    void (*unary[GG_N_OPS])(int64_t n, float *y, const float *x); /* NULL for ops that are not unary */

#define GG_ROW(name, parameters, arguments) void (*name) parameters;
#define GG_VALUE(name, parameters, arguments) float (*name) parameters;
#include "cpu/kernels/kernels.def"

#define GG_FIELD(NAME, name) void (*mul_mat_##name)(const gg_mul_mat_args *);
    GG_EACH_MUL_MAT(GG_FIELD)
#undef GG_FIELD

    void (*attention)(const gg_attention_args *);
    /* The queries of `a` from the parts of their splits, [n_parts][n_q], in the order of positions: to the bits of attention over all. */
    void (*attention_join)(const gg_attention_args *a, int64_t n_parts, const float *parts);
} gg_kernels;

static inline int64_t gg_attention_rows(void) { return GG_ATTN_QUERIES + GG_ATTN_MAX_Q; }
static inline int64_t gg_attention_part(int64_t d_v) { return 32 + (d_v + 15) / 16 * 16; }
int64_t gg_attention_tmp(int kv_type, int64_t d_k, int64_t d_v);
typedef void (*gg_mul_mat_fn)(const gg_mul_mat_args *);
gg_mul_mat_fn gg_mul_mat_kernel(const gg_kernels *kernels, int type); /* NULL where the type has none */
#endif
