// SPDX-License-Identifier: Apache-2.0
/*  on_wait.c - job.wait: kept until the last of its jobs has ended, or its time is over
 *
 *  A wait counts its open jobs down as they end. At zero it looks at the rows: a job that was started again in between is waited for anew.
 */
#include "jobs.h"
#include "recorder.h"

#define WATCHED_MAX 65536 /* jobs of one wait for "all that are live": half a MiB */
#define ANSWER_ROWS 256 /* of the answer; job.def */

struct recorder_wait_t {
    recorder_wait_t *next;
    recorder_t *recorder;
    yard_request_t *request;
    yard_timer_t *timer; /* NULL: waits for ever */
    size_t count, open;
    uint64_t ids []; /* ascending */
};

static void forget (recorder_wait_t *wait)
{
    recorder_wait_t **link = &wait->recorder->waits;
    while (*link != wait)
        link = &(*link)->next;
    *link = wait->next;
    yard_timer_destroy (&wait->timer);
    free (wait);
}

void recorder_forget_waits (recorder_t *self)
{
    while (self->waits)
        forget (self->waits);
}

static void wait_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) self;
    (void) request;
    (void) code;
    forget (argument);
}

/*  How many of its jobs live; one that was pruned has ended. */
static int count_open (recorder_book_t *book, recorder_wait_t *wait, yard_error_t *error)
{
    wait->open = 0;
    for (size_t i = 0; i < wait->count; i++) {
        recorder_job_row_t row;
        int code = recorder_job_read (book, wait->ids [i], &row, error);
        if (code && code != YARD_UNKNOWN_JOB)
            return code;
        wait->open += code == 0 && !recorder_job_state (&row)->terminal;
    }
    return 0;
}

/*  Those that have ended, a page of them. */
static int collect (recorder_book_t *book, const recorder_wait_t *wait, job_list_answer_t *ret,
                    yard_error_t *error)
{
    memset (ret, 0, sizeof *ret);
    ret->change = book->change;
    ret->jobs.items = yard_arena_alloc (book->arena, ANSWER_ROWS * sizeof *ret->jobs.items);
    size_t used = yard_arena_used (book->arena);
    for (size_t i = 0; i < wait->count && !ret->more; i++) {
        recorder_job_row_t row;
        int code = recorder_job_read (book, wait->ids [i], &row, error);
        if (code == YARD_UNKNOWN_JOB)
            continue;
        if (code)
            return code;
        if (!recorder_job_state (&row)->terminal)
            continue;
        ret->more =
            ret->jobs.count == ANSWER_ROWS || yard_arena_used (book->arena) - used > RECORDER_PAGE_BYTES_MAX;
        if (!ret->more)
            ret->jobs.items [ret->jobs.count++] = row.job;
    }
    return 0;
}

/*  Ends the wait, one way or the other. */
static int answer (recorder_wait_t *wait)
{
    job_list_answer_t list;
    yard_error_t error;
    int code = collect (&wait->recorder->book, wait, &list, &error);
    yard_request_t *request = wait->request;
    yard_request_keep (request, NULL, NULL);
    forget (wait);
    return code ? yard_refuse_error (request, &error) : yard_reply (request, &list);
}

static void time_over (void *self, void *argument)
{
    (void) self;
    answer (argument);
}

static int by_number (const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *) a, right = *(const uint64_t *) b;
    return (left > right) - (left < right);
}

/*  ids named twice are waited for once; each must be a job. */
static int take_ids (recorder_book_t *book, const job_wait_ask_t *ask, uint64_t *ret_ids, size_t *ret_count,
                     yard_error_t *error)
{
    memcpy (ret_ids, ask->ids.items, ask->ids.count * sizeof *ret_ids);
    qsort (ret_ids, ask->ids.count, sizeof *ret_ids, by_number);
    *ret_count = 0;
    for (size_t i = 0; i < ask->ids.count; i++) {
        recorder_job_row_t row;
        if (i && ret_ids [i] == ret_ids [*ret_count - 1])
            continue;
        int code = recorder_job_read (book, ret_ids [i], &row, error);
        if (code)
            return code;
        ret_ids [(*ret_count)++] = ret_ids [i];
    }
    return 0;
}

int recorder_on_job_wait (recorder_t *self, yard_request_t *request, const job_wait_ask_t *ask)
{
    recorder_set_time (self);
    yard_error_t *error = yard_request_error (request);
    size_t room = ask->ids.count ? ask->ids.count : WATCHED_MAX;
    recorder_wait_t *wait = calloc (1, sizeof *wait + room * sizeof wait->ids [0]);
    if (!wait)
        abort ();
    int code = ask->ids.count ? take_ids (&self->book, ask, wait->ids, &wait->count, error)
                              : recorder_job_live (&self->book, ask->has_kind ? ask->kind : job_kind_unset,
                                                   room, wait->ids, &wait->count, error);
    if (code == 0)
        code = count_open (&self->book, wait, error);
    if (code) {
        free (wait);
        return code;
    }
    recorder_wait_t *smaller = realloc (wait, sizeof *wait + wait->count * sizeof wait->ids [0]);
    wait = smaller ? smaller : wait;
    wait->recorder = self;
    wait->request = request;
    wait->next = self->waits;
    self->waits = wait;
    if (wait->open == 0)
        return answer (wait);
    yard_request_keep (request, wait_ended, wait);
    if (ask->timeout_ms) {
        wait->timer = yard_timer_new (self->actor, time_over, wait);
        yard_timer_set (wait->timer, (int64_t) ask->timeout_ms);
    }
    return 0;
}

void recorder_end_waits (recorder_t *self)
{
    recorder_book_t *book = &self->book;
    for (recorder_wait_t *wait = self->waits, *next; wait && book->ended_count; wait = next) {
        next = wait->next;
        size_t ended = 0;
        for (size_t i = 0; i < book->ended_count; i++)
            ended +=
                bsearch (&book->ended [i], wait->ids, wait->count, sizeof wait->ids [0], by_number) != NULL;
        if (ended == 0)
            continue;
        wait->open -= ended < wait->open ? ended : wait->open;
        if (wait->open)
            continue;
        yard_error_t error;
        if (count_open (book, wait, &error) || wait->open == 0)
            answer (wait);
    }
}

void recorder_count_waits (recorder_t *self)
{
    for (recorder_wait_t *wait = self->waits; wait; wait = wait->next) {
        yard_error_t error;
        if (count_open (&self->book, wait, &error))
            yard_log_error ("wait.uncounted", "text=%s", YARD_QUOTED (error.text));
    }
}
