// SPDX-License-Identifier: Apache-2.0
/*  publish.c - numbers events, tells subscribers, and keeps them for followers
 *
 *  Promises: an ask's events are taken all or none; a change of a store that was taken once is dropped; `previous` names the last event
 *  of the same name, so that a subscriber of whole names sees what it lost. A yard_beat is told to subscribers alone: it has no number of
 *  its own, repeats the last one, and followers cannot lose events.
 *  Refuses: names with other bytes than a-z 0-9 _, the broker's own names, more names or stores than the limits.
 */
#include <stdlib.h>
#include "actors/ground/log.h"
#include "inside.h"

#define NAMES_MAX ((size_t) 256) /* beat.last has so many rows; ours has 40 names */
#define OWN_NAMES ((size_t) 2) /* of them kept free: actor_joined and actor_lost can always be told */
#define STORES_MAX ((size_t) 64) /* a yard has one; tests and moved stores bring more */
#define SUBJECT_MAX ((size_t) 128) /* stamp.subject */
#define TOPIC_MAX YARD_NAME_MAX
#define BEAT_MS ((int64_t) 1000)

/*  The last number of a name, or the last change of a store. */
struct broker_numbers_t {
    char name [64];
    uint64_t last;
};

static broker_numbers_t *numbers_of (yard_table_t *table, yard_string_t name)
{
    broker_numbers_t *numbers = yard_table_get (table, name.data, name.size);
    if (numbers)
        return numbers;
    numbers = calloc (1, sizeof *numbers);
    if (!numbers)
        abort ();
    memcpy (numbers->name, name.data, name.size);
    yard_table_put (table, name.data, name.size, numbers);
    return numbers;
}

static uint64_t last_of (const yard_table_t *table, yard_string_t name)
{
    const broker_numbers_t *numbers = yard_table_get (table, name.data, name.size);
    return numbers ? numbers->last : 0;
}

static double wall_seconds (const broker_router_t *self)
{
    return (double) yard_clock_wall_ms (self->options.clock) / 1000;
}

static yard_string_t write_topic (char *topic, yard_string_t name, yard_string_t subject)
{
    int size = subject.size
                   ? snprintf (topic, TOPIC_MAX + 1, "%.*s/%.*s/", YARD_VIEW (name), YARD_VIEW (subject))
                   : snprintf (topic, TOPIC_MAX + 1, "%.*s/", YARD_VIEW (name));
    return (yard_string_t){ topic, (size_t) size };
}

static void pack_stamp (broker_router_t *self, const stamp_t *stamp)
{
    yard_error_t error = { 0 };
    yard_buffer_reset (&self->stamp);
    if (yard_wire_pack (stamp_type (), stamp, &self->stamp, &error))
        yard_log_error ("broker.unpackable", "type=stamp text=%s", YARD_QUOTED (error.text));
}

static void tell_subscribers (broker_router_t *self, yard_string_t topic, yard_string_t stamp,
                              yard_string_t body)
{
    yard_string_t frames [] = { topic, stamp, body };
    self->options.publish (self->options.context, frames, 3);
}

/*  from and store are views; told.body goes out as it is. */
static void tell (broker_router_t *self, const told_t *told, yard_string_t from, yard_string_t store)
{
    broker_numbers_t *name = numbers_of (self->names, told->name);
    stamp_t stamp;
    yard_wire_init (stamp_type (), &stamp);
    stamp.epoch = yard_string (self->options.epoch);
    stamp.number = broker_event_log_last (self->log) + 1;
    stamp.previous = name->last;
    stamp.change = told->change;
    stamp.store = store;
    stamp.time = told->time;
    stamp.from = from;
    stamp.subject = told->subject;
    pack_stamp (self, &stamp);
    char topic [TOPIC_MAX + 1];
    broker_event_t event = {
        .number = stamp.number,
        .name = told->name,
        .subject = told->subject,
        .topic = write_topic (topic, told->name, told->subject),
        .body = told->body,
        .stamp = yard_buffer_view (&self->stamp),
    };
    name->last = stamp.number;
    broker_event_log_append (self->log, &event);
    tell_subscribers (self, event.topic, event.stamp, event.body);
    self->flush_ms = self->now_ms;
}

static int check_name (yard_string_t name, yard_error_t *error)
{
    static const yard_event_t *const own [] = { &yard_beat_event, &actor_joined_event, &actor_lost_event };
    for (size_t i = 0; i < sizeof own / sizeof own [0]; i++)
        if (yard_string_is (name, own [i]->name))
            return yard_error (error, YARD_FORBIDDEN, "%s is told by the broker alone: choose another name",
                               own [i]->name);
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data [i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '_')
            return yard_error (error, YARD_INVALID_MESSAGE, "events: a name has only a-z, 0-9 and _");
    }
    return 0;
}

