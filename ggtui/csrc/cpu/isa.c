/* The instruction sets: what each has of its own, and whether this processor has it. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "cpu/isa.h"

static bool always(void) { return true; }

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
    LEAF7_1_EAX_AVX_VNNI = 1 << 4,
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

static bool all_set(unsigned value, unsigned bits) { return (value & bits) == bits; }

static bool saved_by_system(unsigned bits) {
    if (!all_set(cpuid(1, 0).ecx, LEAF1_ECX_OSXSAVE)) {
        return false;
    }
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return all_set(low, bits);
}
#endif

#ifdef GG_HAVE_AVX2
static bool has_avx2(void) {
    return saved_by_system(XCR0_AVX) && all_set(cpuid(1, 0).ecx, LEAF1_ECX_FMA | LEAF1_ECX_F16C) &&
           all_set(cpuid(7, 0).ebx, LEAF7_EBX_AVX2);
}
#endif

#ifdef GG_HAVE_AVXVNNI
static bool has_avxvnni(void) { return has_avx2() && all_set(cpuid(7, 1).eax, LEAF7_1_EAX_AVX_VNNI); }
#endif

#ifdef GG_HAVE_AVX512
static bool has_avx512(void) {
    return has_avx2() && saved_by_system(XCR0_AVX512) &&
           all_set(cpuid(7, 0).ebx, LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512DQ | LEAF7_EBX_AVX512BW | LEAF7_EBX_AVX512VL) &&
           all_set(cpuid(7, 0).ecx, LEAF7_ECX_AVX512VNNI);
}
#endif

#ifdef GG_HAVE_NEON
#if defined(__linux__)
#include <sys/auxv.h>
/* Bits of AT_HWCAP: dot products, and 16-bit floats. */
static bool has_neon(void) { return (getauxval(AT_HWCAP) >> 20 & 1) && (getauxval(AT_HWCAP) >> 10 & 1); }
#else
static bool has_neon(void) { return true; } /* every Mac with this processor */
#endif
#endif

typedef struct {
    const char *name;
    int base;                    /* the set that it builds on, which stands before it; NONE for the plainest, which has all */
    void (*fill)(gg_kernels *);  /* sets the fields of its own kernels; NULL where it was not compiled */
    bool (*usable)(void);        /* whether this processor has it */
    const gg_loops *loops;       /* that measure what it allows */
} instruction_set;

enum { NONE = -1, SCALAR, AVX2, AVXVNNI, AVX512, NEON, N_SETS };

/* Of those of one machine the best is last. */
static const instruction_set sets[N_SETS] = {
    [SCALAR] = {"scalar", NONE, gg_scalar_fill, always, &gg_loops_scalar},
#ifdef GG_HAVE_AVX2
    [AVX2] = {"avx2", SCALAR, gg_avx2_fill, has_avx2, &gg_loops_avx2},
#else
    [AVX2] = {.name = "avx2", .base = SCALAR},
#endif
#ifdef GG_HAVE_AVXVNNI
    [AVXVNNI] = {"avxvnni", AVX2, gg_avxvnni_fill, has_avxvnni, &gg_loops_avxvnni},
#else
    [AVXVNNI] = {.name = "avxvnni", .base = AVX2},
#endif
#ifdef GG_HAVE_AVX512
    [AVX512] = {"avx512", AVX2, gg_avx512_fill, has_avx512, &gg_loops_avx512},
#else
    [AVX512] = {.name = "avx512", .base = AVX2},
#endif
#ifdef GG_HAVE_NEON
    [NEON] = {"neon", SCALAR, gg_neon_fill, has_neon, &gg_loops_neon},
#else
    [NEON] = {.name = "neon", .base = SCALAR},
#endif
};

static gg_kernels tables[N_SETS];
static bool usable[N_SETS];

static void fill_tables(void) {
    for (int i = 0; i < N_SETS; i++) {
        const int base = sets[i].base;
        usable[i] = sets[i].fill != NULL && (base == NONE || usable[base]) && sets[i].usable();
        if (usable[i]) {
            if (base != NONE) {
                tables[i] = tables[base];
            }
            sets[i].fill(&tables[i]);
        }
    }
}

static bool known(int isa) { return isa >= 0 && isa < N_SETS; }

int gg_n_isas(void) { return N_SETS; }
const char *gg_isa_name(int isa) { return known(isa) ? sets[isa].name : NULL; }
int gg_isa_base(int isa) { return known(isa) ? sets[isa].base : NONE; }
int gg_isa_compiled(int isa) { return known(isa) && sets[isa].fill != NULL; }

int gg_isa_usable(int isa) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_tables);
    return known(isa) && usable[isa];
}

const gg_kernels *gg_kernels_of(int isa) { return gg_isa_usable(isa) ? &tables[isa] : NULL; }
const gg_loops *gg_loops_of(int isa) { return gg_isa_usable(isa) ? sets[isa].loops : NULL; }

const gg_kernels *gg_best_kernels(void) {
    int isa = N_SETS - 1;
    while (!gg_isa_usable(isa)) {
        isa--;
    }
    return &tables[isa];
}

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

/* Room for an output row of each query, and for those that it works on at once another. */
int64_t gg_attention_tmp(int kv_type, int64_t d_k, int64_t d_v) {
    const int64_t floats = kv_type == GG_TYPE_Q8_0 ? GG_SPLIT * (d_k + d_v) : 0;
    return gg_attention_rows() * ((d_v + 15) / 16 * 16) + floats;
}
