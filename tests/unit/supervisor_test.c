// SPDX-License-Identifier: Apache-2.0
/*  supervisor_test.c - the parts around the table: datagrams, the lock, and real processes that start, fall
 *  and stop
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "actors/ground/durable.h"
#include "tools/modelyard/notify_socket.h"
#include "tools/modelyard/supervisor.h"
#include "tools/modelyard/up_lock.h"

static int make_directory (void **state)
{
    char *path = strdup ("/tmp/ysupXXXXXX");
    *state = mkdtemp (path);
    return *state ? 0 : -1;
}

static int remove_directory (void **state)
{
    yard_durable_remove (*state, NULL);
    free (*state);
    return 0;
}

static void a_datagram_is_read_line_by_line (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        bool ready, watchdog;
    } rows [] = {
        { "READY=1", true, false },    { "STATUS=x\nREADY=1\n", true, false },
        { "WATCHDOG=1", false, true }, { "READY=1\nWATCHDOG=1", true, true },
        { "READY=10", false, false },  { "NOTREADY=1", false, false },
        { "", false, false },          { "\n\n", false, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++) {
        notification_t notification = { 0 };
        notification_read (&notification, rows [i].text, strlen (rows [i].text));
        assert_int_equal (notification.ready, rows [i].ready);
        assert_int_equal (notification.watchdog, rows [i].watchdog);
    }
}

static void the_lock_has_one_holder_who_can_be_found (void **state)
{
    int first = -1, second = -1, pidfd = -1;
    pid_t pid = 0;
    yard_error_t error;
    assert_int_equal (up_lock_holder (*state, &pid, &pidfd, &error), YARD_NOT_FOUND);
    assert_int_equal (up_lock_take (*state, &first, &error), 0);
    assert_int_equal (up_lock_holder (*state, &pid, &pidfd, &error), YARD_BUSY); /* no number in it yet */
    assert_int_equal (up_lock_write (first, &error), 0);
    assert_int_equal (up_lock_take (*state, &second, &error), YARD_TAKEN);
    assert_int_equal (up_lock_holder (*state, &pid, &pidfd, &error), 0);
    assert_int_equal (pid, getpid ());
    close (pidfd);
    close (first);
    assert_int_equal (up_lock_holder (*state, &pid, &pidfd, &error), YARD_NOT_FOUND);
}

/*  A supervised process as a shell sees it: python speaks to the notify socket, as an actor would. */
static const char actor_script [] =
    "import os, signal, socket, sys\n"
    "say = lambda t: socket.socket (socket.AF_UNIX, socket.SOCK_DGRAM).sendto (t, os.environ "
    "['NOTIFY_SOCKET'])\n"
    "signal.signal (signal.SIGTERM, lambda *_: (print ('stop', sys.argv [1], flush=True), os._exit (0)))\n"
    "print ('start', sys.argv [1], flush=True)\n"
    "first = not os.path.exists (sys.argv [2])\n"
    "open (sys.argv [2], 'w').close ()\n"
    "if sys.argv [1] == 'falls' and first: say (b'READY=1'); os._exit (1)\n"
    "if sys.argv [1] == 'refuses': os._exit (2)\n"
    "say (b'READY=1\\nWATCHDOG=1')\n"
    "if sys.argv [1] == 'falls': os.kill (os.getppid (), signal.SIGTERM)\n"
    "while True: signal.pause ()\n";

typedef struct {
    const char *name;
    unsigned stage;
} planned_t;

static void on_ready (void *argument)
{
    *(bool *) argument = true;
}

/*  For a plan in which nobody falls: asked to stop when all are ready, and not while the last one's word is still on its way. */
static void on_ready_stop (void *argument)
{
    on_ready (argument);
    kill (getpid (), SIGTERM);
}

/*  Runs them to the end in a child of ours (signals, process group), gives what they wrote; *ret_code is the
 *  run's code. */
static char *run (const char *directory, const planned_t *plan, supervisor_ready_fn *told, int *ret_code)
{
    int ends [2];
    assert_int_equal (pipe (ends), 0);
    pid_t pid = fork ();
    if (pid == 0) {
        char notify [64], mark [96];
        bool ready = false;
        supervisor_t *supervisor = NULL;
        yard_error_t error;
        dup2 (ends [1], STDOUT_FILENO);
        close (ends [0]);
        close (ends [1]);
        snprintf (notify, sizeof notify, "%s/notify.sock", directory);
        int rc = supervisor_new (notify, NULL, &supervisor, &error);
        for (; plan->name && rc == 0; plan++) {
            snprintf (mark, sizeof mark, "%s/%s", directory, plan->name);
            const char *const words [] = { "/usr/bin/python3", "-c", actor_script, plan->name, mark, NULL };
            rc = supervisor_add (supervisor, plan->name, plan->stage, words, &error);
        }
        if (rc == 0)
            rc = supervisor_run (supervisor, told, &ready, &error);
        supervisor_destroy (&supervisor);
        _exit (rc == 0 ? (ready ? 0 : 100) : -rc);
    }
    close (ends [1]);
    FILE *in = fdopen (ends [0], "r");
    char *text = calloc (1, 4096);
    size_t used = 0, size;
    while ((size = fread (text + used, 1, 4095 - used, in)) > 0)
        used += size;
    fclose (in);
    int status = 0;
    waitpid (pid, &status, 0);
    assert_true (WIFEXITED (status));
    *ret_code = WEXITSTATUS (status);
    return text;
}

static void stages_start_in_order_and_stop_in_reverse (void **state)
{
    int code;
    const planned_t plan [] = { { "first", 0 }, { "second", 1 }, { "last", 2 }, { 0 } };
    char *text = run (*state, plan, on_ready_stop, &code);
    assert_string_equal (text, "start first\nstart second\nstart last\nstop last\nstop second\nstop first\n");
    assert_int_equal (code, 0);
    free (text);
}

static void who_falls_is_started_again_alone (void **state)
{
    int code;
    const planned_t plan [] = { { "stays", 0 }, { "falls", 1 }, { 0 } };
    char *text = run (*state, plan, on_ready, &code);
    assert_string_equal (text, "start stays\nstart falls\nstart falls\nstop falls\nstop stays\n");
    assert_int_equal (code, 0);
    free (text);
}

static void who_cannot_start_at_first_stops_all (void **state)
{
    int code;
    const planned_t plan [] = { { "stays", 0 }, { "refuses", 1 }, { "never", 2 }, { 0 } };
    char *text = run (*state, plan, on_ready, &code);
    assert_string_equal (text, "start stays\nstart refuses\nstop stays\n");
    assert_int_equal (code, -YARD_INVALID_CONFIG);
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_datagram_is_read_line_by_line),
        cmocka_unit_test_setup_teardown (the_lock_has_one_holder_who_can_be_found, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (stages_start_in_order_and_stop_in_reverse, make_directory,
                                         remove_directory),
        cmocka_unit_test_setup_teardown (who_falls_is_started_again_alone, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown (who_cannot_start_at_first_stops_all, make_directory,
                                         remove_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
