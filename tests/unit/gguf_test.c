// SPDX-License-Identifier: Apache-2.0
/*  gguf_test.c - what a GGUF file may be, and what it may not
 *
 *  The cases follow the handcrafted ones of the reference reader (llama.cpp, tests/test-gguf.cpp), and what its
 *  security reports added since; the files are our own. One short case for each of them, hence the length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/formats/gguf.h"
#include "tests/unit/gguf_bed.h"

static const uint64_t row [] = { 4 }, matrix [] = { 8, 3 };

static gguf_file_t file;
static yard_gguf_t gguf;
static yard_error_t error;

static int clear (void **state)
{
    (void) state;
    yard_gguf_clear (&gguf);
    return 0;
}

/*  From a copy of exactly its size, so that one byte beyond is an error. */
static int parse (uint64_t file_size)
{
    static char *copy; /* the names are views into it */
    uint64_t more = 1;
    yard_gguf_clear (&gguf);
    free (copy);
    copy = malloc (file.size ? file.size : 1);
    assert_non_null (copy);
    memcpy (copy, file.bytes, file.size);
    error = (yard_error_t){ 0 };
    int rc = yard_gguf_parse (copy, file.size, file_size, &gguf, &more, &error);
    if (rc == 0)
        assert_int_equal (more, 0);
    return rc;
}

static void assert_broken (int code, const char *rule)
{
    assert_int_equal (parse (file.size), code);
    if (strncmp (error.text, rule, strlen (rule)) != 0)
        fail_msg ("%s expected, and not: %s", rule, error.text);
}

/*  Two tensors, 8x3 F16 and 4 F32, behind pairs of the caller's; alignment of the file. */
static void put_two (size_t alignment)
{
    put_info (&file, "a", 2, matrix, GGML_F16, 0);
    put_info (&file, "b", 1, row, GGML_F32, (48 + alignment - 1) / alignment * alignment);
    put_padding (&file, alignment);
    put_data (&file, 48);
    put_padding (&file, alignment);
    put_data (&file, 16);
}

/*  --- the start */

static void a_file_that_does_not_begin_with_gguf_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 0);
    file.bytes [0] = 'g';
    assert_broken (YARD_INVALID_FILE, "BadMagic:");
}

static void versions_2_and_3_are_read_and_no_others (void **state)
{
    (void) state;
    static const uint64_t others [] = { 0, 1, 4, 99, 0x00010003 };
    for (uint64_t version = 2; version <= 3; version++) {
        put_start (&file, version, 0, 0);
        assert_int_equal (parse (file.size), 0);
        assert_int_equal (gguf.version, version);
    }
    for (size_t at = 0; at < sizeof others / sizeof others [0]; at++) {
        put_start (&file, others [at], 0, 0);
        assert_broken (YARD_NOT_IMPLEMENTED, "BadVersion:");
    }
}

static void a_big_endian_file_is_told_as_what_it_is (void **state)
{
    (void) state;
    put_start (&file, 0x03000000, 0, 0);
    assert_broken (YARD_NOT_IMPLEMENTED, "BigEndian:");
}

static void more_tensors_than_the_file_has_bytes_for_are_refused (void **state)
{
    (void) state;
    put_start (&file, 3, UINT64_MAX, 0);
    assert_broken (YARD_INVALID_FILE, "Truncated:");
    put_start (&file, 3, 2, 0);
    put_data (&file, 40);
    assert_broken (YARD_INVALID_FILE, "Truncated:");
}

static void more_pairs_than_the_file_has_bytes_for_are_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 0, INT64_MAX);
    assert_broken (YARD_INVALID_FILE, "Truncated:");
}

static void more_tensors_or_pairs_than_any_model_has_are_too_large (void **state)
{
    (void) state;
    put_start (&file, 3, YARD_GGUF_TENSORS_MAX + 1, 0);
    assert_int_equal (parse (1 << 30), YARD_TOO_LARGE);
    put_start (&file, 3, 0, YARD_GGUF_PAIRS_MAX + 1);
    assert_int_equal (parse (1 << 30), YARD_TOO_LARGE);
}

static void a_file_without_pairs_and_tensors_is_an_empty_model (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 0);
    assert_int_equal (parse (file.size), 0);
    assert_int_equal (gguf.tensors.count, 0);
    assert_int_equal (gguf.alignment, 32);
    assert_int_equal (gguf.split_count, 0);
}

