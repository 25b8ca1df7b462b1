// SPDX-License-Identifier: Apache-2.0
/*  follow.c - an ordered stream of events: a call that stays, and a queue no longer than the credit given
 */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>

#define CREDIT 256 /* event.follow's own default: at most so many events wait here */
#define EVENT_BYTES_MAX (64 * 1024 * 1024) /* structs of one event's body, as of any message */
#define EPOCH_SIZE 17

/*  An event as it came: topic, body and stamp behind each other. */
typedef struct waiting_event_t {
    struct waiting_event_t *next;
    yard_string_t topic, body, stamp;
    char bytes [];
} waiting_event_t;

struct yard_follow_stream_t {
    yard_client_t *client;
    yard_call_t *call; /* NULL: ended */
    waiting_event_t *first, **last_p;
    size_t waiting, taken; /* taken since credit was given last */
    uint64_t number;
    char epoch [EPOCH_SIZE];
    yard_arena_t *arena; /* of the event given last */
    bool stands;
    yard_error_t end; /* code 0: goes on */
};

static void on_stands (void *argument, const yard_call_result_t *result)
{
    yard_follow_stream_t *self = argument;
    const event_follow_answer_t *answer = result->answer;
    self->stands = true;
    self->number = answer->number;
    snprintf (self->epoch, sizeof self->epoch, "%.*s", YARD_VIEW (answer->epoch));
}

void client_stream_end (yard_follow_stream_t *self, int code, const char *text)
{
    self->call = NULL;
    yard_error (&self->end, code, "%s", text);
}

static yard_string_t keep (char **at, yard_string_t bytes)
{
    yard_string_t kept = { *at, bytes.size };
    if (bytes.size)
        memcpy (*at, bytes.data, bytes.size);
    *at += bytes.size;
    return kept;
}

void client_stream_event (yard_follow_stream_t *self, const yard_envelope_t *envelope)
{
    if (self->waiting >= CREDIT) { /* more than it may send: no order to be had from such a sender */
        yard_call_t *call = self->call;
        client_call_drop (&call);
        client_stream_end (self, YARD_BAD_FRAME, "the yard sent more events than it had credit for");
        return;
    }
    size_t size = envelope->name.size + envelope->body.size + envelope->meta.size;
    waiting_event_t *event = malloc (sizeof *event + size);
    if (!event)
        abort ();
    char *at = event->bytes;
    event->next = NULL;
    event->topic = keep (&at, envelope->name);
    event->body = keep (&at, envelope->body);
    event->stamp = keep (&at, envelope->meta);
    *self->last_p = event;
    self->last_p = &event->next;
    self->waiting++;
}

/*  topic = name/subject/ ; a subject may hold slashes (places do). */
int client_event_read (yard_string_t topic, yard_string_t body, yard_string_t stamp, yard_arena_t *arena,
                       yard_event_seen_t *ret, yard_error_t *error)
{
    const char *slash = topic.size ? memchr (topic.data, '/', topic.size) : NULL;
    stamp_t *stamped = yard_arena_alloc (arena, sizeof *stamped);
    if (!slash || !stamped)
        return yard_error (error, YARD_BAD_FRAME, "an event's topic must be name/subject/");
    yard_event_seen_t seen = { .name = { topic.data, (size_t) (slash - topic.data) }, .stamp = stamped };
    int rc =
        yard_wire_unpack (stamp_type (), stamp.data, stamp.size, YARD_WIRE_ANSWER, arena, stamped, error);
    if (rc)
        return rc;
    seen.subject = stamped->subject;
    seen.event = yard_event_find (seen.name);
    void *value = seen.event ? yard_arena_alloc (arena, seen.event->body ()->size) : NULL;
    if (value) {
        rc = yard_wire_unpack (seen.event->body (), body.data, body.size, YARD_WIRE_ANSWER, arena, value,
                               error);
        seen.body = value;
    }
    if (rc == 0)
        *ret = seen;
    return rc;
}

static yard_follow_stream_t *stream_new (yard_client_t *client)
{
    yard_follow_stream_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->client = client;
    self->last_p = &self->first;
    self->arena = yard_arena_new (EVENT_BYTES_MAX);
    return self;
}

