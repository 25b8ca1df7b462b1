// SPDX-License-Identifier: Apache-2.0
/*  wire_rules_test.c - the engine's rules one by one, on bytes written by hand
 */
#include "wire_bench.h"

#include <math.h>

/*  Reads bytes given as a literal into a record_search_ask; the code, and the sentence in bench->error. */
static int read_literal (bench_t *bench, const yard_wire_type_t *type, const char *data, size_t size,
                         void *value)
{
    return unpack (bench, type, data, size, YARD_WIRE_ASK, value);
}
#define READ(bench, type, literal, value) read_literal (bench, type, literal, sizeof (literal) - 1, value)

static void six_bytes_that_claim_a_hundred_million_entries_cost_nothing (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    sample_t sample;
    assert_int_equal (READ (bench, sample_type (), "\xdd\x05\xf5\xe1\x00\x01", &sample),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\xdf\x05\xf5\xe1\x00\x01", &sample),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa6labels\xdf\x05\xf5\xe1\x00\x01", &sample),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa4note\xdb\xff\xff\xff\xff", &sample),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa4none\xdd\xff\xff\xff\xff\x01", &sample),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (yard_arena_used (bench->arena), 0);
    close_bench (bench);
}

static void every_integer_form_is_read_and_its_range_checked (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    sample_t sample;
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\x07", &sample), 0);
    assert_int_equal (sample.id, 7);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xcc\x07", &sample), 0);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xcd\x00\x07", &sample), 0);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xce\x00\x00\x00\x07", &sample), 0);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xcf\x00\x00\x00\x00\x00\x00\x00\x07", &sample),
                      0);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xd0\x07", &sample), 0);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xd3\x00\x00\x00\x00\x00\x00\x00\x07", &sample),
                      0);
    assert_int_equal (sample.id, 7);
    assert_int_equal (sample.shift, -3);
    assert_int_equal (READ (bench, sample_type (), "\x82\xa2id\x07\xa5shift\xd1\xff\xf6", &sample), 0);
    assert_int_equal (sample.shift, -10);
    assert_int_equal (READ (bench, sample_type (), "\x82\xa2id\x07\xa5shift\xd1\xff\xf5", &sample),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (
        READ (bench, sample_type (), "\x82\xa2id\x07\xa5shift\xcf\xff\xff\xff\xff\xff\xff\xff\xff", &sample),
        YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\x00", &sample), YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "id: must be 1 to 100, got 0");
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\x65", &sample), YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xff", &sample), YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\x81\xa2id\xca\x3f\x80\x00\x00", &sample),
                      YARD_INVALID_MESSAGE);
    close_bench (bench);
}

static void a_double_takes_whole_numbers_and_no_nan (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    sample_t sample;
    assert_int_equal (READ (bench, sample_type (), "\x82\xa2id\x07\xa5share\x03", &sample), 0);
    assert_true (sample.share > 2.9 && sample.share < 3.1);
    assert_int_equal (READ (bench, sample_type (), "\x82\xa2id\x07\xa5share\xca\x3f\x80\x00\x00", &sample),
                      0);
    assert_true (sample.share > 0.9 && sample.share < 1.1);
    assert_int_equal (
        READ (bench, sample_type (), "\x82\xa2id\x07\xa5share\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", &sample),
        YARD_INVALID_MESSAGE);
    assert_int_equal (
        READ (bench, sample_type (), "\x82\xa2id\x07\xa5share\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", &sample),
        YARD_INVALID_MESSAGE);
    yard_wire_init (sample_type (), &sample);
    sample.id = 1;
    sample.share = NAN;
    yard_buffer_reset (&bench->bytes);
    assert_int_equal (yard_wire_pack (sample_type (), &sample, &bench->bytes, &bench->error),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (bench->bytes.size, 0);
    close_bench (bench);
}

static void what_a_field_holds_is_checked_and_the_error_says_both (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    job_submit_ask_t ask;
    assert_int_equal (READ (bench, job_submit_ask_type (), "\x82\xa4kind\xa7install\xa4held\x01", &ask),
                      YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "held: must be true or false, got a number");
    assert_int_equal (READ (bench, job_submit_ask_type (), "\x82\xa4kind\xa7install\xa7install\xa1x", &ask),
                      YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "install: must be a map, got text");
    assert_int_equal (READ (bench, job_submit_ask_type (), "\x82\xa4kind\xa7install\xa4node\xc0", &ask),
                      YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "node: must be text, got nothing");
    assert_int_equal (READ (bench, job_submit_ask_type (), "\x82\xa4kind\xa7install\xa4node\xc4\x01x", &ask),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, job_submit_ask_type (), "\x80", &ask), YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "kind: is missing");
    assert_int_equal (READ (bench, job_submit_ask_type (), "\x90", &ask), YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "the message: must be a map, got a list");
    assert_int_equal (READ (bench, job_submit_ask_type (), "", &ask), YARD_INVALID_MESSAGE);
    close_bench (bench);
}

