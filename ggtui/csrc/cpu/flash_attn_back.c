/* What comes back through flash_attn_ext from the gradient g of its result, Dao et al. 2022: scores and weights are computed again,
 * for a block of queries at a time, and never all of them are held. Of a block of queries of a head, row by row
 *
 *     S = scale K q + slope mask      P = softmax(S)      dP = V g      dS = scale P (dP - sum(P dP))
 *     dq = K^T dS                     dK += q dS          dV += g P
 *
 * A thread takes a head of keys with all queries that share it, one after the other: their gradients are added in that order.
 * All products are those of mul_mat's kernel for floats: what stands first is packed in tiles. */
#include "cpu/alibi.h"
#include "cpu/rows.h"

enum { QUERIES = 48 }; /* of a block: columns for the kernels, and what they sum over for dK and dV */

typedef struct {
    const gg_tensor *q;    // (d_k, n_q, n_head, ne3) f32
    const gg_tensor *k;    // (d_k, n_kv, n_head_kv, ne3) f32
    const gg_tensor *v;    // (d_v, n_kv, n_head_kv, ne3) f32
    const gg_tensor *mask; // (n_kv, >= n_q, m2, m3) f32 or f16, repeated in 2 and 3; or absent
    const gg_tensor *g;    // (d_v, n_head, n_q, ne3) f32
    const gg_step *step;
    int64_t d_k, d_v, n_q, n_kv, n_head, n_head_kv;
} attention;

static attention attention_of(const gg_step *step) {
    const gg_tensor *q = &step->src[0], *k = &step->src[1], *v = &step->src[2];
    return (attention){q, k, v, &step->src[3], &step->src[4], step,
                       q->ne[0], v->ne[0], q->ne[1], k->ne[1], q->ne[2], k->ne[2]};
}

/* Rows of n values as tiles of 32 rows, [n][32] each; lines between rows of scores, so that they do not all lie in one set of a
 * cache. */
static int64_t tiles_of(int64_t n_rows, int64_t n) { return gg_div_up(n_rows, GG_TILE) * GG_TILE * n; }
static int64_t scores_row(int64_t n_kv) { return gg_div_up(n_kv, 16) * 16 + 16; }

/* A thread's temporaries: floats. */
typedef struct {
    float *k, *v;           // rows of K and V as tiles: (d_k, n_kv), (d_v, n_kv)
    float *k_turned;        // (n_kv, d_k) as tiles
    float *q, *g;           // rows of a block: (d_k, QUERIES), (d_v, QUERIES)
    float *q_turned, *g_turned; // (QUERIES, d_k), (QUERIES, d_v) as tiles
    float *p, *ds;          // (n_kv, QUERIES), scores_row() apart
    float *row;             // a row of K, V or the mask
    int64_t n;              // all of them
} room;

/* n floats more of `base`, where that is there already. */
static float *take(float *base, int64_t n, int64_t *taken) {
    float *at = base != NULL ? base + *taken : NULL;
    *taken += n;
    return at;
}

static room room_of(const attention *a, float *base) {
    const int64_t n_q = gg_min(QUERIES, a->n_q), scores = n_q * scores_row(a->n_kv);
    room r = {.n = 0};
    r.k = take(base, tiles_of(a->n_kv, a->d_k), &r.n);
    r.v = take(base, tiles_of(a->n_kv, a->d_v), &r.n);
    r.k_turned = take(base, tiles_of(a->d_k, a->n_kv), &r.n);
    r.q = take(base, n_q * a->d_k, &r.n);
    r.g = take(base, n_q * a->d_v, &r.n);
    r.q_turned = take(base, tiles_of(a->d_k, n_q), &r.n);
    r.g_turned = take(base, tiles_of(a->d_v, n_q), &r.n);
    r.p = take(base, scores, &r.n);
    r.ds = take(base, scores, &r.n);
    r.row = take(base, gg_max(a->n_kv, gg_max(a->d_k, a->d_v)), &r.n);
    return r;
}

size_t gg_tmp_flash_attn_back(const gg_step *step) {
    const attention a = attention_of(step);
    return (size_t)room_of(&a, NULL).n * sizeof(float);
}

/* n rows of t from `at` on, nb bytes apart, without gaps in y. */
static void gather(const gg_share *share, const gg_tensor *t, gg_row_index at, int64_t nb, int64_t n, float *y) {
    const uint8_t *x = gg_row(share, t, at);
    for (int64_t i = 0; i < n; i++) {
        gg_gather(t->ne[0], sizeof(float), y + i * t->ne[0], x + i * nb, t->nb[0]);
    }
}

