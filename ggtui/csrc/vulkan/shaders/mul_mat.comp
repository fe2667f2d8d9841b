// Products with many columns, as of a prompt: y = activation(W x + bias) + residual, see product.glsl.
//
// Each weight is of use to all columns, and each x to all rows, so the time is that of the arithmetic, if both come
// from near by. A workgroup makes a tile of y, some rows by some columns. It goes along k in steps of DEPTH pieces:
// each thread decodes pieces of rows of W, or fetches them of columns of x, into shared memory, and then adds to its
// own OWN_M x OWN_N numbers of the tile, which stay in registers: with each number that it reads from shared memory it
// does 4 or 8 multiplications. The pieces of the next step are on their way from memory while this one is computed.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"
#include "product.glsl"

layout(constant_id = 5) const uint OWN_M = 4; // a thread's rows and columns, multiples of 4
layout(constant_id = 6) const uint OWN_N = 4;
layout(constant_id = 7) const uint ACROSS = 8; // threads along the rows of a tile
layout(constant_id = 8) const uint DEPTH = 1;  // pieces in a step
const uint K = DEPTH * PIECE, DOWN = GROUP / ACROSS; // threads along the columns
const uint M4 = ACROSS * OWN_M / 4, N4 = DOWN * OWN_N / 4; // rows and columns of a tile, by fours
const uint N_LOADS = (M4 + N4) * 4 * DEPTH / GROUP; // pieces that a thread fetches in a step, a whole number
const uint OWN_SUMS = OWN_M / 4 * OWN_N;

// By k, then by fours of rows or columns: what neighbouring threads write lies together, and what they read does too.
shared vec4 w_tile[K * M4];
shared vec4 x_tile[K * N4];

vec4 sums[N_WEIGHTS * OWN_SUMS]; // four rows of one column each
vec4 fetched[N_LOADS * 4];       // of the next step

// Where a tile begins.
struct Place {
    uint row, column, i2, i3;
};

float or_zero(uint type, uint64_t row, uint i, uint n) {
    return i < n ? number_at(type, row + i * (type == TYPE_F32 ? 4 : 2)) : 0;
}

// The piece of a row that is not whole; nothing is read behind its end.
void cut_piece(uint type, uint64_t row, uint piece, uint n, out vec4 v[4]) {
    [[unroll]] for (uint i = 0; i < PIECE; i++) {
        v[i / 4][i % 4] = or_zero(type, row, piece * PIECE + i, n);
    }
}

// This thread's pieces of the step from `piece` on. Rows and columns past the last are read as the last one again.
void fetch(uint type, bool aligned, Tensor weights, Tensor x, Place place, uint piece) {
    const uint n_whole = weights.ne[0] / PIECE, rows = M4 * 4, columns = N4 * 4;
    [[unroll]] for (uint load = 0; load < N_LOADS; load++) {
        const uint slot = load * GROUP + gl_LocalInvocationID.x, other = slot - rows * DEPTH;
        vec4 v[4];
        if (slot < rows * DEPTH) {
            const uint p = piece + slot / rows, i1 = min(place.row + slot % rows, weights.ne[1] - 1);
            const uint64_t row = weights_at(weights, x, i1, place.i2, place.i3);
            if (p < n_whole) {
                decode(type, aligned, row, p, v);
            } else if (CUT) {
                cut_piece(type, row, p, weights.ne[0], v);
            } else {
                v = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
            }
        } else {
            const uint p = piece + other / columns, i1 = min(place.column + other % columns, x.ne[1] - 1);
            const uint64_t row = row_of(x, i1, place.i2, place.i3);
            if (p < n_whole) {
                x_piece(type, row, p, v);
            } else if (CUT) {
                cut_piece(TYPE_F32, row, p, x.ne[0], v);
            } else {
                v = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
            }
        }
        [[unroll]] for (uint i = 0; i < 4; i++) {
            fetched[load * 4 + i] = v[i];
        }
    }
}

void store_fetched() {
    const uint rows = M4 * 4, columns = N4 * 4;
    [[unroll]] for (uint load = 0; load < N_LOADS; load++) {
        const uint slot = load * GROUP + gl_LocalInvocationID.x, other = slot - rows * DEPTH;
        [[unroll]] for (uint i = 0; i < PIECE; i++) {
            const float v = fetched[load * 4 + i / 4][i % 4];
            if (slot < rows * DEPTH) {
                w_tile[(slot / rows * PIECE + i) * M4 + slot % rows / 4][slot % 4] = v;
            } else {
                x_tile[(other / columns * PIECE + i) * N4 + other % columns / 4][other % 4] = v;
            }
        }
    }
}

