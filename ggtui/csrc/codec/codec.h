/* What a type's bytes mean: a row of the table in codec.c. */
#ifndef GG_CODEC_H
#define GG_CODEC_H
#include <stdint.h>

/* n values, a multiple of the type's block. */
typedef struct {
    void (*read)(int64_t n, const void *src, float *dst);
    int64_t (*write)(int64_t n, const float *src, void *dst); /* -1, or the first block whose scales are no f16 numbers */
} gg_codec;

extern const gg_codec gg_codec_q4_0, gg_codec_q4_1, gg_codec_q5_0, gg_codec_q5_1, gg_codec_q8_0;                 /* quants.c */
extern const gg_codec gg_codec_q2_k, gg_codec_q3_k, gg_codec_q4_k, gg_codec_q5_k, gg_codec_q6_k;                 /* quants_k.c */
extern const gg_codec gg_codec_iq4_nl, gg_codec_iq4_xs;
#endif
