// SPDX-License-Identifier: Apache-2.0
/*  sandbox_test.c - real processes: verdicts come out, nothing else does, and every death has a name
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include "actors/ground/clock.h"
#include "actors/prober/sandbox.h"

#define PATIENCE_MS 60000 /* no test waits so long unless it fails */
#define JSON \
    "{\"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight\":" \
    "{\"dtype\":\"F16\",\"shape\":[4,768],\"data_offsets\":[0,6144]}}"

static int make_file (const char *json, size_t header_size, off_t data_size)
{
    char length [8];
    int fd = open ("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (int at = 0; at < 8; at++)
        length [at] = (char) ((uint64_t) header_size >> (8 * at));
    assert_int_equal (pwrite (fd, length, 8, 0), 8);
    assert_int_equal (pwrite (fd, json, strlen (json), 8), strlen (json));
    assert_int_equal (ftruncate (fd, 8 + (off_t) header_size + data_size), 0);
    return fd;
}

static int make_lora (void)
{
    return make_file (JSON, sizeof JSON - 1, 6144);
}

/*  A sandbox whose children do what `fault` says; NULL: nothing out of the ordinary. */
static prober_sandbox_t *make_sandbox (const prober_limits_t *limits, const char *fault)
{
    yard_error_t error;
    if (fault)
        setenv ("MODELYARD_FAULT", fault, 1);
    prober_sandbox_t *sandbox = prober_sandbox_new (limits, &error);
    unsetenv ("MODELYARD_FAULT");
    assert_non_null (sandbox);
    return sandbox;
}

static int receive (prober_sandbox_t *sandbox, uint64_t *ret_ticket, prober_verdict_t *ret_verdict)
{
    int rc;
    while ((rc = prober_sandbox_receive (sandbox, ret_ticket, ret_verdict, NULL)) == 0) {
        struct pollfd fd = { .fd = prober_sandbox_fd (sandbox), .events = POLLIN };
        assert_int_equal (poll (&fd, 1, PATIENCE_MS), 1);
    }
    return rc;
}

static prober_verdict_t probe (prober_sandbox_t *sandbox, int fd, const char *name)
{
    uint64_t ticket;
    prober_verdict_t verdict;
    assert_int_equal (prober_sandbox_submit (sandbox, fd, name, 7, NULL), 0);
    assert_int_equal (fcntl (fd, F_GETFD), -1); /* it was taken */
    assert_int_equal (receive (sandbox, &ticket, &verdict), 1);
    assert_int_equal (ticket, 7);
    return verdict;
}

/*  The children of the sandbox's server, once there are `wanted` of them. */
static void find_children (prober_sandbox_t *sandbox, pid_t *ret_children, size_t wanted)
{
    char path [64], text [1024];
    int server = (int) prober_sandbox_server (sandbox);
    int64_t end = yard_clock_ms (yard_clock_system ()) + PATIENCE_MS;
    snprintf (path, sizeof path, "/proc/%d/task/%d/children", server, server);
    for (size_t count = 0; count != wanted; sched_yield ()) {
        int fd = open (path, O_RDONLY);
        ssize_t size = read (fd, text, sizeof text - 1);
        close (fd);
        assert_true (size >= 0 && yard_clock_ms (yard_clock_system ()) < end);
        text [size] = 0;
        count = 0;
        for (char *at = text, *next; count <= wanted; at = next, count++) {
            pid_t child = (pid_t) strtol (at, &next, 10);
            if (next == at)
                break;
            if (count < wanted)
                ret_children [count] = child;
        }
        assert_true (count <= wanted);
    }
}

/*  Waits until no process of this number runs; a zombie that nobody buries counts as gone. */
static void wait_gone (pid_t pid)
{
    char path [64], text [512];
    int64_t end = yard_clock_ms (yard_clock_system ()) + PATIENCE_MS;
    snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
    for (;; sched_yield ()) {
        int fd = open (path, O_RDONLY);
        if (fd < 0)
            return;
        ssize_t size = read (fd, text, sizeof text - 1);
        close (fd);
        text [size > 0 ? size : 0] = 0;
        if (size <= 0 || strstr (text, ") Z ") || strstr (text, ") X "))
            return;
        assert_true (yard_clock_ms (yard_clock_system ()) < end);
    }
}

static size_t count_fds (void)
{
    size_t count = 0;
    DIR *folder = opendir ("/proc/self/fd");
    while (readdir (folder))
        count++;
    closedir (folder);
    return count;
}

/*  R4.1 */
static void a_verdict_comes_out (void **state)
{
    (void) state;
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, NULL);
    prober_verdict_t verdict = probe (sandbox, make_lora (), "my style.safetensors");
    if (verdict.code)
        fail_msg ("%s", verdict.evidence);
    assert_string_equal (verdict.type, "lora");
    assert_string_equal (verdict.base, "sd-1");
    assert_string_equal (verdict.name, "my_style");
    assert_int_equal (prober_sandbox_pending (sandbox), 0);
    prober_sandbox_destroy (&sandbox);
    assert_null (sandbox);
    prober_sandbox_destroy (&sandbox);
}