/*  --- pairs */

static void a_key_that_is_longer_than_the_file_is_refused (void **state)
{
    (void) state;
    static const uint64_t lengths [] = { 100, INT64_MAX, UINT64_MAX };
    for (size_t at = 0; at < 3; at++) {
        put_start (&file, 3, 0, 1);
        put_number (&file, lengths [at], 8);
        put_data (&file, 20);
        assert_broken (YARD_INVALID_FILE, "Truncated:");
    }
}

static void an_empty_key_or_one_that_is_no_text_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 1);
    put_pair (&file, "", GGUF_U32, 1, 4);
    assert_broken (YARD_INVALID_FILE, "BadKey:");
    put_start (&file, 3, 0, 1);
    put_pair (&file, "a\xff", GGUF_U32, 1, 4);
    assert_broken (YARD_INVALID_FILE, "BadKey:");
}

static void a_value_of_an_unknown_type_is_refused (void **state)
{
    (void) state;
    static const uint64_t bad [] = { 13, 255, UINT32_MAX };
    for (size_t at = 0; at < 3; at++) {
        put_start (&file, 3, 0, 1);
        put_pair (&file, "key", bad [at], 1, 4);
        assert_broken (YARD_INVALID_FILE, "BadValue:");
        put_start (&file, 3, 0, 1);
        put_pair (&file, "key", GGUF_ARRAY, bad [at], 4);
        put_number (&file, 1, 8);
        put_number (&file, 1, 8);
        assert_broken (YARD_INVALID_FILE, "BadValue:");
    }
}

static void arrays_of_arrays_are_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 1);
    put_pair (&file, "key", GGUF_ARRAY, GGUF_ARRAY, 4);
    put_number (&file, 0, 8);
    assert_broken (YARD_INVALID_FILE, "BadValue:");
}

static void the_same_key_twice_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 2);
    put_pair (&file, "key", GGUF_U32, 1, 4);
    put_pair (&file, "key", GGUF_U8, 1, 1);
    assert_broken (YARD_INVALID_FILE, "DuplicateKey:");
}

static void an_alignment_must_be_a_power_of_two_up_to_a_mebibyte (void **state)
{
    (void) state;
    static const uint64_t bad [] = { 0, 3, 13, 1u << 21, 1u << 31, UINT32_MAX };
    for (size_t at = 0; at < sizeof bad / sizeof bad [0]; at++) {
        put_start (&file, 3, 0, 1);
        put_pair (&file, "general.alignment", GGUF_U32, bad [at], 4);
        assert_broken (YARD_INVALID_FILE, "BadAlignment:");
    }
    put_start (&file, 3, 0, 1);
    put_pair (&file, "general.alignment", GGUF_U32, 1u << 20, 4);
    assert_int_equal (parse (file.size), 0);
}

static void an_alignment_of_another_type_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 1);
    put_pair (&file, "general.alignment", GGUF_I32, 32, 4);
    assert_broken (YARD_INVALID_FILE, "BadAlignment:");
    put_start (&file, 3, 0, 1);
    put_words (&file, "general.alignment", "32");
    assert_broken (YARD_INVALID_FILE, "BadAlignment:");
}

static void pairs_of_every_type_are_read_past_and_texts_are_kept (void **state)
{
    (void) state;
    static const struct {
        const char *key;
        unsigned type;
        size_t width;
    } plain [] = { { "u8", 0, 1 },   { "i8", 1, 1 },   { "u16", 2, 2 }, { "i16", 3, 2 },
                   { "u32", 4, 4 },  { "i32", 5, 4 },  { "f32", 6, 4 }, { "bool", 7, 1 },
                   { "u64", 10, 8 }, { "i64", 11, 8 }, { "f64", 12, 8 } };
    size_t count = sizeof plain / sizeof plain [0];
    put_start (&file, 3, 0, count + 5);
    for (size_t at = 0; at < count; at++)
        put_pair (&file, plain [at].key, plain [at].type, 1, plain [at].width);
    put_words (&file, "general.architecture", "flux");
    put_words (&file, "bytes", "\xff");
    put_pair (&file, "general.file_type", GGUF_U32, 15, 4);
    put_pair (&file, "tokens", GGUF_ARRAY, GGUF_STRING, 4);
    put_number (&file, 2, 8);
    put_text (&file, "a");
    put_text (&file, "");
    put_pair (&file, "scores", GGUF_ARRAY, GGUF_F32, 4);
    put_number (&file, 3, 8);
    put_data (&file, 12);
    assert_int_equal (parse (file.size), 0);
    assert_int_equal (gguf.tensors.metadata_count, count + 5);
    assert_true (yard_string_is (yard_tensors_metadata (&gguf.tensors, "general.architecture"), "flux"));
    assert_null (yard_tensors_metadata (&gguf.tensors, "bytes").data);
    assert_null (yard_tensors_metadata (&gguf.tensors, "f64").data);
    assert_true (gguf.has_file_type);
    assert_int_equal (gguf.file_type, 15);
}

