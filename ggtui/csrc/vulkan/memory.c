/* Memory of a device, and what moves in and out of it. Shaders get addresses, so a buffer may be as large as an allocation. */
#include <stdlib.h>
#include <string.h>

#include "vulkan/device.h"

enum { STAGING = 16 << 20 };

/* The kind of memory for a use, best first; flags that it must have, and those it should. */
static int find_memory(const gg_vk_device *d, uint32_t allowed, int use) {
    static const struct {
        VkMemoryPropertyFlags must, should;
    } wanted[] = {
        [GG_VK_LOCAL] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0},
        [GG_VK_SHARED] = {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                          VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT},
        [GG_VK_READ_BACK] = {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                             VK_MEMORY_PROPERTY_HOST_CACHED_BIT},
    };
    int found = -1;
    for (uint32_t i = 0; i < d->memory.memoryTypeCount; i++) {
        const VkMemoryPropertyFlags flags = d->memory.memoryTypes[i].propertyFlags;
        if ((allowed >> i & 1) && (flags & wanted[use].must) == wanted[use].must) {
            if ((flags & wanted[use].should) == wanted[use].should) {
                return (int)i;
            }
            found = found < 0 ? (int)i : found;
        }
    }
    return found;
}

static int allocate(gg_vk_buffer *b, uint64_t n_bytes, int use) {
    gg_vk_device *d = b->device;
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = n_bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
    VkResult result = d->api.CreateBuffer(d->device, &info, NULL, &b->buffer);
    if (result != VK_SUCCESS) {
        return gg_vk_failed("vkCreateBuffer", result);
    }
    VkMemoryRequirements needs;
    d->api.GetBufferMemoryRequirements(d->device, b->buffer, &needs);
    const int type = find_memory(d, needs.memoryTypeBits, use);
    if (type < 0) {
        return gg_fail(GG_NO_MEMORY, "the device has no memory of the kind that is needed");
    }
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    const VkMemoryAllocateInfo wanted = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                         .pNext = &flags,
                                         .allocationSize = needs.size,
                                         .memoryTypeIndex = (uint32_t)type};
    result = d->api.AllocateMemory(d->device, &wanted, NULL, &b->memory);
    if (result == VK_SUCCESS) {
        result = d->api.BindBufferMemory(d->device, b->buffer, b->memory, 0);
    }
    if (result != VK_SUCCESS) {
        return gg_vk_failed("memory of the device", result);
    }
    const VkMemoryPropertyFlags has = d->memory.memoryTypes[type].propertyFlags;
    const VkMemoryPropertyFlags seen = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    if ((has & seen) == seen) {
        void *host = NULL;
        result = d->api.MapMemory(d->device, b->memory, 0, VK_WHOLE_SIZE, 0, &host);
        if (result != VK_SUCCESS) {
            return gg_vk_failed("vkMapMemory", result);
        }
        b->host = host;
    }
    const VkBufferDeviceAddressInfo at = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = b->buffer};
    b->address = d->api.GetBufferDeviceAddress(d->device, &at);
    b->n_bytes = n_bytes;
    return GG_OK;
}

gg_vk_buffer *gg_vk_buffer_new(gg_vk_device *d, int64_t n_bytes, int use) {
    if (n_bytes <= 0 || use < GG_VK_LOCAL || use > GG_VK_READ_BACK) {
        gg_fail(GG_FAILED, "a buffer of %lld bytes for use %d", (long long)n_bytes, use);
        return NULL;
    }
    if (gg_vk_elsewhere(d)) {
        gg_vk_refuse_fork();
        return NULL;
    }
    const uint64_t whole = ((uint64_t)n_bytes + 3) / 4 * 4; /* memory is cleared in words */
    gg_vk_buffer *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        gg_fail(GG_NO_MEMORY, "no memory for a buffer");
        return NULL;
    }
    b->device = gg_vk_hold(d);
    int status = GG_OK;
    if (whole > (uint64_t)d->info.max_allocation) {
        status = gg_fail(GG_NO_MEMORY, "a tensor of %lld bytes; the device has at most %lld in one piece", (long long)n_bytes,
                         (long long)d->info.max_allocation);
    } else {
        status = allocate(b, whole, use);
    }
    if (status == GG_OK) {
        pthread_mutex_lock(&d->lock);
        status = gg_vk_begin(d);
        if (status == GG_OK) {
            d->api.CmdFillBuffer(d->once.commands, b->buffer, 0, VK_WHOLE_SIZE, 0);
            status = gg_vk_submit(d);
        }
        pthread_mutex_unlock(&d->lock);
    }
    if (status != GG_OK) {
        gg_vk_buffer_free(b);
        return NULL;
    }
    return b;
}

