// SPDX-License-Identifier: Apache-2.0
/*  device_proof_memory.c - what both processes of a proof do: memory filled and looked at, groups settled
 */
#include <errno.h>
#include <sys/mman.h>
#include "actors/loader/device_proof_peer.h"

#define PORTION_BYTES ((size_t) 1024 * 1024) /* of a pattern, filled or looked at at a time */

/*  One portion; each has a seed of its own, so that portions can be made one at a time. */
static void make_portion (char *data, size_t size, uint64_t seed, uint64_t number)
{
    uint64_t state = seed * 1000003 + number;
    for (size_t at = 0; at < size; at += sizeof state) { /* Knuth's generator, as in his MMIX */
        state = state * 6364136223846793005U + 1442695040888963407U;
        uint64_t mixed = state ^ state >> 29;
        memcpy (data + at, &mixed, size - at < sizeof mixed ? size - at : sizeof mixed);
    }
}

static size_t portion_at (uint64_t at, uint64_t size)
{
    return size - at < PORTION_BYTES ? (size_t) (size - at) : PORTION_BYTES;
}

void loader_proof_pattern (void *data, size_t size, uint64_t seed)
{
    for (size_t at = 0; at < size; at += PORTION_BYTES)
        make_portion ((char *) data + at, portion_at (at, size), seed, at / PORTION_BYTES);
}

int loader_proof_buffer_init (loader_proof_buffer_t *self, const loader_device_class_t *class,
                              loader_device_t *device, size_t size, yard_error_t *error)
{
    *self = (loader_proof_buffer_t){ .class = class, .device = device, .size = size };
    void *data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return yard_error_errno (error, errno, "taking %zu bytes to copy from", size);
    self->data = data;
    int rc = class->pin (device, data, size, error);
    self->pinned = !rc;
    return class == &loader_device_host ? 0 : rc;
}

void loader_proof_buffer_clear (loader_proof_buffer_t *self)
{
    if (self->pinned)
        self->class->unpin (self->device, self->data);
    if (self->data)
        munmap (self->data, self->size);
    *self = (loader_proof_buffer_t){ 0 };
}

int loader_proof_fill (const loader_device_class_t *class, loader_device_t *device, loader_memory_t *memory,
                       uint64_t offset, uint64_t size, uint64_t seed, yard_error_t *error)
{
    loader_event_t *event = NULL;
    loader_proof_buffer_t portion;
    int rc = loader_proof_buffer_init (&portion, class, device, PORTION_BYTES, error);
    if (!rc)
        rc = class->event_new (device, &event, error);
    for (uint64_t at = 0; at < size && !rc; at += PORTION_BYTES) {
        size_t part = portion_at (at, size);
        make_portion (portion.data, part, seed, at / PORTION_BYTES);
        rc = class->copy (device, memory, offset + at, portion.data, part, event, error);
        if (!rc)
            rc = class->wait (device, event, error);
    }
    class->event_destroy (device, &event);
    loader_proof_buffer_clear (&portion);
    return rc;
}

int loader_proof_check (const loader_device_class_t *class, loader_device_t *device, loader_memory_t *memory,
                        uint64_t offset, uint64_t size, uint64_t seed, yard_error_t *error)
{
    char *portion = malloc (2 * PORTION_BYTES);
    int rc = portion ? 0 : yard_error (error, YARD_OUT_OF_MEMORY, "no memory to read to");
    for (uint64_t at = 0; at < size && !rc; at += PORTION_BYTES) {
        size_t part = portion_at (at, size);
        make_portion (portion, part, seed, at / PORTION_BYTES);
        rc = class->read (device, memory, offset + at, portion + PORTION_BYTES, part, error);
        if (!rc && memcmp (portion, portion + PORTION_BYTES, part) != 0)
            rc =
                yard_error (error, YARD_INTEGRITY,
                            "the device has other bytes than were copied to it, in the MiB from byte %llu on",
                            (unsigned long long) (offset + at));
    }
    free (portion);
    return rc;
}

int loader_proof_settle (const loader_device_class_t *class, loader_gather_t *gather, yard_error_t *error)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    int done = 0, rc = 0;
    for (int i = 0; i < LOADER_PROOF_WAIT_MS && !rc && !done; i++) {
        rc = class->gather_state (gather, &done, error);
        if (!rc && !done)
            nanosleep (&pause, NULL);
    }
    return rc || done ? rc
                      : yard_error (error, YARD_TIMEOUT, "the group of devices did not finish in %d s",
                                    LOADER_PROOF_WAIT_MS / 1000);
}
