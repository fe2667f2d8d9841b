/* Which devices there are, what they can do, and what ggtui needs that one has not. */
#include "vulkan/devices.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Found once: so a number stands for the same device as long as the process runs. */
static struct {
    pthread_mutex_t lock;
    int n;
    VkPhysicalDevice *at;
} devices = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Fills `devices`, whose lock is held. A failure is not remembered: a device may be plugged in, or get its driver back. */
static int find_devices(const gg_vk_api *vk) {
    uint32_t n = 0;
    VkResult result = vk->EnumeratePhysicalDevices(gg_vk_instance(), &n, NULL);
    if (result == VK_SUCCESS && n == 0)
        return gg_fail(GG_FAILED, "no Vulkan: its drivers found no device; install your card's driver, for many cards "
                       "mesa-vulkan-drivers");
    VkPhysicalDevice *const at = result == VK_SUCCESS ? calloc(n, sizeof(*at)) : NULL;
    if (result == VK_SUCCESS && !at) return gg_fail(GG_NO_MEMORY, "out of memory");
    if (at) result = vk->EnumeratePhysicalDevices(gg_vk_instance(), &n, at);
    if (result < 0) { /* VK_INCOMPLETE, where one came meanwhile, is none */
        free(at);
        return gg_fail(GG_FAILED, "no Vulkan: the driver failed (vkEnumeratePhysicalDevices: %s); vulkaninfo may tell more",
                       gg_vk_result(result));
    }
    devices.at = at;
    devices.n = (int)n;
    return GG_OK;
}

int gg_vk_n_devices(void) {
    const gg_vk_api *const vk = gg_vk();
    if (!vk) return -1;
    pthread_mutex_lock(&devices.lock);
    const int status = devices.n ? GG_OK : find_devices(vk);
    const int n = devices.n;
    pthread_mutex_unlock(&devices.lock);
    return status == GG_OK ? n : -1;
}

VkPhysicalDevice gg_vk_physical(int i) {
    const int n = gg_vk_n_devices();
    if (n < 0) return VK_NULL_HANDLE;
    if (i >= 0 && i < n) return devices.at[i];
    gg_fail(GG_FAILED, "Vulkan: no device %d: they are 0 to %d", i, n - 1);
    return VK_NULL_HANDLE;
}

/* The extensions of a device, to be freed; NULL where there are none. */
static VkExtensionProperties *extensions_of(VkPhysicalDevice device, uint32_t *n) {
    const gg_vk_api *const vk = gg_vk();
    *n = 0;
    if (!vk || vk->EnumerateDeviceExtensionProperties(device, NULL, n, NULL) < 0 || *n == 0) return NULL;
    VkExtensionProperties *found = calloc(*n, sizeof(*found));
    if (found && vk->EnumerateDeviceExtensionProperties(device, NULL, n, found) >= 0) return found;
    free(found);
    *n = 0;
    return NULL;
}

bool gg_vk_has_extension(VkPhysicalDevice device, const char *name) {
    uint32_t n;
    VkExtensionProperties *const found = extensions_of(device, &n);
    bool has = false;
    for (uint32_t i = 0; i < n && !has; i++) has = strcmp(found[i].extensionName, name) == 0;
    free(found);
    return has;
}

/* Names a thing that a device lacks in `list`. */
static void lacks(char (*list)[256], const char *what) {
    const size_t n = strlen(*list);
    snprintf(*list + n, sizeof(*list) - n, "%s%s", n ? ", " : "", what);
}

