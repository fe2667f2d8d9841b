// What both shaders of products share: their constants, x by pieces, and what follows the sums.
//
// y = activation(W x + bias) + residual; of a gate activation(W x + bias) * (up x + up_bias). A matrix of W serves as
// many of x as there are more of them. What a product lacks is known when the shader is made ready: it costs no read.
#include "decode.glsl"
#include "activations.glsl"

const uint NO_TYPE = 0xFFFFFFFF;

layout(constant_id = 1) const uint TYPE = 0;          // of the weights
layout(constant_id = 2) const uint UP_TYPE = NO_TYPE; // of up; NO_TYPE: there is none
layout(constant_id = 3) const uint ACTIVATION = NONE; // see activations.glsl
layout(constant_id = 4) const uint FLAGS = 0;         // see kernels/mul_mat.py

const bool X_ALIGNED = (FLAGS & 1) != 0, WEIGHTS_ALIGNED = (FLAGS & 2) != 0, UP_ALIGNED = (FLAGS & 4) != 0;
const bool BIAS = (FLAGS & 8) != 0, UP_BIAS = (FLAGS & 16) != 0, RESIDUAL = (FLAGS & 32) != 0;
const bool MATRICES = (FLAGS & 64) != 0; // whether x has more than one
const bool CUT = (FLAGS & 128) != 0;     // whether k need not be whole pieces: of types without blocks alone
const bool GATED = UP_TYPE != NO_TYPE;
const uint N_WEIGHTS = GATED ? 2 : 1;

// Where the step has them.
const uint WEIGHTS_AT = 0, X_AT = 1, BIAS_AT = 2, RESIDUAL_AT = 3, UP_AT = 4, UP_BIAS_AT = 5;

// Where row i1 of one of a tensor's matrices lies.
uint64_t row_of(Tensor t, uint i1, uint i2, uint i3) {
    return MATRICES ? row_at(t, i1, i2, i3) : t.data + i1 * t.nb[1];
}

// The same of the weights that belong to matrix (i2, i3) of x.
uint64_t weights_at(Tensor weights, Tensor x, uint i1, uint i2, uint i3) {
    return MATRICES ? row_at(weights, i1, i2 / (x.ne[2] / weights.ne[2]), i3 / (x.ne[3] / weights.ne[3]))
                    : weights.data + i1 * weights.nb[1];
}

// Of x, at the columns that a piece of weights has; see decode.
void x_piece(uint type, uint64_t row, uint piece, out vec4 v[4]) {
    const uint64_t at = row + column_of(type, piece) * 4;
    decode_floats(TYPE_F32, X_ALIGNED, at, v[0], v[1]);
    decode_floats(TYPE_F32, X_ALIGNED, at + span_of(type) * 4, v[2], v[3]);
}

// y(i0, i1, i2, i3) from the sums over k: that of the weights, and where there is a gate that of up.
void finish(uint i0, uint i1, uint i2, uint i3, float sum, float up_sum) {
    if (BIAS) {
        sum += F32(step.src[BIAS_AT].data).at[i0];
    }
    sum = activate(ACTIVATION, sum);
    if (GATED) {
        sum *= up_sum + (UP_BIAS ? F32(step.src[UP_BIAS_AT].data).at[i0] : 0);
    }
    if (RESIDUAL) {
        sum += F32(row_of(step.src[RESIDUAL_AT], i1, i2, i3)).at[i0];
    }
    F32(row_of(step.dst, i1, i2, i3)).at[i0] = sum;
}
