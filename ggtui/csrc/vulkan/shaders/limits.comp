// What a device allows, one loop for each limit. src[0] is the memory that is read, of ne[0] vectors, and params[0] says how many
// turns a thread makes. What is computed is written where it has a value that it hardly ever has: no compiler knows that.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"

layout(constant_id = 1) const uint MODE = 0; // as runtime/vulkan/limits.py numbers them
const uint NOTHING = 0, READ = 1, F32_MULTIPLY_ADD = 2, F16_MULTIPLY_ADD = 3, FILL = 4;
const uint UNLIKELY = 0x6A09E667;

layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Wide { uvec4 at[]; };

// Four loads a turn, neighbours by neighbouring threads. Each group begins at a place of its own, and goes on to the end and from the
// start again: at another place each turn, so that no load is left out. The places are no power of two apart, whose loads would
// meet in the same parts of the memory. There are no more threads than vectors, which are a multiple of GROUP.
uint read(Wide data, uint n, uint turns) {
    const uint apart = n / gl_NumWorkGroups.x / 8 * 8 + GROUP;
    uint i = gl_WorkGroupID.x * apart + gl_LocalInvocationID.x;
    i -= i >= n ? n : 0;
    uvec4 sum[4] = {uvec4(0), uvec4(0), uvec4(0), uvec4(0)};
    for (uint turn = 0; turn < turns; turn++) {
        [[unroll]] for (uint j = 0; j < 4; j++) {
            sum[j] ^= data.at[i];
            i += GROUP;
            i -= i >= n ? n : 0;
        }
    }
    const uvec4 all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
    return all.x ^ all.y ^ all.z ^ all.w;
}

// 128 multiply-adds a turn, in 16 chains that don't depend on each other.
uint multiply_add_f32(uint turns) {
    const vec4 x = vec4(param_f(1)), y = vec4(param_f(2));
    vec4 a = vec4(gl_GlobalInvocationID.x), b = a + 1.0, c = a + 2.0, d = a + 3.0;
    for (uint turn = 0; turn < turns; turn++) {
        [[unroll]] for (uint j = 0; j < 8; j++) {
            a = fma(a, x, y);
            b = fma(b, x, y);
            c = fma(c, x, y);
            d = fma(d, x, y);
        }
    }
    const vec4 all = a + b + c + d;
    return floatBitsToUint(all.x + all.y + all.z + all.w);
}

// As many, in 8 chains of pairs.
uint multiply_add_f16(uint turns) {
    const f16vec2 x = f16vec2(param_f(1)), y = f16vec2(param_f(2));
    f16vec2 a[8];
    [[unroll]] for (uint k = 0; k < 8; k++) {
        a[k] = f16vec2(float16_t(gl_LocalInvocationID.x + k));
    }
    for (uint turn = 0; turn < turns; turn++) {
        [[unroll]] for (uint j = 0; j < 8; j++) {
            [[unroll]] for (uint k = 0; k < 8; k++) {
                a[k] = fma(a[k], x, y);
            }
        }
    }
    f16vec2 all = a[0];
    [[unroll]] for (uint k = 1; k < 8; k++) {
        all += a[k];
    }
    return floatBitsToUint(float(all.x + all.y));
}

// Not all zeros: some memory is read faster where it is.
void fill(Wide data, uint n) {
    for (uint i = gl_GlobalInvocationID.x; i < n; i += gl_NumWorkGroups.x * GROUP) {
        data.at[i] = (uvec4(4 * i) + uvec4(0, 1, 2, 3)) * 2654435761u;
    }
}

void main() {
    Wide data = Wide(step.src[0].data);
    const uint n = step.src[0].ne[0], turns = uint(step.params[0]);
    uint found = 0;
    switch (MODE) {
    case READ: found = read(data, n, turns); break;
    case F32_MULTIPLY_ADD: found = multiply_add_f32(turns); break;
    case F16_MULTIPLY_ADD: found = multiply_add_f16(turns); break;
    case FILL: fill(data, n); break;
    }
    if (found == UNLIKELY) {
        data.at[0] = uvec4(found);
    }
}
