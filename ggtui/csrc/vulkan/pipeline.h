/* A shader that was made ready with the values of its constants. */
#ifndef GG_VK_PIPELINE_H
#define GG_VK_PIPELINE_H
#include "vulkan/device.h"

struct gg_vk_pipeline {
    gg_vk_device *device;
    VkShaderModule shader;
    VkPipeline pipeline;
};

/* As gg_vk_pipeline_new, with flags of VkPipelineCreateFlagBits. */
gg_vk_pipeline *gg_vk_pipeline_make(gg_vk_device *d, const char *name, const uint32_t *words, int64_t n_bytes,
                                    const uint32_t *constants, int n_constants, int subgroup, VkPipelineCreateFlags flags);
#endif
