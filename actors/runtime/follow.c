// SPDX-License-Identifier: Apache-2.0
/*  follow.c - events in order, across the broker's ends
 *
 *  A stream's id is the number of the ask that began it. Within an epoch it is gap-free by contract, so all that is checked is that the numbers rise.
 *  In a new epoch: first event.history behind the last change we saw, page by page; then the new stream from its beginning, of which
 *  the changes that are known by then are dropped. In this order nothing falls between the two: an event that is not in the
 *  history when we read it is told in this epoch.
 *
 *  Whoever saw no change yet has no place to go on from: it is told that events are lost.
 */
#include "actor_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CREDIT 256 /* events under way (event.def's default) */
#define CREDIT_AGAIN \
    (CREDIT / 2) /* given back when so many were heard, so that the stream never stands still for us */
#define HISTORY_PAGE 256
#define RETRY_MS 1000 /* between tries while the recorder or the broker is not there */
#define PREFIXES_MAX 32 /* event.def */
#define STORE_SIZE 32 /* event.def */

struct yard_follow_t {
    yard_follow_t *next;
    yard_actor_t *actor;
    yard_text_t *prefixes; /* copies */
    size_t prefix_count;
    char *subject; /* or NULL */
    yard_heard_fn *heard;
    yard_lost_fn *lost;
    void *argument;

    uint64_t stream; /* number of the event.follow ask; 0 = none now */
    uint64_t history; /* number of the open event.history ask; 0 = none */
    bool live; /* the stream was answered */
    bool waits; /* for its turn in yard_follows_resume */
    char epoch [YARD_EPOCH_SIZE + 1]; /* of number; "" = never answered, or start from now */
    uint64_t number; /* of the last event */
    uint64_t change; /* the last one of store */
    char store [STORE_SIZE + 1];
    uint64_t heard_since_credit;
    yard_timer_t retry;
    bool *freed; /* set when the follow is freed while one of its handlers runs */
};

static void ask_stream (yard_follow_t *self);

/*  --- telling the handler */
/*  The last thing its caller does: the handler may end the follow. It is called when the new stream has
 *  been asked for, so that what it pages is asked behind it, and nothing falls between. */
static void tell_lost (yard_follow_t *self)
{
    if (!self->lost)
        return;
    yard_actor_t *actor = self->actor;
    yard_handling_begin (actor, "lost", "-");
    self->lost (actor->self, self->argument);
    yard_handling_end (actor);
}

/*  A body that cannot be read is of a later version: the handler is told the name, and may ask. false when
 *  it ended the follow. */
static bool tell (yard_follow_t *self, yard_string_t name, yard_string_t body, const stamp_t *stamp)
{
    yard_actor_t *actor = self->actor;
    const yard_event_t *event = yard_event_find (name);
    yard_heard_t heard = { .name = name, .subject = stamp->subject, .stamp = stamp };
    yard_error_t error;
    if (event) {
        void *value = yard_arena_alloc (actor->event_scratch, event->body ()->size);
        if (value && yard_wire_unpack (event->body (), body.data, body.size, YARD_WIRE_ANSWER,
                                       actor->event_scratch, value, &error) == 0) {
            heard.event = event;
            heard.body = value;
        }
    }
    bool freed = false;
    self->freed = &freed;
    yard_handling_begin (actor, "heard", event ? event->name : "-");
    self->heard (actor->self, self->argument, &heard);
    yard_handling_end (actor);
    if (!freed)
        self->freed = NULL;
    return !freed;
}

/*  Takes note of a change; false if it is known. Another store's numbers say nothing about ours. */
static bool is_new (yard_follow_t *self, uint64_t change, yard_string_t store)
{
    if (change == 0)
        return true;
    if (!yard_string_is (store, self->store)) {
        snprintf (self->store, sizeof self->store, "%.*s", YARD_VIEW (store));
        self->change = 0;
    }
    if (change <= self->change)
        return false;
    self->change = change;
    return true;
}

/*  --- the stream */
static void start_from_now (yard_follow_t *self)
{
    self->epoch [0] = 0;
    ask_stream (self);
    tell_lost (self);
}

static void stream_ended (yard_follow_t *self, int code)
{
    self->stream = 0;
    self->live = false;
    if (code == YARD_TOO_OLD)
        start_from_now (self);
    else
        yard_timer_set (&self->retry, RETRY_MS);
}

static void stream_answered (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    yard_follow_t *self = argument;
    if (outcome->code) {
        stream_ended (self, outcome->code);
        return;
    }
    const event_follow_answer_t *answer = outcome->answer;
    snprintf (self->epoch, sizeof self->epoch, "%.*s", YARD_VIEW (answer->epoch));
    self->number = answer->number;
    self->heard_since_credit = 0;
    self->live = true;
}

