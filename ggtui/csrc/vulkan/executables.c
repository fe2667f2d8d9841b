/* What a driver made of a shader: VK_KHR_pipeline_executable_properties. A pipeline may become several executables, such as one for
 * each size of subgroups; each has figures, and perhaps its code in several representations. */
#include "vulkan/executables.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan/pipeline.h"

/* A text that grows. Once there is no memory for it, it stays as it is. */
typedef struct {
    char *data;
    size_t n, room;
    int full;
} text;

static void add_bytes(text *t, const char *bytes, size_t n) {
    if (!t->full && t->n + n + 1 > t->room) {
        const size_t room = 2 * (t->n + n + 1);
        char *grown = realloc(t->data, room);
        t->full = grown == NULL;
        t->data = grown != NULL ? grown : t->data;
        t->room = grown != NULL ? room : t->room;
    }
    if (!t->full) {
        memcpy(t->data + t->n, bytes, n);
        t->n += n;
        t->data[t->n] = 0;
    }
}

static void add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(text *t, const char *format, ...) {
    char line[3 * VK_MAX_DESCRIPTION_SIZE]; /* all that is added so has at most two of a driver's names */
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0) {
        add_bytes(t, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    }
}

static void add_statistic(text *t, const VkPipelineExecutableStatisticKHR *s) {
    add(t, "  %.255s: ", s->name);
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: add(t, "%s", s->value.b32 ? "yes" : "no"); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: add(t, "%" PRId64, s->value.i64); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: add(t, "%" PRIu64, s->value.u64); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR: add(t, "%g", s->value.f64); break;
    default: add(t, "of a format that is not known"); break;
    }
    add(t, "%s%.255s%s\n", s->description[0] ? " (" : "", s->description, s->description[0] ? ")" : "");
}

static VkResult add_statistics(text *t, const gg_vk_device_api *api, VkDevice device, const VkPipelineExecutableInfoKHR *of) {
    uint32_t n = 0;
    VkResult result = api->GetPipelineExecutableStatisticsKHR(device, of, &n, NULL);
    if (result != VK_SUCCESS || n == 0) {
        return result;
    }
    VkPipelineExecutableStatisticKHR *found = calloc(n, sizeof(*found));
    if (found == NULL) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        found[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    }
    result = api->GetPipelineExecutableStatisticsKHR(device, of, &n, found);
    for (uint32_t i = 0; result >= 0 && i < n; i++) {
        add_statistic(t, &found[i]);
    }
    free(found);
    return result;
}

/* First asked for its size, then for itself. */
static void add_representation(text *t, const VkPipelineExecutableInternalRepresentationKHR *r) {
    add(t, "%.255s%s%.255s%s:", r->name, r->description[0] ? " (" : "", r->description, r->description[0] ? ")" : "");
    if (!r->isText) {
        add(t, " %zu bytes that are no text\n", r->dataSize);
        return;
    }
    const char *const end = memchr(r->pData, 0, r->dataSize);
    add(t, "\n");
    add_bytes(t, r->pData, end != NULL ? (size_t)(end - (const char *)r->pData) : r->dataSize);
    add(t, "\n");
}

static VkResult add_representations(text *t, const gg_vk_device_api *api, VkDevice device, const VkPipelineExecutableInfoKHR *of) {
    uint32_t n = 0;
    VkResult result = api->GetPipelineExecutableInternalRepresentationsKHR(device, of, &n, NULL);
    if (result != VK_SUCCESS || n == 0) {
        return result;
    }
    const uint32_t most = n;
    VkPipelineExecutableInternalRepresentationKHR *found = calloc(n, sizeof(*found));
    if (found == NULL) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        found[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    }
    result = api->GetPipelineExecutableInternalRepresentationsKHR(device, of, &n, found);
    for (uint32_t i = 0; result >= 0 && i < n; i++) {
        found[i].pData = calloc(found[i].dataSize + 1, 1);
        result = found[i].pData != NULL ? result : VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    if (result >= 0) {
        result = api->GetPipelineExecutableInternalRepresentationsKHR(device, of, &n, found);
    }
    for (uint32_t i = 0; i < most; i++) {
        if (result >= 0 && i < n) {
            add_representation(t, &found[i]);
        }
        free(found[i].pData);
    }
    free(found);
    return result;
}

static VkResult add_executables(text *t, const gg_vk_device_api *api, VkDevice device, VkPipeline pipeline) {
    const VkPipelineInfoKHR whole = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
    uint32_t n = 0;
    VkResult result = api->GetPipelineExecutablePropertiesKHR(device, &whole, &n, NULL);
    if (result != VK_SUCCESS || n == 0) {
        return result;
    }
    VkPipelineExecutablePropertiesKHR *found = calloc(n, sizeof(*found));
    if (found == NULL) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        found[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    }
    result = api->GetPipelineExecutablePropertiesKHR(device, &whole, &n, found);
    for (uint32_t i = 0; result >= 0 && i < n; i++) {
        const VkPipelineExecutableInfoKHR of = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = i};
        add(t, "%.255s, subgroups of %u\n", found[i].name, found[i].subgroupSize);
        result = add_statistics(t, api, device, &of);
        if (result >= 0) {
            result = add_representations(t, api, device, &of);
        }
    }
    free(found);
    return result;
}

char *gg_vk_executables(const gg_vk_device_api *api, VkDevice device, VkPipeline pipeline) {
    text t = {0};
    add_bytes(&t, "", 0);
    const VkResult result = add_executables(&t, api, device, pipeline);
    if (result >= 0 && !t.full) {
        return t.data;
    }
    gg_fail(GG_FAILED, "what the driver made of a shader: %s", gg_vk_result(t.full ? VK_ERROR_OUT_OF_HOST_MEMORY : result));
    free(t.data);
    return NULL;
}

char *gg_vk_pipeline_text(gg_vk_device *d, const char *name, const uint32_t *words, int64_t n_bytes, const uint32_t *constants,
                          int n_constants, int subgroup) {
    const gg_vk_device_api *api = &d->api;
    if (!d->info.executables || api->GetPipelineExecutablePropertiesKHR == NULL ||
        api->GetPipelineExecutableStatisticsKHR == NULL || api->GetPipelineExecutableInternalRepresentationsKHR == NULL) {
        char *nothing = calloc(1, 1);
        if (nothing == NULL) {
            gg_fail(GG_NO_MEMORY, "no memory for a text");
        }
        return nothing;
    }
    gg_vk_pipeline *p = gg_vk_pipeline_make(
        d, name, words, n_bytes, constants, n_constants, subgroup,
        VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR);
    char *told = p != NULL ? gg_vk_executables(api, d->device, p->pipeline) : NULL;
    gg_vk_pipeline_free(p);
    return told;
}

void gg_vk_text_free(char *told) { free(told); }
