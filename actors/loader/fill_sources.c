// SPDX-License-Identifier: Apache-2.0
/*  fill_sources.c - the files that a fill reads from, and how much of them was checked
 */
#include "actors/loader/tier_inside.h"

/*  The model's descriptors become the sources'. */
void loader_fill_take_sources (loader_fill_t *self)
{
    loader_model_t *model = self->wish.model;
    self->sources = calloc (model->file_count ? model->file_count : 1, sizeof *self->sources);
    if (!self->sources)
        abort ();
    self->source_count = model->file_count;
    for (size_t at = 0; at < model->file_count; at++) {
        loader_file_t *file = &model->files [at];
        const loader_checksums_t *checksums = model->checksums ? &model->checksums [at] : NULL;
        self->sources [at] = (loader_source_t){ .fd = file->fd,
                                                .bytes = file->identity.bytes,
                                                .name = file->name,
                                                .crc32c = checksums ? checksums->crc32c : NULL,
                                                .crc_count = checksums ? checksums->count : 0,
                                                .crc_bytes = checksums ? checksums->chunk_bytes : 0 };
        file->fd = -1;
    }
}

void loader_fill_close_sources (loader_fill_t *self)
{
    for (size_t at = 0; at < self->source_count; at++)
        close (self->sources [at].fd);
    free (self->sources);
    self->sources = NULL;
    self->source_count = 0;
}

/*  How much of a source its checksums covered: the chunks that lie in one run whole. */
static uint64_t checked_of (const loader_fill_t *self, uint32_t source)
{
    const loader_source_t *row = &self->sources [source];
    uint64_t checked = 0;
    for (size_t at = 0; row->crc32c && at < self->run_count; at++) {
        const loader_run_t *run = &self->runs [at];
        if (run->source != source)
            continue;
        uint64_t end = run->offset + run->bytes;
        uint64_t first = (run->offset + row->crc_bytes - 1) / row->crc_bytes * row->crc_bytes;
        uint64_t last = end == row->bytes ? end : end / row->crc_bytes * row->crc_bytes;
        checked += last > first ? last - first : 0;
    }
    return checked;
}

uint64_t loader_fill_checked (const loader_fill_t *self)
{
    uint64_t checked = 0;
    for (uint32_t at = 0; at < self->source_count; at++)
        checked += checked_of (self, at);
    return checked;
}
