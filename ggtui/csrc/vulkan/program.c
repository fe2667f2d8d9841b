/* Programs: commands that are recorded once and submitted for each run. What differs from run to run, sizes above all, lies in
 * memory that both sides see: a gg_vk_step for each node, whose address the shader is given. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan/pipeline.h"

enum { SPINS = 2000, MAX_GROUPS = 65535 /* what every device allows */ };

/* What shaders leave behind: 0, or 1 + the number of a node that met bad data. Before the steps. */
typedef struct {
    uint32_t failed;
    uint32_t unused[15];
} run_status;

/* The commands of a run: of so many steps, with stamps or without, in pieces that are submitted one after the other. */
typedef struct {
    VkCommandBuffer *pieces;
    int n_pieces, n_steps, stamped;
} recording;

struct gg_vk_program {
    gg_vk_device *device;
    gg_vk_buffer *memory; /* a run_status and the steps */
    gg_vk_dispatch *dispatches;
    gg_vk_pipeline **pipelines; /* of each step */
    uint8_t *varies;            /* whether a step's groups do */
    gg_patch *patches;
    int64_t *capacities;        /* of each patch: the largest value */
    int n_steps, n_patches;
    recording plain, stamped, partial;
    VkFence fences[2]; /* of two pieces that the queue may have */
    VkQueryPool queries;
    uint64_t *ticks;
    atomic_int stop;
    pthread_mutex_t running; /* held during a run */
};

static gg_vk_step *steps_of(const gg_vk_program *p) { return (gg_vk_step *)(p->memory->host + sizeof(run_status)); }

static uint64_t address_of(const gg_vk_program *p, int step) {
    return p->memory->address + sizeof(run_status) + (uint64_t)step * sizeof(gg_vk_step);
}

static gg_vk_tensor *tensor_of(gg_vk_step *step, int32_t i) { return i < 0 ? &step->dst : &step->src[i]; }

/* As many groups as cover the sizes, as far as the device allows so many. */
static void set_groups(const gg_vk_program *p, int i) {
    gg_vk_step *step = &steps_of(p)[i];
    const gg_vk_dispatch *dispatch = &p->dispatches[i];
    const gg_vk_tensor *t = tensor_of(step, dispatch->covers);
    for (int g = 0; g < 3; g++) {
        uint64_t n = 1;
        for (int d = 0; d < 4; d++) {
            n *= dispatch->dims[g] >> d & 1 ? t->ne[d] : 1;
        }
        n = (n + dispatch->per[g] - 1) / dispatch->per[g];
        step->groups[g] = (uint32_t)(n < MAX_GROUPS ? n : MAX_GROUPS);
    }
}

static int check(const gg_vk_dispatch *dispatches, int n_steps, const gg_patch *patches, int n_patches) {
    for (int i = 0; i < n_steps; i++) {
        const gg_vk_dispatch *d = &dispatches[i];
        if (d->covers < -1 || d->covers >= GG_MAX_SRC || d->pipeline < 0 || !d->per[0] || !d->per[1] || !d->per[2]) {
            return gg_fail(GG_FAILED, "step %d can't be dispatched", i);
        }
    }
    for (int i = 0; i < n_patches; i++) {
        const gg_patch *patch = &patches[i];
        const int most = patch->place == GG_PATCH_NE ? 4 : GG_MAX_PARAMS;
        if (patch->step < 0 || patch->step >= n_steps || patch->tensor < -1 || patch->tensor >= GG_MAX_SRC || patch->index < 0 ||
            patch->index >= most || patch->var < 0) {
            return gg_fail(GG_FAILED, "patch %d points at nothing", i);
        }
    }
    return GG_OK;
}

static void *copy_of(const void *data, size_t n, size_t size) {
    void *made = calloc(n + 1, size);
    if (made != NULL && n > 0) {
        memcpy(made, data, n * size);
    }
    return made;
}

static int make_objects(gg_vk_program *p) {
    gg_vk_device *d = p->device;
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkResult result = VK_SUCCESS;
    for (int i = 0; i < 2 && result == VK_SUCCESS; i++) {
        result = d->api.CreateFence(d->device, &fence, NULL, &p->fences[i]);
    }
    if (result != VK_SUCCESS) {
        return gg_vk_failed("vkCreateFence", result);
    }
    if (d->info.timestamp_bits > 0) {
        const VkQueryPoolCreateInfo queries = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                               .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                               .queryCount = (uint32_t)p->n_steps + 1};
        result = d->api.CreateQueryPool(d->device, &queries, NULL, &p->queries);
    }
    return result == VK_SUCCESS ? GG_OK : gg_vk_failed("vkCreateQueryPool", result);
}

