/* Vulkan, as Python sees it: devices, their memory, programs. C includes this file, cffi parses it. */
#ifndef GG_VULKAN_H
#define GG_VULKAN_H
/* cffi: skip */
#include "gg.h"
/* cffi: end */

/* ---- Vulkan: loaded when one of these is called, and never before; see vulkan/loader.h ---- */
enum gg_vk_kind { GG_VK_OTHER = 0, GG_VK_INTEGRATED = 1, GG_VK_DISCRETE = 2, GG_VK_VIRTUAL = 3, GG_VK_CPU = 4 };
/* A device, and what it can do; of one without Vulkan 1.2 nothing after `missing` is known. */
typedef struct {
    int32_t major, minor, patch;  /* of the Vulkan that it has */
    int32_t kind;                 /* of enum gg_vk_kind */
    char name[256];
    char driver[256];             /* and its version */
    char missing[256];            /* what ggtui needs and it has not, in words; "" where it can compute */
    int64_t heap, budget;         /* bytes: of its own memory, and how many of them this process may have now */
    int64_t max_allocation;       /* bytes of one allocation, */
    int64_t max_range;            /* and of one storage buffer's binding; addresses know no such limit */
    int32_t queue_family;         /* of the queues that compute, those alone that don't draw where there are any; -1: none */
    int32_t timestamp_bits;       /* of that family's time stamps; 0: it has none */
    double tick_ns;               /* nanoseconds a tick of them */
    int32_t max_invocations;      /* of a workgroup */
    int32_t max_shared;           /* bytes that a workgroup shares */
    int32_t subgroup;             /* invocations of one */
    int32_t subgroup_least, subgroup_most; /* what shaders may ask for, where subgroup_control is set; else as `subgroup` */
    int32_t subgroup_control;     /* a compute shader may ask for the size of its subgroups */
    int32_t full_subgroups;       /* and for full ones */
    int32_t subgroup_arithmetic, subgroup_shuffle; /* in compute shaders */
    int32_t f16, i8, i16, i64;    /* arithmetic in shaders */
    int32_t storage8, storage16;  /* numbers of so many bits in buffers */
    int32_t device_address, scalar_layout;
    int32_t calibrated;           /* VK_EXT_calibrated_timestamps, with the system's monotonic clock */
    int32_t executables;          /* VK_KHR_pipeline_executable_properties: it tells what it made of a shader */
    int32_t memory_budget;        /* VK_EXT_memory_budget; without it `budget` is the heap */
} gg_vk_info;
/* How many devices there are, which stay the same; -1 where there is none, gg_last_error() has what is missing. */
int gg_vk_n_devices(void);
/* Of device i, as it is now. Returns a gg_status. */
int gg_vk_info_of(int i, gg_vk_info *info);
/* With GGTUI_VULKAN_VALIDATE=1 in the environment validation layers watch all calls: how many warnings and errors they had,
 * and the first one's text, "" where there is none. */
int gg_vk_n_validation(void);
const char *gg_vk_validation(void);

/* ---- Vulkan: devices, memory, programs ---- */
typedef struct gg_vk_device gg_vk_device;
typedef struct gg_vk_buffer gg_vk_buffer;
typedef struct gg_vk_program gg_vk_program;

/* Opens device i of gg_vk_n_devices. NULL on failure, see gg_last_error(). All that was made of it is freed before it. */
gg_vk_device *gg_vk_open(int i);
void gg_vk_close(gg_vk_device *device);

/* What memory is for: shaders alone; written by the processor and read by shaders; the other way round. */
enum gg_vk_use { GG_VK_LOCAL = 0, GG_VK_SHARED = 1, GG_VK_READ_BACK = 2 };
/* Zeroed memory in one piece. NULL on failure. */
gg_vk_buffer *gg_vk_buffer_new(gg_vk_device *device, int64_t n_bytes, int use);
void gg_vk_buffer_free(gg_vk_buffer *buffer);
uint64_t gg_vk_buffer_address(const gg_vk_buffer *buffer); /* as shaders know it */
void *gg_vk_buffer_host(const gg_vk_buffer *buffer);       /* as the processor does, or NULL */
/* Moves n bytes, and waits until they are there. Return a gg_status. */
int gg_vk_upload(gg_vk_buffer *buffer, int64_t at, const void *from, int64_t n);
int gg_vk_download(gg_vk_buffer *buffer, int64_t at, void *to, int64_t n);
int gg_vk_copy(const gg_vk_buffer *from, int64_t from_at, const gg_vk_buffer *to, int64_t to_at, int64_t n);

