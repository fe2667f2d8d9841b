/* Shaders made ready: SPIR-V and the values of its constants, compiled by the driver. */
#include "vulkan/pipeline.h"

#include <stdlib.h>

enum { MAX_CONSTANTS = 32 };

gg_vk_pipeline *gg_vk_pipeline_make(gg_vk_device *d, const char *name, const uint32_t *words, int64_t n_bytes,
                                    const uint32_t *constants, int n_constants, int subgroup, VkPipelineCreateFlags flags) {
    VkSpecializationMapEntry entries[MAX_CONSTANTS];
    if (gg_vk_elsewhere(d)) {
        gg_vk_refuse_fork();
        return NULL;
    }
    gg_vk_pipeline *p = n_constants <= MAX_CONSTANTS ? calloc(1, sizeof(*p)) : NULL;
    if (p == NULL) {
        gg_fail(GG_NO_MEMORY, "no room for the shader %s with %d constants", name, n_constants);
        return NULL;
    }
    p->device = gg_vk_hold(d);
    for (int i = 0; i < n_constants; i++) {
        entries[i] = (VkSpecializationMapEntry){(uint32_t)i, (uint32_t)i * sizeof(uint32_t), sizeof(uint32_t)};
    }
    const VkShaderModuleCreateInfo module = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = (size_t)n_bytes, .pCode = words};
    VkResult result = d->api.CreateShaderModule(d->device, &module, NULL, &p->shader);
    if (result == VK_SUCCESS) {
        const VkSpecializationInfo values = {(uint32_t)n_constants, entries, (size_t)n_constants * sizeof(uint32_t), constants};
        const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
            .requiredSubgroupSize = (uint32_t)subgroup};
        const int sized = subgroup > 0 && d->info.subgroup_control && d->info.full_subgroups;
        const VkComputePipelineCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
            .flags = flags,
            .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                      .pNext = sized ? &size : NULL,
                      .flags = sized ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                      .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                      .module = p->shader,
                      .pName = "main",
                      .pSpecializationInfo = &values},
            .layout = d->layout,
            .basePipelineIndex = -1};
        result = d->api.CreateComputePipelines(d->device, VK_NULL_HANDLE, 1, &info, NULL, &p->pipeline);
    }
    if (result != VK_SUCCESS) {
        gg_fail(GG_FAILED, "the driver refuses the shader %s (%s); update it, or use --device cpu", name, gg_vk_result(result));
        gg_vk_pipeline_free(p);
        return NULL;
    }
    return p;
}

gg_vk_pipeline *gg_vk_pipeline_new(gg_vk_device *d, const char *name, const uint32_t *words, int64_t n_bytes,
                                   const uint32_t *constants, int n_constants, int subgroup) {
    return gg_vk_pipeline_make(d, name, words, n_bytes, constants, n_constants, subgroup,
                               d->info.executables ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0);
}

void gg_vk_pipeline_free(gg_vk_pipeline *p) {
    if (p != NULL && !gg_vk_elsewhere(p->device)) {
        p->device->api.DestroyPipeline(p->device->device, p->pipeline, NULL);
        p->device->api.DestroyShaderModule(p->device->device, p->shader, NULL);
        gg_vk_let_go(p->device);
        free(p);
    }
}
