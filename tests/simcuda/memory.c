// SPDX-License-Identifier: Apache-2.0
/*  memory.c - cudaMalloc, cudaFree, cudaMemGetInfo, cudaPointerGetAttributes */
#include "tests/simcuda/inside.h"

static cudaError_t allocate (void **ret, size_t size)
{
    cudaError_t answer = cudaSuccess;
    if (!ret)
        return cudaErrorInvalidValue;
    if (size == 0) { /* assumed: no memory is no error */
        *ret = NULL;
        return cudaSuccess;
    }
    simcuda_physical_t *physical = simcuda_physical_new (simcuda_thread.device, size, &answer);
    if (!physical)
        return answer;
    simcuda_view_t *view = simcuda_view_new (SIMCUDA_VIEW_MALLOC, physical, NULL);
    if (!view) {
        simcuda_physical_drop (physical);
        return cudaErrorMemoryAllocation;
    }
    *ret = view->base;
    return cudaSuccess;
}

cudaError_t cudaMalloc (void **devPtr, size_t size)
{
    cudaError_t answer = simcuda_enter ("cudaMalloc", true);
    return simcuda_leave (answer ? answer : allocate (devPtr, size));
}

/*  The header allows an importer's reads after this to be anything; so they are poison. */
static cudaError_t release (void *pointer)
{
    if (!pointer)
        return cudaSuccess;
    simcuda_view_t *view = simcuda_view_at (pointer);
    if (!view || view->kind != SIMCUDA_VIEW_MALLOC || view->base != pointer) {
        simcuda_log ("simcuda.%s", simcuda_freed (pointer) ? "double_free" : "free_unknown");
        return cudaErrorInvalidValue;
    }
    simcuda_physical_settle (view->physical, "freed_under_copy");
    if (simcuda_view_at (pointer) != view)
        return cudaErrorInvalidValue; /* another thread freed it while this one waited */
    unsigned importers = simcuda_state_others (view->physical->key);
    if (importers) {
        simcuda_log ("simcuda.freed_with_importers importers=%u bytes=%zu", importers, view->physical->size);
        memset (view->physical->inside, SIMCUDA_POISON, view->physical->size);
    }
    simcuda_view_destroy (view);
    return cudaSuccess;
}

cudaError_t cudaFree (void *devPtr)
{
    cudaError_t answer = simcuda_enter ("cudaFree", false);
    return simcuda_leave (answer ? answer : release (devPtr));
}

static cudaError_t tell (size_t *ret_free, size_t *ret_total)
{
    if (!ret_free || !ret_total)
        return cudaErrorInvalidValue;
    simcuda_physical_sweep ();
    uint64_t used = simcuda_state_used (simcuda_thread.device);
    *ret_total = simcuda_world.memory;
    *ret_free = used > simcuda_world.memory ? 0 : simcuda_world.memory - used;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo (size_t *ret_free, size_t *ret_total)
{
    cudaError_t answer = simcuda_enter ("cudaMemGetInfo", true);
    return simcuda_leave (answer ? answer : tell (ret_free, ret_total));
}

static cudaError_t describe (struct cudaPointerAttributes *ret, const void *pointer)
{
    if (!ret)
        return cudaErrorInvalidValue;
    const simcuda_view_t *view = simcuda_view_at (pointer);
    const simcuda_pin_t *pin = simcuda_pin_at (pointer, 1);
    memset (ret, 0, sizeof *ret);
    ret->type = view ? cudaMemoryTypeDevice : pin ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    ret->device = view  ? view->physical->device
                  : pin ? pin->device
                        : -2; /* -2 as cudaInvalidDeviceId (assumed) */
    ret->devicePointer = view || pin ? (void *) (uintptr_t) pointer : NULL;
    ret->hostPointer = view ? NULL : (void *) (uintptr_t) pointer;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes (struct cudaPointerAttributes *attributes, const void *ptr)
{
    cudaError_t answer = simcuda_enter ("cudaPointerGetAttributes", false);
    return simcuda_leave (answer ? answer : describe (attributes, ptr));
}
