// SPDX-License-Identifier: Apache-2.0
/*  yard.c - commands about the yard itself: status, actors, config, version, call
 */
#include "commands.h"

#include <stdlib.h>
#include "fields.h"
#include "loaders.h"
#include "rows.h"
#include "text.h"
#include "version.h"

/*  Words and options of a command that has none of its own. */
static int parse_nothing (invocation_t *self, int argc, char **argv, const char *doc)
{
    const struct argp argp = { .doc = doc };
    return invocation_parse (self, &argp, argc, argv, NULL);
}

/*  --- actors */
static const column_t actor_columns [] = { { .heading = "PLACE" },
                                           { .heading = "NODE" },
                                           { .heading = "PID", .right = true },
                                           { .heading = "UP", .right = true },
                                           { .heading = "BUSY", .right = true },
                                           { .heading = "OPEN", .right = true },
                                           { .heading = "DOING", .cut = true } };

static void print_actors (const yard_actors_answer_t *answer)
{
    rows_t *rows = rows_new (actor_columns, sizeof actor_columns / sizeof actor_columns [0]);
    for (size_t i = 0; i < answer->actors.count; i++) {
        const yard_actor_row_t *row = &answer->actors.items [i];
        char pid [32], up [32], busy [32], open [32];
        double all = (double) row->busy_us + (double) row->idle_us;
        snprintf (pid, sizeof pid, "%llu", (unsigned long long) row->pid);
        snprintf (busy, sizeof busy, "%.1f %%", all > 0 ? 100.0 * (double) row->busy_us / all : 0.0);
        snprintf (open, sizeof open, "%llu", (unsigned long long) (row->open_requests + row->open_asks));
        const yard_string_t cells [] = {
            row->place,         row->node,
            yard_string (pid),  yard_string (text_duration (up, sizeof up, (int64_t) row->up_ms)),
            yard_string (busy), yard_string (open),
            row->note
        };
        rows_add (rows, cells);
    }
    rows_print (rows, stdout, rows_terminal_width ());
    rows_destroy (&rows);
}

int command_actors (invocation_t *self, int argc, char **argv)
{
    yard_actors_answer_t answer;
    int rc = parse_nothing (self, argc, argv, "Lists who is on the bus.");
    if (rc == 0)
        rc = invocation_ask (self, &yard_actors_method, NULL, &answer);
    if (rc)
        return invocation_failed (self);
    for (size_t i = 0; i < answer.actors.count && self->json; i++)
        invocation_json (yard_actor_row_type (), &answer.actors.items [i]);
    if (!self->json)
        print_actors (&answer);
    return EXIT_DONE;
}

/*  --- status */
/*  What status shows, each counted by one ask; what nobody serves now is shown as such. */
typedef struct {
    uint64_t count;
    bool more, known;
} counted_t;

/*  A page of 256 is enough to say how many: beyond it "256+" is the honest answer. */
static counted_t count_jobs (invocation_t *self)
{
    job_list_ask_t ask;
    job_list_answer_t answer;
    yard_wire_init (job_list_ask_type (), &ask);
    ask.live = true;
    ask.limit = 256;
    if (invocation_ask (self, &job_list_method, &ask, &answer))
        return (counted_t){ 0 };
    return (counted_t){ answer.jobs.count, answer.more, true };
}

static counted_t count_models (invocation_t *self)
{
    record_search_ask_t ask;
    record_search_answer_t answer;
    counted_t counted = { .known = true };
    yard_wire_init (record_search_ask_type (), &ask);
    ask.limit = 256;
    do {
        if (invocation_ask (self, &record_search_method, &ask, &answer))
            return (counted_t){ 0 };
        counted.count += answer.records.count;
        ask.has_cursor = answer.has_cursor;
        ask.cursor = answer.cursor;
    } while (answer.has_cursor && counted.count < 100000);
    counted.more = answer.has_cursor;
    return counted;
}

typedef struct {
    uint64_t count, bytes;
} loaded_t;

static void count_load (void *argument, const loader_seen_t *loader, const load_row_t *row)
{
    loaded_t *self = argument;
    (void) loader;
    self->count++;
    self->bytes += row->bytes;
}

static counted_t count_loads (invocation_t *self, uint64_t *ret_bytes)
{
    loaded_t loaded = { 0 };
    bool known = load_each (self, NULL, count_load, &loaded) == 0;
    *ret_bytes = loaded.bytes;
    return (counted_t){ loaded.count, false, known };
}

static void print_counted (const char *what, counted_t counted, const char *more)
{
    if (counted.known)
        printf ("%-8s %llu%s%s\n", what, (unsigned long long) counted.count, counted.more ? "+" : "", more);
    else
        printf ("%-8s unknown: nobody answers for them now\n", what);
}

static void append_counted (yard_buffer_t *line, const char *what, counted_t counted)
{
    if (counted.known)
        yard_buffer_printf (line, ",\"%s\":%llu", what, (unsigned long long) counted.count);
    else
        yard_buffer_printf (line, ",\"%s\":null", what);
}

