// SPDX-License-Identifier: Apache-2.0
/*  messages_test.c - the rows of conversations.def: that they are what the engine, the broker and JSON's
 *  readers rely on
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include "proto/messages.h"

#define FIELDS_MAX 64 /* the read walk keeps one bit per field */
#define MAP_ENTRIES_MAX 256 /* keys of a map are compared with each other */
#define LIST_ENTRIES_MAX 1024 /* four pages: one frame of a follower asks for no more memory than that */

static void methods_are_found_by_their_wire_name (void **state)
{
    (void) state;
    char name [YARD_METHOD_NAME_MAX];
    for (const yard_method_t *const *method = yard_methods (); *method; method++) {
        assert_true (strlen ((*method)->id) < YARD_METHOD_NAME_MAX);
        yard_method_name (*method, name);
        assert_ptr_equal (yard_method_find (yard_string (name)), *method);
    }
    yard_method_name (&load_model_method, name);
    assert_string_equal (name, "load.model");
    assert_ptr_equal (yard_method_find (yard_string ("load.model@loader/box7/cuda:0")), &load_model_method);
    assert_null (yard_method_find (yard_string ("load_model")));
    assert_null (yard_method_find (yard_string ("load.model.")));
    assert_null (yard_method_find (yard_string ("load")));
    assert_null (yard_method_find ((yard_string_t){ NULL, 0 }));
}

/*  The dot stands for the first _, so a service is one word; and the service stands before it. */
static void every_service_is_one_word_and_every_name_is_used_once (void **state)
{
    (void) state;
    static const char *const services [] = { "record.", "job.",     "event.", "yard.",
                                             "probe.",  "install.", "load." };
    for (const yard_method_t *const *method = yard_methods (); *method; method++) {
        char name [YARD_METHOD_NAME_MAX];
        bool known = false;
        yard_method_name (*method, name);
        for (size_t i = 0; i < sizeof services / sizeof services [0]; i++)
            known = known || yard_string_starts (yard_string (name), services [i]);
        if (!known)
            fail_msg ("%s is of no known service", name);
        assert_true (strlen ((*method)->doc) > 0);
        for (const yard_method_t *const *other = yard_methods (); other < method; other++)
            assert_string_not_equal ((*method)->id, (*other)->id);
    }
}

static void every_ask_and_event_is_a_record (void **state)
{
    (void) state;
    for (const yard_method_t *const *method = yard_methods (); *method; method++) {
        assert_int_equal ((*method)->ask ()->kind, YARD_WIRE_RECORD);
        assert_int_equal ((*method)->answer ()->kind, YARD_WIRE_RECORD);
        assert_true ((*method)->roles & YARD_ROLE_ADMIN);
        assert_in_range ((*method)->deadline_ms, 0, 3600000);
    }
    for (const yard_event_t *const *event = yard_events (); *event; event++) {
        assert_int_equal ((*event)->body ()->kind, YARD_WIRE_RECORD);
        assert_ptr_equal (yard_event_find (yard_string ((*event)->name)), *event);
    }
    assert_null (yard_event_find (yard_string ("model_install")));
}

/*  Names are letters, digits and _, since they become names in C, Python and JSON; nothing is there twice. */
static void types_fields_and_words_have_names_of_their_own (void **state)
{
    (void) state;
    for (const yard_wire_type_t *const *type = yard_types (); *type; type++) {
        for (const yard_wire_type_t *const *other = yard_types (); other < type; other++)
            assert_string_not_equal ((*type)->name, (*other)->name);
        for (size_t i = 0; i < (*type)->field_count; i++) {
            const char *name = (*type)->fields [i].name;
            for (const char *c = name; *c; c++)
                assert_true (islower (*c) || isdigit (*c) || *c == '_');
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal (name, (*type)->fields [j].name);
        }
        for (size_t i = 0; i < (*type)->value_count; i++) {
            assert_int_equal ((*type)->values [i].value, i + 1);
            assert_int_equal (yard_wire_value (*type, yard_string ((*type)->values [i].word)), i + 1);
            assert_string_equal (yard_wire_word (*type, (int) i + 1), (*type)->values [i].word);
        }
    }
    assert_string_equal (yard_wire_word (job_kind_type (), job_kind_unset), "");
    assert_string_equal (yard_wire_word (job_kind_type (), 1000), "");
    assert_int_equal (yard_wire_value (job_kind_type (), yard_string ("")), 0);
}

