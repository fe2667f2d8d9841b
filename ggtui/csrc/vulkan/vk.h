/* What ggtui uses of Vulkan's ABI, by Khronos' own names, so that nothing of Vulkan is needed to build; <vulkan/vulkan_core.h> could
 * stand in its place. tests/csrc/test_vulkan_header.py holds the two against each other. */
#ifndef GG_VK_H
#define GG_VK_H
#include <stddef.h>
#include <stdint.h>

#define VKAPI_PTR
#define VKAPI_ATTR
#define VKAPI_CALL

#define VK_MAKE_API_VERSION(variant, major, minor, patch) \
    ((uint32_t)(variant) << 29 | (uint32_t)(major) << 22 | (uint32_t)(minor) << 12 | (uint32_t)(patch))
#define VK_API_VERSION_MAJOR(version) ((uint32_t)(version) >> 22 & 0x7FU)
#define VK_API_VERSION_MINOR(version) ((uint32_t)(version) >> 12 & 0x3FFU)
#define VK_API_VERSION_PATCH(version) ((uint32_t)(version) & 0xFFFU)
#define VK_API_VERSION_1_0 VK_MAKE_API_VERSION(0, 1, 0, 0)
#define VK_API_VERSION_1_1 VK_MAKE_API_VERSION(0, 1, 1, 0)
#define VK_API_VERSION_1_2 VK_MAKE_API_VERSION(0, 1, 2, 0)
#define VK_API_VERSION_1_3 VK_MAKE_API_VERSION(0, 1, 3, 0)

#define VK_NULL_HANDLE 0
#define VK_FALSE 0U
#define VK_TRUE 1U
#define VK_WHOLE_SIZE (~0ULL)
#define VK_REMAINING_ARRAY_LAYERS (~0U)
#define VK_QUEUE_FAMILY_IGNORED (~0U)
#define VK_MAX_PHYSICAL_DEVICE_NAME_SIZE 256U
#define VK_UUID_SIZE 16U
#define VK_MAX_EXTENSION_NAME_SIZE 256U
#define VK_MAX_DESCRIPTION_SIZE 256U
#define VK_MAX_MEMORY_TYPES 32U
#define VK_MAX_MEMORY_HEAPS 16U
#define VK_MAX_DRIVER_NAME_SIZE 256U
#define VK_MAX_DRIVER_INFO_SIZE 256U

#define VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME "VK_KHR_portability_enumeration"
#define VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME "VK_KHR_pipeline_executable_properties"
#define VK_EXT_CALIBRATED_TIMESTAMPS_EXTENSION_NAME "VK_EXT_calibrated_timestamps"
#define VK_EXT_DEBUG_UTILS_EXTENSION_NAME "VK_EXT_debug_utils"
#define VK_EXT_MEMORY_BUDGET_EXTENSION_NAME "VK_EXT_memory_budget"
#define VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME "VK_EXT_subgroup_size_control"

/* ---- scalars and handles ---- */
typedef uint32_t VkBool32, VkFlags, VkSampleMask;
typedef uint64_t VkDeviceSize, VkDeviceAddress;
typedef VkFlags VkAccessFlags, VkBufferCreateFlags, VkBufferUsageFlags, VkCommandBufferResetFlags, VkCommandBufferUsageFlags;
typedef VkFlags VkCommandPoolCreateFlags, VkDebugUtilsMessageSeverityFlagsEXT, VkDebugUtilsMessageTypeFlagsEXT;
typedef VkFlags VkDebugUtilsMessengerCallbackDataFlagsEXT, VkDebugUtilsMessengerCreateFlagsEXT, VkDependencyFlags;
typedef VkFlags VkDeviceCreateFlags, VkDeviceQueueCreateFlags, VkFenceCreateFlags, VkInstanceCreateFlags, VkMemoryAllocateFlags;
typedef VkFlags VkMemoryHeapFlags, VkMemoryMapFlags, VkMemoryPropertyFlags, VkPipelineCacheCreateFlags, VkPipelineCreateFlags;
typedef VkFlags VkPipelineLayoutCreateFlags, VkPipelineShaderStageCreateFlags, VkPipelineStageFlags, VkQueryPipelineStatisticFlags;
typedef VkFlags VkQueryPoolCreateFlags, VkQueryResultFlags, VkQueueFlags, VkSampleCountFlags, VkShaderModuleCreateFlags;
typedef VkFlags VkShaderStageFlags, VkSubgroupFeatureFlags;

#define VK_DEFINE_HANDLE(name) typedef struct name##_T *name;
#if UINTPTR_MAX > 0xFFFFFFFFU
#define VK_DEFINE_NON_DISPATCHABLE_HANDLE(name) typedef struct name##_T *name;
#else
#define VK_DEFINE_NON_DISPATCHABLE_HANDLE(name) typedef uint64_t name;
#endif
VK_DEFINE_HANDLE(VkInstance)
VK_DEFINE_HANDLE(VkPhysicalDevice)
VK_DEFINE_HANDLE(VkDevice)
VK_DEFINE_HANDLE(VkQueue)
VK_DEFINE_HANDLE(VkCommandBuffer)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkBuffer)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkCommandPool)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkDebugUtilsMessengerEXT)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkDescriptorSetLayout)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkDeviceMemory)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkFence)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkPipeline)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkPipelineCache)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkPipelineLayout)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkQueryPool)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkSemaphore)
VK_DEFINE_NON_DISPATCHABLE_HANDLE(VkShaderModule)

/* Seen through pointers that are NULL. */
typedef struct VkAllocationCallbacks VkAllocationCallbacks;
typedef struct VkCommandBufferInheritanceInfo VkCommandBufferInheritanceInfo;
typedef struct VkDebugUtilsLabelEXT VkDebugUtilsLabelEXT;
typedef struct VkDebugUtilsObjectNameInfoEXT VkDebugUtilsObjectNameInfoEXT;
typedef struct VkImageMemoryBarrier VkImageMemoryBarrier;

#include "vulkan/vk_enums.h"
#include "vulkan/vk_limits.h"
#include "vulkan/vk_structs.h"
#include "vulkan/vk_functions.h"
#endif
