// SPDX-License-Identifier: Apache-2.0
/*  cuda_device_test.c - the CUDA plug-in on simulated devices: proofs, capacity, failures at every call
 *
 *  The simulation reads its settings once per process, so each case starts this program again (DO and a scenario's name) with the
 *  devices it wants, and looks at what it printed and at the simulation's log, which stays empty where no mistake was made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <sys/wait.h>
#include "actors/ground/durable.h"
#include "actors/loader/device_proof.h"
#include "tests/unit/cuda_device_scenarios.h"

#define DO "do"
#define TEXT_MAX 16384

/*  --- the cases, in a process without devices */
typedef struct {
    char folder [32];
    char said [TEXT_MAX]; /* by the last scenario */
    char log [TEXT_MAX]; /* of its simulation */
} bed_t;

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/cuda_XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

static void read_all (int fd, char *text)
{
    size_t size = 0;
    for (ssize_t got; (got = read (fd, text + size, TEXT_MAX - 1 - size)) > 0;)
        size += (size_t) got;
    text [size] = 0;
}

static void become (const bed_t *bed, const char *scenario, const char *const *settings, int output)
{
    char path [64];
    snprintf (path, sizeof path, "%s/state", bed->folder);
    setenv ("SIMCUDA_STATE", path, 1);
    snprintf (path, sizeof path, "%s/log", bed->folder);
    setenv ("SIMCUDA_LOG", path, 1);
    for (; settings && *settings; settings += 2)
        setenv (settings [0], settings [1], 1);
    dup2 (output, STDOUT_FILENO);
    execl ("/proc/self/exe", "cuda_device_test", DO, scenario, (char *) NULL);
    _exit (127);
}

/*  settings: names and values in turn, ended by NULL. */
static void play (bed_t *bed, const char *scenario, const char *const *settings)
{
    char path [64];
    int pair [2], status;
    snprintf (path, sizeof path, "%s/log", bed->folder);
    unlink (path);
    assert_int_equal (pipe2 (pair, O_CLOEXEC), 0);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0)
        become (bed, scenario, settings, pair [1]);
    close (pair [1]);
    read_all (pair [0], bed->said);
    close (pair [0]);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    if (status)
        print_error ("%s%s", bed->said, bed->log);
    assert_int_equal (status, 0);
    int log = open (path, O_RDONLY | O_CLOEXEC);
    bed->log [0] = 0;
    if (log >= 0) {
        read_all (log, bed->log);
        close (log);
    }
}

static void expect (const bed_t *bed, const char *line)
{
    if (!strstr (bed->said, line))
        print_error ("\"%s\" is not in:\n%s", line, bed->said);
    assert_non_null (strstr (bed->said, line));
}

static unsigned count_of (const char *text, const char *word)
{
    unsigned count = 0;
    while ((text = strstr (text, word))) {
        text += strlen (word);
        count++;
    }
    return count;
}

#define WITH(...) ((const char *const []){ __VA_ARGS__, NULL })

static void two_devices_pass_every_proof (void **state)
{
    bed_t *bed = *state;
    play (bed, "prove", WITH ("SIMCUDA_DEVICES", "2", "SIMCUDA_MEMORY", CAPACITY_TEXT));
    expect (bed, "prove: ok");
    assert_int_equal (count_of (bed->said, "passed: "), 8);
    assert_int_equal (count_of (bed->log, "nccl.peer_gone"), 1); /* the rank that a proof kills */
    assert_int_equal (count_of (bed->log, "\n"), 1);
}

static void devices_behind_a_slow_link_pass_them_too (void **state)
{
    bed_t *bed = *state;
    play (bed, "prove",
          WITH ("SIMCUDA_DEVICES", "2", "SIMCUDA_LINK_MB", "150", "SIMCUDA_SEED", "7", "SIMCUDA_MEMORY",
                CAPACITY_TEXT));
    expect (bed, "prove: ok");
    assert_int_equal (count_of (bed->said, "passed: "), 8);
    assert_int_equal (count_of (bed->log, "\n"), 1);
}

static void devices_with_legacy_sharing_pass_all_but_outliving (void **state)
{
    bed_t *bed = *state;
    play (bed, "prove_ipc", WITH ("SIMCUDA_DEVICES", "2", "SIMCUDA_MEMORY", CAPACITY_TEXT));
    expect (bed, "prove: ok");
    assert_int_equal (count_of (bed->said, "passed: "), 7);
    expect (bed, "skipped: exported memory outlives its owner");
    assert_int_equal (count_of (bed->log, "\n"), 1);
}

