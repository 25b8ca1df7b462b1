// SPDX-License-Identifier: Apache-2.0
/*  spread_slice.c - places for slices, the runs that fill them, and rows that shrink to their segments
 */
#include "actors/loader/spread_slice.h"

#include <assert.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include "actors/ground/digest.h"

#define PLACE_ALIGNMENT 256u /* of every tensor, as in plan.c for files that align nothing */
#define SEGMENT_MIN \
    ((uint64_t) 256 * \
     1024) /* read by itself; below it a disk of 3 GB/s loses more to a read than to its bytes */
#define PACKED_GAP 4096u /* between two packs, so that their runs do not grow together */

typedef struct {
    yard_tensor_row_t tensor; /* whole */
    size_t index;
    uint64_t offset, bytes; /* on the device */
    uint64_t shape [YARD_DIRECTORY_RANK_MAX]; /* there */
} place_t;

typedef struct {
    loader_plan_t plan;
    size_t run_room, pack_room;
    uint64_t packed; /* where the next pack's runs go */
} maker_t;

/*  How a tensor is cut: `rows` rows of `stride` bytes, of which `segment` bytes at `first` are wanted. */
typedef struct {
    uint64_t rows, stride, first, segment;
} cut_t;

void loader_slices_name (loader_slices_t *self)
{
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    for (size_t at = 0; at < self->count; at++) {
        yard_sha256_update (sha256, self->rows [at].pattern, strlen (self->rows [at].pattern) + 1);
        yard_sha256_update (sha256, &self->rows [at].axis, sizeof self->rows [at].axis);
    }
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    snprintf (self->name, sizeof self->name, "%u/%u %.32s", self->rank, self->ranks, hex);
}

/*  --- cutting one tensor */

static bool fits (const char *pattern, yard_string_t name)
{
    char text [YARD_ERROR_TEXT_MAX * 2];
    if (name.size >= sizeof text)
        return false; /* no tensor of any model has such a name; it stays whole */
    memcpy (text, name.data, name.size);
    text [name.size] = 0;
    return fnmatch (pattern, text, 0) == 0;
}

static int refuse (const place_t *place, const char *why, yard_error_t *error)
{
    return yard_error (
        error, YARD_INVALID_MESSAGE,
        "slices: %.*s cannot be cut: %s; choose another axis for it, or a pattern that leaves it out",
        YARD_VIEW (place->tensor.name), why);
}

static int cut (const place_t *place, uint32_t axis, const loader_slices_t *slices, cut_t *ret,
                yard_error_t *error)
{
    const yard_tensor_row_t *tensor = &place->tensor;
    char why [160];
    uint64_t rows = 1;
    if (axis >= tensor->rank || tensor->bytes == 0) {
        snprintf (why, sizeof why, "it has no axis %" PRIu32 ", or no bytes", axis);
        return refuse (place, why, error);
    }
    if (tensor->strides)
        return refuse (place, "its rows do not lie one behind the other", error);
    uint64_t wide = tensor->shape [axis];
    if (wide % slices->ranks) {
        snprintf (why, sizeof why,
                  "its axis %" PRIu32 " has %" PRIu64 " elements, and %u devices divide them unevenly", axis,
                  wide, slices->ranks);
        return refuse (place, why, error);
    }
    for (uint32_t at = 0; at < axis; at++)
        rows *=
            tensor->shape [at]; /* at most its elements, of which it has at most 16 to a byte: no overflow */
    if (tensor->bytes % rows || tensor->bytes / rows % wide)
        return refuse (place, "the parts of this axis are no whole bytes in its format", error);
    uint64_t stride = tensor->bytes / rows, segment = stride / slices->ranks;
    *ret = (cut_t){ .rows = rows, .stride = stride, .first = slices->rank * segment, .segment = segment };
    return 0;
}

/*  --- runs and packs */

static void add_run (maker_t *self, const yard_tensor_row_t *tensor, uint64_t from, uint64_t bytes,
                     uint64_t to)
{
    loader_plan_t *plan = &self->plan;
    if (plan->run_count == self->run_room) {
        self->run_room = self->run_room ? self->run_room * 2 : 64;
        plan->runs = realloc (plan->runs, self->run_room * sizeof *plan->runs);
        if (!plan->runs)
            abort ();
    }
    plan->runs [plan->run_count++] =
        (loader_run_t){ .source = tensor->region, .offset = tensor->offset + from, .bytes = bytes, .to = to };
}

static void add_pack (maker_t *self, const place_t *place, const cut_t *cut)
{
    loader_plan_t *plan = &self->plan;
    if (plan->pack_count == self->pack_room) {
        self->pack_room = self->pack_room ? self->pack_room * 2 : 64;
        plan->packs = realloc (plan->packs, self->pack_room * sizeof *plan->packs);
        if (!plan->packs)
            abort ();
    }
    plan->packs [plan->pack_count++] = (loader_pack_t){ .at = self->packed,
                                                        .bytes = place->tensor.bytes,
                                                        .stride = cut->stride,
                                                        .first = cut->first,
                                                        .segment = cut->segment,
                                                        .to = place->offset };
    add_run (self, &place->tensor, 0, place->tensor.bytes, self->packed);
    self->packed += place->tensor.bytes + PACKED_GAP;
}

static void add_cut (maker_t *self, const place_t *place, const cut_t *cut)
{
    if (cut->rows > 1 && cut->segment < SEGMENT_MIN) {
        add_pack (self, place, cut);
        return;
    }
    for (uint64_t row = 0; row < cut->rows; row++)
        add_run (self, &place->tensor, row * cut->stride + cut->first, cut->segment,
                 place->offset + row * cut->segment);
}

