/* The clock of a device's queue and the processor's, so that both can be drawn on one axis. */
#include <time.h>

#include "vulkan/device.h"

static const int64_t CALIBRATE_EVERY_NS = 100 * 1000 * 1000;

int64_t gg_vk_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Both read at once, where the device can. */
static int read_together(gg_vk_device *d) {
    const VkCalibratedTimestampInfoEXT infos[2] = {
        {.sType = VK_STRUCTURE_TYPE_CALIBRATED_TIMESTAMP_INFO_EXT, .timeDomain = VK_TIME_DOMAIN_DEVICE_EXT},
        {.sType = VK_STRUCTURE_TYPE_CALIBRATED_TIMESTAMP_INFO_EXT, .timeDomain = VK_TIME_DOMAIN_CLOCK_MONOTONIC_EXT}};
    uint64_t said[2], deviation = 0;
    if (!d->info.calibrated || d->api.GetCalibratedTimestampsEXT == NULL ||
        d->api.GetCalibratedTimestampsEXT(d->device, 2, infos, said, &deviation) != VK_SUCCESS) {
        return 0;
    }
    d->clocks.device_at = said[0];
    d->clocks.host_at = (int64_t)said[1];
    d->clocks.error_ns = (double)deviation;
    return 1;
}

/* A stamp of the queue's, taken between two readings of the processor's. */
static int bracket(gg_vk_device *d) {
    uint64_t tick = 0;
    const int64_t before = gg_vk_clock_ns();
    int status = gg_vk_begin(d);
    if (status == GG_OK) {
        d->api.CmdResetQueryPool(d->once.commands, d->clocks.query, 0, 1);
        d->api.CmdWriteTimestamp(d->once.commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, d->clocks.query, 0);
        status = gg_vk_submit(d);
    }
    const int64_t after = gg_vk_clock_ns();
    if (status == GG_OK) {
        const VkResult result = d->api.GetQueryPoolResults(d->device, d->clocks.query, 0, 1, sizeof(tick), &tick, sizeof(tick),
                                                           VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
        status = result == VK_SUCCESS ? GG_OK : gg_vk_failed("vkGetQueryPoolResults", result);
    }
    d->clocks.device_at = tick;
    d->clocks.host_at = before + (after - before) / 2;
    d->clocks.error_ns = (double)(after - before) / 2;
    return status;
}

int gg_vk_calibrate(gg_vk_device *d) {
    const int64_t now = gg_vk_clock_ns();
    if (d->clocks.read_at && now - d->clocks.read_at < CALIBRATE_EVERY_NS) {
        return GG_OK;
    }
    const int status = read_together(d) ? GG_OK : bracket(d);
    d->clocks.read_at = status == GG_OK ? now : 0;
    return status;
}

int64_t gg_vk_host_ns(const gg_vk_device *d, uint64_t tick) {
    /* Of a counter of few bits the difference is right all the same, unless it went half round since. */
    const uint64_t passed = (tick - d->clocks.device_at) & d->stamp_mask;
    const double ticks = passed > d->stamp_mask / 2 ? -(double)(d->stamp_mask - passed + 1) : (double)passed;
    return d->clocks.host_at + (int64_t)(ticks * d->info.tick_ns);
}
