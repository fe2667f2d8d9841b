// Weights of every type as f32: w = d q for types with a middle, w = d q + m for affine ones, see codec/blocks.h.
//
// A row is read in pieces of 16 weights, which one thread decodes at once, so that scales are read and unpacked once
// for many weights. Bytes hold a weight in their low bits and another one, `span` columns on, in their high bits; so a
// piece is two runs of 8 columns, span apart, from 8 bytes that lie together. Neighbouring threads take neighbouring
// pieces: their bytes lie together too. A dot product may add its terms in any order, so it goes over columns as pieces
// have them.
//
// Blocks of 18, 22, 34 and 210 bytes begin at even addresses and are read by 2 bytes, those of 20 and 24 bytes by 4,
// and those of 144 and 176 bytes by up to 16. Types are passed as constants: all that another type needs drops out.

const uint PIECE = 16, RUN = 8;

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer U32 { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer U64 { uint64_t at; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer U64x2 { u64vec2 at; };

bool is_float(uint type) { return type == TYPE_F32 || type == TYPE_F16 || type == TYPE_BF16; }

bool is_super(uint type) { return type == TYPE_Q4_K || type == TYPE_Q5_K || type == TYPE_Q6_K; }

// How far apart the two runs of a piece are.
uint span_of(uint type) {
    switch (type) {
    case TYPE_Q4_0: case TYPE_Q4_1: case TYPE_Q5_0: case TYPE_Q5_1: return 16;
    case TYPE_Q4_K: case TYPE_Q5_K: return 32;
    case TYPE_Q6_K: return 64;
    default: return RUN;
    }
}

// The first column of a piece.
uint column_of(uint type, uint piece) {
    const uint span = span_of(type), runs = span / RUN;
    return piece / runs * (2 * span) + piece % runs * RUN;
}

// One number of a type without blocks, at any address that suits it.
float number_at(uint type, uint64_t at) {
    switch (type) {
    case TYPE_F32: return F32(at).at[0];
    case TYPE_F16: return float(F16(at).at[0]);
    case TYPE_BF16: return uintBitsToFloat(uint(U16(at).at[0]) << 16);
    default: return float(I32(at).at[0]);
    }
}

float half_at(uint64_t at) { return float(F16(at).at[0]); }

// 8 and 16 bytes at addresses that are multiples of it. GPUs do not care that they are read as numbers of 64 bits;
// where the processor stands in for one it reads number by number, so that fewer are faster.
uvec2 two_words_at(uint64_t at) { return unpack32(U64(at).at); }

uvec4 four_words_at(uint64_t at) {
    const u64vec2 both = U64x2(at).at;
    return uvec4(unpack32(both.x), unpack32(both.y));
}

// 4 bytes at an even address
uint word_at(uint64_t at) { return pack32(u16vec2(U16(at).at[0], U16(at).at[1])); }

// The lowest 4 bits of b, each as the fifth bit of a byte. Factors move bit i by 7 i.
uint fifth_bits(uint b) { return ((b & 15) * 0x204081 & 0x01010101) << 4; }

// 4 numbers q in the bytes of a word, as d (q - middle). A byte's top bit lends what the subtraction would borrow from
// the next byte.
vec4 centred(uint q, uint middle, float d) {
    const uint moved = ((q | 0x80808080) - middle * 0x01010101) ^ 0x80808080;
    return d * vec4(unpack8(int(moved)));
}

vec4 affine(uint q, float d, float m) { return d * vec4(unpack8(q)) + m; }

// Weights of 8 columns from `at` on that are no blocks; aligned: to 16 bytes.
void decode_floats(uint type, bool aligned, uint64_t at, out vec4 a, out vec4 b) {
    if (type == TYPE_F32 && aligned) {
        a = uintBitsToFloat(four_words_at(at)), b = uintBitsToFloat(four_words_at(at + 16));
    } else if (aligned) {
        const uvec4 v = four_words_at(at);
        if (type == TYPE_F16) {
            a = vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y)), b = vec4(unpackHalf2x16(v.z), unpackHalf2x16(v.w));
        } else {
            a = uintBitsToFloat(uvec4(v.x << 16, v.x & 0xFFFF0000, v.y << 16, v.y & 0xFFFF0000));
            b = uintBitsToFloat(uvec4(v.z << 16, v.z & 0xFFFF0000, v.w << 16, v.w & 0xFFFF0000));
        }
    } else {
        const uint size = type == TYPE_F32 ? 4 : 2;
        [[unroll]] for (uint i = 0; i < 4; i++) {
            a[i] = number_at(type, at + i * size), b[i] = number_at(type, at + (i + 4) * size);
        }
    }
}

