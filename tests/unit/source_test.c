// SPDX-License-Identifier: Apache-2.0
/*  source_test.c - the grammar of sources (R2.1, R2.2) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/installer/source.h"

/*  What a string source comes to: canonical text, or the code it is refused with. */
typedef struct {
    const char *text;
    int code;
    bool local;
    const char *canonical;
} case_t;

static const case_t cases [] = {
    { "/models/a.safetensors", 0, true, "/models/a.safetensors" },
    { "/models//x/./../a.safetensors", 0, true, "/models/a.safetensors" },
    { "/../../etc/x", 0, true, "/etc/x" },
    { "/with space/ä.safetensors", 0, true, "/with space/ä.safetensors" },
    { "http://Host.example/a.safetensors", 0, false, "http://Host.example/a.safetensors" },
    { "https://host:443/a?b=c#part", 0, false, "https://host/a?b=c" },
    { "http://host:8080", 0, false, "http://host:8080/" },
    { "relative/with/three", YARD_INVALID_SOURCE, false, NULL },
    { "./a.safetensors", YARD_INVALID_SOURCE, false, NULL },
    { "a.safetensors", YARD_INVALID_SOURCE, false, NULL },
    { "C:\\models\\a.safetensors", YARD_INVALID_SOURCE, false, NULL },
    { "C:/models/a.safetensors", YARD_INVALID_SOURCE, false, NULL },
    { "/", YARD_INVALID_SOURCE, false, NULL },
    { "ftp://host/a", YARD_INVALID_SOURCE, false, NULL },
    { "file:///etc/passwd", YARD_INVALID_SOURCE, false, NULL },
    { "http://", YARD_INVALID_SOURCE, false, NULL },
    { "http://user:secret@host/a", YARD_INVALID_SOURCE, false, NULL },
    { "org/name", YARD_NOT_IMPLEMENTED, false, NULL },
    { "org/name:fp16", YARD_NOT_IMPLEMENTED, false, NULL },
    { "org/name:fp16:vae", YARD_NOT_IMPLEMENTED, false, NULL },
    { "s3://bucket/key", YARD_NOT_IMPLEMENTED, false, NULL },
    { "civitai:12", YARD_NOT_IMPLEMENTED, false, NULL },
};

static int parse (const char *text, yard_arena_t *arena, install_request_t *ret, yard_error_t *error)
{
    install_import_ask_t ask;
    yard_wire_init (install_import_ask_type (), &ask);
    ask.has_source = true;
    ask.source = yard_string (text);
    return installer_source_parse (&ask, arena, ret, error);
}

/* R2.1 */
static void every_form_of_a_source_is_told_apart (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++) {
        yard_arena_t *arena = yard_arena_new (65536);
        yard_error_t error = { 0 };
        install_request_t request;
        int code = parse (cases [i].text, arena, &request, &error);
        if (code != cases [i].code)
            fail_msg ("%s: %d %s", cases [i].text, code, error.text);
        if (code == 0) {
            assert_int_equal (request.local, cases [i].local);
            assert_string_equal (yard_arena_text (arena, request.source), cases [i].canonical);
        } else
            assert_true (strlen (error.text) > 20);
        yard_arena_destroy (&arena);
    }
}

/* R2.1 */
static void canonical_text_parses_back_to_itself (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++)
        if (cases [i].canonical) {
            yard_arena_t *arena = yard_arena_new (65536);
            install_request_t request;
            assert_int_equal (parse (cases [i].canonical, arena, &request, NULL), 0);
            assert_string_equal (yard_arena_text (arena, request.source), cases [i].canonical);
            yard_arena_destroy (&arena);
        }
}

/* R2.2 */
static void exactly_one_of_the_typed_sources_must_be_there (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (65536);
    install_import_ask_t ask;
    install_request_t request;
    yard_wire_init (install_import_ask_type (), &ask);
    assert_int_equal (installer_source_parse (&ask, arena, &request, NULL), YARD_INVALID_SOURCE);
    ask.has_local = ask.has_url = true;
    ask.local.path = yard_string ("/a");
    ask.url.url = yard_string ("http://h/a");
    assert_int_equal (installer_source_parse (&ask, arena, &request, NULL), YARD_INVALID_SOURCE);
    ask.has_url = false;
    ask.local.inplace = true;
    assert_int_equal (installer_source_parse (&ask, arena, &request, NULL), YARD_NOT_IMPLEMENTED);
    ask.local.inplace = false;
    ask.local.move = true;
    assert_int_equal (installer_source_parse (&ask, arena, &request, NULL), 0);
    assert_true (request.move);
    yard_arena_destroy (&arena);
}

static void a_staged_file_has_a_safe_name (void **state)
{
    (void) state;
    static const struct {
        const char *source, *name;
        bool local;
    } names [] = {
        { "http://h/a/b.safetensors?x=/y", "b.safetensors", false },
        { "http://h/", "model", false },
        { "http://h/a%20b.safetensors", "a_20b.safetensors", false },
        { "http://h/..hidden", "hidden", false },
        { "/x/-rf .safetensors", "rf_.safetensors", true },
        { "/x/\xc3\xa4.safetensors", "__.safetensors", true },
    };
    for (size_t i = 0; i < sizeof names / sizeof names [0]; i++) {
        yard_arena_t *arena = yard_arena_new (65536);
        install_request_t request = { .source = yard_string (names [i].source), .local = names [i].local };
        assert_string_equal (installer_source_file_name (&request, arena), names [i].name);
        yard_arena_destroy (&arena);
    }
}

static void a_folder_name_is_bounded_and_never_empty (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (65536);
    char name [300];
    memset (name, 'x', sizeof name);
    assert_int_equal (strlen (installer_folder_name ((yard_string_t){ name, sizeof name }, arena)), 100);
    assert_string_equal (installer_folder_name (yard_string ("../../etc"), arena), "_.._etc");
    assert_string_equal (installer_folder_name (yard_string ("..."), arena), "model");
    yard_arena_destroy (&arena);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_form_of_a_source_is_told_apart),
        cmocka_unit_test (canonical_text_parses_back_to_itself),
        cmocka_unit_test (exactly_one_of_the_typed_sources_must_be_there),
        cmocka_unit_test (a_staged_file_has_a_safe_name),
        cmocka_unit_test (a_folder_name_is_bounded_and_never_empty),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
