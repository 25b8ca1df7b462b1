// SPDX-License-Identifier: Apache-2.0
/*  report.c - what a program has left behind when it ends by itself: a line for each thing */
#include "tests/simcuda/inside.h"

static void report_memory (const simcuda_world_t *world)
{
    for (const simcuda_view_t *view = world->views; view; view = view->next) {
        const char *what = view->kind == SIMCUDA_VIEW_MALLOC ? "leak" : "leak_mapping";
        simcuda_log ("simcuda.%s bytes=%zu device=%d", what, view->size, view->physical->device);
        unsigned importers =
            view->kind == SIMCUDA_VIEW_MALLOC ? simcuda_state_others (view->physical->key) : 0;
        if (importers)
            simcuda_log ("simcuda.freed_with_importers importers=%u bytes=%zu", importers, view->size);
    }
    for (const simcuda_handle_t *handle = world->handles; handle; handle = handle->next)
        simcuda_log ("simcuda.leak bytes=%zu device=%d kind=handle", handle->physical->size,
                     handle->physical->device);
    for (const simcuda_reservation_t *one = world->reservations; one; one = one->next)
        simcuda_log ("simcuda.leak_mapping bytes=%zu kind=reservation", one->size);
    for (const simcuda_physical_t *one = world->physicals; one; one = one->next)
        if (!one->references)
            simcuda_log ("simcuda.leak_descriptor bytes=%zu device=%d", one->size, one->device);
}

void simcuda_report (void)
{
    simcuda_world_t *world = &simcuda_world;
    pthread_mutex_lock (&world->lock);
    simcuda_physical_sweep ();
    report_memory (world);
    for (unsigned i = 0; i < SIMCUDA_STREAMS_MAX; i++)
        if (world->streams [i] && !world->streams [i]->closing)
            simcuda_log ("simcuda.leak_stream device=%d", world->streams [i]->device);
    for (const simcuda_event_t *event = world->events; event; event = event->next)
        simcuda_log ("simcuda.leak_event device=%d", event->device);
    for (const simcuda_pin_t *pin = world->pins; pin; pin = pin->next)
        simcuda_log ("simcuda.leak_pin bytes=%zu", pin->size);
    pthread_mutex_unlock (&world->lock);
}
