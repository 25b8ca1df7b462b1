// SPDX-License-Identifier: Apache-2.0
/*  states.c - the tables of downloads and installs
 *
 *  A paused install is `waiting` and held, a paused download has a word of its own: the words are those that clients of the model manager
 *  know. An install in `downloading` is leased when its last file is there, and begins to run then.
 */
#include "states.h"

static const recorder_state_t download_states [] = {
    { job_status_idle, false, false, NULL }, /* held since it was submitted */
    { job_status_enqueued, true, false, &download_enqueued_event },
    { job_status_running, false, false, &download_running_event },
    { job_status_paused, false, false, &download_paused_event },
    { job_status_completed, false, true, &download_completed_event },
    { job_status_error, false, true, &download_error_event },
    { job_status_cancelled, false, true, &download_cancelled_event },
    { job_status_unset, false, false, NULL },
};

static const recorder_transition_t download_transitions [] = {
    { RECORDER_MOVE_GRANT, job_status_enqueued, job_status_running },
    { RECORDER_MOVE_RETURN, job_status_running, job_status_enqueued },
    { RECORDER_MOVE_FINISH, job_status_running, job_status_completed },
    { RECORDER_MOVE_FAIL, job_status_running, job_status_error },
    { RECORDER_MOVE_CANCEL, job_status_idle, job_status_cancelled },
    { RECORDER_MOVE_CANCEL, job_status_enqueued, job_status_cancelled },
    { RECORDER_MOVE_CANCEL, job_status_running, job_status_cancelled },
    { RECORDER_MOVE_CANCEL, job_status_paused, job_status_cancelled },
    { RECORDER_MOVE_PAUSE, job_status_idle, job_status_paused },
    { RECORDER_MOVE_PAUSE, job_status_enqueued, job_status_paused },
    { RECORDER_MOVE_PAUSE, job_status_running, job_status_paused },
    { RECORDER_MOVE_START, job_status_idle, job_status_enqueued },
    { RECORDER_MOVE_START, job_status_paused, job_status_enqueued },
    { RECORDER_MOVE_REVIVE, job_status_error, job_status_enqueued },
    { RECORDER_MOVE_REVIVE, job_status_cancelled,
      job_status_enqueued }, /* with its parent, which a sibling ended */
    { 0, job_status_unset, job_status_unset },
};

static const recorder_state_t install_states [] = {
    { job_status_waiting, true, false, NULL },
    { job_status_downloading, true, false, &model_install_downloading_event },
    { job_status_running, true, false, &model_install_running_event },
    { job_status_completed, false, true, &model_install_completed_event },
    { job_status_error, false, true, &model_install_error_event },
    { job_status_cancelled, false, true, &model_install_cancelled_event },
    { job_status_unset, false, false, NULL },
};

static const recorder_transition_t install_transitions [] = {
    { RECORDER_MOVE_GRANT, job_status_waiting,
      job_status_waiting }, /* finding out what to fetch is not yet running */
    { RECORDER_MOVE_BEGIN, job_status_waiting, job_status_running },
    { RECORDER_MOVE_BEGIN, job_status_downloading, job_status_running },
    { RECORDER_MOVE_BEGIN, job_status_running, job_status_running },
    { RECORDER_MOVE_RETURN, job_status_waiting, job_status_waiting },
    { RECORDER_MOVE_RETURN, job_status_downloading, job_status_downloading }, /* its last child has ended */
    { RECORDER_MOVE_RETURN, job_status_running, job_status_running },
    { RECORDER_MOVE_WAIT, job_status_waiting, job_status_downloading },
    { RECORDER_MOVE_WAIT, job_status_running, job_status_running },
    { RECORDER_MOVE_FINISH, job_status_waiting, job_status_completed },
    { RECORDER_MOVE_FINISH, job_status_running, job_status_completed },
    { RECORDER_MOVE_FAIL, job_status_waiting, job_status_error },
    { RECORDER_MOVE_FAIL, job_status_downloading, job_status_error }, /* a child failed */
    { RECORDER_MOVE_FAIL, job_status_running, job_status_error },
    { RECORDER_MOVE_CANCEL, job_status_waiting, job_status_cancelled },
    { RECORDER_MOVE_CANCEL, job_status_downloading, job_status_cancelled },
    { RECORDER_MOVE_CANCEL, job_status_running, job_status_cancelled },
    { RECORDER_MOVE_PAUSE, job_status_waiting, job_status_waiting },
    { RECORDER_MOVE_PAUSE, job_status_downloading, job_status_waiting },
    { RECORDER_MOVE_PAUSE, job_status_running, job_status_waiting },
    { RECORDER_MOVE_START, job_status_waiting, job_status_waiting },
    { RECORDER_MOVE_REVIVE, job_status_error, job_status_waiting },
    { 0, job_status_unset, job_status_unset },
};

static const recorder_kind_t kinds [] = {
    { job_kind_download, job_status_enqueued, job_status_idle, download_states, download_transitions },
    { job_kind_install, job_status_waiting, job_status_waiting, install_states, install_transitions },
};

const recorder_kind_t *recorder_kind_find (job_kind_t kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds [0]; i++)
        if (kinds [i].kind == kind)
            return &kinds [i];
    return NULL;
}

const recorder_state_t *recorder_state_find (const recorder_kind_t *kind, job_status_t status)
{
    for (const recorder_state_t *state = kind->states; state->status != job_status_unset; state++)
        if (state->status == status)
            return state;
    return NULL;
}

job_status_t recorder_state_next (const recorder_kind_t *kind, job_status_t from, recorder_move_t move)
{
    for (const recorder_transition_t *row = kind->transitions; row->from != job_status_unset; row++)
        if (row->move == move && row->from == from)
            return row->to;
    return job_status_unset;
}
