// SPDX-License-Identifier: Apache-2.0
/*  hello.c - how an actor and the broker know each other
 *
 *  Hello is said as soon as the socket takes it, and again after hello_first and after two silent seconds; until the welcome
 *  nothing else leaves. A welcome of another epoch means another broker: what we asked it is lost, who asked us through it is gone, and the
 *  follows start again.
 */
#include "actor_inside.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_MS 2000 /* without a ping; the broker pings four times as often (ARCHITECTURE 2) */
#define METHODS_MAX 64 /* of one actor (bus.def) */
#define ROLES_MAX 4

static void silent (void *self, void *argument)
{
    (void) self;
    yard_actor_t *actor = argument;
    if (actor->link == YARD_LINK_WELCOMED)
        yard_log_info ("broker.silent", "ms=%d", SILENCE_MS);
    actor->link = YARD_LINK_HELLO_DUE;
    yard_timer_set (&actor->silence, SILENCE_MS);
}

static routing_t routing_word (yard_routing_t routing)
{
    static const routing_t words [] = {
        [YARD_ROUTING_SINGLE] = routing_single,
        [YARD_ROUTING_POOL] = routing_pool,
        [YARD_ROUTING_PLACED] = routing_placed,
        [YARD_ROUTING_BROKER] = routing_broker,
    };
    return words [routing];
}

static size_t list_roles (unsigned set, role_t *roles)
{
    static const struct {
        unsigned bit;
        role_t word;
    } rows [ROLES_MAX] = {
        { YARD_ROLE_VIEWER, role_viewer },
        { YARD_ROLE_OPERATOR, role_operator },
        { YARD_ROLE_WORKER, role_worker },
        { YARD_ROLE_ADMIN, role_admin },
    };
    size_t count = 0;
    for (size_t i = 0; i < ROLES_MAX; i++)
        if (set & rows [i].bit)
            roles [count++] = rows [i].word;
    return count;
}

/*  Packed once: it says the same for the whole life of the process. */
int yard_hello_prepare (yard_actor_t *actor, yard_error_t *error)
{
    hello_method_t methods [METHODS_MAX];
    char names [METHODS_MAX][YARD_METHOD_NAME_MAX];
    role_t roles [METHODS_MAX][ROLES_MAX];
    size_t count = 0;
    for (const yard_route_t *route = actor->class->routes; route && route->method; route++, count++) {
        if (count == METHODS_MAX)
            return yard_error (error, YARD_INTERNAL, "%s serves more than %d methods", actor->class->name,
                               METHODS_MAX);
        yard_wire_init (hello_method_type (), &methods [count]);
        yard_method_name (route->method, names [count]);
        methods [count].name = yard_string (names [count]);
        methods [count].routing = routing_word (route->method->routing);
        methods [count].roles.items = roles [count];
        methods [count].roles.count = list_roles (route->method->roles, roles [count]);
    }
    hello_t hello;
    yard_wire_init (hello_type (), &hello);
    hello.actor = yard_string (actor->class->name);
    hello.place = yard_string (actor->place);
    hello.instance = yard_string (actor->instance);
    hello.node = actor->configuration->node;
    hello.methods.items = methods;
    hello.methods.count = count;
    hello.protocol = YARD_PROTOCOL;
    hello.pid = (uint64_t) getpid ();
    yard_buffer_init (&actor->hello, YARD_MESSAGE_MAX);
    yard_timer_init (&actor->silence, actor, silent, actor);
    return yard_wire_pack (hello_type (), &hello, &actor->hello, error);
}

void yard_hello_again (yard_actor_t *actor)
{
    if (actor->link == YARD_LINK_WELCOMED)
        actor->link = YARD_LINK_HELLO_DUE;
}

bool yard_hello_send (yard_actor_t *actor)
{
    yard_envelope_t envelope = { .letter = 'H', .body = yard_buffer_view (&actor->hello) };
    if (yard_outbox_send (actor, &envelope))
        return false;
    actor->link = YARD_LINK_AWAITING;
    yard_timer_set (&actor->silence, SILENCE_MS);
    return true;
}

