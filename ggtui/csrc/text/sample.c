/* Chooses the next token from the logits: repeat penalty, top-k, top-p, min-p, temperature, in this order, each on what the
 * ones before it left. core/sampler.py says what each of them means.
 *
 * A vocabulary is large and few tokens matter, so nothing is sorted but what may be chosen, and blocks of logits whose
 * maximum is too small are skipped. Probabilities are relative to the likeliest token's and double: a temperature near 0
 * makes huge numbers of small differences, and the same random number is to give the same token everywhere. */
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/pool.h"
#include "cpu/isa.h"
#include "cpu/kernels/exp_f64.h"

enum {
    BLOCK = 64,
    FIRST_GUESS = 256, /* tokens that top-p looks at first: nearly always enough */
};

typedef struct {
    float x;
    int32_t id;
} gg_candidate;

/* Where in gg_sampler.work what lies; n is the size of the vocabulary. */
typedef struct {
    double *p;                /* [n] */
    gg_candidate *candidates; /* [n] */
    float *x;                 /* [n], the logits after the penalty */
    float *block_max;         /* [n_blocks] */
} gg_room;

static int64_t n_blocks(int64_t n) { return (n + BLOCK - 1) / BLOCK; }

int64_t gg_sample_room(int64_t n) {
    return n * (int64_t)(sizeof(double) + sizeof(gg_candidate) + sizeof(float)) + n_blocks(n) * (int64_t)sizeof(float);
}

static gg_room room_of(void *work, int64_t n) {
    gg_room room = {.p = work};
    room.candidates = (gg_candidate *)(void *)(room.p + n);
    room.x = (float *)(void *)(room.candidates + n);
    room.block_max = room.x + n;
    return room;
}

/* ---- sums over the vocabulary ---- */

/* The largest of each block, and of all: NaN where any is. */
static float maxima(const gg_kernels *kernels, int64_t n, const float *x, float *block_max) {
    for (int64_t b = 0; b < n_blocks(n); b++) {
        const int64_t at = b * BLOCK;
        block_max[b] = kernels->max(n - at < BLOCK ? n - at : BLOCK, x + at);
    }
    return kernels->max(n_blocks(n), block_max);
}

/* log(sum(exp(x))), what makes log-probabilities of logits. */
static double log_total(const gg_kernels *kernels, int64_t n, const float *x, float max) {
    enum { PIECE = 1024 };
    float e[PIECE];
    double total = 0;
    for (int64_t at = 0; at < n; at += PIECE) {
        const int64_t m = n - at < PIECE ? n - at : PIECE;
        kernels->scale(m, e, x + at, 1.0f, -max);
        kernels->unary[GG_OP_EXP](m, e, e);
        for (int64_t i = 0; i < m; i += BLOCK) { /* few floats at a time: their sums are rounded */
            total += (double)kernels->sum(m - i < BLOCK ? m - i : BLOCK, e + i);
        }
    }
    return (double)max + log(total);
}

/* In eight sums that do not depend on each other. */
static double sum_of(int64_t n, const double *p) {
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int lane = 0; lane < 8; lane++) {
            sum[lane] += p[i + lane];
        }
    }
    for (; i < n; i++) {
        sum[0] += p[i];
    }
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

/* The first i with p[0] + ... + p[i] > random * sum of p. */
static int64_t draw(int64_t n, const double *p, double random) {
    double total = 0, before = 0;
    for (int64_t at = 0; at < n; at += BLOCK) {
        total += sum_of(n - at < BLOCK ? n - at : BLOCK, p + at);
    }
    const double wanted = random * total;
    int64_t last = 0; /* rounding can leave the sum short of what is wanted */
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        const double after = before + sum_of(m, p + at);
        if (after > wanted || at + BLOCK >= n) {
            for (int64_t i = at; i < at + m; i++) {
                before += p[i];
                if (before > wanted) {
                    return i;
                }
                last = p[i] > 0 ? i : last;
            }
        } else if (after > before) {
            for (last = at + m - 1; p[last] == 0; last--) {
            }
        }
        before = after;
    }
    return last;
}

/* ---- the largest ---- */

