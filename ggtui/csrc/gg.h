/* Everything of the runtime that Python sees. C includes this file, cffi parses it.
 *
 * Python describes a graph and lowers it to an array of gg_step; C runs that array. A step is one loop over data: an op,
 * or a part of a fused op. Steps carry their tensors by value, so a run touches nothing of Python's. */
#ifndef GG_H
#define GG_H
/* cffi: skip */
#include <stddef.h>
#include <stdint.h>

#include "base/exact_math.h"
/* cffi: end */

#define GG_MAX_DIMS 4
#define GG_MAX_SRC 6
#define GG_MAX_PARAMS 14
#define GG_TILE 32
#define GG_PAGE 64 /* positions of keys and values that lie together */

/* What a call came to; gg_last_error() has the sentence that goes with it. */
enum gg_status {
    GG_OK = 0,
    GG_FAILED = 1,    /* bad data met in the run, e.g. a row index out of range */
    GG_STOPPED = 2,   /* gg_plan_stop was called */
    GG_CUSTOM = 3,    /* a function of Python's that C called raised; Python holds its exception */
    GG_NO_MEMORY = 4,
    GG_NO_THREAD = 5,
    GG_LOST = 7,      /* a device that graphs run on is gone */
    GG_TOLD = 6,      /* done, and of a run that was recorded n_asked or n_dropped say more */
};

/* Lets the system have what is free of the heap, of every thread's part of it. Does nothing where that can't be asked for. */
void gg_trim_heap(void);

/* ---- tables: the rows of types.def and ops.def ---- */
typedef struct {
    const char *name;
    int32_t id;     /* GGUF's number */
    int32_t block;  /* weights a block */
    int32_t bytes;  /* bytes a block */
    int32_t file;   /* may stand in a model file */
    int32_t head;   /* bytes a row begins with, before its blocks; only types of one's own have them */
} gg_type_info;
int gg_n_types(void);
const gg_type_info *gg_type_at(int i);
int gg_n_ops(void);
const char *gg_op_name(int op);
int gg_op_moves_data(int op);

/* ---- instruction sets, those of every machine, of one machine best last ---- */
int gg_n_isas(void);
const char *gg_isa_name(int isa); /* or NULL */
int gg_isa_base(int isa);         /* the set whose kernels it has but for those of its own; -1 for the plainest */
int gg_isa_compiled(int isa);     /* is a part of this build */
int gg_isa_usable(int isa);       /* and this processor has it */

const char *gg_last_error(void);  /* of the calling thread; "" when there was none */

/* ---- data of a type ---- */
/* n values; n is a multiple of the type's block. Return a gg_status. */
int gg_dequantize(int type, int64_t n, const void *src, float *dst);
int gg_quantize(int type, int64_t n, const float *src, void *dst);
/* A packed matrix holds its rows in tiles of GG_TILE, the last one filled up with zero rows: rounded-up ne1 x row bytes.
 * Float types: [tile][k][row]. Block types: [tile][block][half of the tile's rows], and in it for each field of the block (scale,
 * quants ...) the field of all 16 rows: 2-byte fields row by row, longer ones in strips, 4 bytes of each row. First come
 * 2-byte fields, then other scales, then for each 32 weights their highest bits and their lower ones. Nibbles lie as in Q4_0;
 * bit i, or bits 2i and 2i + 1, of byte j belong to weight 4i + j (of 2-bit fields two such strips hold 32 weights). Q8_0's
 * quants and Q6_K's scales are stored + 128. */
int gg_pack(int type, int64_t ne0, int64_t ne1, const void *src, void *dst);
int gg_packable(int type);
/* The rows that were packed, as they were: blocks whose bytes have a meaning each come back to the bit. */
int gg_unpack(int type, int64_t ne0, int64_t ne1, const void *packed, void *dst);
/* Row i1 of a packed matrix, as floats. */
int gg_unpack_row(int type, int64_t ne0, int64_t i1, const void *packed, float *dst);

/* ---- types of one's own: ids from GG_OWN_TYPE on; Python decodes them ---- */
#define GG_OWN_TYPE 1000
/* Adds a type; returns its id, or -1, see gg_last_error(). */
int gg_add_type(const char *name, int block, int bytes, int head);
int gg_n_own_types(void);
/* n_rows rows of ne0 values that follow each other, as floats. Called from any thread, with the plan's `user`; 0, or anything
 * else for failed. */
typedef int (*gg_decode_fn)(void *user, int type, int64_t ne0, int64_t n_rows, const void *src, float *dst);
void gg_set_decode(gg_decode_fn fn);

