// SPDX-License-Identifier: Apache-2.0
/*  device_test.c - the host behind the device door, and the refusals of devices that are not there
 *
 *  The host passes the proofs that every device passes. A plug-in that is missing or wrong is met by this program in a folder of its own
 *  (it is started there again with ASK as its first word), for a plug-in is looked for beside the running program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "actors/ground/durable.h"
#include "actors/loader/device_proof.h"

#define ASK "ask" /* ask <device>: opens it and prints the refusal */
#define ANSWER_MAX 1024

static void expect_no_failure (void *argument, const char *proof, loader_proof_outcome_t outcome,
                               const char *why)
{
    unsigned *passed = argument;
    if (outcome == LOADER_PROOF_FAILED)
        print_error ("%s: %s\n", proof, why);
    assert_int_not_equal (outcome, LOADER_PROOF_FAILED);
    *passed += outcome == LOADER_PROOF_PASSED;
}

static void the_host_passes_the_proofs_of_a_device (void **state)
{
    unsigned passed = 0;
    yard_error_t error = { 0 };
    (void) state;
    int rc = loader_device_prove ("host", LOADER_EXPORT_AUTO, expect_no_failure, &passed, &error);
    assert_string_equal (error.text, "");
    assert_int_equal (rc, 0);
    assert_int_equal (passed, 6); /* all but the two of groups */
}

typedef struct {
    loader_device_t *device;
    loader_memory_t *memory;
} bed_t;

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    assert_int_equal (loader_device_host.open ("host", LOADER_EXPORT_AUTO, &bed->device, NULL), 0);
    assert_int_equal (loader_device_host.allocate (bed->device, 5000, &bed->memory, NULL), 0);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_device_host.release (bed->device, &bed->memory);
    loader_device_host.close (&bed->device);
    free (bed);
    return 0;
}

