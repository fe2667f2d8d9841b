/* Rotary position embedding (Su et al. 2021): pair i of each head's values is turned by an angle that grows with the
 * position, so that q . k depends on the distance of their positions alone. All heads, and all layers that turn alike,
 * share the angles: they are a step of their own. */
#include <math.h>

#include "cpu/rows.h"

enum { NEOX = 2, MROPE = 8, VISION = 24, IMROPE = 40 }; /* modes as ggml numbers them; 0 is the one of neighbours */
enum { N_SECTIONS = 4 };                                /* of the pairs, each of which may have positions of its own */

/* The parameters of a step, in their order. */
typedef struct {
    int32_t n_dims, mode;
    float freq_base, freq_scale, attn_factor, ext_factor, beta_fast, beta_slow;
    int32_t n_ctx_orig, sections[N_SECTIONS], inverse;
} angles;

static angles angles_of(const gg_step *step) {
    const gg_param *p = step->params;
    return (angles){p[0].i, p[1].i, p[2].f, p[3].f, p[4].f, p[5].f, p[6].f, p[7].f, p[8].i,
                    {p[9].i, p[10].i, p[11].i, p[12].i}, p[13].i};
}

/* The pair that turns round so many times within n_ctx_orig positions. */
static double pair_of_turns(const angles *a, double turns) {
    return a->n_dims * log(a->n_ctx_orig / (turns * 2 * M_PI)) / (2 * log(a->freq_base));
}

/* How much of pair i's frequency is kept and not scaled: 1 for those that turn often, 0 for those that seldom do (YaRN,
 * Peng et al. 2023). */
static double part_kept(const angles *a, int64_t i) {
    const double first = fmax(floor(pair_of_turns(a, a->beta_fast)), 0);
    const double last = fmin(ceil(pair_of_turns(a, a->beta_slow)), a->n_dims - 1);
    return a->ext_factor * (1 - fmin(fmax(((double)i - first) / fmax(last - first, 0.001), 0), 1));
}

/* Which section pair i belongs to; *step: the number of steps by which its frequency is below the first one's. */
static int section_of(const angles *a, int64_t i, int64_t *step) {
    *step = i;
    if (a->mode < MROPE) {
        return 0;
    }
    const int32_t *n = a->sections;
    const int64_t at = i % (n[0] + n[1] + n[2] + n[3]);
    if (a->mode == IMROPE) { // the first three take turns
        const int s = (int)(at % 3);
        return at < 3 * (int64_t)n[s] ? s : N_SECTIONS - 1;
    }
    int s = 0;
    int64_t first = 0;
    while (s < N_SECTIONS - 1 && at >= first + n[s]) {
        first += n[s++];
    }
    if (a->mode == VISION) {
        *step = at - first;
    }
    return s;
}

typedef struct {
    double freq;     /* radians a position */
    int64_t section;
} turning;

/* Of each pair. */
size_t gg_tmp_rope_angles(const gg_step *step) { return (size_t)step->dst.ne[0] / 2 * sizeof(turning); }

int gg_op_rope_angles(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (2 n_pairs, n_tokens): cosines, then sines, times attn_factor
    const gg_tensor *pos = &step->src[0]; // (n_tokens), or (n_tokens, N_SECTIONS), i32
    const gg_tensor *ff = &step->src[1];  // (n_pairs) or absent
    const angles a = angles_of(step);
    const int64_t n_pairs = dst->ne[0] / 2;
    turning *pairs = share->tmp;
    for (int64_t i = 0; i < n_pairs; i++) {
        int64_t k;
        pairs[i].section = section_of(&a, i, &k);
        const double factor = gg_present(ff) ? *(float *)((uint8_t *)gg_data(ff, share) + i * ff->nb[0]) : 1;
        const double freq = pow(a.freq_base, -2.0 * (double)k / a.n_dims) / factor;
        const double kept = a.ext_factor != 0 ? part_kept(&a, i) : 0;
        pairs[i].freq = freq * kept + freq * a.freq_scale * (1 - kept);
    }
    const double size = a.attn_factor * (a.ext_factor != 0 ? 1 + 0.1 * log(1 / (double)a.freq_scale) : 1);
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        float *c = gg_row(share, dst, gg_row_at(dst, r)), *s = c + n_pairs;
        const uint8_t *at = (uint8_t *)gg_data(pos, share) + r * pos->nb[0];
        for (int64_t i = 0; i < n_pairs; i++) {
            const double angle = pairs[i].freq * *(const int32_t *)(at + pairs[i].section * pos->nb[1]);
            c[i] = (float)(cos(angle) * size);
            s[i] = (float)(sin(a.inverse ? -angle : angle) * size);
        }
    }
    return GG_OK;
}

int gg_op_rope(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;       // (d, n_head, n_tokens, ne3)
    const gg_tensor *src = &step->src[0];    // like dst
    const gg_tensor *turns = &step->src[1];  // (2 n_pairs, n_tokens)
    const int64_t n_pairs = turns->ne[0] / 2, rest = dst->ne[0] - 2 * n_pairs;
    const bool neighbours = step->params[1].i == 0;
    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const gg_row_index at = gg_row_at(dst, r);
        float *y = gg_row(share, dst, at);
        const float *x = gg_f32_row(share, src, at, y);
        const float *c = gg_row(share, turns, (gg_row_index){at.i2, 0, 0});
        if (neighbours) {
            share->kernels->rope_neighbours(n_pairs, y, x, c, c + n_pairs);
        } else {
            share->kernels->rope_halves(n_pairs, y, x, c, c + n_pairs);
        }
        gg_gather(rest, sizeof(float), y + 2 * n_pairs, x + 2 * n_pairs, sizeof(float));
    }
    return GG_OK;
}