static void a_small_file_that_claims_a_huge_array_is_refused_without_memory_for_it (void **state)
{
    (void) state;
    static const uint64_t claims [] = { 1u << 30, INT64_MAX, UINT64_MAX, UINT64_MAX / 8 + 1 };
    static const unsigned kinds [] = { GGUF_U8, GGUF_F32, GGUF_STRING, 12 };
    for (size_t at = 0; at < 16; at++) {
        put_start (&file, 3, 0, 1);
        put_pair (&file, "key", GGUF_ARRAY, kinds [at / 4], 4);
        put_number (&file, claims [at % 4], 8);
        put_data (&file, 100);
        assert_broken (YARD_INVALID_FILE, "Truncated:");
    }
}

static void a_split_file_says_which_it_is (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 3);
    put_pair (&file, "split.no", GGUF_U16, 1, 2);
    put_pair (&file, "split.count", GGUF_U16, 3, 2);
    put_pair (&file, "split.tensors.count", GGUF_I32, 77, 4);
    assert_int_equal (parse (file.size), 0);
    assert_int_equal (gguf.split_no, 1);
    assert_int_equal (gguf.split_count, 3);
    assert_int_equal (gguf.split_tensors, 77);
}

static void a_split_file_that_contradicts_itself_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 2);
    put_pair (&file, "split.no", GGUF_U16, 3, 2);
    put_pair (&file, "split.count", GGUF_U16, 3, 2);
    assert_broken (YARD_INVALID_FILE, "BadSplit:");
    put_start (&file, 3, 0, 1);
    put_pair (&file, "split.count", GGUF_U32, 3, 4);
    assert_broken (YARD_INVALID_FILE, "BadSplit:");
    put_start (&file, 3, 0, 1);
    put_pair (&file, "split.tensors.count", GGUF_I32, UINT32_MAX, 4);
    assert_broken (YARD_INVALID_FILE, "BadSplit:");
}

/*  --- tensors */

static void a_name_of_64_bytes_is_refused_and_one_of_63_is_read (void **state)
{
    (void) state;
    char name [65] = { 0 };
    memset (name, 'x', 64);
    put_start (&file, 3, 1, 0);
    put_info (&file, name, 1, row, GGML_F32, 0);
    put_data (&file, 64);
    assert_broken (YARD_INVALID_FILE, "BadName:");
    name [63] = 0;
    put_start (&file, 3, 1, 0);
    put_info (&file, name, 1, row, GGML_F32, 0);
    put_data (&file, 64);
    assert_int_equal (parse (file.size), 0);
    put_start (&file, 3, 1, 0);
    put_number (&file, UINT64_MAX, 8);
    put_data (&file, 64);
    assert_broken (YARD_INVALID_FILE, "Truncated:");
    put_start (&file, 3, 1, 0);
    put_info (&file, "\xc0", 1, row, GGML_F32, 0);
    put_data (&file, 64);
    assert_broken (YARD_INVALID_FILE, "BadName:");
}

static void five_dimensions_are_refused_and_none_is_a_scalar (void **state)
{
    (void) state;
    static const uint64_t five [] = { 1, 1, 1, 1, 1 };
    put_start (&file, 3, 1, 0);
    put_info (&file, "a", 5, five, GGML_F32, 0);
    put_data (&file, 64);
    assert_broken (YARD_INVALID_FILE, "BadShape:");
    put_start (&file, 3, 1, 0);
    put_info (&file, "a", 0, NULL, GGML_F32, 0);
    put_data (&file, 64);
    assert_int_equal (parse (file.size), 0);
    assert_int_equal (gguf.tensors.items [0].rank, 0);
    assert_int_equal (gguf.tensors.items [0].bytes, 4);
}