gg_vk_program *gg_vk_program_new(gg_vk_device *d, const gg_vk_step *steps, const gg_vk_dispatch *dispatches, int n_steps,
                                 gg_vk_pipeline *const *pipelines, const gg_patch *patches, int n_patches) {
    if (gg_vk_elsewhere(d)) {
        gg_vk_refuse_fork();
        return NULL;
    }
    if (check(dispatches, n_steps, patches, n_patches) != GG_OK) {
        return NULL;
    }
    gg_vk_program *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        gg_fail(GG_NO_MEMORY, "no memory for a program");
        return NULL;
    }
    pthread_mutex_init(&p->running, NULL);
    p->device = gg_vk_hold(d);
    p->n_steps = n_steps;
    p->n_patches = n_patches;
    p->dispatches = copy_of(dispatches, (size_t)n_steps, sizeof(*dispatches));
    p->patches = copy_of(patches, (size_t)n_patches, sizeof(*patches));
    p->pipelines = calloc((size_t)n_steps + 1, sizeof(*p->pipelines));
    p->varies = calloc((size_t)n_steps + 1, sizeof(*p->varies));
    p->capacities = calloc((size_t)n_patches + 1, sizeof(*p->capacities));
    p->ticks = calloc((size_t)n_steps + 1, sizeof(*p->ticks));
    p->memory = gg_vk_buffer_new(d, (int64_t)(sizeof(run_status) + ((size_t)n_steps + 1) * sizeof(gg_vk_step)), GG_VK_SHARED);
    if (p->memory == NULL || p->dispatches == NULL || p->patches == NULL || p->pipelines == NULL || p->varies == NULL ||
        p->capacities == NULL || p->ticks == NULL || make_objects(p) != GG_OK) {
        gg_vk_program_free(p);
        return NULL;
    }
    memcpy(steps_of(p), steps, (size_t)n_steps * sizeof(*steps));
    for (int i = 0; i < n_steps; i++) {
        p->pipelines[i] = pipelines[dispatches[i].pipeline];
        set_groups(p, i);
    }
    for (int i = 0; i < n_patches; i++) {
        const gg_patch *patch = &patches[i];
        if (patch->place == GG_PATCH_NE) {
            p->capacities[i] = tensor_of(&steps_of(p)[patch->step], patch->tensor)->ne[patch->index];
            p->varies[patch->step] |= patch->tensor == dispatches[patch->step].covers;
        } else {
            p->capacities[i] = INT32_MAX;
        }
    }
    return p;
}

static void free_recording(gg_vk_program *p, recording *r) {
    if (r->pieces != NULL) {
        p->device->api.FreeCommandBuffers(p->device->device, p->device->pool, (uint32_t)r->n_pieces, r->pieces);
        free(r->pieces);
        r->pieces = NULL;
    }
}

void gg_vk_program_free(gg_vk_program *p) {
    if (p == NULL || gg_vk_elsewhere(p->device)) {
        return;
    }
    gg_vk_device *d = p->device;
    pthread_mutex_lock(&d->lock);
    free_recording(p, &p->plain);
    free_recording(p, &p->stamped);
    free_recording(p, &p->partial);
    pthread_mutex_unlock(&d->lock);
    d->api.DestroyFence(d->device, p->fences[0], NULL);
    d->api.DestroyFence(d->device, p->fences[1], NULL);
    d->api.DestroyQueryPool(d->device, p->queries, NULL);
    gg_vk_buffer_free(p->memory);
    free(p->dispatches);
    free(p->pipelines);
    free(p->varies);
    free(p->patches);
    free(p->capacities);
    free(p->ticks);
    pthread_mutex_destroy(&p->running);
    free(p);
    gg_vk_let_go(d);
}

static void meet(const gg_vk_program *p, VkCommandBuffer commands) {
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    p->device->api.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                                      VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
}