/* Rows x[n_rows][n], which lie nb bytes apart, as tiles. */
static void pack(const gg_share *share, int64_t n, int64_t n_rows, const float *x, int64_t nb, float *tiles) {
    for (int64_t r = 0; r < n_rows; r += GG_TILE, tiles += GG_TILE * n) {
        const uint8_t *rows = (const uint8_t *)x + r * nb;
        share->kernels->pack_rows(n, tiles, (const float *)rows, nb, (int)gg_min(GG_TILE, n_rows - r));
    }
}

/* The n columns of x[n_rows][n] as tiles: [n / 32][n_rows][32]. */
static void pack_turned(int64_t n, int64_t n_rows, const float *x, float *tiles) {
    for (int64_t c = 0; c < n; c += GG_TILE) {
        const int64_t m = gg_min(GG_TILE, n - c);
        for (int64_t r = 0; r < n_rows; r++, tiles += GG_TILE) {
            memcpy(tiles, x + r * n + c, (size_t)m * sizeof(float));
            memset(tiles + m, 0, (size_t)(GG_TILE - m) * sizeof(float));
        }
    }
}

/* y[c][r], y_row floats apart, = or += the sum over k of tiles[r][k] x[c][k]. */
static void multiply(const gg_share *share, int64_t k, int64_t n_rows, const float *tiles, int64_t n_cols, const float *x,
                     int64_t x_col, int64_t x_k, float *y, int64_t y_row, bool add) {
    const int64_t f32 = sizeof(float);
    const gg_mul_mat_fn kernel = gg_mul_mat_kernel(share->kernels, GG_TYPE_F32);
    kernel(&(gg_mul_mat_args){
        .k = k,
        .w = (const uint8_t *)tiles,
        .w_nb = k * f32,
        .n_rows = n_rows,
        .x = (const uint8_t *)x,
        .x_nb = x_col * f32,
        .x_step = x_k * f32,
        .n_cols = n_cols,
        .y = y,
        .y_nb = y_row * f32,
        .act = GG_OP_NONE,
        .go_on = add,
    });
}

/* Weights of query i of head h in r.p, and in r.ds the gradients of its scores, of which it sees the first `seen`, out of S and dP that
 * are there. Returns a gg_status. */
static int soften(const attention *a, const gg_share *share, const room *r, gg_row_index at, int64_t seen, float *p, float *ds) {
    const float scale = a->step->params[0].f, max_bias = a->step->params[1].f;
    const float *mask = NULL;
    if (gg_present(a->mask)) {
        gg_tensor part = *a->mask;
        part.ne[0] = seen;
        const int status = gg_load_row(share, &part, gg_row_wrap(a->mask, at), r->row);
        if (status != GG_OK) {
            return status;
        }
        mask = r->row;
    }
    share->kernels->soft_max(seen, p, p, scale, mask, gg_alibi_slope(max_bias, at.i2, a->n_head), NULL);
    share->kernels->soft_max_back(seen, ds, ds, p, scale);
    return GG_OK;
}

/* Where the gradients lie in dst: as q, k and v, contiguous, one behind the other. */
typedef struct {
    float *q, *k, *v;
} gradients;

/* Queries [i0, i0 + n) of head h. Returns a gg_status. */
static int go_back(const attention *a, const gg_share *share, const room *r, const gradients *to, int64_t h, int64_t i3,
                   int64_t i0, int64_t n, int64_t all) {
    const bool causal = a->step->params[2].i != 0;
    const int64_t row = scores_row(a->n_kv), kv = (h / (a->n_head / a->n_head_kv) + i3 * a->n_head_kv) * a->n_kv;
    gather(share, a->q, (gg_row_index){i0, h, i3}, a->q->nb[1], n, r->q);
    gather(share, a->g, (gg_row_index){h, i0, i3}, a->g->nb[2], n, r->g);
    multiply(share, a->d_k, all, r->k, n, r->q, a->d_k, 1, r->p, row, false);
    multiply(share, a->d_v, all, r->v, n, r->g, a->d_v, 1, r->ds, row, false);
    for (int64_t i = 0; i < n; i++) {
        const int64_t seen = causal ? a->n_kv - a->n_q + i0 + i + 1 : a->n_kv;
        float *p = r->p + i * row, *ds = r->ds + i * row;
        const int status = soften(a, share, r, (gg_row_index){i0 + i, h, i3}, seen, p, ds);
        if (status != GG_OK) {
            return status;
        }
        memset(p + seen, 0, (size_t)(all - seen) * sizeof(float));
        memset(ds + seen, 0, (size_t)(all - seen) * sizeof(float));
    }
    pack_turned(a->d_k, n, r->q, r->q_turned);
    pack_turned(a->d_v, n, r->g, r->g_turned);
    float *dq = to->q + ((h + i3 * a->n_head) * a->n_q + i0) * a->d_k;
    for (int64_t d = 0; d < a->d_k; d += GG_TILE) { // tiles of all positions lie n_kv apart, those seen come first
        multiply(share, all, gg_min(GG_TILE, a->d_k - d), r->k_turned + d * a->n_kv, n, r->ds, row, 1, dq + d, a->d_k, false);
    }
    multiply(share, n, a->d_k, r->q_turned, all, r->ds, 1, row, to->k + kv * a->d_k, a->d_k, true);
    multiply(share, n, a->d_v, r->g_turned, all, r->p, 1, row, to->v + kv * a->d_v, a->d_v, true);
    return GG_OK;
}

