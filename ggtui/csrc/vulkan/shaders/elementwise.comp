// Ops that work value by value, f32: y = f(a), or y = f(a, b) with b repeated to the shape of a.
//
// Such ops wait for memory alone. Where no tensor has gaps (FLAT) value i of all of them is at index i, of a b that is
// repeated at i modulo its size, and a thread does four neighbouring values with one read of each tensor. Else values
// are found by their strides, and neighbouring threads do neighbours of a row. Groups are then a grid of columns and
// rows (ROWS), so that where a row lies is worked out once for several; short rows would leave most threads idle:
// then all values are counted through (COUNTED).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"
#include "activations.glsl"

// What is computed, as kernels/elementwise.py has it.
const uint BINARY = 0, UNARY = 1, SCALE = 2, CLAMP = 3, DIAG_MASK_INF = 4, GLU = 5;
layout(constant_id = 1) const uint KIND = 0;
layout(constant_id = 2) const uint OP = 0; // of BINARY: + - * /; of UNARY and GLU: a function of activations.glsl
const uint COUNTED = 0, FLAT = 1, ROWS = 2;
layout(constant_id = 3) const uint LAYOUT = COUNTED;

const bool HAS_B = KIND == BINARY || KIND == GLU;

layout(buffer_reference, scalar, buffer_reference_align = 16) buffer F32x4 { vec4 at[]; };

float p0, p1; // numbers of the op

// i0, i1: where in its matrix the value is
float result(float a, float b, uint i0, uint i1) {
    switch (KIND) {
    case UNARY: return activate(OP, a);
    case SCALE: return p0 * a + p1;
    case CLAMP: return a < p0 ? p0 : a > p1 ? p1 : a; // NaN stays
    case DIAG_MASK_INF: return int(i0) - int(i1) > step.params[0] ? -INFINITE : a;
    case GLU: return activate(OP, a) * b;
    }
    switch (OP) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    default: return a / b;
    }
}

// Read once: what is written might overlap them for all that the compiler knows.
Tensor y, a, b;

void without_gaps(uint first, uint stride) {
    const uint n = y.ne[0] * n_rows(y), n_b = HAS_B ? b.ne[0] * n_rows(b) : n;
    if (n % 4 == 0 && n_b % 4 == 0 && ((y.data | a.data | (HAS_B ? b.data : 0)) & 15) == 0) {
        for (uint i = first; i < n / 4; i += stride) {
            const vec4 x = F32x4(a.data).at[i];
            vec4 other = vec4(0);
            if (HAS_B) {
                other = F32x4(b.data).at[i % (n_b / 4)];
            }
            F32x4(y.data).at[i] = vec4(result(x.x, other.x, 0, 0), result(x.y, other.y, 0, 0),
                                       result(x.z, other.z, 0, 0), result(x.w, other.w, 0, 0));
        }
        return;
    }
    for (uint i = first; i < n; i += stride) {
        float other = 0;
        if (HAS_B) {
            other = F32(b.data).at[i % n_b];
        }
        F32(y.data).at[i] = result(F32(a.data).at[i], other, 0, 0);
    }
}

// Columns of a row, each `stride` behind the one before.
void row_of(uint row, uint first, uint end, uint stride) {
    const uint i1 = row % y.ne[1], outer = row / y.ne[1], i2 = outer % y.ne[2], i3 = outer / y.ne[2];
    const uint64_t to = row_at(y, i1, i2, i3), from = row_at(a, i1, i2, i3);
    const uint64_t from_b = HAS_B ? row_at(b, i1 % b.ne[1], i2 % b.ne[2], i3 % b.ne[3]) : 0;
    for (uint i0 = first; i0 < end; i0 += stride) {
        float other = 0;
        if (HAS_B) {
            other = F32(from_b + i0 % b.ne[0] * b.nb[0]).at[0];
        }
        F32(to + i0 * y.nb[0]).at[0] = result(F32(from + i0 * a.nb[0]).at[0], other, i0, i1);
    }
}

void main() {
    y = step.dst;
    a = step.src[0];
    if (HAS_B) {
        b = step.src[1];
        if (b.data == 0) { // the gate is the other half of a
            b = a;
            b.data += y.ne[0] * a.nb[0];
            b.ne[0] = y.ne[0];
        }
    }
    if (KIND == SCALE || KIND == CLAMP) {
        p0 = param_f(0);
        p1 = param_f(1);
    }
    const uint first = gl_GlobalInvocationID.x, stride = gl_NumWorkGroups.x * GROUP;
    if (LAYOUT == FLAT) {
        without_gaps(first, stride);
    } else if (LAYOUT == ROWS) {
        for (uint row = gl_WorkGroupID.y; row < n_rows(y); row += gl_NumWorkGroups.y) {
            row_of(row, first, y.ne[0], stride);
        }
    } else {
        for (uint i = first; i < y.ne[0] * n_rows(y); i += stride) {
            row_of(i / y.ne[0], i % y.ne[0], i % y.ne[0] + 1, 1);
        }
    }
}
