// SPDX-License-Identifier: Apache-2.0
/*  actor_world.h - an actor alone with its test: a bus in memory, a clock that stands still, and the test as
 *  its broker
 *
 *  A test makes a world with its class, says what the broker says, turns the actor and looks at the frames
 *  that come. Time passes only by world_pass.
 */
#ifndef YARD_TESTS_ACTOR_WORLD_H
#define YARD_TESTS_ACTOR_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include "actors/runtime/actor_inside.h"

#define EPOCH_ONE "1111111111111111"
#define EPOCH_TWO "2222222222222222"
#define MALFORMED_ID "12345678" /* as long as a broker's number */

typedef struct {
    char directory [32];
    yard_bus_t *bus;
    yard_socket_t *router;
    int64_t now_ns;
    yard_clock_t clock;
    yard_random_t random;
    yard_paths_t paths;
    yard_configuration_t *configuration;
    yard_actor_t *actor;
    yard_arena_t *arena; /* of what came */
    yard_message_t message;
    char peer [16]; /* the actor's routing id, as last seen */
    size_t peer_size;
    int exit_code;
    bool ended;
    bool asker_said_hello; /* who asks in world_ask */
} world_t;

static inline int64_t world_monotonic (void *context)
{
    return ((world_t *) context)->now_ns;
}

static inline int64_t world_wall (void *context)
{
    return 1800000000000 + ((world_t *) context)->now_ns / 1000000;
}

static inline world_t *world_new (const yard_actor_class_t *class, bool offload_inline)
{
    world_t *self = calloc (1, sizeof *self);
    snprintf (self->directory, sizeof self->directory, "/tmp/yard-actor-XXXXXX");
    assert_non_null (mkdtemp (self->directory));
    snprintf (self->paths.home, sizeof self->paths.home, "%s", self->directory);
    snprintf (self->paths.run, sizeof self->paths.run, "%s", self->directory);
    static const char *const settings [] = { "bus.command=command", "bus.event=event", "node=box7" };
    yard_error_t error = { 0 };
    if (yard_configuration_read (&self->paths, settings, 3, &self->configuration, &error))
        fail_msg ("%s", error.text);
    self->now_ns = 1000000000;
    self->clock = (yard_clock_t){ world_monotonic, world_wall, self };
    yard_random_seed (&self->random, 7);
    self->arena = yard_arena_new (64 << 20);
    yard_message_init (&self->message);
    self->bus = yard_bus_memory_new ();
    assert_int_equal (yard_bus_open (self->bus, YARD_SOCKET_ROUTER, "command", &self->router, &error), 0);
    yard_actor_options_t options = { .bus = self->bus,
                                     .clock = &self->clock,
                                     .random = &self->random,
                                     .configuration = self->configuration,
                                     .paths = &self->paths,
                                     .prepared = self,
                                     .offload_inline = offload_inline };
    if (yard_actor_new (class, &options, &self->actor, &error))
        fail_msg ("%s", error.text);
    return self;
}

static inline void world_destroy (world_t **self_p)
{
    world_t *self = *self_p;
    yard_actor_destroy (&self->actor);
    yard_bus_destroy (&self->bus);
    yard_configuration_destroy (&self->configuration);
    yard_arena_destroy (&self->arena);
    yard_message_clear (&self->message);
    rmdir (self->directory);
    free (self);
    *self_p = NULL;
}

static inline void world_turn (world_t *self)
{
    self->ended = !yard_actor_turn (self->actor, 0, &self->exit_code);
}

static inline void world_pass (world_t *self, int64_t ms)
{
    self->now_ns += ms * 1000000;
    world_turn (self);
}

/*  --- what the actor said */
static inline bool world_hear (world_t *self, yard_envelope_t *ret)
{
    if (!yard_socket_receive (self->router, &self->message))
        return false;
    yard_string_t peer = self->message.frames [0];
    memcpy (self->peer, peer.data, peer.size);
    self->peer_size = peer.size;
    yard_error_t error = { 0 };
    if (yard_envelope_parse (self->message.frames + 1, self->message.count - 1, ret, &error))
        fail_msg ("%s", error.text);
    return true;
}

static inline void world_expect (world_t *self, char letter, yard_envelope_t *ret)
{
    if (!world_hear (self, ret))
        fail_msg ("no %c came", letter);
    if (ret->letter != letter)
        fail_msg ("%c came instead of %c", ret->letter, letter);
}

static inline void world_expect_nothing (world_t *self)
{
    yard_envelope_t envelope;
    if (world_hear (self, &envelope))
        fail_msg ("%c came: %.*s", envelope.letter, YARD_VIEW (envelope.name));
}

