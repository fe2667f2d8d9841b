/* Kernels of gradients: slopes of functions, norms and softmax the other way, and the steps of optimizers. */
#include "exp.h"
#include "names.h"

/* d/dx of x sigmoid(c x) = s + c x s (1 - s), with s = sigmoid(c x) */
GG_INLINE v16 swish_slope(v16 x, float c) {
    v16 cx = v16_mul(x, v16_set1(c)), s = v16_sigmoid(cx);
    return v16_fma(v16_mul(cx, s), v16_sub(v16_set1(1.0f), s), s);
}

GG_INLINE v16 silu_slope(v16 x) { return swish_slope(x, 1.0f); }
GG_INLINE v16 gelu_quick_slope(v16 x) { return swish_slope(x, 1.702f); }
GG_INLINE v16 relu_slope(v16 x) { return v16_select(v16_lt(v16_set1(0.0f), x), v16_set1(1.0f), v16_set1(0.0f)); }

/* x s with s = sigmoid(2 u): s + x s (1 - s) 2 u', u = sqrt(2 / pi) (x + 0.044715 x^3) */
GG_INLINE v16 gelu_slope(v16 x) {
    v16 z = v16_mul(x, x), c = v16_set1(1.5957691216f), cubic = v16_set1(1.5957691216f * 0.044715f);
    v16 s = v16_sigmoid(v16_mul(x, v16_fma(z, cubic, c)));
    v16 u = v16_fma(z, v16_set1(3 * 1.5957691216f * 0.044715f), c);
    v16 rest = v16_mul(v16_mul(x, u), v16_mul(s, v16_sub(v16_set1(1.0f), s)));
    /* Far below 0 the square of x is infinite where s is 0. */
    return v16_add(s, v16_select(v16_lt(v16_abs(x), v16_set1(20.0f)), rest, v16_set1(0.0f)));
}

/* Phi(x) + x phi(x), the normal distribution's; Phi as gelu_erf has it. */
GG_INLINE v16 gelu_erf_slope(v16 x) {
    v16 one = v16_set1(1.0f), away = v16_select(v16_lt(v16_abs(x), v16_set1(1e-20f)), one, x);
    v16 share = v16_select(v16_lt(v16_abs(x), v16_set1(1e-20f)), v16_set1(0.5f), v16_div(v16_gelu_erf(away), away));
    v16 density = v16_mul(v16_set1(0.3989422804f), v16_exp(v16_mul(v16_set1(-0.5f), v16_mul(x, x))));
    return v16_fma(x, density, share);
}

