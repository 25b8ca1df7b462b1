// SPDX-License-Identifier: Apache-2.0
/*  buffer.c - bytes that grow, up to a limit
 *
 *  Promises: what is in the buffer is always a prefix of what was appended: after the first append that
 *  did not fit, nothing more is taken, until a reset.
 */
#include "buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN (size_t) 256 /* a short JSON object or log line */

void yard_buffer_init (yard_buffer_t *self, size_t limit_bytes)
{
    /* The empty text is never written to: capacity 0 says that it is not ours. */
    *self = (yard_buffer_t){ .data = (char *) "", .limit = limit_bytes };
}

void yard_buffer_clear (yard_buffer_t *self)
{
    if (self->capacity)
        free (self->data);
    yard_buffer_init (self, self->limit);
}

/*  A new content begins, so an old overflow does not taint it. */
void yard_buffer_reset (yard_buffer_t *self)
{
    self->size = 0;
    self->overflow = false;
    if (self->capacity)
        self->data [0] = 0;
}

/*  Makes room for size more bytes and the 0; false, and overflow for good, past the limit. */
static bool make_room (yard_buffer_t *self, size_t size)
{
    if (self->overflow || size > self->limit - self->size || size >= SIZE_MAX / 4 - self->size) {
        self->overflow = true;
        return false;
    }
    size_t needed = self->size + size + 1;
    if (needed <= self->capacity)
        return true;
    size_t capacity = self->capacity > CAPACITY_MIN ? self->capacity : CAPACITY_MIN;
    while (capacity < needed)
        capacity *= 2;
    char *data = realloc (self->capacity ? self->data : NULL, capacity);
    if (!data)
        abort ();
    self->data = data;
    self->capacity = capacity;
    return true;
}

void yard_buffer_append (yard_buffer_t *self, const void *data, size_t size)
{
    if (size == 0 || !make_room (self, size))
        return;
    memcpy (self->data + self->size, data, size);
    self->size += size;
    self->data [self->size] = 0;
}

void yard_buffer_text (yard_buffer_t *self, const char *text)
{
    yard_buffer_append (self, text, strlen (text));
}

/*  Formatted twice, so that nothing is written past the limit and no block is made for it in vain. */
void yard_buffer_printf (yard_buffer_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (NULL, 0, format, arguments);
    va_end (arguments);
    assert (size >= 0);
    if (size == 0 || !make_room (self, (size_t) size))
        return;
    va_start (arguments, format);
    vsnprintf (self->data + self->size, (size_t) size + 1, format, arguments);
    va_end (arguments);
    self->size += (size_t) size;
}

yard_string_t yard_buffer_view (const yard_buffer_t *self)
{
    return (yard_string_t){ self->data, self->size };
}
