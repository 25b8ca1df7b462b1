// SPDX-License-Identifier: Apache-2.0
/*  text.h - values as people read them
 *
 *  Promises: nothing that comes from a file, a server or a model can steer the terminal: control characters
 *  (C0, DEL, C1), line and paragraph separators, bidirectional marks and bytes that are no UTF-8 come out as
 *  "?". Functions write into `into` [size], cut what does not fit at a character's border, terminate, and
 *  return into.
 */
#ifndef MODELYARD_TEXT_H
#define MODELYARD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/buffer.h"

const char *text_clean (char *into, size_t size, yard_string_t text);

/*  A line of JSON with the same characters written as \u escapes: the same value to a reader, and one line to
 *  those that break lines at more than a newline. json is valid UTF-8 and has them in strings only. */
void text_json (yard_buffer_t *into, yard_string_t json);

/*  "0 B", "999 B", "1.00 KiB", "13.2 MiB", "1.00 TiB": three digits (IEC 80000-13). */
const char *text_size (char *into, size_t size, uint64_t bytes);

/*  "0.4 s", "12 s", "3 m 05 s", "2 h 10 m", "5 d 3 h". */
const char *text_duration (char *into, size_t size, int64_t ms);

/*  "312 µs", "1.25 ms", "1.51 s"; longer ones as text_duration. */
const char *text_microseconds (char *into, size_t size, uint64_t us);

/*  "600", "90s", "10m", "2h", "1d" as seconds: above 0 and at most a week. False for anything else. */
bool text_seconds (const char *text, uint64_t *ret);

/*  Columns that a terminal of one cell a character needs (East Asian wide characters count as one: a table of
 *  them is ragged, not wrong). */
size_t text_columns (const char *clean);
/*  Shortens to so many columns, in place, with "…" as the last. */
void text_cut (char *clean, size_t columns);

#endif