/* Steps `first` to `end` - 1. */
static void record_steps(const gg_vk_program *p, VkCommandBuffer commands, int first, int end, int stamped) {
    const gg_vk_device_api *api = &p->device->api;
    VkPipeline bound = VK_NULL_HANDLE;
    meet(p, commands); /* with what was done before: earlier pieces, copies */
    if (stamped && first == 0) {
        api->CmdResetQueryPool(commands, p->queries, 0, (uint32_t)p->n_steps + 1);
        api->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, p->queries, 0);
    }
    for (int i = first; i < end; i++) {
        /* What a stamp is to be of alone must not run beside others. */
        if (i > 0 && (stamped || p->dispatches[i].barrier)) {
            meet(p, commands);
        }
        if (p->pipelines[i]->pipeline != bound) {
            bound = p->pipelines[i]->pipeline;
            api->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, bound);
        }
        const gg_vk_pushed pushed = {address_of(p, i), p->memory->address};
        api->CmdPushConstants(commands, p->device->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(pushed), &pushed);
        const uint32_t *groups = steps_of(p)[i].groups;
        if (p->varies[i]) {
            const uint64_t at = sizeof(run_status) + (uint64_t)i * sizeof(gg_vk_step) + offsetof(gg_vk_step, groups);
            api->CmdDispatchIndirect(commands, p->memory->buffer, at);
        } else if (groups[0] && groups[1] && groups[2]) {
            api->CmdDispatch(commands, groups[0], groups[1], groups[2]);
        }
        if (stamped) {
            api->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, p->queries, (uint32_t)i + 1);
        }
    }
    /* Whoever reads results on the processor, and the next run. */
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_SHADER_READ_BIT |
                                                      VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                                                      VK_ACCESS_TRANSFER_WRITE_BIT};
    api->CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                            VK_PIPELINE_STAGE_HOST_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, 0,
                            1, &barrier, 0, NULL, 0, NULL);
}

/* The commands for so many steps, recorded unless they are already. With the lock. */
static int recorded(gg_vk_program *p, recording *r, int n_steps, int stamped) {
    gg_vk_device *d = p->device;
    if (r->pieces != NULL && r->n_steps == n_steps && r->stamped == stamped) {
        return GG_OK;
    }
    free_recording(p, r);
    r->n_pieces = 1;
    for (int i = 0; i < n_steps - 1; i++) {
        r->n_pieces += p->dispatches[i].ends != 0;
    }
    r->pieces = calloc((size_t)r->n_pieces, sizeof(*r->pieces));
    if (r->pieces == NULL) {
        return gg_fail(GG_NO_MEMORY, "no memory for commands");
    }
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = d->pool,
                                              .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                              .commandBufferCount = (uint32_t)r->n_pieces};
    VkResult result = d->api.AllocateCommandBuffers(d->device, &info, r->pieces);
    if (result != VK_SUCCESS) {
        free(r->pieces);
        r->pieces = NULL;
    }
    for (int i = 0, first = 0; i < r->n_pieces && result == VK_SUCCESS; i++) {
        int end = first;
        while (end < n_steps && !p->dispatches[end++].ends) {
        }
        const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
        result = d->api.BeginCommandBuffer(r->pieces[i], &begin);
        if (result == VK_SUCCESS) {
            record_steps(p, r->pieces[i], first, end, stamped);
            result = d->api.EndCommandBuffer(r->pieces[i]);
        }
        first = end;
    }
    if (result != VK_SUCCESS) {
        free_recording(p, r);
        return gg_vk_failed("recording commands", result);
    }
    r->n_steps = n_steps;
    r->stamped = stamped;
    return GG_OK;
}

static int patch_steps(gg_vk_program *p, const int64_t *vars) {
    gg_vk_step *steps = steps_of(p);
    for (int i = 0; i < p->n_patches; i++) {
        const gg_patch *patch = &p->patches[i];
        const int64_t value = vars[patch->var];
        if (value < 0 || value > p->capacities[i]) {
            return gg_fail(GG_FAILED, "step %d: run-time variable %d is %lld; must be 0 to %lld", patch->step, patch->var,
                           (long long)value, (long long)p->capacities[i]);
        }
        if (patch->place == GG_PATCH_NE) {
            tensor_of(&steps[patch->step], patch->tensor)->ne[patch->index] = (uint32_t)value;
        } else {
            steps[patch->step].params[patch->index].i = (int32_t)value;
        }
    }
    for (int i = 0; i < p->n_steps; i++) {
        if (p->varies[i]) {
            set_groups(p, i);
        }
    }
    return GG_OK;
}

