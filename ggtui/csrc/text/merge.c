/* BPE over characters, as SentencePiece does it: of all neighbours that together are a token those are joined first whose token
 * has the highest score, of equals the first ones in the text. A heap has the pairs that could be joined; a pair of which one
 * has become part of something else by the time its turn comes is passed over. */
#include "base/error.h"
#include "text/table.h"

struct gg_merger {
    table tokens;
    const double *scores;
    int64_t longest; /* bytes of a token */
    int split;
};

gg_merger *gg_merger_new(int64_t n, const uint8_t *tokens, const int64_t *ends, const uint8_t *merged, const double *scores,
                         int split, uint64_t key, int64_t *repeated) {
    gg_merger *m = calloc(1, sizeof *m);
    if (m == NULL || !make_table(&m->tokens, tokens, ends, n, key)) {
        gg_merger_free(m);
        gg_fail(GG_FAILED, "no memory for a vocabulary of %lld tokens", (long long)n);
        return NULL;
    }
    m->scores = scores;
    m->split = split;
    *repeated = -1;
    for (int64_t i = 0; i < n; i++) {
        if (merged[i]) {
            int64_t length;
            text_at(&m->tokens.of, i, &length);
            m->longest = length > m->longest ? length : m->longest;
            if (add_text(&m->tokens, i) >= 0 && *repeated < 0) {
                *repeated = i;
            }
        }
    }
    return m;
}

void gg_merger_free(gg_merger *m) {
    if (m != NULL) {
        free(m->tokens.places);
        free(m);
    }
}

/* A part of the text: a character at first. One that has become part of the one before it has n = 0. */
typedef struct {
    int64_t n;              /* bytes */
    int64_t before, after;  /* where its neighbours begin; -1 for none */
} part;

/* The parts that begin at `left` and right behind it, as they were when this was noted: together n bytes. */
typedef struct {
    double score;
    int64_t left, n;
} pair;

typedef struct {
    const gg_merger *m;
    const uint8_t *text;
    part *parts;            /* by where they begin */
    pair *heap;
    int64_t n_heap, room;
} work;

static bool goes_first(const pair *a, const pair *b) {
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static bool push(work *w, pair new) {
    if (w->n_heap == w->room) {
        const int64_t room = w->room > 0 ? 2 * w->room : 256;
        pair *heap = realloc(w->heap, (size_t)room * sizeof *heap);
        if (heap == NULL) {
            return false;
        }
        w->heap = heap;
        w->room = room;
    }
    int64_t i = w->n_heap++;
    while (i > 0 && goes_first(&new, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = new;
    return true;
}

static pair pop(work *w) {
    const pair first = w->heap[0], last = w->heap[--w->n_heap];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        child += child + 1 < w->n_heap && goes_first(&w->heap[child + 1], &w->heap[child]);
        if (!goes_first(&w->heap[child], &last)) {
            break;
        }
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return first;
}

/* The token of n bytes of text, or -1. */
static int64_t token_of(const work *w, int64_t at, int64_t n) {
    place *free;
    uint32_t upper;
    return n > w->m->longest ? -1 : find(&w->m->tokens, w->text + at, n, &free, &upper);
}

/* Notes the part at `left` and the one after it, where they are a token. */
static bool note(work *w, int64_t left) {
    const int64_t right = left < 0 ? -1 : w->parts[left].after;
    if (right < 0) {
        return true;
    }
    const int64_t n = w->parts[left].n + w->parts[right].n, token = token_of(w, left, n);
    return token < 0 || push(w, (pair){w->m->scores[token], left, n});
}

static int64_t character(const uint8_t *text, int64_t n) {
    const int64_t length = text[0] < 0x80 ? 1 : text[0] < 0xE0 ? 2 : text[0] < 0xF0 ? 3 : 4;
    return length < n ? length : n;
}

/* Merges [start, end) of the text; its tokens go to ids. Returns how many, or -1 without memory. */
static int64_t merge_piece(work *w, int64_t start, int64_t end, int32_t *ids) {
    int64_t last = -1;
    for (int64_t at = start; at < end; at += w->parts[at].n) {
        const int64_t n = character(w->text + at, end - at);
        w->parts[at] = (part){n, last, at + n < end ? at + n : -1};
        last = at;
    }
    for (int64_t at = start; at >= 0; at = w->parts[at].after) {
        if (!note(w, at)) {
            return -1;
        }
    }
    while (w->n_heap > 0) {
        const pair p = pop(w);
        part *left = &w->parts[p.left];
        if (left->n == 0 || left->after < 0 || left->n + w->parts[left->after].n != p.n) {
            continue;
        }
        part *right = &w->parts[left->after];
        left->n = p.n;
        left->after = right->after;
        right->n = 0;
        if (left->after >= 0) {
            w->parts[left->after].before = p.left;
        }
        if (!note(w, p.left) || !note(w, left->before)) {
            return -1;
        }
    }
    int64_t n_ids = 0;
    for (int64_t at = start; at >= 0; at = w->parts[at].after) {
        const int64_t n = w->parts[at].n, token = token_of(w, at, n);
        if (token >= 0) {
            ids[n_ids++] = (int32_t)token;
        }
        for (int64_t i = 0; token < 0 && i < n; i++) {
            ids[n_ids++] = -1 - w->text[at + i];
        }
    }
    return n_ids;
}

static bool is_space(const uint8_t *text, int64_t at, int64_t n) {
    return at + 3 <= n && memcmp(text + at, "\xE2\x96\x81", 3) == 0;
}

/* Where the piece that begins at `at` ends. */
static int64_t end_of_piece(const gg_merger *m, const uint8_t *text, int64_t at, int64_t n) {
    switch (m->split) {
    case GG_BY_WORDS:
        while (is_space(text, at, n)) {
            at += 3;
        }
        while (at < n && !is_space(text, at, n)) {
            at++;
        }
        return at;
    case GG_BY_LINES:
        for (const bool line_feed = text[at] == '\n'; at < n && (text[at] == '\n') == line_feed;) {
            at++;
        }
        return at;
    default:
        return n;
    }
}

int64_t gg_merge(const gg_merger *m, int64_t n, const uint8_t *text, int32_t *ids) {
    work w = {.m = m, .text = text, .parts = malloc((size_t)(n > 0 ? n : 1) * sizeof(part))};
    int64_t n_ids = w.parts == NULL ? -1 : 0;
    for (int64_t at = 0; at < n && n_ids >= 0;) {
        const int64_t end = end_of_piece(m, text, at, n), made = merge_piece(&w, at, end, ids + n_ids);
        n_ids = made < 0 ? -1 : n_ids + made;
        at = end;
    }
    free(w.parts);
    free(w.heap);
    if (n_ids < 0) {
        gg_fail(GG_FAILED, "no memory to merge a text of %lld bytes", (long long)n);
    }
    return n_ids;
}