static void shapes_that_cannot_be_counted_are_refused (void **state)
{
    (void) state;
    static const struct {
        uint64_t dimensions [4], type;
    } bad [] = {
        { { UINT64_MAX, 1, 1, 1 }, GGML_F32 }, /* negative */
        { { 4, 1, 1, 1ull << 63 }, GGML_F32 },
        { { INT64_MAX, 2, 1, 1 }, GGML_F32 }, /* llama.cpp 15711, 27203 */
        { { INT64_MAX, 2, 1, 1 }, GGML_I8 },
        { { INT64_MAX, INT64_MAX, INT64_MAX, 0 }, GGML_F32 },
        { { 1ull << 32, 1ull << 32, 1, 1 }, GGML_F32 },
        { { 1ull << 16, 1ull << 16, 1ull << 16, 1ull << 16 }, GGML_F32 },
        { { 1ull << 62, 1, 1, 1 }, GGML_F32 },
        { { 33, 1, 1, 1 }, GGML_Q4_0 }, /* no whole blocks */
        { { 32, 8, 1, 1 }, GGML_Q4_K },
        { { 1ull << 40, 1ull << 30, 1, 1 }, GGML_Q4_0 },
    };
    for (size_t at = 0; at < sizeof bad / sizeof bad [0]; at++) {
        put_start (&file, 3, 1, 0);
        put_info (&file, "a", 4, bad [at].dimensions, bad [at].type, 0);
        put_data (&file, 64);
        assert_broken (YARD_INVALID_FILE, "BadShape:");
    }
}

static void a_scalar_has_no_whole_block (void **state)
{
    (void) state;
    put_start (&file, 3, 1, 0);
    put_info (&file, "a", 0, NULL, GGML_Q4_0, 0);
    put_data (&file, 64);
    assert_broken (YARD_INVALID_FILE, "BadShape:");
}

static void a_dimension_of_zero_is_a_tensor_without_bytes (void **state)
{
    (void) state;
    static const uint64_t none [] = { 32, 0, 5 };
    put_start (&file, 3, 2, 0);
    put_info (&file, "none", 3, none, GGML_Q4_0, 0);
    put_info (&file, "b", 1, row, GGML_F32, 0);
    put_padding (&file, 32);
    put_data (&file, 16);
    assert_int_equal (parse (file.size), 0);
    assert_int_equal (gguf.tensors.items [0].bytes, 0);
    assert_int_equal (gguf.tensors.items [1].offset, file.size - 16);
}

static void types_that_ggml_does_not_have_or_took_back_are_refused (void **state)
{
    (void) state;
    static const uint64_t bad [] = { 4, 5, 31, 32, 33, 36, 37, 38, 43, 1000, UINT32_MAX };
    for (size_t at = 0; at < sizeof bad / sizeof bad [0]; at++) {
        put_start (&file, 3, 1, 0);
        put_info (&file, "a", 1, row, bad [at], 0);
        put_data (&file, 64);
        assert_broken (YARD_INVALID_FILE, "BadTensorType:");
    }
}

static void an_offset_that_is_not_the_sum_of_those_before_is_refused (void **state)
{
    (void) state;
    static const uint64_t bad [] = { 0, 1, 16, 17, 64, UINT64_MAX, 1ull << 63 };
    for (size_t at = 0; at < sizeof bad / sizeof bad [0]; at++) {
        put_start (&file, 3, 2, 0);
        put_info (&file, "a", 1, row, GGML_F32, 0);
        put_info (&file, "b", 1, row, GGML_F32, bad [at]);
        put_padding (&file, 32);
        put_data (&file, 128);
        assert_broken (YARD_INVALID_FILE, "BadOffset:");
    }
    put_start (&file, 3, 1, 0);
    put_info (&file, "a", 1, row, GGML_F32, 32);
    put_data (&file, 128);
    assert_broken (YARD_INVALID_FILE, "BadOffset:");
}

static void the_same_name_twice_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 2, 0);
    put_info (&file, "a", 1, row, GGML_F32, 0);
    put_info (&file, "a", 1, row, GGML_F32, 32);
    put_padding (&file, 32);
    put_data (&file, 48);
    assert_broken (YARD_INVALID_FILE, "DuplicateName:");
}

