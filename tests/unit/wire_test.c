// SPDX-License-Identifier: Apache-2.0
/*  wire_test.c - what the engine promises for every type that conversations.def has: what comes back, what
 *  cut and changed bytes do, and that msgpack-c means the same
 */
#include "wire_bench.h"

#include <msgpack.h>

#define ROUNDS 40 /* random values per type */

static void over_every_record (void (*body) (bench_t *, const yard_wire_type_t *, void *), int rounds)
{
    bench_t *bench = open_bench ();
    const yard_wire_type_t *own [] = { sample_type (), NULL };
    const yard_wire_type_t *const *lists [] = { yard_types (), own };
    for (size_t list = 0; list < 2; list++)
        for (const yard_wire_type_t *const *type = lists [list]; *type; type++)
            for (int i = 0; (*type)->kind == YARD_WIRE_RECORD && i < rounds; i++) {
                yard_arena_reset (bench->arena);
                void *value = room (bench, *type);
                yard_wire_random (*type, &bench->random, bench->arena, value);
                body (bench, *type, value);
            }
    close_bench (bench);
}

static void round_trip (bench_t *bench, const yard_wire_type_t *type, void *value)
{
    void *read = room (bench, type);
    pack (bench, type, value, &bench->bytes);
    if (unpack (bench, type, bench->bytes.data, bench->bytes.size, YARD_WIRE_ASK, read))
        fail_msg ("%s: %s", type->name, bench->error.text);
    pack (bench, type, read, &bench->again);
    assert_int_equal (bench->bytes.size, bench->again.size);
    assert_memory_equal (bench->bytes.data, bench->again.data, bench->bytes.size);
}

static void every_type_comes_back_from_msgpack_as_it_was (void **state)
{
    (void) state;
    over_every_record (round_trip, ROUNDS);
}

/*  Secrets do not survive JSON, so what is compared is the JSON of the second reading. */
static void json_round_trip (bench_t *bench, const yard_wire_type_t *type, void *value)
{
    void *read = room (bench, type);
    yard_buffer_reset (&bench->bytes);
    yard_buffer_reset (&bench->again);
    assert_int_equal (yard_wire_json (type, value, &bench->bytes, &bench->error), 0);
    if (yard_wire_from_json (type, bench->bytes.data, bench->bytes.size, YARD_WIRE_ASK, bench->arena, read,
                             &bench->error))
        fail_msg ("%s: %s in %s", type->name, bench->error.text, bench->bytes.data);
    assert_int_equal (yard_wire_json (type, read, &bench->again, &bench->error), 0);
    assert_string_equal (bench->bytes.data, bench->again.data);
}

static void every_type_comes_back_from_json_as_it_was (void **state)
{
    (void) state;
    over_every_record (json_round_trip, ROUNDS);
}

/*  Read from bytes that are overwritten before the copy is looked at. */
static void copy (bench_t *bench, const yard_wire_type_t *type, void *value)
{
    yard_arena_t *other = yard_arena_new (ARENA_MAX);
    void *read = room (bench, type), *twin = yard_arena_alloc (other, type->size);
    pack (bench, type, value, &bench->again);
    pack (bench, type, value, &bench->bytes);
    assert_int_equal (unpack (bench, type, bench->bytes.data, bench->bytes.size, YARD_WIRE_ASK, read), 0);
    assert_int_equal (yard_wire_copy (type, read, other, twin), 0);
    memset (bench->bytes.data, 'x', bench->bytes.size);
    yard_arena_reset (bench->arena);
    pack (bench, type, twin, &bench->bytes);
    assert_int_equal (bench->bytes.size, bench->again.size);
    assert_memory_equal (bench->bytes.data, bench->again.data, bench->bytes.size);
    yard_arena_destroy (&other);
}

static void a_copy_does_not_lean_on_its_source (void **state)
{
    (void) state;
    over_every_record (copy, 10);
}

/*  Either refused with a sentence, or a value that packs again. */
static void survives (bench_t *bench, const yard_wire_type_t *type, const char *data, size_t size)
{
    void *read = room (bench, type);
    for (yard_wire_reader_t reader = YARD_WIRE_ASK; reader <= YARD_WIRE_ANSWER; reader++) {
        if (unpack (bench, type, data, size, reader, read)) {
            assert_non_null (strchr (bench->error.text, ':'));
            continue;
        }
        yard_buffer_reset (&bench->again);
        int failed = yard_wire_pack (type, read, &bench->again, &bench->error);
        /* A list whose words were all unknown may be too short to be sent on. */
        assert_true (failed == 0 || reader == YARD_WIRE_ANSWER);
    }
}

