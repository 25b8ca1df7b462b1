// SPDX-License-Identifier: Apache-2.0
/*  install.c - `modelyard install`: starts an install and watches it
 *
 *  The yard owns the work: this program may go at any moment (Ctrl-C says so and leaves), and it goes on
 *  watching through restarts of the yard's actors.
 */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include "live_line.h"
#include "signals.h"
#include "text.h"

#define TOKEN_BYTES_MAX 4096 /* of the method's field */
#define RETRY_MS 200 /* between attempts while the yard or its recorder is away */
#define AWAY_MS 60000 /* the supervisor's longest back-off */

typedef struct {
    invocation_t *invocation;
    install_import_ask_t ask;
    const char *source, *token_file;
    bool detach, move;
    char path [PATH_MAX];
    char token [TOKEN_BYTES_MAX + 1];
    /* watching */
    uint64_t job;
    progress_t progress;
    const char *phase; /* of the last event: downloading, running */
    live_line_t line;
    int64_t away_ms, retry_ms;
    yard_call_t *waiting;
    yard_follow_stream_t *stream;
    int signals;
    bool over;
    int code; /* of the watching itself */
    install_job_t result;
} install_t;

/*  --- words */
enum {
    OPTION_NAME = 0x200,
    OPTION_TYPE,
    OPTION_BASE,
    OPTION_FORMAT,
    OPTION_VARIANT,
    OPTION_TOKEN,
    OPTION_PRIORITY,
    OPTION_MOVE
};

/*  Overrides that are words of an enum: where they go, and which words there are. */
static const struct {
    int key;
    yard_wire_type_fn *type;
    size_t offset, has_offset;
} overrides [] = {
    { OPTION_TYPE, model_type_type, offsetof (model_changes_t, type), offsetof (model_changes_t, has_type) },
    { OPTION_BASE, base_model_type, offsetof (model_changes_t, base), offsetof (model_changes_t, has_base) },
    { OPTION_FORMAT, model_format_type, offsetof (model_changes_t, format),
      offsetof (model_changes_t, has_format) },
    { OPTION_VARIANT, model_variant_type, offsetof (model_changes_t, variant),
      offsetof (model_changes_t, has_variant) },
};

static bool parse_override (install_t *self, int key, const char *word, struct argp_state *state)
{
    for (size_t i = 0; i < sizeof overrides / sizeof overrides [0]; i++) {
        if (overrides [i].key != key)
            continue;
        const yard_wire_type_t *type = overrides [i].type ();
        int value = yard_wire_value (type, yard_string (word));
        if (!value) {
            yard_buffer_t words;
            yard_buffer_init (&words, 2048);
            for (size_t w = 0; w < type->value_count; w++)
                yard_buffer_printf (&words, " %s", type->values [w].word);
            argp_error (state, "\"%.40s\" is no %s; one of:%s", word, type->name, words.data);
        }
        memcpy ((char *) &self->ask.config + overrides [i].offset, &value, sizeof value);
        *(bool *) ((char *) &self->ask.config + overrides [i].has_offset) = true;
        self->ask.has_config = true;
        return true;
    }
    return false;
}

static error_t parse_install (int key, char *word, struct argp_state *state)
{
    install_t *self = state->input;
    char *end;
    switch (key) {
    case OPTION_NAME:
        self->ask.has_config = self->ask.config.has_name = true;
        self->ask.config.name = yard_string (word);
        return 0;
    case OPTION_TOKEN:
        self->token_file = word;
        return 0;
    case OPTION_PRIORITY:
        self->ask.priority = strtoll (word, &end, 10);
        if (*end || end == word)
            argp_error (state, "--priority must be a whole number; lower comes first");
        return 0;
    case OPTION_MOVE:
        self->move = true;
        return 0;
    case 'd':
        self->detach = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_usage (state);
        self->source = word;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error (state, "what? a path, or an http(s) URL");
        return 0;
    default:
        return word && parse_override (self, key, word, state) ? 0 : ARGP_ERR_UNKNOWN;
    }
}

static const struct argp install_argp = {
    .options =
        (const struct argp_option []){
            { .name = "name", .key = OPTION_NAME, .arg = "NAME", .doc = "Instead of the name that is found" },
            { .name = "type",
              .key = OPTION_TYPE,
              .arg = "TYPE",
              .doc = "Instead of what the probe finds: main, lora, vae …" },
            { .name = "base", .key = OPTION_BASE, .arg = "BASE", .doc = "Likewise: sd-1, sdxl …" },
            { .name = "format",
              .key = OPTION_FORMAT,
              .arg = "FORMAT",
              .doc = "Likewise: checkpoint, diffusers, lycoris …" },
            { .name = "variant",
              .key = OPTION_VARIANT,
              .arg = "VARIANT",
              .doc = "Likewise: normal, inpaint, depth" },
            { .name = "token-file",
              .key = OPTION_TOKEN,
              .arg = "FILE",
              .doc = "File with the source's access token; - is stdin" },
            { .name = "priority", .key = OPTION_PRIORITY, .arg = "N", .doc = "Lower comes first (10)" },
            { .name = "move", .key = OPTION_MOVE, .doc = "Take a local file instead of copying it" },
            { .name = "detach", .key = 'd', .doc = "Return when the job is stored" },
            { 0 } },
    .parser = parse_install,
    .args_doc = "SOURCE",
    .doc =
        "Installs a model from a file of this machine or an http(s) URL. Ctrl-C leaves; the install goes on."
};

