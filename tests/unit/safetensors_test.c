// SPDX-License-Identifier: Apache-2.0
/*  safetensors_test.c - which headers are taken and which are refused, and by what name of the fault
 *
 *  The cases named test_… and abuse_… carry the names under which the reference (huggingface/safetensors:
 *  tensor.rs, attacks/) keeps the same vectors; the rest are ours. Every header is copied to memory of
 *  exactly its size, so that a read beyond it is seen.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/formats/safetensors.h"

typedef struct {
    const char *name;
    const char *json; /* the header's text; N is its length unless claimed is set */
    size_t json_size; /* 0: strlen */
    uint64_t data_size; /* of the tensors' bytes behind it */
    const char *rule; /* what the refusal's sentence begins with; NULL when the file is valid */
    size_t count; /* of tensors in a valid file */
    uint64_t claimed; /* an N that lies */
} vector_t;

static const vector_t vectors [] = {
#define VECTOR(...) { __VA_ARGS__ },
#include "safetensors_vectors.def"
#undef VECTOR
};
#define VECTOR_COUNT (sizeof vectors / sizeof vectors [0])

/*  header_size, then parse, as a reader of files does it: with a copy of exactly the bytes asked for. */
static int parse_file (const void *file, size_t size, uint64_t file_size, char **ret_header,
                       yard_tensors_t *ret, yard_error_t *error)
{
    uint64_t needed;
    int rc = yard_safetensors_header_size (file, file_size, &needed, error);
    if (rc)
        return rc;
    assert_true (needed <= size);
    *ret_header = malloc (needed);
    memcpy (*ret_header, file, needed);
    return yard_safetensors_parse (*ret_header, needed, file_size, ret, error);
}

static void one_vector (void **state)
{
    const vector_t *vector = *state;
    size_t json_size = vector->json_size ? vector->json_size : strlen (vector->json);
    uint64_t claimed = vector->claimed ? vector->claimed : json_size;
    size_t size = 8 + json_size;
    char *file = malloc (size), *header = NULL;
    for (int at = 0; at < 8; at++)
        file [at] = (char) (claimed >> (8 * at));
    memcpy (file + 8, vector->json, json_size);
    yard_tensors_t tensors = { 0 };
    yard_error_t error = { 0 };
    int rc = parse_file (file, size, size + vector->data_size, &header, &tensors, &error);
    if (vector->rule) {
        assert_int_equal (rc,
                          strcmp (vector->rule, "HeaderTooLarge") == 0 ? YARD_TOO_LARGE : YARD_INVALID_FILE);
        assert_int_equal (error.code, rc);
        if (strncmp (error.text, vector->rule, strlen (vector->rule)) != 0)
            fail_msg ("\"%s\" instead of %s", error.text, vector->rule);
        assert_null (tensors.items);
    } else {
        if (rc)
            fail_msg ("%s", error.text);
        assert_int_equal (tensors.count, vector->count);
        uint64_t end = tensors.data_offset;
        for (size_t at = 0; at < tensors.count; at++) {
            assert_int_equal (tensors.items [at].offset, end);
            end += tensors.items [at].bytes;
        }
        assert_int_equal (end, size + vector->data_size);
    }
    yard_tensors_clear (&tensors);
    free (header);
    free (file);
}

static void test_header_too_small (void **state)
{
    (void) state;
    for (uint64_t size = 0; size < 8; size++) {
        uint64_t needed;
        yard_error_t error = { 0 };
        assert_int_equal (yard_safetensors_header_size ("", size, &needed, &error), YARD_INVALID_FILE);
        assert_memory_equal (error.text, "HeaderTooSmall", 14);
    }
}

