// SPDX-License-Identifier: Apache-2.0
/*  holding.c - regions and a connection, counted
 *
 *  Promises: no region stays mapped and no descriptor open after the last drop; the connection goes last. Refuses a file that is shorter
 *  than the loader said: a look behind its end would kill the process.
 */
#include "holding.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    yard_holding_region_t seen;
    client_cuda_memory_t *cuda; /* NULL on the host */
} held_t;

struct yard_holding_t {
    atomic_size_t holders;
    int connection;
    held_t *regions;
    size_t count;
};

int yard_holding_new (int connection, yard_holding_t **ret, yard_error_t *error)
{
    int own = fcntl (connection, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return yard_error_errno (error, errno, "cannot keep the attach connection");
    yard_holding_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    atomic_init (&self->holders, 1);
    self->connection = own;
    *ret = self;
    return 0;
}

/*  Room for one more, so that nothing can fail once it is mapped. */
static int make_room (yard_holding_t *self, yard_error_t *error)
{
    if (self->count == YARD_HOLDING_REGIONS_MAX)
        return yard_error (error, YARD_TOO_LARGE, "a model of more than %d files", YARD_HOLDING_REGIONS_MAX);
    self->regions = reallocarray (self->regions, self->count + 1, sizeof *self->regions);
    if (!self->regions)
        abort ();
    return 0;
}

int yard_holding_map (yard_holding_t *self, int fd, uint64_t bytes, yard_error_t *error)
{
    struct stat status;
    void *data = NULL;
    int rc = make_room (self, error);
    if (rc)
        return rc;
    if (fstat (fd, &status))
        return yard_error_errno (error, errno, "cannot look at a file of the model");
    if ((uint64_t) status.st_size < bytes)
        return yard_error (error, YARD_INTEGRITY,
                           "a file of the model became shorter since it was loaded; install it again");
    /* Without NORESERVE the kernel counts every page as if it would be written, and refuses models larger than memory. */
    if (bytes)
        data = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (data == MAP_FAILED)
        return yard_error_errno (error, errno, "cannot map %llu bytes for private writes",
                                 (unsigned long long) bytes);
    self->regions [self->count++] =
        (held_t){ .seen = { .data = data, .bytes = bytes, .device = YARD_HOLDING_HOST, .writable = true } };
    return 0;
}

int yard_holding_import (yard_holding_t *self, const yard_cuda_handle_t *handle, yard_error_t *error)
{
    held_t held = { .seen.bytes = handle->size };
    int rc = make_room (self, error);
    if (rc == 0)
        rc = client_cuda_open (handle, &held.cuda, error);
    if (rc)
        return rc;
    held.seen.data = client_cuda_data (held.cuda);
    held.seen.device = client_cuda_device (held.cuda);
    self->regions [self->count++] = held;
    return 0;
}

size_t yard_holding_count (const yard_holding_t *self)
{
    return self->count;
}

yard_holding_region_t yard_holding_region (const yard_holding_t *self, size_t index)
{
    assert (index < self->count);
    return self->regions [index].seen;
}

yard_holding_t *yard_holding_take (yard_holding_t *self)
{
    size_t before = atomic_fetch_add_explicit (&self->holders, 1, memory_order_relaxed);
    assert (before > 0);
    return self;
}

static void let_go (yard_holding_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        held_t *held = &self->regions [i];
        if (held->cuda)
            client_cuda_close (&held->cuda);
        else if (held->seen.data)
            munmap (held->seen.data, held->seen.bytes);
    }
    close (self->connection);
    free (self->regions);
    free (self);
}

void yard_holding_drop (yard_holding_t **self_p)
{
    assert (self_p);
    yard_holding_t *self = *self_p;
    *self_p = NULL;
    /* Release and acquire: what others wrote through their views comes before the unmapping. */
    if (self && atomic_fetch_sub_explicit (&self->holders, 1, memory_order_acq_rel) == 1)
        let_go (self);
}
