/* Opening a device: a logical device with one queue that computes. */
#include "vulkan/device.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int gg_vk_failed(const char *what, VkResult result) {
    if (result == VK_ERROR_DEVICE_LOST) {
        return gg_fail(GG_LOST, "%s: the device was lost (the driver reset it, or it hung); load the model again, or use --device cpu", what);
    }
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY) {
        return gg_fail(GG_NO_MEMORY, "%s: no memory left on the device; take a smaller model, type or context, or put fewer layers on it", what);
    }
    return gg_fail(GG_FAILED, "%s: %s", what, gg_vk_result(result));
}

/* The logical device, with all that shaders want and those extensions that are there. */
static int create_device(gg_vk_device *d, VkPhysicalDevice physical) {
    const char *names[4];
    uint32_t n_names = 0;
    const struct {
        const char *name;
        int wanted;
    } extensions[] = {
        {VK_EXT_CALIBRATED_TIMESTAMPS_EXTENSION_NAME, d->info.calibrated},
        {VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, d->info.executables},
        {VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, d->info.subgroup_control},
        {"VK_KHR_portability_subset", 1}, /* a device that has it wants it named */
    };
    for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++) {
        if (extensions[i].wanted && gg_vk_has_extension(physical, extensions[i].name)) {
            names[n_names++] = extensions[i].name;
        }
    }
    VkPhysicalDeviceSubgroupSizeControlFeatures sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = d->info.full_subgroups ? VK_TRUE : VK_FALSE};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR tells = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, .pipelineExecutableInfo = VK_TRUE};
    VkPhysicalDeviceVulkan12Features wanted12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                                 .storageBuffer8BitAccess = VK_TRUE,
                                                 .shaderInt8 = VK_TRUE,
                                                 .shaderFloat16 = VK_TRUE,
                                                 .scalarBlockLayout = VK_TRUE,
                                                 .bufferDeviceAddress = VK_TRUE};
    VkPhysicalDeviceVulkan11Features wanted11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
                                                 .pNext = &wanted12,
                                                 .storageBuffer16BitAccess = VK_TRUE};
    VkPhysicalDeviceFeatures2 wanted = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                        .pNext = &wanted11,
                                        .features = {.shaderInt64 = VK_TRUE, .shaderInt16 = VK_TRUE}};
    void **last = &wanted12.pNext;
    if (d->info.subgroup_control) {
        *last = &sizes;
        last = &sizes.pNext;
    }
    if (d->info.executables) {
        *last = &tells;
    }
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = (uint32_t)d->info.queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &wanted,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = n_names,
                                     .ppEnabledExtensionNames = names};
    const VkResult result = gg_vk()->CreateDevice(physical, &info, NULL, &d->device);
    return result == VK_SUCCESS ? gg_vk_load_device(d->device, &d->api) : gg_vk_failed("vkCreateDevice", result);
}

static int create_parts(gg_vk_device *d) {
    d->api.GetDeviceQueue(d->device, (uint32_t)d->info.queue_family, 0, &d->queue);
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = (uint32_t)d->info.queue_family};
    VkResult result = d->api.CreateCommandPool(d->device, &pool, NULL, &d->pool);
    if (result != VK_SUCCESS) {
        return gg_vk_failed("vkCreateCommandPool", result);
    }
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = d->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    result = d->api.AllocateCommandBuffers(d->device, &commands, &d->once.commands);
    if (result != VK_SUCCESS) {
        return gg_vk_failed("vkAllocateCommandBuffers", result);
    }
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    result = d->api.CreateFence(d->device, &fence, NULL, &d->once.fence);
    if (result != VK_SUCCESS) {
        return gg_vk_failed("vkCreateFence", result);
    }
    VkPushConstantRange pushed = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = sizeof(gg_vk_pushed)};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &pushed};
    result = d->api.CreatePipelineLayout(d->device, &layout, NULL, &d->layout);
    if (result != VK_SUCCESS) {
        return gg_vk_failed("vkCreatePipelineLayout", result);
    }
    const VkQueryPoolCreateInfo query = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = 1};
    if (d->info.timestamp_bits > 0) {
        result = d->api.CreateQueryPool(d->device, &query, NULL, &d->clocks.query);
    }
    return result == VK_SUCCESS ? GG_OK : gg_vk_failed("vkCreateQueryPool", result);
}

