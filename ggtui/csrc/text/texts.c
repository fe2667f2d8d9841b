/* The texts of a vocabulary as a model file holds them: each a 64-bit length, little-endian, and its bytes. */
#include "gg.h"

static uint64_t length_at(const uint8_t *p) {
    uint64_t n = 0;
    for (int i = 0; i < GG_TEXT_LENGTH; i++) {
        n |= (uint64_t)p[i] << 8 * i;
    }
    return n;
}

int64_t gg_find_texts(const uint8_t *data, int64_t n_bytes, int64_t n, int64_t longest, int64_t *ends) {
    int64_t at = 0, i = 0;
    for (ends[0] = 0; i < n && n_bytes - at >= GG_TEXT_LENGTH; i++) {
        const uint64_t length = length_at(data + at);
        if (length > (uint64_t)longest || length > (uint64_t)(n_bytes - at - GG_TEXT_LENGTH)) {
            break;
        }
        at += GG_TEXT_LENGTH + (int64_t)length;
        ends[i + 1] = at;
    }
    return i;
}
