// Ops that only move values: copies to another type, layout or shape, a tensor over and over, two joined.
//
// They wait for memory alone. Values are moved as bits; those of one type, and blocks of weights as the words of two
// bytes that they are made of, unchanged. Where neither side has gaps (FLAT) element i goes to i, sixteen bytes at a
// time where the type stays. Else neighbouring threads write neighbours of a row: groups are a grid of columns and rows
// (ROWS) or, where rows are short, elements are counted through (COUNTED). Of a turned source each thread reads another
// cache line, which the groups of the next rows find in the cache.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"
#include "convert.glsl"

const uint COPY = 0, RESHAPE = 1, REPEAT = 2, CONCAT = 3; // RESHAPE: a copy between different sizes
layout(constant_id = 1) const uint OP = COPY;
layout(constant_id = 2) const uint FROM = TYPE_F32; // types; equal ones only say how large an element is
layout(constant_id = 3) const uint TO = TYPE_F32;
layout(constant_id = 4) const uint BLOCK = 1; // values that lie together
layout(constant_id = 5) const uint WORDS = 1; // elements that they are moved as
const uint COUNTED = 0, FLAT = 1, ROWS = 2;
layout(constant_id = 6) const uint LAYOUT = COUNTED;

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32 { uint at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer U32x4 { uvec4 at[]; };

uint size_of(uint type) { return type == TYPE_F32 || type == TYPE_I32 ? 4 : 2; }

// Elements of a row, and how far one is from the next.
uint row_length(Tensor t) { return t.ne[0] / BLOCK * WORDS; }
uint64_t stride_of(Tensor t) { return BLOCK == 1 ? t.nb[0] : 2; }

uint read(uint64_t at) { return size_of(FROM) == 4 ? U32(at).at[0] : uint(U16(at).at[0]); }

uint converted(uint bits) {
    if (FROM == TO) {
        return bits;
    }
    uint f = bits;
    if (FROM == TYPE_F16) {
        f = f16_to_f32(bits);
    } else if (FROM == TYPE_BF16) {
        f = bits << 16;
    } else if (FROM == TYPE_I32) {
        f = floatBitsToUint(float(int(bits)));
    }
    switch (TO) {
    case TYPE_F16: return f32_to_f16(f);
    case TYPE_BF16: return f32_to_bf16(f);
    case TYPE_I32: return uint(f32_to_i32(uintBitsToFloat(f)));
    default: return f;
    }
}

void write(uint64_t at, uint bits) {
    if (size_of(TO) == 4) {
        U32(at).at[0] = bits;
    } else {
        U16(at).at[0] = uint16_t(bits);
    }
}

// Read once: what is written might overlap them for all that the compiler knows.
Tensor y, a, b;

// Where the element comes from that goes to `to` of the result, and to its i-th in the order of all.
uint64_t source(uvec4 to, uint i) {
    if (OP == RESHAPE) {
        const uint row = i / row_length(a), outer = row / a.ne[1];
        return row_at(a, row % a.ne[1], outer % a.ne[2], outer / a.ne[2]) + i % row_length(a) * stride_of(a);
    }
    if (OP == REPEAT) {
        to = uvec4(to.x % a.ne[0], to.y % a.ne[1], to.z % a.ne[2], to.w % a.ne[3]);
    } else if (OP == CONCAT) {
        const uint dim = step.params[0], end = a.ne[dim];
        if (to[dim] >= end) {
            to[dim] -= end;
            return row_at(b, to.y, to.z, to.w) + to.x * stride_of(b);
        }
    }
    return row_at(a, to.y, to.z, to.w) + to.x * stride_of(a);
}

// Columns of a row, each `stride` behind the one before.
void row_of(uint row, uint first, uint end, uint stride) {
    const uint outer = row / y.ne[1];
    uvec4 to = uvec4(0, row % y.ne[1], outer % y.ne[2], outer / y.ne[2]);
    const uint64_t at = row_at(y, to.y, to.z, to.w);
    for (uint i0 = first; i0 < end; i0 += stride) {
        to.x = i0;
        write(at + i0 * stride_of(y), converted(read(source(to, row * row_length(y) + i0))));
    }
}

void without_gaps(uint first, uint stride) {
    const uint n = row_length(y) * n_rows(y), together = 16 / size_of(FROM);
    if (FROM == TO && n % together == 0 && ((y.data | a.data) & 15) == 0) {
        for (uint i = first; i < n / together; i += stride) {
            U32x4(y.data).at[i] = U32x4(a.data).at[i];
        }
        return;
    }
    for (uint i = first; i < n; i += stride) {
        write(y.data + uint64_t(i) * size_of(TO), converted(read(a.data + uint64_t(i) * size_of(FROM))));
    }
}

void main() {
    y = step.dst;
    a = step.src[0];
    if (OP == CONCAT) {
        b = step.src[1];
    }
    const uint n0 = row_length(y), first = gl_GlobalInvocationID.x, stride = gl_NumWorkGroups.x * GROUP;
    if (LAYOUT == FLAT) {
        without_gaps(first, stride);
    } else if (LAYOUT == ROWS) {
        for (uint row = gl_WorkGroupID.y; row < n_rows(y); row += gl_NumWorkGroups.y) {
            row_of(row, first, n0, stride);
        }
    } else {
        for (uint i = first; i < n0 * n_rows(y); i += stride) {
            row_of(i / n0, i % n0, i % n0 + 1, 1);
        }
    }
}
