// SPDX-License-Identifier: Apache-2.0
/*  ask.c - asks the same thing again and again, so many under way at once, and says how long an answer took
 *
 *      bench-ask bus|nats|redis WHERE WORK COUNT WINDOW
 *
 *  WORK is a row of the table below. Prints {"p50_us", "p99_us", "per_s"}. The first tenth, on top of COUNT,
 *  warms up and is not counted.
 */
#include "carrier.h"

#include <inttypes.h>
#include "proto/messages.h"

#define ARENA_BYTES_MAX ((size_t) 16 << 20)
#define MODELS_OF_A_NAME 100 /* a page of one name */

typedef struct {
    const char *name;
    const char *method_name;
    const yard_method_t *method;
    void (*fill) (void *ask, uint64_t number, char *text); /* text [64] */
    size_t rows; /* that its answer must have; of searches */
} work_t;

typedef struct {
    const work_t *work;
    const bench_carrier_class_t *class;
    bench_carrier_t *carrier;
    yard_arena_t *arena;
    yard_buffer_t packed;
    int64_t *begun_ns; /* by number modulo window */
    uint64_t window;
} asker_t;

static void fill_key (void *ask, uint64_t number, char *text)
{
    snprintf (text, 64, "%032" PRIx64, number % 1000);
    ((record_key_t *) ask)->key = yard_string (text);
}

/*  As bases, types and names lie in a store: a few of the first two, many of the last. */
static void fill_add (void *argument, uint64_t number, char *text)
{
    record_add_ask_t *ask = argument;
    model_config_t *config = &ask->config;
    snprintf (text, 64, "%032" PRIx64 "model %" PRIu64, number, number / MODELS_OF_A_NAME);
    config->key = (yard_string_t){ text, 32 };
    config->name = yard_string (text + 32);
    config->type = number % 2 ? model_type_lora : model_type_main;
    config->base = number % 5 ? base_model_sd_1 : base_model_sdxl;
    config->format = number % 2 ? model_format_lycoris : model_format_checkpoint;
    config->path = yard_string ("sd-1/lora/model-1/model.safetensors");
    config->hash = yard_string ("imohash:00000000000000000000000000000001");
    config->total_bytes = 1;
}

static void fill_name (void *argument, uint64_t number, char *text)
{
    record_search_ask_t *ask = argument;
    snprintf (text, 64, "model %" PRIu64, number % 10);
    ask->has_name = true;
    ask->name = yard_string (text);
}

static void fill_base (void *argument, uint64_t number, char *text)
{
    (void) number;
    (void) text;
    record_search_ask_t *ask = argument;
    ask->has_base = true;
    ask->base = base_model_sdxl;
}

static void fill_type (void *argument, uint64_t number, char *text)
{
    (void) number;
    (void) text;
    record_search_ask_t *ask = argument;
    ask->has_type = true;
    ask->type = model_type_main;
}

static void fill_base_and_type (void *argument, uint64_t number, char *text)
{
    fill_base (argument, number, text);
    fill_type (argument, number, text);
}

static void fill_all (void *argument, uint64_t number, char *text)
{
    fill_base_and_type (argument, number, text);
    fill_name (argument, number, text);
}

static const work_t works [] = {
    { "exists", "record.exists", &record_exists_method, fill_key, 0 },
    { "get", "record.get", &record_get_method, fill_key, 0 },
    { "add", "record.add", &record_add_method, fill_add, 0 },
    { "name", "record.search", &record_search_method, fill_name, MODELS_OF_A_NAME },
    { "base", "record.search", &record_search_method, fill_base, 100 },
    { "type", "record.search", &record_search_method, fill_type, 100 },
    { "base+type", "record.search", &record_search_method, fill_base_and_type, 100 },
    { "name+base+type", "record.search", &record_search_method, fill_all, MODELS_OF_A_NAME / 10 },
};

