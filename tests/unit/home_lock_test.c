// SPDX-License-Identifier: Apache-2.0
/*  home_lock_test.c - one recorder per home */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include "actors/ground/durable.h"
#include "actors/recorder/home_lock.h"

static int set_up (void **state)
{
    char *home = strdup ("/tmp/home_lock_XXXXXX");
    assert_non_null (mkdtemp (home));
    *state = home;
    return 0;
}

static int tear_down (void **state)
{
    yard_durable_remove (*state, NULL);
    free (*state);
    return 0;
}

static void a_second_recorder_is_refused_and_told_who_the_first_is (void **state)
{
    int first, second = -1;
    yard_error_t error;
    char process [32];
    assert_int_equal (recorder_home_lock (*state, &first, &error), 0);
    assert_int_equal (recorder_home_lock (*state, &second, &error), YARD_TAKEN);
    assert_int_equal (second, -1);
    snprintf (process, sizeof process, "process %ld ", (long) getpid ());
    assert_non_null (strstr (error.text, process));
    assert_non_null (strstr (error.text, *state));
    close (first);
}

static void the_home_is_free_when_its_recorder_has_ended (void **state)
{
    int first, second;
    assert_int_equal (recorder_home_lock (*state, &first, NULL), 0);
    close (first);
    assert_int_equal (recorder_home_lock (*state, &second, NULL), 0);
    close (second);
}

static void the_lock_is_not_inherited_by_a_program (void **state)
{
    int fd;
    assert_int_equal (recorder_home_lock (*state, &fd, NULL), 0);
    assert_int_equal (fcntl (fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close (fd);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (a_second_recorder_is_refused_and_told_who_the_first_is, set_up,
                                         tear_down),
        cmocka_unit_test_setup_teardown (the_home_is_free_when_its_recorder_has_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown (the_lock_is_not_inherited_by_a_program, set_up, tear_down),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
