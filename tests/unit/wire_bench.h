// SPDX-License-Identifier: Apache-2.0
/*  wire_bench.h - what the tests of the engine share: buffers, an arena, and a message of every kind
 *
 *  Values come from yard_wire_random with a fixed seed, so a failure repeats. Kinds that no message uses so
 *  far are in sample_t.
 */
#ifndef YARD_TESTS_WIRE_BENCH_H
#define YARD_TESTS_WIRE_BENCH_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "proto/messages.h"

#define ARENA_MAX (64 * 1024 * 1024) /* for the largest list of the largest record */
#define JSON_MAX (16 * 1024 * 1024)

typedef struct {
    yard_arena_t *arena;
    yard_random_t random;
    yard_buffer_t bytes, again;
    yard_error_t error;
} bench_t;

static inline bench_t *open_bench (void)
{
    bench_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    self->arena = yard_arena_new (ARENA_MAX);
    yard_random_seed (&self->random, 7);
    yard_buffer_init (&self->bytes, JSON_MAX);
    yard_buffer_init (&self->again, JSON_MAX);
    return self;
}

static inline void close_bench (bench_t *self)
{
    yard_arena_destroy (&self->arena);
    yard_buffer_clear (&self->bytes);
    yard_buffer_clear (&self->again);
    free (self);
}

static inline void *room (bench_t *self, const yard_wire_type_t *type)
{
    void *value = yard_arena_alloc (self->arena, type->size);
    assert_non_null (value);
    return value;
}

static inline int unpack (bench_t *self, const yard_wire_type_t *type, const void *data, size_t size,
                          yard_wire_reader_t reader, void *value)
{
    memset (&self->error, 0, sizeof self->error);
    int failed = yard_wire_unpack (type, data, size, reader, self->arena, value, &self->error);
    assert_int_equal (failed, self->error.code);
    if (failed)
        assert_true (strlen (self->error.text) > 0);
    return failed;
}

static inline void pack (bench_t *self, const yard_wire_type_t *type, const void *value, yard_buffer_t *ret)
{
    yard_buffer_reset (ret);
    if (yard_wire_pack (type, value, ret, &self->error))
        fail_msg ("%s: %s", type->name, self->error.text);
}

/*  A message of our own: every kind, and a map. */
typedef struct {
    uint64_t id;
    yard_map_t labels;
    yard_string_t token, body, note;
    double share;
    int64_t shift;
    bool has_note;
} sample_t;

static inline const yard_wire_type_t *sample_type (void)
{
    typedef sample_t self_t;
    static const yard_wire_field_t fields [] = {
        { .name = "id",
          .doc = "a number",
          .kind = YARD_WIRE_UINT,
          .offset = offsetof (self_t, id),
          .low = 1,
          .high = 100 },
        { .name = "labels",
          .doc = "words",
          .kind = YARD_WIRE_MAP,
          .presence = YARD_WIRE_DEFAULT,
          .fallback = "",
          .offset = offsetof (self_t, labels),
          .high = 40 },
        { .name = "token",
          .doc = "not for logs",
          .kind = YARD_WIRE_SECRET,
          .presence = YARD_WIRE_DEFAULT,
          .fallback = "",
          .offset = offsetof (self_t, token),
          .high = 100 },
        { .name = "body",
          .doc = "bytes",
          .kind = YARD_WIRE_BINARY,
          .presence = YARD_WIRE_DEFAULT,
          .fallback = "",
          .offset = offsetof (self_t, body),
          .high = YARD_MESSAGE_MAX },
        { .name = "share",
          .doc = "fraction",
          .kind = YARD_WIRE_DOUBLE,
          .presence = YARD_WIRE_DEFAULT,
          .fallback = "0.5",
          .offset = offsetof (self_t, share),
          .high = 8 },
        { .name = "shift",
          .doc = "either way",
          .kind = YARD_WIRE_INT,
          .presence = YARD_WIRE_DEFAULT,
          .fallback = "-3",
          .offset = offsetof (self_t, shift),
          .low = -10,
          .high = 10 },
        { .name = "note",
          .doc = "maybe",
          .kind = YARD_WIRE_STRING,
          .presence = YARD_WIRE_OPTIONAL,
          .offset = offsetof (self_t, note),
          .has_offset = offsetof (self_t, has_note),
          .low = 1,
          .high = 5 },
    };
    static const yard_wire_type_t type = { .name = "sample",
                                           .doc = "every kind",
                                           .kind = YARD_WIRE_RECORD,
                                           .size = sizeof (self_t),
                                           .fields = fields,
                                           .field_count = sizeof fields / sizeof fields [0] };
    return &type;
}

#endif
