// What every shader of the runtime begins with: the step that it does, see gg_vk_step in gg.h.
//
// A shader is given two addresses and reads all else from memory: its tensors, their sizes in this run, its parameters.
// It goes over its work by the number of groups that it was dispatched in, whatever that is.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_control_flow_attributes : enable
#extension GL_KHR_shader_subgroup_basic : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint GROUP = 64; // threads of a workgroup; further constants, from 1 on, are a family's own

struct Tensor {
    uint64_t data; // 0: there is none
    uint64_t nb[4];
    uint ne[4];
    uint type;
    uint unused;
};

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Step {
    Tensor dst;
    Tensor src[6];
    int params[14];
    uint groups[3];
    uint node;
};
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Status { uint failed; };

layout(push_constant, scalar) uniform Pushed {
    Step step;
    Status status;
};

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32 { float at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer I32 { int at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer F16 { float16_t at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer U16 { uint16_t at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer U8 { uint8_t at[]; };

// Types by their ids, as types.def has them.
const uint TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q4_0 = 2, TYPE_Q4_1 = 3, TYPE_Q5_0 = 6, TYPE_Q5_1 = 7, TYPE_Q8_0 = 8;
const uint TYPE_Q4_K = 12, TYPE_Q5_K = 13, TYPE_Q6_K = 14, TYPE_I32 = 26, TYPE_BF16 = 30;

float param_f(uint i) { return intBitsToFloat(step.params[i]); }

// Says that bad data was met, e.g. a row index out of range; the run then fails. Writes must go nowhere.
void fail() { status.failed = step.node + 1; }

uint64_t row_at(Tensor t, uint i1, uint i2, uint i3) {
    return t.data + i1 * t.nb[1] + i2 * t.nb[2] + i3 * t.nb[3];
}

uint n_rows(Tensor t) { return t.ne[1] * t.ne[2] * t.ne[3]; }
