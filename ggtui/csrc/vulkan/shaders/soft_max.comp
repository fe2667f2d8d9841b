// soft_max of each row, f32: y = exp(x - m) / (sum of exp(x - m) + exp(sink - m)), x = scale * a + slope * mask, with m
// the largest of a row's x and its sink, so that no exponential overflows.
//
//   mask   f32 or f16, a row for each token, repeated over heads and beyond; it may be missing, and so may the others
//   slope  of each head, ALiBi's (Press et al. 2021); else it is 1
//   sink   of each head: takes part in the sum
//
// A workgroup takes one row at a time: neighbouring threads read neighbouring values. It goes over the row three times,
// for m, for the exponentials and their sum, and to divide; after the first time the row lies in the cache. A thread
// reads back only what it writes itself, so y may be a.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"
#include "group.glsl"

layout(constant_id = 1) const uint MASK = 0; // its type
const uint NONE = 0, OF_F32 = 1, OF_F16 = 2;

#define MINUS_INFINITY uintBitsToFloat(0xFF800000)

float masked(float x, float slope, uint64_t mask, uint i) {
    if (MASK == OF_F32) x += slope * F32(mask).at[i];
    if (MASK == OF_F16) x += slope * float(F16(mask).at[i]);
    return x;
}

void main() {
    const Tensor y = step.dst, a = step.src[0], mask = step.src[1], sinks = step.src[2], slopes = step.src[3];
    const uint n = a.ne[0], apart = uint(a.nb[0] / 4);
    const float scale = param_f(0);
    EACH_ROW(a) {
        F32 from = F32(row_at(a, i1, i2, i3)), to = F32(row_at(y, i1, i2, i3));
        const uint64_t over = MASK == NONE ? 0 : row_at(mask, i1, i2 % mask.ne[2], i3 % mask.ne[3]);
        const float slope = slopes.data != 0 ? F32(slopes.data).at[i2] : 1;
        const float sink = sinks.data != 0 ? F32(sinks.data + i2 * sinks.nb[0]).at[0] : MINUS_INFINITY;

        float most = sink;
        for (uint i = gl_LocalInvocationID.x; i < n; i += GROUP) {
            most = max(most, masked(scale * from.at[i * apart], slope, over, i));
        }
        most = group_max(most);
        if (most == MINUS_INFINITY) most = 0; // else -inf - -inf; so all of them give exp(-inf) = 0

        float sum = 0;
        for (uint i = gl_LocalInvocationID.x; i < n; i += GROUP) {
            const float e = exp(masked(scale * from.at[i * apart], slope, over, i) - most);
            sum += e;
            to.at[i] = e;
        }
        sum = group_sum(sum) + exp(sink - most);
        const float share = sum == 0 ? 0 : 1 / sum;
        for (uint i = gl_LocalInvocationID.x; i < n; i += GROUP) to.at[i] *= share;
    }
}