static void offsets_of_another_alignment_than_the_files_are_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 2, 1);
    put_pair (&file, "general.alignment", GGUF_U32, 128, 4);
    put_two (32);
    put_data (&file, 256); /* enough, wherever they begin */
    assert_broken (YARD_INVALID_FILE, "BadOffset:");
    put_start (&file, 3, 2, 0);
    put_two (128);
    assert_broken (YARD_INVALID_FILE, "BadOffset:");
}

static void tensors_have_shapes_outermost_first_and_offsets_from_the_files_start (void **state)
{
    (void) state;
    put_start (&file, 3, 2, 0);
    put_two (32);
    assert_int_equal (parse (file.size), 0);
    assert_int_equal (gguf.tensors.count, 2);
    const yard_tensor_t *first = &gguf.tensors.items [0], *second = &gguf.tensors.items [1];
    assert_true (yard_string_is (first->name, "a"));
    assert_int_equal (first->dtype, YARD_DTYPE_F16);
    assert_int_equal (first->rank, 2);
    assert_int_equal (first->shape [0], 3);
    assert_int_equal (first->shape [1], 8);
    assert_int_equal (first->offset, gguf.tensors.data_offset);
    assert_int_equal (first->offset % 32, 0);
    assert_int_equal (first->bytes, 48);
    assert_int_equal (second->offset, first->offset + 64);
    assert_int_equal (second->offset + second->bytes, file.size);
}

static void a_file_may_have_an_alignment_of_its_own (void **state)
{
    (void) state;
    static const size_t alignments [] = { 1, 2, 16, 128, 4096 };
    for (size_t at = 0; at < sizeof alignments / sizeof alignments [0]; at++) {
        put_start (&file, 3, 2, 1);
        put_pair (&file, "general.alignment", GGUF_U32, alignments [at], 4);
        put_two (alignments [at]);
        assert_int_equal (parse (file.size), 0);
        assert_int_equal (gguf.tensors.items [1].offset + 16, file.size);
    }
}

static void every_type_has_its_word_and_its_blocks (void **state)
{
    (void) state;
    static const struct {
        uint64_t type, elements, bytes;
        const char *word;
    } some [] = { { 0, 1, 4, "F32" },
                  { 30, 1, 2, "BF16" },
                  { 28, 1, 8, "F64" },
                  { 2, 32, 18, "ggml:Q4_0" },
                  { 8, 32, 34, "ggml:Q8_0" },
                  { 10, 256, 84, "ggml:Q2_K" },
                  { 12, 256, 144, "ggml:Q4_K" },
                  { 14, 256, 210, "ggml:Q6_K" },
                  { 16, 256, 66, "ggml:IQ2_XXS" },
                  { 39, 32, 17, "ggml:MXFP4" } };
    for (size_t at = 0; at < sizeof some / sizeof some [0]; at++) {
        const uint64_t dimensions [] = { 2 * some [at].elements, 3 };
        put_start (&file, 3, 1, 0);
        put_info (&file, "a", 2, dimensions, some [at].type, 0);
        put_padding (&file, 32);
        put_data (&file, 6 * some [at].bytes);
        assert_int_equal (parse (file.size), 0);
        assert_int_equal (gguf.tensors.items [0].bytes, 6 * some [at].bytes);
        assert_string_equal (yard_dtype_row (gguf.tensors.items [0].dtype)->word, some [at].word);
        file.size--;
        assert_broken (YARD_INVALID_FILE, "NotEnoughData:");
    }
    assert_int_equal (yard_dtype_from (yard_string ("ggml:Q4_0")), -1); /* no word of a safetensors header */
}

/*  --- data */

static void a_file_that_ends_within_a_tensor_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 2, 0);
    put_two (32);
    file.size--;
    assert_broken (YARD_INVALID_FILE, "NotEnoughData:");
    put_start (&file, 3, 1, 0);
    put_info (&file, "a", 1, row, GGML_F32, 0); /* and not even the padding */
    assert_broken (YARD_INVALID_FILE, "NotEnoughData:");
}

static void the_last_tensors_padding_may_be_there_or_missing (void **state)
{
    (void) state;
    put_start (&file, 3, 2, 0);
    put_two (32);
    assert_int_equal (parse (file.size), 0);
    put_padding (&file, 32);
    assert_int_equal (parse (file.size), 0);
}

/*  --- bytes at hand */

