// SPDX-License-Identifier: Apache-2.0
/*  events.h - what is told: rows of the outbox, in the transaction of the change they tell
 *
 *  Invariants: changes are numbered without gaps in the order of their commits; an event that was committed is published until the broker
 *  has taken it; the last `history` of them can be asked for.
 */
#ifndef YARD_RECORDER_EVENTS_H
#define YARD_RECORDER_EVENTS_H

#include "jobs.h"

/*  Numbers the event (book->change is its number afterwards) and puts it into the outbox. */
int recorder_events_tell (recorder_book_t *book, const yard_event_t *event, yard_string_t subject,
                          const void *body, yard_error_t *error);
/*  The event of the row's status, if it has one; sets job.change. */
int recorder_events_job (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error);

/*  Bodies of progress, which is not kept: of a running download, and of its parent with all parts. */
void recorder_events_download (const recorder_book_t *book, const job_t *job, download_told_t *ret);
int recorder_events_install (recorder_book_t *book, const job_t *job, install_progress_t *ret,
                             yard_error_t *error);

/*  Committed events the broker has not taken, in order, as many as fit into one ask; none: events.count is 0. */
int recorder_events_pending (recorder_book_t *book, event_publish_ask_t *ret, yard_error_t *error);
int recorder_events_history (recorder_book_t *book, const event_history_ask_t *ask,
                             event_history_answer_t *ret, yard_error_t *error);

#endif
