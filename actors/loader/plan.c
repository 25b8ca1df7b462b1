// SPDX-License-Identifier: Apache-2.0
/*  plan.c - tensors in file order, neighbours kept together
 *
 *  Neighbours become one run, so that a model of 2,000 tensors is a handful of long reads and copies. The padding between two of them
 *  comes along: reading it costs less than a second run would.
 */
#include "actors/loader/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include "actors/ground/digest.h"

#define TENSOR_ALIGNMENT 16u /* the largest of any element type, and what vector loads of a kernel ask for */
#define DEVICE_ALIGNMENT \
    256u /* of what the CUDA runtime allocates (programming guide, device memory accesses) */
#define GAP_MAX 4096u /* padding that is read along: a page */

typedef struct {
    yard_tensor_row_t tensor;
    size_t index; /* in the directory */
    uint64_t offset; /* on the device */
} place_t;

static uint64_t align_up (uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

int loader_plan_order (const yard_tensor_row_t *a, const yard_tensor_row_t *b)
{
    if (a->region != b->region)
        return a->region < b->region ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static int in_file_order (const void *a, const void *b)
{
    const place_t *left = a, *right = b;
    int order = loader_plan_order (&left->tensor, &right->tensor);
    return order ? order : (left->index > right->index) - (left->index < right->index);
}

static bool all_aligned (const place_t *places, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (places [at].tensor.offset % TENSOR_ALIGNMENT)
            return false;
    return true;
}

/*  Does the tensor begin within the run, or so shortly behind it that it may as well go on? */
static bool continues (const loader_run_t *run, const yard_tensor_row_t *tensor)
{
    return run->source == tensor->region && tensor->offset >= run->offset &&
           tensor->offset - run->offset <= run->bytes + GAP_MAX;
}

/*  The first byte behind all runs so far. */
static uint64_t end_of (const loader_plan_t *self)
{
    const loader_run_t *last = self->run_count ? &self->runs [self->run_count - 1] : NULL;
    return last ? last->to + last->bytes : 0;
}

static void place (loader_plan_t *self, place_t *at, bool aligned)
{
    const yard_tensor_row_t *tensor = &at->tensor;
    loader_run_t *last = self->run_count ? &self->runs [self->run_count - 1] : NULL;
    if (aligned && last && continues (last, tensor)) {
        uint64_t end = tensor->offset + tensor->bytes - last->offset;
        at->offset = last->to + (tensor->offset - last->offset);
        last->bytes = end > last->bytes ? end : last->bytes;
        return;
    }
    at->offset = align_up (end_of (self), DEVICE_ALIGNMENT);
    if (!tensor->bytes)
        return; /* nothing to place; not behind the allocation's end, where no client would take it */
    if (aligned)
        at->offset += tensor->offset % DEVICE_ALIGNMENT;
    self->runs [self->run_count++] = (loader_run_t){
        .source = tensor->region, .offset = tensor->offset, .bytes = tensor->bytes, .to = at->offset
    };
}

static int by_index (const void *a, const void *b)
{
    const place_t *left = a, *right = b;
    return (left->index > right->index) - (left->index < right->index);
}

static int write_directory (place_t *places, size_t count, yard_buffer_t *ret, yard_error_t *error)
{
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    int rc = 0;
    qsort (places, count, sizeof *places, by_index);
    for (size_t at = 0; rc == 0 && at < count; at++) {
        yard_tensor_row_t row = places [at].tensor;
        row.region = 0;
        row.offset = places [at].offset;
        rc = yard_directory_writer_add (writer, &row, error);
    }
    if (rc == 0)
        rc = yard_directory_writer_finish (writer, ret, error);
    yard_directory_writer_destroy (&writer);
    return rc;
}

/*  Of everything that two devices must agree on before one copies from the other. */
static void write_hash (loader_plan_t *self, const yard_buffer_t *directory)
{
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    for (size_t at = 0; at < self->run_count; at++) { /* by value: between the members lies what nobody set */
        const loader_run_t *run = &self->runs [at];
        const uint64_t row [] = { run->source, run->offset, run->bytes, run->to };
        yard_sha256_update (sha256, row, sizeof row);
    }
    yard_sha256_update (sha256, &self->bytes, sizeof self->bytes);
    yard_sha256_update (sha256, directory->data, directory->size);
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    snprintf (self->hash, sizeof self->hash, "%.32s", hex);
}

int loader_plan_make (const yard_directory_t *directory, loader_plan_t *ret, yard_buffer_t *ret_directory,
                      yard_error_t *error)
{
    size_t count = directory->count;
    loader_plan_t plan = { .runs = calloc (count ? count : 1, sizeof *plan.runs) };
    place_t *places = calloc (count ? count : 1, sizeof *places);
    if (!plan.runs || !places)
        abort ();
    for (size_t at = 0; at < count; at++)
        places [at] = (place_t){ .tensor = yard_directory_get (directory, at), .index = at };
    qsort (places, count, sizeof *places, in_file_order);
    bool aligned = all_aligned (places, count);
    for (size_t at = 0; at < count; at++)
        place (&plan, &places [at], aligned);
    plan.bytes = align_up (end_of (&plan), DEVICE_ALIGNMENT);
    int rc = write_directory (places, count, ret_directory, error);
    free (places);
    if (rc) {
        loader_plan_clear (&plan);
        return rc;
    }
    write_hash (&plan, ret_directory);
    *ret = plan;
    return 0;
}

void loader_plan_clear (loader_plan_t *self)
{
    free (self->runs);
    free (self->packs);
    *self = (loader_plan_t){ 0 };
}
