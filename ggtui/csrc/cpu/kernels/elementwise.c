/* Kernels that work value by value. */
#include "exp.h"
#include "names.h"

#define GG_OP(NAME, name, function, tmp)
#define GG_UNARY(NAME, name)                                                                                             \
    void GG_KERNEL(name)(int64_t n, float *y, const float *x) {                                                          \
        int64_t i = 0;                                                                                                   \
        for (; i + 16 <= n; i += 16)                                                                                     \
            v16_store(y + i, v16_##name(v16_load(x + i)));                                                               \
        if (i < n)                                                                                                       \
            v16_store_n(y + i, v16_##name(v16_load_n(x + i, n - i)), n - i);                                             \
    }
#include "cpu/ops.def"
#undef GG_OP
#undef GG_UNARY

#define GG_BINARY(name)                                                                                                  \
    void GG_KERNEL(name)(int64_t n, float *y, const float *a, const float *b, int b_one) {                               \
        int64_t i = 0;                                                                                                   \
        if (b_one) {                                                                                                     \
            v16 one = v16_set1(*b);                                                                                      \
            for (; i + 16 <= n; i += 16)                                                                                 \
                v16_store(y + i, v16_##name(v16_load(a + i), one));                                                      \
            if (i < n)                                                                                                   \
                v16_store_n(y + i, v16_##name(v16_load_n(a + i, n - i), one), n - i);                                    \
        } else {                                                                                                         \
            for (; i + 16 <= n; i += 16)                                                                                 \
                v16_store(y + i, v16_##name(v16_load(a + i), v16_load(b + i)));                                          \
            if (i < n)                                                                                                   \
                v16_store_n(y + i, v16_##name(v16_load_n(a + i, n - i), v16_load_n(b + i, n - i)), n - i);               \
        }                                                                                                                \
    }
GG_BINARY(add)
GG_BINARY(sub)
GG_BINARY(mul)
GG_BINARY(div)

void GG_KERNEL(scale)(int64_t n, float *y, const float *x, float s, float b) {
    v16 vs = v16_set1(s), vb = v16_set1(b);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(y + i, v16_fma(vs, v16_load(x + i), vb));
    if (i < n)
        v16_store_n(y + i, v16_fma(vs, v16_load_n(x + i, n - i), vb), n - i);
}

void GG_KERNEL(clamp)(int64_t n, float *y, const float *x, float min, float max) {
    v16 lo = v16_set1(min), hi = v16_set1(max);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(y + i, v16_min(hi, v16_max(lo, v16_load(x + i))));
    if (i < n)
        v16_store_n(y + i, v16_min(hi, v16_max(lo, v16_load_n(x + i, n - i))), n - i);
}

#define GG_GLU(name, f)                                                                                                  \
    void GG_KERNEL(name)(int64_t n, float *y, const float *x, const float *g) {                                          \
        int64_t i = 0;                                                                                                   \
        for (; i + 16 <= n; i += 16)                                                                                     \
            v16_store(y + i, v16_mul(f(v16_load(x + i)), v16_load(g + i)));                                              \
        if (i < n)                                                                                                       \
            v16_store_n(y + i, v16_mul(f(v16_load_n(x + i, n - i)), v16_load_n(g + i, n - i)), n - i);                   \
    }
GG_GLU(swiglu, v16_silu)
GG_GLU(geglu, v16_gelu)
