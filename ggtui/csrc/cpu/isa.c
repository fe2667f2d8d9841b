/* The instruction sets that were compiled in, and the choice among them. */
#include <stddef.h>

#include "cpu/isa.h"

static int always(void) { return 1; }

#ifdef GG_HAVE_AVX2
static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
#endif

#ifdef GG_HAVE_AVX512
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef GG_HAVE_NEON
#if defined(__linux__)
#include <sys/auxv.h>
/* Bits of AT_HWCAP: dot products, and 16-bit floats. */
static int has_neon(void) { return (getauxval(AT_HWCAP) >> 20 & 1) && (getauxval(AT_HWCAP) >> 10 & 1); }
#else
static int has_neon(void) { return 1; } /* every Mac with this processor */
#endif
#endif

static const struct {
    const gg_kernels *kernels;
    int (*usable)(void);
} isas[] = {
    {&gg_kernels_scalar, always},
#ifdef GG_HAVE_AVX2
    {&gg_kernels_avx2, has_avx2},
#endif
#ifdef GG_HAVE_AVX512
    {&gg_kernels_avx512, has_avx512},
#endif
#ifdef GG_HAVE_NEON
    {&gg_kernels_neon, has_neon},
#endif
};

int gg_n_isas(void) { return sizeof(isas) / sizeof(isas[0]); }
const char *gg_isa_name(int isa) { return isa >= 0 && isa < gg_n_isas() ? isas[isa].kernels->name : NULL; }
int gg_isa_usable(int isa) { return isa >= 0 && isa < gg_n_isas() && isas[isa].usable(); }
const gg_kernels *gg_kernels_of(int isa) { return gg_isa_usable(isa) ? isas[isa].kernels : NULL; }

gg_mul_mat_fn gg_mul_mat_kernel(const gg_kernels *kernels, int type) {
    switch (type) {
#define GG_CASE(NAME, name)                                                                                              \
    case GG_TYPE_##NAME:                                                                                                 \
        return kernels->mul_mat_##name;
        GG_EACH_MUL_MAT(GG_CASE)
#undef GG_CASE
    default:
        return NULL;
    }
}

/* Room for the output rows of the queries that go together; scores do not need any. */
int64_t gg_attention_tmp(int64_t d_k, int64_t d_v) {
    (void)d_k;
    return GG_ATTN_MAX_Q * ((d_v + 15) / 16 * 16);
}
