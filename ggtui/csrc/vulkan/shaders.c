/* The table of shaders, for Python. */
#include <stdbool.h>

#include "gg_vk.h"
#include "vulkan/shaders.h"

int gg_vk_n_shader(void) { return gg_vk_n_shaders; }

static bool is_shader(int i) { return i >= 0 && i < gg_vk_n_shaders; }

const char *gg_vk_shader_name(int i) { return is_shader(i) ? gg_vk_shaders[i].name : NULL; }

const uint32_t *gg_vk_shader_words(int i, int64_t *n_bytes) {
    if (!is_shader(i)) return NULL;
    *n_bytes = (int64_t)gg_vk_shaders[i].n_bytes;
    return gg_vk_shaders[i].words;
}
