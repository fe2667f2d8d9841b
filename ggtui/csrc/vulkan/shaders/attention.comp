// Fused attention: softmax(cap(scale * k.q) + slope * mask) . v, the softmax computed online, so that the scores of a
// query are never all there (Milakov and Gimelshein 2018, Dao et al. 2022). Keys and values lie in one piece, or in
// pages of 64 positions (Kwon et al. 2023).
//
// What decides the speed is how often keys and values are read. Query heads that share a key head, and neighbouring
// tokens of one sequence, see nearly the same positions: a workgroup takes a tile of up to 8 such queries, and what it
// reads serves them all. It goes over the positions that they see block by block, 4 positions for each team of 8
// threads:
//   scores   A team reads its 4 keys, each thread 4 values at a time next to its neighbour's, and multiplies them with
//            all queries. Then each thread has a part of the 4 scores of each query, and a reduce-scatter over the team
//            gives it the whole 4 scores of one query.
//   softmax  Weights are relative to the largest score of their query so far, which all threads agree on by shared
//            memory; when it grows, what was summed up is scaled down. Weights go to shared memory.
//   values   Threads lie along a row of values, 4 each, so that it is read by neighbours. A row takes fewer threads
//            than there are: several sets of them share the positions, and their sums are joined at the end.
// A batch of one token has no more workgroups than key heads. To fill a large device with it, positions would have to
// be split over workgroups too, and joined in a second dispatch.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "step.glsl"

layout(constant_id = 1) const uint TYPE = TYPE_F16; // of keys and values
layout(constant_id = 2) const bool PAGED = true;
layout(constant_id = 3) const uint D_K = 64;
layout(constant_id = 4) const uint D_V = 64;
layout(constant_id = 5) const uint HEADS = 1;       // query heads of a tile
layout(constant_id = 6) const uint TOKENS = 8;      // tokens of a tile; HEADS * TOKENS <= 8
layout(constant_id = 7) const bool WHOLE_K = true;  // 4 values of a key can be read at once
layout(constant_id = 8) const bool WHOLE_V = true;

const uint PAGE = 64;
const uint TEAM = 8;                   // threads; all of one subgroup
const uint QUADS = GROUP / TEAM;       // of positions, in a block: one for each team
const uint ROWS = HEADS * TOKENS;      // queries of a tile
const uint ROWS_2 = ROWS > 4 ? 8 : ROWS > 2 ? 4 : ROWS; // the next power of two
const uint K4 = (D_K + 3) / 4, V4 = (D_V + 3) / 4;
const uint SETS = GROUP / V4 < QUADS ? GROUP / V4 : QUADS; // of threads that share the positions of a block
const uint JOINED = ROWS < 4 ? ROWS : 4;                   // queries whose sums are joined at a time
const uint WEIGHTS = ROWS * K4;                            // where they begin in `pool`
const uint USED = WEIGHTS + ROWS * QUADS;
const uint NONE = 0xFFFFFFFF;
const float LOWEST = -3.0e38; // a score that counts for nothing: with finite numbers no difference is NaN

shared vec4 pool[USED > JOINED * GROUP ? USED : JOINED * GROUP]; // queries, then weights; at the end the sums
shared float of_subgroups[8 * QUADS];                            // of each query: largest scores, then sums of weights
shared float factors[8];                                         // what sums so far are multiplied with
shared uint places[QUADS];                                       // of positions: where they are stored

layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer F32x4 { vec4 at; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer F16x4 { f16vec4 at; };

const uint MOST_SUBGROUPS = QUADS; // they have at least 8 threads, a team

// The number of this thread, such that a team is of one subgroup.
uint thread() { return gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID; }

// Values 4c to 4c + 3 of a key or value; 0 behind its end.
vec4 load4(uint64_t row, uint64_t nb0, uint c, uint d, bool whole) {
    if (TYPE == TYPE_Q8_0) { // 32 of them: a scale and as many bytes
        const uint64_t block = row + c / 8 * 34;
        U16 bytes = U16(block + 2 + c % 8 * 4);
        const i8vec4 q = i8vec4(unpack8(int16_t(bytes.at[0])), unpack8(int16_t(bytes.at[1])));
        return float(F16(block).at[0]) * vec4(q);
    }
    if (whole) {
        return TYPE == TYPE_F16 ? vec4(F16x4(row + c * 8).at) : F32x4(row + c * 16).at;
    }
    vec4 x = vec4(0);
    [[unroll]] for (uint j = 0; j < 4; j++) {
        const uint64_t at = row + (4 * c + j) * nb0;
        if (4 * c + j < d) {
            x[j] = TYPE == TYPE_F16 ? float(F16(at).at[0]) : F32(at).at[0];
        }
    }
    return x;
}

// What a token sees: a row of pages, and positions from y to z - 1; none where that is no such thing.
ivec3 seen_by(uint token) {
    if (!PAGED) {
        const int n_kv = int(step.src[1].ne[1]), n_tokens = int(step.src[0].ne[1]);
        const bool causal = step.params[2] != 0;
        return ivec3(0, 0, causal ? max(n_kv - n_tokens + int(token) + 1, 0) : n_kv);
    }
    const uint64_t at = step.src[3].data + token * step.src[3].nb[1], nb0 = step.src[3].nb[0];
    const ivec3 seen = ivec3(I32(at).at[0], I32(at + nb0).at[0], I32(at + 2 * nb0).at[0]);
    const bool row = seen.x >= 0 && seen.x < int(step.src[4].ne[1]);
    if (row && 0 <= seen.y && seen.y <= seen.z && seen.z <= int(PAGE * step.src[4].ne[0])) {
        return seen;
    }
    fail();
    return ivec3(-1, 0, 0);
}

// Where a position of a row is stored; NONE where the row has no such page.
uint place_of(int row, uint position) {
    if (!PAGED) {
        return position;
    }
    const Tensor pages = step.src[4];
    const int page = I32(pages.data + row * pages.nb[1] + position / PAGE * 4).at[0];
    return page >= 0 && page < int(step.src[1].ne[1] / PAGE) ? page * PAGE + position % PAGE : NONE;
}

// ALiBi's slope of a head (Press et al. 2021), see alibi_slopes in graph/ops/in_numpy/attention.py.
float slope_of(uint head, uint n_head, float max_bias) {
    const uint p = 1u << findMSB(n_head);
    const float steps = head < p ? head + 1 : head - p + 0.5;
    return exp2(-max_bias * steps / p);
}

float mask_at(Tensor mask, uint position, uint token, uint head, uint i3) {
    const uint64_t at = row_at(mask, token, head % mask.ne[2], i3 % mask.ne[3]) + position * mask.nb[0];
    return mask.type == TYPE_F16 ? float(F16(at).at[0]) : F32(at).at[0];
}

// Of 2n rows each thread keeps n and gives the others to the one n lanes away, which keeps those.
void halve(inout vec4 s[8], const uint n, uint lane) {
    const bool upper = (lane & n) != 0;
    [[unroll]] for (uint i = 0; i < n; i++) {
        s[i] = (upper ? s[i + n] : s[i]) + subgroupShuffleXor(upper ? s[i] : s[i + n], n);
    }
}

// Sums over a team; a thread has those of row lane % ROWS_2.
vec4 sum_of_team(inout vec4 s[8], uint lane) {
    if (ROWS_2 == 8) { halve(s, 4, lane); }
    if (ROWS_2 >= 4) { halve(s, 2, lane); }
    if (ROWS_2 >= 2) { halve(s, 1, lane); }
    vec4 sum = s[0];
    if (ROWS_2 < 2) { sum += subgroupShuffleXor(sum, 1); }
    if (ROWS_2 < 4) { sum += subgroupShuffleXor(sum, 2); }
    if (ROWS_2 < 8) { sum += subgroupShuffleXor(sum, 4); }
    return sum;
}

// The tile: `n` tokens from `first` on, all of one row, with the heads of a part of the group of a key head.
void attend(uint first, uint n, uint head_kv, uint part, uint i3) {
    const Tensor q = step.src[0], k = step.src[1], v = step.src[2], y = step.dst;
    const uint lane = thread() % TEAM, team = thread() / TEAM;
    const uint row = lane % ROWS_2; // the query whose scores this thread has
    const uint n_group = q.ne[2] / k.ne[2], first_head = head_kv * n_group + part * HEADS;
    const uint n_heads = min(HEADS, n_group - part * HEADS), n_rows = n * HEADS;
    const float scale = param_f(0), more = param_f(1); // softcap, or ALiBi's bias

    for (uint i = thread(); i < ROWS * K4; i += GROUP) {
        const uint r = i / K4, c = i % K4, token = r / HEADS, head = r % HEADS;
        vec4 x = vec4(0);
        if (token < n && head < n_heads) {
            const uint64_t at = row_at(q, first + token, first_head + head, i3);
            [[unroll]] for (uint j = 0; j < 4; j++) {
                if (4 * c + j < D_K) { x[j] = scale * F32(at + (4 * c + j) * q.nb[0]).at[0]; }
            }
        }
        pool[i] = x;
    }
    int lo = 0x7FFFFFFF, hi = 0, page_row = 0;
    for (uint i = 0; i < n; i++) {
        const ivec3 seen = seen_by(first + i);
        page_row = seen.x;
        if (seen.y < seen.z) {
            lo = min(lo, seen.y);
            hi = max(hi, seen.z);
        }
    }
    const bool live = row < n_rows && row % HEADS < n_heads;
    const uint my_token = first + row / HEADS, my_head = first_head + row % HEADS;
    const ivec2 mine = live ? seen_by(my_token).yz : ivec2(0);
    const Tensor mask = step.src[3];
    const bool masked = !PAGED && mask.data != 0 && live;
    const float slope = PAGED || more == 0 ? 1 : slope_of(my_head, q.ne[2], more);

    const uint64_t keys = row_at(k, 0, head_kv, i3), values = row_at(v, 0, head_kv, i3);
    const uint n_stored = k.ne[1], set = thread() / V4, my_values = thread() % V4;
    float largest = LOWEST, sum = 0;
    vec4 sums[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) { sums[r] = vec4(0); }
    barrier();
    for (int begin = lo & ~3; begin < hi; begin += int(4 * QUADS)) {
        const int position = begin + 4 * int(team);
        const uint place = position < hi ? place_of(page_row, position) : NONE;
        vec4 s[8];
        [[unroll]] for (uint r = 0; r < 8; r++) { s[r] = vec4(0); }
        if (place != NONE) {
            uint64_t at[4];
            [[unroll]] for (uint j = 0; j < 4; j++) { at[j] = keys + min(place + j, n_stored - 1) * k.nb[1]; }
            for (uint c = lane; c < K4; c += TEAM) {
                vec4 x[4];
                [[unroll]] for (uint j = 0; j < 4; j++) { x[j] = load4(at[j], k.nb[0], c, D_K, WHOLE_K); }
                [[unroll]] for (uint r = 0; r < ROWS; r++) {
                    if (r < n_rows) {
                        const vec4 of_q = pool[r * K4 + c];
                        s[r] += vec4(dot(of_q, x[0]), dot(of_q, x[1]), dot(of_q, x[2]), dot(of_q, x[3]));
                    }
                }
            }
        }
        vec4 score = sum_of_team(s, lane);
        [[unroll]] for (int j = 0; j < 4; j++) {
            if (mine.x <= position + j && position + j < mine.y) {
                if (place == NONE) {
                    fail();
                }
                if (PAGED && more > 0) { // cap(s) = c tanh(s / c)
                    const float e = exp(-2 * abs(score[j] / more));
                    score[j] = sign(score[j]) * more * (1 - e) / (1 + e);
                }
                if (masked) {
                    score[j] += slope * mask_at(mask, position + j, my_token, my_head, i3);
                }
            } else {
                score[j] = LOWEST;
            }
        }

        float top = max(max(score.x, score.y), max(score.z, score.w));
        for (uint i = TEAM; i < gl_SubgroupSize; i *= 2) { top = max(top, subgroupShuffleXor(top, i)); }
        if (gl_SubgroupInvocationID < ROWS_2) { of_subgroups[row * MOST_SUBGROUPS + gl_SubgroupID] = top; }
        barrier();
        top = largest;
        for (uint i = 0; i < gl_NumSubgroups; i++) { top = max(top, of_subgroups[row * MOST_SUBGROUPS + i]); }
        const float factor = exp(largest - top);
        vec4 weight;
        [[unroll]] for (uint j = 0; j < 4; j++) { weight[j] = score[j] <= LOWEST ? 0 : exp(score[j] - top); }
        sum = sum * factor + (weight.x + weight.y + weight.z + weight.w);
        largest = top;
        if (lane < ROWS) { pool[WEIGHTS + row * QUADS + team] = weight; }
        if (thread() < ROWS) { factors[row] = factor; }
        if (lane == 0) { places[team] = place; }
        barrier();

        if (set < SETS) {
            [[unroll]] for (uint r = 0; r < ROWS; r++) { sums[r] *= r < n_rows ? factors[r] : 1; }
            for (uint quad = set; quad < QUADS; quad += SETS) {
                const uint from = places[quad];
                if (from == NONE) {
                    continue;
                }
                vec4 x[4];
                [[unroll]] for (uint j = 0; j < 4; j++) {
                    x[j] = load4(values + min(from + j, n_stored - 1) * v.nb[1], v.nb[0], my_values, D_V, WHOLE_V);
                }
                [[unroll]] for (int j = 0; j < 4; j++) { // what no token sees may be anything, even NaN
                    const int p = begin + 4 * int(quad) + j;
                    x[j] = lo <= p && p < hi ? x[j] : vec4(0);
                }
                [[unroll]] for (uint r = 0; r < ROWS; r++) {
                    if (r < n_rows) {
                        const vec4 w = pool[WEIGHTS + r * QUADS + quad];
                        sums[r] += w.x * x[0] + w.y * x[1] + w.z * x[2] + w.w * x[3];
                    }
                }
            }
        }
    }

    // The sum of all weights, the sink's among them.
    sum = lane < ROWS_2 ? sum : 0;
    for (uint i = ROWS_2; i < gl_SubgroupSize; i *= 2) { sum += subgroupShuffleXor(sum, i); }
    if (gl_SubgroupInvocationID < ROWS_2) { of_subgroups[row * MOST_SUBGROUPS + gl_SubgroupID] = sum; }
    barrier();
    if (thread() < ROWS) {
        sum = 0;
        for (uint i = 0; i < gl_NumSubgroups; i++) { sum += of_subgroups[row * MOST_SUBGROUPS + i]; }
        const Tensor sinks = step.src[PAGED ? 5 : 4];
        float factor = 1;
        if (sinks.data != 0 && live) {
            const float sink = F32(sinks.data + my_head * sinks.nb[0]).at[0], top = max(largest, sink);
            factor = exp(largest - top);
            sum = sum * factor + exp(sink - top);
        }
        factors[row] = sum == 0 ? 0 : factor / sum;
    }
    [[unroll]] for (uint r0 = 0; r0 < ROWS; r0 += JOINED) {
        [[unroll]] for (uint r = 0; r < JOINED; r++) {
            if (r0 + r < ROWS) { pool[r * GROUP + thread()] = sums[r0 + r]; }
        }
        barrier();
        for (uint i = thread(); i < JOINED * V4; i += GROUP) {
            const uint r = i / V4, c = i % V4, token = (r0 + r) / HEADS, head = (r0 + r) % HEADS;
            if (token < n && head < n_heads) {
                vec4 all = vec4(0);
                for (uint of_set = 0; of_set < SETS; of_set++) { all += pool[r * GROUP + of_set * V4 + c]; }
                all *= factors[r0 + r];
                const uint64_t at = row_at(y, first_head + head, first + token, i3);
                [[unroll]] for (uint j = 0; j < 4; j++) {
                    if (4 * c + j < D_V) { F32(at + (4 * c + j) * y.nb[0]).at[0] = all[j]; }
                }
            }
        }
        barrier();
    }
}

// A tile begins with every TOKENS-th token, and where a new row does: a batch of single tokens of many sequences is as
// many tiles. There is a workgroup for each token, and that of one in the midst of a tile has nothing to do.
void main() {
    const Tensor q = step.src[0], k = step.src[1];
    const uint n_tokens = q.ne[1], n_parts = (q.ne[2] / k.ne[2] + HEADS - 1) / HEADS;
    if (!PAGED && step.params[2] != 0 && n_tokens > k.ne[1]) {
        fail(); // causal, but some tokens are before the first position
    }
    for (uint i3 = gl_WorkGroupID.z; i3 < q.ne[3]; i3 += gl_NumWorkGroups.z) {
        for (uint first = gl_WorkGroupID.y; first < n_tokens; first += gl_NumWorkGroups.y) {
            const int row = seen_by(first).x;
            if (first % TOKENS != 0 && seen_by(first - 1).x == row) {
                continue;
            }
            const uint end = min(first - first % TOKENS + TOKENS, n_tokens);
            uint n = 1;
            while (first + n < end && seen_by(first + n).x == row) { n++; }
            for (uint i = gl_WorkGroupID.x; i < k.ne[2] * n_parts; i += gl_NumWorkGroups.x) {
                attend(first, n, i / n_parts, i % n_parts, i3);
            }
        }
    }
}
