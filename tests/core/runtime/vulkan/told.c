/* A driver that tells what it made of a shader, and one that fails at call number `argv[1]`. Prints what becomes of it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan/executables.h"
#include "vulkan/pipeline.h"

static int calls_left;
static char problem[256];

int gg_fail(int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof(problem), format, args);
    va_end(args);
    return status;
}

const char *gg_vk_result(VkResult result) { return result == VK_ERROR_OUT_OF_HOST_MEMORY ? "no memory" : "another"; }

static VkResult result(void) { return calls_left-- == 0 ? VK_ERROR_OUT_OF_HOST_MEMORY : VK_SUCCESS; }

static VkResult properties(VkDevice device, const VkPipelineInfoKHR *of, uint32_t *n, VkPipelineExecutablePropertiesKHR *found) {
    (void)device;
    const VkResult said = result();
    if (of->sType != VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR) return VK_ERROR_UNKNOWN;
    for (uint32_t i = 0; found && i < *n; i++) {
        if (found[i].sType != VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR) return VK_ERROR_UNKNOWN;
        snprintf(found[i].name, sizeof(found[i].name), "Compute %u", i);
        found[i].subgroupSize = 32 << i;
    }
    *n = 2;
    return said;
}

static VkResult statistics(VkDevice device, const VkPipelineExecutableInfoKHR *of, uint32_t *n,
                           VkPipelineExecutableStatisticKHR *found) {
    (void)device;
    static const VkPipelineExecutableStatisticKHR all[] = {
        {.name = "Registers", .description = "of a thread", .format = VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR,
         .value.u64 = UINT64_MAX},
        {.name = "Spills", .format = VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR, .value.i64 = -1},
        {.name = "Fast", .format = VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR, .value.b32 = VK_TRUE},
        {.name = "Full", .format = VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR, .value.f64 = 0.5},
        {.format = (VkPipelineExecutableStatisticFormatKHR)9},
    };
    const VkResult said = result();
    if (of->executableIndex == 1) { /* of which there are none */
        *n = 0;
        return said;
    }
    if (found) {
        if (*n != 5 || found[4].sType != VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR) return VK_ERROR_UNKNOWN;
        memcpy(found, all, sizeof(all));
        memset(found[4].name, 'x', sizeof(found[4].name)); /* without an end, which no driver may do */
    }
    *n = 5;
    return said;
}

static VkResult representations(VkDevice device, const VkPipelineExecutableInfoKHR *of, uint32_t *n,
                                VkPipelineExecutableInternalRepresentationKHR *found) {
    (void)device;
    static const char code[] = "MOV R0, R1\nEXIT";
    const VkResult said = result();
    const uint32_t have = of->executableIndex == 1 ? 2 : 0;
    for (uint32_t i = 0; found && i < have; i++) {
        if (found[i].sType != VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR) return VK_ERROR_UNKNOWN;
        snprintf(found[i].name, sizeof(found[i].name), i == 0 ? "Assembly" : "Binary");
        snprintf(found[i].description, sizeof(found[i].description), i == 0 ? "the last stage" : "");
        found[i].isText = i == 0;
        if (found[i].pData && found[i].dataSize == sizeof(code)) memcpy(found[i].pData, code, sizeof(code));
        found[i].dataSize = sizeof(code);
    }
    *n = have;
    return said;
}

static int made, freed;
static VkPipelineCreateFlags wanted;

gg_vk_pipeline *gg_vk_pipeline_make(gg_vk_device *d, const char *name, const uint32_t *words, int64_t n_bytes,
                                    const uint32_t *constants, int n_constants, int subgroup, VkPipelineCreateFlags flags) {
    (void)d, (void)name, (void)words, (void)n_bytes, (void)constants, (void)n_constants, (void)subgroup;
    wanted = flags;
    made++;
    return result() == VK_SUCCESS ? calloc(1, sizeof(gg_vk_pipeline)) : NULL;
}

void gg_vk_pipeline_free(gg_vk_pipeline *p) {
    freed += p != NULL;
    free(p);
}

int main(int n, char **args) {
    calls_left = n > 1 ? atoi(args[1]) : -1;
    gg_vk_device *d = calloc(1, sizeof(*d));
    if (!d) return 1;
    char *told = gg_vk_pipeline_text(d, "none", NULL, 0, NULL, 0, 0); /* the device can't tell */
    if (!told || *told || made) return 2;
    gg_vk_text_free(told);
    d->info.executables = 1;
    d->api.GetPipelineExecutablePropertiesKHR = properties;
    d->api.GetPipelineExecutableStatisticsKHR = statistics;
    d->api.GetPipelineExecutableInternalRepresentationsKHR = representations;
    told = gg_vk_pipeline_text(d, "shader", NULL, 0, NULL, 0, 0);
    const VkPipelineCreateFlags both =
        VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
    if (made != 1 || wanted != both || (told && freed != 1)) return 3;
    printf("%s", told ? told : problem);
    gg_vk_text_free(told);
    free(d);
    return 0;
}
