// SPDX-License-Identifier: Apache-2.0
/*  arena.c - blocks of memory, filled from the front, freed together
 *
 *  A request usually fits into the first block, which stays for the next request; so a busy loop does
 *  not call malloc at all.
 */
#include "arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGNMENT 16 /* what max_align_t needs on our machines */
#define BLOCK_BYTES_MIN (size_t) 4096 /* a page: most asks with all their fields fit */
#define BLOCK_BYTES_MAX \
    (size_t) 262144 /* blocks double up to here, so a big answer takes a few mallocs and wastes little */

typedef struct block_t {
    struct block_t *next; /* older */
    size_t size, used; /* bytes of data */
    _Alignas(ALIGNMENT) unsigned char data [];
} block_t;

struct yard_arena_t {
    block_t *newest;
    size_t limit, used;
};

/*  Not zeroed here: alloc does it, once, for what is really used, and again after a reset. */
static block_t *block_new (size_t size, block_t *next)
{
    block_t *self = malloc (sizeof *self + size);
    if (!self)
        abort ();
    self->next = next;
    self->size = size;
    self->used = 0;
    return self;
}

yard_arena_t *yard_arena_new (size_t limit_bytes)
{
    yard_arena_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->limit = limit_bytes;
    self->newest = block_new (BLOCK_BYTES_MIN, NULL);
    return self;
}

void yard_arena_destroy (yard_arena_t **self_p)
{
    assert (self_p);
    yard_arena_t *self = *self_p;
    if (!self)
        return;
    yard_arena_reset (self);
    free (self->newest);
    free (self);
    *self_p = NULL;
}

void yard_arena_reset (yard_arena_t *self)
{
    while (self->newest->next) {
        block_t *block = self->newest;
        self->newest = block->next;
        free (block);
    }
    self->newest->used = 0;
    self->used = 0;
}

size_t yard_arena_used (const yard_arena_t *self)
{
    return self->used;
}

void *yard_arena_alloc (yard_arena_t *self, size_t size)
{
    size_t room = self->limit - self->used;
    if (size > room || size > SIZE_MAX - sizeof (block_t) - ALIGNMENT)
        return NULL;
    size_t rounded = (size + (size == 0) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    block_t *block = self->newest;
    if (block->size - block->used < rounded) {
        size_t block_bytes = block->size < BLOCK_BYTES_MAX / 2 ? block->size * 2 : BLOCK_BYTES_MAX;
        self->newest = block = block_new (rounded > block_bytes ? rounded : block_bytes, block);
    }
    void *memory = block->data + block->used;
    block->used += rounded;
    /* What rounding adds counts too, or a million empty texts would be free; only at the very end it is
     * let pass. */
    self->used += rounded < room ? rounded : room;
    return memset (memory, 0, rounded);
}

yard_string_t yard_arena_copy (yard_arena_t *self, yard_string_t view)
{
    char *text = view.size < SIZE_MAX ? yard_arena_alloc (self, view.size + 1) : NULL;
    if (!text)
        return (yard_string_t){ NULL, 0 };
    if (view.size)
        memcpy (text, view.data, view.size);
    return (yard_string_t){ text, view.size };
}

char *yard_arena_text (yard_arena_t *self, yard_string_t view)
{
    char *text = view.size < SIZE_MAX ? yard_arena_alloc (self, view.size + 1) : NULL;
    if (text && view.size)
        memcpy (text, view.data, view.size);
    return text;
}

/*  Formatted twice: measured, then written in its place. */
char *yard_arena_printf (yard_arena_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (NULL, 0, format, arguments);
    va_end (arguments);
    if (size < 0)
        return NULL;
    char *text = yard_arena_alloc (self, (size_t) size + 1);
    if (!text)
        return NULL;
    va_start (arguments, format);
    vsnprintf (text, (size_t) size + 1, format, arguments);
    va_end (arguments);
    return text;
}