static int read_token (install_t *self, yard_error_t *error)
{
    int fd =
        strcmp (self->token_file, "-") == 0 ? STDIN_FILENO : open (self->token_file, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t size = fd < 0 ? -1 : 0;
    if (fd >= 0)
        do {
            size = read (fd, self->token + used, sizeof self->token - used);
            used += size > 0 ? (size_t) size : 0;
        } while (used < sizeof self->token && (size > 0 || (size < 0 && errno == EINTR)));
    int rc =
        size < 0 ? yard_error_errno (error, errno, "cannot read the token file %s", self->token_file) : 0;
    if (fd > STDIN_FILENO)
        close (fd);
    while (used > 0 && strchr ("\r\n \t", self->token [used - 1]))
        used--;
    if (rc == 0 && (used == 0 || used > TOKEN_BYTES_MAX))
        rc = yard_error (error, YARD_INVALID_CONFIG, "the token file %s must hold 1 to %d bytes",
                         self->token_file, TOKEN_BYTES_MAX);
    self->ask.has_access_token = rc == 0;
    self->ask.access_token = (yard_string_t){ self->token, used };
    return rc;
}

/*  A path is made absolute here, since the yard has another current directory. What is no file of ours goes
 *  as it is: the yard knows the forms of sources. */
static int make_ask (install_t *self)
{
    yard_error_t *error = &self->invocation->error;
    bool is_local = !strstr (self->source, "://") && realpath (self->source, self->path);
    bool looks_local = *self->source == '/' || *self->source == '.';
    if (!is_local && looks_local)
        return yard_error_errno (error, errno, "cannot find %s", self->source);
    if (!is_local && self->move)
        return yard_error (error, YARD_INVALID_SOURCE, "--move is for files of this machine; %.200s is none",
                           self->source);
    if (is_local) {
        self->ask.has_local = true;
        yard_wire_init (local_source_type (), &self->ask.local);
        self->ask.local.path = yard_string (self->path);
        self->ask.local.move = self->move;
    } else {
        self->ask.has_source = true;
        self->ask.source = yard_string (self->source);
    }
    return self->token_file ? read_token (self, error) : 0;
}

/*  --- what the user sees */
static void draw (install_t *self, bool at_once)
{
    bool moving = self->phase && strcmp (self->phase, "downloading") == 0;
    if (self->phase || self->invocation->err_tty)
        live_line_draw (&self->line, self->invocation, self->phase ? self->phase : "waiting",
                        moving ? &self->progress : NULL, at_once);
}

static int say_result (install_t *self)
{
    invocation_t *invocation = self->invocation;
    const install_job_t *job = &self->result;
    char name [512], size [32];
    live_line_end (&self->line);
    if (invocation->json)
        invocation_json (install_job_type (), job);
    if (job->status == job_status_completed) {
        if (!invocation->json && job->has_config_out)
            printf ("%s  %s (%s, %s, %s)\n", job->key.data,
                    text_clean (name, sizeof name, job->config_out.name),
                    yard_wire_word (model_type_type (), (int) job->config_out.type),
                    yard_wire_word (base_model_type (), (int) job->config_out.base),
                    text_size (size, sizeof size, job->config_out.total_bytes));
        return 0;
    }
    if (job->status == job_status_cancelled)
        return yard_error (&invocation->error, YARD_CANCELLED,
                           "install %llu was cancelled; install again to start anew",
                           (unsigned long long) job->id);
    return yard_error (&invocation->error, yard_error_code (job->error_type.data, job->error_type.size), "%s",
                       job->error.data);
}

/*  --- watching */
static bool is_passing (int code)
{
    return code == YARD_GONE || code == YARD_NOT_SERVED || code == YARD_UNREACHABLE || code == YARD_BUSY ||
           code == YARD_TIMEOUT || code == YARD_STORE_FAILED;
}

/*  Its end, or that nobody could tell: an actor of the yard went away, and comes back. */
static void on_waited (void *argument, const yard_call_result_t *result)
{
    install_t *self = argument;
    const install_list_answer_t *answer = result->answer;
    self->waiting = NULL;
    if (result->code == YARD_CANCELLED) /* by ourselves */
        return;
    if (result->code && is_passing (result->code)) {
        self->away_ms = self->away_ms ? self->away_ms : live_line_now_ms ();
        self->retry_ms = live_line_now_ms () + RETRY_MS;
        if (live_line_now_ms () - self->away_ms < AWAY_MS)
            return;
    }
    if (result->code) {
        self->over = true;
        self->code = yard_error (&self->invocation->error, result->code,
                                 "%s; install %llu may still go on: `modelyard jobs`", result->text,
                                 (unsigned long long) self->job);
        return;
    }
    self->away_ms = 0;
    self->retry_ms = live_line_now_ms () + RETRY_MS;
    for (size_t i = 0; i < answer->jobs.count; i++)
        if (answer->jobs.items [i].id == self->job && answer->jobs.items [i].in_terminal_state) {
            self->over = true;
            self->code = yard_wire_copy (install_job_type (), &answer->jobs.items [i],
                                         self->invocation->arena, &self->result);
        }
}

static void ask_again (install_t *self)
{
    uint64_t ids [1] = { self->job };
    install_wait_ask_t ask;
    yard_wire_init (install_wait_ask_type (), &ask);
    ask.ids.items = ids;
    ask.ids.count = 1;
    int rc = yard_client_call (self->invocation->client, &install_wait_method, &ask, NULL, on_waited, self,
                               &self->waiting, &self->invocation->error);
    self->over = self->over || rc;
    self->code = rc ? rc : self->code;
}

/*  Progress is a comfort: without a stream the end is told all the same. */
static void open_stream (install_t *self)
{
    static const char *const prefixes [] = { "model_install_" };
    char subject [32];
    snprintf (subject, sizeof subject, "%llu", (unsigned long long) self->job);
    const yard_follow_options_t options = { .prefixes = prefixes, .prefix_count = 1, .subject = subject };
    yard_follow_stream_destroy (&self->stream);
    if (yard_client_follow (self->invocation->client, &options, &self->stream, NULL))
        self->stream = NULL;
}

static void take_events (install_t *self)
{
    yard_event_seen_t seen;
    int rc = YARD_TIMEOUT;
    while (self->stream && (rc = yard_follow_stream_next (self->stream, 0, &seen, NULL)) == 0) {
        const char *before = self->phase;
        if (seen.event == &model_install_downloading_event) {
            const install_progress_t *told = seen.body;
            self->phase = "downloading";
            progress_told (&self->progress, live_line_now_ms (), told->bytes, told->total_bytes);
        } else if (seen.event == &model_install_running_event)
            self->phase = "running";
        draw (self, before != self->phase);
    }
    if (self->stream && rc != YARD_TIMEOUT)
        yard_follow_stream_destroy (&self->stream);
}

/*  True: it ended (code says how the watching went); false: Ctrl-C. */
static bool watch (install_t *self)
{
    open_stream (self);
    while (!self->over) {
        if (!self->waiting && live_line_now_ms () >= self->retry_ms) {
            if (!self->stream)
                open_stream (self);
            ask_again (self);
        }
        struct pollfd fds [] = { { .fd = yard_client_fd (self->invocation->client), .events = POLLIN },
                                 { .fd = self->signals, .events = POLLIN } };
        int timeout = yard_client_timeout_ms (self->invocation->client);
        poll (fds, 2, timeout < RETRY_MS ? timeout : RETRY_MS);
        if (signals_take (self->signals))
            return false;
        yard_client_dispatch (self->invocation->client);
        take_events (self);
        draw (self, false);
    }
    return true;
}

/*  Until its end: 0, the code of its failure, or EXIT_DETACHED (above 0) when the user left. */
static int follow_to_end (install_t *self)
{
    int rc = signals_catch (NULL, &self->signals, &self->invocation->error);
    if (rc)
        return rc;
    bool ended = watch (self);
    yard_call_withdraw (&self->waiting);
    yard_follow_stream_destroy (&self->stream);
    close (self->signals);
    if (!ended) {
        live_line_end (&self->line);
        fprintf (stderr,
                 "install %llu goes on in the yard; see it with `modelyard jobs`, stop it with `modelyard "
                 "cancel %llu`\n",
                 (unsigned long long) self->job, (unsigned long long) self->job);
        return EXIT_DETACHED;
    }
    return self->code ? self->code : say_result (self);
}

int command_install (invocation_t *invocation, int argc, char **argv)
{
    install_t self = { .invocation = invocation, .signals = -1 };
    install_import_answer_t answer;
    yard_wire_init (install_import_ask_type (), &self.ask);
    yard_wire_init (model_changes_type (), &self.ask.config);
    int rc = invocation_parse (invocation, &install_argp, argc, argv, &self);
    if (rc == 0)
        rc = make_ask (&self);
    if (rc == 0)
        rc = invocation_ask (invocation, &install_import_method, &self.ask, &answer);
    explicit_bzero (self.token, sizeof self.token);
    if (rc == 0) {
        self.job = answer.job.id;
        if (!invocation->json)
            fprintf (stderr, "install %llu %s\n", (unsigned long long) self.job,
                     answer.existed ? "was under way already" : "started");
        if (!self.detach)
            rc = follow_to_end (&self);
        else if (invocation->json)
            invocation_json (install_job_type (), &answer.job);
        else
            printf ("%llu\n", (unsigned long long) self.job);
    }
    return rc < 0 ? invocation_failed (invocation) : rc;
}
