// SPDX-License-Identifier: Apache-2.0
/*  events.c - `modelyard events`: what happened, from the store; and with -f what happens, without a gap
 *  between
 *
 *  The stream is opened first, then the store is paged, so nothing falls between; what both tell is told once
 *  (by its change). A broker that is started anew ends the stream: it is opened again, and the store fills in
 *  what was missed.
 */
#include "commands.h"

#include <stdlib.h>
#include "actors/ground/clock.h"
#include "json_line.h"
#include "text.h"

#define PAGE 256 /* the method's own limit */
#define PREFIXES_MAX 32 /* the method's own limit */
#define RETRY_MS 200 /* between attempts to reach a yard that went away while we follow */
#define RETRY_MAX 300 /* a minute */

typedef struct {
    invocation_t *invocation;
    bool follow, has_since;
    uint64_t since; /* the last change that was printed, or that was asked for */
    const char *prefixes [PREFIXES_MAX];
    size_t prefix_count;
    yard_arena_t *arena; /* of one page */
} events_t;

static error_t parse_events (int key, char *word, struct argp_state *state)
{
    events_t *self = state->input;
    char *end;
    switch (key) {
    case 'f':
        self->follow = true;
        return 0;
    case 's':
        self->since = strtoull (word, &end, 10);
        self->has_since = true;
        if (*end || end == word || *word == '-' || self->since > YARD_SAFE_INTEGER)
            argp_error (state, "--since must be the number of a change, as `modelyard events` prints it");
        return 0;
    case ARGP_KEY_ARG:
        if (self->prefix_count == PREFIXES_MAX)
            argp_error (state, "more than %d prefixes", PREFIXES_MAX);
        self->prefixes [self->prefix_count++] = word;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp events_argp = {
    .options =
        (const struct argp_option []){
            { .name = "follow", .key = 'f', .doc = "Go on with what happens, until Ctrl-C" },
            { .name = "since",
              .key = 's',
              .arg = "CHANGE",
              .doc = "Begin behind this change; without it -f begins now, and plain `events` with all that "
                     "is kept" },
            { 0 } },
    .parser = parse_events,
    .args_doc = "[PREFIX…]",
    .doc = "Prints events: those of the store (which have a change number), and with -f all as they happen. "
           "PREFIX is the beginning of an event's name: model_install_, download_ …"
};

/*  --- one event */
typedef struct {
    yard_string_t name, subject, store;
    uint64_t change;
    double time;
    const yard_event_t *event; /* NULL: of a later version; then there is no body */
    const void *body;
} line_t;

static void print_json (const line_t *told)
{
    yard_buffer_t line;
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    yard_buffer_text (&line, "{");
    json_line_text (&line, "event", told->name);
    yard_buffer_text (&line, ",");
    json_line_text (&line, "subject", told->subject);
    yard_buffer_printf (&line, ",\"change\":%llu,\"time\":%.3f,\"body\":", (unsigned long long) told->change,
                        told->time);
    if (!told->body || yard_wire_json (told->event->body (), told->body, &line, NULL))
        yard_buffer_text (&line, "null");
    yard_buffer_text (&line, "}");
    invocation_json_line (&line);
    yard_buffer_clear (&line);
}

static void print_plain (const line_t *told)
{
    char time [YARD_TIME_TEXT_SIZE], number [32] = "-", name [128], subject [256], fields [4096];
    yard_buffer_t log;
    yard_buffer_init (&log, INVOCATION_JSON_MAX);
    if (told->body)
        yard_wire_log (told->event->body (), told->body, &log);
    if (told->change)
        snprintf (number, sizeof number, "%llu", (unsigned long long) told->change);
    yard_time_text ((int64_t) (told->time * 1000), time);
    printf ("%s %8s %s %s %s\n", time, number, text_clean (name, sizeof name, told->name),
            text_clean (subject, sizeof subject, told->subject),
            text_clean (fields, sizeof fields, yard_buffer_view (&log)));
    yard_buffer_clear (&log);
}

static void print_line (events_t *self, const line_t *told)
{
    if (told->change && told->change <= self->since)
        return; /* the store told it already */
    (self->invocation->json ? print_json : print_plain) (told);
    if (self->follow)
        fflush (stdout);
    if (told->change)
        self->since = told->change;
}

/*  --- the store */
static void print_told (events_t *self, const told_t *told)
{
    line_t line = { .name = told->name,
                    .subject = told->subject,
                    .change = told->change,
                    .time = told->time,
                    .event = yard_event_find (told->name) };
    if (line.event) {
        void *body = yard_arena_alloc (self->arena, line.event->body ()->size);
        if (body && yard_wire_unpack (line.event->body (), told->body.data, told->body.size, YARD_WIRE_ANSWER,
                                      self->arena, body, NULL) == 0)
            line.body = body;
    }
    print_line (self, &line);
}

static int print_history (events_t *self)
{
    invocation_t *invocation = self->invocation;
    yard_text_t prefixes [PREFIXES_MAX];
    event_history_ask_t ask;
    event_history_answer_t answer;
    yard_wire_init (event_history_ask_type (), &ask);
    for (size_t i = 0; i < self->prefix_count; i++)
        prefixes [i] = yard_string (self->prefixes [i]);
    ask.prefixes.items = prefixes;
    ask.prefixes.count = self->prefix_count;
    ask.after = self->since;
    ask.limit = PAGE;
    do {
        yard_arena_reset (self->arena);
        int rc = yard_client_ask (invocation->client, &event_history_method, &ask, NULL, self->arena, &answer,
                                  &invocation->error);
        if (rc)
            return rc;
        for (size_t i = 0; i < answer.events.count; i++)
            print_told (self, &answer.events.items [i]);
        ask.after = answer.last;
    } while (answer.more);
    return 0;
}

/*  --- the stream */
static int follow_once (events_t *self)
{
    invocation_t *invocation = self->invocation;
    const yard_follow_options_t options = { .prefixes = self->prefixes, .prefix_count = self->prefix_count };
    yard_follow_stream_t *stream = NULL;
    yard_event_seen_t seen;
    int rc = yard_client_follow (invocation->client, &options, &stream, &invocation->error);
    if (rc == 0 && self->has_since)
        rc = print_history (self);
    self->has_since = true; /* from now on a new stream begins where this one ended */
    while (rc == 0 && (rc = yard_follow_stream_next (stream, -1, &seen, &invocation->error)) == 0)
        print_line (self, &(line_t){ .name = seen.name,
                                     .subject = seen.subject,
                                     .change = seen.stamp->change,
                                     .time = seen.stamp->time,
                                     .event = seen.event,
                                     .body = seen.body });
    yard_follow_stream_destroy (&stream);
    return rc;
}

static bool is_passing (int code)
{
    return code == YARD_GONE || code == YARD_TOO_OLD || code == YARD_NOT_SERVED || code == YARD_UNREACHABLE ||
           code == YARD_BUSY || code == YARD_TIMEOUT;
}

/*  Goes on through restarts of the yard; gives up when it stays away. */
static int follow (events_t *self)
{
    int rc = 0;
    for (size_t failures = 0; failures < RETRY_MAX; failures++) {
        uint64_t before = self->since;
        rc = follow_once (self);
        if (!is_passing (rc))
            return rc;
        fprintf (stderr, "modelyard events: %s; going on after change %llu\n", yard_error_row (rc)->word,
                 (unsigned long long) self->since);
        if (self->since != before)
            failures = 0;
        nanosleep (&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
    }
    return rc;
}

int command_events (invocation_t *invocation, int argc, char **argv)
{
    events_t self = { .invocation = invocation };
    int rc = invocation_parse (invocation, &events_argp, argc, argv, &self);
    self.arena = yard_arena_new ((size_t) 64 * YARD_MESSAGE_MAX);
    if (rc == 0)
        rc = invocation_connect (invocation);
    if (rc == 0)
        rc = self.follow ? follow (&self) : print_history (&self);
    yard_arena_destroy (&self.arena);
    return rc ? invocation_failed (invocation) : EXIT_DONE;
}
