/* The instruction sets that were compiled in, and the choice among them. */
#include <stddef.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "cpu/isa.h"

static int always(void) { return 1; }

#if defined(__x86_64__)
/* Bits of the registers that CPUID answers with, and of the register that XGETBV reads: which registers the system saves when
 * it switches between threads. What it does not save must not be used. */
enum {
    LEAF1_ECX_FMA = 1 << 12,
    LEAF1_ECX_OSXSAVE = 1 << 27, /* XGETBV may be used */
    LEAF1_ECX_F16C = 1 << 29,
    LEAF7_EBX_AVX2 = 1 << 5,
    LEAF7_EBX_AVX512F = 1 << 16,
    LEAF7_EBX_AVX512DQ = 1 << 17,
    LEAF7_EBX_AVX512BW = 1 << 30,
    LEAF7_ECX_AVX512VNNI = 1 << 11,
    XCR0_AVX = 1 << 1 | 1 << 2,                   /* xmm, and the upper halves of ymm */
    XCR0_AVX512 = XCR0_AVX | 1 << 5 | 1 << 6 | 1 << 7, /* masks, the upper halves of zmm0-15, and zmm16-31 */
};
#define LEAF7_EBX_AVX512VL (1u << 31)

typedef struct {
    unsigned eax, ebx, ecx, edx;
} registers;

static registers cpuid(unsigned leaf, unsigned subleaf) {
    registers r = {0, 0, 0, 0};
    (void)__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx); /* all 0 where there is no such leaf */
    return r;
}

static int all_set(unsigned value, unsigned bits) { return (value & bits) == bits; }

static int saved_by_system(unsigned bits) {
    if (!all_set(cpuid(1, 0).ecx, LEAF1_ECX_OSXSAVE)) {
        return 0;
    }
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return all_set(low, bits);
}
#endif

#ifdef GG_HAVE_AVX2
static int has_avx2(void) {
    return saved_by_system(XCR0_AVX) && all_set(cpuid(1, 0).ecx, LEAF1_ECX_FMA | LEAF1_ECX_F16C) &&
           all_set(cpuid(7, 0).ebx, LEAF7_EBX_AVX2);
}
#endif

#ifdef GG_HAVE_AVX512
static int has_avx512(void) {
    return has_avx2() && saved_by_system(XCR0_AVX512) &&
           all_set(cpuid(7, 0).ebx, LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512DQ | LEAF7_EBX_AVX512BW | LEAF7_EBX_AVX512VL) &&
           all_set(cpuid(7, 0).ecx, LEAF7_ECX_AVX512VNNI);
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
