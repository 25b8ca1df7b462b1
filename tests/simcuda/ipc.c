// SPDX-License-Identifier: Apache-2.0
/*  ipc.c - cudaMalloc's memory in other processes, by 64 bytes that may travel any way
 *
 *  The bytes name the owner's descriptor; /proc gives it to processes of the same user, as the driver would give the memory. A handle
 *  that isn't one, or not any more, is refused: its memory's key is a random number.
 */
#include <fcntl.h>
#include "tests/simcuda/inside.h"

#define MAGIC 0x6370696d6973 /* "simipc" */

typedef struct {
    uint64_t magic, key, started;
    int32_t pid, fd, device, zero;
    uint64_t unused [3];
} wire_t;

_Static_assert(sizeof (wire_t) == sizeof (cudaIpcMemHandle_t), "the handle is 64 bytes");

static cudaError_t tell (cudaIpcMemHandle_t *ret, const void *pointer)
{
    simcuda_view_t *view = simcuda_view_at (pointer);
    if (!ret || !view || view->kind != SIMCUDA_VIEW_MALLOC || view->base != pointer)
        return cudaErrorInvalidValue; /* the base of an allocation of cudaMalloc (cuda_runtime_api.h, cudaIpcGetMemHandle) */
    const simcuda_physical_t *physical = view->physical;
    const wire_t wire = { .magic = MAGIC,
                          .key = physical->key,
                          .started = physical->owner_started,
                          .pid = physical->owner,
                          .fd = physical->fd,
                          .device = physical->device };
    memcpy (ret, &wire, sizeof wire);
    return cudaSuccess;
}

cudaError_t cudaIpcGetMemHandle (cudaIpcMemHandle_t *handle, void *devPtr)
{
    cudaError_t answer = simcuda_enter ("cudaIpcGetMemHandle", false);
    return simcuda_leave (answer ? answer : tell (handle, devPtr));
}

static simcuda_view_t *opened (uint64_t key)
{
    for (simcuda_view_t *view = simcuda_world.views; view; view = view->next)
        if (view->kind == SIMCUDA_VIEW_IPC && view->physical->key == key)
            return view;
    return NULL;
}

/*  assumed: memory or a process that is gone is an invalid handle, as cudaFree's is. */
static cudaError_t fetch (const wire_t *wire, simcuda_physical_t **ret)
{
    char path [48];
    cudaError_t answer = cudaErrorInvalidResourceHandle;
    if (simcuda_process_started (wire->pid) != wire->started)
        return answer;
    (void) snprintf (path, sizeof path, "/proc/%d/fd/%d", (int) wire->pid, (int) wire->fd);
    int fd = open (path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return answer;
    simcuda_physical_t *physical = simcuda_physical_import (fd, &answer);
    close (fd);
    if (!physical)
        return answer == cudaErrorInvalidValue ? cudaErrorInvalidResourceHandle : answer;
    if (physical->key != wire->key) { /* the number is another memory's by now */
        simcuda_physical_drop (physical);
        return cudaErrorInvalidResourceHandle;
    }
    physical->owner = wire->pid;
    physical->owner_started = wire->started;
    *ret = physical;
    return cudaSuccess;
}

static cudaError_t open_handle (void **ret, const wire_t *wire, unsigned flags)
{
    simcuda_physical_t *physical = NULL;
    if (!ret || flags != cudaIpcMemLazyEnablePeerAccess) /* "Must be specified as" (cudaIpcOpenMemHandle) */
        return cudaErrorInvalidValue;
    if (wire->magic != MAGIC)
        return cudaErrorInvalidResourceHandle;
    /*  Listed for cudaIpcOpenMemHandle, and what the driver says of its own process's handles (openucx/ucx pull request 11603). */
    if (wire->pid == simcuda_world.pid)
        return cudaErrorDeviceUninitialized;
    if (wire->device != simcuda_thread.device) {
        simcuda_log ("simcuda.wrong_device call=cudaIpcOpenMemHandle current=%d memory=%d",
                     simcuda_thread.device, wire->device);
        return cudaErrorMapBufferObjectFailed; /* assumed: no peer access here */
    }
    simcuda_view_t *view = opened (wire->key);
    if (view) {
        view->opens++;
        *ret = view->base;
        return cudaSuccess;
    }
    cudaError_t answer = fetch (wire, &physical);
    if (answer)
        return answer;
    view = simcuda_view_new (SIMCUDA_VIEW_IPC, physical, NULL);
    if (!view) {
        simcuda_physical_drop (physical);
        return cudaErrorMapBufferObjectFailed;
    }
    *ret = view->base;
    return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle (void **devPtr, cudaIpcMemHandle_t handle, unsigned int flags)
{
    wire_t wire;
    memcpy (&wire, &handle, sizeof wire);
    cudaError_t answer = simcuda_enter ("cudaIpcOpenMemHandle", true);
    return simcuda_leave (answer ? answer : open_handle (devPtr, &wire, flags));
}

static cudaError_t close_handle (const void *pointer)
{
    simcuda_view_t *view = simcuda_view_at (pointer);
    if (!view || view->kind != SIMCUDA_VIEW_IPC || view->base != pointer) {
        if (simcuda_freed (pointer))
            simcuda_log ("simcuda.double_free");
        return cudaErrorInvalidValue;
    }
    if (--view->opens)
        return cudaSuccess;
    simcuda_physical_settle (view->physical, "unmapped_under_copy");
    simcuda_view_destroy (view);
    return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle (void *devPtr)
{
    cudaError_t answer = simcuda_enter ("cudaIpcCloseMemHandle", false);
    return simcuda_leave (answer ? answer : close_handle (devPtr));
}
