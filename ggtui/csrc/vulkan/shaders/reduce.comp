// Many values to one, f32: the sum of all values, or of each row its sum, its mean, or where its largest value is.
//
// A workgroup takes one row at a time, or all rows as if they were one: neighbouring threads read neighbouring values,
// each finds the result of every GROUP-th of them, and those are joined as a tree.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"
#include "group.glsl"

layout(constant_id = 1) const uint OP = 0;
const uint SUM = 0, SUM_ROWS = 1, MEAN = 2, ARGMAX = 3;

// So many values are added up before they are added to the others: the error grows with the two counts, not with their
// product.
const uint RUN = 32;

// Numbers in the order of their values; what is no number comes last, as numpy's argmax has it, and -0 is 0.
uint order(float value) {
    const uint bits = floatBitsToUint(value), size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000) return 0xFFFFFFFF;
    return bits == size || size == 0 ? size | 0x80000000 : ~bits;
}

float sum_row(F32 row, uint apart, uint n) {
    float sum = 0;
    for (uint i = gl_LocalInvocationID.x; i < n;) {
        float run = 0;
        for (const uint end = n - i > RUN * GROUP ? i + RUN * GROUP : n; i < end; i += GROUP) run += row.at[i * apart];
        sum += run;
    }
    return group_sum(sum);
}

float sum_all(Tensor a) {
    const uint rows = n_rows(a), n = a.ne[0] * rows;
    float sum = 0;
    for (uint i = gl_LocalInvocationID.x; i < n;) {
        float run = 0;
        for (const uint end = n - i > RUN * GROUP ? i + RUN * GROUP : n; i < end; i += GROUP) {
            const uint row = i / a.ne[0];
            const uint64_t at = row_at(a, row % a.ne[1], row / a.ne[1] % a.ne[2], row / a.ne[1] / a.ne[2]);
            run += F32(at + i % a.ne[0] * a.nb[0]).at[0];
        }
        sum += run;
    }
    return group_sum(sum);
}

// The first of equals: of the places where a value is the largest the one that comes first.
uint largest(F32 row, uint apart, uint n) {
    uint most = 0, at = 0;
    for (uint i = gl_LocalInvocationID.x; i < n; i += GROUP) {
        const uint value = order(row.at[i * apart]);
        if (value > most) {
            most = value;
            at = i;
        }
    }
    return ~group_max(most == group_max(most) ? ~at : 0);
}

void main() {
    const Tensor y = step.dst, a = step.src[0];
    const uint n = a.ne[0], apart = uint(a.nb[0] / 4);
    if (OP == SUM) {
        if (gl_WorkGroupID.x == 0) { // others would write the same
            const float sum = sum_all(a);
            if (gl_LocalInvocationID.x == 0) F32(y.data).at[0] = sum;
        }
        return;
    }
    EACH_ROW(a) {
        F32 values = F32(row_at(a, i1, i2, i3));
        if (OP == ARGMAX) {
            const uint at = largest(values, apart, n);
            if (gl_LocalInvocationID.x == 0) I32(y.data + i1 * y.nb[0]).at[0] = int(at);
        } else {
            const float sum = sum_row(values, apart, n);
            if (gl_LocalInvocationID.x == 0) F32(row_at(y, i1, i2, i3)).at[0] = OP == MEAN ? sum / n : sum;
        }
    }
}
