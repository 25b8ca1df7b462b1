// SPDX-License-Identifier: Apache-2.0
/*  directory_test.c - the tensors of a model as bytes that others map
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "proto/directory.h"

#define TENSORS 2000 /* a large model */
#define FILE_MAX (64 * 1024 * 1024)

static const uint64_t shape [] = { 4096, 4096, 3 }, strides [] = { 1, 4096, 7 };

static yard_tensor_row_t tensor (size_t number, char *name, size_t size)
{
    snprintf (name, size, "model.layers.%zu.weight", number);
    return (yard_tensor_row_t){
        .name = yard_string (name),
        .dtype = yard_string (number % 3 ? "F16" : "ggml:Q4_K"),
        .shape = shape,
        .strides = number % 5 ? NULL : strides,
        .rank = (uint32_t) (number % 4),
        .region = (uint32_t) (number % 2),
        .offset = number * 256,
        .bytes = number + 1,
    };
}

/*  The bytes of count tensors, in memory that ends where they end. */
static char *written (size_t count, size_t *ret_size)
{
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    yard_buffer_t bytes;
    char name [64];
    yard_buffer_init (&bytes, FILE_MAX);
    for (size_t i = 0; i < count; i++) {
        yard_tensor_row_t row = tensor (i, name, sizeof name);
        assert_int_equal (yard_directory_writer_add (writer, &row, NULL), 0);
    }
    assert_int_equal (yard_directory_writer_finish (writer, &bytes, NULL), 0);
    char *data = malloc (bytes.size);
    assert_non_null (data);
    memcpy (data, bytes.data, bytes.size);
    *ret_size = bytes.size;
    yard_buffer_clear (&bytes);
    yard_directory_writer_destroy (&writer);
    return data;
}

static void every_tensor_comes_back_as_it_was (void **state)
{
    (void) state;
    size_t size;
    char *data = written (TENSORS, &size), name [64];
    yard_directory_t directory;
    yard_error_t error = { 0 };
    if (yard_directory_open (&directory, data, size, &error))
        fail_msg ("%s", error.text);
    assert_int_equal (directory.count, TENSORS);
    for (size_t i = 0; i < TENSORS; i++) {
        yard_tensor_row_t row = yard_directory_get (&directory, i), expected = tensor (i, name, sizeof name);
        assert_true (yard_string_equal (row.name, expected.name) &&
                     yard_string_equal (row.dtype, expected.dtype));
        assert_int_equal (row.rank, expected.rank);
        assert_memory_equal (row.shape, shape, row.rank * sizeof *shape);
        assert_int_equal (row.strides == NULL, expected.strides == NULL);
        if (row.strides)
            assert_memory_equal (row.strides, strides, row.rank * sizeof *strides);
        assert_int_equal (row.region, expected.region);
        assert_int_equal (row.offset, expected.offset);
        assert_int_equal (row.bytes, expected.bytes);
    }
    free (data);
}

/*  The layout that directory.h describes, by the numbers: other languages read it by them. */
static void the_layout_is_the_described_one (void **state)
{
    (void) state;
    size_t size;
    char *data = written (2, &size);
    uint32_t words [4];
    uint64_t offsets [6];
    memcpy (words, data + 8, 8);
    memcpy (offsets, data + 16, sizeof offsets);
    assert_memory_equal (data, "YARDDIR1", 8);
    assert_int_equal (words [0], 1);
    assert_int_equal (words [1], 2);
    assert_int_equal (offsets [0], 64); /* rows */
    assert_int_equal (offsets [1] + offsets [2], size); /* strings, to the end */
    assert_int_equal (offsets [3], 64 + 2 * 64); /* shapes */
    assert_int_equal (offsets [4], 1); /* tensor 0 has rank 0, tensor 1 has rank 1 */
    assert_memory_equal (data + offsets [1],
                         "ggml:Q4_K"
                         "model.layers.0.weight"
                         "F16"
                         "model.layers.1.weight",
                         9 + 21 + 3 + 21);
    memcpy (words, data + 64 + 64, sizeof words);
    assert_int_equal (words [0], 9 + 21 + 3);
    assert_int_equal (words [1], 21);
    assert_int_equal (words [2], 9 + 21);
    assert_int_equal (words [3], 3);
    free (data);
}