static void queues(const gg_vk_api *vk, VkPhysicalDevice device, gg_vk_info *info) {
    VkQueueFamilyProperties families[32]; /* devices have up to ten */
    uint32_t n = sizeof(families) / sizeof(*families);
    vk->GetPhysicalDeviceQueueFamilyProperties(device, &n, families);
    info->queue_family = -1;
    bool draws = true;
    for (uint32_t i = 0; i < n; i++) {
        const VkQueueFlags flags = families[i].queueFlags;
        /* Queues that don't draw are shared with no screen; without time stamps there would be nothing to show. */
        const bool better = draws && !(flags & VK_QUEUE_GRAPHICS_BIT) && families[i].timestampValidBits;
        if (!(flags & VK_QUEUE_COMPUTE_BIT) || (info->queue_family >= 0 && !better)) continue;
        info->queue_family = (int32_t)i;
        info->timestamp_bits = (int32_t)families[i].timestampValidBits;
        draws = flags & VK_QUEUE_GRAPHICS_BIT;
    }
}

static void memory(const gg_vk_api *vk, VkPhysicalDevice device, gg_vk_info *info) {
    info->memory_budget = gg_vk_has_extension(device, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 found = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = info->memory_budget ? &budget : NULL,
    };
    vk->GetPhysicalDeviceMemoryProperties2(device, &found);
    for (uint32_t i = 0; i < found.memoryProperties.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &found.memoryProperties.memoryHeaps[i];
        /* A second, small heap may be the part of the memory that the host sees too. */
        if (!(heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) || (int64_t)heap->size <= info->heap) continue;
        info->heap = (int64_t)heap->size;
        info->budget = info->memory_budget ? (int64_t)budget.heapBudget[i] : info->heap;
    }
}

/* Whether the stamps of the device can be set against the clock that runs are timed by. */
static bool is_calibrated(const gg_vk_api *vk, VkPhysicalDevice device) {
    if (!vk->GetPhysicalDeviceCalibrateableTimeDomainsEXT ||
        !gg_vk_has_extension(device, VK_EXT_CALIBRATED_TIMESTAMPS_EXTENSION_NAME))
        return false;
    VkTimeDomainEXT domains[16];
    uint32_t n = sizeof(domains) / sizeof(*domains);
    if (vk->GetPhysicalDeviceCalibrateableTimeDomainsEXT(device, &n, domains) < 0) return false;
    bool stamps = false, clock = false;
    for (uint32_t i = 0; i < n; i++) {
        stamps |= domains[i] == VK_TIME_DOMAIN_DEVICE_EXT;
        clock |= domains[i] == VK_TIME_DOMAIN_CLOCK_MONOTONIC_EXT;
    }
    return stamps && clock;
}

static void properties(const gg_vk_api *vk, VkPhysicalDevice device, bool sizes, gg_vk_info *info) {
    VkPhysicalDeviceSubgroupSizeControlProperties control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties allocation = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = sizes ? &control : NULL};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
                                               .pNext = &allocation};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
                                                   .pNext = &driver};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &subgroup};
    vk->GetPhysicalDeviceProperties2(device, &all);

    /* A part of each, so that a long one leaves room for the other. */
    snprintf(info->driver, sizeof(info->driver), "%.100s%s%.150s", driver.driverName, *driver.driverInfo ? " " : "",
             driver.driverInfo);
    const VkPhysicalDeviceLimits *const limits = &all.properties.limits;
    info->max_allocation = (int64_t)allocation.maxMemoryAllocationSize;
    info->max_range = limits->maxStorageBufferRange;
    info->tick_ns = (double)limits->timestampPeriod;
    info->max_invocations = (int32_t)limits->maxComputeWorkGroupInvocations;
    info->max_shared = (int32_t)limits->maxComputeSharedMemorySize;
    info->subgroup = (int32_t)subgroup.subgroupSize;
    const VkSubgroupFeatureFlags can = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT ? subgroup.supportedOperations : 0;
    const VkSubgroupFeatureFlags basic = VK_SUBGROUP_FEATURE_BASIC_BIT, sums = basic | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT,
                                 shuffles = basic | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    info->subgroup_arithmetic = (can & sums) == sums;
    info->subgroup_shuffle = (can & shuffles) == shuffles;
    info->subgroup_least = info->subgroup_most = info->subgroup;
    if (sizes && control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) {
        info->subgroup_control = 1;
        info->subgroup_least = (int32_t)control.minSubgroupSize;
        info->subgroup_most = (int32_t)control.maxSubgroupSize;
    }
}

