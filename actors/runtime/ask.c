// SPDX-License-Identifier: Apache-2.0
/*  ask.c - what we want from others: each ask's handler runs exactly once
 *
 *  The life of an ask: held (until settle) -> leaving (until the socket takes it, and the broker knows us) ->
 *  sent -> its handler. It ends by the answer, a failure, its deadline, a withdrawal, another epoch or the
 *  actor's end; those that may come while a handler runs wait in `asks_ended` for the next turn.
 *
 *  An ask that was never sent ends unreachable at its deadline, not timeout: it was certainly not done. An
 *  ask that the broker refused with hello_first is sent once more after the welcome, for the same reason; so
 *  its packed body is kept.
 */
#include "actor_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "actors/ground/fault.h"

#define DEADLINE_MS_MAX 86400000 /* of meta.deadline_ms (bus.def): a day */

typedef enum {
    HELD,
    LEAVING,
    SENT,
    ENDED
} state_t;

struct yard_open_ask_t {
    yard_open_ask_t *next, *previous; /* in the list of its state; a sent one is in none */
    yard_actor_t *actor;
    state_t state;
    bool resent;
    uint64_t number;
    const yard_method_t *method;
    char name [YARD_NAME_MAX + 1];
    yard_buffer_t body;
    char *once;
    uint64_t ttl_s;
    int64_t due_ms; /* INT64_MAX = none */
    yard_timer_t deadline;
    yard_answered_fn *answered;
    void *argument;
    yard_error_t end; /* of an ended one */
};

/*  --- lists
 *  --------------------------------------------------------------------------------------------------------------- */
static yard_ask_list_t *list_of (yard_open_ask_t *self)
{
    switch (self->state) {
    case HELD:
        return &self->actor->asks_held;
    case LEAVING:
        return &self->actor->asks_leaving;
    case ENDED:
        return &self->actor->asks_ended;
    default:
        return NULL;
    }
}

static void list_remove (yard_open_ask_t *self)
{
    yard_ask_list_t *list = list_of (self);
    if (!list)
        return;
    *(self->previous ? &self->previous->next : &list->first) = self->next;
    *(self->next ? &self->next->previous : &list->last) = self->previous;
    self->next = self->previous = NULL;
}

static void list_add (yard_open_ask_t *self, state_t state)
{
    self->state = state;
    yard_ask_list_t *list = list_of (self);
    if (!list)
        return;
    self->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = self;
    list->last = self;
}

static void move_to (yard_open_ask_t *self, state_t state)
{
    list_remove (self);
    list_add (self, state);
}

/*  --- the end of an ask */
static void ask_free (yard_open_ask_t *self)
{
    list_remove (self);
    yard_table_take_u64 (self->actor->asks, self->number);
    yard_timer_set (&self->deadline, -1);
    yard_buffer_clear (&self->body);
    free (self->once);
    free (self);
}

static void finish (yard_open_ask_t *self, const yard_outcome_t *outcome)
{
    yard_actor_t *actor = self->actor;
    yard_answered_fn *answered = self->answered;
    void *argument = self->argument;
    const char *id = self->method->id;
    ask_free (self);
    if (!answered)
        return;
    yard_handling_begin (actor, "answered", id);
    answered (actor->self, argument, outcome);
    yard_handling_end (actor);
}

/*  Its handler runs at the start of the next turn, or where the loop runs the ended ones itself. */
static void end_later (yard_open_ask_t *self, int code, const char *why)
{
    yard_error (&self->end, code, "%s", why);
    yard_timer_set (&self->deadline, -1);
    yard_table_take_u64 (self->actor->asks, self->number);
    move_to (self, ENDED);
}

