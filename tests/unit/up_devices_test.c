// SPDX-License-Identifier: Apache-2.0
/*  up_devices_test.c - which GPUs `up` starts a loader for
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include "tools/modelyard/up_devices.h"

#define DEVICES 3

typedef struct {
    unsigned count;
    char words [256], why [256];
} refused_t;

static void on_refused (void *argument, const char *word, const char *why)
{
    refused_t *self = argument;
    size_t used = strlen (self->words);
    self->count++;
    snprintf (self->words + used, sizeof self->words - used, "%s;", word);
    snprintf (self->why, sizeof self->why, "%s", why);
}

static device_row_t rows [DEVICES];

static int make (void **state)
{
    (void) state;
    memset (rows, 0, sizeof rows);
    for (int i = 0; i < DEVICES; i++)
        snprintf (rows [i].about.uuid, sizeof rows [i].about.uuid, "GPU-abcd000%d", i);
    return 0;
}

/*  The chosen as text: "02". */
static const char *chosen (const char *setting, size_t count, refused_t *refused)
{
    static char text [DEVICE_LIST_MAX + 1];
    up_devices_t devices;
    size_t used = 0;
    *refused = (refused_t){ 0 };
    up_devices_choose (setting, &(device_list_t){ rows, count }, &devices, on_refused, refused);
    for (size_t i = 0; i < DEVICE_LIST_MAX; i++)
        if (devices.chosen [i])
            text [used++] = (char) ('0' + i);
    text [used] = 0;
    return text;
}

static void words_choose_by_number_uuid_or_all (void **state)
{
    (void) state;
    static const struct {
        const char *setting, *chosen;
    } cases [] = {
        { "", "" },
        { "host", "" },
        { "all", "012" },
        { "cuda:0 cuda:2", "02" },
        { " cuda:1,,\tcuda:0 ", "01" },
        { "gpu-ABCD0001", "1" },
        { "cuda:1 cuda:1 GPU-abcd0001 all", "012" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++) {
        refused_t refused;
        assert_string_equal (chosen (cases [i].setting, DEVICES, &refused), cases [i].chosen);
        assert_int_equal (refused.count, 0);
    }
}

/* E7 */
static void what_is_not_there_is_refused_and_the_rest_is_chosen (void **state)
{
    (void) state;
    refused_t refused;
    assert_string_equal (chosen ("cuda:7 cuda:1 tpu GPU-", DEVICES, &refused), "1");
    assert_string_equal (refused.words, "cuda:7;tpu;GPU-;");
    assert_string_equal (chosen ("all", 0, &refused), "");
    assert_string_equal (refused.words, "all;");
}

/* E7 */
static void a_device_that_cannot_be_opened_is_left_out_with_its_reason (void **state)
{
    (void) state;
    refused_t refused;
    rows [1].error.code = YARD_DEVICE_LOST;
    snprintf (rows [1].error.text, sizeof rows [1].error.text, "it fell off the bus");
    assert_string_equal (chosen ("all", DEVICES, &refused), "02");
    assert_string_equal (refused.words, "cuda:1;");
    assert_string_equal (refused.why, "it fell off the bus");
}

static void a_word_without_end_is_cut_not_overrun (void **state)
{
    (void) state;
    char setting [1025];
    refused_t refused;
    memset (setting, 'x', sizeof setting - 1);
    setting [sizeof setting - 1] = 0;
    assert_string_equal (chosen (setting, DEVICES, &refused), "");
    assert_int_equal (refused.count, 1);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup (words_choose_by_number_uuid_or_all, make),
        cmocka_unit_test_setup (what_is_not_there_is_refused_and_the_rest_is_chosen, make),
        cmocka_unit_test_setup (a_device_that_cannot_be_opened_is_left_out_with_its_reason, make),
        cmocka_unit_test_setup (a_word_without_end_is_cut_not_overrun, make),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
