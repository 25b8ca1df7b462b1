// SPDX-License-Identifier: Apache-2.0
/*  vmm.c - the driver's memory by handle, and in and out of the process by descriptor (vmm_map.c puts it at addresses) */
#include <fcntl.h>
#include "tests/simcuda/inside.h"

static bool usable (const CUmemAllocationProp *prop)
{
    unsigned types = prop ? (unsigned) prop->requestedHandleTypes : 0;
    return prop && prop->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
           prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE &&
           (types & ~(unsigned) CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0 && !prop->win32HandleMetaData;
}

/*  assumed: with the virtual memory turned off, as on devices that cannot, every call says so. */
static cudaError_t enter (const char *name)
{
    cudaError_t answer = simcuda_enter (name, false);
    return !answer && !simcuda_world.vmm ? cudaErrorNotSupported : answer;
}

static bool device_exists (const CUmemAllocationProp *prop)
{
    return prop->location.id >= 0 && prop->location.id < simcuda_world.devices;
}

static cudaError_t granularity (size_t *ret, const CUmemAllocationProp *prop)
{
    if (!ret || !usable (prop))
        return cudaErrorInvalidValue;
    if (!device_exists (prop))
        return cudaErrorInvalidDevice;
    *ret = SIMCUDA_STEP;
    return cudaSuccess;
}

CUresult cuMemGetAllocationGranularity (size_t *ret, const CUmemAllocationProp *prop,
                                        CUmemAllocationGranularity_flags option)
{
    cudaError_t answer = enter ("cuMemGetAllocationGranularity");
    (void) option; /* least and recommended are the same */
    return simcuda_leave_driver ((CUresult) (answer ? answer : granularity (ret, prop)));
}

static cudaError_t publish (CUmemGenericAllocationHandle *ret, simcuda_physical_t *physical)
{
    simcuda_handle_t *handle = malloc (sizeof *handle);
    if (!handle) {
        simcuda_physical_drop (physical);
        return cudaErrorMemoryAllocation;
    }
    handle->number = ++simcuda_world.numbers;
    handle->physical = physical;
    handle->next = simcuda_world.handles;
    simcuda_world.handles = handle;
    *ret = handle->number;
    return cudaSuccess;
}

static simcuda_handle_t **handle_at (uint64_t number)
{
    simcuda_handle_t **at = &simcuda_world.handles;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

/*  "The size of this allocation must be a multiple of the value given via cuMemGetAllocationGranularity" (cuda.h, cuMemCreate). */
static cudaError_t create (CUmemGenericAllocationHandle *ret, size_t size, const CUmemAllocationProp *prop,
                           unsigned long long flags)
{
    cudaError_t answer = cudaSuccess;
    if (!ret || !usable (prop) || flags || size == 0 || size % SIMCUDA_STEP)
        return cudaErrorInvalidValue;
    if (!device_exists (prop))
        return cudaErrorInvalidDevice;
    simcuda_physical_t *physical = simcuda_physical_new (prop->location.id, size, &answer);
    if (!physical)
        return answer;
    physical->exportable = prop->requestedHandleTypes != 0;
    return publish (ret, physical);
}

CUresult cuMemCreate (CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *prop,
                      unsigned long long flags)
{
    cudaError_t answer = enter ("cuMemCreate");
    return simcuda_leave_driver ((CUresult) (answer ? answer : create (handle, size, prop, flags)));
}

/*  A handle may go before its mappings; the memory stays until they have gone, too (cuda.h, cuMemRelease). */
static cudaError_t release (uint64_t number)
{
    simcuda_handle_t **at = handle_at (number), *handle = *at;
    if (!handle) {
        simcuda_log ("simcuda.double_free kind=handle");
        return cudaErrorInvalidValue;
    }
    *at = handle->next;
    simcuda_physical_drop (handle->physical);
    free (handle);
    return cudaSuccess;
}

CUresult cuMemRelease (CUmemGenericAllocationHandle handle)
{
    cudaError_t answer = enter ("cuMemRelease");
    return simcuda_leave_driver ((CUresult) (answer ? answer : release (handle)));
}

static cudaError_t export(int *ret, uint64_t number, CUmemAllocationHandleType type, unsigned long long flags)
{
    const simcuda_handle_t *handle = *handle_at (number);
    if (!ret || !handle || flags || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR ||
        !handle->physical->exportable)
        return cudaErrorInvalidValue;
    int fd = fcntl (handle->physical->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return cudaErrorOperatingSystem;
    handle->physical->shared = true;
    *ret = fd;
    return cudaSuccess;
}

CUresult cuMemExportToShareableHandle (void *shareableHandle, CUmemGenericAllocationHandle handle,
                                       CUmemAllocationHandleType handleType, unsigned long long flags)
{
    cudaError_t answer = enter ("cuMemExportToShareableHandle");
    return simcuda_leave_driver (
        (CUresult) (answer ? answer : export(shareableHandle, handle, handleType, flags)));
}

/*  The descriptor stays the caller's; as on hardware it keeps the memory until it is closed. */
static cudaError_t import (CUmemGenericAllocationHandle *ret, int fd, CUmemAllocationHandleType type)
{
    cudaError_t answer = cudaSuccess;
    if (!ret || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return cudaErrorInvalidValue;
    simcuda_physical_t *physical = simcuda_physical_import (fd, &answer);
    if (!physical)
        return answer;
    physical->shared = physical->exportable = true;
    return publish (ret, physical);
}

CUresult cuMemImportFromShareableHandle (CUmemGenericAllocationHandle *handle, void *osHandle,
                                         CUmemAllocationHandleType shHandleType)
{
    cudaError_t answer = enter ("cuMemImportFromShareableHandle");
    return simcuda_leave_driver (
        (CUresult) (answer ? answer : import (handle, (int) (intptr_t) osHandle, shHandleType)));
}

simcuda_physical_t *simcuda_handle_memory (uint64_t number)
{
    const simcuda_handle_t *handle = *handle_at (number);
    return handle ? handle->physical : NULL;
}
