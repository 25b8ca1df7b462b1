// SPDX-License-Identifier: Apache-2.0
/*  spread_share.c - chunks, shares, and runs cut at their borders
 */
#include "actors/loader/spread_share.h"

#include <assert.h>
#include <stdlib.h>

typedef struct {
    loader_run_t *runs;
    size_t count, room;
} list_t;

static uint64_t smaller (uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t span_of (unsigned ranks)
{
    assert (ranks > 0);
    return (uint64_t) LOADER_SHARE_BYTES * ranks;
}

size_t loader_share_chunks (uint64_t bytes, unsigned ranks)
{
    return (size_t) ((bytes + span_of (ranks) - 1) / span_of (ranks));
}

loader_share_t loader_share_of (uint64_t bytes, unsigned ranks, size_t chunk)
{
    uint64_t offset = chunk * span_of (ranks);
    assert (offset < bytes);
    uint64_t rest = smaller (bytes - offset, span_of (ranks));
    uint64_t share = (rest + ranks - 1) / ranks;
    share = (share + LOADER_SHARE_ALIGNMENT - 1) / LOADER_SHARE_ALIGNMENT * LOADER_SHARE_ALIGNMENT;
    return (loader_share_t){ .offset = offset, .share = share };
}

size_t loader_share_chunk_at (unsigned ranks, uint64_t to)
{
    return (size_t) (to / span_of (ranks));
}

uint64_t loader_share_padding (unsigned ranks)
{
    return (uint64_t) LOADER_SHARE_ALIGNMENT * ranks;
}

/*  The part of the run that belongs into [begin, end). */
static void add (list_t *list, const loader_run_t *run, uint64_t begin, uint64_t end)
{
    uint64_t from = begin > run->to ? begin : run->to, until = smaller (end, run->to + run->bytes);
    if (from >= until)
        return;
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 16;
        list->runs = realloc (list->runs, list->room * sizeof *list->runs);
        if (!list->runs)
            abort ();
    }
    list->runs [list->count++] = (loader_run_t){
        .source = run->source, .offset = run->offset + (from - run->to), .bytes = until - from, .to = from
    };
}

size_t loader_share_cut (const loader_run_t *runs, size_t count, uint64_t bytes, unsigned rank,
                         unsigned ranks, loader_run_t **ret_runs)
{
    list_t list = { 0 };
    assert (rank < ranks);
    for (size_t at = 0; at < count; at++) {
        const loader_run_t *run = &runs [at];
        uint64_t end = run->to + run->bytes;
        assert (end <= bytes);
        for (size_t chunk = loader_share_chunk_at (ranks, run->to); chunk * span_of (ranks) < end; chunk++) {
            loader_share_t share = loader_share_of (bytes, ranks, chunk);
            uint64_t begin = share.offset + rank * share.share;
            add (&list, run, begin, begin + share.share);
        }
    }
    *ret_runs = list.runs;
    return list.count;
}

size_t loader_share_rest (const loader_run_t *runs, size_t count, uint64_t from, loader_run_t **ret_runs)
{
    list_t list = { 0 };
    for (size_t at = 0; at < count; at++)
        add (&list, &runs [at], from, UINT64_MAX);
    *ret_runs = list.runs;
    return list.count;
}
