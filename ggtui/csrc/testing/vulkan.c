/* A device of Vulkan's from its beginning to its end, and devices that fail. */
#include "base/error.h"
#include "testing/testing.h"
#include "vulkan/device.h"

int gg_test_vk(int i, int n) {
    gg_vk_info info;
    const int status = gg_vk_info_of(i, &info);
    if (status != GG_OK) return status;
    const gg_vk_api *const vk = gg_vk();
    for (int mistake = 0; mistake < n; mistake++) {
        VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO};
        vk->GetPhysicalDeviceMemoryProperties2(gg_vk_physical(i), &memory);
    }
    const float priority = 1.0F;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = (uint32_t)info.queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo wanted = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
    };
    VkDevice device;
    const VkResult made = vk->CreateDevice(gg_vk_physical(i), &wanted, NULL, &device);
    if (made != VK_SUCCESS) return gg_fail(GG_FAILED, "vkCreateDevice: %s", gg_vk_result(made));
    gg_vk_device_api api;
    if (gg_vk_load_device(device, &api) != GG_OK) return GG_FAILED;
    const VkResult waited = api.DeviceWaitIdle(device);
    api.DestroyDevice(device, NULL);
    return waited == VK_SUCCESS ? GG_OK : gg_fail(GG_FAILED, "vkDeviceWaitIdle: %s", gg_vk_result(waited));
}

static VkResult VKAPI_PTR lost(VkQueue queue, uint32_t n, const VkSubmitInfo *infos, VkFence fence) {
    (void)queue, (void)n, (void)infos, (void)fence;
    return VK_ERROR_DEVICE_LOST;
}

static VkResult VKAPI_PTR full(VkDevice device, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *own,
                               VkDeviceMemory *memory) {
    (void)device, (void)info, (void)own, (void)memory;
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

static VkResult VKAPI_PTR refused(VkDevice device, VkPipelineCache cache, uint32_t n, const VkComputePipelineCreateInfo *infos,
                                  const VkAllocationCallbacks *own, VkPipeline *pipelines) {
    (void)device, (void)cache, (void)n, (void)infos, (void)own, (void)pipelines;
    return VK_ERROR_INITIALIZATION_FAILED;
}

void gg_test_vk_fault(gg_vk_device *d, int fault) {
    gg_vk_load_device(d->device, &d->api);
    switch (fault) {
    case GG_VK_LOSES:
        d->api.QueueSubmit = lost;
        break;
    case GG_VK_IS_FULL:
        d->api.AllocateMemory = full;
        break;
    case GG_VK_REFUSES:
        d->api.CreateComputePipelines = refused;
        break;
    }
}
