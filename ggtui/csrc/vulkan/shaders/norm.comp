// Norms, f32: each row of x brought to a common size, y = norm(x) * weight + bias; weight and bias may be missing.
//
//   norm      (x - mean) / sqrt(variance + eps)      (Ba et al. 2016)
//   rms_norm  x / sqrt(mean(x^2) + eps)              (Zhang and Sennrich 2019)
//   l2_norm   x / max(|x|, eps)
//
// A workgroup takes one row at a time: neighbouring threads read neighbouring values, each sums every GROUP-th of
// them, and the sums are added up as a tree. It reads the row anew for each pass; from the second on it lies in the
// cache. A thread reads back only what it writes itself, so y may be x.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"
#include "group.glsl"

layout(constant_id = 1) const uint OP = 0;
const uint NORM = 0, RMS_NORM = 1;

// So many values are added up before they are added to the others: the error grows with the two counts, not with their
// product.
const uint RUN = 32;

// Of the values x - shift of a row the sum and the sum of squares.
vec2 sums(F32 row, uint apart, uint n, float shift) {
    vec2 all = vec2(0);
    for (uint i = gl_LocalInvocationID.x; i < n;) {
        vec2 run = vec2(0);
        for (const uint end = n - i > RUN * GROUP ? i + RUN * GROUP : n; i < end; i += GROUP) {
            const float value = row.at[i * apart] - shift;
            run += vec2(value, value * value);
        }
        all += run;
    }
    return all;
}

void main() {
    const Tensor y = step.dst, x = step.src[0], weight = step.src[1], bias = step.src[2];
    const uint n = x.ne[0], apart = uint(x.nb[0] / 4);
    const float eps = param_f(0);
    EACH_ROW(x) {
        F32 from = F32(row_at(x, i1, i2, i3)), to = F32(row_at(y, i1, i2, i3));
        float mean = 0, rest = 0, factor;
        if (OP == NORM) {
            mean = group_sum(sums(from, apart, n, 0).x) / n;
            const vec2 centred = sums(from, apart, n, mean);
            rest = group_sum(centred.x) / n; // what rounding left of the mean: much where values lie far from 0
            factor = inversesqrt(group_sum(centred.y) / n - rest * rest + eps);
        } else {
            const float squares = group_sum(sums(from, apart, n, 0).y);
            factor = OP == RMS_NORM ? inversesqrt(squares / n + eps) : 1 / max(sqrt(squares), eps);
        }
        for (uint i = gl_LocalInvocationID.x; i < n; i += GROUP) {
            float value = (from.at[i * apart] - mean - rest) * factor;
            if (weight.data != 0) value *= F32(weight.data).at[i];
            if (bias.data != 0) value += F32(bias.data).at[i];
            to.at[i] = value;
        }
    }
}
