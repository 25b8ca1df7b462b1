// SPDX-License-Identifier: Apache-2.0
/*  router_cases.h - a router with a fake clock, peers that are one character each, and a record of all that
 *  it sends
 *
 *  For the router's tests. Bodies that the router reads are written as JSON and packed; others are any bytes.
 */
#ifndef YARD_TESTS_ROUTER_CASES_H
#define YARD_TESTS_ROUTER_CASES_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "broker/router.h"
#include "proto/envelope.h"

#define SENT_MAX 8192
#define EPOCH "0123456789abcdef"

/*  One message that went out. to 0: it was published. */
typedef struct {
    char to;
    size_t count;
    yard_string_t frames [YARD_FRAMES_MAX];
    yard_envelope_t envelope; /* of those to peers */
} sent_t;

typedef struct {
    broker_router_t *router;
    yard_arena_t *arena; /* of all frames */
    int64_t now_ms;
    sent_t sent [SENT_MAX];
    size_t sent_count, read;
    int refuses [256]; /* what a send to this peer gives */
    bool distant, keep_pings;
    unsigned roles;
    configuration_t configuration;
    yard_clock_t clock;
} bench_t;

static inline yard_string_t copy (bench_t *self, yard_string_t view)
{
    yard_string_t result = yard_arena_copy (self->arena, view);
    assert_non_null (result.data);
    return result;
}

/*  Pings are recorded only where a case is about them. */
static inline int record_send (void *context, yard_string_t routing, const yard_string_t *frames,
                               size_t count)
{
    bench_t *self = context;
    assert_int_equal (routing.size, 1);
    int rc = self->refuses [(unsigned char) routing.data [0]];
    if (rc)
        return rc;
    assert_in_range (self->sent_count, 0, SENT_MAX - 1);
    sent_t *sent = &self->sent [self->sent_count];
    *sent = (sent_t){ .to = routing.data [0], .count = count };
    for (size_t i = 0; i < count; i++)
        sent->frames [i] = copy (self, frames [i]);
    assert_int_equal (yard_envelope_parse (sent->frames, count, &sent->envelope, NULL), 0);
    self->sent_count += sent->envelope.letter != 'P' || self->keep_pings;
    return 0;
}

static inline void record_publish (void *context, const yard_string_t *frames, size_t count)
{
    bench_t *self = context;
    assert_int_equal (count, 3);
    assert_in_range (self->sent_count, 0, SENT_MAX - 1);
    sent_t *sent = &self->sent [self->sent_count++];
    *sent = (sent_t){ .count = count };
    for (size_t i = 0; i < count; i++)
        sent->frames [i] = copy (self, frames [i]);
}

static inline int64_t fake_wall_ms (void *context)
{
    const bench_t *self = context;
    return 1700000000000 + self->now_ms;
}

static inline int bench_open (void **state)
{
    bench_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    self->arena = yard_arena_new ((size_t) 1 << 30);
    self->now_ms = 1000000;
    self->roles = YARD_ROLES_ANYONE;
    yard_wire_init (configuration_type (), &self->configuration);
    self->clock = (yard_clock_t){ .wall_ms = fake_wall_ms, .context = self };
    *state = self;
    return 0;
}

/*  Made at the first frame, so that a case may set the configuration. */
static inline void need_router (bench_t *self)
{
    broker_options_t options = {
        .epoch = EPOCH,
        .node = "box",
        .home = "/home",
        .event_endpoint = "ipc:///run/event.ipc",
        .version = "1",
        .zeromq = "4",
        .configuration = &self->configuration,
        .clock = &self->clock,
        .context = self,
        .send = record_send,
        .publish = record_publish,
    };
    if (!self->router)
        self->router = broker_router_new (&options);
}

static inline int bench_close (void **state)
{
    bench_t *self = *state;
    broker_router_destroy (&self->router);
    yard_arena_destroy (&self->arena);
    free (self);
    return 0;
}

/*  --- in
 *  ------------------------------------------------------------------------------------------------------------------ */
static inline void say_frames (bench_t *self, char peer, const yard_string_t *frames, size_t count)
{
    need_router (self);
    broker_origin_t origin = {
        .routing = { &peer, 1 }, .user = "local", .roles = self->roles, .distant = self->distant
    };
    broker_router_input (self->router, self->now_ms, &origin, frames, count);
}

/*  Texts up to a NULL, each a frame. */
static inline void say_texts (bench_t *self, int peer, ...)
{
    yard_string_t frames [YARD_FRAMES_MAX + 4];
    size_t count = 0;
    va_list texts;
    va_start (texts, peer);
    for (const char *text; (text = va_arg (texts, const char *)) != NULL;)
        frames [count++] = yard_string (text);
    va_end (texts);
    say_frames (self, (char) peer, frames, count);
}

static inline yard_string_t pack (bench_t *self, const yard_wire_type_t *type, const char *text)
{
    yard_error_t error = { 0 };
    void *value = yard_arena_alloc (self->arena, type->size);
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, YARD_MESSAGE_MAX);
    if (yard_wire_from_json (type, text, strlen (text), YARD_WIRE_ASK, self->arena, value, &error) ||
        yard_wire_pack (type, value, &buffer, &error))
        fail_msg ("%s: %s", text, error.text);
    yard_string_t packed = copy (self, yard_buffer_view (&buffer));
    yard_buffer_clear (&buffer);
    return packed;
}

