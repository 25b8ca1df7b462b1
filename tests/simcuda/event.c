// SPDX-License-Identifier: Apache-2.0
/*  event.c - events: marks in a stream that the host, or another stream, waits for */
#include "tests/simcuda/inside.h"

#define EVENT_FLAGS (cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess)

void simcuda_record_drop (simcuda_record_t *record)
{
    if (--record->references == 0)
        free (record);
}

simcuda_record_t *simcuda_record_push (simcuda_stream_t *stream)
{
    simcuda_record_t *record = calloc (1, sizeof *record);
    simcuda_operation_t *operation = record ? simcuda_operation_new (SIMCUDA_RECORD, stream) : NULL;
    if (!operation) {
        free (record);
        return NULL;
    }
    memcpy (record->clock, operation->clock, sizeof record->clock);
    record->references = 2;
    operation->record = record;
    simcuda_operation_push (operation);
    return record;
}

cudaError_t simcuda_record_wait (simcuda_record_t *record)
{
    record->references++;
    while (!record->done && !simcuda_world.sticky)
        simcuda_wait_change ();
    simcuda_record_drop (record);
    return simcuda_world.sticky;
}

static simcuda_event_t *event_of (cudaEvent_t handle)
{
    for (simcuda_event_t *event = simcuda_world.events; event; event = event->next)
        if (event->handle == (uintptr_t) handle)
            return event;
    simcuda_log ("simcuda.stale_handle kind=event");
    return NULL;
}

static cudaError_t create (cudaEvent_t *ret, unsigned flags)
{
    bool shared = flags & cudaEventInterprocess, timed = !(flags & cudaEventDisableTiming);
    if (!ret || (flags & ~(unsigned) EVENT_FLAGS) || (shared && timed))
        return cudaErrorInvalidValue;
    simcuda_event_t *event = calloc (1, sizeof *event);
    if (!event)
        return cudaErrorMemoryAllocation;
    event->handle = ++simcuda_world.numbers;
    event->device = simcuda_thread.device;
    event->next = simcuda_world.events;
    simcuda_world.events = event;
    *ret = (cudaEvent_t) event->handle; // NOLINT(performance-no-int-to-ptr): a number, never followed
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags (cudaEvent_t *event, unsigned int flags)
{
    cudaError_t answer = simcuda_enter ("cudaEventCreateWithFlags", true);
    return simcuda_leave (answer ? answer : create (event, flags));
}

static cudaError_t destroy (cudaEvent_t handle)
{
    simcuda_event_t *event = event_of (handle), **at = &simcuda_world.events;
    if (!event)
        return cudaErrorInvalidResourceHandle;
    while (*at != event)
        at = &(*at)->next;
    *at = event->next;
    if (event->record)
        simcuda_record_drop (event->record);
    free (event);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy (cudaEvent_t event)
{
    cudaError_t answer = simcuda_enter ("cudaEventDestroy", false);
    return simcuda_leave (answer ? answer : destroy (event));
}

/*  "cudaEventRecord() will fail if the input event and input stream are associated to different devices" (CUDA C++ Programming Guide,
 *  Stream and Event Behavior). */
static cudaError_t record (cudaEvent_t event_handle, cudaStream_t stream_handle)
{
    simcuda_stream_t *stream = simcuda_stream_of (stream_handle);
    simcuda_event_t *event = event_of (event_handle);
    if (!stream || !event)
        return cudaErrorInvalidResourceHandle;
    if (event->device != stream->device) {
        simcuda_log ("simcuda.wrong_device call=cudaEventRecord event=%d stream=%d", event->device,
                     stream->device);
        return cudaErrorInvalidResourceHandle;
    }
    simcuda_record_t *mark = simcuda_record_push (stream);
    if (!mark)
        return cudaErrorMemoryAllocation;
    if (event->record)
        simcuda_record_drop (event->record);
    event->record = mark;
    return cudaSuccess;
}

cudaError_t cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t answer = simcuda_enter ("cudaEventRecord", false);
    return simcuda_leave (answer ? answer : record (event, stream));
}

static cudaError_t query (cudaEvent_t handle)
{
    const simcuda_event_t *event = event_of (handle);
    if (!event)
        return cudaErrorInvalidResourceHandle;
    return !event->record || event->record->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventQuery (cudaEvent_t event)
{
    cudaError_t answer = simcuda_enter ("cudaEventQuery", false);
    return simcuda_leave (answer ? answer : query (event));
}

static cudaError_t synchronize (cudaEvent_t handle)
{
    const simcuda_event_t *event = event_of (handle);
    if (!event)
        return cudaErrorInvalidResourceHandle;
    return event->record ? simcuda_record_wait (event->record) : cudaSuccess;
}

cudaError_t cudaEventSynchronize (cudaEvent_t event)
{
    cudaError_t answer = simcuda_enter ("cudaEventSynchronize", false);
    return simcuda_leave (answer ? answer : synchronize (event));
}

/*  The mark of now: later cudaEventRecords do not move it (cuda_runtime_api.h, cudaEventRecord). */
static cudaError_t wait (cudaStream_t stream_handle, cudaEvent_t event_handle, unsigned flags)
{
    simcuda_stream_t *stream = simcuda_stream_of (stream_handle);
    simcuda_event_t *event = event_of (event_handle);
    if (!stream || !event)
        return cudaErrorInvalidResourceHandle;
    if (flags != cudaEventWaitDefault)
        return cudaErrorInvalidValue;
    if (!event->record)
        return cudaSuccess;
    simcuda_operation_t *operation = simcuda_operation_new (SIMCUDA_WAIT, stream);
    if (!operation)
        return cudaErrorMemoryAllocation;
    operation->record = event->record;
    event->record->references++;
    for (unsigned i = 0; i < SIMCUDA_STREAMS_MAX; i++)
        if (stream->clock [i] < event->record->clock [i])
            stream->clock [i] = event->record->clock [i];
    simcuda_operation_push (operation);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned int flags)
{
    cudaError_t answer = simcuda_enter ("cudaStreamWaitEvent", false);
    return simcuda_leave (answer ? answer : wait (stream, event, flags));
}
