// SPDX-License-Identifier: Apache-2.0
/*  source.h - where the read walk takes a value from: msgpack, JSON, YAML or one word of a command line
 *
 *  The walk (wire_read.c) knows the types, a source knows a notation; each source's file also has the
 *  function of wire.h that uses it. A source gives one item after the other: a scalar whole, of a map or list
 *  only the head; then the walk takes its entries (key before each of a map's) and calls leave.
 *
 *  Invariants: count of a map or list is never more than the bytes behind it could hold; where a function
 *  gives false, `problem` says what is wrong with the bytes, and the source is used no more.
 */
#ifndef YARD_PROTO_SOURCE_H
#define YARD_PROTO_SOURCE_H

#include "wire.h"

#define YARD_SOURCE_DEPTH_MAX 16 /* of what is skipped too; our own messages keep to YARD_DEPTH_MAX */
#define YARD_TEXT_SOURCE_MAX \
    (2 * YARD_MESSAGE_MAX) /* bytes of JSON or YAML: base64 adds a third, names and escapes the rest */

typedef enum {
    YARD_ITEM_NOTHING,
    YARD_ITEM_BOOLEAN,
    YARD_ITEM_NEGATIVE, /* integer, below 0 */
    YARD_ITEM_NATURAL, /* natural */
    YARD_ITEM_REAL,
    YARD_ITEM_TEXT,
    YARD_ITEM_BYTES,
    YARD_ITEM_LIST, /* count entries follow */
    YARD_ITEM_MAP, /* count pairs follow */
    YARD_ITEM_OTHER
} yard_item_kind_t;

typedef struct {
    yard_item_kind_t kind;
    union {
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double real;
        yard_string_t text; /* of TEXT and BYTES */
        size_t count;
    };
} yard_item_t;

typedef struct yard_source_t yard_source_t;

typedef struct {
    /* wanted is what the field holds: YAML's plain words and JSON's base64 are read by it */
    bool (*next) (yard_source_t *self, yard_wire_kind_t wanted, yard_item_t *ret);
    bool (*key) (yard_source_t *self, yard_string_t *ret);
    bool (*skip) (yard_source_t *self); /* the value after a key, whole */
    void (*leave) (yard_source_t *self);
    size_t (*line) (const yard_source_t *self); /* of the last item, from 1; 0 = this notation has no lines */
} yard_source_class_t;

struct yard_source_t {
    const yard_source_class_t *class;
    const char *problem;
    yard_arena_t *arena; /* for texts that cannot be views */
};

/*  The walk over a whole value. ret_value is written whole, zeroed on failure. */
int yard_wire_read (yard_source_t *source, const yard_wire_type_t *type, yard_wire_reader_t reader,
                    yard_arena_t *arena, void *ret_value, yard_error_t *error);

/*  Sets one scalar of a configuration by its dotted path: download.max_parallel to the word 3. */
int yard_wire_set (const yard_wire_type_t *type, yard_string_t path, yard_string_t word, yard_arena_t *arena,
                   void *value, yard_error_t *error);

/*  A plain word (YAML 1.2 core) as what is wanted of it; text where it is nothing else. */
void yard_source_plain (yard_string_t word, yard_wire_kind_t wanted, yard_item_t *ret);

#endif