/*  A body or meta as its record, in the world's arena. */
static inline const void *world_read (world_t *self, const yard_wire_type_t *type, yard_string_t packed)
{
    yard_string_t copy = yard_arena_copy (self->arena, packed);
    void *value = yard_arena_alloc (self->arena, type->size);
    yard_error_t error = { 0 };
    if (yard_wire_unpack (type, copy.data, copy.size, YARD_WIRE_ANSWER, self->arena, value, &error))
        fail_msg ("%s", error.text);
    return value;
}

static inline void world_expect_failure (world_t *self, const char *id, const char *code)
{
    yard_envelope_t envelope;
    world_expect (self, 'F', &envelope);
    assert_true (yard_string_is (envelope.id, id));
    const failure_t *failure = world_read (self, failure_type (), envelope.body);
    if (!yard_string_is (failure->code, code))
        fail_msg ("%.*s (%.*s) instead of %s", YARD_VIEW (failure->code), YARD_VIEW (failure->text), code);
}

/*  --- what the broker says */
static inline yard_string_t world_pack (world_t *self, const yard_wire_type_t *type, const void *value)
{
    if (!type)
        return (yard_string_t){ NULL, 0 };
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, YARD_MESSAGE_MAX);
    yard_error_t error = { 0 };
    if (yard_wire_pack (type, value, &buffer, &error))
        fail_msg ("%s", error.text);
    yard_string_t packed = yard_arena_copy (self->arena, yard_buffer_view (&buffer));
    yard_buffer_clear (&buffer);
    return packed;
}

static inline void world_send (world_t *self, const yard_envelope_t *envelope)
{
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX + 1];
    frames [0] = (yard_string_t){ self->peer, self->peer_size };
    size_t count = yard_envelope_frames (envelope, head, frames + 1);
    assert_int_equal (yard_socket_send (self->router, frames, count + 1), 0);
}

static inline void world_say (world_t *self, char letter, yard_string_t id, yard_string_t name,
                              const yard_wire_type_t *type, const void *value)
{
    world_send (self, &(yard_envelope_t){
                          .letter = letter, .id = id, .name = name, .body = world_pack (self, type, value) });
}

static inline void world_fail (world_t *self, yard_string_t id, const char *code)
{
    failure_t failure = { .code = yard_string (code), .text = yard_string ("said the broker") };
    world_say (self, 'F', id, yard_string (""), failure_type (), &failure);
}

/*  Hello is heard, the welcome said and taken. */
static inline void world_welcome (world_t *self, const char *epoch)
{
    yard_envelope_t envelope;
    world_turn (self);
    world_expect (self, 'H', &envelope);
    welcome_t welcome = { .epoch = yard_string (epoch), .protocol = 1, .ping_ms = 500 };
    world_say (self, 'W', (yard_string_t){ 0 }, (yard_string_t){ 0 }, welcome_type (), &welcome);
    world_turn (self);
}

/*  The broker knows the actor from a connection that ended; all that was open on it has ended too. */
static inline void world_move (world_t *self, const char *epoch)
{
    yard_envelope_t envelope;
    self->now_ns += 2000 * 1000000LL;
    world_turn (self);
    world_expect (self, 'H', &envelope);
    welcome_t welcome = { .epoch = yard_string (epoch), .protocol = 1, .ping_ms = 500, .moved = true };
    world_say (self, 'W', (yard_string_t){ 0 }, (yard_string_t){ 0 }, welcome_type (), &welcome);
    world_turn (self);
}

/*  The broker dies and comes again as another. */
static inline void world_new_broker (world_t *self, const char *epoch)
{
    yard_error_t error;
    yard_socket_close (&self->router);
    assert_int_equal (yard_bus_open (self->bus, YARD_SOCKET_ROUTER, "command", &self->router, &error), 0);
    self->now_ns += 2000 * 1000000LL;
    world_welcome (self, epoch);
}

/*  An ask of a client, as the broker hands it on. deadline_ms < 0: none in meta. */
static inline void world_ask (world_t *self, const char *id, const char *name, const yard_wire_type_t *type,
                              const void *value, const char *client, int64_t deadline_ms)
{
    role_t role = role_admin;
    from_t from;
    yard_wire_init (from_type (), &from);
    from.client = yard_string (client);
    from.user = yard_string ("local");
    from.hello = self->asker_said_hello;
    from.roles.items = &role;
    from.roles.count = 1;
    meta_t meta;
    yard_wire_init (meta_type (), &meta);
    meta.has_deadline_ms = true;
    meta.deadline_ms = deadline_ms;
    yard_envelope_t envelope = { .letter = 'A',
                                 .id = yard_string (id),
                                 .name = yard_string (name),
                                 .body = world_pack (self, type, value),
                                 .from = world_pack (self, from_type (), &from) };
    if (deadline_ms >= 0)
        envelope.meta = world_pack (self, meta_type (), &meta);
    world_send (self, &envelope);
}

static inline void world_ping (world_t *self)
{
    world_send (self, &(yard_envelope_t){ .letter = 'P', .body = { "\x80", 1 } });
}

#endif