static void ask_stream (yard_follow_t *self)
{
    event_follow_ask_t ask;
    yard_wire_init (event_follow_ask_type (), &ask);
    ask.prefixes.items = self->prefixes;
    ask.prefixes.count = self->prefix_count;
    ask.has_subject = self->subject != NULL;
    ask.subject = yard_string (self->subject);
    ask.has_after = ask.has_epoch = self->epoch [0] != 0;
    ask.after = self->number;
    ask.epoch = yard_string (self->epoch);
    ask.credit = CREDIT;
    self->live = false;
    yard_ask (self->actor, &event_follow_method, &ask, NULL, stream_answered, self);
    self->stream =
        self->actor->last_asked; /* also of one that cannot be packed: its handler is still to come */
}

/*  --- the history */
static void ask_history (yard_follow_t *self);

/*  The epoch's stream from its beginning. */
static void stream_from_start (yard_follow_t *self)
{
    snprintf (self->epoch, sizeof self->epoch, "%s", self->actor->epoch);
    self->number = 0;
    ask_stream (self);
}

static bool tell_page (yard_follow_t *self, const event_history_answer_t *page)
{
    for (size_t i = 0; i < page->events.count; i++) {
        const told_t *told = &page->events.items [i];
        if (self->subject && !yard_string_is (told->subject, self->subject))
            continue;
        if (!is_new (self, told->change, page->store))
            continue;
        stamp_t stamp;
        yard_wire_init (stamp_type (), &stamp);
        stamp.epoch = yard_string (self->actor->epoch);
        stamp.change = told->change;
        stamp.store = page->store;
        stamp.time = told->time;
        stamp.subject = told->subject;
        yard_arena_reset (self->actor->event_scratch);
        if (!tell (self, told->name, told->body, &stamp))
            return false;
    }
    return true;
}

static void history_answered (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    yard_follow_t *self = argument;
    self->history = 0;
    if (outcome->code == YARD_TOO_OLD) {
        start_from_now (self);
        return;
    }
    if (outcome->code) {
        yard_timer_set (&self->retry, RETRY_MS);
        return;
    }
    const event_history_answer_t *page = outcome->answer;
    if (!yard_string_is (page->store, self->store)) {
        self->change = 0; /* another store: its past is not the one we know */
        start_from_now (self);
        return;
    }
    bool more = page->more;
    uint64_t last = page->last, before = self->change;
    if (!tell_page (self, page))
        return;
    if (last > self->change)
        self->change = last;
    if (more && self->change > before) /* a page that leads nowhere would be asked for ever */
        ask_history (self);
    else
        stream_from_start (self);
}

static void ask_history (yard_follow_t *self)
{
    event_history_ask_t ask;
    yard_wire_init (event_history_ask_type (), &ask);
    ask.after = self->change;
    ask.prefixes.items = self->prefixes;
    ask.prefixes.count = self->prefix_count;
    ask.limit = HISTORY_PAGE;
    yard_ask (self->actor, &event_history_method, &ask, NULL, history_answered, self);
    self->history = self->actor->last_asked; /* as in ask_stream */
}

/*  From wherever it stands: from now, behind the last number, or over the history. A stream from now that
 *  was asked for before did not come about: what was told since then is not known. */
static void resume (yard_follow_t *self)
{
    yard_timer_set (&self->retry, -1);
    bool same = strcmp (self->epoch, self->actor->epoch) == 0, lost = !self->epoch [0];
    if (lost || same)
        ask_stream (self);
    else if (self->change > 0)
        ask_history (self);
    else {
        stream_from_start (self);
        lost = true;
    }
    if (lost)
        tell_lost (self);
}

static void retry (void *actor_self, void *argument)
{
    (void) actor_self;
    resume (argument);
}

/*  All begin anew, in a new epoch or on a new connection: what they had asked is lost, or names numbers of
 *  the old one. The handlers called here may end any follow, so each step looks from the front for one
 *  that still waits. */
void yard_follows_resume (yard_actor_t *actor)
{
    for (yard_follow_t *follow = actor->follows; follow; follow = follow->next) {
        yard_ask_drop (actor, follow->stream);
        yard_ask_drop (actor, follow->history);
        follow->stream = follow->history = 0;
        follow->live = false;
        follow->waits = true;
    }
    for (yard_follow_t *follow = actor->follows; follow;) {
        if (!follow->waits) {
            follow = follow->next;
            continue;
        }
        follow->waits = false;
        resume (follow);
        follow = actor->follows;
    }
}