/* ---- plans ---- */
typedef struct {
    void *data;          /* an address, or with `own` set an offset into each thread's own scratch */
    int64_t ne[4];       /* elements, ne[0] the row */
    int64_t nb[4];       /* bytes from one element to the next along each dimension */
    int32_t type;        /* id of types.def */
    int16_t packed;      /* rows lie in tiles of GG_TILE, see gg_pack; nb[1] is the bytes of one row all the same */
    int16_t own;
} gg_tensor;

typedef union {
    int32_t i;
    float f;
} gg_param;

enum gg_step_flags {
    GG_BARRIER = 1, /* before this step, threads wait for all others */
    GG_EVERY = 2,   /* every thread does the whole step, into its own scratch */
    GG_BY_HEAD = 4, /* attention: k and v were stored with no barrier since, head by head. Where threads have as many heads
                       each, every thread takes those that it stored; else threads wait for all others before this step */
};

typedef struct {
    gg_tensor dst;
    gg_tensor src[GG_MAX_SRC]; /* an absent source has data = NULL and own = 0 */
    gg_param params[GG_MAX_PARAMS];
    void *shared;    /* the plan sets it: memory that all threads have in the step, or NULL where the op wants none */
    int32_t op;
    int32_t flags;
    int32_t node;    /* index of the graph's node */
    int32_t unused;
} gg_step;

/* Before a run, the value of a run-time variable (n_tokens, n_kv, ...) is written to every place that depends on it. */
enum gg_patch_place { GG_PATCH_NE = 0, GG_PATCH_PARAM = 1 };
typedef struct {
    int32_t step;
    int32_t tensor;  /* -1 is dst, else the index in src */
    int32_t place;   /* of enum gg_patch_place */
    int32_t index;   /* dimension of ne, or index in params */
    int32_t var;
    int32_t unused;
} gg_patch;

/* One step of one thread, in ticks (see gg_tick_source): it worked until `end` and then, where a barrier comes before the next step,
 * waited until `done`. Its work began when the step before it was done. The first record is of waking up: `end` is when the
 * caller asked, `done` when the thread began; the one after it is of step 0, and so on. A thread that rested has the first one alone,
 * whose `done` is the end of the run. */
typedef struct {
    int64_t end;
    int64_t done;
} gg_record;

/* What the system said of a thread at the end of the last run, where it was asked: it is asked where the last time is long ago, or
 * the run took long. */
typedef struct {
    int64_t span; /* nanoseconds since the time before; 0: it was not asked */
    int64_t lost; /* how many of them the thread was not scheduled, though it did not sleep */
} gg_scheduled;

/* All records of one step on one thread added up, in ticks. */
typedef struct {
    int64_t count;
    int64_t work;      /* start to end */
    int64_t least;     /* shortest and longest work */
    int64_t most;
    int64_t wait;      /* end to done */
    double work_squared;
} gg_total;

/* What runs fill, made beforehand: a ring with places for n_runs of them, so that next to nothing is done with the records while
 * a token is waited for. Who takes records sets n back to 0 and has other memory filled. Where there are totals and all places are
 * filled, each thread adds its records to them before the next run begins anew at the first place, but those of runs that failed or
 * took over GG_DISTURBED times as long as runs of their size do; and only one of `one_of` runs is recorded, but each that takes at least `longest`: stamps then cost next to nothing. */
typedef struct {
    gg_record *records;      /* [n_runs][n_threads][capacity] */
    int64_t *n_records;      /* [n_runs][n_threads]; 0 of a run that totals are to be without */
    int64_t *n_dropped;      /* [n_threads], of the last run: there was no room */
    gg_total *totals;        /* [n_threads][capacity] or NULL; the first one is that of waking up */
    gg_scheduled *scheduled; /* [n_threads] or NULL */
    int64_t n_threads, capacity, n_runs;
    int64_t n;               /* places that are filled: the last run that was recorded is at n - 1 */
    int64_t one_of, longest; /* ticks */
    int64_t n_passed;        /* runs since the last one that was recorded */
    int64_t every;           /* ticks after which the system is asked again */
    int64_t n_asked;         /* threads about which it was asked in the last run */
    int64_t typical;         /* ticks that half of the runs take longer than, */
    int64_t typical_size;    /* those of this size */
    int64_t n_disturbed;     /* runs that totals leave out */
} gg_trace;

typedef struct gg_pool gg_pool;
typedef struct gg_plan gg_plan;

/* n_threads counts the caller, who works as thread 0. NULL on failure, see gg_last_error(). A pool does not survive a
 * fork, and must not be freed during a run. */