static void destroy(gg_vk_buffer *b) {
    b->device->api.DestroyBuffer(b->device->device, b->buffer, NULL);
    b->device->api.FreeMemory(b->device->device, b->memory, NULL);
    free(b);
}

void gg_vk_buffer_free(gg_vk_buffer *b) {
    if (b != NULL && !gg_vk_elsewhere(b->device)) {
        gg_vk_device *d = b->device;
        destroy(b);
        gg_vk_let_go(d);
    }
}

void gg_vk_free_staging(gg_vk_device *d) {
    if (d->staging != NULL) {
        destroy(d->staging);
        d->staging = NULL;
    }
}

uint64_t gg_vk_buffer_address(const gg_vk_buffer *b) { return b->address; }

void *gg_vk_buffer_host(const gg_vk_buffer *b) { return b->host; }

static int in_bounds(const gg_vk_buffer *b, int64_t at, int64_t n) {
    return at >= 0 && n >= 0 && (uint64_t)at <= b->n_bytes && (uint64_t)n <= b->n_bytes - (uint64_t)at;
}

static int copy_locked(const gg_vk_buffer *from, uint64_t from_at, const gg_vk_buffer *to, uint64_t to_at, uint64_t n) {
    gg_vk_device *d = to->device;
    const int status = gg_vk_begin(d);
    if (status != GG_OK) {
        return status;
    }
    const VkBufferCopy region = {from_at, to_at, n};
    d->api.CmdCopyBuffer(d->once.commands, from->buffer, to->buffer, 1, &region);
    return gg_vk_submit(d);
}

int gg_vk_copy(const gg_vk_buffer *from, int64_t from_at, const gg_vk_buffer *to, int64_t to_at, int64_t n) {
    if (from->device != to->device || !in_bounds(from, from_at, n) || !in_bounds(to, to_at, n)) {
        return gg_fail(GG_FAILED, "a copy of %lld bytes reaches past a buffer", (long long)n);
    }
    if (n == 0) {
        return GG_OK;
    }
    if (gg_vk_elsewhere(to->device)) {
        return gg_vk_refuse_fork();
    }
    pthread_mutex_lock(&to->device->lock);
    const int status = copy_locked(from, (uint64_t)from_at, to, (uint64_t)to_at, (uint64_t)n);
    pthread_mutex_unlock(&to->device->lock);
    return status;
}

int gg_vk_make_staging(gg_vk_device *d) {
    const int type = find_memory(d, UINT32_MAX, GG_VK_LOCAL);
    if (type >= 0 && d->memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) {
        return GG_OK; /* all of it is seen from here */
    }
    d->staging = gg_vk_buffer_new(d, STAGING, GG_VK_READ_BACK);
    if (d->staging == NULL) {
        return GG_NO_MEMORY;
    }
    gg_vk_let_go(d); /* else it would hold itself */
    return GG_OK;
}

/* In pieces through memory that both see. */
static int through_staging(gg_vk_buffer *b, uint64_t at, uint8_t *host, uint64_t n, int up) {
    gg_vk_device *d = b->device;
    pthread_mutex_lock(&d->lock);
    int status = GG_OK;
    for (uint64_t done = 0; done < n && status == GG_OK; done += STAGING) {
        const uint64_t part = n - done < STAGING ? n - done : STAGING;
        if (up) {
            memcpy(d->staging->host, host + done, part);
            status = copy_locked(d->staging, 0, b, at + done, part);
        } else {
            status = copy_locked(b, at + done, d->staging, 0, part);
            if (status == GG_OK) {
                memcpy(host + done, d->staging->host, part);
            }
        }
    }
    pthread_mutex_unlock(&d->lock);
    return status;
}

static int move(gg_vk_buffer *b, int64_t at, void *host, int64_t n, int up) {
    if (!in_bounds(b, at, n)) {
        return gg_fail(GG_FAILED, "%lld bytes at %lld reach past a buffer of %llu", (long long)n, (long long)at,
                       (unsigned long long)b->n_bytes);
    }
    if (gg_vk_elsewhere(b->device)) {
        return gg_vk_refuse_fork();
    }
    if (b->host == NULL && b->device->staging == NULL) {
        return gg_fail(GG_FAILED, "the device's memory is not seen from here, and there is none to go through");
    }
    if (b->host == NULL) {
        return through_staging(b, (uint64_t)at, host, (uint64_t)n, up);
    }
    memcpy(up ? (void *)(b->host + at) : host, up ? host : (void *)(b->host + at), (size_t)n);
    return GG_OK;
}

int gg_vk_upload(gg_vk_buffer *b, int64_t at, const void *from, int64_t n) { return move(b, at, (void *)from, n, 1); }

int gg_vk_download(gg_vk_buffer *b, int64_t at, void *to, int64_t n) { return move(b, at, to, n, 0); }
