// SPDX-License-Identifier: Apache-2.0
/*  checksums_test.c - the manifest beside a model: whose it is, what it says of which file, and what it may not say
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/loader/checksums.h"
#include "opening_bed.h"

#define CHUNK 4096u
#define SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of nothing; not looked at */
#define MANIFEST ".modelyard.json"

/*  Writes a manifest of these rows: path, bytes, checksums; chunk_bytes counts for all. */
typedef struct {
    const char *path;
    uint64_t bytes;
    const char *crc32c;
} row_t;

static void put_manifest (const bed_t *bed, const char *folder, const row_t *rows, size_t count,
                          uint64_t chunk_bytes)
{
    char path [PATH_MAX];
    yard_buffer_t text;
    yard_buffer_init (&text, 32 << 20);
    yard_buffer_text (&text,
                      "{\"version\":1,\"job\":7,\"config\":{\"key\":\"0123456789abcdef0123456789abcdef\","
                      "\"name\":\"a model\",\"type\":\"lora\",\"base\":\"sd-1\",\"format\":\"lycoris\","
                      "\"path\":\"m\",\"hash\":\"\"},\"files\":[");
    for (size_t at = 0; at < count; at++)
        yard_buffer_printf (&text,
                            "%s{\"path\":\"%s\",\"bytes\":%llu,\"sha256\":\"" SHA256
                            "\",\"chunk_bytes\":%llu,\"crc32c\":\"%s\"}",
                            at ? "," : "", rows [at].path, (unsigned long long) rows [at].bytes,
                            (unsigned long long) chunk_bytes, rows [at].crc32c);
    yard_buffer_text (&text, "]}");
    snprintf (path, sizeof path, "%s/" MANIFEST, folder);
    put_file (bed, path, text.data, text.size);
    yard_buffer_clear (&text);
}

/*  An opening whose model has these files; sizes are those of the bytes that were put. */
static int look (bed_t *bed, const char *path, const char *submodel, const char *const *names,
                 const uint64_t *sizes, size_t count)
{
    loader_opening_destroy (&bed->opening);
    loader_opening_t *opening = bed->opening = loader_opening_new ();
    snprintf (opening->models_dir, sizeof opening->models_dir, "%s", bed->folder);
    snprintf (opening->path, sizeof opening->path, "%s", path);
    snprintf (opening->submodel, sizeof opening->submodel, "%s", submodel);
    opening->model = loader_model_new (count);
    for (size_t at = 0; at < count; at++) {
        loader_file_t *file = &opening->model->files [at];
        snprintf (file->name, sizeof file->name, "%s", names [at]);
        file->identity.bytes = sizes [at];
    }
    return loader_checksums_read (opening);
}

static int look_at_one (bed_t *bed, const char *path, const char *name, uint64_t bytes)
{
    return look (bed, path, "", &name, &bytes, 1);
}

static const loader_checksums_t *checksums (const bed_t *bed, size_t at)
{
    const loader_model_t *model = bed->opening->model;
    return model->checksums ? &model->checksums [at] : NULL;
}

static void a_model_without_a_manifest_is_read_unchecked (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m/a.safetensors", "abc");
    assert_int_equal (look_at_one (bed, "m/a.safetensors", "a.safetensors", 3), 0);
    assert_null (checksums (bed, 0));
    assert_int_equal (look_at_one (bed, "gone", "a.safetensors", 3), 0);
    assert_null (checksums (bed, 0));
}

static void a_file_has_the_manifest_that_lies_beside_it (void **state)
{
    bed_t *bed = *state;
    const row_t row = { "a.safetensors", 2 * CHUNK + 1, "0000000189abcdefFFFFFFFF" };
    put_word (bed, "m/a.safetensors", "abc");
    put_manifest (bed, "m", &row, 1, CHUNK);
    assert_int_equal (look_at_one (bed, "m/a.safetensors", "a.safetensors", row.bytes), 0);
    const loader_checksums_t *found = checksums (bed, 0);
    assert_int_equal (found->count, 3);
    assert_int_equal (found->chunk_bytes, CHUNK);
    assert_int_equal (found->crc32c [0], 1);
    assert_int_equal (found->crc32c [1], 0x89abcdef);
    assert_int_equal (found->crc32c [2], 0xffffffff);
}

static void a_folder_has_its_own_and_so_has_each_part_of_it (void **state)
{
    static const char *const names [] = { "model.safetensors", "config.json", "unet/deep.safetensors" };
    static const uint64_t sizes [] = { 10, 20, 30 };
    static const row_t rows [] = { { "unet/model.safetensors", 10, "0000000a" },
                                   { "model.safetensors", 11, "0000000b" }, /* of other bytes: another */
                                   { "unet/deep.safetensors", 30, "0000000c" } };
    bed_t *bed = *state;
    put_manifest (bed, "m", rows, 3, CHUNK);
    assert_int_equal (look (bed, "m", "unet", names, sizes, 3), 0);
    assert_int_equal (checksums (bed, 0)->crc32c [0], 10);
    assert_null (checksums (bed, 1)->crc32c); /* not named: unchecked */
    assert_int_equal (checksums (bed, 2)->crc32c [0], 12);
    assert_int_equal (look (bed, "m", "", names, sizes, 3), 0);
    assert_null (checksums (bed, 0)->crc32c);
    assert_int_equal (checksums (bed, 2)->crc32c [0], 12);
}

