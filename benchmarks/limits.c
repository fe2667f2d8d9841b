/* What this machine allows: bytes read from memory a second, 8-bit and f32 multiply-adds a second, for 1..n threads.
 *
 *   gcc -O2 -march=native -pthread limits.c -o limits && ./limits [threads]
 *
 * The twelve accumulators of each peak loop are twelve asm operands, so that no compiler can join or reorder them:
 * a loop is twelve vector instructions, an add and a branch. Prints one line of JSON. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MAX_THREADS = 64 };
static const size_t BUFFER = (size_t)256 << 20; /* a thread: far beyond the caches */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    int kind; /* 0 read, 1 int8, 2 f32 */
    uint8_t *buffer;
    double work; /* bytes or multiply-adds */
    double started, ended; /* by the thread's own clock: who waits for it may be told late */
    pthread_barrier_t *barrier;
} job;

#if defined(__AVX512F__)
typedef __m512i vec;
#define REG "zmm"
#else
typedef __m256i vec;
#define REG "ymm"
#endif

static double read_bytes(const uint8_t *p, size_t n) {
    vec a, b, c, d;
    memset(&a, 0, sizeof a);
    b = c = d = a;
    for (const uint8_t *end = p + n; p < end; p += 4 * sizeof(vec)) {
        a |= *(const vec *)p;
        b |= *(const vec *)(p + sizeof(vec));
        c |= *(const vec *)(p + 2 * sizeof(vec));
        d |= *(const vec *)(p + 3 * sizeof(vec));
    }
    a |= b | c | d;
    __asm__ volatile("" ::"v"(a));
    return (double)n;
}

#define TWELVE(instruction)                                                                                            \
    for (long i = 0; i < n; i++) {                                                                                     \
        __asm__ volatile(instruction(0) instruction(1) instruction(2) instruction(3) instruction(4) instruction(5)     \
                             instruction(6) instruction(7) instruction(8) instruction(9) instruction(10)               \
                                 instruction(11)::                                                                     \
                                     : REG "0", REG "1", REG "2", REG "3", REG "4", REG "5", REG "6", REG "7",         \
                                       REG "8", REG "9", REG "10", REG "11");                                          \
    }
#define FMA(r) "vfmadd231ps %%" REG "12, %%" REG "13, %%" REG #r "\n\t"
#if defined(__AVX512VNNI__)
#define DOT(r) "vpdpbusd %%" REG "12, %%" REG "13, %%" REG #r "\n\t"
#define DOT_OPS 1
#else
#define DOT(r) "vpmaddubsw %%" REG "12, %%" REG "13, %%" REG #r "\n\t" /* and two more in practice */
#define DOT_OPS 3
#endif

static double int8_peak(long n) {
    __asm__ volatile("vpxor %%ymm12, %%ymm12, %%ymm12\n\tvpxor %%ymm13, %%ymm13, %%ymm13" ::: "ymm12", "ymm13");
    TWELVE(DOT)
    return (double)n * 12 * sizeof(vec) / DOT_OPS;
}

static double f32_peak(long n) {
    __asm__ volatile("vxorps %%ymm12, %%ymm12, %%ymm12\n\tvxorps %%ymm13, %%ymm13, %%ymm13" ::: "ymm12", "ymm13");
    TWELVE(FMA)
    return (double)n * 12 * (double)(sizeof(vec) / 4);
}

static void *work(void *arg) {
    job *j = arg;
    if (j->kind == 0) memset(j->buffer, 1, BUFFER);
    pthread_barrier_wait(j->barrier);
    j->started = now();
    j->work = j->kind == 0 ? read_bytes(j->buffer, BUFFER) : j->kind == 1 ? int8_peak(40000000) : f32_peak(40000000);
    j->ended = now();
    return NULL;
}

static double rate(int kind, int threads, uint8_t **buffers) {
    pthread_t t[MAX_THREADS];
    job jobs[MAX_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        jobs[i] = (job){kind, buffers[i], 0, 0, 0, &barrier};
        pthread_create(&t[i], NULL, work, &jobs[i]);
    }
    double total = 0, started = 0, ended = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(t[i], NULL);
        total += jobs[i].work;
        started = i == 0 || jobs[i].started < started ? jobs[i].started : started;
        ended = i == 0 || jobs[i].ended > ended ? jobs[i].ended : ended;
    }
    pthread_barrier_destroy(&barrier);
    return total / (ended - started);
}

int main(int argc, char **argv) {
    const int most = argc > 1 ? atoi(argv[1]) : 2;
    if (most < 1 || most > MAX_THREADS) return 2;
    uint8_t *buffers[MAX_THREADS];
    for (int i = 0; i < most; i++) {
        buffers[i] = aligned_alloc((size_t)2 << 20, BUFFER);
        madvise(buffers[i], BUFFER, MADV_HUGEPAGE); /* as weights lie */
    }
    printf("{");
    for (int threads = 1; threads <= most; threads++) {
        double best[3] = {0, 0, 0};
        for (int round = 0; round < 3; round++)
            for (int kind = 0; kind < 3; kind++) {
                const double r = rate(kind, threads, buffers);
                if (r > best[kind]) best[kind] = r;
            }
        printf("%s\"%d\": {\"read_gb_s\": %.2f, \"int8_tops\": %.3f, \"f32_gflops\": %.1f}", threads > 1 ? ", " : "", threads,
               best[0] / 1e9, 2 * best[1] / 1e12, 2 * best[2] / 1e9);
    }
    printf("}\n");
    return 0;
}
