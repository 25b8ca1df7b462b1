// SPDX-License-Identifier: Apache-2.0
/*  read_plan.c - from runs to pieces, one at a time, in the order of the files
 *
 *  Runs that meet in the file and at their destination become one extent, so that 2,000 tensors in a row are read as one. An extent is cut
 *  where the file's offset is a multiple of the chunk, whatever the extent begins with: then chunks and the manifest's checksums lie
 *  on each other, and all but the first and last piece are aligned.
 *
 *  Into memory, a piece goes straight where address and offset agree modulo the file's alignment. What sticks out of the alignment
 *  at either end becomes a small piece of its own, which is read into a slot with its whole block and copied: nothing is written
 *  beside the run's own bytes.
 */
#include "actors/loader/read_inside.h"

#include <assert.h>
#include <inttypes.h>

#define STRAIGHT_MIN 65536 /* bytes: below this, one read and a copy are cheaper than two or three reads */

static int look_at_run (const loader_read_wish_t *wish, const loader_run_t *run, const loader_run_t *before,
                        yard_error_t *error)
{
    if (run->source >= wish->source_count)
        return yard_error (error, YARD_INTERNAL, "a run names file %" PRIu32 " of %zu", run->source,
                           wish->source_count);
    const loader_source_t *source = &wish->sources [run->source];
    if (run->offset > source->bytes || run->bytes > source->bytes - run->offset)
        return yard_error (error, YARD_INVALID_FILE,
                           "%s has %" PRIu64 " bytes, and its header points to %" PRIu64 " bytes at %" PRIu64
                           "; install the model again",
                           source->name, source->bytes, run->bytes, run->offset);
    if (run->to > UINT64_MAX - run->bytes)
        return yard_error (error, YARD_INTERNAL, "a run of %s ends behind the last address", source->name);
    if (before && (before->source > run->source ||
                   (before->source == run->source && before->offset + before->bytes > run->offset)))
        return yard_error (error, YARD_INTERNAL, "the runs of %s are not in the order of the file",
                           source->name);
    return 0;
}

int loader_read_plan_look (const loader_read_wish_t *wish, yard_error_t *error)
{
    for (size_t i = 0; i < wish->run_count; i++) {
        int code = look_at_run (wish, &wish->runs [i], i ? &wish->runs [i - 1] : NULL, error);
        if (code)
            return code;
    }
    for (size_t i = 0; i < wish->source_count; i++) {
        const loader_source_t *source = &wish->sources [i];
        if (!source->crc32c)
            continue;
        uint64_t whole = source->crc_bytes ? source->bytes / source->crc_bytes : 0;
        if (source->crc_bytes == 0 || source->crc_count != whole + (source->bytes % source->crc_bytes != 0))
            return yard_error (error, YARD_INTEGRITY,
                               "the manifest's %zu checksums of %s are not those of %" PRIu64
                               " bytes; install the model again",
                               source->crc_count, source->name, source->bytes);
    }
    return 0;
}

/*  How far the file is wanted without a gap from the run at `at` on, wherever its bytes go. Each run is looked at by one stretch. */
static void find_stretch (loader_read_plan_t *self, size_t at)
{
    const loader_run_t *runs = self->wish->runs;
    self->stretch_source = runs [at].source;
    self->stretch_begin = runs [at].offset;
    self->stretch_end = runs [at].offset + runs [at].bytes;
    for (size_t i = at + 1; i < self->wish->run_count && runs [i].source == self->stretch_source; i++) {
        if (runs [i].bytes > 0 && runs [i].offset != self->stretch_end)
            break;
        self->stretch_end += runs [i].bytes;
    }
}

static void next_extent (loader_read_plan_t *self)
{
    const loader_run_t *runs = self->wish->runs;
    size_t count = self->wish->run_count, at = self->next_run;
    loader_run_t *extent = &self->extent;
    while (at < count && runs [at].bytes == 0)
        at++;
    *extent = at < count ? runs [at] : (loader_run_t){ 0 };
    if (extent->bytes > 0 && (self->stretch_source != extent->source || extent->offset >= self->stretch_end))
        find_stretch (self, at);
    for (at++; at < count; at++) {
        if (runs [at].bytes == 0)
            continue;
        if (runs [at].source != extent->source || runs [at].offset != extent->offset + extent->bytes ||
            runs [at].to != extent->to + extent->bytes)
            break;
        extent->bytes += runs [at].bytes;
    }
    self->next_run = at;
}

void loader_read_plan_begin (loader_read_plan_t *self, const loader_read_wish_t *wish,
                             const loader_read_file_t *files, size_t chunk_bytes)
{
    *self = (loader_read_plan_t){ .wish = wish, .files = files, .chunk_bytes = chunk_bytes };
    next_extent (self);
}

bool loader_read_plan_over (const loader_read_plan_t *self)
{
    return self->extent.bytes == 0;
}

/*  Shortens a piece for memory to what goes one way: straight, or through a slot. */
static void choose_way (const loader_read_plan_t *self, loader_piece_t *piece)
{
    size_t align = self->files [piece->source].align;
    size_t lead = piece->offset % align, tail = (piece->offset + piece->size) % align;
    uintptr_t address = (uintptr_t) self->wish->memory + piece->to;
    piece->straight = address % align == lead;
    if (!piece->straight || (lead == 0 && tail == 0))
        return;
    if (piece->size < STRAIGHT_MIN || (lead == 0 && piece->size < align)) {
        piece->straight = false;
    } else if (lead > 0) {
        piece->size = align - lead; /* shorter than it was: align is at most STRAIGHT_MIN */
        piece->straight = false;
    } else {
        piece->size -= tail;
    }
}

void loader_read_plan_next (loader_read_plan_t *self, loader_piece_t *ret)
{
    loader_run_t *extent = &self->extent;
    assert (extent->bytes > 0);
    uint64_t to_border = self->chunk_bytes - extent->offset % self->chunk_bytes;
    *ret = (loader_piece_t){ .source = extent->source,
                             .offset = extent->offset,
                             .to = extent->to,
                             .size = extent->bytes < to_border ? extent->bytes : to_border,
                             .stretch_begin = self->stretch_begin,
                             .stretch_end = self->stretch_end };
    if (self->wish->memory)
        choose_way (self, ret);
    extent->offset += ret->size;
    extent->to += ret->size;
    extent->bytes -= ret->size;
    if (extent->bytes == 0)
        next_extent (self);
}

_Static_assert(STRAIGHT_MIN >= LOADER_READ_ALIGN_MAX, "a piece that is not small holds at least one block");
