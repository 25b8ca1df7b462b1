// SPDX-License-Identifier: Apache-2.0
/*  device_proof.c - the list of proofs of a device, and those of memory and copies
 */
#include "actors/loader/device_proof.h"
#include <dirent.h>
#include "actors/loader/device_proof_inside.h"

#define SLOTS 8 /* of a ring, each copied from many times */
#define SLOT_BYTES ((size_t) 512 * 1024)
#define COPIES 64
#define FILLS_MAX 256 /* pieces that fill a device: each is half of the one before, once that does not fit */
#define CYCLES 500
#define ODD_OFFSET 4099 /* a prime: aligned to nothing */

/*  --- copies */
static int proof_bytes (loader_proof_bed_t *bed, yard_error_t *error)
{
    loader_memory_t *memory = NULL;
    int rc = bed->class->allocate (bed->device, LOADER_PROOF_BYTES, &memory, error);
    if (!rc && bed->class->bytes (memory) < LOADER_PROOF_BYTES)
        rc = yard_error (error, YARD_INTEGRITY, "less memory came than was asked for");
    if (!rc)
        rc = loader_proof_fill (bed->class, bed->device, memory, 0, LOADER_PROOF_BYTES, 1, error);
    if (!rc)
        rc = loader_proof_fill (bed->class, bed->device, memory, ODD_OFFSET, SLOT_BYTES + 1, 2, error);
    if (!rc)
        rc = loader_proof_check (bed->class, bed->device, memory, ODD_OFFSET, SLOT_BYTES + 1, 2, error);
    if (!rc)
        rc = loader_proof_fill (bed->class, bed->device, memory, 0, LOADER_PROOF_BYTES, 3, error);
    if (!rc)
        rc = loader_proof_check (bed->class, bed->device, memory, 0, LOADER_PROOF_BYTES, 3, error);
    bed->class->release (bed->device, &memory);
    return rc;
}

/*  A ring of pinned slots: a slot is written anew as soon as its event is done, while others are under way. */
typedef struct {
    loader_proof_buffer_t ring;
    loader_event_t *events [SLOTS];
    loader_memory_t *memory;
} flight_t;

static int copy_one (loader_proof_bed_t *bed, flight_t *flight, unsigned number, yard_error_t *error)
{
    loader_event_t *event = flight->events [number % SLOTS];
    char *slot = flight->ring.data + number % SLOTS * SLOT_BYTES;
    int done = 0, rc = bed->class->done (bed->device, event, &done, error);
    if (!rc && !done)
        rc = bed->class->wait (bed->device, event, error);
    if (!rc)
        rc = bed->class->done (bed->device, event, &done, error);
    if (!rc && !done)
        rc = yard_error (error, YARD_INTEGRITY, "an event that was waited for is not done");
    if (rc)
        return rc;
    loader_proof_pattern (slot, SLOT_BYTES, number);
    return bed->class->copy (bed->device, flight->memory, number * SLOT_BYTES, slot, SLOT_BYTES, event,
                             error);
}

static int make_flight (loader_proof_bed_t *bed, flight_t *flight, yard_error_t *error)
{
    int rc = loader_proof_buffer_init (&flight->ring, bed->class, bed->device, SLOTS * SLOT_BYTES, error);
    for (size_t i = 0; i < SLOTS && !rc; i++)
        rc = bed->class->event_new (bed->device, &flight->events [i], error);
    return rc ? rc : bed->class->allocate (bed->device, COPIES * SLOT_BYTES, &flight->memory, error);
}

static int proof_flight (loader_proof_bed_t *bed, yard_error_t *error)
{
    flight_t flight = { 0 };
    int rc = make_flight (bed, &flight, error);
    for (unsigned i = 0; i < COPIES && !rc; i++)
        rc = copy_one (bed, &flight, i, error);
    for (size_t i = 0; i < SLOTS; i++) {
        int waited =
            flight.events [i] ? bed->class->wait (bed->device, flight.events [i], rc ? NULL : error) : 0;
        rc = rc ? rc : waited;
        bed->class->event_destroy (bed->device, &flight.events [i]);
    }
    for (unsigned i = 0; i < COPIES && !rc; i++)
        rc =
            loader_proof_check (bed->class, bed->device, flight.memory, i * SLOT_BYTES, SLOT_BYTES, i, error);
    bed->class->release (bed->device, &flight.memory);
    loader_proof_buffer_clear (&flight.ring);
    return rc;
}

/*  --- memory that is used up, and memory that is given back */
static int expect_free (loader_proof_bed_t *bed, uint64_t bytes, const char *after, yard_error_t *error)
{
    loader_device_about_t now;
    int rc = bed->class->about (bed->device, &now, error);
    if (!rc && bed->class != &loader_device_host && now.bytes_free != bytes)
        rc = yard_error (error, YARD_INTEGRITY, "after %s %llu bytes are free, %llu were before", after,
                         (unsigned long long) now.bytes_free, (unsigned long long) bytes);
    return rc; /* of the host's memory everyone takes and gives all the time */
}