static void cut_and_changed (bench_t *bench, const yard_wire_type_t *type, void *value)
{
    pack (bench, type, value, &bench->bytes);
    size_t size = bench->bytes.size < 1200 ? bench->bytes.size : 1200;
    for (size_t i = 0; i < bench->bytes.size && i < size; i++) {
        /* An exact copy on the heap: reading a byte behind it is seen. */
        char *prefix = malloc (i + 1);
        assert_non_null (prefix);
        memcpy (prefix, bench->bytes.data, i);
        void *read = room (bench, type);
        assert_true (unpack (bench, type, prefix, i, YARD_WIRE_ANSWER, read) < 0);
        free (prefix);
        char saved = bench->bytes.data [i];
        for (unsigned change = 1; change < 256; change = change * 2 + (change == 4)) {
            bench->bytes.data [i] = (char) (saved ^ (char) change);
            survives (bench, type, bench->bytes.data, bench->bytes.size);
        }
        bench->bytes.data [i] = saved;
        yard_arena_reset (bench->arena);
    }
}

static void no_cut_and_no_changed_byte_does_harm (void **state)
{
    (void) state;
    over_every_record (cut_and_changed, 2);
}

/*  msgpack-c and we must mean the same by the same bytes. */
static void agrees_with_msgpack_c (bench_t *bench, const yard_wire_type_t *type, void *value)
{
    msgpack_unpacked theirs, again;
    size_t offset = 0, offset_again = 0;
    void *read = room (bench, type);
    pack (bench, type, value, &bench->bytes);
    msgpack_unpacked_init (&theirs);
    msgpack_unpacked_init (&again);
    assert_int_equal (msgpack_unpack_next (&theirs, bench->bytes.data, bench->bytes.size, &offset),
                      MSGPACK_UNPACK_SUCCESS);
    assert_int_equal (offset, bench->bytes.size);
    assert_int_equal (theirs.data.type, MSGPACK_OBJECT_MAP);
    assert_int_equal (unpack (bench, type, bench->bytes.data, bench->bytes.size, YARD_WIRE_ASK, read), 0);
    pack (bench, type, read, &bench->again);
    assert_int_equal (msgpack_unpack_next (&again, bench->again.data, bench->again.size, &offset_again),
                      MSGPACK_UNPACK_SUCCESS);
    assert_true (msgpack_object_equal (theirs.data, again.data));
    msgpack_unpacked_destroy (&theirs);
    msgpack_unpacked_destroy (&again);
}

static void what_we_read_msgpack_c_reads_the_same (void **state)
{
    (void) state;
    over_every_record (agrees_with_msgpack_c, 10);
}

/*  And what we accept after a change of the bytes, they accept too. */
static void changed_agrees (bench_t *bench, const yard_wire_type_t *type, void *value)
{
    pack (bench, type, value, &bench->bytes);
    for (size_t i = 0; i < bench->bytes.size && i < 400; i++) {
        char saved = bench->bytes.data [i];
        bench->bytes.data [i] = (char) yard_random_next (&bench->random);
        void *read = room (bench, type);
        if (unpack (bench, type, bench->bytes.data, bench->bytes.size, YARD_WIRE_ANSWER, read) == 0) {
            msgpack_unpacked theirs;
            size_t offset = 0;
            msgpack_unpacked_init (&theirs);
            assert_int_equal (msgpack_unpack_next (&theirs, bench->bytes.data, bench->bytes.size, &offset),
                              MSGPACK_UNPACK_SUCCESS);
            assert_int_equal (offset, bench->bytes.size);
            msgpack_unpacked_destroy (&theirs);
        }
        bench->bytes.data [i] = saved;
    }
}

static void what_we_accept_msgpack_c_accepts (void **state)
{
    (void) state;
    over_every_record (changed_agrees, 4);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_type_comes_back_from_msgpack_as_it_was),
        cmocka_unit_test (every_type_comes_back_from_json_as_it_was),
        cmocka_unit_test (a_copy_does_not_lean_on_its_source),
        cmocka_unit_test (no_cut_and_no_changed_byte_does_harm),
        cmocka_unit_test (what_we_read_msgpack_c_reads_the_same),
        cmocka_unit_test (what_we_accept_msgpack_c_accepts),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
