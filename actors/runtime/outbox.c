// SPDX-License-Identifier: Apache-2.0
/*  outbox.c - what leaves: hello first, then asks, then answers and the small letters
 *
 *  Promises: nothing but hello and pong goes to a broker that has not welcomed us: numbers of another epoch would mean somebody else there. What the
 *  socket does not take stays, in order. While SAID_MAX of it wait the mailbox is not read, so a broker that does not read us
 *  cannot make us grow.
 */
#include "actor_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SAID_MAX 4096 /* waiting answers and small letters: four times the open requests */

struct yard_said_t {
    yard_said_t *next;
    char letter;
    char id [YARD_ID_MAX], name [YARD_NAME_MAX];
    size_t id_size, name_size;
    yard_buffer_t body;
};

static void list_push (yard_said_list_t *list, yard_said_t *said)
{
    if (!list->first)
        list->last_p = &list->first;
    said->next = NULL;
    *list->last_p = said;
    list->last_p = &said->next;
    list->count++;
}

static yard_said_t *list_pop (yard_said_list_t *list)
{
    yard_said_t *said = list->first;
    if (said) {
        list->first = said->next;
        list->count--;
    }
    return said;
}

static void said_free (yard_said_t *said)
{
    yard_buffer_clear (&said->body);
    free (said);
}

void yard_say (yard_actor_t *actor, char letter, yard_string_t id, yard_string_t name, yard_buffer_t *body)
{
    yard_said_t *said = yard_zeroed (sizeof *said);
    assert (id.size <= sizeof said->id && name.size <= sizeof said->name);
    said->letter = letter;
    said->id_size = id.size;
    said->name_size = name.size;
    if (id.size)
        memcpy (said->id, id.data, id.size);
    if (name.size)
        memcpy (said->name, name.data, name.size);
    said->body = *body;
    yard_buffer_init (body, body->limit);
    list_push (&actor->said_held, said);
    actor->dirty = true;
}

void yard_say_record (yard_actor_t *actor, char letter, yard_string_t id, const yard_wire_type_t *type,
                      const void *value)
{
    yard_buffer_t body;
    yard_buffer_init (&body, YARD_MESSAGE_MAX);
    int code = yard_wire_pack (type, value, &body, NULL);
    assert (code == 0);
    yard_say (actor, letter, id, yard_string (""), &body);
}

/*  Texts come from paths and strangers, so they may be no UTF-8; then what is not ASCII is replaced, and cut where it is too long. */
void yard_failure_pack (const failure_t *failure, yard_buffer_t *ret)
{
    yard_buffer_init (ret, YARD_MESSAGE_MAX);
    if (yard_wire_pack (failure_type (), failure, ret, NULL) == 0)
        return;
    char text [YARD_ERROR_TEXT_MAX];
    size_t size = failure->text.size < sizeof text ? failure->text.size : sizeof text;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char) failure->text.data [i];
        text [i] = byte >= 0x20 && byte < 0x7f ? (char) byte : '?';
    }
    failure_t plain = { .code = failure->code, .text = { text, size } };
    yard_buffer_reset (ret);
    int code = yard_wire_pack (failure_type (), &plain, ret, NULL);
    assert (code == 0);
}

/*  A failed settle makes a failure of every answer of the turn, also of one that was a failure already: its reason may have leaned on state
 *  that was undone. */
static void undo (yard_said_t *said, int code, const char *why)
{
    if (said->letter != 'R' && said->letter != 'F')
        return;
    failure_t failure = { .code = yard_string (yard_error_row (code)->word), .text = yard_string (why) };
    yard_buffer_clear (&said->body);
    yard_failure_pack (&failure, &said->body);
    said->letter = 'F';
}

void yard_outbox_settled (yard_actor_t *actor, int code, const char *why)
{
    for (yard_said_t *said; (said = list_pop (&actor->said_held));) {
        if (code)
            undo (said, code, why);
        list_push (&actor->said_leaving, said);
    }
}

void yard_outbox_forget (yard_actor_t *actor)
{
    for (yard_said_t *said; (said = list_pop (&actor->said_leaving));)
        said_free (said);
    for (yard_said_t *said; (said = list_pop (&actor->said_held));)
        said_free (said);
}

bool yard_outbox_full (const yard_actor_t *actor)
{
    return actor->link == YARD_LINK_WELCOMED && actor->said_leaving.count >= SAID_MAX;
}

int yard_outbox_send (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX];
    size_t count = yard_envelope_frames (envelope, head, frames);
    return yard_socket_send (actor->socket, frames, count);
}

static int send_said (yard_actor_t *actor)
{
    for (yard_said_t *said; (said = actor->said_leaving.first);) {
        yard_envelope_t envelope = { .letter = said->letter,
                                     .id = { said->id, said->id_size },
                                     .name = { said->name, said->name_size },
                                     .body = yard_buffer_view (&said->body) };
        if (yard_outbox_send (actor, &envelope) == YARD_BUSY)
            return YARD_BUSY;
        said_free (list_pop (&actor->said_leaving));
    }
    return 0;
}

void yard_outbox_flush (yard_actor_t *actor)
{
    if (actor->link == YARD_LINK_HELLO_DUE && !yard_hello_send (actor))
        return;
    if (actor->link == YARD_LINK_WELCOMED)
        actor->blocked = yard_asks_send (actor) == YARD_BUSY || send_said (actor) == YARD_BUSY;
}
