// SPDX-License-Identifier: Apache-2.0
/*  simcuda_answers_test.c - without a device, the simulation answers as the real library does on this machine */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/wait.h>

#define OUTPUT_MAX (256 << 10)
#define LINES_LEAST 40 /* calls compared; fewer, and the program has not run */
#define CODES_LEAST 30 /* error codes that the simulation knows */
#define UNKNOWN "unrecognized error code"

static char real [OUTPUT_MAX], simulated [OUTPUT_MAX];

static void run (const char *folder, char *output)
{
    int ends [2], status = 0;
    size_t used = 0;
    assert_int_equal (pipe (ends), 0);
    pid_t pid = fork ();
    if (pid == 0) {
        (void) dup2 (ends [1], STDOUT_FILENO);
        close (ends [0]);
        close (ends [1]);
        (void) setenv ("LD_LIBRARY_PATH", folder, 1);
        (void) setenv ("SIMCUDA_DEVICES", "0", 1);
        (void) execl (SIMCUDA_ANSWERS, SIMCUDA_ANSWERS, (char *) NULL);
        _exit (127);
    }
    close (ends [1]);
    for (ssize_t got;
         used < OUTPUT_MAX - 1 && (got = read (ends [0], output + used, OUTPUT_MAX - 1 - used)) > 0;)
        used += (size_t) got;
    output [used] = 0;
    close (ends [0]);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
}

/*  The simulation need not know every code; those it knows, it knows right. */
static void the_answers_without_a_device_are_the_real_ones (void **unused)
{
    (void) unused;
    unsigned compared = 0, codes = 0;
    run (REAL_CUDART_FOLDER, real);
    run (SIMCUDA_FOLDER, simulated);
    if (!strstr (real, "cudaGetDeviceCount (&out.number) = 35 ")) {
        print_message ("the real library has a driver here: nothing to compare with\n");
        skip ();
    }
    char *real_rest = real, *our_rest = simulated, *theirs, *ours;
    while ((theirs = strsep (&real_rest, "\n")) && (ours = strsep (&our_rest, "\n"))) {
        int is_code = *theirs >= '0' && *theirs <= '9';
        if (is_code && strstr (ours, UNKNOWN))
            continue;
        assert_string_equal (ours, theirs);
        codes += (unsigned) is_code;
        compared += (unsigned) !is_code;
    }
    assert_null (real_rest);
    assert_null (our_rest);
    assert_true (compared >= LINES_LEAST && codes >= CODES_LEAST);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (the_answers_without_a_device_are_the_real_ones),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
