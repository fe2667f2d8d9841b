/* paged_attention: dst[:, h, i] = softmax(softcap(scale * q[:, i, h] . k)) . v over the positions that token i sees, whose keys and values
 * lie in pages of GG_PAGE positions: which, its row of the page table says.
 *
 * A chunk is a key head's block of tokens, with all the query heads that share it: so keys and values are read once. Tokens of
 * one sequence, which follow each other, go together. Where there is one token, and fewer key heads than threads, the positions are
 * shared out too: a chunk is then a split of GG_SPLIT positions, and the last thread that is done joins them, in their order. */
#include "cpu/rows.h"

typedef struct {
    const gg_tensor *dst;    // (d_v, n_head, n_tokens) f32
    const gg_tensor *q;      // (d_k, n_tokens, n_head) f32
    const gg_tensor *k;      // (d_k, GG_PAGE n_pages, n_head_kv) f16, f32 or q8_0, packed
    const gg_tensor *v;      // (d_v, GG_PAGE n_pages, n_head_kv) of k's type
    const gg_tensor *tokens; // (3, n_tokens) i32: a row of `pages`, from, to
    const gg_tensor *pages;  // (n, n_rows) i32
    const gg_tensor *sinks;  // (n_head) f32 or absent
} attention;

static attention attention_of(const gg_step *step) {
    const gg_tensor *src = step->src;
    return (attention){&step->dst, &src[0], &src[1], &src[2], &src[3], &src[4], &src[5]};
}

size_t gg_tmp_paged_attention(const gg_step *step) {
    const gg_tensor *k = &step->src[1], *v = &step->src[2];
    return (size_t)gg_attention_tmp(k->type, k->ne[0], v->ne[0]) * sizeof(float);
}

static int32_t i32_at(const gg_share *share, const gg_tensor *t, int64_t i0, int64_t i1) {
    return *(const int32_t *)((const uint8_t *)gg_data(t, share) + i0 * t->nb[0] + i1 * t->nb[1]);
}

/* What a token sees. */
typedef struct {
    int64_t row, from, to;
} seen;

/* Reads what token i sees, and checks it; what `before` saw is known to be there. */
static int read_token(const attention *p, const gg_share *share, int64_t i, const seen *before, seen *s) {
    const int64_t n = p->pages->ne[0], n_rows = p->pages->ne[1], n_pages = p->k->ne[1] / GG_PAGE;
    *s = (seen){i32_at(share, p->tokens, 0, i), i32_at(share, p->tokens, 1, i), i32_at(share, p->tokens, 2, i)};
    if (s->row < 0 || s->row >= n_rows || s->from < 0 || s->to < s->from || s->to > n * GG_PAGE) {
        return gg_fail(GG_FAILED, "paged_attention: token %lld sees positions %lld to %lld of row %lld; the table has %lld rows of %lld pages",
                       (long long)i, (long long)s->from, (long long)s->to, (long long)s->row, (long long)n_rows, (long long)n);
    }
    int64_t j = s->from / GG_PAGE;
    if (before != NULL && before->row == s->row && before->from <= s->from && before->to > s->from) {
        j = gg_div_up(before->to, GG_PAGE);
    }
    for (; j < gg_div_up(s->to, GG_PAGE); j++) {
        const int32_t page = i32_at(share, p->pages, j, s->row);
        if (page < 0 || page >= n_pages) {
            return gg_fail(GG_FAILED, "paged_attention: page %lld of row %lld is %d of %lld", (long long)j, (long long)s->row, page,
                           (long long)n_pages);
        }
    }
    return GG_OK;
}

/* The arguments of token i0 on, whose sequence has that row of the table, for key head `head`. */
static gg_attention_args at_head(const attention *p, const gg_share *share, gg_attention_args args, const seen *token, int64_t head) {
    args.k = (const uint8_t *)gg_data(p->k, share) + head * p->k->nb[2];
    args.v = (const uint8_t *)gg_data(p->v, share) + head * p->v->nb[2];
    args.pages = (const int32_t *)((const uint8_t *)gg_data(p->pages, share) + token->row * p->pages->nb[1]);
    return args;
}

/* Query head h of token i. */
static gg_query query_of(const attention *p, const gg_share *share, int64_t i, int64_t h, const seen *token) {
    return (gg_query){
        .q = gg_row(share, p->q, (gg_row_index){i, h, 0}),
        .out = gg_row(share, p->dst, (gg_row_index){h, i, 0}),
        .from = token->from,
        .to = token->to,
        .sink = gg_present(p->sinks) ? (const float *)((const uint8_t *)gg_data(p->sinks, share) + h * p->sinks->nb[0]) : NULL,
    };
}

/* Tokens i0 to i0 + n - 1, which share a row of the table, and the query heads of key head `head`. */
static void attend(const attention *p, const gg_share *share, gg_attention_args args, const seen *tokens, int64_t i0, int64_t n, int64_t head) {
    const int64_t group = p->q->ne[2] / p->k->ne[2];
    gg_query queries[GG_ATTN_QUERIES];
    args = at_head(p, share, args, &tokens[0], head);
    args.queries = queries;
    if (head + 1 < p->k->ne[2] && tokens[0].from < tokens[0].to) { // mostly what this thread does next
        const int64_t page = args.pages[tokens[0].from / GG_PAGE];
        args.next_k = args.k + p->k->nb[2] + page * GG_PAGE * p->k->nb[1];
        args.next_v = args.v + p->v->nb[2] + page * GG_PAGE * p->v->nb[1];
    }
    for (int64_t at = 0; at < n * group; at += args.n_q) {
        args.n_q = (int)gg_min(n * group - at, GG_ATTN_QUERIES);
        for (int64_t i = 0; i < args.n_q; i++) {
            const int64_t token = (at + i) / group;
            queries[i] = query_of(p, share, i0 + token, head * group + (at + i) % group, &tokens[token]);
        }
        share->kernels->attention(&args);
    }
}

