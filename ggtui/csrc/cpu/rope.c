/* Rotary position embedding (Su et al., 2021): pair i of each head's values is turned by the angle
 * pos * freq_scale * freq_base^(-2i / n_dims) / ff[i], so that q . k depends on their positions' distance alone. */
#include <math.h>

#include "cpu/rows.h"

enum { NEOX = 2 };   /* the mode where pair i is (i, i + n_dims/2) and not (2i, 2i + 1) */
enum { PAIRS = 64 }; /* whose angles are held at a time; all heads of a position share them */

typedef struct {
    int64_t n_dims;
    double freq_base, freq_scale;
    float attn_factor;
    const gg_tensor *ff; // (n_dims/2) or absent
} rope;

/* cos and sin, times attn_factor, of n pairs from `first` on, at position pos */
static void angles(const rope *p, const gg_share *share, int64_t first, int64_t n, int32_t pos, float *c, float *s) {
    const uint8_t *ff = gg_present(p->ff) ? gg_data(p->ff, share) : NULL;
    const double ratio = pow(p->freq_base, -2.0 / (double)p->n_dims);
    double theta = (double)pos * p->freq_scale * pow(p->freq_base, -2.0 * (double)first / (double)p->n_dims);
    for (int64_t i = 0; i < n; i++) {
        const double angle = ff ? theta / (double)*(const float *)(ff + (first + i) * p->ff->nb[0]) : theta;
        c[i] = (float)cos(angle) * p->attn_factor;
        s[i] = (float)sin(angle) * p->attn_factor;
        theta *= ratio;
    }
}

int gg_op_rope(const gg_step *step, const gg_share *share) {
    const gg_tensor *dst = &step->dst;    // (d, n_head, n_tokens, ne3)
    const gg_tensor *src = &step->src[0]; // like dst
    const gg_tensor *pos = &step->src[1]; // (n_tokens) i32
    const rope p = {step->params[0].i, step->params[2].f, step->params[3].f, step->params[4].f, &step->src[2]};
    const bool neox = step->params[1].i == NEOX;
    const int64_t n_head = dst->ne[1], n_pairs = p.n_dims / 2;
    const int64_t near = neox ? 1 : 2, far = neox ? n_pairs : 1; // pair i is (near * i, near * i + far)
    float c[PAIRS], s[PAIRS];

    int64_t r0, r1;
    gg_split(gg_n_rows(dst), share, &r0, &r1);
    for (int64_t r = r0, end; r < r1; r = end) { // this thread's heads of one token
        end = gg_min(r1, (r / n_head + 1) * n_head);
        const uint8_t *position = (uint8_t *)gg_data(pos, share) + gg_row_at(dst, r).i2 * pos->nb[0];
        for (int64_t first = 0; first < n_pairs; first += PAIRS) {
            const int64_t n = gg_min(PAIRS, n_pairs - first);
            angles(&p, share, first, n, *(const int32_t *)position, c, s);
            for (int64_t head = r; head < end; head++) {
                const gg_row_index at = gg_row_at(dst, head);
                float *y = (float *)gg_row(share, dst, at) + first * near;
                const uint8_t *x = (uint8_t *)gg_row(share, src, at) + first * near * src->nb[0];
                for (int64_t i = 0; i < n; i++) {
                    const float x0 = *(const float *)(x + i * near * src->nb[0]);
                    const float x1 = *(const float *)(x + (i * near + far) * src->nb[0]);
                    y[i * near] = x0 * c[i] - x1 * s[i];
                    y[i * near + far] = x0 * s[i] + x1 * c[i];
                }
            }
        }
        for (int64_t head = r; head < end; head++) {
            const gg_row_index at = gg_row_at(dst, head);
            const uint8_t *x = (uint8_t *)gg_row(share, src, at) + p.n_dims * src->nb[0];
            float *y = (float *)gg_row(share, dst, at) + p.n_dims;
            gg_gather(dst->ne[0] - p.n_dims, sizeof(float), y, x, src->nb[0]);
        }
    }
    return GG_OK;
}
