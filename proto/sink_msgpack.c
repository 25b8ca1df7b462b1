// SPDX-License-Identifier: Apache-2.0
/*  sink_msgpack.c - a value as one msgpack map, by msgpack-c's packer
 *
 *  Promises: at most YARD_MESSAGE_MAX bytes; the smallest form of every number and head.
 */
#include <msgpack.h>
#include "sink.h"

typedef struct {
    yard_sink_t base;
    msgpack_packer packer;
} msgpack_sink_t;

static int append (void *buffer, const char *data, size_t size)
{
    yard_buffer_append (buffer, data, size);
    return 0;
}

static msgpack_packer *packer (yard_sink_t *self)
{
    return &((msgpack_sink_t *) self)->packer;
}

static void map (yard_sink_t *self, size_t count)
{
    msgpack_pack_map (packer (self), count);
}

static void list (yard_sink_t *self, size_t count)
{
    msgpack_pack_array (packer (self), count);
}

static void end (yard_sink_t *self)
{
    (void) self; /* the head had the count */
}

static void text (yard_sink_t *self, yard_string_t value)
{
    msgpack_pack_str_with_body (packer (self), value.data, value.size);
}

static void boolean (yard_sink_t *self, bool value)
{
    if (value)
        msgpack_pack_true (packer (self));
    else
        msgpack_pack_false (packer (self));
}

static void integer (yard_sink_t *self, int64_t value)
{
    msgpack_pack_int64 (packer (self), value);
}

static void natural (yard_sink_t *self, uint64_t value)
{
    msgpack_pack_uint64 (packer (self), value);
}

static void real (yard_sink_t *self, double value)
{
    msgpack_pack_double (packer (self), value);
}

static void bytes (yard_sink_t *self, yard_string_t value)
{
    msgpack_pack_bin_with_body (packer (self), value.data, value.size);
}

static const yard_sink_class_t class = {
    .map = map,
    .list = list,
    .end_map = end,
    .end_list = end,
    .key = text,
    .boolean = boolean,
    .integer = integer,
    .natural = natural,
    .real = real,
    .text = text,
    .bytes = bytes,
    .secret = text,
};

int yard_wire_pack (const yard_wire_type_t *type, const void *value, yard_buffer_t *ret, yard_error_t *error)
{
    msgpack_sink_t sink = { .base = { .class = &class, .buffer = ret } };
    msgpack_packer_init (&sink.packer, ret, append);
    size_t limit = ret->limit;
    if (limit - ret->size > YARD_MESSAGE_MAX)
        ret->limit = ret->size + YARD_MESSAGE_MAX;
    int failed = yard_wire_write (&sink.base, type, value, true, error);
    ret->limit = limit;
    return failed;
}