/*  Another broker, or the same on another connection: either way nobody knows any more the numbers that
 *  were said before. */
static void start_anew (yard_actor_t *actor, bool other)
{
    yard_log_info (other ? "broker.changed" : "broker.reconnected", "epoch=%s", actor->epoch);
    yard_outbox_forget (actor);
    yard_requests_end (actor, YARD_GONE, "the connection to the broker ended");
    yard_asks_lost (actor, false,
                    other ? "the broker was replaced before it answered; the outcome is unknown"
                          : "the connection ended before the answer came; the outcome is unknown");
}

static void tell_welcomed (yard_actor_t *actor, bool new_epoch)
{
    if (!actor->class->welcomed)
        return;
    yard_handling_begin (actor, "welcomed", "-");
    actor->class->welcomed (actor->self, new_epoch);
    yard_handling_end (actor);
}

void yard_hello_welcomed (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    welcome_t welcome;
    yard_error_t error;
    yard_arena_reset (actor->scratch);
    if (yard_wire_unpack (welcome_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          actor->scratch, &welcome, &error)) {
        yard_mailbox_malformed (actor, error.text);
        return;
    }
    bool first = !actor->ever_welcomed;
    bool other = first || !yard_string_is (welcome.epoch, actor->epoch);
    snprintf (actor->epoch, sizeof actor->epoch, "%.*s", YARD_VIEW (welcome.epoch));
    actor->link = YARD_LINK_WELCOMED;
    actor->ever_welcomed = true;
    actor->dirty = true; /* what waited for the welcome leaves in this turn */
    yard_timer_set (&actor->silence, SILENCE_MS);
    if (first)
        yard_log_info ("broker.welcomed", "place=%s epoch=%s", actor->place, actor->epoch);
    else if (other || welcome.moved)
        start_anew (actor, other);
    else
        return;
    if (other)
        tell_welcomed (actor, !first);
    if (!first)
        yard_follows_resume (actor);
}

/*  hello_first without an id: one of our small letters reached a broker that does not know us. Anything else is about our hello, and a reason
 *  to start anew: taken clears up when the other one ends, gone wants a new instance. */
void yard_hello_refused (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    failure_t failure;
    yard_error_t error;
    yard_arena_reset (actor->scratch);
    if (yard_wire_unpack (failure_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          actor->scratch, &failure, &error)) {
        yard_mailbox_malformed (actor, error.text);
        return;
    }
    if (yard_error_code (failure.code.data, failure.code.size) == YARD_HELLO_FIRST) {
        yard_hello_again (actor);
        return;
    }
    yard_log_error ("hello.refused", "place=%s code=%.*s text=%s", actor->place, YARD_VIEW (failure.code),
                    YARD_QUOTED (yard_arena_text (actor->scratch, failure.text)));
    yard_actor_stop (actor, YARD_EXIT_BROKEN);
}

/*  Answered at once and past the queue: a pong says that the loop turns. One that the socket does not take is lost; the next ping comes. */
void yard_hello_pinged (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    (void) envelope;
    if (actor->link == YARD_LINK_WELCOMED)
        yard_timer_set (&actor->silence, SILENCE_MS);
    pong_t pong;
    yard_wire_init (pong_type (), &pong);
    pong.busy_us = actor->busy_us;
    pong.idle_us = actor->idle_us;
    pong.open_requests = yard_table_count (actor->requests);
    pong.open_asks = yard_table_count (actor->asks);
    pong.note = yard_string (actor->note);
    yard_buffer_t body;
    yard_buffer_init (&body, YARD_MESSAGE_MAX);
    if (yard_wire_pack (pong_type (), &pong, &body, NULL) == 0) {
        yard_envelope_t answer = { .letter = 'O', .body = yard_buffer_view (&body) };
        yard_outbox_send (actor, &answer);
    }
    yard_buffer_clear (&body);
}
