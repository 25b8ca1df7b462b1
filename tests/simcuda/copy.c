// SPDX-License-Identifier: Apache-2.0
/*  copy.c - copies: late, over a link of limited speed, and reading a pinned source only at their very end
 *
 *  The destination is poison from the call on, so that whoever looks before the copy is over sees it. Where work under way may still use
 *  those bytes in good order, poison waits until it is the copy's turn. cudaMemcpy is here, too: no stream, the caller waits.
 */
#include "tests/simcuda/inside.h"

#define PAGE ((size_t) 4096)
#define SAMPLE ((size_t) 64) /* bytes looked at of each page, to see whether a source has changed */
#define WHOLE ((size_t) 64 << 10) /* smaller sources are looked at whole */

static uint64_t add (uint64_t sum, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ data [i]) * 0x100000001b3; /* FNV-1a */
    return sum;
}

static uint64_t sum_of (const uint8_t *data, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325;
    if (size <= WHOLE)
        return add (sum, data, size);
    for (size_t at = 0; at < size - SAMPLE; at += PAGE)
        sum = add (sum, data + at, SAMPLE);
    return add (sum, data + size - SAMPLE, SAMPLE);
}

/*  When the last byte is over, if the first may go from `ready` on: a device's copies in one direction share its link, whatever stream
 *  or process they come from. */
static uint64_t over_link (const simcuda_operation_t *copy, uint64_t ready)
{
    bool between = copy->to_memory && copy->from_memory, neither = !copy->to_memory && !copy->from_memory;
    if (!simcuda_world.link_rate || between || neither)
        return ready;
    int device = copy->to_memory ? copy->to_memory->device : copy->from_memory->device;
    _Atomic uint64_t *link = simcuda_state_link (device, copy->to_memory ? 0 : 1);
    uint64_t takes = (uint64_t) ((double) copy->size * 1e9 / (double) simcuda_world.link_rate);
    uint64_t free_at = atomic_load (link), end;
    do
        end = (free_at > ready ? free_at : ready) + takes;
    while (!atomic_compare_exchange_weak (link, &free_at, end));
    return end;
}

static void sleep_until (uint64_t when)
{
    const struct timespec at = { (time_t) (when / 1000000000), (long) (when % 1000000000) };
    while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        ;
}

/*  Memory opened by cudaIpcOpenMemHandle is gone with its owner. */
static bool dangling (const simcuda_physical_t *memory)
{
    if (!memory || memory->shared || memory->owner == simcuda_world.pid)
        return false;
    return simcuda_process_started (memory->owner) != memory->owner_started;
}

static void deliver (simcuda_operation_t *copy)
{
    const uint8_t *from = copy->staged ? copy->staged : copy->from;
    if (dangling (copy->from_memory) || dangling (copy->to_memory)) {
        simcuda_log ("simcuda.dangling_import bytes=%zu", copy->size);
        memset (copy->to, SIMCUDA_POISON, copy->size);
        return;
    }
    if (copy->source_sum && copy->source_sum != sum_of (from, copy->size))
        simcuda_log ("simcuda.source_reused bytes=%zu", copy->size);
    memmove (copy->to, from, copy->size);
    if (copy->fault && strcmp (copy->fault, "wrong") == 0)
        copy->to [copy->size / 2] ^= 1;
}

/*  The two faults that a copy has instead of an end. */
static bool fails (const simcuda_operation_t *copy)
{
    bool hangs = copy->fault && strcmp (copy->fault, "hang") == 0;
    bool late = copy->fault && strncmp (copy->fault, "late", 4) == 0;
    if (!hangs && !late)
        return false;
    pthread_mutex_lock (&simcuda_world.lock);
    if (late)
        simcuda_stick ((cudaError_t) strtol (copy->fault + 4, NULL, 10));
    while (hangs && !simcuda_world.sticky)
        simcuda_wait_change ();
    pthread_mutex_unlock (&simcuda_world.lock);
    return true;
}

