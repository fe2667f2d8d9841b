/* Values of any type to floats and back: the table of codecs, with those of the float types. */
#include "codec/codec.h"

#include <string.h>

#include "base/error.h"
#include "codec/blocks.h"
#include "codec/f16.h"
#include "codec/types.h"

static void read_f32(int64_t n, const void *src, float *dst) { memcpy(dst, src, (size_t)n * sizeof(float)); }
static int64_t write_f32(int64_t n, const float *src, void *dst) { return memcpy(dst, src, (size_t)n * sizeof(float)), -1; }

#define FLOAT16(name)                                                                                                    \
    static void read_##name(int64_t n, const void *src, float *dst) {                                                    \
        const gg_f16 *x = src;                                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                                \
            dst[i] = gg_##name##_to_f32(x[i]);                                                                           \
        }                                                                                                                \
    }                                                                                                                    \
    static int64_t write_##name(int64_t n, const float *src, void *dst) {                                                \
        gg_f16 *y = dst;                                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                                                \
            y[i] = gg_f32_to_##name(src[i]);                                                                             \
        }                                                                                                                \
        return -1;                                                                                                       \
    }
FLOAT16(f16)
FLOAT16(bf16)

static const gg_codec codec_f32 = {read_f32, write_f32}, codec_f16 = {read_f16, write_f16}, codec_bf16 = {read_bf16, write_bf16};

static const struct {
    int type;
    const gg_codec *codec;
} codecs[] = {
    {GG_TYPE_F32, &codec_f32},         {GG_TYPE_F16, &codec_f16},         {GG_TYPE_BF16, &codec_bf16},
    {GG_TYPE_Q4_0, &gg_codec_q4_0},    {GG_TYPE_Q4_1, &gg_codec_q4_1},    {GG_TYPE_Q5_0, &gg_codec_q5_0},
    {GG_TYPE_Q5_1, &gg_codec_q5_1},    {GG_TYPE_Q8_0, &gg_codec_q8_0},    {GG_TYPE_Q2_K, &gg_codec_q2_k},
    {GG_TYPE_Q3_K, &gg_codec_q3_k},    {GG_TYPE_Q4_K, &gg_codec_q4_k},    {GG_TYPE_Q5_K, &gg_codec_q5_k},
    {GG_TYPE_Q6_K, &gg_codec_q6_k},    {GG_TYPE_IQ4_NL, &gg_codec_iq4_nl}, {GG_TYPE_IQ4_XS, &gg_codec_iq4_xs},
};

static const gg_codec *codec_of(int type) {
    for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
        if (codecs[i].type == type) {
            return codecs[i].codec;
        }
    }
    return NULL;
}

static int refuse(const char *what, int type) {
    const gg_type_info *info = gg_type_info_of(type);
    return info ? gg_fail(GG_FAILED, "%s: not possible for type %s", what, info->name)
                : gg_fail(GG_FAILED, "%s: unknown type %d", what, type);
}

int gg_dequantize(int type, int64_t n, const void *src, float *dst) {
    const gg_codec *codec = codec_of(type);
    if (codec == NULL) {
        return refuse("dequantize", type);
    }
    codec->read(n, src, dst);
    return GG_OK;
}

int gg_quantize(int type, int64_t n, const float *src, void *dst) {
    const gg_codec *codec = codec_of(type);
    if (codec == NULL) {
        return refuse("quantize", type);
    }
    const int64_t bad = codec->write(n, src, dst);
    if (bad >= 0) {
        const gg_type_info *info = gg_type_info_of(type);
        const long long first = (long long)bad * info->block, last = first + info->block - 1;
        return gg_fail(GG_FAILED, "%s: values %lld to %lld are NaN, infinite or too large", info->name, first, last);
    }
    return GG_OK;
}