static void an_empty_directory_is_one (void **state)
{
    (void) state;
    size_t size;
    char *data = written (0, &size);
    yard_directory_t directory;
    assert_int_equal (size, 64);
    assert_int_equal (yard_directory_open (&directory, data, size, NULL), 0);
    assert_int_equal (directory.count, 0);
    free (data);
}

/*  Touches all that a row gives, so that a bound that is not kept is seen by the sanitizer. */
static uint64_t touch (const yard_directory_t *directory)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < directory->count; i++) {
        yard_tensor_row_t row = yard_directory_get (directory, i);
        for (size_t j = 0; j < row.name.size; j++)
            sum += (unsigned char) row.name.data [j];
        for (size_t j = 0; j < row.dtype.size; j++)
            sum += (unsigned char) row.dtype.data [j];
        for (size_t j = 0; j < row.rank; j++)
            sum += row.shape [j] + (row.strides ? row.strides [j] : 0);
    }
    return sum;
}

static void no_cut_and_no_changed_byte_leads_outside (void **state)
{
    (void) state;
    size_t size, opened = 0, refused = 0;
    char *data = written (7, &size);
    yard_directory_t directory;
    volatile uint64_t sum = 0;
    for (size_t cut = 0; cut < size; cut++) {
        char *prefix = malloc (cut + 1);
        assert_non_null (prefix);
        memcpy (prefix, data, cut);
        assert_int_equal (yard_directory_open (&directory, prefix, cut, NULL), YARD_INVALID_FILE);
        free (prefix);
    }
    for (size_t at = 0; at < size; at++)
        for (unsigned change = 1; change < 256; change++) {
            data [at] = (char) (data [at] ^ (char) change);
            if (yard_directory_open (&directory, data, size, NULL) == 0) {
                sum = sum + touch (&directory);
                opened++;
            } else {
                refused++;
            }
            data [at] = (char) (data [at] ^ (char) change);
        }
    assert_true (opened > 0 && refused > 0);
    free (data);
}

static void a_tensor_is_held_against_its_region (void **state)
{
    (void) state;
    const uint64_t regions [] = { 100, 50 };
    yard_tensor_row_t row = { .region = 1, .offset = 10, .bytes = 40 };
    assert_true (yard_directory_fits (&row, regions, 2));
    row.bytes = 41;
    assert_false (yard_directory_fits (&row, regions, 2));
    row = (yard_tensor_row_t){ .region = 1, .offset = UINT64_MAX, .bytes = 2 };
    assert_false (yard_directory_fits (&row, regions, 2));
    row = (yard_tensor_row_t){ .region = 2 };
    assert_false (yard_directory_fits (&row, regions, 2));
}

static void what_is_over_a_limit_is_not_written (void **state)
{
    (void) state;
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    const uint64_t many [YARD_DIRECTORY_RANK_MAX + 1] = { 0 };
    yard_tensor_row_t row = { .name = yard_string ("x"),
                              .dtype = yard_string ("F16"),
                              .shape = many,
                              .rank = YARD_DIRECTORY_RANK_MAX + 1 };
    yard_buffer_t small;
    assert_int_equal (yard_directory_writer_add (writer, &row, NULL), YARD_TOO_LARGE);
    row.rank = 1;
    assert_int_equal (yard_directory_writer_add (writer, &row, NULL), 0);
    yard_buffer_init (&small, 100);
    assert_int_equal (yard_directory_writer_finish (writer, &small, NULL), YARD_TOO_LARGE);
    yard_buffer_clear (&small);
    yard_directory_writer_destroy (&writer);
    yard_directory_writer_destroy (&writer);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_tensor_comes_back_as_it_was),
        cmocka_unit_test (the_layout_is_the_described_one),
        cmocka_unit_test (an_empty_directory_is_one),
        cmocka_unit_test (no_cut_and_no_changed_byte_leads_outside),
        cmocka_unit_test (a_tensor_is_held_against_its_region),
        cmocka_unit_test (what_is_over_a_limit_is_not_written),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
