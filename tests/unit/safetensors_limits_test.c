// SPDX-License-Identifier: Apache-2.0
/*  safetensors_limits_test.c - the largest headers: what they need, and that one more is refused
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include "actors/formats/safetensors.h"
#include "actors/ground/buffer.h"

#define HEADER_MAX YARD_SAFETENSORS_HEADER_MAX
/*  What a byte of ours costs: AddressSanitizer adds an eighth for its shadow, and keeps freed memory for a
 *  while. */
#ifdef __SANITIZE_ADDRESS__
#    define COST(bytes) ((bytes) / 3 * 2)
#else
#    define COST(bytes) (bytes)
#endif

/*  The most memory that this process has held since reset_peak, in bytes (VmHWM; man 5 proc). */
static size_t peak (void)
{
    char text [4096], *line;
    int fd = open ("/proc/self/status", O_RDONLY);
    ssize_t size = read (fd, text, sizeof text - 1);
    close (fd);
    assert_true (size > 0);
    text [size] = 0;
    line = strstr (text, "VmHWM:");
    assert_non_null (line);
    return strtoul (line + 6, NULL, 10) * 1024;
}

static void reset_peak (void)
{
    int fd = open ("/proc/self/clear_refs", O_WRONLY);
    assert_int_equal (write (fd, "5", 1), 1);
    close (fd);
}

static void begin_header (yard_buffer_t *buffer)
{
    yard_buffer_init (buffer, 8 + (size_t) HEADER_MAX + 1);
    yard_buffer_append (buffer, "\0\0\0\0\0\0\0\0{", 9);
}

/*  Closes the object, fills with spaces up to json_size, writes N. */
static void end_header (yard_buffer_t *buffer, size_t json_size)
{
    static char spaces [1 << 20];
    memset (spaces, ' ', sizeof spaces);
    yard_buffer_text (buffer, "}");
    while (buffer->size < 8 + json_size) {
        size_t rest = 8 + json_size - buffer->size;
        yard_buffer_append (buffer, spaces, rest < sizeof spaces ? rest : sizeof spaces);
    }
    assert_false (buffer->overflow);
    uint64_t length = buffer->size - 8;
    for (int at = 0; at < 8; at++)
        buffer->data [at] = (char) (length >> (8 * at));
}

/*  A header of `count` tensors of one byte, each with `rank` dimensions of 1 and a name of name_size letters;
 *  in reverse order, so that they need sorting. */
static void many_tensors (yard_buffer_t *buffer, unsigned count, unsigned rank, int name_size,
                          size_t json_size)
{
    static const char ones [] = "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1";
    begin_header (buffer);
    for (unsigned at = 0; at < count; at++) {
        unsigned begin = count - 1 - at;
        yard_buffer_printf (buffer, "%s\"%0*u\":{\"dtype\":\"U8\",\"shape\":[%.*s],\"data_offsets\":[%u,%u]}",
                            at ? "," : "", name_size, at, (int) (2 * rank) - 1, ones, begin, begin + 1);
    }
    end_header (buffer, json_size);
}

static void within_four_times_the_header (unsigned count, unsigned rank, int name_size, size_t json_size)
{
    yard_buffer_t buffer;
    many_tensors (&buffer, count, rank, name_size, json_size);
    size_t header_size = buffer.size;
    /* The buffer grew by doubling; what counts is one header in memory and what parsing adds to it. */
    char *header = malloc (header_size);
    memcpy (header, buffer.data, header_size);
    yard_buffer_clear (&buffer);
    reset_peak ();
    size_t with_header = peak ();
    yard_tensors_t tensors;
    yard_error_t error = { 0 };
    if (yard_safetensors_parse (header, header_size, header_size + count, &tensors, &error) != 0)
        fail_msg ("%s", error.text);
    size_t added = peak () - with_header;
    assert_int_equal (tensors.count, count);
    assert_int_equal (tensors.items [0].offset, header_size);
    assert_int_equal (tensors.items [count - 1].offset, header_size + count - 1);
    print_message ("header %zu MB, %zu MB added by parsing\n", header_size / 1000000, added / 1000000);
    assert_true (header_size + COST (added) <= 4 * header_size);
    yard_tensors_clear (&tensors);
    free (header);
}

static void a_million_tensors_in_99_megabytes_need_four_times_the_header (void **state)
{
    (void) state;
    within_four_times_the_header (1000000, 4, 24, 99000000);
}

static void the_most_dimensions_need_no_more (void **state)
{
    (void) state;
    within_four_times_the_header (720000, YARD_SAFETENSORS_RANK_MAX, 7, 0);
}

static int parse (const yard_buffer_t *buffer, uint64_t data_size, yard_error_t *error)
{
    yard_tensors_t tensors;
    int rc = yard_safetensors_parse (buffer->data, buffer->size, buffer->size + data_size, &tensors, error);
    if (rc == 0)
        yard_tensors_clear (&tensors);
    return rc;
}

