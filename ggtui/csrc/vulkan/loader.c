/* Vulkan's library and instance, and what a machine lacks that has none. */
#include "vulkan/loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

#ifdef __APPLE__
static const char *const LIBRARIES[] = {"libvulkan.1.dylib", "libMoltenVK.dylib"};
#define INSTALL "install it with: brew install vulkan-loader molten-vk"
#else
static const char *const LIBRARIES[] = {"libvulkan.so.1"};
#define INSTALL "install libvulkan1 (Debian, Ubuntu) or vulkan-loader (Fedora), and your card's driver"
#endif

static struct {
    pthread_mutex_t lock;
    bool tried, loaded;
    pid_t process;     /* that loaded it: a child of fork() must not call anything of it */
    char problem[256]; /* what gg_last_error() says of a load that failed */
    gg_vk_api api;
    VkInstance instance;
} vk = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *gg_vk_result(VkResult result) {
#define NAME(value) \
    case value: return #value;
    switch (result) { /* without a default, so that compilers tell of a value that is missing */
        NAME(VK_SUCCESS)
        NAME(VK_NOT_READY)
        NAME(VK_TIMEOUT)
        NAME(VK_EVENT_SET)
        NAME(VK_EVENT_RESET)
        NAME(VK_INCOMPLETE)
        NAME(VK_ERROR_OUT_OF_HOST_MEMORY)
        NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY)
        NAME(VK_ERROR_INITIALIZATION_FAILED)
        NAME(VK_ERROR_DEVICE_LOST)
        NAME(VK_ERROR_MEMORY_MAP_FAILED)
        NAME(VK_ERROR_LAYER_NOT_PRESENT)
        NAME(VK_ERROR_EXTENSION_NOT_PRESENT)
        NAME(VK_ERROR_FEATURE_NOT_PRESENT)
        NAME(VK_ERROR_INCOMPATIBLE_DRIVER)
        NAME(VK_ERROR_TOO_MANY_OBJECTS)
        NAME(VK_ERROR_FORMAT_NOT_SUPPORTED)
        NAME(VK_ERROR_FRAGMENTED_POOL)
        NAME(VK_ERROR_UNKNOWN)
        NAME(VK_ERROR_OUT_OF_POOL_MEMORY)
        NAME(VK_ERROR_INVALID_EXTERNAL_HANDLE)
        NAME(VK_ERROR_FRAGMENTATION)
        NAME(VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)
        NAME(VK_PIPELINE_COMPILE_REQUIRED)
        NAME(VK_ERROR_SURFACE_LOST_KHR)
        NAME(VK_ERROR_NATIVE_WINDOW_IN_USE_KHR)
        NAME(VK_SUBOPTIMAL_KHR)
        NAME(VK_ERROR_OUT_OF_DATE_KHR)
        NAME(VK_ERROR_INCOMPATIBLE_DISPLAY_KHR)
        NAME(VK_ERROR_VALIDATION_FAILED_EXT)
        NAME(VK_ERROR_INVALID_SHADER_NV)
        NAME(VK_ERROR_IMAGE_USAGE_NOT_SUPPORTED_KHR)
        NAME(VK_ERROR_VIDEO_PICTURE_LAYOUT_NOT_SUPPORTED_KHR)
        NAME(VK_ERROR_VIDEO_PROFILE_OPERATION_NOT_SUPPORTED_KHR)
        NAME(VK_ERROR_VIDEO_PROFILE_FORMAT_NOT_SUPPORTED_KHR)
        NAME(VK_ERROR_VIDEO_PROFILE_CODEC_NOT_SUPPORTED_KHR)
        NAME(VK_ERROR_VIDEO_STD_VERSION_NOT_SUPPORTED_KHR)
        NAME(VK_ERROR_INVALID_DRM_FORMAT_MODIFIER_PLANE_LAYOUT_EXT)
        NAME(VK_ERROR_NOT_PERMITTED_KHR)
        NAME(VK_ERROR_FULL_SCREEN_EXCLUSIVE_MODE_LOST_EXT)
        NAME(VK_THREAD_IDLE_KHR)
        NAME(VK_THREAD_DONE_KHR)
        NAME(VK_OPERATION_DEFERRED_KHR)
        NAME(VK_OPERATION_NOT_DEFERRED_KHR)
        NAME(VK_ERROR_COMPRESSION_EXHAUSTED_EXT)
    }
#undef NAME
    return "an unknown VkResult";
}

/* ---- what a validation layer says ---- */
static struct {
    pthread_mutex_t lock;
    atomic_int n;
    char first[2048]; /* written before n says that there is one */
} messages = {.lock = PTHREAD_MUTEX_INITIALIZER};

