// dst[:, rows[i, j % c1, l % c2], j, l] = src[:, i, j, l]: f32 rows by index into a store, converted to its type.
//
// Of rows with the same index the last one wins, so a thread has a column of a head (j, l) and goes through its rows in
// their order. That makes few threads, as many as there are columns in all heads, each of which would wait for memory
// row after row; so AHEAD rows are read before the first of them is written.
//
// q8_0 stores 32 values as a scale, the largest / 127, and 32 whole numbers: eight threads of a subgroup, four values
// each, find the largest. Its bits are those that processors make, whose division is exact; a device's need not be.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "step.glsl"
#include "convert.glsl"

layout(constant_id = 1) const uint TO = TYPE_F32;

const uint AHEAD = 8;
const uint LANES = 8, VALUES = 4; // of a block

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32 { uint at[]; };

// Read once: what is written might overlap them for all that the compiler knows.
Tensor dst, src, rows;

// The head that is the j-th of all.
struct Head { uint64_t src, dst, rows; };

Head head_at(uint j) {
    const uint i2 = j % src.ne[2], i3 = j / src.ne[2];
    return Head(row_at(src, 0, i2, i3), row_at(dst, 0, i2, i3), row_at(rows, i2 % rows.ne[1], i3 % rows.ne[2], 0));
}

// Which row of dst row i goes to; one behind the last for none, and for what is out of range.
uint target(Head head, uint i) {
    if (i >= src.ne[1]) {
        return dst.ne[1];
    }
    const int row = I32(head.rows + i * rows.nb[0]).at[0];
    if (row < 0 || row >= dst.ne[1]) {
        fail();
        return dst.ne[1];
    }
    return row;
}

void set_column(Head head, uint column) {
    const uint64_t from = head.src + column * src.nb[0], to = head.dst + column * dst.nb[0];
    for (uint i = 0; i < src.ne[1]; i += AHEAD) {
        uint row[AHEAD], bits[AHEAD];
        [[unroll]] for (uint k = 0; k < AHEAD; k++) {
            bits[k] = U32(from + min(i + k, src.ne[1] - 1) * src.nb[1]).at[0];
            row[k] = target(head, i + k);
        }
        [[unroll]] for (uint k = 0; k < AHEAD; k++) {
            const uint64_t at = to + row[k] * dst.nb[1];
            if (row[k] >= dst.ne[1]) {
                continue;
            }
            if (TO == TYPE_F32) {
                U32(at).at[0] = bits[k];
            } else if (TO == TYPE_I32) {
                U32(at).at[0] = uint(f32_to_i32(uintBitsToFloat(bits[k])));
            } else {
                U16(at).at[0] = uint16_t(TO == TYPE_F16 ? f32_to_f16(bits[k]) : f32_to_bf16(bits[k]));
            }
        }
    }
}

// a / b to nearest even, of positive numbers none of which is denormal, nor is the quotient.
float quotient(uint a, uint b) {
    uint m = (a & 0x7fffff) | 0x800000;
    const uint divisor = (b & 0x7fffff) | 0x800000;
    uint exponent = (a >> 23) + 127 - (b >> 23);
    if (m < divisor) {
        m <<= 1;
        exponent--;
    }
    // 25 bits of it, of which the last one rounds: the device's own quotient is near, and so few bits are left of the
    // remainder that 32 hold it, whatever those above are.
    uint q = uint(float(m) / float(divisor) * 16777216);
    int rest = int((m << 24) - q * divisor);
    for (; rest < 0; rest += int(divisor)) {
        q--;
    }
    for (; rest >= divisor; rest -= int(divisor)) {
        q++;
    }
    const uint kept = q >> 1, up = q & 1 & (rest > 0 ? 1 : kept);
    return uintBitsToFloat((exponent << 23) + (kept + up - 0x800000));
}

// To the nearest whole number, halves away from 0.
uint rounded(float x) {
    const float whole = trunc(x);
    precise const float rest = x - whole;
    return uint(int(whole) + (rest >= 0.5 ? 1 : rest <= -0.5 ? -1 : 0)) & 0xff;
}

// Four values of a block.
void set_values(uint64_t at, uint lane, uvec4 bits) {
    const uvec4 sizes = bits & 0x7fffffff; // in the order of the numbers, NaN above all
    uint most = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
    [[unroll]] for (uint distance = 1; distance < LANES; distance *= 2) {
        most = max(most, subgroupShuffleXor(most, distance));
    }
    uint scale = 0;
    uvec4 q = uvec4(0);
    if (most >= 0x7f800000) {
        scale = 0x7e00; // no number, and so is the block
    } else if (most >= 0x0d800000) { // 2^-100; below it the scale is 0, and numbers come close to denormals
        const float d = quotient(most, floatBitsToUint(127.0));
        const float to_q = quotient(floatBitsToUint(1.0), floatBitsToUint(d));
        scale = f32_to_f16(floatBitsToUint(d));
        [[unroll]] for (uint v = 0; v < VALUES; v++) {
            precise const float scaled = uintBitsToFloat(bits[v]) * to_q;
            q[v] = rounded(scaled);
        }
    }
    if (lane == 0) {
        U16(at).at[0] = uint16_t(scale);
    }
    U16(at + 2 + VALUES * lane).at[0] = uint16_t(q.x | q.y << 8);
    U16(at + 4 + VALUES * lane).at[0] = uint16_t(q.z | q.w << 8);
}

void set_block(Head head, uint block, uint lane) {
    const uint64_t from = head.src + (32 * block + VALUES * lane) * src.nb[0], to = head.dst + 34 * block;
    for (uint i = 0; i < src.ne[1]; i += AHEAD) {
        uint row[AHEAD];
        uvec4 bits[AHEAD];
        [[unroll]] for (uint k = 0; k < AHEAD; k++) {
            [[unroll]] for (uint v = 0; v < VALUES; v++) {
                bits[k][v] = U32(from + min(i + k, src.ne[1] - 1) * src.nb[1] + v * src.nb[0]).at[0];
            }
            row[k] = target(head, i + k);
        }
        [[unroll]] for (uint k = 0; k < AHEAD; k++) {
            if (row[k] < dst.ne[1]) { // of all threads of the block or none
                set_values(to + row[k] * dst.nb[1], lane, bits[k]);
            }
        }
    }
}

void main() {
    dst = step.dst;
    src = step.src[0];
    rows = step.src[1];
    const uint thread = gl_WorkGroupID.x * GROUP + gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID;
    const uint parts = TO == TYPE_Q8_0 ? src.ne[0] / VALUES : src.ne[0]; // of a head
    const uint n = parts * src.ne[2] * src.ne[3];
    for (uint i = thread; i < n; i += gl_NumWorkGroups.x * GROUP) { // the threads of a block are together at it or not
        const Head head = head_at(i / parts);
        if (TO == TYPE_Q8_0) {
            set_block(head, i % parts / LANES, i % LANES);
        } else {
            set_column(head, i % parts);
        }
    }
}
