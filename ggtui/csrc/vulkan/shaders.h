/* The shaders of this build: every file of vulkan/shaders/ in SPIR-V for Vulkan 1.2. The build writes the table, see
 * build_ffi.py; it is empty where no compiler of shaders was found. */
#ifndef GG_VULKAN_SHADERS_H
#define GG_VULKAN_SHADERS_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name; /* of the file, without .comp; rows are sorted by it */
    const uint32_t *words;
    size_t n_bytes;
} gg_vk_shader;
extern const gg_vk_shader gg_vk_shaders[]; /* one row more than there are shaders, with no name */
extern const int gg_vk_n_shaders;
#endif
