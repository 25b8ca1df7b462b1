// SPDX-License-Identifier: Apache-2.0
/*  order.c - who may touch the same bytes at the same time: two copies that do, with nothing that orders them, are a missing wait
 *
 *  Each operation has a clock: the last operation of every stream that is surely over before it begins, as events have told. Two
 *  operations are ordered if one is in the other's clock. Only what is still under way is looked at: what the device is done with, the
 *  program may have seen done.
 */
#include "tests/simcuda/inside.h"

typedef struct {
    const uint8_t *data;
    size_t size;
} range_t;

static bool meet (range_t one, range_t other)
{
    return one.size && other.size && one.data < other.data + other.size && other.data < one.data + one.size;
}

static range_t read_by (const simcuda_operation_t *copy)
{
    return (range_t){ copy->from, copy->staged ? 0 : copy->size };
}

static range_t written_by (const simcuda_operation_t *copy)
{
    return (range_t){ copy->to, copy->size };
}

static bool after (const simcuda_operation_t *later, const simcuda_operation_t *sooner)
{
    return sooner->stream && later->clock [sooner->stream->slot] >= sooner->number;
}

typedef bool (conflict_fn) (const simcuda_operation_t *under_way, const void *argument);

/*  Whether something under way in any stream is as the function says. */
static bool any (conflict_fn *conflict, const void *argument)
{
    for (unsigned i = 0; i < SIMCUDA_STREAMS_MAX; i++) {
        const simcuda_stream_t *stream = simcuda_world.streams [i];
        for (const simcuda_operation_t *at = stream ? stream->head : NULL; at; at = at->next)
            if (conflict (at, argument))
                return true;
    }
    return false;
}

static bool races (const simcuda_operation_t *under_way, const void *argument)
{
    const simcuda_operation_t *copy = argument;
    if (under_way->kind != SIMCUDA_COPY || after (copy, under_way))
        return false;
    return meet (written_by (under_way), written_by (copy)) ||
           meet (written_by (under_way), read_by (copy)) || meet (read_by (under_way), written_by (copy));
}

void simcuda_order_check (const simcuda_operation_t *operation)
{
    if (any (races, operation))
        simcuda_log ("simcuda.missing_wait bytes=%zu", operation->size);
}

static bool races_with_range (const simcuda_operation_t *under_way, const void *argument)
{
    const simcuda_operation_t *mine = simcuda_thread.running;
    if (under_way->kind != SIMCUDA_COPY || after (mine, under_way) || after (under_way, mine))
        return false;
    return meet (written_by (under_way), *(const range_t *) argument);
}

/*  For work that asks for memory when it is its turn. On a program's own thread this is a question about the memory, no use of it. */
void simcuda_order_check_range (const uint8_t *data, size_t size)
{
    const range_t range = { data, size };
    if (simcuda_thread.running && any (races_with_range, &range))
        simcuda_log ("simcuda.missing_wait bytes=%zu", size);
}

static bool may_use (const simcuda_operation_t *under_way, const void *argument)
{
    const range_t range = *(const range_t *) argument;
    if (under_way->kind == SIMCUDA_WORK)
        return true; /* it does not say what it reads */
    return under_way->kind == SIMCUDA_COPY &&
           (meet (read_by (under_way), range) || meet (written_by (under_way), range));
}

bool simcuda_order_used (const uint8_t *data, size_t size)
{
    const range_t range = { data, size };
    return any (may_use, &range);
}