gg_pool *gg_pool_new(int n_threads);
void gg_pool_free(gg_pool *pool);
/* From now on some threads may rest in runs that are faster without them, since other programs use the cores. Before the first run. */
void gg_pool_let_rest(gg_pool *pool);

/* Copies steps and patches. own_bytes: what the tensors with `own` set need in each thread. user: handed to functions of
 * Python's that a run calls. NULL on failure. */
gg_plan *gg_plan_new(const gg_step *steps, int n_steps, const gg_patch *patches, int n_patches, int64_t own_bytes, int isa,
                     void *user);
void gg_plan_free(gg_plan *plan);
/* Runs the first n_steps steps, all where that is negative, on the pool's threads with the given run-time variables; some may rest, see gg_pool_let_rest. Runs of one `size`, any
 * number, are taken to be about equally long. trace may be NULL. Returns a gg_status.
 * One run of a pool at a time; a second one waits, but for one that a function of the run itself asks for: it is refused. */
int gg_plan_run(gg_plan *plan, gg_pool *pool, const int64_t *vars, int64_t size, int n_steps, gg_trace *trace);
/* Adds all runs that are not yet in the totals; to be called before they are read, and not during a run. */
void gg_trace_finish(gg_trace *trace);
/* Makes the run under way (or the next one) end at the next step; may be called from any thread. */
void gg_plan_stop(gg_plan *plan);
/* Takes back a stop that came too late for the run it was meant for. Only while no run is under way. */
void gg_plan_forget_stop(gg_plan *plan);
int64_t gg_plan_scratch(const gg_plan *plan); /* bytes of scratch a thread */
int64_t gg_plan_shared(const gg_plan *plan);  /* and of what all threads have */

const char *gg_tick_source(void); /* the clock that ticks come from, in words */
double gg_tick_ns(void); /* nanoseconds a tick, calibrated once */
int64_t gg_ask_every(void); /* ticks after which the system is asked about a thread again */
double gg_stamp_ns(int fenced); /* nanoseconds that a stamp takes, measured now; those after a wait are fenced */

/* Called for every map_custom step by every thread, with the plan's `user`; returns 0, or 1 when the function raised. */
typedef int (*gg_map_custom_fn)(void *user, void *step, int ith, int nth);
void gg_set_map_custom(gg_map_custom_fn fn);

/* ---- what the machine allows the threads of a pool together ---- */
enum gg_limit_kind {
    GG_LIMIT_READ = 0,    /* bytes a second, reading n_bytes over and over */
    GG_LIMIT_F32 = 1,     /* operations a second, a multiply-add counting as two */
    GG_LIMIT_INT8 = 2,    /* the same for products of 8-bit integers */
    GG_LIMIT_BARRIER = 3, /* nanoseconds of one barrier of all threads */
};
/* With the widest instructions of an instruction set. n_bytes is for GG_LIMIT_READ alone. Negative on failure. */
double gg_limit(gg_pool *pool, int kind, int isa, int64_t n_bytes);

/* ---- vocabularies: see core/texts.py and core/tokenizer.py ---- */
#define GG_TEXT_LENGTH 8 /* bytes of the length before a text of a model file */
/* Looks for n texts, each GG_TEXT_LENGTH bytes of its length and then as many of its own. Returns how many there are before the
 * first that ends beyond n_bytes or is longer than `longest`; text i is at [ends[i] + GG_TEXT_LENGTH, ends[i + 1]). */
int64_t gg_find_texts(const uint8_t *data, int64_t n_bytes, int64_t n, int64_t longest, int64_t *ends);

/* A vocabulary of byte-level BPE: its tokens and merges as gg_find_texts has found them, and what is made of them. Nothing
 * is made of parts that don't fit together; then `problem` says what is the matter, and `at` with which part. */
enum gg_vocabulary_problem {
    GG_SOUND = 0,
    GG_REPEATED_TOKEN = 1, /* the first token that is there more than once */
    GG_MISSING_BYTE = 2,   /* the first byte of printable ASCII that no normal token stands for */
    GG_UNKNOWN_PART = 3,   /* the first merge of which a part, or the whole, is no normal token */
    GG_REPEATED_MERGE = 4, /* the first merge that is there more than once */
};
typedef struct {
    int64_t n_tokens, n_merges;
    const uint8_t *tokens, *merges;              /* their texts */
    const int64_t *token_ends, *merge_ends;
    uint8_t *normal;                             /* [n_tokens] whether it is in the printable alphabet; cleared where not */
    const int16_t *byte_of;                      /* [n_codes] the byte of a character by its code point, or -1 */
    int64_t n_codes;
    uint64_t key;                                /* of the hashes: secret, so that nobody can make texts collide */
    uint8_t *bytes;                              /* of each normal token, and the text of the others; room as for their texts */
    int64_t *byte_ends;                          /* [n_tokens + 1] */
    int32_t *ranked;                             /* [256 + n_merges] the ids of the bytes, then of what the merges make */
    int64_t n_ranked;
    int32_t problem;
    int64_t at;
} gg_vocabulary;
/* Returns a gg_status, GG_OK also where there is a problem. */
int gg_read_vocabulary(gg_vocabulary *v);