static int read_stamps(gg_vk_program *p, int n_steps, gg_vk_times *times) {
    gg_vk_device *d = p->device;
    const uint32_t n = (uint32_t)n_steps + 1;
    const VkResult result = d->api.GetQueryPoolResults(d->device, p->queries, 0, n, n * sizeof(uint64_t), p->ticks, sizeof(uint64_t),
                                                       VK_QUERY_RESULT_64_BIT); /* they are there: the fence says so */
    if (result != VK_SUCCESS) {
        return gg_vk_failed("vkGetQueryPoolResults", result);
    }
    for (uint32_t i = 0; i < n; i++) {
        times->stamps[i] = gg_vk_host_ns(d, p->ticks[i]);
    }
    times->n = n;
    times->error_ns = d->clocks.error_ns;
    return GG_OK;
}

/* The wait is short for a token: first the fence is asked again and again. */
static VkResult wait_for(gg_vk_device *d, VkFence fence) {
    for (int i = 0; i < SPINS; i++) {
        const VkResult result = d->api.GetFenceStatus(d->device, fence);
        if (result != VK_NOT_READY) {
            return result;
        }
    }
    return d->api.WaitForFences(d->device, 1, &fence, VK_TRUE, UINT64_MAX);
}

/* Hands a piece to the queue. With the lock. */
static VkResult submit(const gg_vk_program *p, const recording *r, int piece) {
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &r->pieces[piece]};
    return p->device->api.QueueSubmit(p->device->queue, 1, &info, p->fences[piece % 2]);
}

static int run(gg_vk_program *p, const int64_t *vars, int n_steps, gg_vk_times *times) {
    gg_vk_device *d = p->device;
    n_steps = n_steps < 0 || n_steps > p->n_steps ? p->n_steps : n_steps;
    const int64_t asked = gg_vk_clock_ns();
    const int stamped = times != NULL && times->stamps != NULL && p->queries != VK_NULL_HANDLE;
    run_status *said = (run_status *)p->memory->host;
    int status = patch_steps(p, vars);
    if (status != GG_OK) {
        return status;
    }
    said->failed = 0;
    recording *r = n_steps < p->n_steps ? &p->partial : stamped ? &p->stamped : &p->plain;
    pthread_mutex_lock(&d->lock);
    status = recorded(p, r, n_steps, stamped);
    if (status == GG_OK && stamped) {
        status = gg_vk_calibrate(d);
    }
    VkResult result = status == GG_OK ? submit(p, r, 0) : VK_SUCCESS;
    pthread_mutex_unlock(&d->lock);
    const int64_t submitted = gg_vk_clock_ns();
    int stopped = 0;
    for (int i = 1; i <= r->n_pieces && status == GG_OK && result == VK_SUCCESS && !stopped; i++) {
        stopped = i < r->n_pieces && atomic_load(&p->stop);
        if (i < r->n_pieces && !stopped) { /* so that the queue always has one to go on with */
            pthread_mutex_lock(&d->lock);
            result = submit(p, r, i);
            pthread_mutex_unlock(&d->lock);
        }
        const VkResult waited = wait_for(d, p->fences[(i - 1) % 2]);
        d->api.ResetFences(d->device, 1, &p->fences[(i - 1) % 2]);
        result = result == VK_SUCCESS ? waited : result;
    }
    if (status == GG_OK && result != VK_SUCCESS) {
        status = gg_vk_failed("running a graph", result);
    }
    if (status == GG_OK && stopped) {
        atomic_store(&p->stop, 0);
        return gg_fail(GG_STOPPED, "the run was stopped");
    }
    if (status == GG_OK && times != NULL) {
        times->asked = asked;
        times->submitted = submitted;
        times->done = gg_vk_clock_ns();
        times->n = 0;
        status = stamped ? read_stamps(p, n_steps, times) : GG_OK;
    }
    const int asked_to_stop = atomic_exchange(&p->stop, 0);
    if (status == GG_OK && said->failed) {
        return gg_fail(GG_FAILED, "%u", said->failed - 1); /* whoever knows the names of nodes says more */
    }
    if (asked_to_stop && status == GG_OK) {
        return gg_fail(GG_STOPPED, "the run was stopped");
    }
    return status;
}

int gg_vk_program_run(gg_vk_program *p, const int64_t *vars, int n_steps, gg_vk_times *times) {
    if (gg_vk_elsewhere(p->device)) {
        return gg_vk_refuse_fork();
    }
    pthread_mutex_lock(&p->running);
    const int status = run(p, vars, n_steps, times);
    pthread_mutex_unlock(&p->running);
    return status;
}

void gg_vk_program_stop(gg_vk_program *p) { atomic_store(&p->stop, 1); }

void gg_vk_program_forget_stop(gg_vk_program *p) { atomic_store(&p->stop, 0); }
