/* flash_attn_ext: dst[:, h, i] = softmax(scale * q[:, i, h] . k + slope(h) * mask[:, i]) . v, for each head h and
 * query i, without ever holding the n_kv x n_q scores. Query heads share key heads in groups.
 *
 * A chunk is one head's block of queries. What does not lie as the kernel wants it (keys that are not packed, a mask of 2-byte
 * floats, strided queries or values) is brought into that form in the thread's own temporaries. */
#include "cpu/alibi.h"
#include "cpu/rows.h"

enum { QUERIES = GG_ATTN_QUERIES }; /* of a chunk */

typedef struct {
    const gg_tensor *dst;   // (d_v, n_head, n_q, ne3) f32
    const gg_tensor *q;     // (d_k, n_q, n_head, ne3) f32
    const gg_tensor *k;     // (d_k, n_kv, n_head_kv, ne3) f16 or f32, packed or not
    const gg_tensor *v;     // (d_v, n_kv, n_head_kv, ne3) of k's type
    const gg_tensor *mask;  // (>= n_kv, >= n_q, m2, m3) f32 or f16, repeated in 2 and 3; or absent
    const gg_tensor *sinks; // (n_head) f32 or absent
} attention;

static attention attention_of(const gg_step *step) {
    return (attention){&step->dst, &step->src[0], &step->src[1], &step->src[2], &step->src[3], &step->src[4]};
}

static int64_t value_bytes(const gg_tensor *t) { return gg_type_info_of(t->type)->bytes; }
static bool strided(const gg_tensor *t) { return t->nb[0] != value_bytes(t); }
static bool convert_mask(const gg_tensor *mask) { return mask->type != GG_TYPE_F32 || strided(mask); }

/* Where in a thread's temporaries each thing lies: byte offsets. */
typedef struct {
    size_t kernel, q, k, v, mask, end;
} room;

static room room_of(const attention *p) {
    const int64_t d_k = p->q->ne[0], d_v = p->v->ne[0], n_kv = p->k->ne[1], n_queries = gg_min(QUERIES, p->q->ne[1]);
    const int64_t f32 = sizeof(float);
    const int64_t kernel = gg_attention_tmp(p->k->type, p->q->ne[0], d_v) * f32;                                        // the kernel's own
    const int64_t q = strided(p->q) ? n_queries * d_k * f32 : 0;                               // (d_k, QUERIES)
    const int64_t k = p->k->packed ? 0 : gg_div_up(n_kv, GG_TILE) * GG_TILE * d_k * value_bytes(p->k); // tiles
    const int64_t v = strided(p->v) ? n_kv * d_v * value_bytes(p->v) : 0;                      // (d_v, n_kv)
    const int64_t mask = gg_present(p->mask) && convert_mask(p->mask) ? n_queries * n_kv * f32 : 0; // (n_kv, QUERIES)
    const int64_t sizes[] = {kernel, q, k, v, mask};
    size_t at[6] = {0};
    for (int i = 0; i < 5; i++) {
        at[i + 1] = at[i] + (size_t)gg_div_up(sizes[i], 64) * 64;
    }
    return (room){at[0], at[1], at[2], at[3], at[4], at[5]};
}

size_t gg_tmp_flash_attn_ext(const gg_step *step) {
    const attention p = attention_of(step);
    return room_of(&p).end;
}

/* n rows of t from `at` on without gaps in y[n][ne0]. */
static void gather_rows(const gg_share *share, const gg_tensor *t, gg_row_index at, int64_t n, uint8_t *y) {
    const int64_t size = value_bytes(t), row = t->ne[0] * size;
    const uint8_t *x = gg_row(share, t, at);
    for (int64_t i = 0; i < n; i++) {
        gg_gather(t->ne[0], size, y + i * row, x + i * t->nb[1], t->nb[0]);
    }
}

/* A head's keys as tiles[n_kv / 32 rounded up][d_k][32], with zeros past the last position. */
static void pack_keys(const gg_share *share, const gg_tensor *k, gg_row_index head, uint8_t *tiles) {
    const int64_t d_k = k->ne[0], n_kv = k->ne[1], size = value_bytes(k);
    const uint8_t *keys = gg_row(share, k, head);
    for (int64_t j = 0; j < gg_div_up(n_kv, GG_TILE) * GG_TILE; j++) {
        uint8_t *to = tiles + (j / GG_TILE * GG_TILE * d_k + j % GG_TILE) * size;
        for (int64_t i = 0; i < d_k; i++, to += GG_TILE * size) {
            const uint8_t *from = keys + j * k->nb[1] + i * k->nb[0];
            if (j >= n_kv) {
                memset(to, 0, (size_t)size);
            } else if (size == 2) {
                memcpy(to, from, 2);
            } else {
                memcpy(to, from, 4);
            }
        }
    }
}

/* n rows of the mask's first n_kv values, from `at` on, as floats in y[n][n_kv]. Returns a gg_status. */
static int load_mask(const gg_share *share, const gg_tensor *mask, gg_row_index at, int64_t n, int64_t n_kv, float *y) {
    gg_tensor seen = *mask;
    seen.ne[0] = n_kv;
    for (int64_t i = 0; i < n; i++, at.i1++) {
        const int status = gg_load_row(share, &seen, at, y + i * n_kv);
        if (status != GG_OK) {
            return status;
        }
    }
    return GG_OK;
}