// The tile at a place, of one matrix, into the sums from `to` on.
void multiply(uint type, bool aligned, Tensor weights, Tensor x, Place place, uint to) {
    const uint n_pieces = (weights.ne[0] + PIECE - 1) / PIECE;
    const uint m = gl_LocalInvocationID.x % ACROSS, n = gl_LocalInvocationID.x / ACROSS;
    const uint n_k = place.column + n * 4 < x.ne[1] ? K : 0; // threads whose columns all lie past the last only fetch
    [[unroll]] for (uint s = 0; s < OWN_SUMS; s++) {
        sums[to + s] = vec4(0);
    }
    for (uint piece = 0; piece < n_pieces + DEPTH; piece += DEPTH) {
        const bool more = piece < n_pieces;
        if (more) {
            fetch(type, aligned, weights, x, place, piece);
        }
        for (uint k = 0; k < (piece > 0 ? n_k : 0); k++) { // of the step before
            vec4 w[OWN_M / 4];
            [[unroll]] for (uint i = 0; i < OWN_M / 4; i++) {
                w[i] = w_tile[k * M4 + i * ACROSS + m];
            }
            [[unroll]] for (uint j = 0; j < OWN_N / 4; j++) {
                const vec4 v = x_tile[k * N4 + j * DOWN + n];
                [[unroll]] for (uint i = 0; i < OWN_M / 4; i++) {
                    [[unroll]] for (uint c = 0; c < 4; c++) {
                        sums[to + i * OWN_N + j * 4 + c] += w[i] * v[c];
                    }
                }
            }
        }
        barrier();
        if (more) {
            store_fetched();
        }
        barrier();
    }
}

// Sums go back through shared memory, of each thread one column at a time, so that neighbours write what lies together.
void write_tile(Tensor weights, Tensor x, Place place) {
    const uint m = gl_LocalInvocationID.x % ACROSS, n = gl_LocalInvocationID.x / ACROSS;
    const uint rows = M4 * 4;
    for (uint own = 0; own < OWN_N; own++) {
        [[unroll]] for (uint s = 0; s < OWN_SUMS; s++) {
            if (s % OWN_N == own) {
                w_tile[n * M4 + s / OWN_N * ACROSS + m] = sums[s];
                if (GATED) {
                    x_tile[n * M4 + s / OWN_N * ACROSS + m] = sums[OWN_SUMS + s];
                }
            }
        }
        barrier();
        for (uint i = gl_LocalInvocationID.x; i < rows * DOWN; i += GROUP) {
            const uint i0 = place.row + i % rows, i1 = place.column + (own / 4 * DOWN + i / rows) * 4 + own % 4;
            if (i0 < weights.ne[1] && i1 < x.ne[1]) {
                finish(i0, i1, place.i2, place.i3, w_tile[i / 4][i % 4], GATED ? x_tile[i / 4][i % 4] : 0);
            }
        }
        barrier();
    }
}

void do_tile(Tensor weights, Tensor x, Place place) {
    multiply(TYPE, WEIGHTS_ALIGNED, weights, x, place, 0);
    if (GATED) {
        multiply(UP_TYPE, UP_ALIGNED, step.src[UP_AT], x, place, OWN_SUMS);
    }
    write_tile(weights, x, place);
}

void main() {
    const Tensor weights = step.src[WEIGHTS_AT], x = step.src[X_AT];
    const uint n_matrices = MATRICES ? x.ne[2] * x.ne[3] : 1, m = M4 * 4, n = N4 * 4;
    for (uint matrix = gl_WorkGroupID.z; matrix < n_matrices; matrix += gl_NumWorkGroups.z) {
        for (uint column = gl_WorkGroupID.y * n; column < x.ne[1]; column += gl_NumWorkGroups.y * n) {
            for (uint row = gl_WorkGroupID.x * m; row < weights.ne[1]; row += gl_NumWorkGroups.x * m) {
                do_tile(weights, x, Place(row, column, matrix % x.ne[2], matrix / x.ne[2]));
            }
        }
    }
}
