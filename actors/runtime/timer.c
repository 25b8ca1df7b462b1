// SPDX-License-Identifier: Apache-2.0
/*  timer.c - a binary heap of what is due next
 *
 *  Promises: timers fire in order of their time, equal ones in the order they were set; one that sets itself again with 0 fires in the
 *  next turn, not in this one.
 */
#include "actor_inside.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#define TIMERS_FIRST 64 /* room at the start; each open request and ask may have one */

static bool before (const yard_timer_t *a, const yard_timer_t *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void put (yard_actor_t *actor, size_t slot, yard_timer_t *timer)
{
    actor->timers [slot] = timer;
    timer->slot = slot;
}

static void rise (yard_actor_t *actor, yard_timer_t *timer, size_t slot)
{
    for (; slot > 1 && before (timer, actor->timers [slot / 2]); slot /= 2)
        put (actor, slot, actor->timers [slot / 2]);
    put (actor, slot, timer);
}

static void sink (yard_actor_t *actor, yard_timer_t *timer, size_t slot)
{
    for (size_t child; (child = 2 * slot) <= actor->timer_count; slot = child) {
        if (child < actor->timer_count && before (actor->timers [child + 1], actor->timers [child]))
            child++;
        if (!before (actor->timers [child], timer))
            break;
        put (actor, slot, actor->timers [child]);
    }
    put (actor, slot, timer);
}

static void disarm (yard_timer_t *self)
{
    size_t slot = self->slot;
    if (slot == 0)
        return;
    yard_actor_t *actor = self->actor;
    yard_timer_t *last = actor->timers [actor->timer_count--];
    self->slot = 0;
    if (last == self)
        return;
    if (slot > 1 && before (last, actor->timers [slot / 2]))
        rise (actor, last, slot);
    else
        sink (actor, last, slot);
}

static void arm (yard_timer_t *self, int64_t due_ms)
{
    yard_actor_t *actor = self->actor;
    if (actor->timer_count + 1 >= actor->timer_capacity) {
        actor->timer_capacity = actor->timer_capacity ? actor->timer_capacity * 2 : TIMERS_FIRST;
        actor->timers = realloc (actor->timers, actor->timer_capacity * sizeof *actor->timers);
        if (!actor->timers)
            abort ();
    }
    self->due_ms = due_ms;
    self->order = ++actor->timers_set;
    rise (actor, self, ++actor->timer_count);
}

void yard_timer_init (yard_timer_t *self, yard_actor_t *actor, yard_timer_fn *fire, void *argument)
{
    *self = (yard_timer_t){ .actor = actor, .fire = fire, .argument = argument, .inside = true };
}

yard_timer_t *yard_timer_new (yard_actor_t *actor, yard_timer_fn *fire, void *argument)
{
    yard_timer_t *self = yard_zeroed (sizeof *self);
    yard_timer_init (self, actor, fire, argument);
    self->inside = false;
    return self;
}

void yard_timer_set (yard_timer_t *self, int64_t delay_ms)
{
    disarm (self);
    int64_t now_ms = self->actor->now_ms;
    if (delay_ms >= 0)
        arm (self, delay_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + delay_ms);
}

void yard_timer_destroy (yard_timer_t **self_p)
{
    if (!*self_p)
        return;
    disarm (*self_p);
    free (*self_p);
    *self_p = NULL;
}

void yard_timers_run (yard_actor_t *actor)
{
    uint64_t set_before = actor->timers_set;
    while (actor->timer_count > 0) {
        yard_timer_t *timer = actor->timers [1];
        if (timer->due_ms > actor->now_ms || timer->order > set_before)
            break;
        disarm (timer);
        bool inside = timer->inside; /* the timer may be gone when it has fired */
        if (!inside)
            yard_handling_begin (actor, "timer", "-");
        timer->fire (actor->self, timer->argument);
        if (!inside)
            yard_handling_end (actor);
    }
}

int yard_timers_wait_ms (const yard_actor_t *actor, int timeout_ms)
{
    if (actor->timer_count == 0)
        return timeout_ms;
    int64_t left_ms = actor->timers [1]->due_ms - actor->now_ms;
    if (left_ms < 0)
        left_ms = 0;
    if (left_ms > INT_MAX)
        left_ms = INT_MAX;
    return timeout_ms >= 0 && timeout_ms < left_ms ? timeout_ms : (int) left_ms;
}
