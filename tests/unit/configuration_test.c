// SPDX-License-Identifier: Apache-2.0
/*  configuration_test.c - modelyard.yaml, MODELYARD_SET and --set
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/ground/durable.h"
#include "proto/configuration.h"

typedef struct {
    yard_paths_t paths;
    yard_configuration_t *configuration;
    const configuration_t *values;
    yard_error_t error;
} home_t;

static void file_path (const home_t *home, char *path, size_t size)
{
    snprintf (path, size, "%.200s/modelyard.yaml", home->paths.home);
}

static int open_home (void **state)
{
    home_t *home = calloc (1, sizeof *home);
    assert_non_null (home);
    snprintf (home->paths.home, PATH_MAX, "/tmp/yardXXXXXX");
    assert_non_null (mkdtemp (home->paths.home));
    snprintf (home->paths.run, PATH_MAX, "/run/y");
    unsetenv ("MODELYARD_SET");
    *state = home;
    return 0;
}

static int close_home (void **state)
{
    home_t *home = *state;
    char path [300];
    file_path (home, path, sizeof path);
    unlink (path);
    rmdir (home->paths.home);
    yard_configuration_destroy (&home->configuration);
    free (home);
    return 0;
}

/*  Reads a home whose file is text (NULL: no file), with settings up to a NULL. */
static int read_home (home_t *home, const char *text, ...)
{
    const char *settings [8];
    size_t count = 0;
    char path [300];
    va_list words;
    va_start (words, text);
    for (const char *word; count < 8 && (word = va_arg (words, const char *)) != NULL;)
        settings [count++] = word;
    va_end (words);
    file_path (home, path, sizeof path);
    unlink (path);
    if (text) {
        FILE *file = fopen (path, "w");
        assert_non_null (file);
        fputs (text, file);
        assert_int_equal (fclose (file), 0);
    }
    yard_configuration_destroy (&home->configuration);
    home->error = (yard_error_t){ 0 };
    int failed = yard_configuration_read (&home->paths, settings, count, &home->configuration, &home->error);
    assert_int_equal (failed, home->error.code);
    home->values = failed ? NULL : yard_configuration_values (home->configuration);
    return failed;
}

static void assert_refused (home_t *home, const char *text, const char *sentence)
{
    assert_int_equal (read_home (home, text, NULL), YARD_INVALID_CONFIG);
    if (!strstr (home->error.text, sentence))
        fail_msg ("\"%s\" is not in \"%s\"", sentence, home->error.text);
    assert_non_null (strstr (home->error.text, "modelyard.yaml: "));
}

/* R1.4: models_dir is below the home directory, unless it is absolute */
static void a_missing_file_is_the_defaults (void **state)
{
    home_t *home = *state;
    char models [PATH_MAX + 8];
    assert_int_equal (read_home (home, NULL, NULL), 0);
    assert_int_equal (home->values->download.max_parallel, 5);
    assert_int_equal (home->values->log.level, log_level_info);
    assert_string_equal (home->values->bus.command.data, "ipc:///run/y/command.ipc");
    assert_string_equal (home->values->bus.event.data, "ipc:///run/y/event.ipc");
    snprintf (models, sizeof models, "%s/models", home->paths.home);
    assert_string_equal (home->values->models_dir.data, models);
    assert_true (home->values->node.size > 0);
    assert_int_equal (strlen (home->values->node.data), home->values->node.size);
    assert_int_equal (read_home (home, "", NULL), 0);
    assert_int_equal (read_home (home, "# nothing\nbus:\n", NULL), 0);
    assert_int_equal (home->values->bus.open_asks_max, 1024);
}

static void the_file_is_read_by_the_type_of_each_key (void **state)
{
    home_t *home = *state;
    assert_int_equal (
        read_home (
            home,
            "models_dir: /big/models\nnode: 1.10\ndownload:\n  max_parallel: 3\n  allow_private: true\n"
            "log: {level: debug}\n",
            NULL),
        0);
    assert_string_equal (home->values->models_dir.data, "/big/models");
    assert_string_equal (home->values->node.data, "1.10");
    assert_int_equal (home->values->download.max_parallel, 3);
    assert_true (home->values->download.allow_private);
    assert_int_equal (home->values->log.level, log_level_debug);
    assert_int_equal (home->values->download.tries_max, 8);
}