/* One head of keys and values, and all queries that share it. Returns a gg_status. */
static int go_back_head(const attention *a, const gg_share *share, const gradients *to, int64_t head, int64_t i3) {
    const room r = room_of(a, share->tmp);
    const int64_t group = a->n_head / a->n_head_kv, kv = (head + i3 * a->n_head_kv) * a->n_kv;
    const bool causal = a->step->params[2].i != 0;
    memset(to->k + kv * a->d_k, 0, (size_t)(a->n_kv * a->d_k) * sizeof(float));
    memset(to->v + kv * a->d_v, 0, (size_t)(a->n_kv * a->d_v) * sizeof(float));
    const gg_row_index at = {0, head, i3};
    const float *keys = gg_row(share, a->k, at), *values = gg_row(share, a->v, at);
    int64_t k_nb = a->k->nb[1], v_nb = a->v->nb[1];
    if (a->k->nb[0] != sizeof(float)) {
        gather(share, a->k, at, k_nb, a->n_kv, r.k_turned); // which is free as yet
        keys = r.k_turned, k_nb = a->d_k * (int64_t)sizeof(float);
    }
    pack(share, a->d_k, a->n_kv, keys, k_nb, r.k);
    if (a->v->nb[0] != sizeof(float)) {
        for (int64_t j = 0; j < a->n_kv; j++) { // nowhere is room for all of them
            float *tile = r.v + j / GG_TILE * GG_TILE * a->d_v + j % GG_TILE;
            gg_gather(a->d_v, sizeof(float), r.row, (const uint8_t *)values + j * v_nb, a->v->nb[0]);
            for (int64_t d = 0; d < a->d_v; d++) {
                tile[d * GG_TILE] = r.row[d];
            }
        }
    } else {
        pack(share, a->d_v, a->n_kv, values, v_nb, r.v);
    }
    float *tiles = r.k_turned; // keys once more, out of their tiles: [d / 32][n_kv][32]
    for (int64_t d = 0; d < a->d_k; d += GG_TILE) {
        for (int64_t j = 0; j < a->n_kv; j++, tiles += GG_TILE) {
            const float *tile = r.k + j / GG_TILE * GG_TILE * a->d_k + j % GG_TILE;
            for (int64_t i = 0; i < GG_TILE; i++) {
                tiles[i] = d + i < a->d_k ? tile[(d + i) * GG_TILE] : 0.0f;
            }
        }
    }
    for (int64_t h = head * group; h < (head + 1) * group; h++) {
        for (int64_t i0 = 0; i0 < a->n_q; i0 += QUERIES) {
            const int64_t n = gg_min(QUERIES, a->n_q - i0), all = causal ? a->n_kv - a->n_q + i0 + n : a->n_kv;
            const int status = go_back(a, share, &r, to, h, i3, i0, n, all);
            if (status != GG_OK) {
                return status;
            }
        }
    }
    return GG_OK;
}

int gg_op_flash_attn_back(const gg_step *step, const gg_share *share) {
    const attention a = attention_of(step);
    const int64_t ne3 = a.q->ne[3];
    if (step->params[2].i != 0 && a.n_q > a.n_kv) {
        return gg_fail(GG_FAILED, "flash_attn_back: causal, but %lld queries for %lld positions", (long long)a.n_q, (long long)a.n_kv);
    }
    gradients to = {.q = gg_data(&step->dst, share)};
    to.k = to.q + a.d_k * a.n_q * a.n_head * ne3;
    to.v = to.k + a.d_k * a.n_kv * a.n_head_kv * ne3;
    int status = GG_OK;
    for (int64_t i; status == GG_OK && (i = gg_next_chunk(share)) < a.n_head_kv * ne3;) {
        status = go_back_head(&a, share, &to, i % a.n_head_kv, i / a.n_head_kv);
    }
    return status;
}
