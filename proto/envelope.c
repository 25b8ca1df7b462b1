// SPDX-License-Identifier: Apache-2.0
/*  envelope.c - frames to an envelope and back
 *
 *  Promises: reads heads and lengths only; what a letter may carry stands in one table.
 */
#include "envelope.h"

#include <assert.h>

#define PREFIX "YARD1"
#define PREFIX_SIZE (sizeof PREFIX - 1)
#define REST_MAX 4 /* name, body, meta, from */

/*  How many frames may stand behind the head, and whether the head must, may or must not have an id. */
typedef enum {
    ID_NEVER,
    ID_MAYBE,
    ID_ALWAYS
} id_rule_t;

static const struct {
    char letter;
    id_rule_t id;
    size_t least, most;
} letters [] = {
    { 'A', ID_ALWAYS, 2, 4 }, /* name body [meta] [from] */
    { 'R', ID_ALWAYS, 2, 2 }, /* name body */
    { 'F', ID_MAYBE, 2, 2 }, /* name failure; no id: it answers no ask */
    { 'E', ID_ALWAYS, 3, 3 }, /* topic body stamp */
    { 'H', ID_NEVER, 2, 2 },  { 'W', ID_NEVER, 2, 2 }, { 'C', ID_ALWAYS, 2, 2 },
    { 'P', ID_NEVER, 0, 2 },  { 'O', ID_NEVER, 2, 2 }, { 'B', ID_MAYBE, 0, 2 },
};

static bool is_head (yard_string_t frame)
{
    return frame.size > PREFIX_SIZE && frame.size <= YARD_HEAD_MAX &&
           memcmp (frame.data, PREFIX, PREFIX_SIZE) == 0;
}

static int check_letter (const yard_envelope_t *self, size_t rest, yard_error_t *error)
{
    for (size_t i = 0; i < sizeof letters / sizeof letters [0]; i++) {
        if (letters [i].letter != self->letter)
            continue;
        if (rest < letters [i].least || rest > letters [i].most)
            return yard_error (error, YARD_BAD_FRAME,
                               "%c must have %zu to %zu frames behind its head, has %zu", self->letter,
                               letters [i].least, letters [i].most, rest);
        if (self->id.size == 0 ? letters [i].id == ID_ALWAYS : letters [i].id == ID_NEVER)
            return yard_error (error, YARD_BAD_FRAME, "%c must have %s id behind its letter", self->letter,
                               letters [i].id == ID_NEVER ? "no" : "an");
        if (self->name.size > YARD_NAME_MAX)
            return yard_error (error, YARD_BAD_FRAME, "the name has %zu bytes, it may have %d",
                               self->name.size, YARD_NAME_MAX);
        return 0;
    }
    return yard_error (error, YARD_BAD_FRAME, "byte 0x%02x is no letter of this protocol",
                       (unsigned char) self->letter);
}

int yard_envelope_parse (const yard_string_t *frames, size_t count, yard_envelope_t *ret, yard_error_t *error)
{
    static const yard_string_t nothing = { "", 0 };
    size_t head = 0;
    while (head < count && head <= YARD_PREFIX_MAX && !is_head (frames [head]))
        head++;
    if (head == count || head > YARD_PREFIX_MAX)
        return yard_error (error, YARD_BAD_FRAME,
                           "none of the first %d frames begins with " PREFIX " and a letter",
                           YARD_PREFIX_MAX + 1);
    size_t rest = count - head - 1;
    yard_envelope_t self = {
        .prefix = frames,
        .prefix_count = head,
        .letter = frames [head].data [PREFIX_SIZE],
        .id = { frames [head].data + PREFIX_SIZE + 1, frames [head].size - PREFIX_SIZE - 1 },
    };
    yard_string_t *const places [REST_MAX] = { &self.name, &self.body, &self.meta, &self.from };
    for (size_t i = 0; i < REST_MAX; i++)
        *places [i] = i < rest ? frames [head + 1 + i] : nothing;
    int failed = check_letter (&self, rest, error);
    if (!failed)
        *ret = self;
    return failed;
}

size_t yard_envelope_frames (const yard_envelope_t *self, char *head, yard_string_t *ret_frames)
{
    size_t count = 0;
    assert (self->prefix_count <= YARD_PREFIX_MAX && self->id.size <= YARD_ID_MAX &&
            self->name.size <= YARD_NAME_MAX);
    for (size_t i = 0; i < self->prefix_count; i++)
        ret_frames [count++] = self->prefix [i];
    memcpy (head, PREFIX, PREFIX_SIZE);
    head [PREFIX_SIZE] = self->letter;
    if (self->id.size)
        memcpy (head + PREFIX_SIZE + 1, self->id.data, self->id.size);
    ret_frames [count++] = (yard_string_t){ head, PREFIX_SIZE + 1 + self->id.size };
    ret_frames [count++] = self->name;
    ret_frames [count++] = self->body;
    if (self->meta.size || self->from.size)
        ret_frames [count++] = self->meta;
    if (self->from.size)
        ret_frames [count++] = self->from;
    return count;
}