static VKAPI_ATTR VkBool32 VKAPI_CALL keep_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                   VkDebugUtilsMessageTypeFlagsEXT type,
                                                   const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    (void)severity, (void)type, (void)user;
    pthread_mutex_lock(&messages.lock); /* any thread that calls Vulkan may come here */
    const int n = atomic_load(&messages.n);
    if (n == 0) snprintf(messages.first, sizeof(messages.first), "%s", data->pMessage ? data->pMessage : "no text");
    atomic_store(&messages.n, n + 1);
    pthread_mutex_unlock(&messages.lock);
    return VK_FALSE;
}

int gg_vk_n_validation(void) { return atomic_load(&messages.n); }

const char *gg_vk_validation(void) { return atomic_load(&messages.n) ? messages.first : ""; }

/* ---- the library ---- */
/* No C says what a data pointer is as a function's; POSIX says that it has the same bytes. */
static bool find(void *library, const char *name, PFN_vkGetInstanceProcAddr *function) {
    void *const address = dlsym(library, name);
    _Static_assert(sizeof(address) == sizeof(*function), "pointers of one size");
    memcpy(function, &address, sizeof(address));
    return address != NULL;
}

static int load_library(gg_vk_api *api) {
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof(LIBRARIES) / sizeof(*LIBRARIES); i++) {
        library = dlopen(LIBRARIES[i], RTLD_NOW | RTLD_LOCAL); /* never closed: drivers do not survive that */
        const char *const why = library ? NULL : dlerror();
        /* What is not there may also be something that the library needs. */
        if (why && !(strstr(why, LIBRARIES[i]) && strcasestr(why, "no such file")))
            return gg_fail(GG_FAILED, "no Vulkan: %s does not load (%.90s); " INSTALL, LIBRARIES[i], why);
    }
    if (!library) return gg_fail(GG_FAILED, "no Vulkan: %s is not there; " INSTALL, LIBRARIES[0]);
    if (!find(library, "vkGetInstanceProcAddr", &api->GetInstanceProcAddr))
        return gg_fail(GG_FAILED, "no Vulkan: the library that is there has no vkGetInstanceProcAddr; " INSTALL);
