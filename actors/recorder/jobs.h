// SPDX-License-Identifier: Apache-2.0
/*  jobs.h - the job engine (ARCHITECTURE 5): rows, moves, leases
 *
 *  The life of a job: submit puts a row into the queue; grant gives it to a member, with a token that counts up; extend keeps the lease
 *  alive; finish, fail, record.add end the job; release, expiry and a `holding` that does not list it put it back. expand ends a
 *  lease with children and a next step: the parent is ready again when its last child has completed. A child that fails or is cancelled
 *  ends its parent, and a parent that ends takes its live children with it.
 *
 *  Invariants:
 *  - queue READY: in no member's hands and to be granted; LEASED: exactly then the book's leases have the job; DELAYED: not before a time;
 *    NONE: held, waiting for children, or ended.
 *  - token is that of the last grant; a word with another token changes nothing (stale_token). end_token is the one that ended the
 *    job: finish, fail and record.add with it get the first answer again.
 *  - open_children counts the children that have not ended, while the parent lives.
 *
 *  All effects run inside recorder_book_enter and _leave; strings of rows lie in the book's arena.
 */
#ifndef YARD_RECORDER_JOBS_H
#define YARD_RECORDER_JOBS_H

#include "book.h"
#include "states.h"

typedef enum {
    RECORDER_QUEUE_NONE,
    RECORDER_QUEUE_READY,
    RECORDER_QUEUE_LEASED,
    RECORDER_QUEUE_DELAYED
} recorder_queue_t;

typedef struct {
    job_t job;
    uint64_t token, end_token, open_children;
    recorder_queue_t queue;
    bool expanded; /* past its first step: the next lease begins to run */
    yard_string_t member, secret;
    yard_string_t result, config_out; /* packed, as stored */
    yard_string_t answer; /* packed answer of the record.add that ended it */
} recorder_job_row_t;

/*  --- rows (job_rows.c) */
int recorder_job_read (recorder_book_t *book, uint64_t id, recorder_job_row_t *ret,
                       yard_error_t *error); /* or unknown_job */
int recorder_job_save (recorder_book_t *book, const recorder_job_row_t *row, yard_error_t *error);
/*  From the columns of a stepped JOB statement; progress in memory is laid over it. bytes counts what the row weighs. */
int recorder_job_from_columns (recorder_book_t *book, sqlite3_stmt *statement, recorder_job_row_t *ret,
                               size_t *ret_bytes, yard_error_t *error);
yard_string_t recorder_job_source (const job_t *job);
const recorder_state_t *recorder_job_state (const recorder_job_row_t *row);
/*  The children as parts, at most limit of them; the sums are of all. */
int recorder_job_parts (recorder_book_t *book, uint64_t parent, size_t limit, job_part_t *ret_parts,
                        size_t *ret_count, uint64_t *ret_bytes, uint64_t *ret_total, yard_error_t *error);
/*  Ids of children above `after`, at most 256 at a time into the arena. */
int recorder_job_children (recorder_book_t *book, uint64_t parent, uint64_t after, bool live, uint64_t **ret,
                           size_t *ret_count, yard_error_t *error);

/*  --- queries (job_queries.c) */
int recorder_job_get (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error);
int recorder_job_list (recorder_book_t *book, const job_list_ask_t *ask, job_list_answer_t *ret,
                       yard_error_t *error);
/*  Ids of live jobs, ascending, at most limit; job_kind_unset = of any kind. */
int recorder_job_live (recorder_book_t *book, job_kind_t kind, size_t limit, uint64_t *ret_ids,
                       size_t *ret_count, yard_error_t *error);

/*  --- moves (job_moves.c) */
/*  Changes the status as the tables say, tells it, saves the row, and sees to parent and children. queue: where the job is afterwards,
 *  for a live one. too_late or conflict if the move does not exist. */
int recorder_job_move (recorder_book_t *book, recorder_job_row_t *row, recorder_move_t move,
                       recorder_queue_t queue, yard_error_t *error);
int recorder_job_end_badly (recorder_book_t *book, recorder_job_row_t *row, yard_string_t error_type,
                            yard_string_t text, yard_error_t *error);
/*  Back to the queue; a dead letter if the attempts are used up. */
int recorder_job_return (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error);
int recorder_job_cancel (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error);
int recorder_job_pause (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error);
int recorder_job_start (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error);

/*  --- submit (job_submit.c) */
/*  secret: file name, or empty. existed: ret_job is the equal live one, and nothing changed. */
int recorder_job_submit (recorder_book_t *book, const job_submit_ask_t *ask, yard_string_t secret,
                         job_submit_answer_t *ret, yard_error_t *error);
int recorder_job_expand (recorder_book_t *book, const job_expand_ask_t *ask, job_expand_answer_t *ret,
                         yard_error_t *error);
int recorder_job_prune (recorder_book_t *book, const job_prune_ask_t *ask, job_prune_answer_t *ret,
                        yard_error_t *error);

/*  --- leases (job_leases.c) */
/*  The rows' leases into memory, each with a full new term; what was told of their progress comes again with the next extend. */
int recorder_jobs_find_leases (recorder_book_t *book, yard_error_t *error);
/*  What the member does not list goes back; what it lists is its own, for a new term. */
int recorder_job_reconcile (recorder_book_t *book, const job_lease_ask_t *ask, yard_error_t *error);
/*  Up to room grants into the arena; secrets of the rows in ret_secrets, for who keeps them. count 0: there is no work. */
int recorder_job_grant (recorder_book_t *book, const job_lease_ask_t *ask, job_lease_answer_t *ret,
                        yard_string_t **ret_secrets, yard_error_t *error);
/*  moved: ids whose progress moved, of which ret_moved [ask->leases.count] has room. */
int recorder_job_extend (recorder_book_t *book, const job_extend_ask_t *ask, job_extend_answer_t *ret,
                         uint64_t *ret_moved, size_t *ret_moved_count, yard_error_t *error);
/*  Expired leases and delays that are over go back to the queue. late: the loop stood still, so nobody could extend. */
int recorder_jobs_expire (recorder_book_t *book, yard_error_t *error);
bool recorder_jobs_due (const recorder_book_t *book);

/*  --- ends (job_ends.c) */
/*  The row if token holds it. ret_ended: it has ended by this very token: answer as the first time. Else stale_token, unknown_job. */
int recorder_job_held (recorder_book_t *book, uint64_t id, uint64_t token, recorder_job_row_t *ret,
                       bool *ret_ended, yard_error_t *error);
int recorder_job_finish (recorder_book_t *book, const job_finish_ask_t *ask, job_t *ret, yard_error_t *error);
int recorder_job_fail (recorder_book_t *book, const job_fail_ask_t *ask, job_t *ret, yard_error_t *error);
int recorder_job_release (recorder_book_t *book, const job_release_ask_t *ask, job_t *ret,
                          yard_error_t *error);

#endif
