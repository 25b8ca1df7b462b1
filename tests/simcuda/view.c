// SPDX-License-Identifier: Apache-2.0
/*  view.c - the addresses that a program knows device memory by: nothing there can be read or written by the host
 *
 *  Every view is a PROT_NONE mapping, so that a host pointer mistake is a SIGSEGV at the line that makes it. Addresses of freed memory
 *  stay unused for a while: an old pointer then faults, too, and a second free is known for what it is.
 */
#include <sys/mman.h>
#include "tests/simcuda/inside.h"

#define QUARANTINE 64 /* freed ranges that are kept; only addresses, no memory */

static struct {
    uint8_t *base [QUARANTINE];
    size_t size [QUARANTINE];
    unsigned next;
} quarantine;

uint8_t *simcuda_reserve (size_t size, size_t alignment)
{
    size_t more = alignment > SIMCUDA_STEP ? alignment : SIMCUDA_STEP;
    if (size == 0 || size + more < size)
        return NULL;
    uint8_t *start = mmap (NULL, size + more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    uint8_t *base = (uint8_t *) (((uintptr_t) start + more - 1) / more * more), *end = base + size;
    if (base > start)
        munmap (start, (size_t) (base - start));
    if (end < start + size + more)
        munmap (end, (size_t) (start + size + more - end));
    return base;
}

static void *cover (uint8_t *base, size_t size)
{
    return mmap (base, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void simcuda_unreserve (uint8_t *base, size_t size)
{
    unsigned at = quarantine.next++ % QUARANTINE;
    if (quarantine.base [at])
        munmap (quarantine.base [at], quarantine.size [at]);
    quarantine.base [at] = base;
    quarantine.size [at] = size;
}

bool simcuda_freed (const void *pointer)
{
    const uint8_t *at = pointer;
    for (unsigned i = 0; i < QUARANTINE; i++)
        if (quarantine.base [i] && at >= quarantine.base [i] &&
            at < quarantine.base [i] + quarantine.size [i])
            return true;
    return false;
}

simcuda_view_t *simcuda_view_new (simcuda_view_kind_t kind, simcuda_physical_t *physical, uint8_t *base)
{
    simcuda_view_t *view = calloc (1, sizeof *view);
    uint8_t *place = base ? base : simcuda_reserve (physical->size, SIMCUDA_STEP);
    if (!view || !place ||
        mmap (place, physical->size, PROT_NONE, MAP_SHARED | MAP_FIXED, physical->fd, 0) == MAP_FAILED) {
        free (view);
        return NULL;
    }
    view->kind = kind;
    view->base = place;
    view->size = physical->size;
    view->physical = physical;
    view->opens = 1;
    view->may_read = view->may_write =
        kind != SIMCUDA_VIEW_MAP; /* cuda.h, cuMemMap: not accessible by itself */
    view->next = simcuda_world.views;
    simcuda_world.views = view;
    return view;
}

/*  Gives the view's reference on its memory back, too. The addresses of cuMemMap stay its reservation's. */
void simcuda_view_destroy (simcuda_view_t *view)
{
    simcuda_view_t **at = &simcuda_world.views;
    while (*at != view)
        at = &(*at)->next;
    *at = view->next;
    (void) cover (view->base, view->size);
    if (view->kind != SIMCUDA_VIEW_MAP)
        simcuda_unreserve (view->base, view->size);
    simcuda_physical_drop (view->physical);
    free (view);
}

simcuda_view_t *simcuda_view_at (const void *pointer)
{
    const uint8_t *at = pointer;
    for (simcuda_view_t *view = simcuda_world.views; view; view = view->next)
        if (at >= view->base && at < view->base + view->size)
            return view;
    return NULL;
}
