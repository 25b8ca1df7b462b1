// SPDX-License-Identifier: Apache-2.0
/*  transitions.c - jobs from submit to finish, by many askers that each wait for their answer
 *
 *      bench-transitions ENDPOINT ASKERS JOBS
 *
 *  Each asker submits a download, leases one, finishes it, and begins anew: three durable transitions a job, each
 *  acknowledged before its asker goes on. Prints {"per_s"} of the transitions. The first tenth, on top of JOBS,
 *  warms up and is not counted.
 */
#include "carrier.h"

#include <inttypes.h>
#include <poll.h>
#include "actors/ground/arena.h"
#include "actors/runtime/bus.h"
#include "proto/messages.h"

#define ARENA_BYTES_MAX ((size_t) 4 << 20)
#define STEPS 3
#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

typedef struct {
    unsigned step; /* of the table below: the one under way */
    uint64_t job, token;
    char member [32];
} asker_t;

typedef struct {
    yard_bus_t *bus;
    yard_socket_t *socket;
    yard_message_t message;
    yard_arena_t *arena;
    yard_buffer_t packed;
    uint64_t submitted;
} bench_t;

typedef struct {
    const char *name;
    const yard_method_t *method;
    void (*ask) (bench_t *self, asker_t *asker, void *value);
    void (*answered) (bench_t *self, asker_t *asker, yard_string_t body); /* NULL: that it came is enough */
} step_t;

static void submit (bench_t *self, asker_t *asker, void *value)
{
    (void) asker;
    job_submit_ask_t *ask = value;
    ask->kind = job_kind_download;
    ask->has_download = true;
    char *text = yard_arena_printf (self->arena, "https://example.com/models/file-%" PRIu64 ".safetensors",
                                    ++self->submitted);
    ask->download.source = yard_string (text);
    ask->download.path = yard_string ("/var/lib/modelyard/models/.staging/17/file.safetensors");
}

static void lease (bench_t *self, asker_t *asker, void *value)
{
    (void) self;
    static job_kind_t kinds [] = { job_kind_download };
    job_lease_ask_t *ask = value;
    ask->kinds.items = kinds;
    ask->kinds.count = 1;
    ask->node = yard_string ("bench");
    ask->member = yard_string (asker->member);
    ask->room = 1;
}

static void leased (bench_t *self, asker_t *asker, yard_string_t body)
{
    job_lease_answer_t answer;
    yard_error_t error;
    if (yard_wire_unpack (job_lease_method.answer (), body.data, body.size, YARD_WIRE_ANSWER, self->arena,
                          &answer, &error))
        bench_die ("%s", error.text);
    asker->job = answer.grants.items [0].job.id;
    asker->token = answer.grants.items [0].token;
}

static void finish (bench_t *self, asker_t *asker, void *value)
{
    (void) self;
    job_finish_ask_t *ask = value;
    ask->job = asker->job;
    ask->token = asker->token;
    ask->has_download_result = true;
    ask->download_result.path = yard_string ("/var/lib/modelyard/models/.staging/17/file.safetensors");
    ask->download_result.bytes = 1;
    ask->download_result.sha256 = yard_string (SHA256);
}

static const step_t steps [STEPS] = {
    { "job.submit", &job_submit_method, submit, NULL },
    { "job.lease", &job_lease_method, lease, leased },
    { "job.finish", &job_finish_method, finish, NULL },
};

static void ask (bench_t *self, asker_t *asker, uint64_t number)
{
    const step_t *step = &steps [asker->step];
    const yard_wire_type_t *type = step->method->ask ();
    yard_error_t error;
    yard_arena_reset (self->arena);
    yard_buffer_reset (&self->packed);
    void *value = yard_arena_alloc (self->arena, type->size);
    yard_wire_init (type, value);
    step->ask (self, asker, value);
    if (yard_wire_pack (type, value, &self->packed, &error))
        bench_die ("%s", error.text);
    yard_envelope_t envelope = { .letter = 'A',
                                 .id = { (const char *) &number, sizeof number },
                                 .name = yard_string (step->name),
                                 .body = yard_buffer_view (&self->packed) };
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX];
    size_t count = yard_envelope_frames (&envelope, head, frames);
    yard_poll_t item = { .socket = self->socket, .events = POLLOUT };
    while (yard_socket_send (self->socket, frames, count) == YARD_BUSY)
        yard_bus_poll (self->bus, &item, 1, -1);
}

/*  Which asker was answered. */
static uint64_t hear (bench_t *self, asker_t *askers, uint64_t count)
{
    yard_poll_t item = { .socket = self->socket, .events = POLLIN };
    while (!yard_socket_receive (self->socket, &self->message))
        yard_bus_poll (self->bus, &item, 1, -1);
    yard_envelope_t envelope;
    yard_error_t error;
    uint64_t number;
    if (yard_envelope_parse (self->message.frames, self->message.count, &envelope, &error))
        bench_die ("%s", error.text);
    if (envelope.letter != 'R' || envelope.id.size != sizeof number)
        bench_die ("%.*s was refused: %.*s", YARD_VIEW (envelope.name), YARD_VIEW (envelope.body));
    memcpy (&number, envelope.id.data, sizeof number);
    if (number >= count)
        bench_die ("an answer to nobody");
    const step_t *step = &steps [askers [number].step];
    yard_arena_reset (self->arena);
    if (step->answered)
        step->answered (self, &askers [number], envelope.body);
    return number;
}

static void run (bench_t *self, asker_t *askers, uint64_t count, uint64_t jobs)
{
    uint64_t begun = 0, under_way = 0;
    for (; begun < jobs && begun < count; begun++, under_way++)
        ask (self, &askers [begun], begun);
    while (under_way) {
        uint64_t number = hear (self, askers, count);
        asker_t *asker = &askers [number];
        asker->step = (asker->step + 1) % STEPS;
        if (asker->step || begun < jobs) {
            begun += asker->step == 0;
            ask (self, asker, number);
        } else
            under_way--;
    }
}

int main (int argc, char **argv)
{
    if (argc != 4)
        bench_die ("usage: bench-transitions ENDPOINT ASKERS JOBS");
    uint64_t count = bench_number (argv [2]), jobs = bench_number (argv [3]);
    yard_error_t error;
    bench_t self = { .bus = yard_bus_zmq_new (), .arena = yard_arena_new (ARENA_BYTES_MAX) };
    yard_buffer_init (&self.packed, YARD_MESSAGE_MAX);
    yard_message_init (&self.message);
    if (yard_bus_open (self.bus, YARD_SOCKET_DEALER, argv [1], &self.socket, &error))
        bench_die ("%s", error.text);
    asker_t *askers = calloc (count, sizeof *askers);
    for (uint64_t i = 0; i < count; i++)
        snprintf (askers [i].member, sizeof askers [i].member, "asker-%" PRIu64, i);
    run (&self, askers, count, jobs / 10 + 1);
    int64_t begun_ns = bench_now_ns ();
    run (&self, askers, count, jobs);
    double seconds = (double) (bench_now_ns () - begun_ns) / 1e9;
    printf ("{\"per_s\": %.1f}\n", (double) (STEPS * jobs) / seconds);
    yard_message_clear (&self.message);
    yard_buffer_clear (&self.packed);
    yard_arena_destroy (&self.arena);
    yard_bus_destroy (&self.bus);
    free (askers);
    return 0;
}
