// SPDX-License-Identifier: Apache-2.0
/*  sink.h - where the write walk puts a value: msgpack, JSON or a log line
 *
 *  The walk (wire_write.c) knows the types, a sink knows a notation. A sink never fails: the walk has checked the value, and a buffer that
 *  overflows says so itself.
 *
 *  Invariants: map and list are followed by exactly count entries and then by end; key comes before every entry of a map.
 */
#ifndef YARD_PROTO_SINK_H
#define YARD_PROTO_SINK_H

#include <msgpack.h>
#include "wire.h"

typedef struct yard_sink_t yard_sink_t;

typedef struct {
    void (*map) (yard_sink_t *self, size_t count);
    void (*list) (yard_sink_t *self, size_t count);
    void (*key) (yard_sink_t *self, yard_string_t name);
    void (*end) (yard_sink_t *self, char bracket); /* '}' or ']' */
    void (*boolean) (yard_sink_t *self, bool value);
    void (*integer) (yard_sink_t *self, int64_t value);
    void (*natural) (yard_sink_t *self, uint64_t value);
    void (*real) (yard_sink_t *self, double value);
    void (*text) (yard_sink_t *self, yard_string_t value);
    void (*bytes) (yard_sink_t *self, yard_string_t value);
    void (*secret) (yard_sink_t *self, yard_string_t value);
} yard_sink_class_t;

struct yard_sink_t {
    const yard_sink_class_t *class;
    yard_buffer_t *buffer;
    bool follows;           /* JSON, log: something stands before the next entry */
    size_t depth;           /* log: the outermost map has no brackets */
    msgpack_packer packer;  /* msgpack */
};

void yard_sink_msgpack (yard_sink_t *self, yard_buffer_t *buffer);
void yard_sink_json (yard_sink_t *self, yard_buffer_t *buffer);
void yard_sink_log (yard_sink_t *self, yard_buffer_t *buffer);

/*  A JSON string with its quotes; text must be UTF-8. And a double so that reading it gives it back. */
void yard_json_text (yard_buffer_t *buffer, yard_string_t text);
void yard_json_real (yard_buffer_t *buffer, double value);

#endif