int yard_client_follow (yard_client_t *client, const yard_follow_options_t *options,
                        yard_follow_stream_t **ret, yard_error_t *error)
{
    yard_text_t all [1] = { yard_string ("") }, prefixes [32];
    event_follow_ask_t ask;
    yard_wire_init (event_follow_ask_type (), &ask);
    for (size_t i = 0; i < options->prefix_count && i < 32; i++)
        prefixes [i] = yard_string (options->prefixes [i]);
    ask.prefixes.items = options->prefix_count ? prefixes : all;
    ask.prefixes.count = options->prefix_count ? options->prefix_count : 1;
    if (ask.prefixes.count > 32)
        return yard_error (error, YARD_TOO_LARGE, "at most 32 prefixes; one that is shorter covers several");
    ask.has_subject = options->subject != NULL;
    ask.subject = yard_string (options->subject);
    ask.has_epoch = ask.has_after = options->epoch != NULL;
    ask.epoch = yard_string (options->epoch);
    ask.after = options->after;
    ask.credit = CREDIT;
    yard_error_t cause = { .code = YARD_INTERNAL };
    yard_client_dispatch (client);
    yard_call_t *call = client_call_new (client, &event_follow_method, &ask, NULL, &cause);
    if (!call)
        return yard_error (error, cause.code, "%s", cause.text);
    yard_follow_stream_t *self = stream_new (client);
    self->call = call;
    call->stream = self;
    call->called = on_stands;
    call->argument = self;
    client_calls_flush (client);
    while (self->call && !self->stands)
        client_wait (client, -1);
    if (!self->call) {
        int rc = yard_error (error, self->end.code, "%s", self->end.text);
        yard_follow_stream_destroy (&self);
        return rc;
    }
    *ret = self;
    return 0;
}

uint64_t yard_follow_stream_number (const yard_follow_stream_t *self)
{
    return self->number;
}

const char *yard_follow_stream_epoch (const yard_follow_stream_t *self)
{
    return self->epoch;
}

static void give_credit (yard_follow_stream_t *self)
{
    credit_t credit;
    if (++self->taken < CREDIT / 2 || !self->call)
        return;
    yard_wire_init (credit_type (), &credit);
    credit.more = self->taken;
    if (client_say (self->client, 'C', self->call->number, credit_type (), &credit))
        self->taken = 0;
}

static int take (yard_follow_stream_t *self, yard_event_seen_t *ret, yard_error_t *error)
{
    waiting_event_t *event = self->first;
    self->first = event->next;
    if (!self->first)
        self->last_p = &self->first;
    self->waiting--;
    yard_arena_reset (self->arena);
    yard_string_t topic = yard_arena_copy (self->arena, event->topic),
                  body = yard_arena_copy (self->arena, event->body),
                  stamp = yard_arena_copy (self->arena, event->stamp);
    free (event);
    int rc = client_event_read (topic, body, stamp, self->arena, ret, error);
    if (rc == 0)
        self->number = ret->stamp->number;
    give_credit (self);
    return rc;
}

int yard_follow_stream_next (yard_follow_stream_t *self, int timeout_ms, yard_event_seen_t *ret,
                             yard_error_t *error)
{
    int64_t end = client_now_ms () + (timeout_ms > 0 ? timeout_ms : 0);
    if (!self->first && self->call)
        yard_client_dispatch (self->client);
    while (!self->first && self->call && (timeout_ms < 0 || client_now_ms () < end))
        client_wait (self->client, timeout_ms < 0 ? -1 : client_left_ms (end));
    if (self->first)
        return take (self, ret, error);
    if (!self->call)
        return yard_error (error, self->end.code, "%s", self->end.text);
    return yard_error (error, YARD_TIMEOUT, "no event came in %d ms", timeout_ms);
}

void yard_follow_stream_destroy (yard_follow_stream_t **self_p)
{
    assert (self_p);
    yard_follow_stream_t *self = *self_p;
    if (!self)
        return;
    if (self->call)
        yard_call_withdraw (&self->call);
    while (self->first) {
        waiting_event_t *event = self->first;
        self->first = event->next;
        free (event);
    }
    yard_arena_destroy (&self->arena);
    free (self);
    *self_p = NULL;
}
