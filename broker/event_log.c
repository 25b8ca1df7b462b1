// SPDX-License-Identifier: Apache-2.0
/*  event_log.c - a ring of events, each one allocation: the views, then their bytes
 *
 *  An event's place in the ring is its number modulo the ring's length. The ring itself grows with the events, by doubling, so that
 *  an idle yard does not pay for 65,536 of them.
 */
#include "event_log.h"

#include <assert.h>
#include <stdlib.h>

#define RING_MIN ((size_t) 256) /* 2 KiB of pointers */

struct broker_event_log_t {
    size_t events_max, bytes_max;
    broker_event_t **ring;
    size_t capacity, bytes;
    uint64_t first, last; /* first == last + 1: empty */
};

broker_event_log_t *broker_event_log_new (size_t events_max, size_t bytes_max)
{
    assert (events_max > 0);
    broker_event_log_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->events_max = events_max;
    self->bytes_max = bytes_max;
    self->first = 1;
    return self;
}

static size_t size_of (const broker_event_t *event)
{
    return sizeof *event + event->topic.size + event->name.size + event->subject.size + event->body.size +
           event->stamp.size;
}

static void drop_first (broker_event_log_t *self)
{
    broker_event_t **slot = &self->ring [self->first++ % self->capacity];
    self->bytes -= size_of (*slot);
    free (*slot);
    *slot = NULL;
}

void broker_event_log_destroy (broker_event_log_t **self_p)
{
    assert (self_p);
    broker_event_log_t *self = *self_p;
    if (!self)
        return;
    while (self->first <= self->last)
        drop_first (self);
    free (self->ring);
    free (self);
    *self_p = NULL;
}

static void grow (broker_event_log_t *self)
{
    size_t capacity = self->capacity ? self->capacity * 2 : RING_MIN;
    broker_event_t **ring = calloc (capacity, sizeof *ring);
    if (!ring)
        abort ();
    for (uint64_t number = self->first; number <= self->last; number++)
        ring [number % capacity] =
            self->ring [number % self->capacity]; /* NOLINT(clang-analyzer-core.DivideZero): not when empty */
    free (self->ring);
    self->ring = ring;
    self->capacity = capacity;
}

static yard_string_t copy_to (char **at, yard_string_t view)
{
    yard_string_t copy = { *at, view.size };
    if (view.size)
        memcpy (*at, view.data, view.size);
    *at += view.size;
    return copy;
}

const broker_event_t *broker_event_log_append (broker_event_log_t *self, const broker_event_t *event)
{
    assert (event->number == self->last + 1);
    size_t size = size_of (event);
    size_t kept = (size_t) (self->last + 1 - self->first);
    while (kept && (kept >= self->events_max || self->bytes + size > self->bytes_max)) {
        drop_first (self);
        kept--;
    }
    if (kept == self->capacity)
        grow (self);
    broker_event_t *copy = malloc (size);
    if (!copy)
        abort ();
    char *at = (char *) (copy + 1);
    copy->number = event->number;
    copy->name = copy_to (&at, event->name);
    copy->subject = copy_to (&at, event->subject);
    copy->topic = copy_to (&at, event->topic);
    copy->body = copy_to (&at, event->body);
    copy->stamp = copy_to (&at, event->stamp);
    self->ring [event->number % self->capacity] = copy;
    self->last = event->number;
    self->bytes += size;
    return copy;
}

const broker_event_t *broker_event_log_get (const broker_event_log_t *self, uint64_t number)
{
    return number >= self->first && number <= self->last ? self->ring [number % self->capacity] : NULL;
}

uint64_t broker_event_log_first (const broker_event_log_t *self)
{
    return self->first;
}

uint64_t broker_event_log_last (const broker_event_log_t *self)
{
    return self->last;
}

size_t broker_event_log_bytes (const broker_event_log_t *self)
{
    return self->bytes;
}
