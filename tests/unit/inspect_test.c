// SPDX-License-Identifier: Apache-2.0
/*  inspect_test.c - from an open file to a verdict, without the walls around it
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include "actors/prober/inspect.h"

#define LORA \
    "{\"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight\":" \
    "{\"dtype\":\"F16\",\"shape\":[4,768],\"data_offsets\":[0,6144]}}"
#define NO_LENGTH "\0\0\0\0\0\0\0\0"

/*  An unnamed file of these bytes, long enough for `size` in all; its descriptor. */
static int make_file (const void *bytes, size_t count, off_t size)
{
    int fd = open ("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (pwrite (fd, bytes, count, 0), count);
    assert_int_equal (ftruncate (fd, size), 0);
    return fd;
}

static int make_safetensors (const char *json, off_t data_size)
{
    char bytes [1024] = NO_LENGTH;
    size_t size = strlen (json);
    bytes [0] = (char) size;
    bytes [1] = (char) (size >> 8);
    memcpy (bytes + 8, json, size);
    return make_file (bytes, 8 + size, (off_t) (8 + size) + data_size);
}

static prober_verdict_t inspect (int fd, const char *name)
{
    prober_verdict_t verdict;
    prober_inspect (fd, name, &verdict);
    close (fd);
    return verdict;
}

/*  Must be the first: the fault is armed for the first file that is looked at. */
static void a_file_that_changes_while_it_is_looked_at_is_refused (void **state)
{
    (void) state;
    prober_verdict_t verdict = inspect (make_safetensors (LORA, 6144), "x.safetensors");
#ifdef YARD_FAULTS
    assert_int_equal (verdict.code, YARD_CONFLICT);
    assert_non_null (strstr (verdict.evidence, "changed"));
#else
    skip ();
#endif
}

/*  R4.1 */
static void a_safetensors_file_is_identified_whatever_its_ending (void **state)
{
    (void) state;
    static const char *const names [] = { "x.safetensors", "x.ckpt", "x.bin", "x", "" };
    for (size_t at = 0; at < sizeof names / sizeof names [0]; at++) {
        prober_verdict_t verdict = inspect (make_safetensors (LORA, 6144), names [at]);
        assert_int_equal (verdict.code, 0);
        assert_string_equal (verdict.type, "lora");
        assert_string_equal (verdict.base, "sd-1");
    }
}

static void a_broken_safetensors_file_is_refused_whatever_its_ending (void **state)
{
    (void) state;
    prober_verdict_t verdict = inspect (make_safetensors (LORA, 6143), "x.ckpt");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    assert_non_null (strstr (verdict.evidence, "MetadataIncompleteBuffer"));
    verdict = inspect (make_safetensors ("{\"a\":", 0), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    assert_string_equal (verdict.type, "");
}

static void a_file_that_is_nothing_known_is_broken_by_its_ending_or_unknown (void **state)
{
    (void) state;
    static const char noise [] = "\x11\x22\x33\x44\x55\x66\x77\x88 noise";
    prober_verdict_t verdict = inspect (make_file (noise, sizeof noise, sizeof noise), "x.SafeTensors");
    assert_int_equal (verdict.code, YARD_TOO_LARGE);
    verdict = inspect (make_file (noise, sizeof noise, sizeof noise), "x.bin");
    assert_int_equal (verdict.code, 0);
    assert_string_equal (verdict.type, "unknown");
    assert_string_equal (verdict.name, "x");
    verdict = inspect (make_file ("", 0, 0), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    assert_non_null (strstr (verdict.evidence, "HeaderTooSmall"));
    verdict = inspect (make_file ("", 0, 0), "x.bin");
    assert_string_equal (verdict.type, "unknown");
    static const char list [] = "\2\0\0\0\0\0\0\0[]";
    verdict = inspect (make_file (list, 10, 10), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    assert_non_null (strstr (verdict.evidence, "no object"));
}

static void other_formats_are_known_by_their_first_bytes (void **state)
{
    (void) state;
    static const struct {
        const char *bytes, *what;
    } files [] = {
        { "GGUF\3", "GGUF" },
        { "PK\3\4\x14", "zip" },
        { "\x80\2}q", "pickle" },
        { "\x89HDF\r\n\x1a\n", "HDF5" },
        { "<!DOCTYPE html>", "web page" },
        { "{\"a\":1}", "JSON" },
        { "version https://git-lfs.github.com/spec/v1\n", "LFS" },
    };
    for (size_t at = 0; at < sizeof files / sizeof files [0]; at++) {
        prober_verdict_t verdict =
            inspect (make_file (files [at].bytes, strlen (files [at].bytes), 1000), "x.safetensors");
        assert_int_equal (verdict.code, 0);
        assert_string_equal (verdict.type, "unknown");
        assert_non_null (strstr (verdict.evidence, files [at].what));
    }
}

static void a_length_that_looks_like_a_pickle_is_only_a_length (void **state)
{
    (void) state;
    char bytes [8 + 0x280];
    memset (bytes, ' ', sizeof bytes);
    memcpy (bytes, "\x80\2\0\0\0\0\0", 8);
    memcpy (bytes + sizeof bytes - 2, "{}", 2);
    prober_verdict_t verdict = inspect (make_file (bytes, sizeof bytes, sizeof bytes), "x.safetensors");
    assert_int_equal (verdict.code, 0);
    assert_non_null (strstr (verdict.evidence, "no tensor"));
}

static void a_file_with_two_readings_is_refused (void **state)
{
    (void) state;
    static const char both [] = "PK\3\4\0\0\0\0{}";
    prober_verdict_t verdict = inspect (make_file (both, 10, 0x04034b50 + 8), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    assert_non_null (strstr (verdict.evidence, "zip"));
}

static void only_regular_files_are_looked_at (void **state)
{
    (void) state;
    int ends [2];
    assert_int_equal (pipe (ends), 0);
    close (ends [1]);
    assert_int_equal (inspect (ends [0], "x.safetensors").code, YARD_INVALID_FILE);
    assert_int_equal (inspect (open ("/tmp", O_RDONLY | O_DIRECTORY), "x.safetensors").code,
                      YARD_INVALID_FILE);
    assert_int_equal (inspect (open ("/dev/zero", O_RDONLY), "x.safetensors").code, YARD_INVALID_FILE);
}

static void a_hole_of_a_header_is_no_header (void **state)
{
    (void) state;
    /* 90 MB of nothing: only its length is written. */
    prober_verdict_t verdict = inspect (make_file ("\0\0\0\5\0\0\0\0", 8, 100000000), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_file_that_changes_while_it_is_looked_at_is_refused),
        cmocka_unit_test (a_safetensors_file_is_identified_whatever_its_ending),
        cmocka_unit_test (a_broken_safetensors_file_is_refused_whatever_its_ending),
        cmocka_unit_test (a_file_that_is_nothing_known_is_broken_by_its_ending_or_unknown),
        cmocka_unit_test (other_formats_are_known_by_their_first_bytes),
        cmocka_unit_test (a_length_that_looks_like_a_pickle_is_only_a_length),
        cmocka_unit_test (a_file_with_two_readings_is_refused),
        cmocka_unit_test (only_regular_files_are_looked_at),
        cmocka_unit_test (a_hole_of_a_header_is_no_header),
    };
    setenv ("MODELYARD_FAULT", "prober.while_looking:1", 1);
    return cmocka_run_group_tests (tests, NULL, NULL);
}