// Blocks of 32. A block is two pieces.
void decode_block(uint type, uint64_t row, uint piece, out vec4 w[4]) {
    const uint block = piece / 2, first = piece % 2 * RUN; // of 8 bytes of nibbles
    uvec4 q;
    uint fifth = 0; // of the first run in the lowest byte, of the second in the third
    uint64_t at;
    switch (type) {
    case TYPE_Q8_0:
        at = row + block * 34;
        const float scale = half_at(at);
        [[unroll]] for (uint i = 0; i < 4; i++) {
            w[i] = scale * vec4(unpack8(int(word_at(at + 2 + 2 * first + 4 * i))));
        }
        return;
    case TYPE_Q4_0:
        at = row + block * 18;
        q.xy = uvec2(word_at(at + 2 + first), word_at(at + 6 + first));
        break;
    case TYPE_Q5_0:
        at = row + block * 22;
        q.xy = uvec2(word_at(at + 6 + first), word_at(at + 10 + first));
        fifth = word_at(at + 2) >> first;
        break;
    case TYPE_Q4_1:
        at = row + block * 20;
        q.xy = uvec2(U32(at + 4 + first).at[0], U32(at + 4 + first).at[1]);
        break;
    default: // q5_1
        at = row + block * 24;
        q.xy = uvec2(U32(at + 8 + first).at[0], U32(at + 8 + first).at[1]);
        fifth = U32(at).at[1] >> first;
    }
    q = uvec4(q.xy & 0x0F0F0F0F, q.xy >> 4 & 0x0F0F0F0F);
    if (type == TYPE_Q5_0 || type == TYPE_Q5_1) {
        q |= uvec4(fifth_bits(fifth), fifth_bits(fifth >> 4), fifth_bits(fifth >> 16), fifth_bits(fifth >> 20));
    }
    if (type == TYPE_Q4_0 || type == TYPE_Q5_0) {
        const float d = half_at(at);
        [[unroll]] for (uint i = 0; i < 4; i++) {
            w[i] = centred(q[i], type == TYPE_Q4_0 ? 8 : 16, d);
        }
    } else {
        const vec2 dm = unpackHalf2x16(U32(at).at[0]);
        [[unroll]] for (uint i = 0; i < 4; i++) {
            w[i] = affine(q[i], dm.x, dm.y);
        }
    }
}

// q4_k and q5_k: of 64 columns the first half are the low nibbles of 32 bytes, the second half the high ones.
void decode_affine_super(uint type, uint64_t row, uint piece, out vec4 w[4]) {
    const uint64_t at = row + piece / 16 * (type == TYPE_Q4_K ? 144 : 176);
    const uint part = piece % 16 / 4, first = piece % 4 * RUN; // which 64 columns, and where in them
    const uvec4 head = four_words_at(at);                      // d and dmin, then 12 bytes of scales and minimums
    const uvec3 pair = head.yzw >> part % 2 * 16;              // of both halves, a byte each
    const uint s = part < 2 ? pair.x & 0x3F3F : (pair.z & 0x0F0F) | (pair.x >> 2 & 0x3030);
    const uint m = part < 2 ? pair.y & 0x3F3F : (pair.z >> 4 & 0x0F0F) | (pair.y >> 2 & 0x3030);
    const vec2 d = unpackHalf2x16(head.x);
    const vec2 scale = d.x * vec2(s & 255, s >> 8), minimum = d.y * vec2(m & 255, m >> 8);
    const uvec2 nibbles = two_words_at(at + (type == TYPE_Q4_K ? 16 : 48) + part * 32 + first);
    uvec4 q = uvec4(nibbles & 0x0F0F0F0F, nibbles >> 4 & 0x0F0F0F0F);
    if (type == TYPE_Q5_K) { // bit i of a byte belongs to columns 32 i to 32 i + 31
        const uvec2 fifth = two_words_at(at + 16 + first) >> 2 * part;
        q |= uvec4(fifth & 0x01010101, fifth >> 1 & 0x01010101) << 4;
    }
    w[0] = affine(q.x, scale.x, -minimum.x), w[1] = affine(q.y, scale.x, -minimum.x);
    w[2] = affine(q.z, scale.y, -minimum.y), w[3] = affine(q.w, scale.y, -minimum.y);
}

// q6_k: of 128 columns the first half are the low nibbles of 64 bytes, the second half the high ones; the 2 bits above
// them lie in 32 bytes, each of which has those of 4 columns 32 apart.
void decode_q6_k(uint64_t row, uint piece, out vec4 w[4]) {
    const uint64_t at = row + piece / 16 * 210;
    const uint part = piece % 16 / 8, first = piece % 8 * RUN;
    const uint64_t low_at = at + part * 64 + first, high_at = at + 128 + part * 32 + first % 32;
    const uvec2 low = uvec2(word_at(low_at), word_at(low_at + 4));
    const uvec2 high = uvec2(word_at(high_at), word_at(high_at + 4)) >> first / 32 * 2;
    const uvec4 q = uvec4(low & 0x0F0F0F0F, low >> 4 & 0x0F0F0F0F) |
                    uvec4(high & 0x03030303, high >> 4 & 0x03030303) << 4;
    const uint64_t scales_at = at + 192 + part * 8 + first / 16;
    const float d = half_at(at + 208);
    const vec2 scale = d * vec2(int8_t(U8(scales_at).at[0]), int8_t(U8(scales_at).at[4]));
    w[0] = centred(q.x, 32, scale.x), w[1] = centred(q.y, 32, scale.x);
    w[2] = centred(q.z, 32, scale.y), w[3] = centred(q.w, 32, scale.y);
}

// A whole piece of the row at an address: w[0] and w[1] are its first run, w[2] and w[3] its second.
void decode(uint type, bool aligned, uint64_t row, uint piece, out vec4 w[4]) {
    if (is_float(type)) {
        const uint size = type == TYPE_F32 ? 4 : 2;
        decode_floats(type, aligned, row + piece * PIECE * size, w[0], w[1]);
        decode_floats(type, aligned, row + (piece * PIECE + RUN) * size, w[2], w[3]);
    } else if (type == TYPE_Q6_K) {
        decode_q6_k(row, piece, w);
    } else if (is_super(type)) {
        decode_affine_super(type, row, piece, w);
    } else {
        decode_block(type, row, piece, w);
    }
}