static void a_header_that_is_not_all_there_asks_for_more_and_for_no_more_than_the_file_has (void **state)
{
    (void) state;
    put_start (&file, 3, 2, 2);
    put_words (&file, "general.name", "x");
    put_pair (&file, "scores", GGUF_ARRAY, GGUF_U8, 4);
    put_number (&file, 1000, 8);
    put_data (&file, 1000);
    put_two (32);
    for (size_t size = 0; size < file.size; size++) {
        char *copy = malloc (size ? size : 1);
        uint64_t more = 0;
        assert_non_null (copy);
        memcpy (copy, file.bytes, size);
        assert_int_equal (yard_gguf_parse (copy, size, file.size, &gguf, &more, NULL), 0);
        if (more == 0) {
            assert_true (size >= file.size - 16 - 64 - 31); /* the data need not be at hand */
            yard_gguf_clear (&gguf);
        } else {
            assert_true (more > size && more <= file.size);
        }
        free (copy);
    }
}

static void every_prefix_of_a_file_is_refused (void **state)
{
    (void) state;
    put_start (&file, 3, 2, 1);
    put_words (&file, "general.name", "x");
    put_two (32);
    while (file.size-- > 0)
        assert_int_equal (parse (file.size), YARD_INVALID_FILE);
}

static void a_header_above_the_limit_is_too_large (void **state)
{
    (void) state;
    put_start (&file, 3, 0, 1);
    put_pair (&file, "scores", GGUF_ARRAY, GGUF_U8, 4);
    put_number (&file, YARD_GGUF_HEADER_MAX, 8);
    assert_int_equal (parse (1ull << 40), YARD_TOO_LARGE);
    assert_non_null (strstr (error.text, "HeaderTooLarge:"));
}

int main (void)
{
#define CASE(name) cmocka_unit_test_teardown (name, clear)
    const struct CMUnitTest tests [] = {
        CASE (a_file_that_does_not_begin_with_gguf_is_refused),
        CASE (versions_2_and_3_are_read_and_no_others),
        CASE (a_big_endian_file_is_told_as_what_it_is),
        CASE (more_tensors_than_the_file_has_bytes_for_are_refused),
        CASE (more_pairs_than_the_file_has_bytes_for_are_refused),
        CASE (more_tensors_or_pairs_than_any_model_has_are_too_large),
        CASE (a_file_without_pairs_and_tensors_is_an_empty_model),
        CASE (a_key_that_is_longer_than_the_file_is_refused),
        CASE (an_empty_key_or_one_that_is_no_text_is_refused),
        CASE (a_value_of_an_unknown_type_is_refused),
        CASE (arrays_of_arrays_are_refused),
        CASE (the_same_key_twice_is_refused),
        CASE (an_alignment_must_be_a_power_of_two_up_to_a_mebibyte),
        CASE (an_alignment_of_another_type_is_refused),
        CASE (pairs_of_every_type_are_read_past_and_texts_are_kept),
        CASE (a_small_file_that_claims_a_huge_array_is_refused_without_memory_for_it),
        CASE (a_split_file_says_which_it_is),
        CASE (a_split_file_that_contradicts_itself_is_refused),
        CASE (a_name_of_64_bytes_is_refused_and_one_of_63_is_read),
        CASE (five_dimensions_are_refused_and_none_is_a_scalar),
        CASE (shapes_that_cannot_be_counted_are_refused),
        CASE (a_scalar_has_no_whole_block),
        CASE (a_dimension_of_zero_is_a_tensor_without_bytes),
        CASE (types_that_ggml_does_not_have_or_took_back_are_refused),
        CASE (an_offset_that_is_not_the_sum_of_those_before_is_refused),
        CASE (the_same_name_twice_is_refused),
        CASE (offsets_of_another_alignment_than_the_files_are_refused),
        CASE (tensors_have_shapes_outermost_first_and_offsets_from_the_files_start),
        CASE (a_file_may_have_an_alignment_of_its_own),
        CASE (every_type_has_its_word_and_its_blocks),
        CASE (a_file_that_ends_within_a_tensor_is_refused),
        CASE (the_last_tensors_padding_may_be_there_or_missing),
        CASE (a_header_that_is_not_all_there_asks_for_more_and_for_no_more_than_the_file_has),
        CASE (every_prefix_of_a_file_is_refused),
        CASE (a_header_above_the_limit_is_too_large),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
