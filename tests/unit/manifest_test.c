// SPDX-License-Identifier: Apache-2.0
/*  manifest_test.c - .modelyard.json proves the bytes it was written for */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"
#include "actors/ground/durable.h"
#include "actors/installer/installer.h"

typedef struct {
    char folder [64];
    yard_arena_t *arena;
    model_config_t config;
} fixture_t;

static int setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    snprintf (self->folder, sizeof self->folder, "/tmp/manifest_XXXXXX");
    assert_non_null (mkdtemp (self->folder));
    self->arena = yard_arena_new (64u * 1024 * 1024);
    yard_wire_init (model_config_type (), &self->config);
    self->config.key = yard_string ("0123456789abcdef0123456789abcdef");
    self->config.name = yard_string ("a model");
    self->config.type = model_type_lora;
    self->config.base = base_model_sd_1;
    self->config.format = model_format_lycoris;
    self->config.path = yard_string ("sd-1/lora/a_model/a.safetensors");
    *state = self;
    return 0;
}

static int teardown (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (yard_durable_remove (self->folder, NULL), 0);
    yard_arena_destroy (&self->arena);
    free (self);
    return 0;
}

static void put (fixture_t *self, const char *name, const void *data, size_t size)
{
    char path [PATH_MAX];
    assert_int_equal (yard_path_join (path, self->folder, name, NULL), 0);
    assert_int_equal (yard_durable_write (path, data, size, 0644, NULL), 0);
}

static void make_and_write (fixture_t *self)
{
    manifest_t manifest;
    yard_error_t error = { 0 };
    if (installer_manifest_make (self->folder, 7, &self->config, NULL, self->arena, &manifest, &error) ||
        installer_manifest_write (self->folder, &manifest, &error))
        fail_msg ("%s", error.text);
}

static void what_was_written_is_read_back (void **state)
{
    fixture_t *self = *state;
    put (self, "a.safetensors", "123456789", 9);
    make_and_write (self);
    manifest_t manifest;
    assert_int_equal (installer_manifest_read (self->folder, self->arena, &manifest, NULL), 0);
    assert_int_equal (manifest.job, 7);
    assert_true (yard_string_equal (manifest.config.key, self->config.key));
    assert_int_equal (manifest.files.count, 1);
    assert_true (yard_string_is (manifest.files.items [0].path, "a.safetensors"));
    assert_true (yard_string_is (manifest.files.items [0].crc32c, "e3069283"));
    assert_int_equal (manifest.files.items [0].bytes, 9);
    assert_int_equal (installer_manifest_prove (self->folder, &manifest, self->arena, NULL), 0);
}

static void each_chunk_of_eight_mebibytes_has_its_checksum (void **state)
{
    fixture_t *self = *state;
    size_t size = 17u * 1024 * 1024;
    char *bytes = malloc (size);
    for (size_t i = 0; i < size; i++)
        bytes [i] = (char) (i * 31 >> 8);
    put (self, "a.safetensors", bytes, size);
    make_and_write (self);
    manifest_t manifest;
    assert_int_equal (installer_manifest_read (self->folder, self->arena, &manifest, NULL), 0);
    assert_int_equal (manifest.files.items [0].crc32c.size, 3 * 8);
    char second [9];
    snprintf (second, sizeof second, "%08x", yard_crc32c (0, bytes + (8u << 20), 8u << 20));
    assert_memory_equal (manifest.files.items [0].crc32c.data + 8, second, 8);
    free (bytes);
}

static void a_changed_byte_a_longer_and_a_missing_file_are_not_proven (void **state)
{
    fixture_t *self = *state;
    put (self, "a.safetensors", "123456789", 9);
    make_and_write (self);
    manifest_t manifest;
    assert_int_equal (installer_manifest_read (self->folder, self->arena, &manifest, NULL), 0);
    put (self, "a.safetensors", "123456780", 9);
    assert_int_equal (installer_manifest_prove (self->folder, &manifest, self->arena, NULL), YARD_INTEGRITY);
    put (self, "a.safetensors", "1234567890", 10);
    assert_int_equal (installer_manifest_prove (self->folder, &manifest, self->arena, NULL), YARD_INTEGRITY);
    char path [PATH_MAX];
    yard_path_join (path, self->folder, "a.safetensors", NULL);
    unlink (path);
    assert_int_equal (installer_manifest_prove (self->folder, &manifest, self->arena, NULL), YARD_NOT_FOUND);
}

static void a_manifest_that_leaves_its_folder_is_refused (void **state)
{
    fixture_t *self = *state;
    manifest_file_t file = { .path = yard_string ("../../etc/passwd"),
                             .sha256 = yard_string ("0"),
                             .chunk_bytes = 8u << 20 };
    manifest_t manifest = { .version = 1, .job = 1, .config = self->config };
    manifest.files.items = &file;
    manifest.files.count = 1;
    assert_int_equal (installer_manifest_prove (self->folder, &manifest, self->arena, NULL), YARD_INTEGRITY);
}

static void a_torn_manifest_is_refused (void **state)
{
    fixture_t *self = *state;
    put (self, "a.safetensors", "123456789", 9);
    make_and_write (self);
    char path [PATH_MAX], *text;
    size_t size;
    yard_path_join (path, self->folder, INSTALLER_MANIFEST_NAME, NULL);
    assert_int_equal (yard_file_read (path, 1 << 20, &text, &size, NULL), 0);
    for (size_t cut = 0; cut < size; cut += 7) {
        put (self, INSTALLER_MANIFEST_NAME, text, cut);
        manifest_t manifest;
        assert_int_not_equal (installer_manifest_read (self->folder, self->arena, &manifest, NULL), 0);
    }
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (what_was_written_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown (each_chunk_of_eight_mebibytes_has_its_checksum, setup, teardown),
        cmocka_unit_test_setup_teardown (a_changed_byte_a_longer_and_a_missing_file_are_not_proven, setup,
                                         teardown),
        cmocka_unit_test_setup_teardown (a_manifest_that_leaves_its_folder_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown (a_torn_manifest_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
