/* The machine's devices; gg.h has what they can do. */
#ifndef GG_VK_DEVICES_H
#define GG_VK_DEVICES_H
#include <stdbool.h>

#include "gg_vk.h"
#include "vulkan/loader.h"

VkPhysicalDevice gg_vk_physical(int i); /* VK_NULL_HANDLE where there is none, see gg_last_error() */
bool gg_vk_has_extension(VkPhysicalDevice device, const char *name);
#endif
