// SPDX-License-Identifier: Apache-2.0
/*  vmm_map.c - addresses of the driver's virtual memory: reserved, mapped, given access to; each step undone by its own call */
#include <sys/mman.h>
#include "tests/simcuda/inside.h"

#define HOST_PAGE ((size_t) 4096) /* cuda.h, cuMemAddressReserve: sizes are multiples of the host's page */

static uint8_t *bytes_at (CUdeviceptr pointer)
{
    return (
        uint8_t *) (uintptr_t) pointer; // NOLINT(performance-no-int-to-ptr): that is what a CUdeviceptr is
}

static cudaError_t reserve (CUdeviceptr *ret, size_t size, size_t alignment, unsigned long long flags)
{
    if (!ret || size == 0 || size % HOST_PAGE || (alignment & (alignment - 1)) || flags)
        return cudaErrorInvalidValue;
    simcuda_reservation_t *made = malloc (sizeof *made);
    uint8_t *base = made ? simcuda_reserve (size, alignment) : NULL;
    if (!base) {
        free (made);
        return cudaErrorMemoryAllocation;
    }
    *made = (simcuda_reservation_t){ .next = simcuda_world.reservations, .base = base, .size = size };
    simcuda_world.reservations = made;
    *ret = (CUdeviceptr) (uintptr_t) base;
    return cudaSuccess;
}

CUresult cuMemAddressReserve (CUdeviceptr *ptr, size_t size, size_t alignment, CUdeviceptr addr,
                              unsigned long long flags)
{
    cudaError_t answer = simcuda_enter ("cuMemAddressReserve", false);
    (void) addr; /* "a hint" */
    return simcuda_leave_driver ((CUresult) (answer ? answer : reserve (ptr, size, alignment, flags)));
}

static simcuda_view_t *mapped_in (const uint8_t *base, size_t size)
{
    for (simcuda_view_t *view = simcuda_world.views; view; view = view->next)
        if (view->base < base + size && base < view->base + view->size)
            return view;
    return NULL;
}

/*  "The size must match what was given to memAddressReserve and the ptr given must match" (cuda.h, cuMemAddressFree).
 *  assumed: not while something is mapped there. */
static cudaError_t unreserve (uint8_t *base, size_t size)
{
    simcuda_reservation_t **at = &simcuda_world.reservations, *found;
    while (*at && (*at)->base != base)
        at = &(*at)->next;
    found = *at;
    if (!found || found->size != size) {
        simcuda_log ("simcuda.%s kind=reservation", simcuda_freed (base) ? "double_free" : "free_unknown");
        return cudaErrorInvalidValue;
    }
    if (mapped_in (base, size)) {
        simcuda_log ("simcuda.freed_while_mapped bytes=%zu", size);
        return cudaErrorInvalidValue;
    }
    *at = found->next;
    simcuda_unreserve (found->base, found->size);
    free (found);
    return cudaSuccess;
}

CUresult cuMemAddressFree (CUdeviceptr ptr, size_t size)
{
    cudaError_t answer = simcuda_enter ("cuMemAddressFree", false);
    return simcuda_leave_driver ((CUresult) (answer ? answer : unreserve (bytes_at (ptr), size)));
}

static bool reserved (const uint8_t *base, size_t size)
{
    for (const simcuda_reservation_t *one = simcuda_world.reservations; one; one = one->next)
        if (base >= one->base && base < one->base + one->size &&
            size <= (size_t) (one->base + one->size - base))
            return true;
    return false;
}

/*  Whole handles only: "offset currently must be zero" (cuda.h, cuMemMap), and nobody here maps less than he has. */
static cudaError_t map (uint8_t *base, size_t size, size_t offset, uint64_t number, unsigned long long flags)
{
    simcuda_physical_t *physical = simcuda_handle_memory (number);
    if (!physical || offset || flags || size != physical->size || (uintptr_t) base % SIMCUDA_STEP)
        return cudaErrorInvalidValue;
    if (!reserved (base, size) || mapped_in (base, size))
        return cudaErrorInvalidValue;
    if (!simcuda_view_new (SIMCUDA_VIEW_MAP, physical, base))
        return cudaErrorMemoryAllocation;
    physical->references++;
    return cudaSuccess;
}

CUresult cuMemMap (CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                   unsigned long long flags)
{
    cudaError_t answer = simcuda_enter ("cuMemMap", false);
    return simcuda_leave_driver (
        (CUresult) (answer ? answer : map (bytes_at (ptr), size, offset, handle, flags)));
}

/*  "The range must be the entire contiguous address range that was mapped to" (cuda.h, cuMemUnmap). */
static simcuda_view_t *whole (const uint8_t *base, size_t size)
{
    simcuda_view_t *view = simcuda_view_at (base);
    bool fits = view && view->kind == SIMCUDA_VIEW_MAP && view->base == base && view->size == size;
    return fits ? view : NULL;
}

static cudaError_t unmap (const uint8_t *base, size_t size)
{
    simcuda_view_t *view = whole (base, size);
    if (!view)
        return cudaErrorInvalidValue;
    simcuda_physical_settle (view->physical, "unmapped_under_copy");
    if (whole (base, size) != view)
        return cudaErrorInvalidValue; /* another thread was here while this one waited */
    simcuda_view_destroy (view);
    return cudaSuccess;
}

CUresult cuMemUnmap (CUdeviceptr ptr, size_t size)
{
    cudaError_t answer = simcuda_enter ("cuMemUnmap", false);
    return simcuda_leave_driver ((CUresult) (answer ? answer : unmap (bytes_at (ptr), size)));
}

/*  "The range must be a fully mapped address range" (cuda.h, cuMemSetAccess). assumed: a device gets at no other one's memory here. */
static cudaError_t permit (const uint8_t *base, size_t size, const CUmemAccessDesc *descriptions,
                           size_t count)
{
    simcuda_view_t *view = whole (base, size);
    if (!view || !descriptions || count == 0)
        return cudaErrorInvalidValue;
    for (size_t i = 0; i < count; i++) {
        if (descriptions [i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
            return cudaErrorInvalidValue;
        if (descriptions [i].location.id < 0 || descriptions [i].location.id >= simcuda_world.devices)
            return cudaErrorInvalidDevice;
        if (descriptions [i].location.id != view->physical->device)
            return cudaErrorNotSupported;
    }
    unsigned access = (unsigned) descriptions [count - 1].flags;
    view->may_read = access & CU_MEM_ACCESS_FLAGS_PROT_READ;
    view->may_write = access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return cudaSuccess;
}

CUresult cuMemSetAccess (CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count)
{
    cudaError_t answer = simcuda_enter ("cuMemSetAccess", false);
    return simcuda_leave_driver ((CUresult) (answer ? answer : permit (bytes_at (ptr), size, desc, count)));
}