/* R8.2 */
static void later_words_win_over_earlier_ones (void **state)
{
    home_t *home = *state;
    setenv ("MODELYARD_SET", "download.max_parallel=4,download.workers=2,log.level=error", 1);
    assert_int_equal (read_home (home, "download: {max_parallel: 3, tries_max: 9}\n", "download.workers=7",
                                 "node=a", "node=b", NULL),
                      0);
    assert_int_equal (home->values->download.tries_max, 9);
    assert_int_equal (home->values->download.max_parallel, 4);
    assert_int_equal (home->values->download.workers, 7);
    assert_int_equal (home->values->log.level, log_level_error);
    assert_string_equal (home->values->node.data, "b");
}

static void a_value_may_have_an_equals_sign_and_quotes_are_its_own (void **state)
{
    home_t *home = *state;
    assert_int_equal (read_home (home, NULL, "models_dir=/a=b", NULL), 0);
    assert_string_equal (home->values->models_dir.data, "/a=b");
    assert_int_equal (read_home (home, "node: \"5\"\ndownload: {workers: \"5\"}\n", NULL),
                      YARD_INVALID_CONFIG);
}

static void an_unknown_key_is_refused_and_the_nearest_named (void **state)
{
    home_t *home = *state;
    assert_refused (home, "download:\n  max_paralel: 3\n",
                    "download: has no key \"max_paralel\"; did you mean max_parallel? (line 2)");
    assert_refused (home, "zzzzzzzzz: 3\n", "has no key \"zzzzzzzzz\" (line 1)");
    assert_int_equal (read_home (home, NULL, "downlod.workers=1", NULL), YARD_INVALID_CONFIG);
    assert_string_equal (home->error.text,
                         "--set: the configuration: has no key \"downlod\"; did you mean download?");
    setenv ("MODELYARD_SET", "log.levle=info", 1);
    assert_int_equal (read_home (home, NULL, NULL), YARD_INVALID_CONFIG);
    assert_string_equal (home->error.text, "MODELYARD_SET: log: has no key \"levle\"; did you mean level?");
}

static void a_setting_must_name_one_scalar (void **state)
{
    home_t *home = *state;
    assert_int_equal (read_home (home, NULL, "download", NULL), YARD_INVALID_CONFIG);
    assert_int_equal (read_home (home, NULL, "download=1", NULL), YARD_INVALID_CONFIG);
    assert_int_equal (read_home (home, NULL, "node.name=1", NULL), YARD_INVALID_CONFIG);
    assert_int_equal (read_home (home, NULL, "download.workers=many", NULL), YARD_INVALID_CONFIG);
    assert_string_equal (home->error.text, "--set: download.workers: must be a number, 0 or more, got text");
    assert_int_equal (read_home (home, NULL, "=1", NULL), YARD_INVALID_CONFIG);
    assert_int_equal (read_home (home, NULL, "log.level=loud", NULL), YARD_INVALID_CONFIG);
    assert_non_null (strstr (home->error.text, "must be one of error, warning, info, debug; got loud"));
}

static void what_yaml_can_do_beyond_maps_and_words_is_refused (void **state)
{
    home_t *home = *state;
    assert_refused (home, "node: a\nnode: b\n", "has node twice (line 2)");
    assert_refused (home, "node: &x a\nmodels_dir: *x\n", "an anchor or alias");
    assert_refused (home, "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n", "an anchor or alias");
    assert_refused (home, "node: !!str a\n", "a tag");
    assert_refused (home, "node: a\n---\nnode: b\n", "a second document");
    assert_refused (home, "node: [[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]\n", "nested too deep");
    assert_refused (home, "- node\n", "must be a map, got a list");
    assert_refused (home, "node: {a: b}\n", "node: must be text, got a map (line 1)");
    assert_refused (home, "? [a]\n: b\n", "has a key that is no text");
    assert_refused (home, "node: \"a\n", "no YAML: ");
    assert_refused (home, "node: \"a\\0b\"\n", "node: is not UTF-8, or has a 0 byte");
}

static void a_value_outside_its_bounds_is_refused (void **state)
{
    home_t *home = *state;
    assert_refused (home, "download: {max_parallel: 65}\n",
                    "download.max_parallel: must be 1 to 64, got 65 (line 1)");
    assert_refused (home, "download: {max_parallel: -1}\n",
                    "download.max_parallel: must be a number, 0 or more, got a negative number");
    assert_refused (home, "download: {max_parallel: 99999999999999999999}\n",
                    "download.max_parallel: must be ");
    assert_refused (home, "download: {allow_private: yes}\n",
                    "download.allow_private: must be true or false, got text");
    assert_refused (home, "jobs: {lease_ms: 1e4}\n", "jobs.lease_ms: must be ");
}