static void many_files_get_each_its_own_verdict (void **state)
{
    (void) state;
    enum {
        FILES = 40
    };
    bool seen [FILES] = { false };
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, NULL);
    for (uint64_t at = 0; at < FILES; at++) {
        char name [32];
        snprintf (name, sizeof name, "file-%llu.safetensors", (unsigned long long) at);
        assert_int_equal (prober_sandbox_submit (sandbox, make_lora (), name, at, NULL), 0);
    }
    for (size_t at = 0; at < FILES; at++) {
        uint64_t ticket;
        char name [32];
        prober_verdict_t verdict;
        assert_int_equal (receive (sandbox, &ticket, &verdict), 1);
        snprintf (name, sizeof name, "file-%llu", (unsigned long long) ticket);
        assert_string_equal (verdict.name, name);
        assert_false (seen [ticket]);
        seen [ticket] = true;
    }
    assert_int_equal (prober_sandbox_pending (sandbox), 0);
    prober_sandbox_destroy (&sandbox);
}

static void hostile_headers_are_refused_by_name (void **state)
{
    (void) state;
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, NULL);
    prober_verdict_t verdict = probe (sandbox, make_file ("{\"a\":", 5, 0), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    /* A bomb: as long a header as there may be, and nothing in it. */
    verdict = probe (sandbox, make_file ("{\"a\":", 100000000, 0), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    verdict = probe (sandbox, open ("/dev/zero", O_RDONLY | O_CLOEXEC), "x.safetensors");
    assert_int_equal (verdict.code, YARD_INVALID_FILE);
    prober_sandbox_destroy (&sandbox);
}

static void whoever_leaves_the_path_dies_and_the_server_goes_on (void **state)
{
    (void) state;
    static const struct {
        const char *fault, *text;
    } escapes [] = {
        { "prober.open:1", "SIGSYS" }, { "prober.socket:1", "SIGSYS" }, { "prober.execve:1", "SIGSYS" },
        { "prober.read:1", "SIGSYS" }, { "prober.abort:1", "SIGABRT" },
    };
    for (size_t at = 0; at < sizeof escapes / sizeof escapes [0]; at++) {
        prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, escapes [at].fault);
        for (int turn = 0; turn < 2; turn++) {
            prober_verdict_t verdict = probe (sandbox, make_lora (), "x.safetensors");
            assert_int_equal (verdict.code, YARD_PROBE_CRASHED);
            if (!strstr (verdict.evidence, escapes [at].text))
                fail_msg ("%s: %s", escapes [at].fault, verdict.evidence);
            assert_string_equal (verdict.type, "");
        }
        prober_sandbox_destroy (&sandbox);
    }
}

static void a_probe_that_computes_for_ever_is_ended (void **state)
{
    (void) state;
    prober_limits_t limits = prober_limits_default;
    limits.cpu_s = 1;
    prober_sandbox_t *sandbox = make_sandbox (&limits, "prober.spin:1");
    prober_verdict_t verdict = probe (sandbox, make_lora (), "x.safetensors");
    assert_int_equal (verdict.code, YARD_PROBE_CRASHED);
    assert_non_null (strstr (verdict.evidence, "SIGXCPU"));
    prober_sandbox_destroy (&sandbox);
}

static void a_probe_that_does_nothing_is_ended (void **state)
{
    (void) state;
    prober_limits_t limits = prober_limits_default;
    limits.wall_ms = 50;
    prober_sandbox_t *sandbox = make_sandbox (&limits, "prober.hang:1");
    prober_verdict_t verdict = probe (sandbox, make_lora (), "x.safetensors");
    assert_int_equal (verdict.code, YARD_PROBE_CRASHED);
    assert_non_null (strstr (verdict.evidence, "not done in 50 ms"));
    prober_sandbox_destroy (&sandbox);
}

static void a_killed_probe_says_so (void **state)
{
    (void) state;
    pid_t child;
    uint64_t ticket;
    prober_verdict_t verdict;
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, "prober.hang:1");
    assert_int_equal (prober_sandbox_submit (sandbox, make_lora (), "x.safetensors", 9, NULL), 0);
    find_children (sandbox, &child, 1);
    assert_int_equal (kill (child, SIGKILL), 0);
    assert_int_equal (receive (sandbox, &ticket, &verdict), 1);
    assert_int_equal (ticket, 9);
    assert_int_equal (verdict.code, YARD_PROBE_CRASHED);
    assert_non_null (strstr (verdict.evidence, "SIGKILL"));
    prober_sandbox_destroy (&sandbox);
}