/* ---- a single token, of few key heads ---- */

/* Splits that positions [from, to) touch. */
static int64_t n_splits(int64_t from, int64_t to) { return from < to ? gg_div_up(to, GG_SPLIT) - from / GG_SPLIT : 0; }

int64_t gg_shared_bytes(const gg_step *step) {
    const attention p = attention_of(step);
    if (step->op != GG_OP_PAGED_ATTENTION || p.q->ne[1] != 1 || p.q->ne[2] / gg_max(p.k->ne[2], 1) > GG_ATTN_QUERIES) {
        return 0;
    }
    const int64_t most = p.pages->ne[0] * GG_PAGE / GG_SPLIT + 2;
    return most * p.q->ne[2] * gg_attention_part(p.v->ne[0]) * (int64_t)sizeof(float);
}

/* The queries of key head `head`, [group]. */
static void queries_of(const attention *p, const gg_share *share, const seen *token, int64_t head, int64_t group, gg_query *queries) {
    for (int64_t i = 0; i < group; i++) {
        queries[i] = query_of(p, share, 0, head * group + i, token);
    }
}

/* Of the token, whose positions touch n splits. `parts` are [n_head_kv][n][group]. */
static void attend_together(const attention *p, const gg_share *share, gg_attention_args args, const seen *token, int64_t n, float *parts) {
    const int64_t n_heads = p->k->ne[2], group = p->q->ne[2] / n_heads, size = group * gg_attention_part(args.d_v);
    gg_query queries[GG_ATTN_QUERIES];
    args.queries = queries;
    args.n_q = (int)group;
    int64_t mine = 0;
    for (int64_t chunk; (chunk = gg_next_chunk(share)) < n_heads * n; mine++) {
        const int64_t head = chunk / n, at = (token->from / GG_SPLIT + chunk % n) * GG_SPLIT;
        const seen part = {token->row, gg_max(token->from, at), gg_min(token->to, at + GG_SPLIT)};
        queries_of(p, share, &part, head, group, queries);
        args = at_head(p, share, args, token, head);
        args.part = parts + chunk * size;
        share->kernels->attention(&args);
    }
    if (mine == 0 || atomic_fetch_add_explicit(share->done, mine, memory_order_acq_rel) + mine < n_heads * n) {
        return;
    }
    args.part = NULL;
    for (int64_t head = 0; head < n_heads; head++) {
        queries_of(p, share, token, head, group, queries);
        share->kernels->attention_join(&args, n, parts + head * n * size);
    }
}

/* A block of tokens and a key head. */
static int do_chunk(const attention *p, const gg_share *share, const gg_attention_args *args, int64_t n_block, int64_t chunk) {
    const int64_t n_tokens = p->q->ne[1], n_blocks = gg_div_up(n_tokens, n_block);
    const int64_t first = chunk % n_blocks * n_block, n = gg_min(n_block, n_tokens - first), head = chunk / n_blocks;
    seen tokens[GG_ATTN_QUERIES];
    for (int64_t i = 0; i < n; i++) {
        const int status = read_token(p, share, first + i, i > 0 ? &tokens[i - 1] : NULL, &tokens[i]);
        if (status != GG_OK) {
            return status;
        }
    }
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && tokens[end].row == tokens[i].row; end++) {
        }
        attend(p, share, *args, &tokens[i], first + i, end - i, head);
    }
    return GG_OK;
}

int gg_op_paged_attention(const gg_step *step, const gg_share *share) {
    const attention p = attention_of(step);
    if (!p.k->packed) {
        return gg_fail(GG_FAILED, "paged_attention: keys must be packed");
    }
    const int64_t group = p.q->ne[2] / gg_max(p.k->ne[2], 1), n_block = gg_max(GG_ATTN_QUERIES / gg_max(group, 1), 1);
    const int64_t n_chunks = gg_div_up(p.q->ne[1], n_block) * p.k->ne[2];
    const gg_attention_args args = {
        .d_k = p.q->ne[0],
        .d_v = p.v->ne[0],
        .kv_type = p.k->type,
        .v_nb = p.v->nb[1],
        .scale = step->params[0].f,
        .softcap = step->params[1].f,
        .tmp = share->tmp,
    };
    int status = GG_OK;
    if (step->flags & GG_BY_HEAD && gg_own_heads(step, share->nth)) {
        int64_t chunk, end;
        gg_split(n_chunks, share, &chunk, &end);
        for (; status == GG_OK && chunk < end; chunk++) {
            status = do_chunk(&p, share, &args, n_block, chunk);
        }
        return status;
    }
    if (step->shared != NULL && p.q->ne[1] == 1 && p.k->ne[2] < share->nth) {
        seen token;
        status = read_token(&p, share, 0, NULL, &token);
        const int64_t n = status == GG_OK ? n_splits(token.from, token.to) : 0;
        if (n > 1) {
            attend_together(&p, share, args, &token, n, step->shared);
        }
        if (n > 1 || status != GG_OK) {
            return status;
        }
    }
    for (int64_t chunk; status == GG_OK && (chunk = gg_next_chunk(share)) < n_chunks;) {
        status = do_chunk(&p, share, &args, n_block, chunk);
    }
    return status;
}
