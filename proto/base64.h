// SPDX-License-Identifier: Apache-2.0
/*  base64.h - bytes as text for JSON (RFC 4648, section 4: with padding, without line breaks)
 */
#ifndef YARD_PROTO_BASE64_H
#define YARD_PROTO_BASE64_H

#include <stdbool.h>
#include "actors/ground/arena.h"
#include "actors/ground/buffer.h"

void yard_base64_append (yard_buffer_t *buffer, yard_string_t bytes);

/*  Into the arena; false for text that is no base64, or when the arena is full. Only the one right spelling
 *  of the bytes is taken. */
bool yard_base64_read (yard_string_t text, yard_arena_t *arena, yard_string_t *ret);

#endif
