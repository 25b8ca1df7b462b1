// SPDX-License-Identifier: Apache-2.0
/*  pinned.c - host memory that a program has registered: copies out of it are read late, and so is memory that was reused too early
 *
 *  Nothing is locked: what matters to a program is which of its memory counts as pinned.
 */
#include <fcntl.h>
#include "tests/simcuda/inside.h"

#define REGISTER_FLAGS \
    (cudaHostRegisterPortable | cudaHostRegisterMapped | cudaHostRegisterIoMemory | cudaHostRegisterReadOnly)

simcuda_pin_t *simcuda_pin_at (const void *pointer, size_t size)
{
    const uint8_t *at = pointer;
    for (simcuda_pin_t *pin = simcuda_world.pins; pin; pin = pin->next)
        if (at >= pin->base && at < pin->base + pin->size && size <= (size_t) (pin->base + pin->size - at))
            return pin;
    return NULL;
}

static bool overlaps (const uint8_t *base, size_t size)
{
    for (const simcuda_pin_t *pin = simcuda_world.pins; pin; pin = pin->next)
        if (base < pin->base + pin->size && pin->base < base + size)
            return true;
    return false;
}

/*  Whether all of [base, base + size) is mapped, and may be written where that is asked for. */
static bool mapped (const uint8_t *base, size_t size, bool writable)
{
    uintptr_t at = (uintptr_t) base, end = at + size;
    FILE *maps = fopen ("/proc/self/maps", "re");
    char line [512], rights [5];
    unsigned long from, to;
    while (maps && at < end && fgets (line, sizeof line, maps)) {
        if (sscanf (line, "%lx-%lx %4s", &from, &to, rights) != 3 || to <= at)
            continue;
        if (from > at || rights [0] != 'r' || (writable && rights [1] != 'w'))
            break;
        at = to;
    }
    if (maps)
        (void) fclose (maps);
    return at >= end;
}

static cudaError_t pin (void *base, size_t size, unsigned flags)
{
    if (!base || size == 0 || (uint8_t *) base + size < (uint8_t *) base ||
        (flags & ~(unsigned) REGISTER_FLAGS))
        return cudaErrorInvalidValue;
    if (overlaps (base, size))
        return cudaErrorHostMemoryAlreadyRegistered;
    if (!mapped (base, size, !(flags & cudaHostRegisterReadOnly)))
        return cudaErrorInvalidValue;
    simcuda_pin_t *made = malloc (sizeof *made);
    if (!made)
        return cudaErrorMemoryAllocation;
    *made = (simcuda_pin_t){ .base = base, .size = size, .device = simcuda_thread.device };
    made->next = simcuda_world.pins;
    simcuda_world.pins = made;
    return cudaSuccess;
}

cudaError_t cudaHostRegister (void *ptr, size_t size, unsigned int flags)
{
    cudaError_t answer = simcuda_enter ("cudaHostRegister", true);
    return simcuda_leave (answer ? answer : pin (ptr, size, flags));
}

static bool touched (const simcuda_pin_t *pin)
{
    for (unsigned i = 0; i < SIMCUDA_STREAMS_MAX; i++) {
        const simcuda_stream_t *stream = simcuda_world.streams [i];
        for (const simcuda_operation_t *at = stream ? stream->head : NULL; at; at = at->next)
            if ((at->from >= pin->base && at->from < pin->base + pin->size) ||
                (at->to >= pin->base && at->to < pin->base + pin->size))
                return true;
    }
    return false;
}

static cudaError_t unpin (const void *base)
{
    simcuda_pin_t **at = &simcuda_world.pins;
    while (*at && (*at)->base != base)
        at = &(*at)->next;
    if (!*at)
        return cudaErrorHostMemoryNotRegistered;
    simcuda_pin_t *pin = *at;
    *at = pin->next;
    if (touched (pin))
        simcuda_log ("simcuda.unpinned_under_copy bytes=%zu", pin->size);
    while (touched (pin) && !simcuda_world.sticky) /* assumed: the driver waits, too */
        simcuda_wait_change ();
    free (pin);
    return cudaSuccess;
}

cudaError_t cudaHostUnregister (void *ptr)
{
    cudaError_t answer = simcuda_enter ("cudaHostUnregister", false);
    return simcuda_leave (answer ? answer : unpin (ptr));
}
