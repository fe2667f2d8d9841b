/* What the machine allows: bytes read a second, multiply-adds a second, and the time of a barrier of all threads.
 *
 * The loops of the arithmetic are assembler, so that no compiler can join, reorder or drop their instructions: twelve chains
 * that do not depend on each other, which is enough for two units with a latency of five, and that many registers every
 * instruction set has to spare. They are those of the kernels of the instruction set they stand for. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/pool.h"
#include "base/ticks.h"
#include "cpu/isa.h"

enum {
    ROUNDS = 5,            /* the best one counts */
    TURNS = 1 << 20,       /* of an arithmetic loop: some milliseconds */
    BARRIERS = 2000,
    HUGE_PAGE = 2 << 20,
};
static const int64_t READ_BYTES = (int64_t)64 << 20; /* that all threads read in a round, at least */

/* Four loads a turn, of vectors of so many bytes, in the order of their addresses and into four sums that do not depend on each
 * other. Eight a turn, which gcc joins in pairs 0 and 4, 1 and 5 ..., come at 0.7 of the speed: the prefetcher wants order. */
#define READ(name, target, bytes)                                                                                        \
    target static uint64_t name(const uint8_t *p, int64_t n) {                                                           \
        typedef uint64_t vec __attribute__((vector_size(bytes)));                                                        \
        vec sum[4] = {{0}, {0}, {0}, {0}};                                                                               \
        for (const uint8_t *end = p + n; p < end; p += 4 * (bytes)) {                                                    \
            const vec *v = (const vec *)(const void *)p;                                                                 \
            sum[0] |= v[0];                                                                                              \
            sum[1] |= v[1];                                                                                              \
            sum[2] |= v[2];                                                                                              \
            sum[3] |= v[3];                                                                                              \
        }                                                                                                                \
        sum[0] |= sum[1] | sum[2] | sum[3];                                                                              \
        return sum[0][0] | sum[0][1];                                                                                    \
    }

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

#if defined(__x86_64__)
#define XMM_CLOBBERED                                                                                                    \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",   \
        "xmm14", "cc"
/* Registers 0 to 11 are the sums, 12 and 13 the factors, 14 is for a product. */
#define LOOP(name, zero, chain, end)                                                                                     \
    static void name(int64_t turns) {                                                                                    \
        __asm__ volatile(TWELVE(zero) zero(12) zero(13) "1:\n\t" TWELVE(chain) "dec %0\n\tjnz 1b\n\t" end                \
                         : "+r"(turns)                                                                                   \
                         :                                                                                               \
                         : XMM_CLOBBERED);                                                                               \
    }
#define SSE_ZERO(r) "xorps %%xmm" #r ", %%xmm" #r "\n\t"
#define SSE_F32(r) "movaps %%xmm12, %%xmm14\n\tmulps %%xmm13, %%xmm14\n\taddps %%xmm14, %%xmm" #r "\n\t"
#define SSE_INT8(r) "movdqa %%xmm12, %%xmm14\n\tpmaddwd %%xmm13, %%xmm14\n\tpaddd %%xmm14, %%xmm" #r "\n\t"
#define AVX_ZERO(r) "vxorps %%ymm" #r ", %%ymm" #r ", %%ymm" #r "\n\t"
#define AVX2_F32(r) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" #r "\n\t"
#define AVX2_INT8(r)                                                                                                     \
    "vpmaddubsw %%ymm12, %%ymm13, %%ymm14\n\tvpmaddwd %%ymm12, %%ymm14, %%ymm14\n\tvpaddd %%ymm14, %%ymm" #r ", %%ymm" #r \
    "\n\t"
#define AVXVNNI_INT8(r) "%{vex%} vpdpbusd %%ymm12, %%ymm13, %%ymm" #r "\n\t"
#define AVX512_F32(r) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" #r "\n\t"
#define AVX512_INT8(r) "vpdpbusd %%zmm12, %%zmm13, %%zmm" #r "\n\t"
READ(read_sse, , 16)
READ(read_avx2, __attribute__((target("avx2"))), 32)
READ(read_avx512, __attribute__((target("avx512f"))), 64)
LOOP(f32_sse, SSE_ZERO, SSE_F32, "")
LOOP(int8_sse, SSE_ZERO, SSE_INT8, "")
LOOP(f32_avx2, AVX_ZERO, AVX2_F32, "vzeroupper")
LOOP(int8_avx2, AVX_ZERO, AVX2_INT8, "vzeroupper")
#ifdef GG_HAVE_AVXVNNI /* the assembler knows it too */
LOOP(int8_avxvnni, AVX_ZERO, AVXVNNI_INT8, "vzeroupper")
const gg_loops gg_loops_avxvnni = {read_avx2, f32_avx2, 16, int8_avxvnni, 64};
#endif
LOOP(f32_avx512, AVX_ZERO, AVX512_F32, "vzeroupper")
LOOP(int8_avx512, AVX_ZERO, AVX512_INT8, "vzeroupper")

