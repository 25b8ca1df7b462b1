// SPDX-License-Identifier: Apache-2.0
/*  invocation.h - one run of one command: its words, the yard it talks to, how it ends
 *
 *  A command is a function from words to an exit code. Results go to stdout, everything else to stderr. With
 *  --json each result is one object on a line of its own, made by the message engine, and a failure is one
 *  object on stderr.
 */
#ifndef MODELYARD_INVOCATION_H
#define MODELYARD_INVOCATION_H

#include <argp.h>
#include <stdbool.h>
#include "actors/ground/paths.h"
#include "proto/client/modelyard.h"

typedef struct {
    char title [64]; /* "modelyard ls" */
    bool json;
    bool out_tty, err_tty;
    yard_paths_t paths;
    yard_client_t *client; /* NULL until something is asked */
    yard_arena_t *arena; /* of all answers of this run */
    yard_error_t error;
} invocation_t;

typedef int (command_fn) (invocation_t *self, int argc, char **argv);

/*  The exit codes that are no failure's: those stand in errors.def. */
enum {
    EXIT_DONE = 0,
    EXIT_USAGE = 2,
    EXIT_DETACHED = 13
};

void invocation_init (invocation_t *self, const char *command);
void invocation_clear (invocation_t *self);

/*  Reads options and arguments by argp (whose parser gets input), and those that every command has: --home,
 *  --run, --json. A mistake ends the program with EXIT_USAGE, as --help does with EXIT_DONE. 0, or the code
 *  of what is wrong with the paths. */
int invocation_parse (invocation_t *self, const struct argp *argp, int argc, char **argv, void *input);

int invocation_connect (invocation_t *self);
/*  Connects if need be. ret_answer lives as long as the run. */
int invocation_ask (invocation_t *self, const yard_method_t *method, const void *ask, void *ret_answer);
int invocation_ask_with (invocation_t *self, const yard_method_t *method, const void *ask,
                         const yard_call_options_t *options, void *ret_answer);

/*  Prints the failure; its exit code. */
int invocation_failed (const invocation_t *self);

/*  One object on a line of stdout; json that was put together by hand likewise. */
void invocation_json (const yard_wire_type_t *type, const void *value);
void invocation_json_line (const yard_buffer_t *json);
#define INVOCATION_JSON_MAX (8 * (size_t) YARD_MESSAGE_MAX) /* escapes make text up to six times longer */

#endif
