// SPDX-License-Identifier: Apache-2.0
/*  broken_loaders.c - small loaders, each with one mistake that works on most machines most of the time, and each without it
 *
 *      broken_loaders MISTAKE right|broken
 *
 *  Ends with WRONG_BYTES if what is on the device is not the model. What else shows a mistake is the simulation's business.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "tests/simcuda/broken_loaders.h"
#include "tests/simcuda/play.h"

#define CHUNK ((size_t) 256 << 10)
#define CHUNKS 4
#define PAGE ((size_t) 4096) /* soon read, long before a chunk is there */
#define FILL(i) (0x20 + (int) (i)) /* what chunk i of the model is full of */

typedef struct {
    int broken;
    uint8_t *slot; /* a ring of one slot, pinned */
    uint8_t *device;
    cudaStream_t stream;
    cudaEvent_t event;
} loader_t;

static void read_chunk (uint8_t *slot, size_t i)
{
    memset (slot, FILL (i), CHUNK);
}

static void begin (loader_t *self, int device)
{
    must_do (cudaSetDevice (device));
    self->slot = play_host (CHUNK, 0, 1);
    must_do (cudaMalloc ((void **) &self->device, CHUNKS * CHUNK));
    must_do (cudaStreamCreateWithFlags (&self->stream, cudaStreamNonBlocking));
    must_do (cudaEventCreateWithFlags (&self->event, cudaEventDisableTiming));
}

static void copy_chunk (loader_t *self, size_t i)
{
    must_do (
        cudaMemcpyAsync (self->device + i * CHUNK, self->slot, CHUNK, cudaMemcpyHostToDevice, self->stream));
    must_do (cudaEventRecord (self->event, self->stream));
}

static void load (loader_t *self)
{
    for (size_t i = 0; i < CHUNKS; i++) {
        read_chunk (self->slot, i);
        copy_chunk (self, i);
        must_do (cudaEventSynchronize (self->event));
    }
}

static int check (const loader_t *self)
{
    for (size_t i = 0; i < CHUNKS; i++)
        if (!play_device_all (self->device + i * CHUNK, CHUNK, FILL (i)))
            return WRONG_BYTES;
    return 0;
}

static void end (loader_t *self)
{
    must_do (cudaStreamSynchronize (self->stream));
    must_do (cudaEventDestroy (self->event));
    must_do (cudaStreamDestroy (self->stream));
    must_do (cudaFree (self->device));
    play_host_free (self->slot, CHUNK, 1);
}

/*  The next chunk is read into the slot while the last one is still on its way from there. */
static int reuse_slot (loader_t *self)
{
    begin (self, 0);
    for (size_t i = 0; i < CHUNKS; i++) {
        read_chunk (self->slot, i);
        copy_chunk (self, i);
        if (!self->broken)
            must_do (cudaEventSynchronize (self->event));
    }
    must_do (cudaStreamSynchronize (self->stream));
    int rc = check (self);
    end (self);
    return rc;
}

/*  A load is cancelled, and its memory freed before its last copy is over. */
static int free_under_copy (loader_t *self)
{
    begin (self, 0);
    copy_chunk (self, 0);
    if (!self->broken)
        must_do (cudaEventSynchronize (self->event));
    must_do (cudaFree (self->device));
    self->device = NULL;
    end (self);
    return 0;
}

static void *load_in_thread (void *argument)
{
    loader_t *self = argument;
    if (!self->broken)
        must_do (cudaSetDevice (1));
    must_do (cudaMalloc ((void **) &self->device, CHUNKS * CHUNK));
    must_do (cudaStreamCreateWithFlags (&self->stream, cudaStreamNonBlocking));
    must_do (cudaEventCreateWithFlags (&self->event, cudaEventDisableTiming));
    load (self);
    return NULL;
}

/*  The main thread sets the device; the one that loads does not. */
static int forget_device (loader_t *self)
{
    pthread_t thread;
    must_do (cudaSetDevice (1));
    self->slot = play_host (CHUNK, 0, 1);
    must (pthread_create (&thread, NULL, load_in_thread, self) == 0 && pthread_join (thread, NULL) == 0);
    int rc = check (self);
    end (self);
    return rc;
}

/*  The bytes are checked where they are: on the device. */
static int dereference (loader_t *self)
{
    uint8_t first = FILL (0);
    begin (self, 0);
    load (self);
    if (self->broken)
        first = *(volatile uint8_t *) self->device;
    int rc = first == FILL (0) ? check (self) : WRONG_BYTES;
    end (self);
    return rc;
}

/*  The slot is filled after the copy was asked for, in the belief that the stream is not there yet: true of pinned memory only, and no
 *  promise there. */
static int trust_pageable (loader_t *self)
{
    begin (self, 0);
    load (self);
    uint8_t *slot = play_host (CHUNK, 0, !self->broken);
    if (!self->broken)
        read_chunk (slot, 3);
    must_do (cudaMemcpyAsync (self->device + 3 * CHUNK, slot, CHUNK, cudaMemcpyHostToDevice, self->stream));
    if (self->broken)
        read_chunk (slot, 3);
    must_do (cudaStreamSynchronize (self->stream));
    play_host_free (slot, CHUNK, !self->broken);
    int rc = check (self);
    end (self);
    return rc;
}