const gg_loops gg_loops_scalar = {read_sse, f32_sse, 8, int8_sse, 16}; /* what a compiler makes of plain loops */
const gg_loops gg_loops_avx2 = {read_avx2, f32_avx2, 16, int8_avx2, 64};
const gg_loops gg_loops_avx512 = {read_avx512, f32_avx512, 32, int8_avx512, 128};
#elif defined(__aarch64__)
#define LOOP(name, target, chain)                                                                                        \
    target static void name(int64_t turns) {                                                                             \
        __asm__ volatile(TWELVE(ARM_ZERO) ARM_ZERO(12) ARM_ZERO(13) "1:\n\t" TWELVE(chain) "subs %0, %0, #1\n\tb.ne 1b"  \
                         : "+r"(turns)                                                                                   \
                         :                                                                                               \
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", \
                           "cc");                                                                                        \
    }
#define ARM_ZERO(r) "movi v" #r ".4s, #0\n\t"
#define ARM_F32(r) "fmla v" #r ".4s, v12.4s, v13.4s\n\t"
#define ARM_SMULL(r) "smull v14.8h, v12.8b, v13.8b\n\tsadalp v" #r ".4s, v14.8h\n\t"
#define ARM_INT8(r) "sdot v" #r ".4s, v12.16b, v13.16b\n\t"
READ(read_neon, , 16)
LOOP(f32_neon, , ARM_F32)
LOOP(int8_plain, , ARM_SMULL)
LOOP(int8_neon, __attribute__((target("arch=armv8.2-a+dotprod"))), ARM_INT8)

const gg_loops gg_loops_scalar = {read_neon, f32_neon, 8, int8_plain, 16};
const gg_loops gg_loops_neon = {read_neon, f32_neon, 8, int8_neon, 32};
#else
const gg_loops gg_loops_scalar = {NULL, NULL, 0, NULL, 0};
#endif

typedef struct {
    gg_pool *pool;
    const gg_loops *loops;
    int kind;
    uint8_t *data; /* what all threads read, each its share */
    int64_t share, repeats;
    double least;  /* ticks of the best round, written by thread 0 */
} gg_limit_job;

static void do_round(const gg_limit_job *job, int ith) {
    static _Atomic uint64_t sink; /* keeps the loads of the reading loop */
    switch (job->kind) {
    case GG_LIMIT_READ:
        for (int64_t i = 0; i < job->repeats; i++) {
            atomic_fetch_or_explicit(&sink, job->loops->read(job->data + ith * job->share, job->share), memory_order_relaxed);
        }
        break;
    case GG_LIMIT_F32:
        job->loops->f32(TURNS);
        break;
    case GG_LIMIT_INT8:
        job->loops->int8(TURNS);
        break;
    default:
        for (int i = 1; i < BARRIERS; i++) {
            gg_pool_barrier(job->pool, ith);
        }
    }
}

static void do_rounds(void *arg, int ith) {
    gg_limit_job *job = arg;
    if (job->kind == GG_LIMIT_READ) { /* pages lie near the core that touches them first */
        memset(job->data + ith * job->share, 1, (size_t)job->share);
    }
    for (int round = 0; round < ROUNDS; round++) {
        gg_pool_barrier(job->pool, ith);
        const int64_t started = gg_ticks();
        do_round(job, ith);
        gg_pool_barrier(job->pool, ith);
        const double took = (double)(gg_ticks() - started);
        if (ith == 0 && (round == 0 || took < job->least)) {
            job->least = took;
        }
    }
}

/* Memory to read: as the weights lie, in huge pages where the system grants them. */
static void *read_memory(size_t n_bytes) {
    const size_t page = n_bytes < HUGE_PAGE ? GG_READ_STEP : HUGE_PAGE, whole = (n_bytes + page - 1) / page * page;
    void *data = aligned_alloc(page, whole);
#ifdef MADV_HUGEPAGE
    if (data != NULL && page == HUGE_PAGE) {
        (void)madvise(data, whole, MADV_HUGEPAGE); /* without them it is only slower */
    }
#endif
    return data;
}

double gg_limit(gg_pool *pool, int kind, int isa, int64_t n_bytes) {
    gg_limit_job job = {.pool = pool, .loops = gg_loops_of(isa), .kind = kind};
    const int nth = gg_pool_n_threads(pool);
    if (job.loops == NULL || job.loops->read == NULL) {
        gg_fail(GG_FAILED, "the limits of instruction set %d can't be measured here", isa);
        return -1;
    }
    if (kind < GG_LIMIT_READ || kind > GG_LIMIT_BARRIER || (kind == GG_LIMIT_READ && n_bytes < (int64_t)nth * GG_READ_STEP)) {
        gg_fail(GG_FAILED, "limit %d of %lld bytes", kind, (long long)n_bytes);
        return -1;
    }
    if (kind == GG_LIMIT_READ) {
        job.share = n_bytes / nth / GG_READ_STEP * GG_READ_STEP;
        job.repeats = READ_BYTES / (job.share * nth) + 1;
        job.data = read_memory((size_t)(job.share * nth));
        if (job.data == NULL) {
            gg_fail(GG_NO_MEMORY, "no memory for %lld bytes to read", (long long)n_bytes);
            return -1;
        }
    }
    gg_nesting nesting;
    const int status = gg_pool_take(pool, &nesting);
    if (status == GG_OK) {
        gg_pool_run(pool, nth, do_rounds, &job);
        gg_pool_give_back(pool, &nesting);
    }
    free(job.data);
    if (status != GG_OK) {
        return -1;
    }
    const double seconds = job.least * gg_tick_ns() * 1e-9;
    switch (kind) {
    case GG_LIMIT_READ:
        return (double)(job.share * nth * job.repeats) / seconds;
    case GG_LIMIT_F32:
        return GG_CHAINS * job.loops->f32_ops * (double)TURNS * nth / seconds;
    case GG_LIMIT_INT8:
        return GG_CHAINS * job.loops->int8_ops * (double)TURNS * nth / seconds;
    default:
        return seconds * 1e9 / BARRIERS;
    }
}