gg_vk_device *gg_vk_open(int i) {
    VkPhysicalDevice physical = gg_vk_physical(i);
    gg_vk_device *d = physical != VK_NULL_HANDLE ? calloc(1, sizeof(*d)) : NULL;
    if (d == NULL) {
        if (physical != VK_NULL_HANDLE) {
            gg_fail(GG_NO_MEMORY, "no memory for a device");
        }
        return NULL;
    }
    d->process = getpid();
    atomic_init(&d->holders, 1);
    pthread_mutex_init(&d->lock, NULL);
    int status = gg_vk_info_of(i, &d->info);
    if (status == GG_OK && d->info.missing[0]) {
        status = gg_fail(GG_FAILED, "%s can't compute: it lacks %.128s", d->info.name, d->info.missing);
    }
    if (status == GG_OK) {
        const int bits = d->info.timestamp_bits;
        d->stamp_mask = bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
        VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
        gg_vk()->GetPhysicalDeviceMemoryProperties2(physical, &memory);
        d->memory = memory.memoryProperties;
        status = create_device(d, physical);
    }
    if (status != GG_OK || create_parts(d) != GG_OK || gg_vk_make_staging(d) != GG_OK) {
        gg_vk_close(d);
        return NULL;
    }
    return d;
}

int gg_vk_elsewhere(const gg_vk_device *d) { return getpid() != d->process; }

int gg_vk_refuse_fork(void) {
    return gg_fail(GG_FAILED, "after fork() a child can't use its parent's Vulkan device; load the model in a process of its own");
}

gg_vk_device *gg_vk_hold(gg_vk_device *d) {
    atomic_fetch_add(&d->holders, 1);
    return d;
}

void gg_vk_let_go(gg_vk_device *d) {
    if (atomic_fetch_sub(&d->holders, 1) > 1) {
        return;
    }
    if (d->device != NULL && d->api.DestroyDevice != NULL) {
        d->api.DeviceWaitIdle(d->device);
        gg_vk_free_staging(d);
        d->api.DestroyQueryPool(d->device, d->clocks.query, NULL);
        d->api.DestroyFence(d->device, d->once.fence, NULL);
        d->api.DestroyCommandPool(d->device, d->pool, NULL);
        d->api.DestroyPipelineLayout(d->device, d->layout, NULL);
        d->api.DestroyDevice(d->device, NULL);
    }
    pthread_mutex_destroy(&d->lock);
    free(d);
}

void gg_vk_close(gg_vk_device *d) {
    if (d != NULL && !gg_vk_elsewhere(d)) {
        gg_vk_let_go(d);
    }
}

int gg_vk_begin(gg_vk_device *d) {
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    const VkResult result = d->api.BeginCommandBuffer(d->once.commands, &begin);
    return result == VK_SUCCESS ? GG_OK : gg_vk_failed("vkBeginCommandBuffer", result);
}

int gg_vk_submit(gg_vk_device *d) {
    /* What was copied is there for the processor, and for copies to come; programs wait for it themselves. */
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                                                      VK_ACCESS_TRANSFER_WRITE_BIT};
    d->api.CmdPipelineBarrier(d->once.commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                              VK_PIPELINE_STAGE_HOST_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    VkResult result = d->api.EndCommandBuffer(d->once.commands);
    if (result == VK_SUCCESS) {
        const VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                     .commandBufferCount = 1,
                                     .pCommandBuffers = &d->once.commands};
        result = d->api.QueueSubmit(d->queue, 1, &submit, d->once.fence);
    }
    if (result == VK_SUCCESS) {
        result = d->api.WaitForFences(d->device, 1, &d->once.fence, VK_TRUE, UINT64_MAX);
        d->api.ResetFences(d->device, 1, &d->once.fence);
    }
    return result == VK_SUCCESS ? GG_OK : gg_vk_failed("copying on the device", result);
}
