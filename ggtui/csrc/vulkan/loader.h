/* Vulkan's library, loaded when it is first asked for, and the one instance that the process has of it. */
#ifndef GG_VK_LOADER_H
#define GG_VK_LOADER_H
#include "vulkan/vk.h"

#define GG_VK_POINTER(name) PFN_vk##name name;

typedef struct {
    uint32_t version; /* of the instance: 1.2 or 1.3 */
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define GG_VK_GLOBAL GG_VK_POINTER
#define GG_VK_INSTANCE GG_VK_POINTER
#define GG_VK_INSTANCE_EXT GG_VK_POINTER
#include "vulkan/functions.def"
} gg_vk_api;

typedef struct {
#define GG_VK_DEVICE GG_VK_POINTER
#define GG_VK_DEVICE_EXT GG_VK_POINTER
#include "vulkan/functions.def"
} gg_vk_device_api;

/* Loads the library and makes the instance the first time, on any thread; both stay until the process ends. NULL where that
 * failed, with gg_last_error() saying what is missing, the next times too. */
const gg_vk_api *gg_vk(void);
VkInstance gg_vk_instance(void); /* NULL likewise */
/* Of a device that was made of this instance. Returns a gg_status. */
int gg_vk_load_device(VkDevice device, gg_vk_device_api *api);
const char *gg_vk_result(VkResult result); /* its name */
#endif
