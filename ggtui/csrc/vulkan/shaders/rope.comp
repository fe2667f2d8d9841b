// Rotary position embedding, f32: pair i of each row turned by the angle position * frequency i (Su et al. 2021).
//
// Positions go up to a million and more, and of the product only the part behind the last full turn counts. In f32 that
// part would be lost, and pairs of f32 need an fma that rounds once, which Vulkan does not promise. So it is found in
// whole numbers, exactly: by what share of a turn a pair turns a position, in units of 2^-64, times the position; what
// overflows is full turns. The table from kernels/rope.py has the shares.
//
// A thread turns the same pair in a few heads of a token, by one angle; its neighbours have the next pairs of the row.
// What lies behind the pairs is copied. A thread reads a pair before it writes it, so y may be x.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "step.glsl"

layout(constant_id = 1) const bool NEIGHBOURS = false; // pair i is (2i, 2i + 1), else (i, i + n_pairs)
const uint HEADS = 4; // of a thread, as kernels/rope.py has it
#define NOT_A_NUMBER uintBitsToFloat(0x7FC00000)

// mantissa * 2^-shift in units of 2^-64.
uint64_t in_units(uint64_t mantissa, int shift) {
    if (shift >= 64) return shift < 128 ? mantissa >> (shift - 64) : 0;
    return shift > 0 ? mantissa << (64 - shift) : 0;
}

// The same divided by an f32: 24 bits of it are a number m, so the quotient is found in two steps, 40 bits each.
uint64_t divided(uint64_t mantissa, int shift, float factor) {
    const uint bits = floatBitsToUint(factor);
    const uint m = (bits & 0x7FFFFF) | 0x800000; // factor = m * 2^(exponent - 150)
    const int exponent = int((bits >> 23) & 0xFF);
    const uint64_t upper = mantissa / m, lower = ((mantissa % m) << 40) / m; // upper * 2^40 + lower, 2^-40 times that
    const int left = 64 - 40 - shift - (exponent - 150);
    uint64_t units = 0;
    if (left >= 0) {
        units = left < 64 ? ((upper << 40) + lower) << left : 0;
    } else if (left > -40) {
        units = (upper << (40 + left)) + (lower >> -left);
    } else if (left > -104) {
        units = upper >> (-left - 40);
    }
    return bits >> 31 == 0 ? units : -units;
}

// Cosine and sine of so many turns, in units of 2^-32. Vulkan's own are good to 11 bits only; these are Taylor series
// around the nearest quarter turn: the first terms that are left out are below 2^-29.
vec2 cos_sin(uint turns) {
    const uint quarter = (turns + 0x20000000) >> 30;
    const float x = float(int(turns - (quarter << 30))) * (6.28318530717958648 / 4294967296.0), xx = x * x;
    const float far = 1.0 / 24 + xx * (-1.0 / 720 + xx * (1.0 / 40320 - xx * (1.0 / 3628800)));
    const float c = 1 + xx * (-1.0 / 2 + xx * far);
    const float s = x + x * xx * (-1.0 / 6 + xx * (1.0 / 120 + xx * (-1.0 / 5040 + xx * (1.0 / 362880))));
    const vec2 turned = (quarter & 1) == 0 ? vec2(c, s) : vec2(-s, c);
    return (quarter & 2) == 0 ? turned : -turned;
}

void main() {
    const Tensor y = step.dst, x = step.src[0], positions = step.src[1], factors = step.src[2], table = step.src[3];
    const uint n_pairs = step.params[0], n_items = x.ne[0] - n_pairs; // of a row: pairs, and values behind them
    const uint n_blocks = (x.ne[1] + HEADS - 1) / HEADS;
    const uint n = n_items * n_blocks * x.ne[2] * x.ne[3];
    for (uint i = gl_GlobalInvocationID.x; i < n; i += gl_NumWorkGroups.x * GROUP) {
        const uint item = i % n_items, block = i / n_items;
        const uint first = block % n_blocks * HEADS, i2 = block / n_blocks % x.ne[2], i3 = block / n_blocks / x.ne[2];
        const uint end = min(first + HEADS, x.ne[1]);
        if (item >= n_pairs) {
            const uint at = item + n_pairs;
            for (uint i1 = first; i1 < end; i1++) {
                F32(row_at(y, i1, i2, i3) + at * y.nb[0]).at[0] = F32(row_at(x, i1, i2, i3) + at * x.nb[0]).at[0];
            }
            continue;
        }
        I32 share = I32(table.data + item * 16);
        const uint64_t mantissa = packUint2x32(uvec2(share.at[0], share.at[1]));
        const float factor = factors.data != 0 ? F32(factors.data + item * factors.nb[0]).at[0] : 1;
        const uint64_t units = factor == 1 ? in_units(mantissa, share.at[2]) : divided(mantissa, share.at[2], factor);
        const int64_t position = I32(positions.data + i2 * positions.nb[0] + share.at[3] * positions.nb[1]).at[0];
        const float size = param_f(1) * (abs(factor) > 0 ? 1 : NOT_A_NUMBER); // else there is no angle
        const vec2 t = size * cos_sin(uint((units * uint64_t(position)) >> 32));
        const uint at0 = NEIGHBOURS ? 2 * item : item, at1 = at0 + (NEIGHBOURS ? 1 : n_pairs);
        for (uint i1 = first; i1 < end; i1++) {
            const uint64_t from = row_at(x, i1, i2, i3), to = row_at(y, i1, i2, i3);
            const float a = F32(from + at0 * x.nb[0]).at[0], b = F32(from + at1 * x.nb[0]).at[0];
            F32(to + at0 * y.nb[0]).at[0] = a * t.x - b * t.y;
            F32(to + at1 * y.nb[0]).at[0] = a * t.y + b * t.x;
        }
    }
}
