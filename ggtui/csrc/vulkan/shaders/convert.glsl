// Numbers of 32 and 16 bits turned into each other, as bits: what GLSL's own conversions do to denormals and halves of
// the last place is up to the device, and what is stored must be the same on all of them.

uint f16_to_f32(uint h) {
    const uint sign = (h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) {
        return sign | (rest == 0x7c00 ? 0x7f800000 : 0x7fc00000 | rest << 13); // a NaN made quiet
    }
    const uint denormal = floatBitsToUint(float(rest) * 5.9604644775390625e-8); // 2^-24
    return sign | (rest < 0x400 ? denormal : (rest + (112 << 10)) << 13);
}

// To nearest even; infinity from 65520 on.
uint f32_to_f16(uint u) {
    const uint sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
    if (rest >= 0x477ff000) {
        return sign | (rest > 0x7f800000 ? 0x7e00 | (rest >> 13 & 0x3ff) : 0x7c00);
    }
    if (rest >= 0x38800000) {
        return sign | (((rest + 0xfff + (rest >> 13 & 1)) >> 13) - (112 << 10));
    }
    // Below 2^-14 the last place is 2^-24: the mantissa is cut by more bits the smaller the exponent.
    const uint mantissa = (rest & 0x7fffff) | 0x800000, cut = min(126 - (rest >> 23), 31u);
    return sign | (mantissa + (1u << (cut - 1)) - 1 + (mantissa >> cut & 1)) >> cut;
}

// To nearest even; a NaN stays one.
uint f32_to_bf16(uint u) {
    return (u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

// Cut towards zero, kept in range; a NaN becomes 0.
int f32_to_i32(float x) {
    return x >= 2147483648.0 ? 0x7fffffff : x < -2147483648.0 ? int(0x80000000) : x == x ? int(x) : 0;
}
