// SPDX-License-Identifier: Apache-2.0
/*  page_test.c - text is told from weights
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "actors/downloader/page.h"

static void pages_and_messages_are_told (void **state)
{
    (void) state;
    static const char *const texts [] = {
        "<!DOCTYPE html><html>", "\n  <html>", "<?xml version=\"1.0\"?><Error>", "{\"error\":\"x\"}", "[]",
        "\xef\xbb\xbf<html>",    "<"
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts [0]; i++)
        assert_true (downloader_is_page (texts [i], strlen (texts [i])));
}

static void model_files_are_no_pages (void **state)
{
    (void) state;
    assert_false (downloader_is_page ("GGUF\3\0\0\0", 8));
    assert_false (downloader_is_page ("PK\3\4", 4));
    assert_false (downloader_is_page ("\x80\2}q", 4));
    assert_false (downloader_is_page ("", 0));
    assert_false (downloader_is_page ("   ", 3));
    /* safetensors whose header's length begins with the byte of '<', '{' or a space before one */
    assert_false (downloader_is_page ("<\1\0\0\0\0\0\0{\"a\"", 12));
    assert_false (downloader_is_page ("{\1\0\0\0\0\0\0{\"a\"", 12));
    assert_false (downloader_is_page (" {\0\0\0\0\0\0{\"a\"", 12));
    assert_false (downloader_is_page ("\xef\xbb\xbf\0\0\0\0\0{\"a\"", 12));
}

static void models_are_told_by_their_suffix (void **state)
{
    (void) state;
    assert_true (downloader_is_model_name ("a.safetensors"));
    assert_true (downloader_is_model_name ("A.CKPT"));
    assert_true (downloader_is_model_name ("x.y.gguf"));
    assert_false (downloader_is_model_name ("model_index.json"));
    assert_false (downloader_is_model_name (".bin"));
    assert_false (downloader_is_model_name ("safetensors"));
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (pages_and_messages_are_told),
        cmocka_unit_test (model_files_are_no_pages),
        cmocka_unit_test (models_are_told_by_their_suffix),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
