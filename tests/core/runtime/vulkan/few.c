/* A Vulkan of three devices that were never built, in place of the machine's own: of Vulkan 1.1, of 1.2 with nothing that may be
 * missing, and of 1.3 with several heaps and kinds of queues, and names as long as they may be. */
#include <string.h>

#include "vulkan/vk.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

static int devices[3];

static int number(VkPhysicalDevice device) { return (int)((int *)(void *)device - devices); }

static VkResult EnumerateInstanceVersion(uint32_t *version) {
    *version = VK_MAKE_API_VERSION(0, 1, 3, 200);
    return VK_SUCCESS;
}

static VkResult none(void *of, uint32_t *n, void *found) {
    (void)of, (void)found;
    *n = 0;
    return VK_SUCCESS;
}

static VkResult EnumerateInstanceExtensionProperties(const char *layer, uint32_t *n, VkExtensionProperties *found) {
    return none((void *)layer, n, found);
}

static VkResult CreateInstance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *a, VkInstance *instance) {
    (void)a;
    *instance = (VkInstance)(void *)devices;
    return info->pApplicationInfo->apiVersion == VK_API_VERSION_1_3 ? VK_SUCCESS : VK_ERROR_UNKNOWN;
}

static VkResult EnumeratePhysicalDevices(VkInstance instance, uint32_t *n, VkPhysicalDevice *found) {
    (void)instance;
    *n = N(devices);
    for (uint32_t i = 0; found && i < *n; i++) found[i] = (VkPhysicalDevice)(void *)&devices[i];
    return VK_SUCCESS;
}

static void GetPhysicalDeviceProperties(VkPhysicalDevice device, VkPhysicalDeviceProperties *p) {
    static const uint32_t versions[] = {VK_MAKE_API_VERSION(0, 1, 1, 7), VK_API_VERSION_1_2, VK_MAKE_API_VERSION(0, 1, 3, 9)};
    memset(p, 0, sizeof(*p));
    p->apiVersion = versions[number(device)];
    p->deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    memset(p->deviceName, 'n', number(device) == 2 ? sizeof(p->deviceName) - 1 : 3);
}

static void GetPhysicalDeviceProperties2(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *p) {
    GetPhysicalDeviceProperties(device, &p->properties);
    if (number(device) != 2) return;
    p->properties.limits.maxStorageBufferRange = 0xFFFFFFFF;
    for (VkPhysicalDeviceDriverProperties *next = p->pNext; next; next = next->pNext)
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES) {
            memset(next->driverName, 'd', sizeof(next->driverName) - 1);
            memset(next->driverInfo, 'i', sizeof(next->driverInfo) - 1);
        }
}

static void GetPhysicalDeviceFeatures2(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *f) { (void)device, (void)f; }

static void GetPhysicalDeviceMemoryProperties2(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *m) {
    static const VkMemoryHeap heaps[] = {{1 << 20, 0}, {1 << 8, 1}, {1 << 12, 1}, {1 << 10, 1}};
    if (number(device) != 2) return;
    m->memoryProperties.memoryHeapCount = N(heaps);
    memcpy(m->memoryProperties.memoryHeaps, heaps, sizeof(heaps));
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = m->pNext;
    if (budget) budget->heapBudget[2] = 1000;
}

static void GetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice device, uint32_t *n, VkQueueFamilyProperties *found) {
    static const VkQueueFamilyProperties families[] = {
        {.queueFlags = VK_QUEUE_TRANSFER_BIT, .queueCount = 1, .timestampValidBits = 64},
        {.queueFlags = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT, .queueCount = 1, .timestampValidBits = 64},
        {.queueFlags = VK_QUEUE_COMPUTE_BIT, .queueCount = 1},
        {.queueFlags = VK_QUEUE_COMPUTE_BIT, .queueCount = 1, .timestampValidBits = 36},
        {.queueFlags = VK_QUEUE_COMPUTE_BIT, .queueCount = 1, .timestampValidBits = 64},
    };
    *n = number(device) == 2 ? N(families) : 1;
    memcpy(found, families, *n * sizeof(*found));
}

static VkResult EnumerateDeviceExtensionProperties(VkPhysicalDevice device, const char *layer, uint32_t *n,
                                                   VkExtensionProperties *found) {
    if (number(device) != 2) return none((void *)layer, n, found);
    *n = 1;
    if (found) strcpy(found->extensionName, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    return VK_SUCCESS;
}

static void never(void) {}

VKAPI_ATTR PFN_vkVoidFunction vkGetInstanceProcAddr(VkInstance instance, const char *name) {
    (void)instance;
#define ROW(function) {"vk" #function, (PFN_vkVoidFunction)function}
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } rows[] = {
        ROW(EnumerateInstanceVersion), ROW(EnumerateInstanceExtensionProperties), ROW(CreateInstance),
        ROW(EnumeratePhysicalDevices), ROW(GetPhysicalDeviceProperties), ROW(GetPhysicalDeviceProperties2),
        ROW(GetPhysicalDeviceFeatures2), ROW(GetPhysicalDeviceMemoryProperties2), ROW(EnumerateDeviceExtensionProperties),
        ROW(GetPhysicalDeviceQueueFamilyProperties),
    };
    for (size_t i = 0; i < N(rows); i++)
        if (strcmp(rows[i].name, name) == 0) return rows[i].function;
    return strstr(name, "EXT") ? NULL : never;
}