static void the_list_says_where_everything_lies (void **state)
{
    (void) state;
    static const char json [] = "{\"__metadata__\":{\"format\":\"pt\",\"n\\u00e4me\":\"\\\"x\\\\\"},"
                                "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                                "\"a\\n\\u20ac\":{\"shape\":[],\"data_offsets\":[0,4],\"dtype\":\"F32\"}}";
    char file [8 + sizeof json] = { (char) (sizeof json - 1) }, *header = NULL;
    memcpy (file + 8, json, sizeof json - 1);
    yard_tensors_t tensors;
    assert_int_equal (parse_file (file, sizeof file - 1, 8 + sizeof json - 1 + 16, &header, &tensors, NULL),
                      0);
    assert_int_equal (tensors.data_offset, 8 + sizeof json - 1);
    assert_int_equal (tensors.count, 2);
    assert_true (yard_string_is (tensors.items [0].name, "a\n\xe2\x82\xac"));
    assert_int_equal (tensors.items [0].rank, 0);
    assert_int_equal (tensors.items [0].dtype, YARD_DTYPE_F32);
    const yard_tensor_t *b = yard_tensors_find (&tensors, yard_string ("b"));
    assert_ptr_equal (b, &tensors.items [1]);
    assert_ptr_equal (b->name.data, strstr (header + 8, "\"b\":") + 1); /* a view, not a copy */
    assert_int_equal (b->rank, 2);
    assert_int_equal (b->shape [0], 2);
    assert_int_equal (b->shape [1], 3);
    assert_int_equal (b->offset, tensors.data_offset + 4);
    assert_int_equal (b->bytes, 12);
    assert_null (yard_tensors_find (&tensors, yard_string ("c")));
    assert_int_equal (tensors.metadata_count, 2);
    assert_true (yard_string_is (yard_tensors_metadata (&tensors, "format"), "pt"));
    assert_true (yard_string_is (yard_tensors_metadata (&tensors, "n\xc3\xa4me"), "\"x\\"));
    assert_null (yard_tensors_metadata (&tensors, "absent").data);
    yard_tensors_clear (&tensors);
    yard_tensors_clear (&tensors);
    free (header);
}

static void every_prefix_of_a_header_is_refused (void **state)
{
    (void) state;
    static const char json [] = "{\"__metadata__\":{\"a\":\"b\"}," U8 ("a\\u0041", 0, 1) "}";
    for (size_t size = 0; size < sizeof json - 1; size++) {
        char *header = malloc (8 + size);
        memset (header, 0, 8);
        header [0] = (char) size;
        memcpy (header + 8, json, size);
        yard_tensors_t tensors;
        assert_int_equal (yard_safetensors_parse (header, 8 + size, 8 + size + 1, &tensors, NULL),
                          YARD_INVALID_FILE);
        free (header);
    }
}

static void every_dtype_of_the_format_is_known_by_its_word (void **state)
{
    (void) state;
    assert_int_equal (YARD_DTYPE_COUNT, 22);
    for (int dtype = 0; dtype < YARD_DTYPE_COUNT; dtype++) {
        const yard_dtype_row_t *row = yard_dtype_row ((yard_dtype_t) dtype);
        assert_int_equal (yard_dtype_from (yard_string (row->word)), dtype);
        assert_true (row->bits >= 4 && row->bits <= 64);
    }
    assert_int_equal (yard_dtype_from (yard_string ("F128")), -1);
    assert_int_equal (yard_dtype_from (yard_string ("")), -1);
}

static void a_hostile_name_becomes_text (void **state)
{
    (void) state;
    char text [YARD_NAME_TEXT_SIZE], name [300];
    yard_name_text (yard_string ("a\x1b[2J\xff"
                                 "b"),
                    text);
    assert_string_equal (text, "a?[2J?b");
    memset (name, 'x', sizeof name);
    yard_name_text ((yard_string_t){ name, sizeof name }, text);
    assert_int_equal (strlen (text), YARD_NAME_TEXT_SIZE - 1);
    assert_string_equal (text + YARD_NAME_TEXT_SIZE - 5, "x...");
    yard_name_text ((yard_string_t){ NULL, 0 }, text);
    assert_string_equal (text, "");
}

int main (void)
{
    static struct CMUnitTest tests [VECTOR_COUNT + 5] = {
        [VECTOR_COUNT] = cmocka_unit_test (test_header_too_small),
        cmocka_unit_test (the_list_says_where_everything_lies),
        cmocka_unit_test (every_prefix_of_a_header_is_refused),
        cmocka_unit_test (every_dtype_of_the_format_is_known_by_its_word),
        cmocka_unit_test (a_hostile_name_becomes_text),
    };
    for (size_t at = 0; at < VECTOR_COUNT; at++)
        tests [at] = (struct CMUnitTest){ vectors [at].name, one_vector, NULL, NULL,
                                          (void *) (uintptr_t) &vectors [at] };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
