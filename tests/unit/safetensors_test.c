// SPDX-License-Identifier: Apache-2.0
/*  safetensors_test.c - which headers are taken and which are refused, and by what name of the fault
 *
 *  The cases named test_… and abuse_… carry the names under which the reference (huggingface/safetensors: tensor.rs, attacks/) keeps the same
 *  vectors; the rest are ours. Every header is copied to memory of exactly its size, so that a read beyond it is seen.
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

#define I32(name, shape, offsets) \
    "\"" name "\":{\"dtype\":\"I32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define U8(name, begin, end) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[" #begin "," #end "]}"
#define NESTED_16 "[[[[[[[[[[[[[[[["
#define NESTED_128 NESTED_16 NESTED_16 NESTED_16 NESTED_16 NESTED_16 NESTED_16 NESTED_16 NESTED_16
#define CLOSED_16 "]]]]]]]]]]]]]]]]"
#define CLOSED_128 CLOSED_16 CLOSED_16 CLOSED_16 CLOSED_16 CLOSED_16 CLOSED_16 CLOSED_16 CLOSED_16
#define WITH_EXTRA(extra) \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"extra\":" extra "}}"
#define WITH_METADATA(value) "{\"__metadata__\":" value "}"

static const vector_t vectors [] = {
    /* The reference's. */
    { "test_header_too_large", "", 0, 8, "HeaderTooLarge", 0, 0xffffff000000003cu },
    { "test_invalid_header_length", "", 0, 0, "InvalidHeaderLength", 0, 0x3c },
    { "test_invalid_header_non_utf8", "\xff", 0, 0, "InvalidHeader:", 0, 0 },
    { "test_invalid_header_not_json", "{", 0, 0, "InvalidHeaderDeserialization", 0, 0 },
    { "test_whitespace_padded_header", "{}\r \t\n", 0, 0, NULL, 0, 0 },
    { "test_whitespace_leading_padded_header", "\t\n{}\r ", 0, 0, NULL, 0, 0 },
    { "test_empty", "{}      ", 0, 0, NULL, 0, 0 },
    { "test_empty with metadata", "{\"__metadata__\":{\"framework\":\"pt\"}}      ", 0, 0, NULL, 0, 0 },
    { "test_empty_shapes_allowed", "{" I32 ("test", "[]", "[0,4]") "}", 0, 4, NULL, 1, 0 },
    { "test_zero_sized_tensor", "{" I32 ("test", "[2,0]", "[0, 0]") "}", 0, 0, NULL, 1, 0 },
    { "test_deserialization", "{" I32 ("test", "[2,2]", "[0,16]") "}", 0, 16, NULL, 1, 0 },
    { "test_metadata_incomplete_buffer: more", "{" I32 ("test", "[2,2]", "[0,16]") "}", 0, 16 + 37,
      "MetadataIncompleteBuffer", 0, 0 },
    { "test_metadata_incomplete_buffer: less", "{" I32 ("test", "[2,2]", "[0,16]") "}", 0, 14,
      "MetadataIncompleteBuffer", 0, 0 },
    { "test_invalid_info", "{" I32 ("test", "[2,2]", "[0, 4]") "}", 0, 16, "TensorInvalidInfo", 0, 0 },
    { "test_validation_overflow: elements", "{" I32 ("test", "[2,18446744073709551614]", "[0,16]") "}", 0, 16,
      "ValidationOverflow", 0, 0 },
    { "test_validation_overflow: bits", "{" I32 ("test", "[2,9223372036854775807]", "[0,16]") "}", 0, 16,
      "ValidationOverflow", 0, 0 },
    { "test_json_attack",
      "{" I32 ("0", "[2,2]", "[0,16]") "," I32 ("1", "[2,2]", "[0,16]") "," I32 ("2", "[2,2]", "[0,16]") "," I32 (
          "3", "[2,2]",
          "[0,16]") "," I32 ("4", "[2,2]",
                             "[0,16]") "," I32 ("5", "[2,2]",
                                                "[0,16]") "," I32 ("6", "[2,2]",
                                                                   "[0,16]") "," I32 ("7", "[2,2]",
                                                                                      "[0,16]") "," I32 ("8",
                                                                                                         "[2,"
                                                                                                         "2]",
                                                                                                         "[0,"
                                                                                                         "16"
                                                                                                         "]") "," I32 ("9",
                                                                                                                       "[2,2]",
                                                                                                                       "[0,16]") "}",
      0, 16, "InvalidOffset", 0, 0 },
    { "test_serialization_fp4_misaligned",
      "{\"a\":{\"dtype\":\"F4\",\"shape\":[1,3],\"data_offsets\":[0,2]}}", 0, 2, "MisalignedSlice", 0, 0 },
    { "test_serialization_fp4_invalid", "{\"a\":{\"dtype\":\"F4\",\"shape\":[1,2],\"data_offsets\":[0,2]}}",
      0, 2, "TensorInvalidInfo", 0, 0 },
    { "test_serialization_fp4", "{\"a\":{\"dtype\":\"F4\",\"shape\":[1,2],\"data_offsets\":[0,1]}}", 0, 1,
      NULL, 1, 0 },
    { "test_invalid_header_size_serialization", "{}", 0, 100000001, "HeaderTooLarge", 0, 100000001 },
    { "abuse_1: a long header in a small file", "{}", 0, 0, "InvalidHeaderLength", 0, 1000 },
    { "test_pread_backend: a truncated header", "{\"a\":", 0, 0, "InvalidHeaderLength", 0, 64 },
    { "test_pread_backend: 4 MiB claimed, 1 byte there", "{", 0, 0, "InvalidHeaderLength", 0, 4u << 20 },
    /* Ours: the JSON. */
    { "an empty header", "", 0, 0, "InvalidHeaderDeserialization", 0, 0 },
    { "a header that is no object", "[]", 0, 0, "InvalidHeaderDeserialization", 0, 0 },
    { "padding with byte 0", "{}\0\0", 4, 0, "InvalidHeaderDeserialization", 0, 0 },
    { "something behind the object", "{} {}", 0, 0, "InvalidHeaderDeserialization", 0, 0 },
    { "a trailing comma", "{" U8 ("a", 0, 1) ",}", 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "a missing comma", "{" U8 ("a", 0, 1) U8 ("b", 1, 2) "}", 0, 2, "InvalidHeaderDeserialization", 0, 0 },
    { "an exponent in a shape", "{" I32 ("a", "[1e2]", "[0,400]") "}", 0, 400, "InvalidHeaderDeserialization",
      0, 0 },
    { "a fraction in a shape", "{" I32 ("a", "[1.0]", "[0,4]") "}", 0, 4, "InvalidHeaderDeserialization", 0,
      0 },
    { "minus zero", "{" I32 ("a", "[1]", "[-0,4]") "}", 0, 4, "InvalidHeaderDeserialization", 0, 0 },
    { "a negative dimension", "{" I32 ("a", "[-1]", "[0,4]") "}", 0, 4, "InvalidHeaderDeserialization", 0,
      0 },
    { "a leading zero", "{" I32 ("a", "[01]", "[0,4]") "}", 0, 4, "InvalidHeaderDeserialization", 0, 0 },
    { "a number above 2^64", "{" I32 ("a", "[18446744073709551616]", "[0,4]") "}", 0, 4,
      "InvalidHeaderDeserialization", 0, 0 },
    { "a string for a number", "{" I32 ("a", "[\"1\"]", "[0,4]") "}", 0, 4, "InvalidHeaderDeserialization", 0,
      0 },
    { "a lone high surrogate", "{" U8 ("\\ud800", 0, 1) "}", 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "a lone low surrogate", "{" U8 ("\\udc00x", 0, 1) "}", 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "a pair of surrogates", "{" U8 ("\\ud83d\\ude00", 0, 1) "}", 0, 1, NULL, 1, 0 },
    { "a surrogate written as UTF-8", "{" U8 ("\xed\xa0\x80", 0, 1) "}", 0, 1, "InvalidHeader:", 0, 0 },
    { "an overlong form", "{" U8 ("\xc0\xaf", 0, 1) "}", 0, 1, "InvalidHeader:", 0, 0 },
    { "a character cut by the end", "{}\xe2\x82", 0, 0, "InvalidHeader:", 0, 0 },
    { "a control character in a name", "{" U8 ("\n", 0, 1) "}", 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "an unknown escape", "{" U8 ("\\x41", 0, 1) "}", 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "an escape cut by the end", "{\"\\u00", 0, 0, "InvalidHeaderDeserialization", 0, 0 },
    { "127 levels below an entry", WITH_EXTRA ("[" NESTED_128 CLOSED_128 "]"), 0, 1,
      "InvalidHeaderDeserialization", 0, 0 },
    { "128 levels in an entry", WITH_EXTRA (NESTED_128 CLOSED_128), 0, 1, NULL, 1, 0 },
    { "nesting that never closes", WITH_EXTRA (NESTED_128 NESTED_128), 0, 1, "InvalidHeaderDeserialization",
      0, 0 },
    { "wrong brackets", WITH_EXTRA ("[{]}"), 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "unknown fields of every kind",
      WITH_EXTRA ("[{},[],{\"b\":[null,true,false]},-1.5e+3,0,\"\\u0041\",{\"c\":{}}]"), 0, 1, NULL, 1, 0 },
    { "an unknown field without a value", WITH_EXTRA (""), 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "an unknown field with a bad number", WITH_EXTRA ("1."), 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "no key in a skipped object", WITH_EXTRA ("{1:2}"), 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    { "no comma after an empty object", WITH_EXTRA ("[{} 1]"), 0, 1, "InvalidHeaderDeserialization", 0, 0 },
    /* Ours: the entries. */
    { "an entry as an array", "{\"a\":[\"F32\",[1],[0,4]]}", 0, 4, "InvalidHeaderDeserialization", 0, 0 },
    { "an unknown dtype", "{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4,
      "InvalidHeaderDeserialization", 0, 0 },
    { "an escaped dtype", "{\"a\":{\"\\u0064type\":\"F\\u00332\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0,
      4, NULL, 1, 0 },
    { "a field twice",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"dtyp\\u0065\":\"U8\",\"data_offsets\":[0,1]}}", 0, 1,
      "InvalidHeaderDeserialization", 0, 0 },
    { "a field missing", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 0, 1, "InvalidHeaderDeserialization", 0,
      0 },
    { "one offset", "{" I32 ("a", "[1]", "[0]") "}", 0, 4, "InvalidHeaderDeserialization", 0, 0 },
    { "three offsets", "{" I32 ("a", "[1]", "[0,4,8]") "}", 0, 4, "InvalidHeaderDeserialization", 0, 0 },
    { "the empty name", "{" U8 ("", 0, 1) "}", 0, 1, NULL, 1, 0 },
    { "a tensor named __metadata__", "{" U8 ("__metadata__", 0, 1) "}", 0, 1, "InvalidHeaderDeserialization",
      0, 0 },
    { "an escaped __metadata__ as a tensor", "{" U8 ("__metadata_\\u005f", 0, 1) "}", 0, 1,
      "InvalidHeaderDeserialization", 0, 0 },
    { "a duplicate name", "{" U8 ("a", 0, 1) "," U8 ("a", 1, 2) "}", 0, 2, "DuplicateName", 0, 0 },
    { "an identical duplicate", "{" U8 ("a", 0, 1) "," U8 ("a", 0, 1) "}", 0, 1, "DuplicateName", 0, 0 },
    { "an escaped duplicate", "{" U8 ("a", 0, 1) "," U8 ("\\u0061", 1, 2) "}", 0, 2, "DuplicateName", 0, 0 },
    /* Ours: the ranges. */
    { "entries in any order", "{" U8 ("a", 2, 3) "," U8 ("b", 0, 1) "," U8 ("c", 1, 2) "}", 0, 3, NULL, 3,
      0 },
    { "a hole", "{" U8 ("a", 0, 1) "," U8 ("b", 2, 3) "}", 0, 3, "InvalidOffset", 0, 0 },
    { "a hole at the front", "{" U8 ("a", 1, 2) "}", 0, 2, "InvalidOffset", 0, 0 },
    { "an overlap", "{" I32 ("a", "[1]", "[0,4]") "," I32 ("b", "[1]", "[2,6]") "}", 0, 6, "InvalidOffset", 0,
      0 },
    { "an end before its begin",
      "{" I32 ("a", "[0]", "[0,0]") "," I32 ("b", "[1]", "[0,4]") "," I32 ("c", "[1]", "[4,0]") "}", 0, 4,
      "InvalidOffset", 0, 0 },
    { "offsets at the end of the numbers", "{" U8 ("a", 18446744073709551614, 18446744073709551615) "}", 0, 1,
      "InvalidOffset", 0, 0 },
    { "a tensor of nearly 2^61 bytes",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2305843009213693951],\"data_offsets\":[0,2305843009213693951]}}",
      0, 8, "MetadataIncompleteBuffer", 0, 0 },
    { "an overflow before a dimension of 0", "{" I32 ("a", "[9223372036854775808,4,0]", "[0,0]") "}", 0, 0,
      "ValidationOverflow", 0, 0 },
    { "empty tensors between full ones",
      "{" U8 ("a", 0, 1) "," I32 ("b", "[0]", "[1,1]") "," I32 ("c", "[3,0]", "[1,1]") "," U8 ("d", 1, 2) "}",
      0, 2, NULL, 4, 0 },
    { "six-bit elements in whole bytes",
      "{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 0, 3, NULL, 1, 0 },
    /* Ours: the metadata. */
    { "metadata null", WITH_METADATA ("null"), 0, 0, NULL, 0, 0 },
    { "metadata as a string", WITH_METADATA ("\"a\""), 0, 0, "InvalidHeaderDeserialization", 0, 0 },
    { "a metadata value that is no string", WITH_METADATA ("{\"a\":1}"), 0, 0, "InvalidHeaderDeserialization",
      0, 0 },
    { "metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, 0, "InvalidHeaderDeserialization", 0,
      0 },
    { "a metadata key twice", WITH_METADATA ("{\"a\":\"1\",\"\\u0061\":\"2\"}"), 0, 0, "DuplicateName", 0,
      0 },
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
