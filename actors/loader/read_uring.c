// SPDX-License-Identifier: Apache-2.0
/*  read_uring.c - reads by io_uring: any thread asks, one thread waits
 *
 *  Every read is asked for with IOSQE_ASYNC: pinning and faulting 8 MiB of pages takes longer than the disk's answer, and so it is done by
 *  the kernel's threads, several at once, and not by the one that asks.
 *
 *  A kernel or a seccomp filter may let the ring be made and refuse its use: so one empty request goes round before it is trusted.
 */
#include "actors/loader/read_inside.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <pthread.h>

#define REGISTERED_BYTES_MAX ((size_t) 1 << 30) /* of one buffer (io_uring_register(2)) */
#define RETRY_NS 1000000 /* the kernel is short of memory for a request; some of ours will end */

struct loader_uring_t {
    struct io_uring ring;
    pthread_mutex_t mutex; /* guards the submission side */
    char *memory; /* registered; NULL: none is */
    size_t memory_bytes;
};

/*  The lock is held. A request that was put into the ring stays there until the kernel takes it: so there is no way to fail here. */
static void submit (loader_uring_t *self)
{
    for (;;) {
        int count = io_uring_submit (&self->ring);
        if (count > 0)
            return;
        if (count != -EINTR && count != -EAGAIN && count != -EBUSY && count != 0)
            abort (); /* the first request was let through: this one is wrong */
        nanosleep (&(struct timespec){ .tv_nsec = RETRY_NS }, NULL);
    }
}

static int try_ring (struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe = io_uring_get_sqe (ring);
    io_uring_prep_nop (sqe);
    int count = io_uring_submit (ring);
    if (count < 0)
        return count;
    int code = io_uring_wait_cqe (ring, &cqe);
    if (code == 0)
        io_uring_cqe_seen (ring, cqe);
    return code;
}

int loader_uring_new (unsigned entries, void *memory, size_t memory_bytes, loader_uring_t **ret)
{
    loader_uring_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    struct io_uring_params parameters = { .flags = IORING_SETUP_CQSIZE, .cq_entries = entries + 1 };
    int code = io_uring_queue_init_params (1, &self->ring, &parameters);
    if (code) {
        free (self);
        return code;
    }
    code = try_ring (&self->ring);
    if (code) {
        io_uring_queue_exit (&self->ring);
        free (self);
        return code;
    }
    pthread_mutex_init (&self->mutex, NULL);
    struct iovec vector = { memory, memory_bytes };
    if (memory && memory_bytes <= REGISTERED_BYTES_MAX &&
        io_uring_register_buffers (&self->ring, &vector, 1) == 0) {
        self->memory = memory;
        self->memory_bytes = memory_bytes;
    }
    *ret = self;
    return 0;
}

void loader_uring_destroy (loader_uring_t **self_p)
{
    loader_uring_t *self = *self_p;
    if (!self)
        return;
    io_uring_queue_exit (&self->ring);
    pthread_mutex_destroy (&self->mutex);
    free (self);
    *self_p = NULL;
}

void loader_uring_read (loader_uring_t *self, int fd, void *data, size_t size, uint64_t offset, void *token)
{
    pthread_mutex_lock (&self->mutex);
    struct io_uring_sqe *sqe = io_uring_get_sqe (&self->ring);
    assert (sqe); /* each is submitted before the lock is given up */
    /* Compared as numbers: the memory asked for may be another object than the registered one. */
    uintptr_t at = (uintptr_t) data, begin = (uintptr_t) self->memory;
    if (self->memory && at >= begin && at + size <= begin + self->memory_bytes)
        io_uring_prep_read_fixed (sqe, fd, data, (unsigned) size, offset, 0);
    else
        io_uring_prep_read (sqe, fd, data, (unsigned) size, offset);
    io_uring_sqe_set_flags (sqe, IOSQE_ASYNC);
    io_uring_sqe_set_data (sqe, token);
    submit (self);
    pthread_mutex_unlock (&self->mutex);
}

void loader_uring_stop (loader_uring_t *self)
{
    pthread_mutex_lock (&self->mutex);
    struct io_uring_sqe *sqe = io_uring_get_sqe (&self->ring);
    assert (sqe);
    io_uring_prep_nop (sqe);
    io_uring_sqe_set_data (sqe, NULL);
    submit (self);
    pthread_mutex_unlock (&self->mutex);
}

void *loader_uring_wait (loader_uring_t *self, ssize_t *ret_result)
{
    struct io_uring_cqe *cqe;
    int code;
    while ((code = io_uring_wait_cqe (&self->ring, &cqe)) == -EINTR || code == -EAGAIN)
        ;
    if (code)
        abort (); /* nothing else can end a wait on a ring that worked */
    void *token = io_uring_cqe_get_data (cqe);
    *ret_result = cqe->res;
    /* What the asker wrote about its token before it asked is to be seen here; the kernel sees to that, the language does not know. */
    pthread_mutex_lock (&self->mutex);
    pthread_mutex_unlock (&self->mutex);
    io_uring_cqe_seen (&self->ring, cqe);
    return token;
}
