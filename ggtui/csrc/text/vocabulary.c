/* What a tokenizer needs of a vocabulary: the bytes of each token, and which tokens the merges make, in their order. Tokens
 * are found by a hash table of their texts. Files come from anywhere, so its hash is one that texts cannot be made to
 * collide in: a polynomial over a prime field, of pieces of the text, at a secret point. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define PRIME ((1ull << 61) - 1)
enum { PIECE = 7 }; /* bytes: a number below PRIME */

typedef struct {
    const uint8_t *data;
    const int64_t *ends;
} texts;

/* A place holds 1 + the number of a text, and the upper half of its hash, so that most others need not be looked at. */
typedef struct {
    uint32_t number, hash;
} place;

typedef struct {
    texts of;
    place *places;
    uint64_t mask, key;
} table;

static const uint8_t *text_at(const texts *t, int64_t i, int64_t *n) {
    const int64_t start = t->ends[i] + GG_TEXT_LENGTH;
    *n = t->ends[i + 1] - start;
    return t->data + start;
}

static uint64_t times_plus(uint64_t h, uint64_t key, uint64_t piece) {
    const unsigned __int128 x = (unsigned __int128)h * key + piece;
    const uint64_t sum = (uint64_t)(x & PRIME) + (uint64_t)(x >> 61);
    return sum >= PRIME ? sum - PRIME : sum;
}

static uint64_t hash_of(uint64_t key, const uint8_t *text, int64_t n) {
    uint64_t h = (uint64_t)n;
    for (; n > 0; text += PIECE, n -= PIECE) {
        uint64_t piece = 0;
        memcpy(&piece, text, n < PIECE ? (size_t)n : PIECE);
        h = times_plus(h, key, piece);
    }
    return times_plus(h, key, 0); /* else short texts would lie where their bytes say */
}

/* The number of the text, or -1. *free is where it belongs if it is not there. */
static int64_t find(const table *t, const uint8_t *text, int64_t n, place **free, uint32_t *upper) {
    const uint64_t h = hash_of(t->key, text, n);
    *upper = (uint32_t)(h >> 29);
    for (uint64_t i = h & t->mask;; i = (i + 1) & t->mask) {
        place *p = &t->places[i];
        if (p->number == 0) {
            *free = p;
            return -1;
        }
        if (p->hash == *upper) {
            int64_t other_n;
            const uint8_t *other = text_at(&t->of, (int64_t)p->number - 1, &other_n);
            if (other_n == n && memcmp(other, text, (size_t)n) == 0) {
                return (int64_t)p->number - 1;
            }
        }
    }
}

static bool make_table(table *t, const uint8_t *data, const int64_t *ends, int64_t n, uint64_t key) {
    uint64_t size = 2;
    while (size < 2 * (uint64_t)n) {
        size *= 2;
    }
    *t = (table){{data, ends}, calloc(size, sizeof(place)), size - 1, key % (PRIME - 1) + 1};
    return t->places != NULL;
}

/* Adds texts 0 to n - 1. Returns the first that is there more than once, or -1. */
static int64_t add_all(table *t, int64_t n) {
    int64_t repeated = -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t length;
        const uint8_t *text = text_at(&t->of, i, &length);
        place *free;
        uint32_t upper;
        const int64_t before = find(t, text, length, &free, &upper);
        if (before < 0) {
            *free = (place){(uint32_t)i + 1, upper};
        } else if (repeated < 0 || before < repeated) {
            repeated = before;
        }
    }
    return repeated;
}

/* The bytes that a text of the printable alphabet stands for; -1 if some character stands for none. All those that do take
 * one or two bytes of UTF-8. */
static int64_t bytes_of(const gg_vocabulary *v, const uint8_t *text, int64_t n, uint8_t *out) {
    int64_t made = 0;
    for (int64_t i = 0; i < n; made++) {
        int64_t code = text[i++];
        if (code >= 0x80) {
            /* C0 and C1 would begin a second text for the same character */
            if (code < 0xC2 || code >= 0xE0 || i == n || (text[i] & 0xC0) != 0x80) {
                return -1;
            }
            code = (code & 0x1F) << 6 | (text[i++] & 0x3F);
        }
        if (code >= v->n_codes || v->byte_of[code] < 0) {
            return -1;
        }
        out[made] = (uint8_t)v->byte_of[code];
    }
    return made;
}

