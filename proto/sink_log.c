// SPDX-License-Identifier: Apache-2.0
/*  sink_log.c - a value as the fields of a log line: id=7 kind=download request={source="a b"} ids=[1 2]
 *
 *  Promises: at most LINE_BYTES_MAX bytes, cut between two characters; bytes of a BINARY and secrets are not
 *  shown.
 */
#include <inttypes.h>
#include "sink.h"

#define LINE_BYTES_MAX 1024 /* a quarter of what a line of the log may have (log.h) */
#define CUT "..." /* stands at the end of a line that was longer */

static void entry (yard_sink_t *self)
{
    if (self->follows)
        yard_buffer_append (self->buffer, " ", 1);
    self->follows = true;
}

static void open_bracket (yard_sink_t *self, const char *bracket)
{
    entry (self);
    yard_buffer_text (self->buffer, bracket);
    self->follows = false;
}

static void map (yard_sink_t *self, size_t count)
{
    (void) count;
    if (self->depth++ > 0)
        open_bracket (self, "{");
}

static void end_map (yard_sink_t *self)
{
    if (--self->depth > 0)
        yard_buffer_text (self->buffer, "}");
    self->follows = true;
}

static void list (yard_sink_t *self, size_t count)
{
    (void) count;
    self->depth++;
    open_bracket (self, "[");
}

static void end_list (yard_sink_t *self)
{
    self->depth--;
    yard_buffer_text (self->buffer, "]");
    self->follows = true;
}

static void key (yard_sink_t *self, yard_string_t name)
{
    entry (self);
    yard_buffer_append (self->buffer, name.data, name.size);
    yard_buffer_text (self->buffer, "=");
    self->follows = false;
}

static void boolean (yard_sink_t *self, bool value)
{
    entry (self);
    yard_buffer_text (self->buffer, value ? "true" : "false");
}

static void integer (yard_sink_t *self, int64_t value)
{
    entry (self);
    yard_buffer_printf (self->buffer, "%" PRId64, value);
}

static void natural (yard_sink_t *self, uint64_t value)
{
    entry (self);
    yard_buffer_printf (self->buffer, "%" PRIu64, value);
}

static void real (yard_sink_t *self, double value)
{
    entry (self);
    yard_json_real (self->buffer, value);
}

/*  Plain: everything but what would make the line hard to split again. */
static bool is_plain (yard_string_t value)
{
    for (size_t i = 0; i < value.size; i++)
        if ((unsigned char) value.data [i] <= ' ' || strchr ("\"\\{}[]=", value.data [i]))
            return false;
    return value.size > 0;
}

/*  One character after the other, so that a long text is cut at the end of the line and not left out. */
static void text (yard_sink_t *self, yard_string_t value)
{
    const char *quote = is_plain (value) ? "" : "\"";
    entry (self);
    yard_buffer_text (self->buffer, quote);
    for (size_t i = 0; i < value.size && !self->buffer->overflow;) {
        unsigned char c = (unsigned char) value.data [i];
        size_t size = 1;
        while (c >= 0xc0 && i + size < value.size && (value.data [i + size] & 0xc0) == 0x80)
            size++;
        if (c < ' ' || c == 0x7f)
            yard_buffer_printf (self->buffer, "\\x%02x", c);
        else if (c == '"' || c == '\\')
            yard_buffer_append (self->buffer, (const char []){ '\\', (char) c }, 2);
        else
            yard_buffer_append (self->buffer, value.data + i, size);
        i += size;
    }
    yard_buffer_text (self->buffer, quote);
}

static void bytes (yard_sink_t *self, yard_string_t value)
{
    entry (self);
    yard_buffer_printf (self->buffer, "(%zu bytes)", value.size);
}

static void secret (yard_sink_t *self, yard_string_t value)
{
    (void) value;
    entry (self);
    yard_buffer_text (self->buffer, "***");
}

static const yard_sink_class_t class = {
    .map = map,
    .list = list,
    .end_map = end_map,
    .end_list = end_list,
    .key = key,
    .boolean = boolean,
    .integer = integer,
    .natural = natural,
    .real = real,
    .text = text,
    .bytes = bytes,
    .secret = secret,
};

void yard_wire_log (const yard_wire_type_t *type, const void *value, yard_buffer_t *ret)
{
    yard_sink_t sink = { .class = &class, .buffer = ret };
    size_t limit = ret->limit;
    const size_t room = LINE_BYTES_MAX - (sizeof CUT - 1);
    bool overflow = ret->overflow;
    bool cut = limit - ret->size > LINE_BYTES_MAX;
    if (cut)
        ret->limit = ret->size + room;
    yard_wire_write (&sink, type, value, false, NULL);
    ret->limit = limit;
    if (cut && !overflow && ret->overflow) {
        ret->overflow = false;
        yard_buffer_text (ret, CUT);
    }
}
