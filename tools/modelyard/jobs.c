// SPDX-License-Identifier: Apache-2.0
/*  jobs.c - commands about durable work: jobs, cancel
 */
#include "commands.h"

#include <stdlib.h>
#include "actors/ground/clock.h"
#include "rows.h"
#include "text.h"

#define PAGE 256 /* the method's own limit */

/*  --- jobs */
static const column_t job_columns [] = { { .heading = "ID", .right = true },
                                         { .heading = "KIND" },
                                         { .heading = "STATUS" },
                                         { .heading = "STEP" },
                                         { .heading = "DONE", .right = true },
                                         { .heading = "SIZE", .right = true },
                                         { .heading = "AGE", .right = true },
                                         { .heading = "WHAT", .cut = true } };

static error_t parse_jobs (int key, char *word, struct argp_state *state)
{
    job_list_ask_t *ask = state->input;
    switch (key) {
    case 'l':
        ask->live = true;
        return 0;
    case 'k':
        ask->has_kind = true;
        ask->kind = (job_kind_t) yard_wire_value (job_kind_type (), yard_string (word));
        if (!ask->kind)
            argp_error (state, "\"%.40s\" is no kind; one of: download install convert archive hash", word);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp jobs_argp = {
    .options =
        (const struct argp_option []){
            { .name = "live", .key = 'l', .doc = "Only those that have not ended" },
            { .name = "kind", .key = 'k', .arg = "KIND", .doc = "Only installs, or downloads …" },
            { 0 } },
    .parser = parse_jobs,
    .doc = "Lists jobs, oldest first."
};

static yard_string_t what_of (const job_t *job)
{
    if (job->error.size)
        return job->error;
    return job->has_install    ? job->install.source
           : job->has_download ? job->download.source
                               : yard_string ("");
}

static void add_job (rows_t *rows, const job_t *job)
{
    char id [32], done [32] = "", size [32] = "", age [32], status [64];
    snprintf (id, sizeof id, "%llu", (unsigned long long) job->id);
    snprintf (status, sizeof status, "%s%s%s", yard_wire_word (job_status_type (), (int) job->status),
              job->held ? " held" : "", job->dead ? " dead" : "");
    if (job->total_bytes) {
        snprintf (done, sizeof done, "%llu %%", (unsigned long long) (100 * job->bytes / job->total_bytes));
        text_size (size, sizeof size, job->total_bytes);
    }
    text_duration (age, sizeof age, yard_clock_wall_ms (yard_clock_system ()) - job->created_ms);
    const yard_string_t cells [] = {
        yard_string (id),     yard_string (yard_wire_word (job_kind_type (), (int) job->kind)),
        yard_string (status), job->step,
        yard_string (done),   yard_string (size),
        yard_string (age),    what_of (job)
    };
    rows_add (rows, cells);
}

int command_jobs (invocation_t *self, int argc, char **argv)
{
    job_list_ask_t ask;
    job_list_answer_t answer;
    yard_wire_init (job_list_ask_type (), &ask);
    int rc = invocation_parse (self, &jobs_argp, argc, argv, &ask);
    rows_t *rows = rows_new (job_columns, sizeof job_columns / sizeof job_columns [0]);
    ask.limit = PAGE;
    do {
        if (rc == 0)
            rc = invocation_ask (self, &job_list_method, &ask, &answer);
        for (size_t i = 0; rc == 0 && i < answer.jobs.count; i++) {
            if (self->json)
                invocation_json (job_type (), &answer.jobs.items [i]);
            else
                add_job (rows, &answer.jobs.items [i]);
            ask.after = answer.jobs.items [i].id;
        }
    } while (rc == 0 && answer.more && answer.jobs.count > 0);
    if (rc == 0 && !self->json) {
        if (rows_count (rows))
            rows_print (rows, stdout, rows_terminal_width ());
        else
            fprintf (stderr, "no jobs\n");
    }
    rows_destroy (&rows);
    return rc ? invocation_failed (self) : EXIT_DONE;
}

/*  --- cancel */
static error_t parse_cancel (int key, char *word, struct argp_state *state)
{
    uint64_t *id = state->input;
    char *end;
    if (key == ARGP_KEY_NO_ARGS)
        argp_error (state, "which job? `modelyard jobs --live` lists them");
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (state->arg_num > 0)
        argp_usage (state);
    *id = strtoull (word, &end, 10);
    if (*end || end == word || *id == 0 || *id > YARD_SAFE_INTEGER || *word == '-')
        argp_error (state, "\"%.40s\" is no job's number; `modelyard jobs --live` lists them", word);
    return 0;
}

int command_cancel (invocation_t *self, int argc, char **argv)
{
    static const struct argp argp = { .parser = parse_cancel,
                                      .args_doc = "ID",
                                      .doc = "Cancels a job and what it waits for." };
    job_id_t ask = { 0 };
    job_t job;
    int rc = invocation_parse (self, &argp, argc, argv, &ask.id);
    if (rc == 0)
        rc = invocation_ask (self, &job_cancel_method, &ask, &job);
    if (rc)
        return invocation_failed (self);
    if (self->json)
        invocation_json (job_type (), &job);
    else
        printf ("job %llu is %s\n", (unsigned long long) job.id,
                yard_wire_word (job_status_type (), (int) job.status));
    return EXIT_DONE;
}
