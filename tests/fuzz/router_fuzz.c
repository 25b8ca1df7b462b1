// SPDX-License-Identifier: Apache-2.0
/*  router_fuzz.c - any frames from any peers, in any order, with sends that fail at any time
 *
 *  The input is a program: each step is a byte, half of it what to do, half of it the peer. Whole messages
 *  that get deep (hello, follow, publish) are steps of their own, since no fuzzer guesses msgpack with
 *  instances in it. Every frame that leaves must be a message of the protocol.
 */
#include <assert.h>
#include "actors/ground/log.h"
#include "broker/router.h"
#include "proto/envelope.h"

typedef struct {
    const uint8_t *at, *end;
    uint8_t moods [16]; /* of each peer: what sending to it gives */
    char last_number [8];
    yard_arena_t *arena;
    yard_buffer_t body;
    broker_router_t *router;
    int64_t now_ms;
} run_t;

static uint8_t take (run_t *self)
{
    return self->at < self->end ? *self->at++ : 0;
}

static int on_send (void *context, yard_string_t routing, const yard_string_t *frames, size_t count)
{
    run_t *self = context;
    yard_envelope_t envelope;
    if (yard_envelope_parse (frames, count, &envelope, NULL))
        abort ();
    for (size_t i = 0; i < count; i++)
        assert (frames [i].size <= YARD_MESSAGE_MAX);
    uint8_t mood = self->moods [routing.data [0] & 15];
    if (mood)
        return mood == 1 ? YARD_BUSY : YARD_GONE;
    if (envelope.letter == 'A') {
        assert (envelope.id.size == sizeof self->last_number && envelope.from.size);
        memcpy (self->last_number, envelope.id.data, envelope.id.size);
    }
    return 0;
}

static void on_publish (void *context, const yard_string_t *frames, size_t count)
{
    (void) context;
    assert (count == 3 && frames [0].size <= YARD_NAME_MAX && frames [1].size && frames [2].size);
}

static int64_t wall_ms (void *context)
{
    (void) context;
    return 1700000000000;
}

static void input (run_t *self, char peer, const yard_string_t *frames, size_t count)
{
    broker_origin_t origin = {
        .routing = { &peer, 1 }, .user = "local", .roles = YARD_ROLES_ANYONE, .distant = peer & 1
    };
    if (peer == 15)
        origin.roles = YARD_ROLE_VIEWER;
    broker_router_input (self->router, self->now_ms, &origin, frames, count);
}

static void say (run_t *self, char peer, const char *head, const char *name, const yard_wire_type_t *type,
                 const char *json)
{
    void *value = yard_arena_alloc (self->arena, type->size);
    yard_buffer_reset (&self->body);
    if (yard_wire_from_json (type, json, strlen (json), YARD_WIRE_ASK, self->arena, value, NULL) ||
        yard_wire_pack (type, value, &self->body, NULL))
        return;
    yard_string_t frames [] = { yard_string (head), yard_string (name), yard_buffer_view (&self->body) };
    input (self, peer, frames, 3);
}

static void step_hello (run_t *self, char peer)
{
    static const char *const routings [] = { "single", "pool", "placed", "broker" };
    static const char *const places [] = { "a", "loader/box/host", "loader/box/cuda:0", "d" };
    char instance [33] = { 0 };
    uint8_t choice = take (self);
    memset (instance, "0123456789abcdef" [take (self) & 15], 32);
    say (self, peer, "YARD1H", "", hello_type (),
         yard_arena_printf (self->arena,
                            "{\"actor\":\"x\",\"place\":\"%s%d\",\"instance\":\"%s\",\"node\":\"box\","
                            "\"protocol\":1,\"methods\":["
                            "{\"name\":\"job.m%d\",\"routing\":\"%s\",\"roles\":[\"viewer\",\"admin\"]}]}",
                            places [choice & 3], choice & 4 ? peer : 0, instance, choice >> 6,
                            routings [choice >> 4 & 3]));
}

static void step_ask (run_t *self, char peer)
{
    static const char *const names [] = { "job.m0",       "job.m1",
                                          "job.m2@a0",    "job.m3@loader/box/host0",
                                          "yard.methods", "yard.actors",
                                          "yard.devices", "yard.config" };
    uint8_t choice = take (self);
    yard_string_t frames [] = { yard_string (choice & 8 ? "" : "p"),
                                yard_string (choice & 16 ? "YARD1A1" : "YARD1Ax"),
                                yard_string (names [choice & 7]), yard_string ("\x80") };
    input (self, peer, frames + (choice >> 7), 4u - (choice >> 7));
}

