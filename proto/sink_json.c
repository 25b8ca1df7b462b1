// SPDX-License-Identifier: Apache-2.0
/*  sink_json.c - a value as one JSON object (RFC 8259), without spaces
 *
 *  Bytes become base64 text. Integers beyond 2^53 - 1 become text too, since most JSON readers would round
 *  them (our reader takes both). A secret becomes "***". As long as the caller's buffer allows.
 */
#include <inttypes.h>
#include "base64.h"
#include "sink.h"

/*  What may not stand in a JSON string as it is; the rest goes out in runs. */
static void escape (yard_buffer_t *buffer, char c)
{
    static const char names [] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *name = names; *name; name += 2)
        if (*name == c) {
            yard_buffer_append (buffer, (const char []){ '\\', name [1] }, 2);
            return;
        }
    yard_buffer_printf (buffer, "\\u%04x", (unsigned) (unsigned char) c);
}

void yard_json_text (yard_buffer_t *buffer, yard_string_t text)
{
    size_t start = 0;
    yard_buffer_append (buffer, "\"", 1);
    for (size_t i = 0; i < text.size; i++) {
        if ((unsigned char) text.data [i] >= 0x20 && text.data [i] != '"' && text.data [i] != '\\')
            continue;
        yard_buffer_append (buffer, text.data + start, i - start);
        escape (buffer, text.data [i]);
        start = i + 1;
    }
    if (text.size > start)
        yard_buffer_append (buffer, text.data + start, text.size - start);
    yard_buffer_append (buffer, "\"", 1);
}

void yard_json_real (yard_buffer_t *buffer, double value)
{
    /* 15 digits are what people write, 17 are always enough (IEEE 754, 5.12.2). */
    char text [32];
    snprintf (text, sizeof text, "%.15g", value);
    if (strtod (text, NULL) < value || strtod (text, NULL) > value)
        snprintf (text, sizeof text, "%.17g", value);
    yard_buffer_text (buffer, text);
}

/*  A comma where one belongs. */
static void entry (yard_sink_t *self)
{
    if (self->follows)
        yard_buffer_append (self->buffer, ",", 1);
    self->follows = true;
}

static void map (yard_sink_t *self, size_t count)
{
    (void) count;
    entry (self);
    yard_buffer_append (self->buffer, "{", 1);
    self->follows = false;
}

static void list (yard_sink_t *self, size_t count)
{
    (void) count;
    entry (self);
    yard_buffer_append (self->buffer, "[", 1);
    self->follows = false;
}

static void end_map (yard_sink_t *self)
{
    yard_buffer_append (self->buffer, "}", 1);
    self->follows = true;
}

static void end_list (yard_sink_t *self)
{
    yard_buffer_append (self->buffer, "]", 1);
    self->follows = true;
}

static void key (yard_sink_t *self, yard_string_t name)
{
    entry (self);
    yard_json_text (self->buffer, name);
    yard_buffer_append (self->buffer, ":", 1);
    self->follows = false; /* the value stands behind the colon */
}

static void boolean (yard_sink_t *self, bool value)
{
    entry (self);
    yard_buffer_text (self->buffer, value ? "true" : "false");
}

static void integer (yard_sink_t *self, int64_t value)
{
    const char *quote = value > YARD_SAFE_INTEGER || value < -YARD_SAFE_INTEGER ? "\"" : "";
    entry (self);
    yard_buffer_printf (self->buffer, "%s%" PRId64 "%s", quote, value, quote);
}

static void natural (yard_sink_t *self, uint64_t value)
{
    const char *quote = value > YARD_SAFE_INTEGER ? "\"" : "";
    entry (self);
    yard_buffer_printf (self->buffer, "%s%" PRIu64 "%s", quote, value, quote);
}

static void real (yard_sink_t *self, double value)
{
    entry (self);
    yard_json_real (self->buffer, value);
}

static void text (yard_sink_t *self, yard_string_t value)
{
    entry (self);
    yard_json_text (self->buffer, value);
}

static void bytes (yard_sink_t *self, yard_string_t value)
{
    entry (self);
    yard_buffer_append (self->buffer, "\"", 1);
    yard_base64_append (self->buffer, value);
    yard_buffer_append (self->buffer, "\"", 1);
}

static void secret (yard_sink_t *self, yard_string_t value)
{
    (void) value;
    text (self, yard_string ("***"));
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

int yard_wire_json (const yard_wire_type_t *type, const void *value, yard_buffer_t *ret, yard_error_t *error)
{
    yard_sink_t sink = { .class = &class, .buffer = ret };
    return yard_wire_write (&sink, type, value, true, error);
}
