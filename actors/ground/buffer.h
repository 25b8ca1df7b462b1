// SPDX-License-Identifier: Apache-2.0
/*  buffer.h - bytes that grow
 *
 *  Invariants: data [size] is 0, so a buffer of text is a C string; an empty buffer's data is "" and never
 *  NULL; a buffer grows past limit never: the append is dropped, `overflow` is set and stays set, and the
 *  caller looks at it once at the end.
 */
#ifndef YARD_GROUND_BUFFER_H
#define YARD_GROUND_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include "view.h"

typedef struct {
    char *data;
    size_t size, capacity, limit;
    bool overflow;
} yard_buffer_t;

void yard_buffer_init (yard_buffer_t *self, size_t limit_bytes);
void yard_buffer_clear (yard_buffer_t *self); /* frees; init again before the next use */
void yard_buffer_reset (yard_buffer_t *self); /* empties, keeps the memory */
void yard_buffer_append (yard_buffer_t *self, const void *data, size_t size);
void yard_buffer_text (yard_buffer_t *self, const char *text);
void yard_buffer_printf (yard_buffer_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
yard_string_t yard_buffer_view (const yard_buffer_t *self);

#endif