/* Heads are counted before sequences (ne3), blocks of queries before heads. `last`: the key head that the temporaries hold. */
static int attend(const attention *p, const gg_share *share, gg_attention_args args, const room *at, const gg_step *step,
                  int64_t chunk, gg_row_index *last) {
    const int64_t n_q = p->q->ne[1], n_head = p->q->ne[2], n_kv = p->k->ne[1], n_head_kv = p->k->ne[2];
    const int64_t n_blocks = gg_div_up(n_q, QUERIES);
    const int64_t i0 = chunk % n_blocks * QUERIES, h = chunk / n_blocks % n_head, i3 = chunk / n_blocks / n_head;
    const int64_t n = gg_min(QUERIES, n_q - i0);
    const bool causal = step->params[2].i != 0;
    const int64_t seen = causal ? n_kv - n_q + i0 + n : n_kv; /* by the last query */
    const gg_row_index head = {0, h / (n_head / n_head_kv), i3};
    const bool new_head = head.i2 != last->i2 || head.i3 != last->i3;
    uint8_t *tmp = share->tmp;
    *last = head;

    args.k = p->k->packed ? gg_row(share, p->k, head) : tmp + at->k;
    args.v = strided(p->v) ? tmp + at->v : gg_row(share, p->v, head);
    if (head.i2 + 1 < n_head_kv && p->k->packed && !strided(p->v)) { // mostly what this thread does next
        args.next_k = args.k + p->k->nb[2];
        args.next_v = args.v + p->v->nb[2];
    }
    if (new_head && !p->k->packed) {
        pack_keys(share, p->k, head, tmp + at->k);
    }
    if (strided(p->v)) {
        args.v_nb = args.d_v * value_bytes(p->v);
        if (new_head) {
            gather_rows(share, p->v, head, n_kv, tmp + at->v);
        }
    }
    const uint8_t *q = gg_row(share, p->q, (gg_row_index){i0, h, i3}), *mask = NULL;
    int64_t q_nb = p->q->nb[1], mask_nb = 0;
    if (strided(p->q)) {
        gather_rows(share, p->q, (gg_row_index){i0, h, i3}, n, tmp + at->q);
        q = tmp + at->q;
        q_nb = args.d_k * (int64_t)sizeof(float);
    }
    if (gg_present(p->mask)) {
        const gg_row_index mask_at = {i0, h % p->mask->ne[2], i3 % p->mask->ne[3]};
        mask = gg_row(share, p->mask, mask_at);
        mask_nb = p->mask->nb[1];
        if (convert_mask(p->mask)) {
            const int status = load_mask(share, p->mask, mask_at, n, seen, (float *)(tmp + at->mask));
            if (status != GG_OK) {
                return status;
            }
            mask = tmp + at->mask; // (seen, QUERIES)
            mask_nb = seen * (int64_t)sizeof(float);
        }
    }
    gg_query queries[QUERIES];
    for (int64_t i = 0; i < n; i++) {
        queries[i] = (gg_query){
            .q = (const float *)(q + i * q_nb),
            .out = gg_row(share, p->dst, (gg_row_index){h, i0 + i, i3}),
            .to = causal ? seen - n + i + 1 : n_kv,
            .mask = mask != NULL ? (const float *)(mask + i * mask_nb) : NULL,
            .slope = gg_alibi_slope(step->params[1].f, h, n_head),
            .sink = gg_present(p->sinks) ? (const float *)((uint8_t *)gg_data(p->sinks, share) + h * p->sinks->nb[0]) : NULL,
        };
    }
    args.queries = queries;
    args.n_q = (int)n;
    share->kernels->attention(&args);
    return GG_OK;
}

int gg_op_flash_attn_ext(const gg_step *step, const gg_share *share) {
    const attention p = attention_of(step);
    const room at = room_of(&p);
    const int64_t n_q = p.q->ne[1], n_head = p.q->ne[2], n_kv = p.k->ne[1];
    if (step->params[2].i != 0 && n_q > n_kv) {
        return gg_fail(GG_FAILED, "flash_attn_ext: causal, but %lld queries for %lld positions", (long long)n_q,
                       (long long)n_kv);
    }

    const gg_attention_args args = {
        .d_k = p.q->ne[0],
        .d_v = p.v->ne[0],
        .kv_type = p.k->type,
        .v_nb = p.v->nb[1],
        .scale = step->params[0].f,
        .tmp = (float *)((uint8_t *)share->tmp + at.kernel),
    };
    gg_row_index last = {0, -1, -1};
    int status = GG_OK;
    const int64_t n_chunks = gg_div_up(n_q, QUERIES) * n_head * p.q->ne[3];
    if (step->flags & GG_BY_HEAD && gg_own_heads(step, share->nth)) {
        int64_t chunk, end;
        gg_split(n_chunks, share, &chunk, &end);
        for (; status == GG_OK && chunk < end; chunk++) {
            status = attend(&p, share, args, &at, step, chunk, &last);
        }
        return status;
    }
    for (int64_t chunk; status == GG_OK && (chunk = gg_next_chunk(share)) < n_chunks;) {
        status = attend(&p, share, args, &at, step, chunk, &last);
    }
    return status;
}