static void step_answer (run_t *self, char peer)
{
    char head [] = "YARD1R12345678";
    head [5] = take (self) & 1 ? 'R' : 'F';
    memcpy (head + 6, self->last_number, sizeof self->last_number);
    yard_string_t frames [] = { { head, sizeof head - 1 }, yard_string ("n"), yard_string ("\x80") };
    input (self, peer, frames, 3);
}

static void step_follow (run_t *self, char peer)
{
    uint8_t choice = take (self);
    const char *head = choice & 1 ? "YARD1Af" : "YARD1Ag";
    if (choice & 2)
        say (self, peer, choice & 1 ? "YARD1Cf" : "YARD1Cg", "", credit_type (), "{\"more\":3}");
    else
        say (self, peer, head, "event.follow", event_follow_ask_type (),
             yard_arena_printf (self->arena, "{\"prefixes\":[\"%s\"],\"after\":%d,\"credit\":%d}",
                                choice & 4 ? "" : "e", choice >> 5, 1 + (choice & 24)));
}

static void step_publish (run_t *self, char peer)
{
    uint8_t choice = take (self);
    say (self, peer, "YARD1Ap", "event.publish", event_publish_ask_type (),
         yard_arena_printf (
             self->arena,
             "{\"store\":\"s\",\"events\":[{\"name\":\"e%d\",\"subject\":\"%s\",\"body\":\"gA==\",\"time\":1,"
             "\"change\":%d}]}",
             choice & 7, choice & 8 ? "1" : "", choice >> 4));
}

/*  Frames of the fuzzer's own: a count, then for each a size and its bytes; some begin as a head does. */
static void step_frames (run_t *self, char peer)
{
    static const char letters [] = "ARFEHWCPOB";
    char heads [14][48];
    yard_string_t frames [14];
    size_t count = take (self) % 15;
    for (size_t i = 0; i < count; i++) {
        uint8_t kind = take (self);
        size_t size = kind & 63, left = (size_t) (self->end - self->at);
        size = size < left ? size : left;
        frames [i] = (yard_string_t){ (const char *) self->at, size };
        self->at += size;
        if (kind & 64 && size <= 40) {
            memcpy (heads [i], "YARD1", 5);
            heads [i][5] = letters [kind % (sizeof letters - 1)];
            memcpy (heads [i] + 6, frames [i].data, size);
            frames [i] = (yard_string_t){ heads [i], size + 6 };
        }
    }
    input (self, peer, frames, count);
}

static void step_withdraw (run_t *self, char peer)
{
    static const char *const heads [] = { "YARD1B1", "YARD1Bx", "YARD1Bf", "YARD1B" };
    yard_string_t frames [] = { yard_string (heads [take (self) & 3]) };
    input (self, peer, frames, 1);
}

static void step_pong (run_t *self, char peer)
{
    say (self, peer, "YARD1O", "", pong_type (), "{}");
}

static void step_tick (run_t *self, char peer)
{
    self->now_ms += take (self) * 50;
    broker_router_tick (self->router, self->now_ms, peer & 1);
    assert (broker_router_wait_ms (self->router, self->now_ms) >= 0);
}

static void step_mood (run_t *self, char peer)
{
    self->moods [peer & 15] = take (self) % 3;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static void (*const steps []) (run_t *, char) = { step_frames, step_hello,   step_ask,  step_answer,
                                                      step_follow, step_publish, step_mood, step_withdraw,
                                                      step_pong,   step_tick };
    yard_log_open ("router_fuzz", YARD_LOG_ERROR); /* what cannot be packed would show here */
    configuration_t configuration;
    yard_wire_init (configuration_type (), &configuration);
    configuration.bus.log_events = 16; /* so that cursors fall out */
    configuration.bus.open_asks_max = 8;
    yard_clock_t clock = { .wall_ms = wall_ms };
    run_t run = { .at = data, .end = data + size, .arena = yard_arena_new (1 << 20), .now_ms = 1 };
    broker_options_t options = { "0123456789abcdef", "box",  "/home", "ipc:///e", "1",       "4",
                                 &configuration,     &clock, &run,    on_send,    on_publish };
    yard_buffer_init (&run.body, YARD_MESSAGE_MAX);
    run.router = broker_router_new (&options);
    while (run.at < run.end) {
        uint8_t step = take (&run);
        steps [(step >> 4) % (sizeof steps / sizeof steps [0])](&run, (char) (step & 15));
        yard_arena_reset (run.arena);
    }
    broker_router_destroy (&run.router);
    yard_buffer_clear (&run.body);
    yard_arena_destroy (&run.arena);
    return 0;
}