void simcuda_copy_run (simcuda_operation_t *copy)
{
    simcuda_stream_t *stream = copy->stream;
    uint64_t ready = copy->enqueued_at;
    if (stream && stream->ready_at > ready)
        ready = stream->ready_at;
    if (!copy->poisoned)
        memset (copy->to, SIMCUDA_POISON, copy->size);
    uint64_t end = over_link (copy, ready), soonest = copy->enqueued_at + copy->delay;
    if (stream)
        stream->ready_at = end; /* not when our own memcpy is over: that is no part of the link */
    sleep_until (end > soonest ? end : soonest);
    if (!simcuda_world.sticky && !fails (copy))
        deliver (copy);
}

static bool in_reservation (const uint8_t *at)
{
    for (const simcuda_reservation_t *one = simcuda_world.reservations; one; one = one->next)
        if (at >= one->base && at < one->base + one->size)
            return true;
    return false;
}

/*  What is behind a pointer of the program: the host's memory, or a device's (then with a reference). */
static cudaError_t look_up (const void *pointer, size_t size, bool write, uint8_t **ret,
                            simcuda_physical_t **ret_memory)
{
    simcuda_view_t *view = simcuda_view_at (pointer);
    if (!view && (simcuda_freed (pointer) || in_reservation (pointer))) {
        simcuda_log ("simcuda.use_after_free");
        return cudaErrorInvalidValue;
    }
    *ret = (uint8_t *) (uintptr_t) pointer;
    if (!view)
        return cudaSuccess;
    size_t offset = (size_t) ((const uint8_t *) pointer - view->base);
    if (size > view->size - offset) {
        simcuda_log ("simcuda.out_of_bounds bytes=%zu room=%zu", size, view->size - offset);
        return cudaErrorInvalidValue;
    }
    if (write ? !view->may_write : !view->may_read) {
        simcuda_log ("simcuda.access_denied write=%d", write);
        return cudaErrorInvalidValue;
    }
    *ret = view->physical->inside + offset;
    *ret_memory = view->physical;
    view->physical->references++;
    return cudaSuccess;
}

/*  Pointers that do not fit their kind are undefined by the header; here they are an error. */
static bool fits (enum cudaMemcpyKind kind, const simcuda_operation_t *copy)
{
    bool to_device = copy->to_memory, from_device = copy->from_memory;
    return kind == cudaMemcpyDefault ||
           ((kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) == to_device &&
            (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) == from_device);
}

static void check_device (const simcuda_operation_t *copy)
{
    const simcuda_physical_t *memory = copy->to_memory ? copy->to_memory : copy->from_memory;
    int device = copy->stream ? copy->stream->device : simcuda_thread.device;
    /*  Both succeed on hardware (CUDA C++ Programming Guide, Stream and Event Behavior), and both are never meant by a loader. */
    if (device != simcuda_thread.device || (memory && memory->device != device))
        simcuda_log ("simcuda.wrong_device call=cudaMemcpy current=%d stream=%d memory=%d",
                     simcuda_thread.device, device, memory ? memory->device : -1);
}

typedef struct {
    void *to;
    const void *from;
    size_t size;
    enum cudaMemcpyKind kind;
} wish_t;

static cudaError_t prepare (const wish_t *wish, simcuda_stream_t *stream, simcuda_operation_t **ret)
{
    uint8_t *from = NULL;
    if ((unsigned) wish->kind > cudaMemcpyDefault)
        return cudaErrorInvalidMemcpyDirection;
    if (!wish->to || !wish->from)
        return cudaErrorInvalidValue;
    simcuda_operation_t *copy = simcuda_operation_new (SIMCUDA_COPY, stream);
    if (!copy)
        return cudaErrorMemoryAllocation;
    copy->size = wish->size;
    copy->fault = simcuda_thread.fault;
    cudaError_t answer = look_up (wish->to, wish->size, true, &copy->to, &copy->to_memory);
    if (!answer)
        answer = look_up (wish->from, wish->size, false, &from, &copy->from_memory);
    copy->from = from;
    if (!answer && !fits (wish->kind, copy))
        answer = cudaErrorInvalidValue;
    if (answer) {
        simcuda_operation_destroy (copy);
        return answer;
    }
    check_device (copy);
    simcuda_order_check (copy);
    *ret = copy;
    return cudaSuccess;
}

