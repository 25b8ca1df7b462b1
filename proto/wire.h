// SPDX-License-Identifier: Apache-2.0
/*  wire.h - one engine for every message: rows of a .def in, structs, bytes, JSON and schemas out
 *
 *  A message is a RECORD of a .def file: one row per field. From the rows come the C struct (messages.h) and
 *  a table (messages.c); this engine walks the table. Two walks only: write a value to a sink (msgpack, JSON,
 *  log line), read a value from a source (msgpack, JSON, YAML). Nothing is generated.
 *
 *  Invariants:
 *  - A read fills every field: REQUIRED came, OPTIONAL has its has_ flag, DEFAULT has its value; bounds are
 *    kept; the error names the field by its whole path ("children [3].url").
 *  - Strings and binaries of a read value are views into the source's bytes (msgpack) or the arena (JSON,
 *    YAML); lists and maps live in the arena.
 *  - Work and memory of a read are bounded by the bytes of its source, never by a count that the bytes claim.
 *  - Text is UTF-8 without NUL; a SECRET is written to msgpack, to nothing else ("***" in JSON and logs).
 */
#ifndef YARD_PROTO_WIRE_H
#define YARD_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/arena.h"
#include "actors/ground/buffer.h"
#include "actors/ground/error.h"
#include "actors/ground/random.h"
#include "actors/ground/view.h"

#define YARD_MESSAGE_MAX (1024 * 1024) /* bytes of one frame, message or field (ARCHITECTURE 2) */
#define YARD_DEPTH_MAX 8 /* records in lists in records; our deepest message has 5 */
#define YARD_SAFE_INTEGER 9007199254740991 /* 2^53 - 1: what JSON readers keep exactly */

/*  What a field holds, and its C type: bool; int64_t; uint64_t; double; yard_string_t; yard_string_t; x_t
 *  (enum, 0 = unset); x_t (struct); { x_t *items; size_t count; }; yard_map_t; yard_string_t. For strings,
 *  binaries and secrets low and high bound the bytes, for lists and maps the entries, for numbers the value. */
typedef enum {
    YARD_WIRE_BOOL,
    YARD_WIRE_INT,
    YARD_WIRE_UINT,
    YARD_WIRE_DOUBLE,
    YARD_WIRE_STRING,
    YARD_WIRE_BINARY,
    YARD_WIRE_ENUM,
    YARD_WIRE_RECORD,
    YARD_WIRE_LIST,
    YARD_WIRE_MAP,
    YARD_WIRE_SECRET
} yard_wire_kind_t;

typedef enum {
    YARD_WIRE_REQUIRED,
    YARD_WIRE_OPTIONAL,
    YARD_WIRE_DEFAULT
} yard_wire_presence_t;

typedef struct yard_wire_type_t yard_wire_type_t;
typedef const yard_wire_type_t *(yard_wire_type_fn) (void);

typedef struct {
    const char *name;
    const char *doc;
    yard_wire_kind_t kind;
    yard_wire_presence_t presence;
    size_t offset; /* of the value in the struct */
    size_t has_offset; /* of has_<name>; OPTIONAL only */
    yard_wire_type_fn *type; /* ENUM, RECORD, LIST: of what */
    int64_t low;
    uint64_t high;
    const char *fallback; /* DEFAULT: the value as written in the row: 10, true, "fp16", a word of the enum */
} yard_wire_field_t;

typedef struct {
    const char *word;
    int value;
} yard_wire_value_t;

/*  A record, an enum, or a scalar that lists are made of (yard_text, yard_uint). */
struct yard_wire_type_t {
    const char *name;
    const char *doc;
    yard_wire_kind_t kind; /* RECORD, ENUM, STRING, UINT */
    size_t size; /* bytes of one in memory */
    const yard_wire_field_t *fields;
    size_t field_count;
    const yard_wire_value_t *values; /* ENUM */
    size_t value_count;
};

/*  What every LIST field looks like to the engine, and what MAP fields are. */
typedef struct {
    void *items;
    size_t count;
} yard_list_t;

typedef struct {
    yard_string_t key, value;
} yard_pair_t;

typedef struct {
    yard_pair_t *items;
    size_t count;
} yard_map_t;

/*  Scalars for LIST (yard_text) and LIST (yard_uint). An element of text is at most 4096 bytes: a path or an
 *  URL. */
#define YARD_TEXT_MAX 4096
typedef yard_string_t yard_text_t;
typedef uint64_t yard_uint_t;
const yard_wire_type_t *yard_text_type (void);
const yard_wire_type_t *yard_uint_type (void);

/*  Who reads: an ask refuses unknown enum words, an answer or event reads them as unset; both skip unknown
 *  fields. A configuration refuses both, and names the nearest key it knows; its failures are invalid_config. */
typedef enum {
    YARD_WIRE_ASK,
    YARD_WIRE_ANSWER,
    YARD_WIRE_CONFIG
} yard_wire_reader_t;

/*  Zeroes the value and sets every DEFAULT: how a sender starts. */
void yard_wire_init (const yard_wire_type_t *type, void *value);

/*  Write. Appends to ret. A value outside its bounds is invalid_message, or too_large for sizes; nothing is
 *  appended then. Pack: one msgpack map with names as keys, fields in the order of their rows; enums as
 *  words; unset enums are left out. */
int yard_wire_pack (const yard_wire_type_t *type, const void *value, yard_buffer_t *ret, yard_error_t *error);
int yard_wire_json (const yard_wire_type_t *type, const void *value, yard_buffer_t *ret, yard_error_t *error);
/*  key=value key=value …, strings quoted where needed, cut at 1 KiB; never fails. */
void yard_wire_log (const yard_wire_type_t *type, const void *value, yard_buffer_t *ret);

/*  Read into ret_value (type->size bytes), which is written whole, also on failure (then zeroed). */
int yard_wire_unpack (const yard_wire_type_t *type, const void *data, size_t size, yard_wire_reader_t reader,
                      yard_arena_t *arena, void *ret_value, yard_error_t *error);
int yard_wire_from_json (const yard_wire_type_t *type, const char *text, size_t size,
                         yard_wire_reader_t reader, yard_arena_t *arena, void *ret_value,
                         yard_error_t *error);
int yard_wire_from_yaml (const yard_wire_type_t *type, const char *text, size_t size,
                         yard_wire_reader_t reader, yard_arena_t *arena, void *ret_value,
                         yard_error_t *error);

/*  Enums: the word of a value ("" for unset or unknown) and the value of a word (0 for an unknown one). */
const char *yard_wire_word (const yard_wire_type_t *type, int value);
int yard_wire_value (const yard_wire_type_t *type, yard_string_t word);

/*  A deep copy into the arena: the value no longer leans on its source, and every string in it has a 0 byte
 *  behind it. too_large when the arena is full; ret_value is zeroed then. */
int yard_wire_copy (const yard_wire_type_t *type, const void *value, yard_arena_t *arena, void *ret_value);

/*  A random valid value (tests, fuzz corpora), and the JSON Schema (draft 2020-12) of a type as one JSON
 *  object. */
void yard_wire_random (const yard_wire_type_t *type, yard_random_t *random, yard_arena_t *arena,
                       void *ret_value);
void yard_wire_schema (const yard_wire_type_t *type, yard_buffer_t *ret);

#endif
