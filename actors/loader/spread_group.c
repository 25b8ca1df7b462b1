// SPDX-License-Identifier: Apache-2.0
/*  spread_group.c - joined, chunk after chunk asked for and over, left
 *
 *  All but new and leave runs on the device thread, where copies end and where the group is looked at every millisecond; so nothing of
 *  it needs a lock. The loop reads the count of steps, and the rest after `over`.
 */
#include "actors/loader/spread_group.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "actors/ground/fault.h"
#include "actors/loader/spread_share.h"

#define WINDOW \
    16 /* chunks: half of what a device keeps waiting (32, device.h); a pause of a millisecond for 1 GiB of 8 devices */

struct loader_group_t {
    loader_device_thread_t *device;
    loader_mail_t *mail;
    loader_group_wish_t wish;
    size_t chunks;
    bool left; /* the loop's */

    /*  The device thread's. */
    const loader_device_class_t *class; /* NULL: not joined yet, or left */
    loader_gather_t *gather;
    uint64_t *missing; /* of each chunk: bytes of our share that are not on the device yet */
    size_t asked, window_end; /* chunks */
    bool joined, ended, abort;

    atomic_size_t good; /* chunks that are over */
    atomic_uint_fast64_t steps;
    yard_error_t error; /* the loop's, once it has the letter */
};

/*  --- on the loop */

static void free_group (loader_group_t *self)
{
    free (self->missing);
    free (self);
}

static void read_over (void *argument)
{
    loader_group_t *self = argument;
    if (!self->left)
        self->wish.over (self->wish.argument, &self->error);
}

static void left (void *argument, const yard_error_t *error)
{
    (void) error;
    free_group (argument);
}

/*  --- on the device thread */

static bool end (loader_group_t *self, const yard_error_t *error)
{
    if (error)
        self->error = *error;
    self->ended = true;
    loader_mail_post (self->mail, read_over, self);
    return false;
}

static int ask (loader_group_t *self, size_t chunk, yard_error_t *error)
{
    const loader_group_wish_t *wish = &self->wish;
    loader_share_t share = loader_share_of (wish->bytes, wish->ranks, chunk);
    if (wish->root < 0)
        return self->class->gather (self->gather, wish->memory, share.offset, share.share, NULL, error);
    uint64_t rest = wish->bytes - share.offset, bytes = share.share * wish->ranks;
    return self->class->broadcast (self->gather, wish->memory, share.offset, bytes < rest ? bytes : rest,
                                   (unsigned) wish->root, NULL, error);
}

/*  Every chunk that may be asked for now. What marks a copy would be of no use here: it is over. */
static int ask_more (loader_group_t *self, yard_error_t *error)
{
    while (self->asked < self->chunks && self->asked < self->window_end && self->missing [self->asked] == 0) {
        int rc = ask (self, self->asked, error);
        if (rc)
            return rc;
        self->asked++;
    }
    return 0;
}

static void step (loader_group_t *self)
{
    atomic_fetch_add (&self->steps, 1);
}

void loader_group_copied (loader_group_t *self, uint64_t to, size_t size)
{
    yard_error_t error = { 0 };
    size_t chunk = loader_share_chunk_at (self->wish.ranks, to);
    assert (chunk < self->chunks && self->missing [chunk] >= size);
    self->missing [chunk] -= size;
    step (self);
    if (self->gather && self->joined && !self->ended && ask_more (self, &error))
        end (self, &error);
}

/*  Everything that was asked for is over: what is next? */
static int go_on (loader_group_t *self, yard_error_t *error)
{
    if (!self->joined) {
        self->joined = true;
        step (self);
        if (FAULT ("loader.spread_exchange"))
            return yard_error (error, YARD_INTERNAL, "a test broke this exchange at its beginning");
    }
    if (atomic_load (&self->good) < self->asked)
        step (self);
    atomic_store (&self->good, self->asked);
    self->window_end = self->asked + WINDOW;
    return ask_more (self, error);
}

static bool look (void *argument, const loader_device_class_t *class, loader_device_t *device)
{
    (void) device;
    loader_group_t *self = argument;
    yard_error_t error = { 0 };
    int done = 0;
    if (self->ended)
        return false;
    int rc = class->gather_state (self->gather, &done, &error);
    if (rc == 0 && done)
        rc = go_on (self, &error);
    if (rc == 0 && done && atomic_load (&self->good) == self->chunks && FAULT ("loader.spread_gathered"))
        rc = yard_error (&error, YARD_INTERNAL, "a test broke this exchange at its end");
    if (rc)
        return end (self, &error);
    return atomic_load (&self->good) < self->chunks || end (self, NULL);
}

static int do_join (void *argument, const loader_device_class_t *class, loader_device_t *device,
                    yard_error_t *error)
{
    loader_group_t *self = argument;
    if (!class->gather_join)
        return yard_error (
            error, YARD_NOT_SERVED,
            "this build has no NCCL, so devices cannot give each other bytes; build with NCCL installed");
    int rc =
        class->gather_join (device, self->wish.id, self->wish.rank, self->wish.ranks, &self->gather, error);
    if (rc)
        return rc;
    self->class = class;
    loader_device_thread_watch (self->device, look, self);
    return 0;
}

static void joined (void *argument, const yard_error_t *error)
{
    loader_group_t *self = argument;
    if (error->code == 0)
        return;
    self->error = *error;
    read_over (self);
}

static int do_leave (void *argument, const loader_device_class_t *class, loader_device_t *device,
                     yard_error_t *error)
{
    (void) device;
    (void) error;
    loader_group_t *self = argument;
    if (!self->gather)
        return 0;
    loader_device_thread_watch (self->device, NULL, NULL);
    class->gather_leave (&self->gather, self->abort);
    return 0;
}

/*  --- */

loader_group_t *loader_group_new (loader_device_thread_t *device, loader_mail_t *mail,
                                  const loader_group_wish_t *wish)
{
    loader_group_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->device = device;
    self->mail = mail;
    self->wish = *wish;
    self->wish.runs = NULL;
    self->chunks = loader_share_chunks (wish->bytes, wish->ranks);
    self->missing = calloc (self->chunks ? self->chunks : 1, sizeof *self->missing);
    if (!self->missing)
        abort ();
    for (size_t at = 0; at < wish->run_count; at++)
        self->missing [loader_share_chunk_at (wish->ranks, wish->runs [at].to)] += wish->runs [at].bytes;
    loader_device_thread_do (device, do_join, joined, self);
    return self;
}

uint64_t loader_group_steps (const loader_group_t *self)
{
    return atomic_load (&self->steps);
}

uint64_t loader_group_good (const loader_group_t *self)
{
    uint64_t bytes = (uint64_t) atomic_load (&self->good) * LOADER_SHARE_BYTES * (uint64_t) self->wish.ranks;
    return bytes < self->wish.bytes ? bytes : self->wish.bytes;
}

void loader_group_leave (loader_group_t **self_p, bool abort)
{
    loader_group_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->left = true;
    self->abort = abort;
    loader_device_thread_do (self->device, do_leave, left, self);
}