static void one_device_passes_all_but_groups (void **state)
{
    bed_t *bed = *state;
    play (bed, "prove", WITH ("SIMCUDA_DEVICES", "1", "SIMCUDA_MEMORY", CAPACITY_TEXT));
    expect (bed, "prove: ok");
    expect (bed, "skipped: a gather over two processes completes both (a group needs a second device");
    assert_int_equal (count_of (bed->said, "passed: "), 6);
    assert_string_equal (bed->log, "");
}

static void a_device_that_copies_wrongly_fails_its_proof (void **state)
{
    bed_t *bed = *state;
    play (bed, "prove", WITH ("SIMCUDA_FAULTS", "cudaMemcpyAsync:30=wrong", "SIMCUDA_MEMORY", CAPACITY_TEXT));
    expect (bed, "failed: ");
    expect (bed, "prove: integrity 1 of 8 proofs failed on cuda:0");
}

static void devices_are_counted_by_pci_address_and_open_by_number_and_uuid (void **state)
{
    bed_t *bed = *state;
    play (bed, "list", WITH ("SIMCUDA_DEVICES", "8", "SIMCUDA_MEMORY", CAPACITY_TEXT));
    expect (bed, "list: ok");
    assert_int_equal (count_of (bed->said, " after same vmm " CAPACITY_TEXT), 8);
    expect (bed, "cuda:77: not_served there is no device cuda:77: this machine shows 8, cuda:0 (GPU-");
    assert_string_equal (bed->log, "");
}

static void a_device_without_virtual_memory_shares_the_legacy_way (void **state)
{
    bed_t *bed = *state;
    play (bed, "list", WITH ("SIMCUDA_VMM", "0"));
    expect (bed, " after same ipc ");
    play (bed, "open_vmm", WITH ("SIMCUDA_VMM", "0"));
    expect (bed, "open: not_served ");
    expect (bed, "set loader.export to ipc");
    assert_string_equal (bed->log, "");
}

static void no_device_is_refused_as_the_real_library_refuses_it (void **state)
{
    bed_t *bed = *state;
    play (bed, "prove", WITH ("SIMCUDA_DEVICES", "0"));
    expect (bed, "prove: not_served no NVIDIA driver (libcuda.so.1) answers");
}

static void a_device_is_filled_to_the_last_granule_and_no_further (void **state)
{
    bed_t *bed = *state;
    play (bed, "full", WITH ("SIMCUDA_MEMORY", CAPACITY_TEXT));
    expect (bed, "fitted 32 free 0\n");
    expect (bed, "one more: out_of_memory");
    expect (bed, "one back free 2097152\n");
    expect (bed, "too large: out_of_memory");
    expect (bed, "again: ok");
    expect (bed, "all back free " CAPACITY_TEXT "\n");
    expect (bed, "no device is so large: out_of_memory");
    assert_string_equal (bed->log, "");
}

static void a_failure_at_any_call_leaves_nothing_behind (void **state)
{
    bed_t *bed = *state;
    static const char *const calls [] = {
        "cudaGetDeviceCount",
        "cudaGetDeviceProperties",
        "cudaDeviceGetAttribute",
        "cudaSetDevice",
        "cudaStreamCreateWithFlags",
        "cudaGetDriverEntryPointByVersion",
        "cuDeviceGetAttribute",
        "cuMemGetAllocationGranularity",
        "cudaMemGetInfo",
        "cuMemCreate",
        "cuMemAddressReserve",
        "cuMemMap",
        "cuMemSetAccess",
        "cudaHostRegister",
        "cudaEventCreateWithFlags",
        "cudaMemcpyAsync",
        "cudaEventRecord",
        "cudaEventQuery",
        "cudaEventSynchronize",
        "cuMemExportToShareableHandle",
        "cudaStreamSynchronize",
        "cudaMalloc",
        "cudaIpcGetMemHandle",
    };
    unsigned struck = 0;
    for (size_t i = 0; i < sizeof calls / sizeof calls [0]; i++) {
        bool ipc = strcmp (calls [i], "cudaMalloc") == 0 || strcmp (calls [i], "cudaIpcGetMemHandle") == 0;
        for (unsigned n = 1; n < 100; n++) { /* each call of the name, until there is no n-th one */
            char script [96];
            snprintf (script, sizeof script, "%s:%u=2", calls [i], n);
            play (bed, ipc ? "life_ipc" : "life", WITH ("SIMCUDA_FAULTS", script));
            unsigned faults = count_of (bed->log, "simcuda.fault");
            if (count_of (bed->log, "\n") != faults || count_of (bed->said, ": out_of_memory") > 1)
                print_error ("%s:\n%s%s", script, bed->said, bed->log);
            assert_int_equal (count_of (bed->log, "\n"), faults);
            assert_int_equal (count_of (bed->said, "drift "), count_of (bed->said, "drift 0\n"));
            if (!faults)
                break;
            assert_true (count_of (bed->said, ": out_of_memory") <= 1);
            struck += count_of (bed->said, ": out_of_memory");
        }
    }
    assert_true (struck > 50); /* one of each row, and eleven entry points twice, at the least */
}

