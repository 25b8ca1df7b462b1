// SPDX-License-Identifier: Apache-2.0
/*  mailbox.c - what the broker sends, to whom it concerns
 *
 *  Frames that are no message, or one that nobody sends to an actor, are counted and dropped: nobody could read an answer to them.
 */
#include "actor_inside.h"

typedef struct {
    char letter;
    void (*take) (yard_actor_t *actor, const yard_envelope_t *envelope);
} door_t;

/*  A failure without an id is about our hello; with the id of a follow it ends the stream; else it is an ask's. */
static void failed (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    if (envelope->id.size == 0)
        yard_hello_refused (actor, envelope);
    else if (!yard_follow_ended (actor, envelope))
        yard_ask_failed (actor, envelope);
}

static const door_t doors [] = {
    { 'A', yard_request_asked }, { 'R', yard_ask_answered }, { 'F', failed },
    { 'E', yard_follow_heard },  { 'P', yard_hello_pinged }, { 'W', yard_hello_welcomed },
    { 'B', yard_request_bye },
};

/*  Said at the first and at each doubling, so that a broken peer does not fill the log. */
void yard_mailbox_malformed (yard_actor_t *actor, const char *why)
{
    uint64_t count = ++actor->malformed;
    if ((count & (count - 1)) == 0)
        yard_log_warning ("frames.malformed", "count=%llu text=%s", (unsigned long long) count,
                          YARD_QUOTED (why));
}

static void deliver (yard_actor_t *actor)
{
    yard_envelope_t envelope;
    yard_error_t error;
    if (yard_envelope_parse (actor->message.frames, actor->message.count, &envelope, &error)) {
        yard_mailbox_malformed (actor, error.text);
        return;
    }
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        if (doors [i].letter == envelope.letter) {
            doors [i].take (actor, &envelope);
            return;
        }
    }
    yard_mailbox_malformed (actor, "a letter that no actor gets");
}

void yard_mailbox_drain (yard_actor_t *actor)
{
    for (int i = 0; i < YARD_MAILBOX_BUDGET && !yard_outbox_full (actor); i++) {
        if (!yard_socket_receive (actor->socket, &actor->message))
            return;
        deliver (actor);
    }
}