static void an_empty_file_has_no_chunk_and_an_exact_one_no_rest (void **state)
{
    static const char *const names [] = { "empty", "exact" };
    static const uint64_t sizes [] = { 0, 2 * CHUNK };
    static const row_t rows [] = { { "empty", 0, "" }, { "exact", 2 * CHUNK, "0000000100000002" } };
    bed_t *bed = *state;
    put_manifest (bed, "m", rows, 2, CHUNK);
    assert_int_equal (look (bed, "m", "", names, sizes, 2), 0);
    assert_int_equal (checksums (bed, 0)->count, 0);
    assert_int_equal (checksums (bed, 1)->count, 2);
}

static void checksums_that_are_no_such_are_refused (void **state)
{
    static const char *const texts [] = { "",         "0000000",  "000000010",    "0000000100000002",
                                          "0x000001", "-0000001", "+0000001",     " 0000001",
                                          "0000000g", "0000000 ", "\\u00e4000001" };
    bed_t *bed = *state;
    for (size_t at = 0; at < sizeof texts / sizeof texts [0]; at++) {
        const row_t row = { "a", 100, texts [at] };
        put_manifest (bed, "m", &row, 1, CHUNK);
        if (look_at_one (bed, "m", "a", 100) != YARD_INVALID_FILE)
            fail_msg ("\"%s\" was taken: %s", texts [at], bed->opening->error.text);
        assert_said (bed, "install the model again");
    }
}

static void a_manifest_that_cannot_be_read_is_refused (void **state)
{
    static const char *const texts [] = {
        "",     "{", "[]", "null", "{\"version\":1}", "{\"version\":2,\"job\":1,\"config\":{},\"files\":[]}",
        "\xff",
    };
    bed_t *bed = *state;
    for (size_t at = 0; at < sizeof texts / sizeof texts [0]; at++) {
        put_word (bed, "m/" MANIFEST, texts [at]);
        if (look_at_one (bed, "m", "a", 100) != YARD_INVALID_FILE)
            fail_msg ("\"%s\": %s", texts [at], bed->opening->error.text);
        assert_said (bed, "m");
    }
    const row_t row = { "a", 100, "00000001" };
    put_manifest (bed, "m", &row, 1, 0); /* a chunk of no bytes */
    assert_int_equal (look_at_one (bed, "m", "a", 100), YARD_INVALID_FILE);
    put_manifest (bed, "m", &row, 1, 1ULL << 40);
    assert_int_equal (look_at_one (bed, "m", "a", 100), YARD_INVALID_FILE);
}

static void a_manifest_of_many_bytes_or_none_of_a_file_is_bounded (void **state)
{
    bed_t *bed = *state;
    size_t size = 17u << 20;
    char *text = malloc (size);
    assert_non_null (text);
    memset (text, ' ', size);
    put_file (bed, "m/" MANIFEST, text, size);
    free (text);
    assert_int_equal (look_at_one (bed, "m", "a", 100), YARD_TOO_LARGE);
}

/*  Neither is opened, and neither holds anybody up. */
static void a_link_or_a_fifo_is_no_manifest (void **state)
{
    bed_t *bed = *state;
    char path [PATH_MAX];
    const row_t row = { "a", 100, "00000001" };
    put_manifest (bed, "other", &row, 1, CHUNK);
    put_word (bed, "m/a", "abc");
    snprintf (path, sizeof path, "%s/m/" MANIFEST, bed->folder);
    assert_int_equal (symlink ("../other/" MANIFEST, path), 0);
    assert_int_equal (look_at_one (bed, "m", "a", 100), 0);
    assert_null (checksums (bed, 0));
    assert_int_equal (unlink (path), 0);
    assert_int_equal (mkfifo (path, 0600), 0);
    assert_int_equal (look_at_one (bed, "m", "a", 100), 0);
    assert_null (checksums (bed, 0));
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (a_model_without_a_manifest_is_read_unchecked, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_file_has_the_manifest_that_lies_beside_it, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_folder_has_its_own_and_so_has_each_part_of_it, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (an_empty_file_has_no_chunk_and_an_exact_one_no_rest, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (checksums_that_are_no_such_are_refused, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_manifest_that_cannot_be_read_is_refused, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_manifest_of_many_bytes_or_none_of_a_file_is_bounded, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (a_link_or_a_fifo_is_no_manifest, make_bed, clear_bed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