#define GG_SLOPE(name)                                                                                                   \
    void GG_KERNEL(name##_back)(int64_t n, float *y, const float *g, const float *x) {                                   \
        int64_t i = 0;                                                                                                   \
        for (; i + 16 <= n; i += 16)                                                                                     \
            v16_store(y + i, v16_mul(v16_load(g + i), name##_slope(v16_load(x + i))));                                   \
        if (i < n)                                                                                                       \
            v16_store_n(y + i, v16_mul(v16_load_n(g + i, n - i), name##_slope(v16_load_n(x + i, n - i))), n - i);        \
    }
GG_SLOPE(relu)
GG_SLOPE(silu)
GG_SLOPE(gelu)
GG_SLOPE(gelu_erf)
GG_SLOPE(gelu_quick)

void GG_KERNEL(clamp_back)(int64_t n, float *y, const float *g, const float *x, float min, float max) {
    v16 lo = v16_set1(min), hi = v16_set1(max), zero = v16_set1(0.0f);
    for (int64_t i = 0; i < n; i += 16) {
        const int whole = n - i >= 16;
        v16 at = whole ? v16_load(x + i) : v16_load_n(x + i, n - i), v = whole ? v16_load(g + i) : v16_load_n(g + i, n - i);
        v = v16_select(v16m_or(v16_lt(at, lo), v16_lt(hi, at)), zero, v);
        if (whole)
            v16_store(y + i, v);
        else
            v16_store_n(y + i, v, n - i);
    }
}

/* y = r * (g - shift - slope * (x - mean)) */
static void centred(int64_t n, float *y, const float *g, const float *x, float mean, float r, float shift, float slope) {
    v16 vmean = v16_set1(mean), vr = v16_set1(r), vshift = v16_set1(shift), vslope = v16_set1(-slope);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 d = v16_sub(v16_load(x + i), vmean);
        v16_store(y + i, v16_mul(vr, v16_fma(vslope, d, v16_sub(v16_load(g + i), vshift))));
    }
    if (i < n) {
        v16 d = v16_sub(v16_load_n(x + i, n - i), vmean);
        v16_store_n(y + i, v16_mul(vr, v16_fma(vslope, d, v16_sub(v16_load_n(g + i, n - i), vshift))), n - i);
    }
}

/* With d = x - mean and r = 1 / sqrt(mean(d^2) + eps): r (g - mean(g) - d r^2 mean(g d)) */
void GG_KERNEL(norm_back)(int64_t n, float *y, const float *g, const float *x, float eps) {
    float mean = GG_KERNEL(sum)(n, x) / (float)n;
    v16 vmean = v16_set1(mean), squares = v16_set1(0.0f), products = squares;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 d = v16_sub(v16_load(x + i), vmean);
        squares = v16_fma(d, d, squares);
        products = v16_fma(d, v16_load(g + i), products);
    }
    if (i < n) {
        v16 d = v16_select(v16m_first(n - i), v16_sub(v16_load_n(x + i, n - i), vmean), v16_set1(0.0f));
        squares = v16_fma(d, d, squares);
        products = v16_fma(d, v16_load_n(g + i, n - i), products);
    }
    float r = 1.0f / sqrtf(v16_sum(squares) / (float)n + eps);
    centred(n, y, g, x, mean, r, GG_KERNEL(sum)(n, g) / (float)n, r * r * (v16_sum(products) / (float)n));
}

/* With r = 1 / sqrt(mean(x^2) + eps): r (g - x r^2 mean(g x)) */
void GG_KERNEL(rms_norm_back)(int64_t n, float *y, const float *g, const float *x, float eps) {
    float r = 1.0f / sqrtf(GG_KERNEL(dot)(n, x, x) / (float)n + eps);
    centred(n, y, g, x, 0.0f, r, 0.0f, r * r * (GG_KERNEL(dot)(n, g, x) / (float)n));
}

/* With l = |x|: (g - x (g . x) / l^2) / l; g / eps where l is below eps */
void GG_KERNEL(l2_norm_back)(int64_t n, float *y, const float *g, const float *x, float eps) {
    float length = sqrtf(GG_KERNEL(dot)(n, x, x));
    if (length < eps)
        centred(n, y, g, x, 0.0f, 1.0f / eps, 0.0f, 0.0f);
    else
        centred(n, y, g, x, 0.0f, 1.0f / length, 0.0f, GG_KERNEL(dot)(n, g, x) / (length * length));
}

void GG_KERNEL(soft_max_back)(int64_t n, float *y, const float *g, const float *p, float scale) {
    v16 mean = v16_set1(GG_KERNEL(dot)(n, g, p)), vscale = v16_set1(scale);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(y + i, v16_mul(v16_mul(vscale, v16_load(p + i)), v16_sub(v16_load(g + i), mean)));
    if (i < n) {
        v16 v = v16_mul(v16_mul(vscale, v16_load_n(p + i, n - i)), v16_sub(v16_load_n(g + i, n - i), mean));
        v16_store_n(y + i, v, n - i);
    }
}

float GG_KERNEL(log_sum_exp)(int64_t n, const float *x) {
    float max = GG_KERNEL(max)(n, x);
    if (max == -INFINITY || max == INFINITY)
        return max;
    v16 vmax = v16_set1(max), s = v16_set1(0.0f);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = v16_add(s, v16_exp(v16_sub(v16_load(x + i), vmax)));
    if (i < n) {
        v16 e = v16_exp(v16_sub(v16_load_n(x + i, n - i), vmax));
        s = v16_add(s, v16_select(v16m_first(n - i), e, v16_set1(0.0f)));
    }
    return max + logf(v16_sum(s));
}

GG_INLINE v16 load_upto(const float *x, int64_t n) { return n >= 16 ? v16_load(x) : v16_load_n(x, n); }

GG_INLINE void store_upto(float *y, v16 v, int64_t n) {
    if (n >= 16)
        v16_store(y, v);
    else
        v16_store_n(y, v, n);
}

/* m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  w -= decay w + rate m' / (sqrt(v') + eps), m' and v' unbiased */
void GG_KERNEL(adamw)(int64_t n, float *w, const float *g, float *m, float *v, const float *h) {
    v16 beta1 = v16_set1(h[GG_BETA1]), beta2 = v16_set1(h[GG_BETA2]), eps = v16_set1(h[GG_EPS]);
    v16 new1 = v16_set1(1.0f - h[GG_BETA1]), new2 = v16_set1(1.0f - h[GG_BETA2]), times = v16_set1(h[GG_GRADIENT]);
    v16 unbias1 = v16_set1(h[GG_UNBIAS1]), unbias2 = v16_set1(h[GG_UNBIAS2]);
    v16 stays = v16_set1(1.0f - h[GG_DECAY]), rate = v16_set1(-h[GG_RATE]);
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t left = n - i;
        v16 gi = v16_mul(load_upto(g + i, left), times);
        v16 mi = v16_fma(beta1, load_upto(m + i, left), v16_mul(new1, gi));
        v16 vi = v16_fma(beta2, load_upto(v + i, left), v16_mul(v16_mul(new2, gi), gi));
        v16 step = v16_div(v16_mul(mi, unbias1), v16_add(v16_sqrt(v16_mul(vi, unbias2)), eps));
        store_upto(m + i, mi, left);
        store_upto(v + i, vi, left);
        store_upto(w + i, v16_fma(rate, step, v16_mul(stays, load_upto(w + i, left))), left);
    }
}

/* m = beta1 m + g;  w -= decay w + rate m */
void GG_KERNEL(sgd)(int64_t n, float *w, const float *g, float *m, const float *h) {
    v16 beta1 = v16_set1(h[GG_BETA1]), times = v16_set1(h[GG_GRADIENT]);
    v16 stays = v16_set1(1.0f - h[GG_DECAY]), rate = v16_set1(-h[GG_RATE]);
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t left = n - i;
        v16 mi = v16_fma(beta1, load_upto(m + i, left), v16_mul(load_upto(g + i, left), times));
        store_upto(m + i, mi, left);
        store_upto(w + i, v16_fma(rate, mi, v16_mul(stays, load_upto(w + i, left))), left);
    }
}
