/* What a tokenizer needs of a vocabulary: the bytes of each token, and which tokens the merges make, in their order. */
#include "base/error.h"
#include "text/table.h"

/* Adds texts 0 to n - 1. Returns the first that is there more than once, or -1. */
static int64_t add_all(table *t, int64_t n) {
    int64_t repeated = -1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t before = add_text(t, i);
        if (before >= 0 && (repeated < 0 || before < repeated)) {
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
