// SPDX-License-Identifier: Apache-2.0
/*  notify_test.c - a real datagram socket in the supervisor's place
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "actors/ground/notify.h"

static const char *const variables [] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID" };

static int forget_environment (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv (variables [i]);
    return 0;
}

static int supervisor_at (const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t size = strlen (path);
    memcpy (address.sun_path, path, size);
    if (path [0] == '@')
        address.sun_path [0] = 0;
    int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + size);
    assert_int_equal (bind (fd, (const struct sockaddr *) &address, length), 0);
    return fd;
}

static void assert_hears (int fd, const char *text)
{
    char heard [1000];
    ssize_t size = recv (fd, heard, sizeof heard - 1, 0);
    assert_true (size >= 0);
    heard [size] = 0;
    assert_string_equal (heard, text);
}

static void lines_arrive_as_datagrams (void **state)
{
    (void) state;
    char place [] = "/tmp/yard-notify-XXXXXX", path [100];
    assert_non_null (mkdtemp (place));
    snprintf (path, sizeof path, "%s/notify", place);
    int supervisor = supervisor_at (path);
    setenv ("NOTIFY_SOCKET", path, 1);
    yard_notify_t *notify = yard_notify_new ();
    assert_non_null (notify);
    yard_notify_send (notify, "READY=1\nSTATUS=here");
    yard_notify_send (notify, "WATCHDOG=1");
    assert_hears (supervisor, "READY=1\nSTATUS=here");
    assert_hears (supervisor, "WATCHDOG=1");
    /* A supervisor that comes again at the same path is heard by. */
    close (supervisor);
    unlink (path);
    yard_notify_send (notify, "WATCHDOG=1");
    supervisor = supervisor_at (path);
    yard_notify_send (notify, "STOPPING=1");
    assert_hears (supervisor, "STOPPING=1");
    yard_notify_destroy (&notify);
    assert_null (notify);
    yard_notify_destroy (&notify);
    close (supervisor);
    unlink (path);
    rmdir (place);
}

static void an_abstract_socket_works_too (void **state)
{
    (void) state;
    char name [60];
    snprintf (name, sizeof name, "@yard-notify-test-%d", (int) getpid ());
    int supervisor = supervisor_at (name);
    setenv ("NOTIFY_SOCKET", name, 1);
    yard_notify_t *notify = yard_notify_new ();
    yard_notify_send (notify, "READY=1");
    assert_hears (supervisor, "READY=1");
    yard_notify_destroy (&notify);
    close (supervisor);
}

static void a_supervisor_that_does_not_read_never_blocks_us (void **state)
{
    (void) state;
    char name [60];
    snprintf (name, sizeof name, "@yard-notify-test-%d", (int) getpid ());
    int supervisor = supervisor_at (name);
    setenv ("NOTIFY_SOCKET", name, 1);
    yard_notify_t *notify = yard_notify_new ();
    for (int i = 0; i < 5000; i++)
        yard_notify_send (notify, "WATCHDOG=1");
    assert_hears (supervisor, "WATCHDOG=1");
    yard_notify_destroy (&notify);
    close (supervisor);
}

static void without_a_listener_there_is_nothing_and_that_is_fine (void **state)
{
    (void) state;
    char too_long [200] = "/";
    memset (too_long + 1, 'x', sizeof too_long - 2);
    const char *const bad [] = { NULL, "", "/", "relative", "tcp://1", too_long };
    setenv ("WATCHDOG_USEC", "1000000", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (bad [i])
            setenv ("NOTIFY_SOCKET", bad [i], 1);
        assert_null (yard_notify_new ());
    }
    yard_notify_send (NULL, "READY=1");
    assert_int_equal (yard_notify_watchdog_ms (NULL), 0);
}

static void the_watchdog_is_ours_only_by_our_pid (void **state)
{
    (void) state;
    char own [20];
    snprintf (own, sizeof own, "%d", (int) getpid ());
    const struct {
        const char *microseconds, *pid;
        int64_t watchdog_ms;
    } rows [] = {
        { NULL, NULL, 0 },     { "3000000", NULL, 3000 }, { "3000000", own, 3000 },
        { "3000000", "1", 0 }, { "3000000", "", 0 },      { "0", NULL, 0 },
        { "-5", NULL, 0 },     { "12x", NULL, 0 },        { "99999999999999999999", NULL, 0 },
    };
    setenv ("NOTIFY_SOCKET", "@nobody", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsetenv ("WATCHDOG_USEC");
        unsetenv ("WATCHDOG_PID");
        if (rows [i].microseconds)
            setenv ("WATCHDOG_USEC", rows [i].microseconds, 1);
        if (rows [i].pid)
            setenv ("WATCHDOG_PID", rows [i].pid, 1);
        yard_notify_t *notify = yard_notify_new ();
        assert_int_equal (yard_notify_watchdog_ms (notify), rows [i].watchdog_ms);
        yard_notify_destroy (&notify);
    }
}

#define CASE(name) cmocka_unit_test_setup (name, forget_environment)

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (lines_arrive_as_datagrams),
        CASE (an_abstract_socket_works_too),
        CASE (a_supervisor_that_does_not_read_never_blocks_us),
        CASE (without_a_listener_there_is_nothing_and_that_is_fine),
        CASE (the_watchdog_is_ours_only_by_our_pid),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
