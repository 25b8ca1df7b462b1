// SPDX-License-Identifier: Apache-2.0
/*  stream.c - streams: a thread each, that does what was asked in order, and late */
#include "tests/simcuda/inside.h"

#define WORK_PAUSE \
    200000 /* ns between two asks of work that isn't over: quick beside a copy, cheap beside a core */
#define DELAY_LEAST 100000 /* ns: longer than a program takes to its next line */
#define DELAY_MORE 1400000 /* and at most so much more, drawn from the seed */

/*  Sebastiano Vigna's splitmix64: any seed is as good as another. */
static uint64_t draw (uint64_t *state)
{
    uint64_t value = *state += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

simcuda_stream_t *simcuda_stream_of (cudaStream_t handle)
{
    if (handle == NULL || handle == cudaStreamLegacy || handle == cudaStreamPerThread) {
        simcuda_log ("simcuda.default_stream");
        abort (); /* our code never means it; on hardware it would wait for everything */
    }
    for (unsigned i = 0; i < SIMCUDA_STREAMS_MAX; i++) {
        simcuda_stream_t *stream = simcuda_world.streams [i];
        if (stream && !stream->closing && stream->handle == (uintptr_t) handle)
            return stream;
    }
    simcuda_log ("simcuda.stale_handle kind=stream");
    return NULL;
}

simcuda_operation_t *simcuda_operation_new (simcuda_operation_kind_t kind, simcuda_stream_t *stream)
{
    simcuda_operation_t *made = calloc (1, sizeof *made);
    if (!made)
        return NULL;
    made->kind = kind;
    made->stream = stream;
    made->number = ++simcuda_world.numbers;
    made->enqueued_at = simcuda_now ();
    if (stream) {
        memcpy (made->clock, stream->clock, sizeof made->clock);
        made->clock [stream->slot] = made->number;
        made->delay = DELAY_LEAST + draw (&stream->random) % DELAY_MORE;
    }
    return made;
}

void simcuda_operation_destroy (simcuda_operation_t *operation)
{
    if (operation->to_memory)
        simcuda_physical_drop (operation->to_memory);
    if (operation->from_memory)
        simcuda_physical_drop (operation->from_memory);
    if (operation->record)
        simcuda_record_drop (operation->record);
    free (operation->staged);
    free (operation);
}

void simcuda_operation_push (simcuda_operation_t *operation)
{
    simcuda_stream_t *stream = operation->stream;
    *stream->tail = operation;
    stream->tail = &operation->next;
    pthread_cond_broadcast (&simcuda_world.changed);
}

static void do_work (simcuda_operation_t *operation)
{
    const struct timespec while_ = { .tv_nsec = WORK_PAUSE };
    int rc = 1;
    simcuda_thread.running = operation;
    pthread_mutex_unlock (&simcuda_world.lock);
    while ((rc = operation->work (operation->argument)) == 1)
        nanosleep (&while_, NULL);
    pthread_mutex_lock (&simcuda_world.lock);
    simcuda_thread.running = NULL;
    if (rc < 0)
        simcuda_stick (cudaErrorLaunchFailure);
}

static void run (simcuda_operation_t *operation)
{
    switch (operation->kind) {
    case SIMCUDA_COPY:
        pthread_mutex_unlock (&simcuda_world.lock);
        simcuda_copy_run (operation);
        pthread_mutex_lock (&simcuda_world.lock);
        break;
    case SIMCUDA_RECORD:
        operation->record->done = true;
        break;
    case SIMCUDA_WAIT:
        (void) simcuda_record_wait (operation->record);
        operation->stream->ready_at = simcuda_now ();
        break;
    case SIMCUDA_WORK:
        do_work (operation);
        operation->stream->ready_at = simcuda_now ();
        break;
    }
}

static void *serve (void *argument)
{
    simcuda_stream_t *stream = argument;
    pthread_mutex_lock (&simcuda_world.lock);
    for (;;) {
        while (!stream->head && !stream->closing)
            simcuda_wait_change ();
        simcuda_operation_t *operation = stream->head;
        if (!operation)
            break;
        run (operation);
        stream->head = operation->next;
        if (!stream->head)
            stream->tail = &stream->head;
        simcuda_operation_destroy (operation);
        pthread_cond_broadcast (&simcuda_world.changed);
    }
    simcuda_world.streams [stream->slot] = NULL;
    pthread_mutex_unlock (&simcuda_world.lock);
    free (stream);
    return NULL;
}

static cudaError_t start (simcuda_stream_t *stream)
{
    pthread_attr_t detached;
    pthread_t thread;
    pthread_attr_init (&detached);
    pthread_attr_setdetachstate (&detached, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create (&thread, &detached, serve, stream);
    pthread_attr_destroy (&detached);
    return rc ? cudaErrorMemoryAllocation : cudaSuccess;
}

static cudaError_t create (cudaStream_t *ret, unsigned flags)
{
    unsigned slot = 0;
    if (!ret || (flags != cudaStreamDefault && flags != cudaStreamNonBlocking))
        return cudaErrorInvalidValue;
    while (slot < SIMCUDA_STREAMS_MAX && simcuda_world.streams [slot])
        slot++;
    simcuda_stream_t *stream = slot < SIMCUDA_STREAMS_MAX ? calloc (1, sizeof *stream) : NULL;
    if (!stream)
        return cudaErrorMemoryAllocation;
    stream->handle = ++simcuda_world.numbers;
    stream->slot = slot;
    stream->device = simcuda_thread.device;
    stream->flags = flags;
    stream->tail = &stream->head;
    stream->random = simcuda_world.seed * 1000003 + slot;
    cudaError_t answer = start (stream);
    if (answer) {
        free (stream);
        return answer;
    }
    simcuda_world.streams [slot] = stream;
    *ret = (cudaStream_t) stream->handle; // NOLINT(performance-no-int-to-ptr): a number, never followed
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags (cudaStream_t *pStream, unsigned int flags)
{
    cudaError_t answer = simcuda_enter ("cudaStreamCreateWithFlags", true);
    return simcuda_leave (answer ? answer : create (pStream, flags));
}

/*  Returns at once; what is under way ends by itself (cuda_runtime_api.h, cudaStreamDestroy). */
static cudaError_t destroy (cudaStream_t handle)
{
    simcuda_stream_t *stream = simcuda_stream_of (handle);
    if (!stream)
        return cudaErrorInvalidResourceHandle;
    stream->closing = true;
    pthread_cond_broadcast (&simcuda_world.changed);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy (cudaStream_t stream)
{
    cudaError_t answer = simcuda_enter ("cudaStreamDestroy", false);
    return simcuda_leave (answer ? answer : destroy (stream));
}

static cudaError_t query (cudaStream_t handle)
{
    const simcuda_stream_t *stream = simcuda_stream_of (handle);
    return !stream ? cudaErrorInvalidResourceHandle : stream->head ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaStreamQuery (cudaStream_t stream)
{
    cudaError_t answer = simcuda_enter ("cudaStreamQuery", false);
    return simcuda_leave (answer ? answer : query (stream));
}

/*  A mark behind what is there now, so that work which comes meanwhile does not keep the caller. */
cudaError_t simcuda_stream_drain (simcuda_stream_t *stream)
{
    if (!stream->head)
        return cudaSuccess;
    simcuda_record_t *mark = simcuda_record_push (stream);
    if (!mark)
        return cudaErrorMemoryAllocation;
    cudaError_t answer = simcuda_record_wait (mark);
    simcuda_record_drop (mark);
    return answer;
}

static cudaError_t synchronize (cudaStream_t handle)
{
    simcuda_stream_t *stream = simcuda_stream_of (handle);
    return stream ? simcuda_stream_drain (stream) : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaStreamSynchronize (cudaStream_t stream)
{
    cudaError_t answer = simcuda_enter ("cudaStreamSynchronize", false);
    return simcuda_leave (answer ? answer : synchronize (stream));
}

int simcuda_enqueue (void *handle, simcuda_work_fn *work, void *argument)
{
    cudaError_t answer = simcuda_enter ("simcuda_enqueue", false);
    simcuda_stream_t *stream = answer ? NULL : simcuda_stream_of (handle);
    simcuda_operation_t *operation = stream ? simcuda_operation_new (SIMCUDA_WORK, stream) : NULL;
    if (operation) {
        operation->work = work;
        operation->argument = argument;
        simcuda_operation_push (operation);
    }
    pthread_mutex_unlock (&simcuda_world.lock);
    return operation ? 0 : -1;
}

cudaError_t cudaDeviceSynchronize (void)
{
    cudaError_t answer = simcuda_enter ("cudaDeviceSynchronize", true);
    for (int at = 0; at < SIMCUDA_STREAMS_MAX && !answer; at++)
        if (simcuda_world.streams [at] && simcuda_world.streams [at]->device == simcuda_thread.device)
            answer = simcuda_stream_drain (simcuda_world.streams [at]);
    return simcuda_leave (answer);
}
