// SPDX-License-Identifier: Apache-2.0
/*  watch.c - files that the actor looks at, polled together with its socket
 *
 *  The mailbox is read between two callbacks: one that moves megabytes must not keep the others' asks waiting. A watch that is destroyed in a
 *  callback, its own or another's, is only marked, and freed when the walk is over.
 */
#include "actor_inside.h"

#include <assert.h>
#include <stdlib.h>

#define POLLED_FIRST 16 /* slots at the start: the socket, the pool and a few files */
#define POLLED_OWN 2 /* of these the runtime's: the socket and the pool */

struct yard_watch_t {
    yard_watch_t *next;
    yard_actor_t *actor;
    int fd;
    short events;
    yard_ready_fn *ready;
    void *argument;
    bool dead;
};

yard_watch_t *yard_watch_new (yard_actor_t *actor, int fd, short events, yard_ready_fn *ready, void *argument)
{
    yard_watch_t *self = yard_zeroed (sizeof *self);
    *self = (yard_watch_t){ actor->watches, actor, fd, events, ready, argument, false };
    actor->watches = self;
    return self;
}

void yard_watch_set (yard_watch_t *self, short events)
{
    self->events = events;
}

void yard_watch_destroy (yard_watch_t **self_p)
{
    if (*self_p)
        (*self_p)->dead = true;
    *self_p = NULL;
}

static void bury (yard_actor_t *actor)
{
    for (yard_watch_t **at_p = &actor->watches; *at_p;) {
        yard_watch_t *watch = *at_p;
        if (watch->dead) {
            *at_p = watch->next;
            free (watch);
        } else
            at_p = &watch->next;
    }
}

void yard_watches_free (yard_actor_t *actor)
{
    for (yard_watch_t *watch = actor->watches; watch; watch = watch->next)
        watch->dead = true;
    bury (actor);
    free (actor->polled);
    free (actor->polled_watches);
}

static void reserve (yard_actor_t *actor, size_t count)
{
    if (count <= actor->polled_capacity)
        return;
    size_t capacity = actor->polled_capacity ? actor->polled_capacity : POLLED_FIRST;
    while (capacity < count)
        capacity *= 2;
    actor->polled = realloc (actor->polled, capacity * sizeof *actor->polled);
    actor->polled_watches = realloc (actor->polled_watches, capacity * sizeof (yard_watch_t *));
    if (!actor->polled || !actor->polled_watches)
        abort ();
    actor->polled_capacity = capacity;
}

static size_t lay_out (yard_actor_t *actor)
{
    size_t count = POLLED_OWN;
    for (const yard_watch_t *watch = actor->watches; watch; watch = watch->next)
        count++;
    reserve (actor, count);

    bool wants_out = actor->blocked || actor->link == YARD_LINK_HELLO_DUE;
    short events = (short) ((yard_outbox_full (actor) ? 0 : POLLIN) | (wants_out ? POLLOUT : 0));
    count = 0;
    actor->polled [count++] = (yard_poll_t){ .socket = actor->socket, .events = events };
    if (yard_offload_pool_fd (actor->pool) >= 0)
        actor->polled [count++] = (yard_poll_t){ .fd = yard_offload_pool_fd (actor->pool), .events = POLLIN };
    /* A watch without events is left out: poll would report errors and hang-ups all the same, turn after turn. */
    for (yard_watch_t *watch = actor->watches; watch; watch = watch->next) {
        if (watch->events == 0)
            continue;
        actor->polled_watches [count] = watch;
        actor->polled [count++] = (yard_poll_t){ .fd = watch->fd, .events = watch->events };
    }
    return count;
}

void yard_watches_poll (yard_actor_t *actor, int timeout_ms)
{
    bury (actor);
    size_t first = yard_offload_pool_fd (actor->pool) >= 0 ? POLLED_OWN : 1;
    size_t count = lay_out (actor);
    const yard_clock_t *clock = actor->options.clock;
    int64_t begun_ns = clock->monotonic_ns (clock->context);
    yard_bus_poll (actor->options.bus, actor->polled, count, timeout_ms);
    int64_t ended_ns = clock->monotonic_ns (clock->context);
    actor->idle_us += (uint64_t) (ended_ns - begun_ns) / 1000;
    actor->now_ms = ended_ns / 1000000;
    if (actor->polled [0].revents & POLLOUT)
        actor->blocked = false;
    yard_mailbox_drain (actor);
    for (size_t i = first; i < count; i++) {
        yard_watch_t *watch = actor->polled_watches [i];
        if (!actor->polled [i].revents || watch->dead)
            continue;
        yard_handling_begin (actor, "ready", "-");
        watch->ready (actor->self, watch->argument, watch->fd, actor->polled [i].revents);
        yard_handling_end (actor);
        yard_mailbox_drain (actor);
    }
    bury (actor);
}
