/* A device that was opened: its queue, its memory, and what is compiled for it. */
#ifndef GG_VK_DEVICE_H
#define GG_VK_DEVICE_H
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/error.h"
#include "vulkan/devices.h"

/* What every shader is handed: the addresses of its step and of where it says that data was bad. */
typedef struct {
    uint64_t step, status;
} gg_vk_pushed;

/* Commands that are recorded, submitted and waited for at once: copies, and what clears memory. */
typedef struct {
    VkCommandBuffer commands;
    VkFence fence;
} gg_vk_once;

struct gg_vk_device {
    gg_vk_info info;
    VkDevice device;
    gg_vk_device_api api;
    VkQueue queue;
    VkPhysicalDeviceMemoryProperties memory;
    uint64_t stamp_mask; /* the bits of the queue's clock that count */
    struct {
        VkQueryPool query;           /* of one stamp */
        int64_t read_at;             /* when both clocks were read last, 0 for never */
        int64_t host_at;             /* and what they said */
        uint64_t device_at;
        double error_ns;             /* by how much that may be off */
    } clocks;
    VkCommandPool pool;
    VkPipelineLayout layout; /* of all pipelines: constants alone that are pushed */
    gg_vk_once once;
    struct gg_vk_buffer *staging; /* NULL where the processor sees all memory; it holds no device */
    pid_t process;                /* that opened it: in a child of fork() it is of no use, and nothing of it may be called */
    atomic_int holders;           /* its own handle, and all that was made of it: the last one closes it */
    pthread_mutex_t lock;         /* held while commands are recorded or submitted */
};

struct gg_vk_buffer {
    struct gg_vk_device *device;
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t address, n_bytes;
    uint8_t *host; /* where the processor sees it, or NULL */
};

/* Leaves a message that names what failed and how; returns a gg_status. */
int gg_vk_failed(const char *what, VkResult result);

/* Whether this is another process than the one that opened the device; and what to fail with then. */
int gg_vk_elsewhere(const struct gg_vk_device *d);
int gg_vk_refuse_fork(void);

/* For who makes something of a device, and when that is freed. */
struct gg_vk_device *gg_vk_hold(struct gg_vk_device *d);
void gg_vk_let_go(struct gg_vk_device *d);

/* The memory through which data goes in and out where the processor does not see the device's. */
int gg_vk_make_staging(struct gg_vk_device *d);
void gg_vk_free_staging(struct gg_vk_device *d);

int64_t gg_vk_clock_ns(void); /* CLOCK_MONOTONIC: what Python's perf_counter reads */
/* Sets the clocks against each other, where that is some time ago. With the lock; needs time stamps. */
int gg_vk_calibrate(struct gg_vk_device *d);
/* A stamp of the queue's as the processor's clock. */
int64_t gg_vk_host_ns(const struct gg_vk_device *d, uint64_t tick);

/* Records into d->once.commands what comes between these two, submits it, and waits. With the lock. */
int gg_vk_begin(struct gg_vk_device *d);
int gg_vk_submit(struct gg_vk_device *d);
#endif