static void what_the_host_exports_has_its_exact_size_and_nobody_writes_it (void **state)
{
    bed_t *bed = *state;
    loader_handle_t handle;
    struct stat about;
    char path [64];
    assert_int_equal (loader_device_host.export_memory (bed->device, bed->memory, &handle, NULL), 0);
    assert_int_equal (handle.form, LOADER_EXPORT_VMM);
    assert_int_equal (fstat (handle.fd, &about), 0);
    assert_int_equal (about.st_size, 5000);
    assert_int_equal (handle.size, 5000);
    assert_ptr_equal (mmap (NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, handle.fd, 0), MAP_FAILED);
    assert_int_equal (write (handle.fd, "x", 1), -1);
    /*  Opening it anew gives a descriptor for writing, but the seals hold. */
    snprintf (path, sizeof path, "/proc/self/fd/%d", handle.fd);
    int fd = open (path, O_RDWR | O_CLOEXEC);
    assert_true (fd >= 0);
    assert_ptr_equal (mmap (NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal (write (fd, "x", 1), -1);
    assert_int_equal (ftruncate (fd, 0), -1);
    close (fd);
    close (handle.fd);
}

static void memory_that_cannot_be_locked_is_refused_with_the_limit_to_raise (void **state)
{
    bed_t *bed = *state;
    yard_error_t error = { 0 };
#ifdef __SANITIZE_ADDRESS__
    skip (); /* its mlock does nothing and says yes */
#endif
    void *nothing = mmap (NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal (
        nothing, MAP_FAILED); /* the kernel cannot fault it in, which mlock tells as it tells a limit */
    assert_int_equal (loader_device_host.pin (bed->device, nothing, 4096, &error), YARD_OUT_OF_MEMORY);
    assert_non_null (strstr (error.text, "ulimit -l"));
    munmap (nothing, 4096);
}

static void the_host_shares_by_descriptor_only (void **state)
{
    bed_t *bed = *state;
    loader_device_t *device = NULL;
    loader_memory_t *memory = NULL;
    yard_error_t error = { 0 };
    assert_int_equal (loader_device_host.open ("host", LOADER_EXPORT_IPC, &device, &error), YARD_NOT_SERVED);
    assert_non_null (strstr (error.text, "loader.export"));
    loader_handle_t handle = { .form = LOADER_EXPORT_IPC, .fd = -1, .size = 10 };
    assert_int_equal (loader_device_host.import_memory (bed->device, &handle, &memory, NULL),
                      YARD_INVALID_MESSAGE);
    assert_null (memory);
}

static void a_name_that_is_no_device_is_refused_with_the_names_there_are (void **state)
{
    static const char *const names [] = { "",        "gpu",     "cuda",      "cuda:", "cuda:x",
                                          "cuda:-1", "cuda:1x", "cuda:1000", "hosts" };
    (void) state;
    for (size_t i = 0; i < sizeof names / sizeof names [0]; i++) {
        const loader_device_class_t *class = NULL;
        yard_error_t error = { 0 };
        assert_int_equal (loader_device_class (names [i], &class, &error), YARD_INVALID_CONFIG);
        assert_null (class);
        assert_non_null (strstr (error.text, "cuda:0"));
    }
}

/*  --- this program, elsewhere */
static int ask_for (const char *device)
{
    const loader_device_class_t *class = NULL;
    loader_device_t *opened = NULL;
    yard_error_t error = { 0 };
    if (loader_device_class (device, &class, &error) == 0 &&
        class->open (device, LOADER_EXPORT_AUTO, &opened, &error) == 0)
        class->close (&opened);
    printf ("%s %s\n", error.code ? yard_error_row (error.code)->word : "opened", error.text);
    return 0;
}

static void copy_file (const char *from, const char *to)
{
    int source = open (from, O_RDONLY | O_CLOEXEC),
        target = open (to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    struct stat about;
    assert_true (source >= 0 && target >= 0);
    assert_int_equal (fstat (source, &about), 0);
    for (off_t left = about.st_size; left > 0;) {
        ssize_t part = sendfile (target, source, NULL, (size_t) left);
        assert_true (part > 0);
        left -= part;
    }
    close (source);
    close (target);
}

static void hear (const char *program, const char *device, char *ret_answer)
{
    int pair [2], status;
    size_t size = 0;
    assert_int_equal (pipe2 (pair, O_CLOEXEC), 0);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        dup2 (pair [1], STDOUT_FILENO);
        execl (program, program, ASK, device, (char *) NULL);
        _exit (127);
    }
    close (pair [1]);
    for (ssize_t got; (got = read (pair [0], ret_answer + size, ANSWER_MAX - 1 - size)) > 0;)
        size += (size_t) got;
    ret_answer [size] = 0;
    close (pair [0]);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
}

/*  The answer of this program in an installation whose lib has this file as its plug-in (NULL: none). */
static void hear_in_installation (const char *plugin, char *ret_answer)
{
    char folder [] = "/tmp/device_XXXXXX", bin [64], program [96], lib [64], file [96];
    assert_non_null (mkdtemp (folder));
    snprintf (bin, sizeof bin, "%s/bin", folder);
    snprintf (lib, sizeof lib, "%s/lib", folder);
    snprintf (program, sizeof program, "%s/program", bin);
    snprintf (file, sizeof file, "%s/libmodelyard-cuda.so", lib);
    assert_int_equal (mkdir (bin, 0700) | mkdir (lib, 0700), 0);
    copy_file ("/proc/self/exe", program);
    if (plugin)
        copy_file (plugin, file);
    hear (program, "cuda:0", ret_answer);
    assert_int_equal (yard_durable_remove (folder, NULL), 0);
}

static void an_installation_without_the_plugin_says_what_to_install (void **state)
{
    char answer [ANSWER_MAX];
    (void) state;
    hear_in_installation (NULL, answer);
    assert_ptr_equal (strstr (answer, "not_served this installation has no plug-in for GPUs"), answer);
    assert_non_null (strstr (answer, "build and install it where CMake finds the CUDA toolkit"));
}

static void a_plugin_that_cannot_be_opened_is_refused_in_the_dynamic_loaders_words (void **state)
{
    char answer [ANSWER_MAX];
    (void) state;
    hear_in_installation ("/proc/self/environ", answer); /* empty: no size is known of it */
    assert_ptr_equal (strstr (answer, "not_served the plug-in for GPUs cannot be opened: "), answer);
    assert_non_null (strstr (answer, "file too short"));
}

static void a_plugin_of_another_version_is_refused (void **state)
{
    char answer [ANSWER_MAX];
    (void) state;
    hear_in_installation (OLD_PLUGIN, answer);
    assert_non_null (strstr (answer, "another version of the yard (its table: 999, needed: 1)"));
}

#ifdef HAS_PLUGIN
/*  The libraries are the real ones here. */
static void a_machine_without_a_driver_is_told_so (void **state)
{
    char answer [ANSWER_MAX];
    (void) state;
    if (access ("/proc/driver/nvidia/version", R_OK) == 0)
        skip ();
    hear ("/proc/self/exe", "cuda:0", answer);
    assert_ptr_equal (strstr (answer, "not_served no NVIDIA driver (libcuda.so.1) answers"), answer);
    hear ("/proc/self/exe", "GPU-00000000-0000-0000-0000-000000000000", answer);
    assert_ptr_equal (strstr (answer, "not_served no NVIDIA driver (libcuda.so.1) answers"), answer);
}
#endif

int main (int argc, char **argv)
{
    int status = loader_device_proof_peer (argc, argv);
    if (status >= 0)
        return status;
    if (argc == 3 && strcmp (argv [1], ASK) == 0)
        return ask_for (argv [2]);
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (the_host_passes_the_proofs_of_a_device),
        cmocka_unit_test_setup_teardown (what_the_host_exports_has_its_exact_size_and_nobody_writes_it,
                                         make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (memory_that_cannot_be_locked_is_refused_with_the_limit_to_raise,
                                         make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (the_host_shares_by_descriptor_only, make_bed, clear_bed),
        cmocka_unit_test (a_name_that_is_no_device_is_refused_with_the_names_there_are),
        cmocka_unit_test (an_installation_without_the_plugin_says_what_to_install),
        cmocka_unit_test (a_plugin_that_cannot_be_opened_is_refused_in_the_dynamic_loaders_words),
        cmocka_unit_test (a_plugin_of_another_version_is_refused),
#ifdef HAS_PLUGIN
        cmocka_unit_test (a_machine_without_a_driver_is_told_so),
#endif
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
