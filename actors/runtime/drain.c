// SPDX-License-Identifier: Apache-2.0
/*  drain.c - how an actor ends
 *
 *  In peace: new asks are refused (not_served: certainly not done), the class hands its work back turn by turn, what was said leaves, bye. Whatever
 *  is open then is answered `gone`, every handler of an ask runs, every offloaded work is waited for. In trouble the same without the
 *  handing back; a killed process skips it all, and nobody may rely on it.
 */
#include "actor_inside.h"

#include <poll.h>

#define DRAIN_MS_MAX \
    10000 /* a supervisor kills after 90 s (systemd's default); leases lapse after 30 s by themselves */
#define CLOSE_ROUNDS_MAX 1000 /* handlers that ask again while the actor closes are broken */

static void drain_too_long (void *self, void *argument)
{
    (void) self;
    yard_actor_t *actor = argument;
    yard_log_warning ("drain.given_up", "ms=%d", DRAIN_MS_MAX);
    yard_actor_stop (actor, YARD_EXIT_BROKEN);
}

void yard_actor_stop (yard_actor_t *self, int exit_code)
{
    self->dirty = true; /* so that the next turn does not wait */
    if (exit_code != YARD_EXIT_DRAINED) {
        self->stopping = true;
        self->exit_code = exit_code;
    } else if (!self->draining) {
        self->draining = true;
        yard_timer_init (&self->drain_limit, self, drain_too_long, self);
        yard_timer_set (&self->drain_limit, DRAIN_MS_MAX);
    }
}

bool yard_actor_draining (const yard_actor_t *self)
{
    return self->draining;
}

/*  Before settle, so that what is handed back is committed and told. */
void yard_drain_step (yard_actor_t *actor)
{
    if (!actor->draining || actor->drained)
        return;
    size_t open = 0;
    if (actor->class->drain) {
        yard_handling_begin (actor, "drain", "-");
        open = actor->class->drain (actor->self);
        yard_handling_end (actor);
    }
    actor->drained = open == 0;
}

bool yard_drain_ended (yard_actor_t *actor, int *ret_exit)
{
    bool said =
        actor->link != YARD_LINK_WELCOMED || (!actor->said_leaving.first && !actor->asks_leaving.first);
    if (actor->stopping)
        *ret_exit = actor->exit_code;
    else if (actor->drained && said)
        *ret_exit = YARD_EXIT_DRAINED;
    else
        return false;
    return true;
}

static void offload_wait (yard_actor_t *actor)
{
    while (yard_offload_pool_pending (actor->pool)) {
        struct pollfd ended = { .fd = yard_offload_pool_fd (actor->pool), .events = POLLIN };
        if (ended.fd >= 0)
            poll (&ended, 1, -1);
        yard_offload_pool_reap (actor->pool, actor->self);
    }
}

static void say_bye (yard_actor_t *actor)
{
    bye_t bye;
    yard_wire_init (bye_type (), &bye);
    bye.has_reason = true;
    bye.reason = yard_string (actor->drained ? "drained" : "broken");
    yard_buffer_t body;
    yard_buffer_init (&body, YARD_MESSAGE_MAX);
    if (yard_wire_pack (bye_type (), &bye, &body, NULL) == 0)
        yard_outbox_send (actor, &(yard_envelope_t){ .letter = 'B', .body = yard_buffer_view (&body) });
    yard_buffer_clear (&body);
}

void yard_actor_close_all (yard_actor_t *actor)
{
    static const char why [] = "the process that worked on this is ending; the outcome is unknown";
    actor->closing = true;
    actor->dirty = true;
    yard_requests_end (actor, YARD_GONE, why);
    bool open = true;
    for (int i = 0; open && i < CLOSE_ROUNDS_MAX; i++) {
        offload_wait (actor);
        yard_asks_lost (actor, true, why);
        open = yard_table_count (actor->asks) || actor->asks_ended.first ||
               yard_offload_pool_pending (actor->pool);
    }
    yard_settle (actor);
    yard_outbox_flush (actor);
    if (actor->link == YARD_LINK_WELCOMED)
        say_bye (actor);
}