static void a_file_over_its_bound_is_refused (void **state)
{
    home_t *home = *state;
    size_t size = YARD_CONFIGURATION_BYTES_MAX + 10;
    char *text = malloc (size);
    assert_non_null (text);
    memset (text, '#', size - 1);
    text [size - 1] = 0;
    assert_int_equal (read_home (home, text, NULL), YARD_TOO_LARGE);
    free (text);
}

static void a_run_directory_too_long_for_a_socket_is_refused (void **state)
{
    home_t *home = *state;
    memset (home->paths.run + 1, 'r', 120);
    home->paths.run [121] = 0;
    assert_int_equal (read_home (home, NULL, NULL), YARD_TOO_LARGE);
    assert_non_null (strstr (home->error.text, "set MODELYARD_RUN to a shorter directory"));
    assert_int_equal (read_home (home, "bus: {command: 'ipc:///a', event: 'ipc:///b'}\n", NULL), 0);
}

/*  The values as one text; the home's own temporary name is part of models_dir in all of them. */
static void say_values (const home_t *home, yard_buffer_t *ret)
{
    yard_buffer_init (ret, YARD_MESSAGE_MAX);
    assert_int_equal (yard_wire_json (configuration_type (), home->values, ret, NULL), 0);
}

static void assert_same_values (home_t *home, const char *text, const yard_buffer_t *expected)
{
    yard_buffer_t found;
    if (read_home (home, text, NULL))
        fail_msg ("%s", home->error.text);
    say_values (home, &found);
    assert_string_equal (found.data, expected->data);
    yard_buffer_clear (&found);
}

/*  deploy/modelyard.yaml with the first # of every line removed. */
static void uncomment (const char *text, yard_buffer_t *ret)
{
    yard_buffer_init (ret, YARD_CONFIGURATION_BYTES_MAX);
    while (*text) {
        size_t size = strcspn (text, "\n");
        assert_true (size == 0 || *text == '#');
        yard_buffer_printf (ret, "%.*s\n", size ? (int) size - 1 : 0, text + (size ? 1 : 0));
        text += size + (text [size] == '\n');
    }
}

static void assert_has_key (const char *text, const char *indent, const char *name)
{
    char line [128];
    snprintf (line, sizeof line, "\n#%s%s:", indent, name);
    if (!strstr (text, line))
        fail_msg ("deploy/modelyard.yaml has no line \"%s\"; run protogen", line + 1);
}

/* R8.2 */
static void the_delivered_file_has_every_key_and_says_the_defaults (void **state)
{
    home_t *home = *state;
    yard_buffer_t defaults, open;
    char *text;
    size_t size;
    const yard_wire_type_t *whole = configuration_type ();
    assert_int_equal (read_home (home, NULL, NULL), 0);
    say_values (home, &defaults);
    assert_int_equal (
        yard_file_read ("deploy/modelyard.yaml", YARD_CONFIGURATION_BYTES_MAX, &text, &size, NULL), 0);
    assert_same_values (home, text, &defaults);
    uncomment (text, &open);
    assert_same_values (home, open.data, &defaults);
    for (size_t i = 0; i < whole->field_count; i++) {
        const yard_wire_field_t *field = &whole->fields [i];
        assert_has_key (text, "", field->name);
        for (size_t k = 0; field->kind == YARD_WIRE_RECORD && k < field->type ()->field_count; k++)
            assert_has_key (text, "  ", field->type ()->fields [k].name);
    }
    yard_buffer_clear (&open);
    yard_buffer_clear (&defaults);
    free (text);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, open_home, close_home)

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_missing_file_is_the_defaults),
        CASE (the_file_is_read_by_the_type_of_each_key),
        CASE (later_words_win_over_earlier_ones),
        CASE (a_value_may_have_an_equals_sign_and_quotes_are_its_own),
        CASE (an_unknown_key_is_refused_and_the_nearest_named),
        CASE (a_setting_must_name_one_scalar),
        CASE (what_yaml_can_do_beyond_maps_and_words_is_refused),
        CASE (a_value_outside_its_bounds_is_refused),
        CASE (a_file_over_its_bound_is_refused),
        CASE (a_run_directory_too_long_for_a_socket_is_refused),
        CASE (the_delivered_file_has_every_key_and_says_the_defaults),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
