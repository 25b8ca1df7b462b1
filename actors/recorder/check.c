// SPDX-License-Identifier: Apache-2.0
/*  check.c - the database is looked through once after the start, beside the work; a damaged one is only read from then
 */
#include "recorder.h"

typedef struct {
    char path [PATH_MAX];
    int code;
    yard_error_t error;
} check_t;

static void look (void *argument)
{
    check_t *check = argument;
    check->code = recorder_store_check (check->path, &check->error);
}

static void looked (void *argument, void *check_p)
{
    recorder_t *self = argument;
    check_t *check = check_p;
    if (check->code) {
        yard_log_error ("store.damaged", "text=%s", YARD_QUOTED (check->error.text));
        self->read_only = true;
        recorder_store_forbid (self->book.store);
        store_told_t body = { .reason = yard_string (check->error.text) };
        yard_publish (self->actor, &store_damaged_event, "", &body);
        yard_actor_note (self->actor, "the store is damaged: read only");
    }
    free (check);
}

void recorder_check (recorder_t *self)
{
    self->checked = true;
    check_t *check = calloc (1, sizeof *check);
    if (!check)
        abort ();
    snprintf (check->path, sizeof check->path, "%s", recorder_store_path (self->book.store));
    yard_offload (self->actor, look, looked, check);
}
