// SPDX-License-Identifier: Apache-2.0
/*  doctor.c - `modelyard doctor`: what of this machine the yard can use, and what is missing
 *
 *  One line a check: ok, warn or fail, and the next step. Changes nothing. Ends with 1 when something failed:
 *  a warning is a yard that runs with less (no GPU, slower reads), which may be all that is wanted.
 */
#include "doctor.h"

#include <stdarg.h>
#include "commands.h"
#include "json_line.h"
#include "proto/configuration.h"
#include "text.h"

#define EXIT_FAILED 1

typedef struct {
    const char *prove;
} words_t;

enum {
    OPTION_PROVE = 0x200
};

static error_t parse_doctor (int key, char *word, struct argp_state *state)
{
    words_t *self = state->input;
    switch (key) {
    case OPTION_PROVE:
        self->prove = word;
        return 0;
    case ARGP_KEY_ARG:
        argp_usage (state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp doctor_argp = {
    .options =
        (const struct argp_option []){
            { .name = "prove-device",
              .key = OPTION_PROVE,
              .arg = "DEVICE",
              .doc =
                  "Instead: prove on host, cuda:0 … that it does all that loaders need; nobody else should "
                  "use it meanwhile" },
            { 0 } },
    .parser = parse_doctor,
    .doc =
        "Says what of this machine the yard can use and what is missing, a line a check: ok, warn (runs with "
        "less) or fail, and the next step. Exit code 1 when something failed."
};

static const char *const state_words [] = {
    [FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "fail"
};

static void print_json (const char *check, finding_state_t state, const char *text, const char *next)
{
    yard_buffer_t line;
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    yard_buffer_printf (&line, "{\"check\":\"%s\",\"state\":\"%s\",", check, state_words [state]);
    json_line_text (&line, "text", yard_string (text));
    yard_buffer_text (&line, ",");
    json_line_text (&line, "next", yard_string (next));
    yard_buffer_text (&line, "}");
    invocation_json_line (&line);
    yard_buffer_clear (&line);
}

void doctor_tell (doctor_t *self, const char *check, finding_state_t state, const char *next,
                  const char *format, ...)
{
    char text [2 * YARD_ERROR_TEXT_MAX], clean [2 * YARD_ERROR_TEXT_MAX], step [2 * YARD_ERROR_TEXT_MAX];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    self->warnings += state == FINDING_WARN;
    self->failures += state == FINDING_FAIL;
    if (self->invocation->json) {
        print_json (check, state, text, next);
        return;
    }
    printf ("%-4s  %-13s %s%s%s\n", state_words [state], check,
            text_clean (clean, sizeof clean, yard_string (text)), *next ? "; " : "",
            text_clean (step, sizeof step, yard_string (next)));
    fflush (stdout);
}

/*  As the actors will read it, without what only `up --set` knows. */
static void examine (doctor_t *self, yard_configuration_t **ret_configuration)
{
    yard_error_t error;
    const yard_paths_t *paths = &self->invocation->paths;
    if (yard_configuration_read (paths, NULL, 0, ret_configuration, &error) == 0) {
        self->values = yard_configuration_values (*ret_configuration);
        doctor_tell (self, "configuration", FINDING_OK, "",
                     "%s/modelyard.yaml and what goes before it is valid", paths->home);
    } else
        doctor_tell (self, "configuration", FINDING_FAIL, "`modelyard config` shows one in force", "%s",
                     error.text);
    doctor_machine (self);
    doctor_devices (self);
    doctor_yard (self);
}

int command_doctor (invocation_t *invocation, int argc, char **argv)
{
    words_t words = { 0 };
    yard_configuration_t *configuration = NULL;
    yard_error_t devices_error = { 0 };
    device_list_t devices = { 0 };
    int rc = invocation_parse (invocation, &doctor_argp, argc, argv, &words);
    if (rc)
        return invocation_failed (invocation);
    if (words.prove)
        return doctor_prove (invocation, words.prove);
    /* First, while there is no thread: it forks. */
    device_list_read (true, &devices, &devices_error);
    doctor_t self = { .invocation = invocation, .devices = &devices, .devices_error = &devices_error };
    examine (&self, &configuration);
    yard_configuration_destroy (&configuration);
    device_list_clear (&devices);
    if (!invocation->json)
        fprintf (stderr, "%zu failed, %zu warning%s\n", self.failures, self.warnings,
                 self.warnings == 1 ? "" : "s");
    return self.failures ? EXIT_FAILED : EXIT_DONE;
}
