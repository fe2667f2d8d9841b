// For shaders in which a workgroup works together on a row: sums and largest values over all its threads, within
// subgroups by their own instructions, then by shared memory across them. All threads must call together, and all get
// the result.
#extension GL_KHR_shader_subgroup_arithmetic : require

// A workgroup goes over its rows of a tensor: i1, i2 and i3 say which. The groups have three dimensions, so that nobody
// divides.
#define EACH_ROW(t)                                                            \
    for (uint i3 = gl_WorkGroupID.z; i3 < t.ne[3]; i3 += gl_NumWorkGroups.z)     \
        for (uint i2 = gl_WorkGroupID.y; i2 < t.ne[2]; i2 += gl_NumWorkGroups.y) \
            for (uint i1 = gl_WorkGroupID.x; i1 < t.ne[1]; i1 += gl_NumWorkGroups.x)

shared uint of_subgroups[GROUP]; // the bits of what each found; there are at most as many as threads

// Every thread knows what its subgroup found; all of it comes to lie in of_subgroups.
void share(uint bits) {
    barrier(); // until the last values were read
    if (subgroupElect()) of_subgroups[gl_SubgroupID] = bits;
    barrier();
}

float group_sum(float value) {
    const float mine = subgroupAdd(value);
    if (gl_NumSubgroups == 1) return mine;
    share(floatBitsToUint(mine));
    float sum = 0;
    for (uint i = 0; i < gl_NumSubgroups; i++) sum += uintBitsToFloat(of_subgroups[i]);
    return sum;
}

float group_max(float value) {
    const float mine = subgroupMax(value);
    if (gl_NumSubgroups == 1) return mine;
    share(floatBitsToUint(mine));
    float most = uintBitsToFloat(of_subgroups[0]);
    for (uint i = 1; i < gl_NumSubgroups; i++) most = max(most, uintBitsToFloat(of_subgroups[i]));
    return most;
}

uint group_max(uint value) {
    const uint mine = subgroupMax(value);
    if (gl_NumSubgroups == 1) return mine;
    share(mine);
    uint most = of_subgroups[0];
    for (uint i = 1; i < gl_NumSubgroups; i++) most = max(most, of_subgroups[i]);
    return most;
}
