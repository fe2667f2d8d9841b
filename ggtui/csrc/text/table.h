/* A hash table of texts as gg_find_texts has found them. Files come from anywhere, so its hash is one that texts cannot be made
 * to collide in: a polynomial over a prime field, of pieces of the text, at a secret point. */
#ifndef GG_TEXT_TABLE_H
#define GG_TEXT_TABLE_H
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gg.h"

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

static inline const uint8_t *text_at(const texts *t, int64_t i, int64_t *n) {
    const int64_t start = t->ends[i] + GG_TEXT_LENGTH;
    *n = t->ends[i + 1] - start;
    return t->data + start;
}

static inline uint64_t times_plus(uint64_t h, uint64_t key, uint64_t piece) {
    const unsigned __int128 x = (unsigned __int128)h * key + piece;
    const uint64_t sum = (uint64_t)(x & PRIME) + (uint64_t)(x >> 61);
    return sum >= PRIME ? sum - PRIME : sum;
}

static inline uint64_t hash_of(uint64_t key, const uint8_t *text, int64_t n) {
    uint64_t h = (uint64_t)n;
    for (; n > 0; text += PIECE, n -= PIECE) {
        uint64_t piece = 0;
        memcpy(&piece, text, n < PIECE ? (size_t)n : PIECE);
        h = times_plus(h, key, piece);
    }
    return times_plus(h, key, 0); /* else short texts would lie where their bytes say */
}

/* The number of the text, or -1. *free is where it belongs if it is not there. */
static inline int64_t find(const table *t, const uint8_t *text, int64_t n, place **free, uint32_t *upper) {
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

static inline bool make_table(table *t, const uint8_t *data, const int64_t *ends, int64_t n, uint64_t key) {
    uint64_t size = 2;
    while (size < 2 * (uint64_t)n) {
        size *= 2;
    }
    *t = (table){{data, ends}, calloc(size, sizeof(place)), size - 1, key % (PRIME - 1) + 1};
    return t->places != NULL;
}

/* Adds text i. Returns the one that is equal and was there before, or -1. */
static inline int64_t add_text(table *t, int64_t i) {
    int64_t n;
    const uint8_t *text = text_at(&t->of, i, &n);
    place *free;
    uint32_t upper;
    const int64_t before = find(t, text, n, &free, &upper);
    if (before < 0) {
        *free = (place){(uint32_t)i + 1, upper};
    }
    return before;
}
#endif
