// SPDX-License-Identifier: Apache-2.0
/*  nccl_real_test.c - without a device, the simulated NCCL answers as the real one does
 *
 *  A program (nccl_answers.c) is run with each, chosen by LD_LIBRARY_PATH as the yard's tests choose. On a machine that has a device
 *  the real one would answer otherwise: there it is hidden.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>

#define OUTPUT_SIZE 16384

static void run (const char *folder, char *output)
{
    int pair [2], status;
    size_t used = 0;
    ssize_t got;
    pid_t process;
    assert_int_equal (pipe (pair), 0);
    process = fork ();
    assert_true (process >= 0);
    if (process == 0) {
        dup2 (pair [1], STDOUT_FILENO);
        setenv ("LD_LIBRARY_PATH", folder, 1);
        setenv ("SIMCUDA_DEVICES", "0", 1);
        setenv ("SIMCUDA_LOG", "/dev/null", 1);
        setenv ("CUDA_VISIBLE_DEVICES", "", 1);
        execl (SIMNCCL_ANSWERS, SIMNCCL_ANSWERS, (char *) NULL);
        _exit (127);
    }
    close (pair [1]);
    while ((got = read (pair [0], output + used, OUTPUT_SIZE - 1 - used)) > 0)
        used += (size_t) got;
    output [used] = 0;
    close (pair [0]);
    assert_int_equal (waitpid (process, &status, 0), process);
    assert_int_equal (status, 0);
}

/*  The real library itself is the source. */
static void without_a_device_the_real_librarys_answers_are_the_same (void **state)
{
    static char real [OUTPUT_SIZE], simulated [OUTPUT_SIZE];
    (void) state;
    run (REAL_NCCL_FOLDER, real);
    run (SIMCUDA_FOLDER, simulated);
    assert_non_null (strstr (real, "version 22809"));
    assert_non_null (strstr (real, "communicator not made"));
    assert_string_equal (simulated, real);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (without_a_device_the_real_librarys_answers_are_the_same),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