/* A vocabulary of characters that are merged by scores. */
typedef struct gg_merger gg_merger;
enum gg_merge_pieces {
    GG_WHOLE = 0,    /* a text is one piece */
    GG_BY_WORDS = 1, /* a piece begins with its spaces (U+2581) */
    GG_BY_LINES = 2, /* line feeds and what lies between them are pieces */
};
/* n tokens as gg_find_texts has found them, which must live as long as the merger, as must their scores. merged: [n] whether a token
 * is made by merging; *repeated: the first of those that is equal to one before, or -1. key: as of gg_vocabulary. NULL on failure,
 * see gg_last_error(). */
gg_merger *gg_merger_new(int64_t n, const uint8_t *tokens, const int64_t *ends, const uint8_t *merged, const double *scores,
                         int split, uint64_t key, int64_t *repeated);
void gg_merger_free(gg_merger *merger);
/* The tokens of n bytes of UTF-8, at most n of them; a byte b that is in no token gives -1 - b. Returns how many, or -1. */
int64_t gg_merge(const gg_merger *merger, int64_t n, const uint8_t *text, int32_t *ids);

/* ---- choosing the next token: see core/sampler.py ---- */
typedef struct {
    int64_t n_vocab;       /* logits */
    int64_t top_k;         /* 0 is off */
    double temp;           /* 0 takes the likeliest */
    double top_p;          /* 1 is off */
    double min_p;          /* 0 is off */
    double repeat_penalty;
    void *work;            /* gg_sample_room(n_vocab) bytes, aligned to 8 */
} gg_sampler;
int64_t gg_sample_room(int64_t n_vocab);
/* One token to be chosen, of logits that stay as they are. */
typedef struct {
    const gg_sampler *sampler;
    const float *logits;   /* [n_vocab] */
    const int64_t *recent; /* [n_recent], the tokens that the penalty concerns, each of them below n_vocab */
    int64_t n_recent;
    double random; /* from 0 to below 1 */
    /* what comes out */
    int status;      /* a gg_status: GG_FAILED for a NaN, or where the largest is infinite */
    int32_t token;
    double logprob; /* under the model itself */
} gg_draw;
/* Chooses n of them, a thread of the pool each; without a pool, or alone, in the caller's. No two may have the same sampler.
 * Returns GG_OK, or what kept the pool from running; then nothing was chosen. */
int gg_sample(gg_pool *pool, int64_t n, gg_draw *draws);
/* The k likeliest of n and their log-probabilities, likeliest first, of equals the lower one; k <= n. Returns a gg_status as
 * a draw has. */
int gg_top(int64_t n, const float *logits, int64_t k, void *work, int32_t *tokens, double *logprobs);

/* ---- one kernel at a time, for measurements and tests: see cpu/kernels/kernels.h ---- */
/* Kernels over rows by number: those of kernels.def and the unary ops. */
int gg_n_row_kernels(void);
const char *gg_row_kernel_name(int kernel);
/* y from a, b, c and the numbers s and t, as kernels.def says; of a unary op y = f(a). */
int gg_call_row(int isa, int kernel, int64_t n, void *y, const void *a, const void *b, const float *c, float s, float t);
/* Columns of x (n_cols, x_nb bytes apart: f32, or q8_a for block types) times n_rows rows of a packed matrix. bias and
 * residual may be NULL; act is a unary op or none. */
int gg_call_mul_mat(int isa, int type, int64_t k, int64_t n_rows, const void *packed, int64_t n_cols, const void *x,
                    int64_t x_nb, float *y, int64_t y_nb, const float *bias, int act, const float *residual,
                    int64_t residual_nb);
int gg_call_attention(int isa, int kv_type, int64_t d_k, int64_t d_v, int64_t n_kv, int64_t n_q, const float *q,
                      int64_t q_nb, const void *k, const void *v, int64_t v_nb, float scale, const float *mask,
                      int64_t mask_nb, float slope, const float *sink, int causal, int64_t first, float *out,
                      int64_t out_nb);
#endif