/* A number that is the smaller the larger x is. */
static uint32_t key_of(float x) {
    const float y = x + 0.0f; /* there is but one 0 */
    uint32_t bits;
    memcpy(&bits, &y, sizeof(bits));
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

/* The largest first, of equals the first: byte by byte of the key, from the lowest on, there and back. */
static void sort(int64_t n, gg_candidate *candidates, gg_candidate *tmp) {
    int32_t starts[4][256] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        const uint32_t key = key_of(candidates[i].x);
        for (int byte = 0; byte < 4; byte++) {
            starts[byte][key >> 8 * byte & 255]++;
        }
    }
    for (int byte = 0; byte < 4; byte++) {
        const gg_candidate *from = byte % 2 == 0 ? candidates : tmp;
        gg_candidate *to = byte % 2 == 0 ? tmp : candidates;
        int32_t start = 0;
        for (int digit = 0; digit < 256; digit++) {
            const int32_t count = starts[byte][digit];
            starts[byte][digit] = start;
            start += count;
        }
        for (int64_t i = 0; i < n; i++) {
            to[starts[byte][key_of(from[i].x) >> 8 * byte & 255]++] = from[i];
        }
    }
}

/* Makes those of x that are at least `least` the candidates, in order of their ids. Returns how many there are. */
static int64_t gather(const gg_room *room, int64_t n, const float *x, float least) {
    int64_t m = 0;
    for (int64_t b = 0; b < n_blocks(n); b++) {
        for (int64_t i = b * BLOCK; room->block_max[b] >= least && i < n && i < (b + 1) * BLOCK; i++) {
            if (x[i] >= least) {
                room->candidates[m++] = (gg_candidate){x[i], (int32_t)i};
            }
        }
    }
    return m;
}

/* Makes the k largest of n, or more, the candidates: the largest first, of equals the lower id. Overwrites p. 0 < k <= n. */
static void largest(const gg_room *room, int64_t n, const float *x, int64_t k) {
    gg_candidate *const tmp = (gg_candidate *)(void *)room->p;
    float least = -INFINITY;
    if (k <= n_blocks(n)) { /* the k-th largest maximum of a block will do: so many are at least as large */
        for (int64_t b = 0; b < n_blocks(n); b++) {
            room->candidates[b] = (gg_candidate){room->block_max[b], (int32_t)b};
        }
        sort(n_blocks(n), room->candidates, tmp);
        least = room->candidates[k - 1].x;
    }
    sort(gather(room, n, x, least), room->candidates, tmp);
}

/* ---- the chain ---- */

/* How many of the n candidates, the largest first, together have top_p of `total`, which is relative to the first's. */
static int64_t nucleus(int64_t n, const gg_candidate *candidates, double max, double top_p, double total) {
    double reached = 0;
    for (int64_t i = 0; i < n; i++) {
        reached += gg_exp_f64((double)candidates[i].x - max);
        if (reached >= top_p * total) {
            return i + 1;
        }
    }
    return n + 1; /* not enough of them, or by rounding just not */
}

/* Fills the candidates. Returns how many there are; 0 stands for the whole vocabulary. */
static int64_t filter(const gg_sampler *s, const gg_kernels *kernels, const gg_room *room, const float *x, float max) {
    gg_candidate *const candidates = room->candidates;
    int64_t m = 0;
    if (s->top_k > 0 && s->top_k < s->n_vocab) {
        m = s->top_k;
        largest(room, s->n_vocab, x, m);
    }
    if (s->top_p < 1) {
        double total = 0;
        if (m > 0) {
            for (int64_t i = 0; i < m; i++) {
                total += gg_exp_f64((double)candidates[i].x - (double)max);
            }
            const int64_t enough = nucleus(m, candidates, max, s->top_p, total);
            m = enough < m ? enough : m;
        } else {
            kernels->exp_f64(s->n_vocab, room->p, x, (double)max, 1.0);
            total = sum_of(s->n_vocab, room->p);
            m = FIRST_GUESS < s->n_vocab ? FIRST_GUESS : s->n_vocab;
            largest(room, s->n_vocab, x, m);
            int64_t enough = nucleus(m, candidates, max, s->top_p, total);
            if (enough > m && m < s->n_vocab) {
                m = s->n_vocab;
                largest(room, s->n_vocab, x, m);
                enough = nucleus(m, candidates, max, s->top_p, total);
            }
            m = enough < m ? enough : m;
        }
    }
    if (s->min_p > 0) {
        const float least = (float)((double)max + log(s->min_p));
        if (m > 0) {
            while (candidates[m - 1].x < least) {
                m--;
            }
        } else {
            m = gather(room, s->n_vocab, x, least);
        }
    }
    return m;
}