static void features(const gg_vk_api *vk, VkPhysicalDevice device, bool sizes, gg_vk_info *info) {
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
    VkPhysicalDeviceSubgroupSizeControlFeatures control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceVulkan11Features v11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &v12};
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v11};
    void **last = &v12.pNext;
    if (sizes) {
        *last = &control;
        last = &control.pNext;
    }
    if (gg_vk_has_extension(device, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME)) *last = &executable;
    vk->GetPhysicalDeviceFeatures2(device, &all);

    info->f16 = v12.shaderFloat16 != 0;
    info->i8 = v12.shaderInt8 != 0;
    info->i16 = all.features.shaderInt16 != 0;
    info->i64 = all.features.shaderInt64 != 0;
    info->storage8 = v12.storageBuffer8BitAccess != 0;
    info->storage16 = v11.storageBuffer16BitAccess != 0;
    info->device_address = v12.bufferDeviceAddress != 0;
    info->scalar_layout = v12.scalarBlockLayout != 0;
    info->executables = executable.pipelineExecutableInfo != 0;
    info->full_subgroups = control.computeFullSubgroups != 0;
    if (!control.subgroupSizeControl) {
        info->subgroup_control = 0;
        info->subgroup_least = info->subgroup_most = info->subgroup;
    }
}

static void name_missing(gg_vk_info *info) {
    char(*list)[256] = &info->missing;
    if (info->queue_family < 0) lacks(list, "a compute queue");
    if (!info->device_address) lacks(list, "bufferDeviceAddress");
    if (!info->scalar_layout) lacks(list, "scalarBlockLayout");
    if (!info->i64) lacks(list, "shaderInt64");
    if (!info->i16) lacks(list, "shaderInt16");
    if (!info->i8) lacks(list, "shaderInt8");
    if (!info->f16) lacks(list, "shaderFloat16");
    if (!info->storage8) lacks(list, "storageBuffer8BitAccess");
    if (!info->storage16) lacks(list, "storageBuffer16BitAccess");
    if (info->subgroup < 8) lacks(list, "subgroups of 8"); /* what shaders of attention and q8_0 count on */
    if (!info->subgroup_arithmetic) lacks(list, "subgroup arithmetic");
    if (!info->subgroup_shuffle) lacks(list, "subgroup shuffle");
}

int gg_vk_info_of(int i, gg_vk_info *info) {
    const VkPhysicalDevice device = gg_vk_physical(i);
    if (!device) return GG_FAILED;
    const gg_vk_api *const vk = gg_vk();
    *info = (gg_vk_info){.queue_family = -1};
    VkPhysicalDeviceProperties first; /* without a chain: what may be in one depends on the version */
    vk->GetPhysicalDeviceProperties(device, &first);
    snprintf(info->name, sizeof(info->name), "%s", first.deviceName);
    info->kind = (int32_t)first.deviceType;
    info->major = (int32_t)VK_API_VERSION_MAJOR(first.apiVersion);
    info->minor = (int32_t)VK_API_VERSION_MINOR(first.apiVersion);
    info->patch = (int32_t)VK_API_VERSION_PATCH(first.apiVersion);
    if (first.apiVersion < VK_API_VERSION_1_2) {
        lacks(&info->missing, "Vulkan 1.2");
        return GG_OK;
    }
    const bool in_core = first.apiVersion >= VK_API_VERSION_1_3 && vk->version >= VK_API_VERSION_1_3;
    const bool sizes = in_core || gg_vk_has_extension(device, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    queues(vk, device, info);
    memory(vk, device, info);
    properties(vk, device, sizes, info);
    features(vk, device, sizes, info);
    info->calibrated = is_calibrated(vk, device);
    name_missing(info);
    return GG_OK;
}
