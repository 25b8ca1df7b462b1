// SPDX-License-Identifier: Apache-2.0
/*  states.h - which statuses a kind of job has, and how they follow each other: two constant tables per kind
 *
 *  A job changes its status by a move, and only as the tables say; what is not in them is refused. A change of status is told by the event
 *  of the new one.
 */
#ifndef YARD_RECORDER_STATES_H
#define YARD_RECORDER_STATES_H

#include "proto/messages.h"

typedef enum {
    RECORDER_MOVE_GRANT, /* a member has it */
    RECORDER_MOVE_BEGIN, /* an install's own work begins: its files are there */
    RECORDER_MOVE_RETURN, /* the lease is over, the work is not */
    RECORDER_MOVE_WAIT, /* children have the next word */
    RECORDER_MOVE_FINISH,
    RECORDER_MOVE_FAIL,
    RECORDER_MOVE_CANCEL,
    RECORDER_MOVE_PAUSE,
    RECORDER_MOVE_START, /* of a held job */
    RECORDER_MOVE_REVIVE, /* of a dead letter or an undecided job */
} recorder_move_t;

typedef struct {
    job_status_t status;
    bool leasable; /* a member may be given it, unless it is held or has open children */
    bool terminal;
    const yard_event_t *event; /* told on entry; NULL: nothing is */
} recorder_state_t;

typedef struct {
    recorder_move_t move;
    job_status_t from, to;
} recorder_transition_t;

typedef struct {
    job_kind_t kind;
    job_status_t first, first_held; /* of a new job */
    const recorder_state_t *states; /* ends with an unset status */
    const recorder_transition_t *transitions; /* ends with unset statuses */
} recorder_kind_t;

const recorder_kind_t *recorder_kind_find (job_kind_t kind); /* NULL: no pool does this yet */
const recorder_state_t *recorder_state_find (const recorder_kind_t *kind,
                                             job_status_t status); /* NULL: the kind has it not */

/*  job_status_unset: the move does not exist from here. */
job_status_t recorder_state_next (const recorder_kind_t *kind, job_status_t from, recorder_move_t move);

#endif
