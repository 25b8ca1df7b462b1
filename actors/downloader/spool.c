// SPDX-License-Identifier: Apache-2.0
/*  spool.c - two buffers that take turns
 */
#include "spool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *data; /* DOWNLOADER_SPOOL_BUFFER_BYTES, made at first use */
    size_t size;
} buffer_t;

struct downloader_spool_t {
    yard_actor_t *actor;
    downloader_part_t *part;
    downloader_spool_fn *moved;
    void *argument;
    buffer_t filling, writing;
    bool busy; /* a write is in the pool: writing and part belong to it */
    bool flush, checkpoint; /* asked for while it was */
    bool write_checkpoint; /* this write ends with a checkpoint */
    int code; /* of this write */
    yard_error_t error;
};

downloader_spool_t *downloader_spool_new (yard_actor_t *actor, downloader_part_t *part,
                                          downloader_spool_fn *moved, void *argument)
{
    downloader_spool_t *self = calloc (1, sizeof *self);
    assert (self);
    self->actor = actor;
    self->part = part;
    self->moved = moved;
    self->argument = argument;
    return self;
}

void downloader_spool_destroy (downloader_spool_t **self_p)
{
    downloader_spool_t *self = *self_p;
    if (!self)
        return;
    assert (!self->busy);
    free (self->filling.data);
    free (self->writing.data);
    free (self);
    *self_p = NULL;
}

/*  In the pool. */
static void write_buffer (void *argument)
{
    downloader_spool_t *self = argument;
    self->code = self->writing.size ? downloader_part_write (self->part, self->writing.data,
                                                             self->writing.size, &self->error)
                                    : 0;
    if (self->code == 0 && self->write_checkpoint)
        self->code = downloader_part_checkpoint (self->part, &self->error);
}

static void on_written (void *actor_self, void *argument);

static void start (downloader_spool_t *self)
{
    buffer_t full = self->filling;
    self->filling = self->writing;
    self->writing = full;
    self->filling.size = 0;
    self->write_checkpoint = self->checkpoint;
    self->busy = true;
    self->flush = self->checkpoint = false;
    yard_offload (self->actor, write_buffer, on_written, self);
}

static void on_written (void *actor_self, void *argument)
{
    (void) actor_self;
    downloader_spool_t *self = argument;
    self->busy = false;
    self->writing.size = 0;
    if (self->code)
        downloader_spool_drop (self);
    else if (self->flush || self->filling.size >= DOWNLOADER_SPOOL_CHUNK_BYTES)
        start (self);
    /* Last: the owner may destroy us when nothing is under way. What a write that was just started says is not ours to read. */
    yard_error_t error = { 0 };
    if (!self->busy)
        error = self->error;
    self->moved (self->argument, self->busy ? 0 : self->code, &error);
}

bool downloader_spool_put (downloader_spool_t *self, const void *data, size_t size)
{
    if (self->filling.size + size > DOWNLOADER_SPOOL_BUFFER_BYTES)
        return false;
    if (!self->filling.data) {
        self->filling.data = malloc (DOWNLOADER_SPOOL_BUFFER_BYTES);
        assert (self->filling.data);
    }
    memcpy (self->filling.data + self->filling.size, data, size);
    self->filling.size += size;
    if (!self->busy && self->filling.size >= DOWNLOADER_SPOOL_CHUNK_BYTES)
        start (self);
    return true;
}

void downloader_spool_flush (downloader_spool_t *self, bool checkpoint)
{
    self->flush = true;
    self->checkpoint = self->checkpoint || checkpoint;
    if (!self->busy)
        start (self);
}

void downloader_spool_drop (downloader_spool_t *self)
{
    self->filling.size = 0;
    self->flush = self->checkpoint = false;
}

bool downloader_spool_is_idle (const downloader_spool_t *self)
{
    return !self->busy;
}

const void *downloader_spool_waiting (const downloader_spool_t *self, size_t *ret_size)
{
    *ret_size = self->filling.size;
    return self->filling.data;
}