static void four_run_the_others_wait_and_the_last_is_told_to (void **state)
{
    (void) state;
    enum {
        ROOM = 4 + 256
    };
    pid_t children [4];
    size_t fds = count_fds ();
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, "prober.hang:1");
    for (uint64_t at = 0; at < ROOM; at++)
        assert_int_equal (prober_sandbox_submit (sandbox, make_lora (), "x.safetensors", at, NULL), 0);
    int fd = make_lora ();
    yard_error_t error;
    assert_int_equal (prober_sandbox_submit (sandbox, fd, "x.safetensors", ROOM, &error), YARD_BUSY);
    assert_non_null (strstr (error.text, "256"));
    assert_int_not_equal (fcntl (fd, F_GETFD), -1); /* still ours */
    close (fd);
    assert_int_equal (prober_sandbox_pending (sandbox), ROOM);
    find_children (sandbox, children, 4);
    prober_sandbox_destroy (&sandbox);
    assert_int_equal (count_fds (), fds);
    for (size_t at = 0; at < 4; at++)
        wait_gone (children [at]); /* they died with their server */
}

static void a_dead_server_is_noticed (void **state)
{
    (void) state;
    pid_t child;
    uint64_t ticket;
    prober_verdict_t verdict;
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, "prober.hang:1");
    assert_int_equal (prober_sandbox_submit (sandbox, make_lora (), "x.safetensors", 1, NULL), 0);
    find_children (sandbox, &child, 1);
    assert_int_equal (kill (prober_sandbox_server (sandbox), SIGKILL), 0);
    assert_int_equal (receive (sandbox, &ticket, &verdict), YARD_GONE);
    wait_gone (child);
    int fd = make_lora ();
    assert_int_equal (prober_sandbox_submit (sandbox, fd, "x.safetensors", 2, NULL), YARD_GONE);
    assert_int_not_equal (fcntl (fd, F_GETFD), -1);
    close (fd);
    assert_int_equal (receive (sandbox, &ticket, &verdict), YARD_GONE);
    prober_sandbox_destroy (&sandbox);
}

static void signals_to_the_whole_group_do_not_end_the_server (void **state)
{
    (void) state;
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, NULL);
    assert_int_equal (probe (sandbox, make_lora (), "x.safetensors").code,
                      0); /* it is past its first steps */
    assert_int_equal (kill (prober_sandbox_server (sandbox), SIGTERM), 0);
    assert_int_equal (kill (prober_sandbox_server (sandbox), SIGINT), 0);
    assert_int_equal (probe (sandbox, make_lora (), "x.safetensors").code, 0);
    prober_sandbox_destroy (&sandbox);
}

static void the_server_ends_with_its_actor (void **state)
{
    (void) state;
    int ends [2];
    pid_t server = 0;
    assert_int_equal (pipe (ends), 0);
    pid_t actor = fork ();
    if (actor == 0) {
        prober_sandbox_t *sandbox = prober_sandbox_new (&prober_limits_default, NULL);
        server = prober_sandbox_server (sandbox);
        ssize_t written = write (ends [1], &server, sizeof server);
        _exit (written == sizeof server ? 0 : 1);
    }
    assert_int_equal (read (ends [0], &server, sizeof server), sizeof server);
    assert_int_equal (waitpid (actor, NULL, 0), actor);
    wait_gone (server);
    close (ends [0]);
    close (ends [1]);
}

static void a_name_that_no_file_can_have_is_refused (void **state)
{
    (void) state;
    char name [300];
    memset (name, 'x', sizeof name);
    name [sizeof name - 1] = 0;
    prober_sandbox_t *sandbox = make_sandbox (&prober_limits_default, NULL);
    assert_int_equal (prober_sandbox_submit (sandbox, 0, name, 1, NULL), YARD_TOO_LARGE);
    assert_int_equal (prober_sandbox_pending (sandbox), 0);
    prober_sandbox_destroy (&sandbox);
}

static void memory_is_limited (void **state)
{
    (void) state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip (); /* no limit of address space there */
#else
    prober_limits_t limits = prober_limits_default;
    limits.memory_bytes = 64u << 20;
    prober_sandbox_t *sandbox = make_sandbox (&limits, NULL);
    assert_int_equal (probe (sandbox, make_file ("{}", 90000000, 0), "x.safetensors").code,
                      YARD_OUT_OF_MEMORY);
    assert_int_equal (probe (sandbox, make_lora (), "x.safetensors").code, 0);
    prober_sandbox_destroy (&sandbox);
#endif
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_verdict_comes_out),
        cmocka_unit_test (many_files_get_each_its_own_verdict),
        cmocka_unit_test (hostile_headers_are_refused_by_name),
#ifdef YARD_FAULTS
        cmocka_unit_test (whoever_leaves_the_path_dies_and_the_server_goes_on),
        cmocka_unit_test (a_probe_that_computes_for_ever_is_ended),
        cmocka_unit_test (a_probe_that_does_nothing_is_ended),
        cmocka_unit_test (a_killed_probe_says_so),
        cmocka_unit_test (four_run_the_others_wait_and_the_last_is_told_to),
        cmocka_unit_test (a_dead_server_is_noticed),
#endif
        cmocka_unit_test (signals_to_the_whole_group_do_not_end_the_server),
        cmocka_unit_test (the_server_ends_with_its_actor),
        cmocka_unit_test (a_name_that_no_file_can_have_is_refused),
        cmocka_unit_test (memory_is_limited),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