static const work_t *work_named (const char *name)
{
    for (size_t i = 0; i < sizeof works / sizeof works [0]; i++)
        if (strcmp (works [i].name, name) == 0)
            return &works [i];
    bench_die ("%s is no work of bench-ask", name);
}

static void ask (asker_t *self, uint64_t number)
{
    char text [64];
    yard_error_t error;
    const yard_wire_type_t *type = self->work->method->ask ();
    self->begun_ns [number % self->window] = bench_now_ns ();
    yard_arena_reset (self->arena);
    yard_buffer_reset (&self->packed);
    void *value = yard_arena_alloc (self->arena, type->size);
    yard_wire_init (type, value);
    self->work->fill (value, number, text);
    if (yard_wire_pack (type, value, &self->packed, &error))
        bench_die ("%s", error.text);
    self->class->say (self->carrier, number, yard_buffer_view (&self->packed));
}

/*  Nanoseconds since its ask. */
static int64_t hear (asker_t *self)
{
    uint64_t number;
    yard_error_t error;
    const yard_wire_type_t *type = self->work->method->answer ();
    yard_string_t body = self->class->hear (self->carrier, &number);
    yard_arena_reset (self->arena);
    void *value = yard_arena_alloc (self->arena, type->size);
    if (yard_wire_unpack (type, body.data, body.size, YARD_WIRE_ANSWER, self->arena, value, &error))
        bench_die ("%s", error.text);
    if (self->work->method == &record_search_method &&
        ((record_search_answer_t *) value)->records.count != self->work->rows)
        bench_die ("%s: a page of %zu rows, there should be %zu", self->work->name,
                   ((record_search_answer_t *) value)->records.count, self->work->rows);
    return bench_now_ns () - self->begun_ns [number % self->window];
}

/*  count asks from number first on; ret_times may be NULL. */
static void ask_all (asker_t *self, uint64_t first, uint64_t count, int64_t *ret_times)
{
    uint64_t sent = 0;
    for (uint64_t done = 0; done < count; done++) {
        /* Answers come in the order of the asks, so the slot of the oldest is free. */
        for (; sent < count && sent - done < self->window; sent++)
            ask (self, first + sent);
        int64_t took_ns = hear (self);
        if (ret_times)
            ret_times [done] = took_ns;
    }
}

int main (int argc, char **argv)
{
    if (argc != 6)
        bench_die ("usage: bench-ask bus|nats|redis WHERE WORK COUNT WINDOW");
    uint64_t count = bench_number (argv [4]), warm = count / 10 + 1;
    asker_t self = { .work = work_named (argv [3]),
                     .class = bench_carrier_named (argv [1]),
                     .window = bench_number (argv [5]) };
    self.carrier = self.class->open (argv [2], true, self.work->method_name);
    self.arena = yard_arena_new (ARENA_BYTES_MAX);
    yard_buffer_init (&self.packed, YARD_MESSAGE_MAX);
    int64_t *times = calloc (count + 1, sizeof *times);
    self.begun_ns = calloc (self.window, sizeof *self.begun_ns);
    if (!times || !self.begun_ns)
        bench_die ("out of memory");
    bool once = self.work->method == &record_add_method; /* the same again would be no work */
    if (!once)
        ask_all (&self, 0, warm, NULL);
    int64_t begun_ns = bench_now_ns ();
    ask_all (&self, 0, count, times);
    double seconds = (double) (bench_now_ns () - begun_ns) / 1e9;
    bench_sort (times, count);
    printf ("{\"p50_us\": %.3f, \"p99_us\": %.3f, \"per_s\": %.1f}\n", (double) times [count / 2] / 1e3,
            (double) times [count * 99 / 100] / 1e3, (double) count / seconds);
    self.class->close (self.carrier);
    yard_arena_destroy (&self.arena);
    yard_buffer_clear (&self.packed);
    free (times);
    free (self.begun_ns);
    return 0;
}