int command_status (invocation_t *self, int argc, char **argv)
{
    yard_version_answer_t version;
    yard_actors_answer_t actors;
    uint64_t bytes = 0;
    int rc = parse_nothing (self, argc, argv, "Says how the yard is: actors, live jobs, models, loads.");
    if (rc == 0)
        rc = invocation_ask (self, &yard_version_method, NULL, &version);
    if (rc == 0)
        rc = invocation_ask (self, &yard_actors_method, NULL, &actors);
    if (rc)
        return invocation_failed (self);
    counted_t jobs = count_jobs (self), models = count_models (self), loads = count_loads (self, &bytes);
    if (self->json) {
        yard_buffer_t line;
        yard_buffer_init (&line, INVOCATION_JSON_MAX);
        yard_buffer_text (&line, "{\"yard\":");
        yard_wire_json (yard_version_answer_type (), &version, &line, NULL);
        yard_buffer_printf (&line, ",\"actors\":%zu", actors.actors.count);
        append_counted (&line, "jobs_live", jobs);
        append_counted (&line, "models", models);
        append_counted (&line, "loads", loads);
        yard_buffer_printf (&line, ",\"loaded_bytes\":%llu}", (unsigned long long) bytes);
        invocation_json_line (&line);
        yard_buffer_clear (&line);
        return EXIT_DONE;
    }
    char clean [PATH_MAX], size [32], more [64];
    printf ("%-8s %s, version %s, broker %s\n", "yard", text_clean (clean, sizeof clean, version.home),
            version.version.data, version.epoch.data);
    snprintf (more, sizeof more, ", %s", text_size (size, sizeof size, bytes));
    print_counted ("models", models, "");
    print_counted ("jobs", jobs, " live");
    print_counted ("loads", loads, loads.count ? more : "");
    printf ("%-8s %zu\n\n", "actors", actors.actors.count);
    print_actors (&actors);
    return EXIT_DONE;
}

/*  --- config, version */
int command_config (invocation_t *self, int argc, char **argv)
{
    configuration_t values;
    int rc =
        parse_nothing (self, argc, argv, "Prints the configuration in force, as keys of modelyard.yaml.");
    if (rc == 0)
        rc = invocation_ask (self, &yard_config_method, NULL, &values);
    if (rc)
        return invocation_failed (self);
    if (self->json)
        invocation_json (configuration_type (), &values);
    else
        fields_print (stdout, configuration_type (), &values, false);
    return EXIT_DONE;
}

int command_version (invocation_t *self, int argc, char **argv)
{
    yard_version_answer_t answer;
    char clean [PATH_MAX];
    int rc = parse_nothing (self, argc, argv, "Prints the versions of this program and of the yard.");
    if (rc == 0)
        rc = invocation_ask (self, &yard_version_method, NULL, &answer);
    if (!self->json)
        printf ("modelyard %s\n", MODELYARD_VERSION);
    if (rc)
        return invocation_failed (self);
    if (self->json)
        invocation_json (yard_version_answer_type (), &answer);
    else
        printf ("yard      %s, protocol %llu, ZeroMQ %s, %s\n", answer.version.data,
                (unsigned long long) answer.protocol, answer.zeromq.data,
                text_clean (clean, sizeof clean, answer.home));
    return EXIT_DONE;
}

/*  --- call */
typedef struct {
    const char *method, *body, *once;
    uint64_t deadline_ms;
} call_t;

static error_t parse_call (int key, char *word, struct argp_state *state)
{
    call_t *self = state->input;
    char *end;
    switch (key) {
    case 'o':
        self->once = word;
        return 0;
    case 't':
        self->deadline_ms = strtoull (word, &end, 10);
        if (*end || end == word || self->deadline_ms == 0)
            argp_error (state, "--timeout-ms must be a number above 0");
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_usage (state);
        *(state->arg_num == 0 ? &self->method : &self->body) = word;
        return 0;
    case ARGP_KEY_END:
        if (!self->method)
            argp_error (state, "which method? `modelyard call yard.methods` lists them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp call_argp = {
    .options =
        (const struct argp_option []){
            { .name = "once", .key = 'o', .arg = "KEY", .doc = "Idempotency key" },
            { .name = "timeout-ms", .key = 't', .arg = "MS", .doc = "Deadline instead of the method's own" },
            { 0 } },
    .parser = parse_call,
    .args_doc = "METHOD[@PLACE] [JSON]",
    .doc = "Asks any method with a JSON object (default: {}) and prints its answer as JSON."
};

static int call (invocation_t *self, const call_t *words)
{
    const yard_method_t *method = yard_method_find (yard_string (words->method));
    const char *at = strchr (words->method, '@'), *body = words->body ? words->body : "{}";
    if (!method)
        return yard_error (
            &self->error, YARD_UNKNOWN_METHOD,
            "this program knows no method \"%.100s\"; `modelyard call yard.methods` lists them",
            words->method);
    const yard_call_options_t options = { .at = at ? at + 1 : NULL,
                                          .once = words->once,
                                          .deadline_ms = (int64_t) words->deadline_ms };
    void *ask = yard_arena_alloc (self->arena, method->ask ()->size);
    void *answer = yard_arena_alloc (self->arena, method->answer ()->size);
    int rc = yard_wire_from_json (method->ask (), body, strlen (body), YARD_WIRE_ASK, self->arena, ask,
                                  &self->error);
    if (rc == 0)
        rc = invocation_ask_with (self, method, ask, &options, answer);
    if (rc == 0)
        invocation_json (method->answer (), answer);
    return rc;
}

int command_call (invocation_t *self, int argc, char **argv)
{
    call_t words = { 0 };
    int rc = invocation_parse (self, &call_argp, argc, argv, &words);
    if (rc == 0)
        rc = call (self, &words);
    return rc ? invocation_failed (self) : EXIT_DONE;
}