static void a_lost_device_is_said_to_be_lost_for_ever_after (void **state)
{
    bed_t *bed = *state;
    play (bed, "lost", WITH ("SIMCUDA_FAULTS", "cudaMemcpyAsync:1=late719"));
    expect (bed, "life: device_lost ");
    assert_int_equal (count_of (bed->said, ": device_lost "), 10);
    assert_int_equal (count_of (bed->said, "lost while"), 9);
    assert_int_equal (count_of (bed->said, "cudaErrorLaunchFailure"), 10);
}

static void memory_pinned_in_steps_is_copied_over_their_seam (void **state)
{
    bed_t *bed = *state;
    play (bed, "seam", NULL);
    expect (bed, "seam: ok");
    expect (bed, "bytes equal");
    assert_string_equal (bed->log, "");
}

static void a_failure_of_the_group_is_told_and_leaves_nothing_behind (void **state)
{
    static const struct {
        const char *script, *word;
    } rows [] = {
        { "ncclGetUniqueId:1=2", "group: not_served drawing an id" },
        { "ncclCommInitRankConfig:1=1", "group: not_served joining" },
        { "ncclCommInitRankConfig:1=5", "group: not_served joining" },
        { "ncclCommGetAsyncError:1=3", "group: internal " },
        { "ncclAllGather:1=6", "group: gone starting a gather" },
        { "ncclBroadcast:1=1", "group: not_served starting a gather" },
        { "cudaEventCreateWithFlags:1=2", "group: out_of_memory making an event" },
        { "cudaEventRecord:1=2", "group: out_of_memory marking" },
    };
    bed_t *bed = *state;
    play (bed, "group", NULL);
    expect (bed, "group: ok");
    assert_string_equal (bed->log, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++) {
        play (bed, "group", WITH ("SIMCUDA_FAULTS", rows [i].script));
        expect (bed, rows [i].word);
        if (strstr (bed->said, "still: "))
            expect (bed, "still: gone this group of devices has failed before");
        if (count_of (bed->log, "\n") != 1)
            print_error ("%s:\n%s%s", rows [i].script, bed->said, bed->log);
        assert_int_equal (count_of (bed->log, "\n"), 1); /* the fault itself */
    }
}

static void a_group_that_never_comes_together_is_left_by_abort (void **state)
{
    bed_t *bed = *state;
    play (bed, "alone", WITH ("SIMCUDA_DEVICES", "2"));
    expect (bed, "asked 32\n");
    expect (bed, "one more: busy");
    expect (bed, "state: ok\ndone 0\nleft\n");
    assert_int_equal (count_of (bed->log, "simcuda."), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)

int main (int argc, char **argv)
{
    setenv ("LD_LIBRARY_PATH", SIMCUDA_FOLDER, 1); /* of the processes started from here */
    int status = loader_device_proof_peer (argc, argv);
    if (status >= 0)
        return status;
    if (argc == 3 && strcmp (argv [1], DO) == 0)
        return cuda_device_scenario (argv [2]);
    const struct CMUnitTest tests [] = {
        CASE (two_devices_pass_every_proof),
        CASE (devices_behind_a_slow_link_pass_them_too),
        CASE (devices_with_legacy_sharing_pass_all_but_outliving),
        CASE (one_device_passes_all_but_groups),
        CASE (a_device_that_copies_wrongly_fails_its_proof),
        CASE (devices_are_counted_by_pci_address_and_open_by_number_and_uuid),
        CASE (a_device_without_virtual_memory_shares_the_legacy_way),
        CASE (no_device_is_refused_as_the_real_library_refuses_it),
        CASE (a_device_is_filled_to_the_last_granule_and_no_further),
        CASE (a_failure_at_any_call_leaves_nothing_behind),
        CASE (a_lost_device_is_said_to_be_lost_for_ever_after),
        CASE (memory_pinned_in_steps_is_copied_over_their_seam),
        CASE (a_failure_of_the_group_is_told_and_leaves_nothing_behind),
        CASE (a_group_that_never_comes_together_is_left_by_abort),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
