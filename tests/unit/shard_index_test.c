// SPDX-License-Identifier: Apache-2.0
/*  shard_index_test.c - the map of a sharded model
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/formats/safetensors.h"
#include "actors/formats/shard_index.h"

#define MAP(map) "{\"metadata\":{\"total_size\":1},\"weight_map\":" map "}"

static const struct {
    const char *json;
    const char *text; /* part of the refusal; NULL when the index is valid */
} vectors [] = {
    { MAP ("{\"a\":\"model-00001-of-00001.safetensors\"}"), NULL },
    { "{\"weight_map\":{\"a\":\"x\"}}", NULL },
    { "{\"metadata\":{\"total_size\":\"12 GB\",\"more\":{}},\"weight_map\":{\"a\":\"x\"},\"extra\":[1,{}]}",
      NULL },
    { "{\"metadata\":7,\"weight_map\":{\"a\":\"x\"}} ", NULL },
    { MAP ("{\"a\":\"x y.safetensors\"}"), NULL },
    { MAP ("{\"a\":\"/etc/passwd\"}"), "no plain file name" },
    { MAP ("{\"a\":\"../x\"}"), "no plain file name" },
    { MAP ("{\"a\":\"..\"}"), "no plain file name" },
    { MAP ("{\"a\":\".hidden\"}"), "no plain file name" },
    { MAP ("{\"a\":\"\"}"), "no plain file name" },
    { MAP ("{\"a\":\"sub/x\"}"), "no plain file name" },
    { MAP ("{\"a\":\"sub\\u002fx\"}"), "no plain file name" },
    { MAP ("{\"a\":\"sub\\\\x\"}"), "no plain file name" },
    { MAP ("{\"a\":\"c:x\"}"), "no plain file name" },
    { MAP ("{\"a\":\"x\\u0000y\"}"), "no plain file name" },
    { MAP ("{\"a\":\"x\\ny\"}"), "no plain file name" },
    { MAP ("{}"), "maps no tensor" },
    { "{}", "maps no tensor" },
    { "", "an object is missing" },
    { "[]", "an object is missing" },
    { MAP ("[]"), "an object is missing" },
    { MAP ("{\"a\":1}"), "a string is missing" },
    { MAP ("{\"a\":\"x\",\"\\u0061\":\"x\"}"), "mapped twice" },
    { "{\"weight_map\":{\"a\":\"x\"},\"weight_\\u006dap\":{\"b\":\"y\"}}", "weight_map twice" },
    { "{\"weight_map\":{\"a\":\"x\"}} x", "behind the end" },
    { "{\"weight_map\":{\"a\":\"\xff\"}}", "no UTF-8 at byte 20" },
};

static void only_plain_maps_are_taken (void **state)
{
    (void) state;
    for (size_t at = 0; at < sizeof vectors / sizeof vectors [0]; at++) {
        yard_shard_index_t index = { 0 };
        yard_error_t error = { 0 };
        size_t size = strlen (vectors [at].json);
        char *json = malloc (size ? size : 1);
        memcpy (json, vectors [at].json, size);
        int rc = yard_shard_index_parse (json, size, &index, &error);
        if (!vectors [at].text && rc)
            fail_msg ("%s: %s", vectors [at].json, error.text);
        if (vectors [at].text) {
            assert_int_equal (rc, YARD_INVALID_FILE);
            if (!strstr (error.text, vectors [at].text))
                fail_msg ("%s: \"%s\"", vectors [at].json, error.text);
        }
        yard_shard_index_clear (&index);
        free (json);
    }
}

static void files_come_sorted_and_each_tensor_knows_its_own (void **state)
{
    (void) state;
    static const char json [] =
        MAP ("{\"a\":\"m-2\",\"b\":\"m-1\",\"\\u0063\":\"m-2\",\"d\":\"m-\\u0033\",\"e\":\"m\"}");
    yard_shard_index_t index;
    assert_int_equal (yard_shard_index_parse (json, sizeof json - 1, &index, NULL), 0);
    assert_int_equal (index.file_count, 4);
    static const char *const files [] = { "m", "m-1", "m-2", "m-3" };
    for (size_t at = 0; at < 4; at++)
        assert_true (yard_string_is (index.files [at], files [at]));
    static const char *const names [] = { "a", "b", "c", "d", "e" };
    static const uint32_t shards [] = { 2, 1, 2, 3, 0 };
    assert_int_equal (index.count, 5);
    for (size_t at = 0; at < 5; at++) {
        assert_true (yard_string_is (index.entries [at].tensor, names [at]));
        assert_int_equal (index.entries [at].shard, shards [at]);
    }
    yard_shard_index_clear (&index);
    yard_shard_index_clear (&index);
}

static void every_mapped_tensor_must_be_in_its_shard (void **state)
{
    (void) state;
    static const char json [] = MAP ("{\"a\":\"m-1\",\"b\":\"m-2\"}");
    yard_tensor_t a = { .name = yard_string ("a") },
                  b [] = { { .name = yard_string ("beside") }, { .name = yard_string ("b") } };
    yard_tensors_t right [] = { { .items = &a, .count = 1 }, { .items = b, .count = 2 } };
    yard_tensors_t wrong [] = { { .items = b, .count = 2 }, { .items = &a, .count = 1 } };
    yard_shard_index_t index;
    yard_error_t error;
    assert_int_equal (yard_shard_index_parse (json, sizeof json - 1, &index, NULL), 0);
    assert_int_equal (yard_shard_index_check (&index, right, &error), 0);
    assert_int_equal (yard_shard_index_check (&index, wrong, &error), YARD_INVALID_FILE);
    assert_non_null (strstr (error.text, "\"a\" is not in m-1"));
    yard_shard_index_clear (&index);
}

static void too_many_files_and_too_long_an_index_are_refused (void **state)
{
    (void) state;
    yard_shard_index_t index;
    yard_error_t error;
    assert_int_equal (yard_shard_index_parse ("", YARD_SHARD_INDEX_BYTES_MAX + 1u, &index, &error),
                      YARD_TOO_LARGE);
    size_t room = (YARD_SHARD_FILES_MAX + 2) * 16, size = 0;
    char *json = malloc (room);
    size += (size_t) snprintf (json, room, "{\"weight_map\":{");
    for (unsigned at = 0; at <= YARD_SHARD_FILES_MAX; at++)
        size += (size_t) snprintf (json + size, room - size, "%s\"%u\":\"%u\"", at ? "," : "", at, at);
    size += (size_t) snprintf (json + size, room - size, "}}");
    assert_int_equal (yard_shard_index_parse (json, size, &index, &error), YARD_TOO_LARGE);
    free (json);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (only_plain_maps_are_taken),
        cmocka_unit_test (files_come_sorted_and_each_tensor_knows_its_own),
        cmocka_unit_test (every_mapped_tensor_must_be_in_its_shard),
        cmocka_unit_test (too_many_files_and_too_long_an_index_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