static void an_error_names_the_field_by_its_whole_path (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    static const char json [] =
        "{\"job\":1,\"token\":1,\"step\":\"x\",\"children\":["
        "{\"kind\":\"download\",\"download\":{\"source\":\"http://x/\",\"path\":\"/x\"}},"
        "{\"kind\":\"download\",\"download\":{\"source\":7,\"path\":\"/x\"}}]}";
    job_expand_ask_t ask;
    assert_int_equal (yard_wire_from_json (job_expand_ask_type (), json, strlen (json), YARD_WIRE_ASK,
                                           bench->arena, &ask, &bench->error),
                      YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "children [1].download.source: must be text, got a number");
    assert_int_equal (ask.job, 0);
    close_bench (bench);
}

static void an_unknown_word_is_refused_in_an_ask_and_unset_in_an_answer (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    static const char bytes [] = "\x82\xa4type\xa4"
                                 "beta"
                                 "\xaa"
                                 "also_bases\x92\xa5gamma\xa4sdxl";
    model_changes_t changes;
    assert_int_equal (unpack (bench, model_changes_type (), bytes, sizeof bytes - 1, YARD_WIRE_ASK, &changes),
                      YARD_INVALID_MESSAGE);
    assert_non_null (strstr (bench->error.text, "type: must be one of unknown, main, "));
    assert_non_null (strstr (bench->error.text, "got beta"));
    assert_int_equal (
        unpack (bench, model_changes_type (), bytes, sizeof bytes - 1, YARD_WIRE_ANSWER, &changes), 0);
    assert_true (changes.has_type);
    assert_int_equal (changes.type, model_type_unset);
    assert_int_equal (changes.also_bases.count, 2);
    assert_int_equal (changes.also_bases.items [1], base_model_sdxl);
    /* Sent on, what is unset is left out. */
    pack (bench, model_changes_type (), &changes, &bench->bytes);
    assert_int_equal (
        unpack (bench, model_changes_type (), bench->bytes.data, bench->bytes.size, YARD_WIRE_ASK, &changes),
        0);
    assert_false (changes.has_type);
    assert_int_equal (changes.also_bases.count, 1);
    close_bench (bench);
}

static void an_unknown_field_is_skipped_whole_but_not_without_end (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    job_id_t ask;
    assert_int_equal (
        READ (bench, job_id_type (), "\x82\xa3new\x92\x81\xa1x\xc4\x01y\xd6\x05wxyz\xa2id\x09", &ask), 0);
    assert_int_equal (ask.id, 9);
    char deep [64] = "\x82\xa3new";
    memset (deep + 5, 0x91, 40); /* lists in lists */
    memcpy (deep + 45, "\x01\xa2id\x09", 5);
    assert_int_equal (unpack (bench, job_id_type (), deep, 50, YARD_WIRE_ASK, &ask), YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "the message: is nested too deep");
    assert_int_equal (READ (bench, job_id_type (), "\x82\xa3new\xc1\xa2id\x09", &ask), YARD_INVALID_MESSAGE);
    close_bench (bench);
}

static void a_field_twice_is_refused (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    job_id_t ask;
    sample_t sample;
    assert_int_equal (READ (bench, job_id_type (), "\x82\xa2id\x09\xa2id\x0a", &ask), YARD_INVALID_MESSAGE);
    assert_string_equal (bench->error.text, "the message: has id twice");
    assert_int_equal (READ (bench, sample_type (),
                            "\x82\xa2id\x09\xa6labels\x82\xa1"
                            "a\xa1x\xa1"
                            "a\xa1y",
                            &sample),
                      YARD_INVALID_MESSAGE);
    static const char json [] = "{\"id\":1,\"id\":2}";
    assert_int_equal (
        yard_wire_from_json (job_id_type (), json, strlen (json), YARD_WIRE_ASK, bench->arena, &ask, NULL),
        YARD_INVALID_MESSAGE);
    close_bench (bench);
}

