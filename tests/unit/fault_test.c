// SPDX-License-Identifier: Apache-2.0
/*  fault_test.c - faults happen when armed, where armed, and never otherwise
 *
 *  The variable is read once per process, so every case plays in a child of its own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "actors/ground/fault.h"

typedef int (play_fn) (void); /* its result is the child's exit status */

/*  Runs play in a child under MODELYARD_FAULT=armed. Gives the exit status, or minus the signal that ended
 *  it. */
static int outcome (const char *armed, play_fn *play)
{
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        const struct rlimit none = { 0, 0 };
        setrlimit (RLIMIT_CORE, &none);
        signal (SIGABRT, SIG_DFL);
        int quiet = open ("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2 (quiet, STDERR_FILENO);
        if (armed)
            setenv ("MODELYARD_FAULT", armed, 1);
        else
            unsetenv ("MODELYARD_FAULT");
        _exit (play ());
    }
    int status = 0;
    assert_int_equal (waitpid (child, &status, 0), child);
    return WIFSIGNALED (status) ? -WTERMSIG (status) : WEXITSTATUS (status);
}

/*  Which of ten passes was true: bit 0 for the first of them; only seven fit into an exit status. */
static int seven_passes (void)
{
    int truths = 0;
    for (int i = 0; i < 7; i++)
        truths |= FAULT ("recorder.after_commit") << i;
    return truths;
}

static void nothing_happens_unless_armed (void **state)
{
    (void) state;
    assert_int_equal (outcome (NULL, seven_passes), 0);
    assert_int_equal (outcome ("", seven_passes), 0);
}

#ifdef YARD_FAULTS
static int an_unlisted_name (void)
{
    return FAULT ("no.such.point");
}

static int two_points (void)
{
    int truths = FAULT ("loader.after_lease");
    truths |= FAULT ("recorder.after_commit") << 1;
    truths |= FAULT ("recorder.after_commit") << 2;
    return truths;
}

static void the_nth_pass_fails_and_only_that (void **state)
{
    (void) state;
    assert_int_equal (outcome ("recorder.after_commit:1", seven_passes), 1);
    assert_int_equal (outcome ("recorder.after_commit:3", seven_passes), 4);
    assert_int_equal (outcome ("recorder.after_commit:8", seven_passes), 0);
    assert_int_equal (outcome ("loader.after_lease:1", seven_passes), 0);
}

static void several_points_are_armed_at_once (void **state)
{
    (void) state;
    assert_int_equal (outcome ("loader.after_lease:1,recorder.after_commit:2", two_points), 5);
}

static void kill_kills (void **state)
{
    (void) state;
    assert_int_equal (outcome ("recorder.after_commit:2:kill", seven_passes), -SIGKILL);
    assert_int_equal (outcome ("recorder.after_commit:8:kill", seven_passes), 0);
}

static void what_cannot_be_read_or_is_not_listed_aborts (void **state)
{
    (void) state;
    const char *const bad [] = {
        "recorder.after_commit",
        "recorder.after_commit:",
        "recorder.after_commit:0",
        "recorder.after_commit:x",
        "recorder.after_commit:-1",
        "recorder.after_commit:1:kil",
        "recorder.after_commit:1:killed",
        "recorder.after_commit:1 ",
        "no.such.point:1",
        ":1",
        "recorder.after_commit:99999999999999999999",
        "loader.after_lease:1,,recorder.after_commit:1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal (outcome (bad [i], seven_passes), -SIGABRT);
    assert_int_equal (outcome (NULL, an_unlisted_name), -SIGABRT);
}
#endif

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (nothing_happens_unless_armed),
#ifdef YARD_FAULTS
        cmocka_unit_test (the_nth_pass_fails_and_only_that),
        cmocka_unit_test (several_points_are_armed_at_once),
        cmocka_unit_test (kill_kills),
        cmocka_unit_test (what_cannot_be_read_or_is_not_listed_aborts),
#endif
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