/*  The device is full, the answer is not looked at, and the model goes to where an older one was. */
static int ignore_full (loader_t *self)
{
    void *all = NULL;
    size_t left = 0, total = 0;
    begin (self, 0);
    uint8_t *old = self->device;
    must_do (cudaFree (self->device));
    must_do (cudaMemGetInfo (&left, &total));
    must_do (cudaMalloc (&all, left));
    cudaError_t answer = cudaMalloc ((void **) &self->device, CHUNKS * CHUNK);
    if (answer && !self->broken) { /* make room, then again */
        must_do (cudaFree (all));
        all = NULL;
        must_do (cudaMalloc ((void **) &self->device, CHUNKS * CHUNK));
    }
    (void) cudaGetLastError ();
    if (answer && self->broken)
        self->device = old;
    (void) cudaMemcpyAsync (self->device, self->slot, CHUNK, cudaMemcpyHostToDevice, self->stream);
    must_do (cudaStreamSynchronize (self->stream));
    must_do (cudaFree (all));
    if (self->broken)
        self->device = NULL;
    end (self);
    return 0;
}

/*  Two owners of one pointer. */
static int free_twice (loader_t *self)
{
    begin (self, 0);
    load (self);
    uint8_t *memory = self->device;
    int rc = check (self);
    end (self);
    if (self->broken)
        (void) cudaFree (memory);
    return rc;
}

/*  The error path that forgets the memory. */
static int leak (loader_t *self)
{
    begin (self, 0);
    load (self);
    int rc = check (self);
    if (self->broken)
        self->device = NULL;
    end (self);
    return rc;
}

static void import (int socket)
{
    cudaIpcMemHandle_t handle;
    void *memory;
    char word;
    must_do (cudaSetDevice (0));
    play_receive (socket, &handle, sizeof handle, NULL);
    must_do (cudaIpcOpenMemHandle (&memory, handle, cudaIpcMemLazyEnablePeerAccess));
    play_send (socket, "o", 1, -1);
    play_receive (socket, &word, 1, NULL); /* the lease is over */
    must_do (cudaIpcCloseMemHandle (memory));
    play_send (socket, "c", 1, -1);
    exit (0);
}

/*  The lease is over, so the memory is freed: but its importer has not said that it closed it. */
static int free_before_importers (loader_t *self)
{
    cudaIpcMemHandle_t handle;
    int ends [2], status = 0;
    char word;
    must (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    pid_t pid = fork ();
    if (pid == 0)
        import (ends [1]);
    begin (self, 0);
    load (self);
    must_do (cudaIpcGetMemHandle (&handle, self->device));
    play_send (ends [0], &handle, sizeof handle, -1);
    play_receive (ends [0], &word, 1, NULL);
    if (self->broken)
        end (self);
    play_send (ends [0], "e", 1, -1);
    play_receive (ends [0], &word, 1, NULL);
    must (waitpid (pid, &status, 0) == pid && status == 0);
    if (!self->broken)
        end (self);
    return 0;
}

/*  An event made while another device was the current one; the record fails, is not looked at, and the wait is for nothing. */
static int use_others_event (loader_t *self)
{
    cudaEvent_t event;
    begin (self, 0);
    must_do (cudaSetDevice (self->broken ? 1 : 0));
    must_do (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
    must_do (cudaSetDevice (0));
    for (size_t i = 0; i < CHUNKS; i++) {
        read_chunk (self->slot, i);
        copy_chunk (self, i);
        (void) cudaEventRecord (event, self->stream);
        must_do (cudaEventSynchronize (event));
    }
    must_do (cudaStreamSynchronize (self->stream));
    int rc = check (self);
    must_do (cudaEventDestroy (event));
    end (self);
    return rc;
}

/*  One stream copies in, another one reads, and nothing makes it wait. */
static int forget_wait (loader_t *self)
{
    cudaStream_t reader;
    begin (self, 0);
    uint8_t *back = play_host (PAGE, 0, 1);
    must_do (cudaStreamCreateWithFlags (&reader, cudaStreamNonBlocking));
    load (self);
    read_chunk (self->slot, 7);
    copy_chunk (self, 0);
    if (!self->broken)
        must_do (cudaStreamWaitEvent (reader, self->event, cudaEventWaitDefault));
    must_do (cudaMemcpyAsync (back, self->device, PAGE, cudaMemcpyDeviceToHost, reader));
    must_do (cudaStreamSynchronize (reader));
    int rc = play_all (back, PAGE, FILL (7)) ? 0 : WRONG_BYTES;
    must_do (cudaStreamDestroy (reader));
    play_host_free (back, PAGE, 1);
    end (self);
    return rc;
}

static const struct {
    const char *name;
    int (*run) (loader_t *self);
} loaders [] = {
    { "reuse_slot", reuse_slot },
    { "free_under_copy", free_under_copy },
    { "forget_device", forget_device },
    { "dereference", dereference },
    { "trust_pageable", trust_pageable },
    { "ignore_full", ignore_full },
    { "free_twice", free_twice },
    { "leak", leak },
    { "free_before_importers", free_before_importers },
    { "use_others_event", use_others_event },
    { "forget_wait", forget_wait },
};

int main (int argc, char **argv)
{
    loader_t loader = { .broken = argc == 3 && strcmp (argv [2], "broken") == 0 };
    for (size_t i = 0; argc == 3 && i < sizeof loaders / sizeof loaders [0]; i++)
        if (strcmp (argv [1], loaders [i].name) == 0)
            return loaders [i].run (&loader);
    (void) fprintf (stderr, "usage: broken_loaders MISTAKE right|broken\n");
    return 64;
}