static void found(gg_vocabulary *v, int32_t problem, int64_t at) {
    v->problem = problem;
    v->at = at;
}

/* The bytes of all tokens, and the tokens of one byte, whose ids come first among the ranked ones, ascending. */
static void read_tokens(gg_vocabulary *v) {
    const texts tokens = {v->tokens, v->token_ends};
    bool there[256] = {false};
    v->byte_ends[0] = 0;
    for (int64_t id = 0; id < v->n_tokens; id++) {
        int64_t n, end = v->byte_ends[id];
        const uint8_t *text = text_at(&tokens, id, &n);
        const int64_t made = v->normal[id] ? bytes_of(v, text, n, v->bytes + end) : -1;
        v->normal[id] = made >= 0;
        if (made == 1 && !there[v->bytes[end]]) { /* so no more than 256 */
            there[v->bytes[end]] = true;
            v->ranked[v->n_ranked++] = (int32_t)id;
        } else if (made < 0 && n > 0) {
            memcpy(v->bytes + end, text, (size_t)n);
        }
        v->byte_ends[id + 1] = end + (made < 0 ? n : made);
    }
    for (int byte = 0; byte < 256; byte++) {
        if (!there[byte] && byte >= ' ' && byte <= '~') {
            found(v, GG_MISSING_BYTE, byte);
            return;
        }
    }
}

/* The id of the normal token with this text, or -1. */
static int64_t normal_token(const gg_vocabulary *v, const table *t, const uint8_t *text, int64_t n) {
    place *free;
    uint32_t upper;
    const int64_t id = find(t, text, n, &free, &upper);
    return id >= 0 && v->normal[id] ? id : -1;
}

/* What each merge makes. whole: room for the longest of them; made: whether a token is among what was made, none is yet. */
static void read_merges(gg_vocabulary *v, const table *t, uint8_t *whole, uint8_t *made) {
    const texts merges = {v->merges, v->merge_ends};
    for (int64_t i = 0; i < v->n_merges; i++) {
        int64_t n;
        const uint8_t *text = text_at(&merges, i, &n), *space = memchr(text, ' ', (size_t)n);
        const int64_t left = space ? space - text : n, right = space ? n - left - 1 : 0;
        memcpy(whole, text, (size_t)left);
        memcpy(whole + left, text + n - right, (size_t)right);
        const int64_t id = normal_token(v, t, whole, left + right);
        if (id < 0 || normal_token(v, t, whole, left) < 0 || normal_token(v, t, whole + left, right) < 0) {
            found(v, GG_UNKNOWN_PART, i);
            return;
        }
        if (!made[id]) {
            made[id] = 1;
            v->ranked[v->n_ranked++] = (int32_t)id;
        }
    }
}

static int no_memory(void) { return gg_fail(GG_NO_MEMORY, "no memory to read the vocabulary"); }

static int with_table(gg_vocabulary *v, const table *tokens) {
    read_tokens(v);
    if (v->problem) {
        return GG_OK;
    }
    table merges;
    uint8_t *whole = malloc((size_t)v->merge_ends[v->n_merges] + 1), *made = calloc((size_t)v->n_tokens + 1, 1);
    int status = GG_OK;
    if (!whole || !made) {
        status = no_memory();
    } else {
        read_merges(v, tokens, whole, made);
        if (!v->problem && !make_table(&merges, v->merges, v->merge_ends, v->n_merges, v->key)) {
            status = no_memory();
        } else if (!v->problem) {
            const int64_t repeated = add_all(&merges, v->n_merges);
            free(merges.places);
            if (repeated >= 0) {
                found(v, GG_REPEATED_MERGE, repeated);
            }
        }
    }
    free(whole);
    free(made);
    return status;
}

int gg_read_vocabulary(gg_vocabulary *v) {
    table tokens;
    v->n_ranked = 0;
    found(v, GG_SOUND, 0);
    if (!make_table(&tokens, v->tokens, v->token_ends, v->n_tokens, v->key)) {
        return no_memory();
    }
    int status = GG_OK;
    const int64_t repeated = add_all(&tokens, v->n_tokens);
    if (repeated >= 0) {
        found(v, GG_REPEATED_TOKEN, repeated);
    } else {
        status = with_table(v, &tokens);
    }
    free(tokens.places);
    return status;
}
