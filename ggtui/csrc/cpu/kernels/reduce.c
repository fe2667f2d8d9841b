/* Kernels that bring a row down to a number, and those that need such a number first: norms and softmax. */
#include "exp.h"
#include "names.h"

float GG_KERNEL(sum)(int64_t n, const float *x) {
    v16 s = v16_set1(0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = v16_add(s, v16_load(x + i));
    if (i < n)
        s = v16_add(s, v16_load_n(x + i, n - i));
    return v16_sum(s);
}

float GG_KERNEL(dot)(int64_t n, const float *a, const float *b) {
    v16 s = v16_set1(0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = v16_fma(v16_load(a + i), v16_load(b + i), s);
    if (i < n)
        s = v16_fma(v16_load_n(a + i, n - i), v16_load_n(b + i, n - i), s);
    return v16_sum(s);
}

float GG_KERNEL(max)(int64_t n, const float *x) {
    v16 lowest = v16_set1(-INFINITY), m = lowest;
    v16m nan = v16m_first(0);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 v = v16_load(x + i);
        nan = v16m_or(nan, v16_is_nan(v));
        m = v16_max(v, m);
    }
    if (i < n) {
        v16 v = v16_select(v16m_first(n - i), v16_load_n(x + i, n - i), lowest);
        nan = v16m_or(nan, v16_is_nan(v));
        m = v16_max(v, m);
    }
    return v16m_any(nan) ? NAN : v16_hmax(m);
}

/* y = (x - shift) * scale, times w and plus b where there are any: rounded after each step, so that a norm, a product and a sum
 * in one give the bits that they give one after the other. */
static void scale_row(int64_t n, float *y, const float *x, float shift, float scale, const float *w, const float *b) {
    v16 vshift = v16_set1(shift), vscale = v16_set1(scale), one = v16_set1(1.0f), zero = v16_set1(-0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 v = v16_mul(v16_sub(v16_load(x + i), vshift), vscale);
        v = v16_mul(v, w ? v16_load(w + i) : one);
        v16_store(y + i, v16_add(v, b ? v16_load(b + i) : zero));
    }
    if (i < n) {
        v16 v = v16_mul(v16_sub(v16_load_n(x + i, n - i), vshift), vscale);
        v = v16_mul(v, w ? v16_load_n(w + i, n - i) : one);
        v16_store_n(y + i, v16_add(v, b ? v16_load_n(b + i, n - i) : zero), n - i);
    }
}

void GG_KERNEL(norm)(int64_t n, float *y, const float *x, float eps, const float *w, const float *b) {
    float mean = GG_KERNEL(sum)(n, x) / (float)n;
    v16 vmean = v16_set1(mean), s = v16_set1(0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 d = v16_sub(v16_load(x + i), vmean);
        s = v16_fma(d, d, s);
    }
    if (i < n) {
        v16 d = v16_select(v16m_first(n - i), v16_sub(v16_load_n(x + i, n - i), vmean), v16_set1(0.0f));
        s = v16_fma(d, d, s);
    }
    scale_row(n, y, x, mean, 1.0f / sqrtf(v16_sum(s) / (float)n + eps), w, b);
}

void GG_KERNEL(rms_norm)(int64_t n, float *y, const float *x, float eps, const float *w, const float *b) {
    scale_row(n, y, x, 0.0f, 1.0f / sqrtf(GG_KERNEL(dot)(n, x, x) / (float)n + eps), w, b);
}

void GG_KERNEL(l2_norm)(int64_t n, float *y, const float *x, float eps) {
    float length = sqrtf(GG_KERNEL(dot)(n, x, x));
    scale_row(n, y, x, 0.0f, 1.0f / (length < eps ? eps : length), 0, 0);
}

/* exp(logit - max) over their sum. Where every logit is -inf the result is 0. */
void GG_KERNEL(soft_max)(int64_t n, float *y, const float *x, float scale, const float *mask, float slope,
                         const float *sink) {
    v16 vscale = v16_set1(scale), vslope = v16_set1(slope), lowest = v16_set1(-INFINITY), m = lowest;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 v = v16_mul(vscale, v16_load(x + i));
        v = mask ? v16_fma(vslope, v16_load(mask + i), v) : v;
        v16_store(y + i, v);
        m = v16_max(v, m);
    }
    if (i < n) {
        v16 v = v16_mul(vscale, v16_load_n(x + i, n - i));
        v = mask ? v16_fma(vslope, v16_load_n(mask + i, n - i), v) : v;
        v16_store_n(y + i, v, n - i);
        m = v16_max(v16_select(v16m_first(n - i), v, lowest), m);
    }
    float max = v16_hmax(m);
    if (sink && *sink > max)
        max = *sink;
    if (max == -INFINITY)
        max = 0.0f; /* then every exp is 0, and so is every result */

    v16 vmax = v16_set1(max), s = v16_set1(0.0f);
    for (i = 0; i + 16 <= n; i += 16) {
        v16 e = v16_exp(v16_sub(v16_load(y + i), vmax));
        v16_store(y + i, e);
        s = v16_add(s, e);
    }
    if (i < n) {
        v16 e = v16_exp(v16_sub(v16_load_n(y + i, n - i), vmax));
        e = v16_select(v16m_first(n - i), e, v16_set1(0.0f));
        v16_store_n(y + i, e, n - i);
        s = v16_add(s, e);
    }
    if (sink) {
        v16 e = v16_exp(v16_sub(v16_set1(*sink), vmax));
        s = v16_add(s, v16_select(v16m_first(1), e, v16_set1(0.0f)));
    }
    float sum = v16_sum(s);
    scale_row(n, y, y, 0.0f, sum == 0.0f ? 0.0f : 1.0f / sum, 0, 0);
}