/*  Those that are there now; what their handlers end in turn waits. */
void yard_asks_run_ended (yard_actor_t *actor)
{
    yard_open_ask_t *last = actor->asks_ended.last;
    for (yard_open_ask_t *ask; last && (ask = actor->asks_ended.first);) {
        if (ask == last)
            last = NULL;
        /* The analyser does not see that it takes itself off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        yard_error_t end = ask->end;
        finish (ask, &(yard_outcome_t){ .code = end.code, .text = end.text });
    }
}

void yard_asks_lost (yard_actor_t *actor, bool unsent_too, const char *why)
{
    void *value;
    for (size_t at = 0; yard_table_next (actor->asks, &at, &value);) {
        yard_open_ask_t *ask = value;
        if (ask->state == SENT || unsent_too)
            end_later (ask, YARD_GONE, why);
    }
    yard_asks_run_ended (actor);
}

void yard_asks_drop_all (yard_actor_t *actor)
{
    void *value;
    for (size_t at = 0; yard_table_next (actor->asks, &at, &value);)
        ask_free (value);
    while (actor->asks_ended.first)
        ask_free (actor->asks_ended.first); /* NOLINT(clang-analyzer-unix.Malloc): as above */
}

static void withdraw (yard_open_ask_t *self)
{
    char id [YARD_ASK_ID_SIZE];
    yard_ask_id (self->number, id);
    bye_t bye;
    yard_wire_init (bye_type (), &bye);
    if (self->state == SENT)
        yard_say_record (self->actor, 'B', (yard_string_t){ id, sizeof id }, bye_type (), &bye);
}

static void deadline_passed (void *self, void *argument)
{
    (void) self;
    yard_open_ask_t *ask = argument;
    char text [YARD_ERROR_TEXT_MAX];
    yard_outcome_t outcome = { .code = YARD_TIMEOUT, .text = text };
    if (ask->state == SENT)
        snprintf (text, sizeof text, "%s was not answered in time; the outcome is unknown", ask->name);
    else {
        outcome.code = YARD_UNREACHABLE;
        snprintf (text, sizeof text, "no broker took %s in time at %s; is the yard running?", ask->name,
                  yard_socket_endpoint (ask->actor->socket));
    }
    withdraw (ask);
    finish (ask, &outcome);
}

/*  --- asking
 *  -------------------------------------------------------------------------------------------------------------- */
void yard_ask_id (uint64_t asked, char *ret_id)
{
    ret_id [0] = 'a';
    for (int i = 0; i < 8; i++)
        ret_id [1 + i] = (char) (asked >> 8 * (7 - i));
}

uint64_t yard_ask_number (yard_string_t id)
{
    if (id.size != YARD_ASK_ID_SIZE || id.data [0] != 'a')
        return 0;
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | (unsigned char) id.data [1 + i];
    return number;
}

static int prepare (yard_open_ask_t *self, const void *value, const char *at, yard_error_t *error)
{
    char method [YARD_METHOD_NAME_MAX];
    yard_method_name (self->method, method);
    int size = snprintf (self->name, sizeof self->name, "%s%s%s", method, at ? "@" : "", at ? at : "");
    if (size >= (int) sizeof self->name)
        return yard_error (error, YARD_TOO_LARGE, "the place behind %s is longer than %d bytes", method,
                           YARD_NAME_MAX);
    if (yard_table_count (self->actor->asks) >= self->actor->configuration->bus.open_asks_max)
        return yard_error (error, YARD_BUSY,
                           "%llu asks are open already (bus.open_asks_max); wait for answers",
                           (unsigned long long) self->actor->configuration->bus.open_asks_max);
    return yard_wire_pack (self->method->ask (), value, &self->body, error);
}

uint64_t yard_ask (yard_actor_t *actor, const yard_method_t *method, const void *value,
                   const yard_ask_options_t *options, yard_answered_fn *answered, void *argument)
{
    static const yard_ask_options_t none = { 0 };
    options = options ? options : &none;
    yard_open_ask_t *self = yard_zeroed (sizeof *self);
    self->actor = actor;
    self->method = method;
    self->answered = answered;
    self->argument = argument;
    self->number = ++actor->last_asked;
    yard_timer_init (&self->deadline, actor, deadline_passed, self);
    yard_buffer_init (&self->body, YARD_MESSAGE_MAX);
    actor->dirty = true;
    int code = prepare (self, value, options->at, &self->end);
    if (code) {
        list_add (self, ENDED);
        return 0;
    }
    if (options->once && !(self->once = strdup (options->once)))
        abort ();
    self->ttl_s = options->ttl_s;
    int64_t deadline_ms = options->deadline_ms ? options->deadline_ms : method->deadline_ms;
    self->due_ms = deadline_ms ? actor->now_ms + deadline_ms : INT64_MAX;
    if (deadline_ms)
        yard_timer_set (&self->deadline, deadline_ms);
    yard_table_put_u64 (actor->asks, self->number, self);
    list_add (self, HELD);
    if (FAULT ("planted.publish_before_commit")) {
        yard_asks_settled (actor, 0, "");
        yard_outbox_flush (actor);
    }
    return self->number;
}

void yard_withdraw (yard_actor_t *actor, uint64_t asked)
{
    yard_open_ask_t *ask = yard_table_get_u64 (actor->asks, asked);
    if (!ask)
        return;
    withdraw (ask);
    end_later (ask, YARD_CANCELLED, "the ask was withdrawn");
    actor->dirty = true;
}

void yard_ask_drop (yard_actor_t *actor, uint64_t asked)
{
    yard_open_ask_t *ask = yard_table_get_u64 (actor->asks, asked);
    if (ask) {
        withdraw (ask);
        ask_free (ask);
        return;
    }
    /* One that has ended waits for its turn; it stays in its place, since the list may be being walked. */
    for (ask = actor->asks_ended.first; ask; ask = ask->next)
        if (ask->number == asked)
            ask->answered = NULL;
}

/*  --- leaving
 *  ------------------------------------------------------------------------------------------------------------- */
void yard_asks_settled (yard_actor_t *actor, int code, const char *why)
{
    for (yard_open_ask_t *ask; (ask = actor->asks_held.first);) {
        if (code)
            end_later (ask, code, why);
        else
            move_to (ask, LEAVING);
    }
}

/*  meta is made at the last moment: the time left and the epoch are those of the sending. */
static int send_one (yard_open_ask_t *self)
{
    yard_actor_t *actor = self->actor;
    meta_t meta;
    yard_wire_init (meta_type (), &meta);
    int64_t left_ms = self->due_ms - actor->now_ms;
    meta.has_deadline_ms = self->due_ms != INT64_MAX;
    meta.deadline_ms = left_ms < 0 ? 0 : left_ms > DEADLINE_MS_MAX ? DEADLINE_MS_MAX : left_ms;
    meta.has_once = self->once != NULL;
    meta.once = yard_string (self->once);
    meta.has_ttl_s = self->ttl_s != 0;
    meta.ttl_s = self->ttl_s;
    meta.has_epoch = true;
    meta.epoch = yard_string (actor->epoch);
    yard_buffer_t packed;
    yard_buffer_init (&packed, YARD_MESSAGE_MAX);
    int code = yard_wire_pack (meta_type (), &meta, &packed, &self->end);
    if (code == 0) {
        char id [YARD_ASK_ID_SIZE];
        yard_ask_id (self->number, id);
        yard_envelope_t envelope = { .letter = 'A',
                                     .id = { id, sizeof id },
                                     .name = yard_string (self->name),
                                     .body = yard_buffer_view (&self->body),
                                     .meta = yard_buffer_view (&packed) };
        code = yard_outbox_send (actor, &envelope);
    }
    yard_buffer_clear (&packed);
    return code;
}

int yard_asks_send (yard_actor_t *actor)
{
    for (yard_open_ask_t *ask; (ask = actor->asks_leaving.first);) {
        int code = send_one (ask);
        if (code == YARD_BUSY)
            return YARD_BUSY;
        if (code) /* a once key or ttl outside its bounds */
            end_later (ask, code, ask->end.text);
        else
            move_to (ask, SENT);
    }
    return 0;
}

/*  --- answers
 *  ------------------------------------------------------------------------------------------------------------- */
static yard_open_ask_t *sent_ask (yard_actor_t *actor, yard_string_t id)
{
    yard_open_ask_t *ask = yard_table_get_u64 (actor->asks, yard_ask_number (id));
    return ask && ask->state == SENT ? ask : NULL;
}

/*  An answer to nobody is not an error: it crossed with a withdrawal or a deadline. */
void yard_ask_answered (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    yard_open_ask_t *ask = sent_ask (actor, envelope->id);
    if (!ask)
        return;
    yard_arena_reset (actor->scratch);
    const yard_wire_type_t *type = ask->method->answer ();
    void *answer = yard_arena_alloc (actor->scratch, type->size);
    yard_error_t error = { 0 };
    int code = yard_wire_unpack (type, envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                                 actor->scratch, answer, &error);
    finish (ask, &(yard_outcome_t){ .code = code, .answer = code ? NULL : answer, .text = error.text });
}

void yard_ask_failed (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    failure_t failure;
    yard_error_t error;
    yard_arena_reset (actor->scratch);
    if (yard_wire_unpack (failure_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          actor->scratch, &failure, &error)) {
        yard_mailbox_malformed (actor, error.text);
        failure = (failure_t){ .code = yard_string ("internal"),
                               .text = yard_string ("the failure cannot be read") };
    }
    int code = yard_error_code (failure.code.data, failure.code.size);
    yard_open_ask_t *ask = sent_ask (actor, envelope->id);
    if (code == YARD_HELLO_FIRST)
        yard_hello_again (actor);
    if (!ask)
        return;
    if (code == YARD_HELLO_FIRST && !ask->resent) {
        ask->resent = true;
        move_to (ask, LEAVING);
        return;
    }
    finish (ask, &(yard_outcome_t){ .code = code,
                                    .text = yard_arena_text (actor->scratch, failure.text),
                                    .failure = &failure });
}
