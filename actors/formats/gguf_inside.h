// SPDX-License-Identifier: Apache-2.0
/*  gguf_inside.h - the walk over a GGUF header, for gguf.c (the bytes), gguf_pairs.c and gguf_tensors.c
 *
 *  One cursor walks the bytes. Each step asks `need` first, which knows three ends: the file's (then the
 *  header lies), the limit's, and that of the bytes at hand (then the caller is asked for more, and the walk
 *  begins again: with four times the bytes, so all walks together cost a third more than the last).
 *
 *  Steps return 0, a negative code, or YARD_GGUF_MORE_BYTES.
 */
#ifndef YARD_FORMATS_GGUF_INSIDE_H
#define YARD_FORMATS_GGUF_INSIDE_H

#include "actors/formats/gguf.h"

#define YARD_GGUF_AGAIN "; fetch the file again, or have it written anew"
#define YARD_GGUF_MORE_BYTES 1

typedef struct {
    const unsigned char *bytes;
    uint64_t size, file_size;
    uint64_t at;
    uint64_t wanted; /* the end that the failing step needed */
    uint64_t tensor_count, pair_count; /* as the header claims */
    yard_gguf_t gguf;
    size_t tensor_room, pair_room;
    yard_error_t *error;
} yard_gguf_parse_t;

/*  Are count bytes at hand behind the cursor? */
int yard_gguf_need (yard_gguf_parse_t *self, uint64_t count);
int yard_gguf_take_number (yard_gguf_parse_t *self, unsigned width, uint64_t *ret);
int yard_gguf_take_string (yard_gguf_parse_t *self, yard_string_t *ret);
/*  count things of at least width bytes: can the rest of the file hold them? */
int yard_gguf_check_count (yard_gguf_parse_t *self, uint64_t count, unsigned width, const char *what);

bool yard_gguf_is_text (yard_string_t text);
/*  YARD_INVALID_FILE: "rule: "name" problem". */
int yard_gguf_refuse (yard_gguf_parse_t *self, const char *rule, yard_string_t name, const char *problem);

int yard_gguf_parse_pairs (yard_gguf_parse_t *self);
int yard_gguf_parse_tensors (yard_gguf_parse_t *self);

#endif