/*  A pageable source may be staged at the call (cuda_runtime_api.h, API synchronization behavior, Asynchronous 3): it always is. */
static cudaError_t take_source (simcuda_operation_t *copy)
{
    if (copy->from_memory || simcuda_pin_at (copy->from, copy->size)) {
        copy->source_sum = copy->from_memory ? 0 : sum_of (copy->from, copy->size);
        return cudaSuccess;
    }
    if (!copy->to_memory)
        return cudaSuccess; /* host to host: the caller waits */
    copy->staged = malloc (copy->size);
    if (!copy->staged)
        return cudaErrorMemoryAllocation;
    memcpy (copy->staged, copy->from, copy->size);
    simcuda_log ("simcuda.pageable_source bytes=%zu", copy->size);
    return cudaSuccess;
}

static cudaError_t enqueue (const wish_t *wish, cudaStream_t handle)
{
    simcuda_operation_t *copy = NULL;
    simcuda_stream_t *stream = simcuda_stream_of (handle);
    if (!stream)
        return cudaErrorInvalidResourceHandle;
    if (wish->size == 0)
        return cudaSuccess;
    cudaError_t answer = prepare (wish, stream, &copy);
    if (!answer && (answer = take_source (copy)) != cudaSuccess)
        simcuda_operation_destroy (copy);
    if (answer)
        return answer;
    copy->poisoned = !simcuda_order_used (copy->to, copy->size);
    if (copy->poisoned)
        memset (copy->to, SIMCUDA_POISON, copy->size);
    bool waits = !copy->to_memory && (!copy->from_memory || !simcuda_pin_at (copy->to, copy->size));
    simcuda_operation_push (copy);
    return waits ? simcuda_stream_drain (stream) : cudaSuccess;
}

cudaError_t cudaMemcpyAsync (void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                             cudaStream_t stream)
{
    const wish_t wish = { dst, src, count, kind };
    cudaError_t answer = simcuda_enter ("cudaMemcpyAsync", false);
    return simcuda_leave (answer ? answer : enqueue (&wish, stream));
}

/*  The default stream waits for streams that were not made cudaStreamNonBlocking, and for no others. */
static cudaError_t drain_blocking (void)
{
    cudaError_t answer = cudaSuccess;
    for (unsigned i = 0; !answer && i < SIMCUDA_STREAMS_MAX; i++) {
        simcuda_stream_t *stream = simcuda_world.streams [i];
        if (stream && stream->device == simcuda_thread.device && !(stream->flags & cudaStreamNonBlocking))
            answer = simcuda_stream_drain (stream);
    }
    return answer;
}

static cudaError_t copy_now (const wish_t *wish)
{
    simcuda_operation_t *copy = NULL;
    cudaError_t answer = drain_blocking ();
    if (!answer && wish->size)
        answer = prepare (wish, NULL, &copy);
    if (answer || !copy)
        return answer;
    copy->poisoned = true; /* nobody can look meanwhile who isn't in a race anyway */
    pthread_mutex_unlock (&simcuda_world.lock);
    simcuda_copy_run (copy);
    pthread_mutex_lock (&simcuda_world.lock);
    simcuda_operation_destroy (copy);
    return simcuda_world.sticky;
}

cudaError_t cudaMemcpy (void *dst, const void *src, size_t count, enum cudaMemcpyKind kind)
{
    const wish_t wish = { dst, src, count, kind };
    cudaError_t answer = simcuda_enter ("cudaMemcpy", true);
    return simcuda_leave (answer ? answer : copy_now (&wish));
}