static int add_place (maker_t *self, place_t *place, const loader_slices_t *slices, yard_error_t *error)
{
    const yard_tensor_row_t *tensor = &place->tensor;
    size_t row = 0;
    cut_t how = { 0 };
    assert (tensor->rank <= YARD_DIRECTORY_RANK_MAX);
    for (uint32_t at = 0; at < tensor->rank; at++)
        place->shape [at] = tensor->shape [at];
    place->offset = self->plan.bytes;
    place->bytes = tensor->bytes;
    while (row < slices->count && !fits (slices->rows [row].pattern, tensor->name))
        row++;
    if (row < slices->count) {
        int rc = cut (place, slices->rows [row].axis, slices, &how, error);
        if (rc)
            return rc;
        place->shape [slices->rows [row].axis] /= slices->ranks;
        place->bytes = how.rows * how.segment;
        add_cut (self, place, &how);
    } else if (tensor->bytes)
        add_run (self, tensor, 0, tensor->bytes, place->offset);
    self->plan.bytes += (place->bytes + PLACE_ALIGNMENT - 1) / PLACE_ALIGNMENT * PLACE_ALIGNMENT;
    return 0;
}

/*  --- the plan */

static int in_file_order (const void *a, const void *b)
{
    const place_t *left = a, *right = b;
    int order = loader_plan_order (&left->tensor, &right->tensor);
    return order ? order : (left->index > right->index) - (left->index < right->index);
}

static int by_index (const void *a, const void *b)
{
    const place_t *left = a, *right = b;
    return (left->index > right->index) - (left->index < right->index);
}

static int place_all (maker_t *self, place_t *places, size_t count, const loader_slices_t *slices,
                      yard_error_t *error)
{
    for (size_t at = 0; at < count; at++) {
        const yard_tensor_row_t *before = at ? &places [at - 1].tensor : NULL;
        const yard_tensor_row_t *tensor = &places [at].tensor;
        if (before && before->region == tensor->region && before->offset + before->bytes > tensor->offset)
            return refuse (&places [at], "it shares bytes with another tensor", error);
        int rc = add_place (self, &places [at], slices, error);
        if (rc)
            return rc;
    }
    return 0;
}

static int write_directory (const place_t *places, size_t count, yard_buffer_t *ret, yard_error_t *error)
{
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < count; at++) {
        yard_tensor_row_t row = places [at].tensor;
        row.region = 0;
        row.offset = places [at].offset;
        row.bytes = places [at].bytes;
        row.shape = places [at].shape;
        rc = yard_directory_writer_add (writer, &row, error);
    }
    if (rc == 0)
        rc = yard_directory_writer_finish (writer, ret, error);
    yard_directory_writer_destroy (&writer);
    return rc;
}

/*  Directory and slices say what is where; with them the runs are given. */
static void write_hash (loader_plan_t *self, const loader_slices_t *slices, const yard_buffer_t *directory)
{
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    yard_sha256_update (sha256, slices->name, strlen (slices->name));
    yard_sha256_update (sha256, directory->data, directory->size);
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    snprintf (self->hash, sizeof self->hash, "%.32s", hex);
}

int loader_slice_plan_make (const yard_directory_t *directory, const loader_slices_t *slices,
                            loader_plan_t *ret, yard_buffer_t *ret_directory, yard_error_t *error)
{
    size_t count = directory->count;
    maker_t maker = { .packed = LOADER_PACKED };
    place_t *places = calloc (count ? count : 1, sizeof *places);
    if (!places)
        abort ();
    for (size_t at = 0; at < count; at++)
        places [at] = (place_t){ .tensor = yard_directory_get (directory, at), .index = at };
    qsort (places, count, sizeof *places, in_file_order);
    int rc = place_all (&maker, places, count, slices, error);
    qsort (places, count, sizeof *places, by_index);
    if (rc == 0)
        rc = write_directory (places, count, ret_directory, error);
    free (places);
    if (rc) {
        loader_plan_clear (&maker.plan);
        return rc;
    }
    write_hash (&maker.plan, slices, ret_directory);
    *ret = maker.plan;
    return 0;
}

/*  --- packing */

/*  The last pack that begins at `to` or before it; they are in ascending order. */
static const loader_pack_t *find_pack (const loader_plan_t *plan, uint64_t to)
{
    size_t first = 0, end = plan->pack_count;
    while (end - first > 1) {
        size_t middle = first + (end - first) / 2;
        if (plan->packs [middle].at <= to)
            first = middle;
        else
            end = middle;
    }
    return &plan->packs [first];
}

void loader_slice_pack (const loader_plan_t *plan, const loader_slot_t *slot, uint64_t *ret_to,
                        size_t *ret_size)
{
    assert (plan->pack_count > 0 && slot->to >= LOADER_PACKED);
    const loader_pack_t *pack = find_pack (plan, slot->to);
    uint64_t begin = slot->to - pack->at, end = begin + slot->size;
    char *data = slot->data;
    assert (end <= pack->bytes);
    *ret_size = 0;
    for (uint64_t row = begin / pack->stride; row * pack->stride < end; row++) {
        uint64_t from = row * pack->stride + pack->first, until = from + pack->segment;
        uint64_t first = from > begin ? from : begin, last = until < end ? until : end;
        if (first >= last)
            continue;
        if (*ret_size == 0)
            *ret_to = pack->to + row * pack->segment + (first - from);
        memmove (data + *ret_size, data + (first - begin), last - first);
        *ret_size += last - first;
    }
}