static void check_field (const yard_wire_type_t *type, const yard_wire_field_t *field)
{
    bool sized =
        field->kind == YARD_WIRE_STRING || field->kind == YARD_WIRE_BINARY || field->kind == YARD_WIRE_SECRET;
    bool many = field->kind == YARD_WIRE_LIST || field->kind == YARD_WIRE_MAP;
    bool number =
        field->kind == YARD_WIRE_INT || field->kind == YARD_WIRE_UINT || field->kind == YARD_WIRE_DOUBLE;
    if (strlen (field->doc) == 0 || ((sized || many || number) && field->high == 0))
        fail_msg ("%s.%s needs a text and an upper bound", type->name, field->name);
    if ((sized || many || field->kind == YARD_WIRE_UINT) && field->low < 0)
        fail_msg ("%s.%s has a lower bound below 0", type->name, field->name);
    if (field->kind != YARD_WIRE_INT && (uint64_t) field->low > field->high)
        fail_msg ("%s.%s has no value within its bounds", type->name, field->name);
    if (sized)
        assert_in_range (field->high, 1, YARD_MESSAGE_MAX);
    if (many)
        assert_in_range (field->high, 1, field->kind == YARD_WIRE_MAP ? MAP_ENTRIES_MAX : LIST_ENTRIES_MAX);
    if (field->presence == YARD_WIRE_DEFAULT)
        assert_non_null (field->fallback);
}

static void every_row_has_bounds_that_fit (void **state)
{
    (void) state;
    for (const yard_wire_type_t *const *type = yard_types (); *type; type++) {
        assert_in_range ((*type)->field_count, (*type)->kind == YARD_WIRE_RECORD, FIELDS_MAX);
        for (size_t i = 0; i < (*type)->field_count; i++)
            check_field (*type, &(*type)->fields [i]);
    }
}

static size_t depth_of (const yard_wire_type_t *type)
{
    size_t deepest = 0;
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        size_t below =
            field->type && field->type ()->kind == YARD_WIRE_RECORD ? depth_of (field->type ()) : 0;
        below += field->kind == YARD_WIRE_LIST || field->kind == YARD_WIRE_MAP;
        deepest = below > deepest ? below : deepest;
    }
    return deepest + 1;
}

static void no_message_is_deeper_than_the_engine_allows (void **state)
{
    (void) state;
    for (const yard_wire_type_t *const *type = yard_types (); *type; type++)
        assert_in_range (depth_of (*type), 1, YARD_DEPTH_MAX);
}

/*  A started value of a type without REQUIRED fields is a valid message: its defaults keep their own bounds. */
static void defaults_keep_their_bounds (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (1024 * 1024);
    for (const yard_wire_type_t *const *type = yard_types (); *type; type++) {
        bool whole = (*type)->kind == YARD_WIRE_RECORD;
        for (size_t i = 0; i < (*type)->field_count; i++)
            whole = whole && (*type)->fields [i].presence != YARD_WIRE_REQUIRED;
        if (!whole)
            continue;
        yard_buffer_t bytes;
        yard_error_t error;
        void *value = yard_arena_alloc (arena, (*type)->size);
        yard_buffer_init (&bytes, YARD_MESSAGE_MAX);
        yard_wire_init (*type, value);
        if (yard_wire_pack (*type, value, &bytes, &error))
            fail_msg ("%s: %s", (*type)->name, error.text);
        yard_buffer_clear (&bytes);
    }
    yard_arena_destroy (&arena);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (methods_are_found_by_their_wire_name),
        cmocka_unit_test (every_service_is_one_word_and_every_name_is_used_once),
        cmocka_unit_test (every_ask_and_event_is_a_record),
        cmocka_unit_test (types_fields_and_words_have_names_of_their_own),
        cmocka_unit_test (every_row_has_bounds_that_fit),
        cmocka_unit_test (no_message_is_deeper_than_the_engine_allows),
        cmocka_unit_test (defaults_keep_their_bounds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