/* What shaders read of a tensor; shaders/step.glsl has the same. nb in bytes. */
typedef struct {
    uint64_t data; /* an address; 0: there is none */
    uint64_t nb[4];
    uint32_t ne[4];
    uint32_t type; /* id of types.def */
    uint32_t unused;
} gg_vk_tensor;

/* A node. The groups that it is dispatched in cover sizes of one of its tensors: of dimension i of the groups the product of
 * ne[d] over all d whose bit is set in dims[i], per[i] of them a group; shaders go on by the number of groups, so fewer do as well. */
typedef struct {
    gg_vk_tensor dst;
    gg_vk_tensor src[GG_MAX_SRC];
    gg_param params[GG_MAX_PARAMS];
    uint32_t groups[3]; /* set before a run */
    uint32_t node;
} gg_vk_step;

typedef struct {
    int32_t pipeline;
    int32_t barrier;   /* before it, what earlier ones wrote must be there */
    int32_t ends;      /* behind it a run can be stopped: the queue gets what follows when that is not asked for */
    int32_t covers;    /* the tensor whose sizes the groups cover: -1 is dst, else the index in src */
    uint32_t dims[3], per[3];
} gg_vk_dispatch;

/* A shader made ready: SPIR-V, and the values of its constants, of which the first is the size of a workgroup. `subgroup`: the size of subgroups
 * that it wants, or 0. Returns NULL on failure, else what gg_vk_program_new takes. */
typedef struct gg_vk_pipeline gg_vk_pipeline;
gg_vk_pipeline *gg_vk_pipeline_new(gg_vk_device *device, const char *name, const uint32_t *words, int64_t n_bytes,
                                   const uint32_t *constants, int n_constants, int subgroup);
void gg_vk_pipeline_free(gg_vk_pipeline *pipeline);
/* What the driver makes of such a shader: registers and other figures, and its code, as far as it tells. Text, "" where it tells
 * nothing, for gg_vk_text_free; NULL on failure. */
char *gg_vk_pipeline_text(gg_vk_device *device, const char *name, const uint32_t *words, int64_t n_bytes,
                          const uint32_t *constants, int n_constants, int subgroup);
void gg_vk_text_free(char *text);

/* When things happened in a run, nanoseconds of CLOCK_MONOTONIC. */
typedef struct {
    int64_t asked, submitted, done; /* on the processor: the run began, the queue had it, the wait for it was over */
    int64_t n;                      /* stamps of the queue: the first before the first step, then one behind each */
    int64_t *stamps;                /* room for as many as there are steps, and one; NULL: the queue takes none */
    double error_ns;                /* by how much these may be off */
} gg_vk_times;

/* Steps and patches are copied; pipelines[dispatches[i].pipeline] must live as long. */
gg_vk_program *gg_vk_program_new(gg_vk_device *device, const gg_vk_step *steps, const gg_vk_dispatch *dispatches, int n_steps,
                                 gg_vk_pipeline *const *pipelines, const gg_patch *patches, int n_patches);
void gg_vk_program_free(gg_vk_program *program);
/* Runs the first n_steps steps, all where that is negative, and waits. times may be NULL. Returns a
 * gg_status: GG_FAILED for bad data met in the run, GG_LOST where the device is gone. A second run waits for the first. */
int gg_vk_program_run(gg_vk_program *program, const int64_t *vars, int n_steps, gg_vk_times *times);
void gg_vk_program_stop(gg_vk_program *program);
void gg_vk_program_forget_stop(gg_vk_program *program);

/* ---- shaders of this build: see vulkan/shaders.h ---- */
int gg_vk_n_shader(void);
const char *gg_vk_shader_name(int i); /* or NULL */
const uint32_t *gg_vk_shader_words(int i, int64_t *n_bytes); /* SPIR-V, or NULL */
#endif
