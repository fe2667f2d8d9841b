/* What a driver made of a pipeline, as text. */
#ifndef GG_VK_EXECUTABLES_H
#define GG_VK_EXECUTABLES_H
#include "vulkan/loader.h"

/* Of a pipeline that was made with both flags of VK_KHR_pipeline_executable_properties, whose functions the device has. The text is
 * for free(); NULL on failure, see gg_last_error(). */
char *gg_vk_executables(const gg_vk_device_api *api, VkDevice device, VkPipeline pipeline);
#endif
