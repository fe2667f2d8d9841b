/* Kernels from one number format to another. */
#include <math.h>

#include "names.h"
#include "simd.h"

#define GG_WIDEN(name, load)                                                                                             \
    void GG_KERNEL(name)(int64_t n, float *y, const uint16_t *x) {                                                       \
        int64_t i = 0;                                                                                                   \
        for (; i + 16 <= n; i += 16)                                                                                     \
            v16_store(y + i, load(x + i));                                                                               \
        if (i < n)                                                                                                       \
            v16_store_n(y + i, load##_n(x + i, n - i), n - i);                                                           \
    }
GG_WIDEN(f16_to_f32, v16_load_f16)
GG_WIDEN(bf16_to_f32, v16_load_bf16)

#define GG_NARROW(name, store)                                                                                           \
    void GG_KERNEL(name)(int64_t n, uint16_t *y, const float *x) {                                                       \
        int64_t i = 0;                                                                                                   \
        for (; i + 16 <= n; i += 16)                                                                                     \
            store(y + i, v16_load(x + i));                                                                               \
        if (i < n)                                                                                                       \
            store##_n(y + i, v16_load_n(x + i, n - i), n - i);                                                           \
    }
GG_NARROW(f32_to_f16, v16_store_f16)
GG_NARROW(f32_to_bf16, v16_store_bf16)

/* d = max |x| / 127. Blocks of values below 1e-36, where 1 / d is no float, become 0; a block that holds an infinity or
 * a NaN gets d = NaN, so that what is computed with it is NaN too. */
void GG_KERNEL(quantize_q8_a)(int64_t n, gg_block_q8_a *y, const float *x) {
    for (int64_t i = 0; i < n / 32; i++) {
        v16 a = v16_load(x + 32 * i), b = v16_load(x + 32 * i + 16);
        float max = v16_hmax(v16_max(v16_abs(a), v16_abs(b)));
        int finite = max <= 0x1.fffffep127f && !v16m_any(v16m_or(v16_is_nan(a), v16_is_nan(b)));
        if (!finite || max < 1e-36f) {
            memset(&y[i], 0, sizeof y[i]);
            y[i].d = y[i].dnsum = finite ? 0.0f : (float)NAN;
            continue;
        }
        v16 to_q = v16_set1(127.0f / max);
        v16i qa = v16_round(v16_mul(a, to_q)), qb = v16_round(v16_mul(b, to_q));
        y[i].d = max / 127.0f;
        y[i].sums[0] = (int16_t)-v16i_sum(qa);
        y[i].sums[1] = (int16_t)-v16i_sum(qb);
        y[i].nsum = y[i].sums[0] + y[i].sums[1];
        y[i].dnsum = y[i].d * (float)y[i].nsum;
        v16i_store_i8(y[i].qs, qa);
        v16i_store_i8(y[i].qs + 16, qb);
    }
}

/* As roundf does; v16_round takes halves to the even number. */
static v16i round_away(v16 x) {
    v16 one = v16_copysign(v16_set1(1.0f), x), r = v16_from_i32(v16_round(x));
    v16m half = v16_lt(v16_set1(0x1.fffffep-2f), v16_mul(v16_sub(x, r), one));
    return v16_round(v16_select(half, v16_add(r, one), r));
}

void GG_KERNEL(f32_to_q8_0)(int64_t n, gg_block_q8_0 *y, const float *x) {
    for (int64_t i = 0; i < n / 32; i++) {
        v16 a = v16_load(x + 32 * i), b = v16_load(x + 32 * i + 16);
        float max = v16_hmax(v16_max(v16_abs(a), v16_abs(b)));
        int finite = max <= 0x1.fffffep127f && !v16m_any(v16m_or(v16_is_nan(a), v16_is_nan(b)));
        float d = finite ? max / 127.0f : (float)NAN, to_q = 1.0f / d;
        v16_store_f16_n((uint16_t *)&y[i], v16_set1(d), 1);
        if (!finite || !(to_q <= 0x1.fffffep127f)) {
            memset(y[i].qs, 0, sizeof y[i].qs);
            continue;
        }
        v16i_store_i8(y[i].qs, round_away(v16_mul(a, v16_set1(to_q))));
        v16i_store_i8(y[i].qs + 16, round_away(v16_mul(b, v16_set1(to_q))));
    }
}