static void a_header_of_exactly_the_limit_is_read (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    begin_header (&buffer);
    end_header (&buffer, HEADER_MAX);
    assert_int_equal (parse (&buffer, 0, NULL), 0);
    uint64_t needed;
    buffer.data [0]++;
    assert_int_equal (yard_safetensors_header_size (buffer.data, buffer.size + 1, &needed, NULL),
                      YARD_TOO_LARGE);
    yard_buffer_clear (&buffer);
}

static void one_tensor_too_many_is_refused (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_error_t error;
    many_tensors (&buffer, YARD_SAFETENSORS_TENSORS_MAX, 1, 1, 0);
    assert_int_equal (parse (&buffer, YARD_SAFETENSORS_TENSORS_MAX, NULL), 0);
    yard_buffer_clear (&buffer);
    many_tensors (&buffer, YARD_SAFETENSORS_TENSORS_MAX + 1, 1, 1, 0);
    assert_int_equal (parse (&buffer, YARD_SAFETENSORS_TENSORS_MAX + 1, &error), YARD_TOO_LARGE);
    assert_memory_equal (error.text, "TooManyTensors", 14);
    yard_buffer_clear (&buffer);
}

static void one_dimension_too_many_is_refused (void **state)
{
    (void) state;
    yard_error_t error;
    for (unsigned more = 0; more < 2; more++) {
        yard_buffer_t buffer;
        begin_header (&buffer);
        yard_buffer_text (&buffer, "\"a\":{\"dtype\":\"U8\",\"shape\":[1");
        for (unsigned rank = 1; rank < YARD_SAFETENSORS_RANK_MAX + more; rank++)
            yard_buffer_text (&buffer, ",1");
        yard_buffer_text (&buffer, "],\"data_offsets\":[0,1]}");
        end_header (&buffer, 0);
        assert_int_equal (parse (&buffer, 1, &error), more ? YARD_TOO_LARGE : 0);
        yard_buffer_clear (&buffer);
    }
    assert_memory_equal (error.text, "TooManyDimensions", 17);
}

static void one_metadata_pair_too_many_is_refused (void **state)
{
    (void) state;
    yard_error_t error;
    for (unsigned more = 0; more < 2; more++) {
        yard_buffer_t buffer;
        begin_header (&buffer);
        yard_buffer_text (&buffer, "\"__metadata__\":{\"x\":\"\"");
        for (unsigned at = 1; at < YARD_SAFETENSORS_METADATA_MAX + more; at++)
            yard_buffer_printf (&buffer, ",\"%u\":\"\"", at);
        yard_buffer_text (&buffer, "}");
        end_header (&buffer, 0);
        assert_int_equal (parse (&buffer, 0, &error), more ? YARD_TOO_LARGE : 0);
        yard_buffer_clear (&buffer);
    }
    assert_memory_equal (error.text, "TooManyMetadata", 15);
}

/*  The attack of 100,000 tensors that all lie in the same bytes (the reference's attacks/, abuse_3). */
static void abuse_3 (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_error_t error;
    begin_header (&buffer);
    for (unsigned at = 0; at < 100000; at++)
        yard_buffer_printf (
            &buffer, "%s\"weight_%u\":{\"dtype\":\"F32\",\"shape\":[200,200],\"data_offsets\":[0,160000]}",
            at ? "," : "", at);
    end_header (&buffer, 0);
    assert_int_equal (parse (&buffer, 160000, &error), YARD_INVALID_FILE);
    assert_memory_equal (error.text, "InvalidOffset", 13);
    yard_buffer_clear (&buffer);
}

/*  The same with as many as the longest header holds (abuse_2): the count is refused before the list has
 *  grown beyond its limit. */
static void abuse_2 (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_error_t error;
    begin_header (&buffer);
    for (unsigned at = 0; at < 1600000; at++)
        yard_buffer_printf (&buffer, "%s\"%x\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}",
                            at ? "," : "", at);
    end_header (&buffer, 0);
    assert_int_equal (parse (&buffer, 1, &error), YARD_TOO_LARGE);
    assert_memory_equal (error.text, "TooManyTensors", 14);
    yard_buffer_clear (&buffer);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_million_tensors_in_99_megabytes_need_four_times_the_header),
        cmocka_unit_test (the_most_dimensions_need_no_more),
        cmocka_unit_test (a_header_of_exactly_the_limit_is_read),
        cmocka_unit_test (one_tensor_too_many_is_refused),
        cmocka_unit_test (one_dimension_too_many_is_refused),
        cmocka_unit_test (one_metadata_pair_too_many_is_refused),
        cmocka_unit_test (abuse_2),
        cmocka_unit_test (abuse_3),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
