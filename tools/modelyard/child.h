// SPDX-License-Identifier: Apache-2.0
/*  child.h - one supervised process: its program, its descriptor, and where it is in its life
 *
 *  Invariant: while it runs, pidfd names exactly this process; a signal goes through it and so never to a
 *  stranger that got the number.
 */
#ifndef MODELYARD_CHILD_H
#define MODELYARD_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "actors/ground/error.h"
#include "child_state.h"

#define CHILD_NAME_MAX 64
#define CHILD_WORDS_MAX \
    80 /* of its command line: the program, 64 settings with their flag would not fit and are refused */

typedef struct {
    char name [CHILD_NAME_MAX]; /* downloader-2: for logs, and its log file */
    unsigned stage; /* started when all of the stages below are ready, stopped before them */
    char *words [CHILD_WORDS_MAX + 1]; /* its command line; owned */
    child_state_t state;
    int64_t started_ms, due_ms; /* due_ms -1 = never */
    unsigned failures; /* short lives in a row */
    pid_t pid;
    int pidfd; /* -1: not running */
    bool was_ready; /* once at least */
    int exit_code; /* of its last end; 128 + number for a signal */
} child_t;

typedef struct {
    const char *notify_path;
    const char *log_directory; /* NULL: its words go where ours go */
} child_surroundings_t;

void child_init (child_t *self, const char *name, unsigned stage);
void child_clear (child_t *self); /* frees; kills what still runs */
int child_word (child_t *self, const char *word,
                yard_error_t *error); /* appends a word to the command line */

int child_spawn (child_t *self, const child_surroundings_t *around, yard_error_t *error);
void child_signal (const child_t *self, int number);
bool child_reap (child_t *self); /* true: it has ended, pidfd is closed, exit_code says how */

#endif
