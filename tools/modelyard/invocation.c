// SPDX-License-Identifier: Apache-2.0
/*  invocation.c - one run of one command
 */
#include "invocation.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "text.h"

#define ANSWERS_BYTES_MAX \
    ((size_t) 1024 * 1024 * 1024) /* all pages of a list: a million models have about 700 MB of rows */

enum {
    OPTION_HOME = 0x100,
    OPTION_RUN,
    OPTION_JSON
};

static const struct argp_option common_options [] = {
    { .name = "home",
      .key = OPTION_HOME,
      .arg = "DIR",
      .doc = "The yard's directory ($MODELYARD_HOME, ~/.local/share/modelyard)",
      .group = -2 },
    { .name = "run",
      .key = OPTION_RUN,
      .arg = "DIR",
      .doc = "Where its sockets are ($MODELYARD_RUN)",
      .group = -2 },
    { .name = "json", .key = OPTION_JSON, .doc = "One JSON object a line; sizes in bytes", .group = -2 },
    { 0 },
};

/*  Paths go through the environment, so that whatever this program starts finds the same yard. */
static error_t parse_common (int key, char *word, struct argp_state *state)
{
    invocation_t *self = state->input;
    switch (key) {
    case OPTION_HOME:
        setenv ("MODELYARD_HOME", word, 1);
        return 0;
    case OPTION_RUN:
        setenv ("MODELYARD_RUN", word, 1);
        return 0;
    case OPTION_JSON:
        self->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp common = { .options = common_options, .parser = parse_common };

/*  argp gives the outer parser's input to a child only if the outer parser hands it on. */
typedef struct {
    invocation_t *invocation;
    void *input;
    argp_parser_t parser;
} inputs_t;

static error_t parse_own (int key, char *word, struct argp_state *state)
{
    inputs_t *inputs = state->input;
    if (key == ARGP_KEY_INIT)
        state->child_inputs [0] = inputs->invocation;
    if (!inputs->parser)
        return ARGP_ERR_UNKNOWN;
    state->input = inputs->input;
    error_t rc = inputs->parser (key, word, state);
    state->input = inputs;
    return rc;
}

void invocation_init (invocation_t *self, const char *command)
{
    *self = (invocation_t){ .out_tty = isatty (STDOUT_FILENO), .err_tty = isatty (STDERR_FILENO) };
    snprintf (self->title, sizeof self->title, "modelyard %s", command);
    self->arena = yard_arena_new (ANSWERS_BYTES_MAX);
}

void invocation_clear (invocation_t *self)
{
    yard_client_destroy (&self->client);
    yard_arena_destroy (&self->arena);
}

int invocation_parse (invocation_t *self, const struct argp *argp, int argc, char **argv, void *input)
{
    const struct argp_child children [] = { { .argp = &common }, { 0 } };
    inputs_t inputs = { self, input, argp->parser };
    struct argp outer = *argp;
    outer.parser = parse_own;
    outer.children = children;
    argv [0] = self->title;
    argp_err_exit_status = EXIT_USAGE;
    argp_parse (&outer, argc, argv, 0, NULL, &inputs);
    return yard_paths_find (&self->paths, &self->error);
}

int invocation_connect (invocation_t *self)
{
    return self->client ? 0 : yard_client_connect (NULL, &self->client, &self->error);
}

int invocation_ask_with (invocation_t *self, const yard_method_t *method, const void *ask,
                         const yard_call_options_t *options, void *ret_answer)
{
    int rc = invocation_connect (self);
    return rc ? rc
              : yard_client_ask (self->client, method, ask, options, self->arena, ret_answer, &self->error);
}

int invocation_ask (invocation_t *self, const yard_method_t *method, const void *ask, void *ret_answer)
{
    return invocation_ask_with (self, method, ask, NULL, ret_answer);
}

static void print_json_failure (const char *word, const char *sentence)
{
    failure_t failure;
    yard_buffer_t json, line;
    yard_wire_init (failure_type (), &failure);
    failure.code = yard_string (word);
    failure.text = yard_string (sentence);
    yard_buffer_init (&json, INVOCATION_JSON_MAX);
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    if (yard_wire_json (failure_type (), &failure, &json,
                        NULL)) { /* the sentence quotes bytes that are no text */
        failure.text = yard_string ("");
        yard_wire_json (failure_type (), &failure, &json, NULL);
    }
    text_json (&line, yard_buffer_view (&json));
    fprintf (stderr, "%s\n", line.data);
    yard_buffer_clear (&json);
    yard_buffer_clear (&line);
}

int invocation_failed (const invocation_t *self)
{
    const yard_error_row_t *row = yard_error_row (self->error.code);
    if (self->json) {
        print_json_failure (row->word, self->error.text);
        return row->exit;
    }
    char text [2 * YARD_ERROR_TEXT_MAX];
    fprintf (stderr, "%s: %s (%s)\n", self->title,
             text_clean (text, sizeof text, yard_string (self->error.text)), row->word);
    return row->exit;
}

void invocation_json_line (const yard_buffer_t *json)
{
    yard_buffer_t line;
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    text_json (&line, yard_buffer_view (json));
    puts (line.data);
    yard_buffer_clear (&line);
}

void invocation_json (const yard_wire_type_t *type, const void *value)
{
    yard_buffer_t json;
    yard_error_t error;
    yard_buffer_init (&json, INVOCATION_JSON_MAX);
    if (yard_wire_json (type, value, &json, &error)) /* it was read by the same rules: a bug of ours */
        fprintf (stderr, "modelyard: a %s was left out: %s\n", type->name, error.text);
    else
        invocation_json_line (&json);
    yard_buffer_clear (&json);
}