/*  Pieces, each the largest that fits, until not one granule does. The host would say yes for ever: it takes pages when they are written. */
static int fill_up (loader_proof_bed_t *bed, uint64_t bytes_free, loader_memory_t **pieces,
                    yard_error_t *error)
{
    uint64_t grain = bed->about.granularity, size = bytes_free / grain * grain;
    size_t count = 0;
    while (size >= grain && count < FILLS_MAX) {
        int rc = bed->class->allocate (bed->device, size, &pieces [count], error);
        if (rc && rc != YARD_OUT_OF_MEMORY)
            return rc;
        if (rc)
            size = size / 2 / grain * grain;
        else
            count++;
    }
    return count < FILLS_MAX
               ? 0
               : yard_error (error, YARD_INTEGRITY, "%d pieces did not fill the device", FILLS_MAX);
}

static int proof_full (loader_proof_bed_t *bed, yard_error_t *error)
{
    loader_memory_t *pieces [FILLS_MAX] = { 0 }, *none = NULL;
    loader_device_about_t before;
    yard_error_t refused = { 0 };
    int rc = bed->class->about (bed->device, &before, error);
    if (rc)
        return rc;
    rc = bed->class->allocate (bed->device, before.bytes_total + before.granularity, &none, &refused);
    if (rc == YARD_OUT_OF_MEMORY)
        rc = none ? yard_error (error, YARD_INTEGRITY, "a refused allocation left something") : 0;
    else
        rc = yard_error (error, YARD_INTEGRITY,
                         "more memory than the device has is not refused as out_of_memory: %.200s",
                         refused.text);
    bed->class->release (bed->device, &none);
    if (!rc && bed->class != &loader_device_host)
        rc = fill_up (bed, before.bytes_free, pieces, error);
    for (size_t i = 0; i < FILLS_MAX; i++)
        bed->class->release (bed->device, &pieces [i]);
    if (!rc)
        rc = expect_free (bed, before.bytes_free, "the device was full", error);
    return rc ? rc : proof_bytes (bed, error);
}

static size_t count_descriptors (void)
{
    size_t count = 0;
    DIR *folder = opendir ("/proc/self/fd");
    while (folder && readdir (folder))
        count++;
    if (folder)
        closedir (folder);
    return count;
}

static int one_cycle (loader_proof_bed_t *bed, uint64_t bytes, yard_error_t *error)
{
    loader_memory_t *memory = NULL;
    loader_handle_t handle = { .fd = -1 };
    int rc = bed->class->allocate (bed->device, bytes, &memory, error);
    if (!rc)
        rc = loader_proof_fill (bed->class, bed->device, memory, 0, ODD_OFFSET, bytes, error);
    if (!rc)
        rc = bed->class->export_memory (bed->device, memory, &handle, error);
    if (handle.fd >= 0)
        close (handle.fd);
    bed->class->release (bed->device, &memory);
    return rc;
}

static int proof_drift (loader_proof_bed_t *bed, yard_error_t *error)
{
    loader_device_about_t before;
    size_t descriptors = count_descriptors ();
    int rc = bed->class->about (bed->device, &before, error);
    for (unsigned i = 0; i < CYCLES && !rc; i++)
        rc = one_cycle (bed, ODD_OFFSET + i % 4 * SLOT_BYTES, error);
    if (!rc)
        rc = expect_free (bed, before.bytes_free, "500 allocations", error);
    if (!rc && count_descriptors () != descriptors)
        rc = yard_error (error, YARD_INTEGRITY,
                         "500 allocations changed the number of open descriptors from %zu", descriptors);
    return rc;
}

/*  --- memory in two processes */
static int share_ours (loader_proof_bed_t *bed, loader_peer_t *peer, loader_memory_t *memory,
                       loader_handle_t *handle, yard_error_t *error)
{
    int rc = loader_proof_fill (bed->class, bed->device, memory, 0, LOADER_PROOF_BYTES, 4, error);
    if (!rc)
        rc = bed->class->export_memory (bed->device, memory, handle, error);
    if (!rc)
        rc = loader_peer_ask (peer, &(loader_order_t){ .word = LOADER_ORDER_IMPORT, .handle = *handle }, NULL,
                              error);
    if (!rc)
        rc = loader_peer_ask (
            peer, &(loader_order_t){ .word = LOADER_ORDER_CHECK, .size = LOADER_PROOF_BYTES, .seed = 4 },
            NULL, error);
    if (!rc) /* it is the same memory, not a copy of it */
        rc = loader_proof_fill (bed->class, bed->device, memory, 0, LOADER_PROOF_BYTES, 5, error);
    if (!rc)
        rc = loader_peer_ask (
            peer, &(loader_order_t){ .word = LOADER_ORDER_CHECK, .size = LOADER_PROOF_BYTES, .seed = 5 },
            NULL, error);
    if (!rc)
        rc = loader_peer_ask (peer, &(loader_order_t){ .word = LOADER_ORDER_RELEASE }, NULL, error);
    return rc;
}

