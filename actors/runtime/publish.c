// SPDX-License-Identifier: Apache-2.0
/*  publish.c - events of actors without a store: collected in the turn, told after its settle
 *
 *  One event.publish ask for as many as fit. What is not answered is lost with its broker: such events have no change number, and nobody
 *  could tell a repetition from the first.
 */
#include "actor_inside.h"

#include <assert.h>
#include <stdlib.h>

#define TURN_EVENTS_MAX 4096 /* of one turn; a handler that tells more is broken, and says so in the log */
#define BATCH_EVENTS_MAX 256 /* of one ask (event.def) */
#define BATCH_BYTES_MAX (512 * 1024) /* of one ask: half a message, so that names and numbers fit beside */
#define PUBLISHED_BYTES_MAX (16 * 1024 * 1024)

void yard_publish (yard_actor_t *self, const yard_event_t *event, const char *subject, const void *body)
{
    yard_buffer_t packed;
    yard_error_t error = { 0 };
    yard_buffer_init (&packed, YARD_MESSAGE_MAX / 2);
    if (!self->published_arena)
        self->published_arena = yard_arena_new (PUBLISHED_BYTES_MAX);
    int code = yard_wire_pack (event->body (), body, &packed, &error);
    yard_string_t kept = { NULL, 0 }, about = { NULL, 0 };
    if (code == 0 && self->published_count < TURN_EVENTS_MAX) {
        kept = yard_arena_copy (self->published_arena, yard_buffer_view (&packed));
        about = yard_arena_copy (self->published_arena, yard_string (subject));
    }
    yard_buffer_clear (&packed);
    if (!kept.data || !about.data) {
        yard_log_warning ("event.dropped", "name=%s text=%s", event->name,
                          YARD_QUOTED (code ? error.text : "too many events in one turn"));
        return;
    }
    if (self->published_count == self->published_capacity) {
        self->published_capacity = self->published_capacity ? self->published_capacity * 2 : 16;
        self->published = realloc (self->published, self->published_capacity * sizeof *self->published);
        if (!self->published)
            abort ();
    }
    self->published [self->published_count++] = (told_t){
        .name = yard_string (event->name),
        .subject = about,
        .body = kept,
        .time = (double) yard_wall_ms (self) / 1000,
    };
    self->dirty = true;
}

static void published (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) self;
    (void) argument;
    if (outcome->code)
        yard_log_debug ("event.lost", "text=%s", YARD_QUOTED (outcome->text));
}

void yard_published_leave (yard_actor_t *actor)
{
    size_t first = 0, bytes = 0;
    for (size_t i = 0; i <= actor->published_count; i++) {
        bool end = i == actor->published_count;
        if (i > first && (end || i - first == BATCH_EVENTS_MAX ||
                          bytes + actor->published [i].body.size > BATCH_BYTES_MAX)) {
            event_publish_ask_t ask;
            yard_wire_init (event_publish_ask_type (), &ask);
            ask.events.items = &actor->published [first];
            ask.events.count = i - first;
            yard_ask (actor, &event_publish_method, &ask, NULL, published, NULL);
            first = i;
            bytes = 0;
        }
        if (!end)
            bytes += actor->published [i].body.size;
    }
    yard_published_forget (actor);
}

void yard_published_forget (yard_actor_t *actor)
{
    actor->published_count = 0;
    if (actor->published_arena)
        yard_arena_reset (actor->published_arena);
}
