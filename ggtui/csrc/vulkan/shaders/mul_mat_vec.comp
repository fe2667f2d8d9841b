// Products with few columns, as of one token: y = activation(W x + bias) + residual, see product.glsl.
//
// Each weight is of use once or a few times, so the time is that of reading W. A workgroup takes ROWS rows of W, COLS
// columns of x. Neighbouring threads decode neighbouring pieces of a row, so that reads lie together, and each piece is
// decoded once for all columns; what was read of x serves all rows. Each thread has a sum for each pair of a row and a
// column. The threads of a subgroup add theirs up by shuffles, and subgroups through shared memory.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "step.glsl"
#include "product.glsl"

layout(constant_id = 5) const uint ROWS = 1;
layout(constant_id = 6) const uint COLS = 1;
const uint SUMS = ROWS * COLS;

float sums[N_WEIGHTS * SUMS];
shared float partial[N_WEIGHTS * SUMS * GROUP]; // of each sum those of the subgroups, of which there are at most GROUP

// Where the rows and columns of a workgroup begin.
struct Place {
    uint row, column, i2, i3;
};

// This thread's share of the rows of weights times the columns of x, added to the sums from `to` on. Rows and columns
// past the last are computed as the last one again, and left unwritten.
void accumulate(uint type, bool aligned, Tensor weights, Tensor x, Place place, uint to) {
    uint64_t rows[ROWS], columns[COLS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        rows[r] = weights_at(weights, x, min(place.row + r, weights.ne[1] - 1), place.i2, place.i3);
    }
    [[unroll]] for (uint c = 0; c < COLS; c++) {
        columns[c] = row_of(x, min(place.column + c, x.ne[1] - 1), place.i2, place.i3);
    }
    const uint n_pieces = weights.ne[0] / PIECE;
    for (uint piece = gl_LocalInvocationID.x; piece < n_pieces; piece += GROUP) {
        vec4 w[4 * ROWS];
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            vec4 decoded[4];
            decode(type, aligned, rows[r], piece, decoded);
            [[unroll]] for (uint i = 0; i < 4; i++) {
                w[4 * r + i] = decoded[i];
            }
        }
        [[unroll]] for (uint c = 0; c < COLS; c++) {
            vec4 v[4];
            x_piece(type, columns[c], piece, v);
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                const vec4 products = w[4 * r] * v[0] + w[4 * r + 1] * v[1] + w[4 * r + 2] * v[2] + w[4 * r + 3] * v[3];
                sums[to + c * ROWS + r] += products.x + products.y + products.z + products.w;
            }
        }
    }
    if (CUT) { // the last columns one by one
        const uint size = type == TYPE_F32 ? 4 : 2, i = n_pieces * PIECE + gl_LocalInvocationID.x;
        if (i < weights.ne[0]) { // fewer than PIECE, which GROUP is not below
            [[unroll]] for (uint s = 0; s < SUMS; s++) {
                sums[to + s] += number_at(type, rows[s % ROWS] + i * size) * F32(columns[s / ROWS]).at[i];
            }
        }
    }
}

// A sum of all subgroups.
float total(uint s) {
    float y = 0;
    for (uint i = 0; i < gl_NumSubgroups; i++) {
        y += partial[s * GROUP + i];
    }
    return y;
}

void do_rows(Tensor weights, Tensor x, Place place) {
    [[unroll]] for (uint s = 0; s < N_WEIGHTS * SUMS; s++) {
        sums[s] = 0;
    }
    accumulate(TYPE, WEIGHTS_ALIGNED, weights, x, place, 0);
    if (GATED) {
        accumulate(UP_TYPE, UP_ALIGNED, step.src[UP_AT], x, place, SUMS);
    }
    [[unroll]] for (uint s = 0; s < N_WEIGHTS * SUMS; s++) {
        const float sum = subgroupAdd(sums[s]);
        if (gl_SubgroupInvocationID == 0) {
            partial[s * GROUP + gl_SubgroupID] = sum;
        }
    }
    barrier();
    for (uint s = gl_LocalInvocationID.x; s < SUMS; s += GROUP) {
        const uint i0 = place.row + s % ROWS, i1 = place.column + s / ROWS;
        if (i0 < weights.ne[1] && i1 < x.ne[1]) {
            finish(i0, i1, place.i2, place.i3, total(s), GATED ? total(SUMS + s) : 0);
        }
    }
    barrier();
}

void main() {
    const Tensor weights = step.src[WEIGHTS_AT], x = step.src[X_AT];
    const uint n_matrices = MATRICES ? x.ne[2] * x.ne[3] : 1;
    for (uint matrix = gl_WorkGroupID.z; matrix < n_matrices; matrix += gl_NumWorkGroups.z) {
        for (uint column = gl_WorkGroupID.y * COLS; column < x.ne[1]; column += gl_NumWorkGroups.y * COLS) {
            for (uint row = gl_WorkGroupID.x * ROWS; row < weights.ne[1]; row += gl_NumWorkGroups.x * ROWS) {
                do_rows(weights, x, Place(row, column, matrix % x.ne[2], matrix / x.ne[2]));
            }
        }
    }
}
