// SPDX-License-Identifier: Apache-2.0
/*  settle.c - the end of a turn: commit, then speak
 *
 *  Nothing that the turn said has left before its settle succeeded. If it fails, the turn's answers become that failure, its events are
 *  dropped and its asks end with the failure.
 */
#include "actor_inside.h"
#include "actors/ground/fault.h"

void yard_settle (yard_actor_t *actor)
{
    if (!actor->dirty)
        return;
    yard_error_t error = { 0 };
    int code = 0;
    if (FAULT ("planted.answer_before_commit")) {
        yard_outbox_settled (actor, 0, "");
        yard_outbox_flush (actor);
    }
    if (actor->class->settle) {
        yard_handling_begin (actor, "settle", "-");
        code = actor->class->settle (actor->self, &error);
        yard_handling_end (actor);
    }
    if (code) {
        if (!error.text [0])
            yard_error (&error, code, "%s", yard_error_row (code)->doc);
        yard_log_error ("settle.failed", "code=%s text=%s", yard_error_row (code)->word,
                        YARD_QUOTED (error.text));
        yard_published_forget (actor);
    } else
        yard_published_leave (actor);
    yard_asks_settled (actor, code, error.text);
    yard_outbox_settled (actor, code, error.text);
    actor->dirty = false;
}