static int proof_export (loader_proof_bed_t *bed, yard_error_t *error)
{
    loader_peer_t *peer = NULL;
    loader_memory_t *memory = NULL;
    loader_handle_t handle = { .fd = -1 };
    int rc = loader_peer_new (bed->name, bed->wish, &peer, error);
    if (!rc)
        rc = bed->class->allocate (bed->device, LOADER_PROOF_BYTES, &memory, error);
    if (!rc)
        rc = share_ours (bed, peer, memory, &handle, error);
    if (handle.fd >= 0)
        close (handle.fd);
    loader_peer_destroy (&peer); /* before what it may still map */
    bed->class->release (bed->device, &memory);
    return rc;
}

static int proof_outlive (loader_proof_bed_t *bed, yard_error_t *error)
{
    loader_peer_t *owner = NULL;
    loader_memory_t *memory = NULL;
    loader_handle_t handle = { .fd = -1 };
    if (bed->about.exports != LOADER_EXPORT_VMM)
        return yard_error (error, YARD_NOT_IMPLEMENTED,
                           "with ipc an owner's end takes its memory away; that is so by design");
    int rc = loader_peer_new (bed->name, bed->wish, &owner, error);
    if (!rc)
        rc = loader_peer_ask (owner,
                              &(loader_order_t){ .word = LOADER_ORDER_ALLOCATE, .size = LOADER_PROOF_BYTES },
                              NULL, error);
    if (!rc)
        rc = loader_peer_ask (
            owner, &(loader_order_t){ .word = LOADER_ORDER_FILL, .size = LOADER_PROOF_BYTES, .seed = 6 },
            NULL, error);
    if (!rc)
        rc = loader_peer_ask (owner, &(loader_order_t){ .word = LOADER_ORDER_EXPORT }, &handle, error);
    if (!rc)
        rc = bed->class->import_memory (bed->device, &handle, &memory, error);
    if (handle.fd >= 0)
        close (handle.fd);
    loader_peer_destroy (&owner);
    if (!rc)
        rc = loader_proof_check (bed->class, bed->device, memory, 0, LOADER_PROOF_BYTES, 6, error);
    bed->class->release (bed->device, &memory);
    return rc;
}

/*  --- the list */
typedef struct {
    const char *name;
    loader_proof_fn *function;
} row_t;

static const row_t proofs [] = {
    { "the bytes copied are the bytes read", proof_bytes },
    { "many copies are under way from one ring", proof_flight },
    { "a full device says out_of_memory and stays usable", proof_full },
    { "another process reads exported memory", proof_export },
    { "exported memory outlives its owner", proof_outlive },
    { "a gather over two processes completes both", loader_proof_gather },
    { "abort leaves a group whose other rank was killed", loader_proof_lost_rank },
    { "500 allocations leave nothing behind", proof_drift },
};

static loader_proof_outcome_t outcome_of (int rc)
{
    return rc == 0                      ? LOADER_PROOF_PASSED
           : rc == YARD_NOT_IMPLEMENTED ? LOADER_PROOF_SKIPPED
                                        : LOADER_PROOF_FAILED;
}

int loader_device_prove (const char *device, loader_export_t wish, loader_proof_told_fn *told, void *argument,
                         yard_error_t *error)
{
    loader_proof_bed_t bed = { .name = device, .wish = wish };
    unsigned failed = 0;
    int rc = loader_device_class (device, &bed.class, error);
    if (!rc)
        rc = bed.class->open (device, wish, &bed.device, error);
    if (rc)
        return rc;
    rc = bed.class->about (bed.device, &bed.about, error);
    for (size_t i = 0; i < sizeof proofs / sizeof proofs [0] && !rc; i++) {
        yard_error_t why = { 0 };
        loader_proof_outcome_t outcome = outcome_of (proofs [i].function (&bed, &why));
        failed += outcome == LOADER_PROOF_FAILED;
        told (argument, proofs [i].name, outcome, outcome == LOADER_PROOF_PASSED ? "" : why.text);
    }
    bed.class->close (&bed.device);
    if (!rc && failed)
        rc = yard_error (error, YARD_INTEGRITY, "%u of %zu proofs failed on %s", failed,
                         sizeof proofs / sizeof proofs [0], device);
    return rc;
}
