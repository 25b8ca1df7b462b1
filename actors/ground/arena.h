// SPDX-License-Identifier: Apache-2.0
/*  arena.h - memory that lives as long as one request, given back all at once
 *
 *  Invariants: what was allocated never moves; blocks are aligned to 16 bytes and zeroed; an allocation
 *  beyond the arena's limit gives NULL (the caller answers too_large). malloc's own failure aborts: a process
 *  out of memory is a crash like another.
 */
#ifndef YARD_GROUND_ARENA_H
#define YARD_GROUND_ARENA_H

#include <stddef.h>
#include "view.h"

typedef struct yard_arena_t yard_arena_t;

yard_arena_t *yard_arena_new (size_t limit_bytes);
void yard_arena_destroy (yard_arena_t **self_p);

void *yard_arena_alloc (yard_arena_t *self, size_t size); /* zeroed */
char *yard_arena_text (yard_arena_t *self, yard_string_t view); /* a terminated copy */
char *yard_arena_printf (yard_arena_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
yard_string_t yard_arena_copy (yard_arena_t *self, yard_string_t view); /* a copy with one 0 byte behind it */

/*  Frees all but the first block, so one arena serves request after request. */
void yard_arena_reset (yard_arena_t *self);
size_t yard_arena_used (const yard_arena_t *self);

#endif