static const float *penalized(const gg_sampler *s, const gg_room *room, const float *logits, int64_t n_recent,
                              const int64_t *recent) {
    memcpy(room->x, logits, (size_t)s->n_vocab * sizeof(float));
    for (int64_t i = 0; i < n_recent; i++) {
        const double old = logits[recent[i]]; /* the model's own, so that a token counts once */
        const double value = old > 0 ? old / s->repeat_penalty : old * s->repeat_penalty;
        room->x[recent[i]] = (float)(value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value);
    }
    return room->x;
}

static void choose(gg_draw *d) {
    const gg_sampler *s = d->sampler;
    const gg_kernels *kernels = gg_best_kernels();
    const gg_room room = room_of(s->work, s->n_vocab);
    float max = maxima(kernels, s->n_vocab, d->logits, room.block_max);
    d->status = isfinite(max) ? GG_OK : GG_FAILED;
    if (d->status != GG_OK) {
        return;
    }
    const double total = log_total(kernels, s->n_vocab, d->logits, max);
    const float *x = d->logits;
    if (d->n_recent > 0) {
        x = penalized(s, &room, d->logits, d->n_recent, d->recent);
        max = maxima(kernels, s->n_vocab, x, room.block_max);
    }
    if (s->temp == 0) {
        (void)gather(&room, s->n_vocab, x, max);
        d->token = room.candidates[0].id;
    } else {
        const int64_t m = filter(s, kernels, &room, x, max);
        if (m > 0) {
            for (int64_t i = 0; i < m; i++) {
                room.p[i] = gg_exp_f64(((double)room.candidates[i].x - (double)max) / s->temp);
            }
            d->token = room.candidates[draw(m, room.p, d->random)].id;
        } else {
            kernels->exp_f64(s->n_vocab, room.p, x, (double)max, s->temp);
            d->token = (int32_t)draw(s->n_vocab, room.p, d->random);
        }
    }
    d->logprob = (double)d->logits[d->token] - total;
}

typedef struct {
    gg_draw *draws;
    int64_t n;
    atomic_llong next;
} gg_draws;

static void choose_some(void *arg, int ith) {
    (void)ith;
    gg_draws *all = arg;
    for (int64_t i; (i = atomic_fetch_add(&all->next, 1)) < all->n;) {
        choose(&all->draws[i]);
    }
}

int gg_sample(gg_pool *pool, int64_t n, gg_draw *draws) {
    gg_draws all = {.draws = draws, .n = n};
    if (pool == NULL || n <= 1 || gg_pool_n_threads(pool) == 1) {
        choose_some(&all, 0);
        return GG_OK;
    }
    gg_nesting nesting;
    const int status = gg_pool_take(pool, &nesting);
    if (status == GG_OK) {
        gg_pool_run(pool, (int)(n < gg_pool_n_threads(pool) ? n : gg_pool_n_threads(pool)), choose_some, &all);
        gg_pool_give_back(pool, &nesting);
    }
    return status;
}

int gg_top(int64_t n, const float *logits, int64_t k, void *work, int32_t *tokens, double *logprobs) {
    const gg_kernels *kernels = gg_best_kernels();
    const gg_room room = room_of(work, n);
    const float max = maxima(kernels, n, logits, room.block_max);
    if (!isfinite(max)) {
        return GG_FAILED;
    }
    const double total = log_total(kernels, n, logits, max);
    if (k > 0) {
        largest(&room, n, logits, k);
    }
    for (int64_t i = 0; i < k; i++) {
        tokens[i] = room.candidates[i].id;
        logprobs[i] = (double)room.candidates[i].x - total;
    }
    return GG_OK;
}
