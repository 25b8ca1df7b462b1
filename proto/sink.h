// SPDX-License-Identifier: Apache-2.0
/*  sink.h - where the write walk puts a value: msgpack, JSON or a log line
 *
 *  The walk (wire_write.c) knows the types, a sink knows a notation; each sink's file also has the function
 *  of wire.h that uses it. A sink never fails: the walk has checked the value, and a buffer that overflows
 *  says so itself.
 *
 *  Invariants: map and list are followed by exactly count entries and then by end; key comes before every
 *  entry of a map.
 */
#ifndef YARD_PROTO_SINK_H
#define YARD_PROTO_SINK_H

#include "wire.h"

typedef struct yard_sink_t yard_sink_t;

typedef struct {
    void (*map) (yard_sink_t *self, size_t count);
    void (*list) (yard_sink_t *self, size_t count);
    void (*end_map) (yard_sink_t *self);
    void (*end_list) (yard_sink_t *self);
    void (*key) (yard_sink_t *self, yard_string_t name);
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
    bool follows; /* JSON, log: something stands before the next entry */
    size_t depth; /* log: the outermost map has no brackets */
};

/*  The walk. On failure the buffer is as it was. Without bounds nothing is checked and nothing fails: for log
 *  lines. */
int yard_wire_write (yard_sink_t *sink, const yard_wire_type_t *type, const void *value, bool bounds,
                     yard_error_t *error);

/*  A JSON string with its quotes (text must be UTF-8), and a double so that reading it gives it back. */
void yard_json_text (yard_buffer_t *buffer, yard_string_t text);
void yard_json_real (yard_buffer_t *buffer, double value);

#endif