static void bytes_behind_the_map_are_refused (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    job_id_t ask;
    assert_int_equal (READ (bench, job_id_type (), "\x81\xa2id\x09\x00", &ask), YARD_INVALID_MESSAGE);
    assert_int_equal (ask.id, 0);
    close_bench (bench);
}

static void text_is_utf8_without_zero_bytes (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    sample_t sample;
    static const char *const bad [] = { "\xff",     "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                        "\xe2\x82", "a\x80" };
    for (size_t i = 0; i < sizeof bad / sizeof bad [0]; i++) {
        char bytes [32] = "\x82\xa2id\x09\xa4note";
        bytes [10] = (char) (0xa0 | strlen (bad [i]));
        memcpy (bytes + 11, bad [i], strlen (bad [i]));
        assert_int_equal (
            unpack (bench, sample_type (), bytes, 11 + strlen (bad [i]), YARD_WIRE_ASK, &sample),
            YARD_INVALID_MESSAGE);
        sample = (sample_t){ .id = 1, .has_note = true, .note = yard_string (bad [i]) };
        assert_int_equal (yard_wire_pack (sample_type (), &sample, &bench->bytes, NULL),
                          YARD_INVALID_MESSAGE);
    }
    assert_int_equal (READ (bench, sample_type (),
                            "\x82\xa2id\x09\xa4note\xa2"
                            "a\0",
                            &sample),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (READ (bench, sample_type (), "\x82\xa2id\x09\xa4note\xa4\xf0\x9f\xa6\x8a", &sample), 0);
    close_bench (bench);
}

static void sizes_outside_their_bounds_are_refused_both_ways (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    sample_t sample;
    assert_int_equal (READ (bench, sample_type (),
                            "\x82\xa2id\x09\xa4note\xa6"
                            "abcdef",
                            &sample),
                      YARD_TOO_LARGE);
    assert_string_equal (bench->error.text, "note: may have at most 5 bytes, got 6");
    assert_int_equal (READ (bench, sample_type (), "\x82\xa2id\x09\xa4note\xa0", &sample),
                      YARD_INVALID_MESSAGE);
    sample = (sample_t){ .id = 1, .has_note = true, .note = yard_string ("abcdef") };
    assert_int_equal (yard_wire_pack (sample_type (), &sample, &bench->bytes, NULL), YARD_TOO_LARGE);
    sample.note.size = 0;
    assert_int_equal (yard_wire_pack (sample_type (), &sample, &bench->bytes, NULL), YARD_INVALID_MESSAGE);
    sample.has_note = false;
    sample.id = 101;
    assert_int_equal (yard_wire_pack (sample_type (), &sample, &bench->bytes, NULL), YARD_INVALID_MESSAGE);
    assert_int_equal (bench->bytes.size, 0);
    close_bench (bench);
}

/*  One MiB is for the whole message, so a body of one MiB does not fit, and what stood in the buffer stays. */
static void a_message_over_one_mebibyte_is_refused_by_its_sender (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    char *body = calloc (1, YARD_MESSAGE_MAX);
    assert_non_null (body);
    sample_t sample = { .id = 1, .body = { body, YARD_MESSAGE_MAX } };
    yard_buffer_text (&bench->bytes, "kept");
    assert_int_equal (yard_wire_pack (sample_type (), &sample, &bench->bytes, &bench->error), YARD_TOO_LARGE);
    assert_string_equal (bench->bytes.data, "kept");
    assert_false (bench->bytes.overflow);
    sample.body.size -= 100;
    assert_int_equal (yard_wire_pack (sample_type (), &sample, &bench->bytes, &bench->error), 0);
    assert_int_equal (unpack (bench, sample_type (), body, YARD_MESSAGE_MAX + 1, YARD_WIRE_ASK, &sample),
                      YARD_TOO_LARGE);
    free (body);
    close_bench (bench);
}

static void a_secret_is_carried_by_msgpack_alone (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    sample_t sample = { .id = 1, .token = yard_string ("hunter2") };
    pack (bench, sample_type (), &sample, &bench->bytes);
    assert_non_null (memmem (bench->bytes.data, bench->bytes.size, "hunter2", 7));
    yard_buffer_reset (&bench->bytes);
    assert_int_equal (yard_wire_json (sample_type (), &sample, &bench->bytes, NULL), 0);
    assert_null (strstr (bench->bytes.data, "hunter2"));
    assert_non_null (strstr (bench->bytes.data, "\"token\":\"***\""));
    yard_buffer_reset (&bench->bytes);
    yard_wire_log (sample_type (), &sample, &bench->bytes);
    assert_null (strstr (bench->bytes.data, "hunter2"));
    assert_non_null (strstr (bench->bytes.data, "token=***"));
    static const char json [] = "{\"id\":1,\"token\":\"hunter2\"}";
    assert_int_equal (
        yard_wire_from_json (sample_type (), json, strlen (json), YARD_WIRE_ASK, bench->arena, &sample, NULL),
        0);
    assert_true (yard_string_is (sample.token, "hunter2"));
    /* Nor does an error show one. */
    assert_int_equal (READ (bench, sample_type (), "\x82\xa2id\x09\xa5token\xa3\xffhx", &sample),
                      YARD_INVALID_MESSAGE);
    assert_null (strstr (bench->error.text, "hx"));
    close_bench (bench);
}

/*  st_ino may need all 64 bits, which JSON's readers round. */
static void a_number_beyond_two_to_the_53_is_digits_in_json (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    attach_region_t region = { .name = yard_string ("x"), .inode = UINT64_MAX };
    assert_int_equal (yard_wire_json (attach_region_type (), &region, &bench->bytes, NULL), 0);
    assert_non_null (strstr (bench->bytes.data, "\"inode\":\"18446744073709551615\""));
    attach_region_t read;
    assert_int_equal (yard_wire_from_json (attach_region_type (), bench->bytes.data, bench->bytes.size,
                                           YARD_WIRE_ASK, bench->arena, &read, NULL),
                      0);
    assert_true (read.inode == UINT64_MAX);
    close_bench (bench);
}

static void bytes_are_base64_in_json_and_only_in_one_spelling (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    static const struct {
        const char *text;
        int code;
    } spellings [] = { { "", 0 },
                       { "Zg==", 0 },
                       { "Zm8=", 0 },
                       { "Zm9v", 0 },
                       { "Zh==", YARD_INVALID_MESSAGE },
                       { "Zg=", YARD_INVALID_MESSAGE },
                       { "Zg", YARD_INVALID_MESSAGE },
                       { "Z===", YARD_INVALID_MESSAGE },
                       { "====", YARD_INVALID_MESSAGE },
                       { "Zg==Zg==", YARD_INVALID_MESSAGE },
                       { "Zm 9", YARD_INVALID_MESSAGE } };
    for (size_t i = 0; i < sizeof spellings / sizeof spellings [0]; i++) {
        char json [64];
        sample_t sample;
        snprintf (json, sizeof json, "{\"id\":1,\"body\":\"%s\"}", spellings [i].text);
        assert_int_equal (yard_wire_from_json (sample_type (), json, strlen (json), YARD_WIRE_ASK,
                                               bench->arena, &sample, NULL),
                          spellings [i].code);
    }
    close_bench (bench);
}

static void a_log_line_shows_fields_and_is_cut (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    char long_text [3000];
    memset (long_text, 'x', sizeof long_text - 1);
    long_text [sizeof long_text - 1] = 0;
    install_import_ask_t ask;
    yard_wire_init (install_import_ask_type (), &ask);
    ask.has_url = true;
    ask.url.url = yard_string ("http://a b/\n");
    yard_wire_log (install_import_ask_type (), &ask, &bench->bytes);
    assert_string_equal (bench->bytes.data, "url={url=\"http://a b/\\x0a\"} priority=10");
    yard_buffer_reset (&bench->bytes);
    ask.url.url = yard_string (long_text);
    yard_wire_log (install_import_ask_type (), &ask, &bench->bytes);
    assert_int_equal (bench->bytes.size, 1024);
    assert_string_equal (bench->bytes.data + 1021, "...");
    close_bench (bench);
}

static void defaults_are_what_the_rows_say (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    configuration_t values;
    yard_wire_init (configuration_type (), &values);
    assert_true (yard_string_is (values.models_dir, "models"));
    assert_int_equal (values.download.max_parallel, 5);
    assert_false (values.bus.insecure_loopback);
    assert_int_equal (values.log.level, log_level_info);
    assert_int_equal (READ (bench, configuration_type (), "\x80", &values), 0);
    assert_int_equal (values.jobs.lease_ms, 30000);
    assert_int_equal (values.log.level, log_level_info);
    close_bench (bench);
}

static void a_schema_is_json_and_lists_what_is_required (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    for (const yard_wire_type_t *const *type = yard_types (); *type; type++) {
        nothing_t unused;
        yard_buffer_reset (&bench->bytes);
        yard_wire_schema (*type, &bench->bytes);
        /* A message of no known field reads any JSON object. */
        if (yard_wire_from_json (nothing_type (), bench->bytes.data, bench->bytes.size, YARD_WIRE_ASK,
                                 bench->arena, &unused, &bench->error))
            fail_msg ("%s: %s", (*type)->name, bench->error.text);
    }
    yard_buffer_reset (&bench->bytes);
    yard_wire_schema (job_submit_ask_type (), &bench->bytes);
    assert_non_null (strstr (bench->bytes.data, "\"required\":[\"kind\"]"));
    assert_non_null (strstr (bench->bytes.data, "\"minimum\":-1000000,\"maximum\":1000000,\"default\":10"));
    close_bench (bench);
}

/*  Memory of a list is asked for once, after its count was held against the bytes and the bound. */
static void a_list_over_its_bound_is_too_large (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    char bytes [320] = "\x81\xa3ids\xdc\x01\x01";
    job_wait_ask_t ask;
    assert_int_equal (unpack (bench, job_wait_ask_type (), bytes, 8 + 257, YARD_WIRE_ASK, &ask),
                      YARD_TOO_LARGE);
    assert_string_equal (bench->error.text, "ids: may have at most 256 entries, got 257");
    assert_int_equal (yard_arena_used (bench->arena), 0);
    close_bench (bench);
}

static void an_arena_that_is_full_is_too_large_and_not_a_crash (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    yard_arena_t *small = yard_arena_new (64);
    char bytes [320] = "\x81\xa3ids\xdc\x01\x00";
    job_wait_ask_t ask;
    assert_int_equal (
        yard_wire_unpack (job_wait_ask_type (), bytes, 8 + 256, YARD_WIRE_ASK, small, &ask, &bench->error),
        YARD_TOO_LARGE);
    yard_arena_destroy (&small);
    close_bench (bench);
}

static void a_copy_into_a_full_arena_is_refused (void **state)
{
    (void) state;
    bench_t *bench = open_bench ();
    yard_arena_t *small = yard_arena_new (16);
    sample_t sample = { .id = 1, .token = yard_string ("longer than sixteen bytes") }, twin;
    assert_int_equal (yard_wire_copy (sample_type (), &sample, small, &twin), YARD_TOO_LARGE);
    assert_int_equal (twin.id, 0);
    yard_arena_destroy (&small);
    close_bench (bench);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_copy_into_a_full_arena_is_refused),
        cmocka_unit_test (six_bytes_that_claim_a_hundred_million_entries_cost_nothing),
        cmocka_unit_test (every_integer_form_is_read_and_its_range_checked),
        cmocka_unit_test (a_double_takes_whole_numbers_and_no_nan),
        cmocka_unit_test (what_a_field_holds_is_checked_and_the_error_says_both),
        cmocka_unit_test (an_error_names_the_field_by_its_whole_path),
        cmocka_unit_test (an_unknown_word_is_refused_in_an_ask_and_unset_in_an_answer),
        cmocka_unit_test (an_unknown_field_is_skipped_whole_but_not_without_end),
        cmocka_unit_test (a_field_twice_is_refused),
        cmocka_unit_test (bytes_behind_the_map_are_refused),
        cmocka_unit_test (text_is_utf8_without_zero_bytes),
        cmocka_unit_test (sizes_outside_their_bounds_are_refused_both_ways),
        cmocka_unit_test (a_message_over_one_mebibyte_is_refused_by_its_sender),
        cmocka_unit_test (a_secret_is_carried_by_msgpack_alone),
        cmocka_unit_test (a_number_beyond_two_to_the_53_is_digits_in_json),
        cmocka_unit_test (bytes_are_base64_in_json_and_only_in_one_spelling),
        cmocka_unit_test (a_log_line_shows_fields_and_is_cut),
        cmocka_unit_test (defaults_are_what_the_rows_say),
        cmocka_unit_test (a_schema_is_json_and_lists_what_is_required),
        cmocka_unit_test (a_list_over_its_bound_is_too_large),
        cmocka_unit_test (an_arena_that_is_full_is_too_large_and_not_a_crash),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