/*  An ask, or any other letter, with a body of this type. */
static inline void say (bench_t *self, char peer, const char *head, const char *name,
                        const yard_wire_type_t *type, const char *body)
{
    yard_string_t frames [] = { yard_string (head), yard_string (name), pack (self, type, body) };
    say_frames (self, peer, frames, 3);
}

static inline void ask_with_meta (bench_t *self, char peer, const char *head, const char *name,
                                  const char *meta)
{
    yard_string_t frames [] = { yard_string (head), yard_string (name), yard_string ("body"),
                                pack (self, meta_type (), meta) };
    say_frames (self, peer, frames, 4);
}

static inline void ask (bench_t *self, char peer, const char *head, const char *name)
{
    say_texts (self, peer, head, name, "body", NULL);
}

/*  Says hello; the instance is made of `life`. methods is the JSON of the list's rows. */
static inline void say_hello (bench_t *self, char peer, char life, const char *place, const char *methods)
{
    char instance [33] = { 0 };
    memset (instance, life, 32);
    say (self, peer, "YARD1H", "", hello_type (),
         yard_arena_printf (
             self->arena,
             "{\"actor\":\"%.*s\",\"place\":\"%s\",\"instance\":\"%s\",\"node\":\"box\",\"methods\":[%s],"
             "\"protocol\":1,\"pid\":%d}",
             (int) strcspn (place, "/"), place, place, instance, methods, peer));
}

#define ROLES "\"roles\":[\"viewer\",\"operator\",\"worker\",\"admin\"]"
#define SINGLE(name) "{\"name\":\"" name "\",\"routing\":\"single\"," ROLES "}"
#define POOL(name) "{\"name\":\"" name "\",\"routing\":\"pool\"," ROLES "}"
#define PLACED(name) "{\"name\":\"" name "\",\"routing\":\"placed\"," ROLES "}"

static inline void answer (bench_t *self, char peer, char letter, const sent_t *asked, const char *body)
{
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX];
    yard_envelope_t envelope = {
        .letter = letter, .id = asked->envelope.id, .name = asked->envelope.name, .body = yard_string (body)
    };
    say_frames (self, peer, frames, yard_envelope_frames (&envelope, head, frames));
}

static inline void pong (bench_t *self, char peer)
{
    say (self, peer, "YARD1O", "", pong_type (), "{\"busy_us\":7,\"note\":\"idle\"}");
}

/*  Time passes; then one tick with an empty mailbox. */
static inline void pass (bench_t *self, int64_t ms)
{
    need_router (self);
    self->now_ms += ms;
    broker_router_tick (self->router, self->now_ms, true);
}

/*  --- out
 *  ----------------------------------------------------------------------------------------------------------------- */
/*  The next one that was not read; beats are passed over. */
static inline const sent_t *next (bench_t *self)
{
    while (self->read < self->sent_count) {
        const sent_t *sent = &self->sent [self->read++];
        if (sent->to || !yard_string_is (sent->frames [0], "yard_beat/"))
            return sent;
    }
    return NULL;
}

static inline void forget_all (bench_t *self)
{
    self->read = self->sent_count;
}

/*  The next one goes to this peer; id and name NULL = any. */
static inline const sent_t *expect (bench_t *self, char peer, char letter, const char *id, const char *name)
{
    const sent_t *sent = next (self);
    if (!sent)
        fail_msg ("nothing was sent, want %c to %c", letter, peer);
    if (sent->to != peer || sent->envelope.letter != letter)
        fail_msg ("sent %c to %c, want %c to %c", sent->envelope.letter ? sent->envelope.letter : '-',
                  sent->to ? sent->to : '-', letter, peer);
    if (id)
        assert_true (yard_string_is (sent->envelope.id, id));
    if (name)
        assert_true (yard_string_is (sent->envelope.name, name));
    return sent;
}

static inline void expect_nothing (bench_t *self)
{
    const sent_t *sent = next (self);
    if (sent)
        fail_msg ("sent %c to %c, want nothing", sent->envelope.letter ? sent->envelope.letter : '-',
                  sent->to ? sent->to : '-');
}

static inline void *read_as (bench_t *self, const yard_wire_type_t *type, yard_string_t frame)
{
    yard_error_t error = { 0 };
    void *value = yard_arena_alloc (self->arena, type->size);
    if (yard_wire_unpack (type, frame.data, frame.size, YARD_WIRE_ASK, self->arena, value, &error))
        fail_msg ("%s: %s", type->name, error.text);
    return value;
}

static inline const failure_t *expect_fail (bench_t *self, char peer, const char *id, const char *name,
                                            const char *code)
{
    const sent_t *sent = expect (self, peer, 'F', id, name);
    const failure_t *failure = read_as (self, failure_type (), sent->envelope.body);
    if (!yard_string_is (failure->code, code))
        fail_msg ("failed with %.*s (%.*s), want %s", YARD_VIEW (failure->code), YARD_VIEW (failure->text),
                  code);
    assert_true (failure->text.size > 0);
    return failure;
}

static inline const stamp_t *expect_published (bench_t *self, const char *topic)
{
    const sent_t *sent = next (self);
    if (!sent || sent->to || !yard_string_is (sent->frames [0], topic))
        fail_msg ("%s was not published next", topic);
    return read_as (self, stamp_type (), sent->frames [1]);
}

/*  A peer that is in, and what that made the router say is read. */
static inline void join (bench_t *self, char peer, char life, const char *place, const char *methods)
{
    say_hello (self, peer, life, place, methods);
    expect (self, peer, 'W', "", "");
    forget_all (self);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, bench_open, bench_close)

#endif
