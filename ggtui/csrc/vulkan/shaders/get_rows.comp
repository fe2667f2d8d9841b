// Rows by index, as f32: y(i0, i1, i2, i3) = a(i0, rows(i1, i2, i3), i2, i3).
//
// Groups go over the rows of y in one dimension, over columns in the other. Of types without blocks a thread moves one
// number, so that neighbours read and write together; of blocks it decodes a piece, see decode.glsl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"
#include "decode.glsl"

layout(constant_id = 1) const uint TYPE = 0; // of a
const bool BLOCKS = TYPE != TYPE_F32 && TYPE != TYPE_F16 && TYPE != TYPE_BF16 && TYPE != TYPE_I32;

void store(uint64_t at, vec4 a, vec4 b) {
    [[unroll]] for (uint i = 0; i < 4; i++) {
        F32(at).at[i] = a[i], F32(at).at[4 + i] = b[i];
    }
}

void main() {
    const Tensor y = step.dst, a = step.src[0], rows = step.src[1];
    const uint per_thread = BLOCKS ? PIECE : 1, n = n_rows(y);
    for (uint row = gl_WorkGroupID.y; row < n; row += gl_NumWorkGroups.y) {
        const uint i1 = row % y.ne[1], i2 = row / y.ne[1] % y.ne[2], i3 = row / y.ne[1] / y.ne[2];
        const int index = I32(row_at(rows, i2, i3, 0) + i1 * rows.nb[0]).at[0];
        if (index < 0 || index >= a.ne[1]) {
            fail();
            continue;
        }
        const uint64_t from = row_at(a, index, i2, i3), to = row_at(y, i1, i2, i3);
        for (uint i = gl_GlobalInvocationID.x; i < y.ne[0] / per_thread; i += gl_NumWorkGroups.x * GROUP) {
            if (BLOCKS) {
                vec4 w[4];
                decode(TYPE, false, from, i, w);
                const uint64_t at = to + column_of(TYPE, i) * 4;
                store(at, w[0], w[1]);
                store(at + span_of(TYPE) * 4, w[2], w[3]);
            } else {
                F32(to).at[i] = number_at(TYPE, from + i * a.nb[0]);
            }
        }
    }
}