#define GG_VK_GLOBAL(name) \
    api->name = (PFN_vk##name)api->GetInstanceProcAddr(VK_NULL_HANDLE, "vk" #name); \
    if (!api->name) return gg_fail(GG_FAILED, "no Vulkan: the library has no vk" #name "; update it");
#include "vulkan/functions.def"
    return GG_OK;
}

/* ---- the instance ---- */
/* Whether the library, or a layer where that is not NULL, has an extension of instances. */
static bool has_extension(const gg_vk_api *api, const char *layer, const char *name) {
    uint32_t n = 0;
    if (api->EnumerateInstanceExtensionProperties(layer, &n, NULL) < 0 || n == 0) return false;
    VkExtensionProperties *found = calloc(n, sizeof(*found));
    bool has = false;
    if (found && api->EnumerateInstanceExtensionProperties(layer, &n, found) >= 0)
        for (uint32_t i = 0; i < n && !has; i++) has = strcmp(found[i].extensionName, name) == 0;
    free(found);
    return has;
}

static bool has_layer(const gg_vk_api *api, const char *name) {
    uint32_t n = 0;
    if (api->EnumerateInstanceLayerProperties(&n, NULL) < 0 || n == 0) return false;
    VkLayerProperties *found = calloc(n, sizeof(*found));
    bool has = false;
    if (found && api->EnumerateInstanceLayerProperties(&n, found) >= 0)
        for (uint32_t i = 0; i < n && !has; i++) has = strcmp(found[i].layerName, name) == 0;
    free(found);
    return has;
}

/* A step of making the instance that failed. Where drivers are missing or broken, the library says that they don't fit. */
static int failed(const char *call, VkResult result) {
    return gg_fail(GG_FAILED, "no Vulkan: %s (%s: %s); install your card's driver, for many cards mesa-vulkan-drivers",
                   result == VK_ERROR_INCOMPATIBLE_DRIVER ? "no driver found" : "the driver failed", call, gg_vk_result(result));
}

static int create_instance(gg_vk_api *api, bool validate, VkInstance *instance) {
    uint32_t version = 0;
    const VkResult asked = api->EnumerateInstanceVersion(&version);
    if (asked != VK_SUCCESS) return failed("vkEnumerateInstanceVersion", asked);
    if (version < VK_API_VERSION_1_2)
        return gg_fail(GG_FAILED, "no Vulkan: the library is of Vulkan %u.%u and ggtui needs 1.2; update it",
                       VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));

    const char *extensions[2], *layers[] = {VALIDATION_LAYER};
    uint32_t n_extensions = 0;
    VkInstanceCreateFlags flags = 0;
    /* Drivers that fall short of Vulkan here and there, as those of macOS do, are shown to those who say that they know it. */
    if (has_extension(api, NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[n_extensions++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
    if (validate) {
        if (!has_layer(api, VALIDATION_LAYER))
            return gg_fail(GG_FAILED, "no Vulkan: GGTUI_VULKAN_VALIDATE is 1, but the layer " VALIDATION_LAYER
                           " is not there; install vulkan-validationlayers or unset it");
        if (!has_extension(api, NULL, VK_EXT_DEBUG_UTILS_EXTENSION_NAME) &&
            !has_extension(api, VALIDATION_LAYER, VK_EXT_DEBUG_UTILS_EXTENSION_NAME))
            return gg_fail(GG_FAILED, "no Vulkan: GGTUI_VULKAN_VALIDATE is 1, but there is no " VK_EXT_DEBUG_UTILS_EXTENSION_NAME
                           "; update libvulkan1 or unset it");
        extensions[n_extensions++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    }
    api->version = version < VK_API_VERSION_1_3 ? VK_API_VERSION_1_2 : VK_API_VERSION_1_3;
    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "ggtui",
        .pEngineName = "ggtui",
        .apiVersion = api->version,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .flags = flags,
        .pApplicationInfo = &application,
        .enabledLayerCount = validate,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = n_extensions,
        .ppEnabledExtensionNames = extensions,
    };
    const VkResult made = api->CreateInstance(&info, NULL, instance);
    return made == VK_SUCCESS ? GG_OK : failed("vkCreateInstance", made);
}

static int load_instance_functions(gg_vk_api *api, VkInstance instance) {
#define GG_VK_INSTANCE_EXT(name) api->name = (PFN_vk##name)api->GetInstanceProcAddr(instance, "vk" #name);
#define GG_VK_INSTANCE(name) \
    GG_VK_INSTANCE_EXT(name) \
    if (!api->name) return gg_fail(GG_FAILED, "no Vulkan: the library has no vk" #name "; update it");
#include "vulkan/functions.def"
    return GG_OK;
}

static int listen_in(const gg_vk_api *api, VkInstance instance) {
    const VkDebugUtilsMessengerCreateInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = keep_message,
    };
    VkDebugUtilsMessengerEXT messenger; /* lives as long as the instance: until the process ends */
    if (!api->CreateDebugUtilsMessengerEXT)
        return gg_fail(GG_FAILED, "no Vulkan: the library has no vkCreateDebugUtilsMessengerEXT; update it");
    const VkResult made = api->CreateDebugUtilsMessengerEXT(instance, &info, NULL, &messenger);
    return made == VK_SUCCESS ? GG_OK : failed("vkCreateDebugUtilsMessengerEXT", made);
}

static int load(void) {
    const char *wanted = getenv("GGTUI_VULKAN_VALIDATE");
    const bool validate = wanted && strcmp(wanted, "1") == 0;
    int status = load_library(&vk.api);
    if (status == GG_OK) status = create_instance(&vk.api, validate, &vk.instance);
    if (status != GG_OK) return status;
    status = load_instance_functions(&vk.api, vk.instance);
    if (status == GG_OK && validate) status = listen_in(&vk.api, vk.instance);
    if (status != GG_OK && vk.api.DestroyInstance) vk.api.DestroyInstance(vk.instance, NULL);
    return status;
}

const gg_vk_api *gg_vk(void) {
    if (vk.process && vk.process != getpid()) {
        gg_fail(GG_FAILED, "no Vulkan: this is a child that fork() made of a process which uses it; load the model in a process of its own");
        return NULL;
    }
    pthread_mutex_lock(&vk.lock);
    if (!vk.tried) {
        vk.tried = true;
        vk.process = getpid();
        vk.loaded = load() == GG_OK;
        if (!vk.loaded) snprintf(vk.problem, sizeof(vk.problem), "%s", gg_last_error());
    }
    const bool loaded = vk.loaded;
    pthread_mutex_unlock(&vk.lock);
    if (!loaded) gg_set_last_error(vk.problem);
    return loaded ? &vk.api : NULL;
}

VkInstance gg_vk_instance(void) { return gg_vk() ? vk.instance : VK_NULL_HANDLE; }

int gg_vk_load_device(VkDevice device, gg_vk_device_api *api) {
    const gg_vk_api *const all = gg_vk();
    if (!all) return GG_FAILED;
#define GG_VK_DEVICE_EXT(name) api->name = (PFN_vk##name)all->GetDeviceProcAddr(device, "vk" #name);
#define GG_VK_DEVICE(name) \
    GG_VK_DEVICE_EXT(name) \
    if (!api->name) return gg_fail(GG_FAILED, "Vulkan: the driver has no vk" #name "; update it");
#include "vulkan/functions.def"
    return GG_OK;
}
