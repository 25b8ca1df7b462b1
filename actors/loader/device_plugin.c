// SPDX-License-Identifier: Apache-2.0
/*  device_plugin.c - which class serves a device; finds and opens the plug-in of GPUs
 *
 *  Promises: a machine without CUDA's libraries never gets here; one with a part missing is told which, and where it comes from. A plug-in
 *  stays open until the process ends (CUDA cannot be taken out again); asking twice opens it once.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <strings.h>
#include "actors/ground/paths.h"
#include "actors/loader/device.h"

#define PLUGIN "libmodelyard-cuda.so"

/*  Where it may lie, seen from this program: where it was built, and where an installation has it (the build knows its folders). The
 *  dynamic loader's own places come last. */
static const char *const folders [] = { "../lib", LOADER_PLUGIN_FROM_BIN, LOADER_PLUGIN_FROM_LIBEXEC };

/*  The first path that is there; else the bare name, which the dynamic loader looks for. */
static void find_plugin (char *ret_path)
{
    char own [PATH_MAX], folder [PATH_MAX];
    ssize_t size = readlink ("/proc/self/exe", own, sizeof own - 1);
    own [size > 0 ? size : 0] = 0;
    char *slash = strrchr (own, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; slash && i < sizeof folders / sizeof folders [0]; i++)
        if (yard_path_join (folder, own, folders [i], NULL) == 0 &&
            yard_path_join (ret_path, folder, PLUGIN, NULL) == 0 && access (ret_path, R_OK) == 0)
            return;
    snprintf (ret_path, PATH_MAX, PLUGIN);
}

static int refuse (const char *path, const char *reason, yard_error_t *error)
{
    if (!strchr (path, '/') &&
        strstr (reason, PLUGIN)) /* it is the plug-in that was not found, none of its libraries */
        return yard_error (error, YARD_NOT_SERVED,
                           "this installation has no plug-in for GPUs (" PLUGIN
                           "); build and install it where CMake "
                           "finds the CUDA toolkit and NCCL, or load for host");
    return yard_error (
        error, YARD_NOT_SERVED,
        "the plug-in for GPUs cannot be opened: %s; install the CUDA runtime and NCCL it was built "
        "with, or name their folder in LD_LIBRARY_PATH",
        reason);
}

static int open_plugin (const loader_device_class_t **ret, yard_error_t *error)
{
    char path [PATH_MAX];
    find_plugin (path);
    void *plugin = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!plugin)
        return refuse (path, dlerror (), error);
    void *symbol = dlsym (plugin, LOADER_DEVICE_SYMBOL);
    loader_device_plugin_fn *function = NULL;
    memcpy (&function, &symbol, sizeof function); /* ISO C has no cast from one to the other */
    const loader_device_class_t *class = function ? function () : NULL;
    if (!class || class->version != LOADER_DEVICE_VERSION)
        return yard_error (
            error, YARD_NOT_SERVED,
            "%s is of another version of the yard (its table: %u, needed: %u); install both from one build",
            path, class ? class->version : 0, LOADER_DEVICE_VERSION);
    *ret = class;
    return 0;
}

static bool is_number (const char *text)
{
    return *text && strspn (text, "0123456789") == strlen (text) && strlen (text) < 4;
}

int loader_device_class (const char *device, const loader_device_class_t **ret, yard_error_t *error)
{
    if (strcmp (device, "host") == 0) {
        *ret = &loader_device_host;
        return 0;
    }
    if ((strncmp (device, "cuda:", 5) == 0 && is_number (device + 5)) || strncasecmp (device, "GPU-", 4) == 0)
        return open_plugin (ret, error);
    return yard_error (
        error, YARD_INVALID_CONFIG,
        "no device is called \"%.64s\"; devices are host, cuda:0, cuda:1 ... in the order of their PCI "
        "addresses, or GPU-<uuid> as `nvidia-smi -L` writes it",
        device);
}