/*  --- frames */
static yard_follow_t *find (yard_actor_t *actor, yard_string_t id)
{
    uint64_t stream = yard_ask_number (id);
    for (yard_follow_t *follow = actor->follows; stream && follow; follow = follow->next)
        if (follow->stream == stream && follow->live)
            return follow;
    return NULL;
}

static void give_credit (yard_follow_t *self)
{
    if (++self->heard_since_credit < CREDIT_AGAIN)
        return;
    credit_t credit;
    yard_wire_init (credit_type (), &credit);
    credit.more = self->heard_since_credit;
    self->heard_since_credit = 0;
    char id [YARD_ASK_ID_SIZE];
    yard_ask_id (self->stream, id);
    yard_say_record (self->actor, 'C', (yard_string_t){ id, sizeof id }, credit_type (), &credit);
}

/*  One of a follow that has ended is no error: it crossed with our B. */
void yard_follow_heard (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    yard_follow_t *self = find (actor, envelope->id);
    if (!self)
        return;
    stamp_t stamp;
    yard_error_t error;
    yard_arena_reset (actor->event_scratch);
    if (yard_wire_unpack (stamp_type (), envelope->meta.data, envelope->meta.size, YARD_WIRE_ANSWER,
                          actor->event_scratch, &stamp, &error)) {
        yard_mailbox_malformed (actor, error.text);
        return;
    }
    if (stamp.number <= self->number) {
        yard_mailbox_malformed (actor, "an event that is not newer than the one before it");
        return;
    }
    self->number = stamp.number;
    give_credit (self);
    yard_string_t name = envelope->name;
    const char *slash = memchr (name.data, '/', name.size);
    if (slash)
        name.size = (size_t) (slash - name.data);
    if (is_new (self, stamp.change, stamp.store))
        tell (self, name, envelope->body, &stamp);
}

bool yard_follow_ended (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    yard_follow_t *self = find (actor, envelope->id);
    if (!self)
        return false;
    failure_t failure;
    yard_error_t error;
    yard_arena_reset (actor->scratch);
    int code = YARD_INTERNAL;
    if (yard_wire_unpack (failure_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          actor->scratch, &failure, &error) == 0)
        code = yard_error_code (failure.code.data, failure.code.size);
    if (code == YARD_HELLO_FIRST)
        yard_hello_again (actor);
    else
        stream_ended (self, code);
    return true;
}

/*  --- begin and end */
yard_follow_t *yard_follow (yard_actor_t *actor, const char *const *prefixes, size_t count,
                            const char *subject, yard_heard_fn *heard, yard_lost_fn *lost, void *argument)
{
    assert (count > 0 && count <= PREFIXES_MAX);
    yard_follow_t *self = yard_zeroed (sizeof *self);
    self->actor = actor;
    self->heard = heard;
    self->lost = lost;
    self->argument = argument;
    self->prefixes = yard_zeroed (count * sizeof *self->prefixes);
    self->prefix_count = count;
    for (size_t i = 0; i < count; i++) {
        char *copy = strdup (prefixes [i]);
        if (!copy)
            abort ();
        self->prefixes [i] = yard_string (copy);
    }
    if (subject && !(self->subject = strdup (subject)))
        abort ();
    yard_timer_init (&self->retry, actor, retry, self);
    self->next = actor->follows;
    actor->follows = self;
    ask_stream (self);
    return self;
}

void yard_unfollow (yard_follow_t **self_p)
{
    yard_follow_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    /* The analyser does not see that it is on the list, and so taken off. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    yard_actor_t *actor = self->actor;
    yard_follow_t **at_p = &actor->follows;
    while (*at_p != self)
        at_p = &(*at_p)->next;
    *at_p = self->next;
    if (self->freed)
        *self->freed = true;
    if (self->live) {
        char id [YARD_ASK_ID_SIZE];
        yard_ask_id (self->stream, id);
        bye_t bye;
        yard_wire_init (bye_type (), &bye);
        yard_say_record (actor, 'B', (yard_string_t){ id, sizeof id }, bye_type (), &bye);
    }
    yard_ask_drop (actor, self->stream);
    yard_ask_drop (actor, self->history);
    yard_timer_set (&self->retry, -1);
    for (size_t i = 0; i < self->prefix_count; i++)
        free ((char *) self->prefixes [i].data);
    free (self->prefixes);
    free (self->subject);
    free (self);
}

void yard_follows_free (yard_actor_t *actor)
{
    for (yard_follow_t *follow; (follow = actor->follows);)
        yard_unfollow (&follow);
}