/*  A name that is new and stands twice in the ask counts twice: too careful by a little, at the limit only. */
static int check_publish (const broker_router_t *self, const event_publish_ask_t *ask, yard_error_t *error)
{
    size_t names = yard_table_count (self->names);
    for (size_t i = 0; i < ask->events.count; i++) {
        const told_t *told = &ask->events.items [i];
        int rc = check_name (told->name, error);
        if (rc)
            return rc;
        names += !yard_table_get (self->names, told->name.data, told->name.size);
    }
    if (names > NAMES_MAX - OWN_NAMES && names > yard_table_count (self->names))
        return yard_error (error, YARD_TOO_LARGE,
                           "the yard has %zu event names, the limit is %zu: use fewer names",
                           yard_table_count (self->names), NAMES_MAX - OWN_NAMES);
    if (!yard_table_get (self->stores, ask->store.data, ask->store.size) &&
        yard_table_count (self->stores) == STORES_MAX)
        return yard_error (error, YARD_TOO_LARGE,
                           "%zu stores have told events, the limit: restart the broker", STORES_MAX);
    return 0;
}

int broker_publish (broker_router_t *self, broker_peer_t *peer, const event_publish_ask_t *ask,
                    event_publish_answer_t *ret_answer, yard_error_t *error)
{
    int rc = check_publish (self, ask, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < ask->events.count; i++) {
        const told_t *told = &ask->events.items [i];
        if (told->change) {
            broker_numbers_t *store = numbers_of (self->stores, ask->store);
            if (told->change <= store->last)
                continue;
            store->last = told->change;
        }
        tell (self, told, yard_string (peer->place), ask->store);
    }
    ret_answer->number = broker_event_log_last (self->log);
    ret_answer->change = last_of (self->stores, ask->store);
    return 0;
}

/*  A place may be longer than a subject: cut, at the beginning of a character. */
static yard_string_t subject_of (const char *place)
{
    yard_string_t subject = yard_string (place);
    if (subject.size <= SUBJECT_MAX)
        return subject;
    subject.size = SUBJECT_MAX;
    while (subject.size && ((unsigned char) place [subject.size] & 0xc0) == 0x80)
        subject.size--;
    return subject;
}

void broker_publish_actor (broker_router_t *self, const yard_event_t *event, const broker_peer_t *peer,
                           const char *reason)
{
    actor_told_t actor;
    yard_wire_init (actor_told_type (), &actor);
    actor.actor = yard_string (peer->actor);
    actor.place = yard_string (peer->place);
    actor.instance = yard_string (peer->instance);
    actor.node = yard_string (peer->node);
    actor.reason = yard_string (reason);
    told_t told;
    yard_wire_init (told_type (), &told);
    told.name = yard_string (event->name);
    told.subject = subject_of (peer->place);
    told.body = broker_pack (self, event->body (), &actor);
    told.time = wall_seconds (self);
    tell (self, &told, yard_string ("broker"), yard_string (""));
}

static void publish_beat (broker_router_t *self)
{
    beat_t beat;
    yard_wire_init (beat_type (), &beat);
    beat.epoch = yard_string (self->options.epoch);
    beat.number = broker_event_log_last (self->log);
    beat.last.items = yard_arena_alloc (self->arena, NAMES_MAX * sizeof beat.last.items [0]);
    void *value;
    for (size_t at = 0; beat.last.items && yard_table_next (self->names, &at, &value);) {
        const broker_numbers_t *name = value;
        beat.last.items [beat.last.count++] = (beat_number_t){ yard_string (name->name), name->last };
    }
    stamp_t stamp;
    yard_wire_init (stamp_type (), &stamp);
    stamp.epoch = beat.epoch;
    stamp.number = stamp.previous = beat.number;
    stamp.time = wall_seconds (self);
    stamp.from = yard_string ("broker");
    pack_stamp (self, &stamp);
    char topic [TOPIC_MAX + 1];
    tell_subscribers (self, write_topic (topic, yard_string (yard_beat_event.name), yard_string ("")),
                      yard_buffer_view (&self->stamp), broker_pack (self, beat_type (), &beat));
}

void broker_publish_tick (broker_router_t *self)
{
    if (self->now_ms < self->next_beat_ms)
        return;
    self->next_beat_ms = self->now_ms + BEAT_MS;
    publish_beat (self);
}

static void free_numbers (yard_table_t **table_p)
{
    void *numbers;
    for (size_t at = 0; *table_p && yard_table_next (*table_p, &at, &numbers);)
        free (numbers);
    yard_table_destroy (table_p);
}

void broker_publish_close (broker_router_t *self)
{
    free_numbers (&self->names);
    free_numbers (&self->stores);
}
