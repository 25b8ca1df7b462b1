// SPDX-License-Identifier: Apache-2.0
/*  memory_limits_test.c - actors/loader/memory_limits.c on files of our own, and on the kernel's
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"
#include "actors/loader/memory_limits.h"

#define KEY "loader.test_bytes"
#define MIB ((uint64_t) 1024 * 1024)

typedef struct {
    char folder [64];
    char meminfo [128], groups [128];
    loader_memory_files_t files;
} bed_t;

static void write_file (const bed_t *bed, const char *name, const char *text)
{
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    assert_true (fputs (text, file) >= 0);
    assert_int_equal (fclose (file), 0);
}

static void make_folder (const bed_t *bed, const char *name)
{
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    assert_int_equal (mkdir (path, 0700), 0);
}

/*  A machine of 1,000 MiB; this process is in the group /yard/loader, without limits. */
static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/limits_XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    snprintf (bed->meminfo, sizeof bed->meminfo, "%s/meminfo", bed->folder);
    snprintf (bed->groups, sizeof bed->groups, "%s/cgroup", bed->folder);
    bed->files = (loader_memory_files_t){ bed->meminfo, bed->groups, bed->folder };
    make_folder (bed, "yard");
    make_folder (bed, "yard/loader");
    write_file (bed, "meminfo", "MemTotal:        1024000 kB\nMemFree:              12 kB\n");
    write_file (bed, "cgroup", "4:memory:/other\n0::/yard/loader\n");
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

static uint64_t budget (const bed_t *bed)
{
    uint64_t bytes = 0;
    assert_int_equal (loader_memory_host_budget (&bed->files, KEY, &bytes, NULL), 0);
    return bytes;
}

static void half_of_the_machine_is_ours_without_a_group (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (budget (bed), 500 * MIB);
    write_file (bed, "yard/loader/memory.max", "max\n");
    assert_int_equal (budget (bed), 500 * MIB);
    bed->files.groups = "/nowhere";
    assert_int_equal (budget (bed), 500 * MIB);
}

static void half_of_the_groups_memory_is_ours_if_that_is_less (void **state)
{
    bed_t *bed = *state;
    write_file (bed, "yard/loader/memory.max", "419430400\n");
    assert_int_equal (budget (bed), 200 * MIB);
    write_file (bed, "yard/loader/memory.max", "4194304000\n");
    assert_int_equal (budget (bed), 500 * MIB);
}

static void a_group_above_ours_limits_us_too (void **state)
{
    bed_t *bed = *state;
    write_file (bed, "yard/loader/memory.max", "419430400\n");
    write_file (bed, "yard/memory.max", "209715200\n");
    assert_int_equal (budget (bed), 100 * MIB);
    write_file (bed, "memory.max", "104857600\n");
    assert_int_equal (budget (bed), 50 * MIB);
    write_file (bed, "cgroup", "0::/\n"); /* as inside a container */
    assert_int_equal (budget (bed), 50 * MIB);
}

static void a_group_outside_of_our_namespace_leaves_the_roots_limit (void **state)
{
    bed_t *bed = *state;
    write_file (bed, "memory.max", "104857600\n");
    write_file (bed, "yard/memory.max", "1024\n");
    write_file (bed, "cgroup", "0::/loader/../yard\n");
    assert_int_equal (budget (bed), 50 * MIB);
    write_file (bed, "cgroup", "0::/..\n");
    assert_int_equal (budget (bed), 50 * MIB);
}

static void limits_that_are_no_numbers_are_no_limits (void **state)
{
    bed_t *bed = *state;
    static const char *const wrong [] = { "",   "\n", "-1\n", "12x\n", " 12\n", "99999999999999999999999\n",
                                          "max" };
    for (size_t at = 0; at < sizeof wrong / sizeof wrong [0]; at++) {
        write_file (bed, "yard/loader/memory.max", wrong [at]);
        assert_int_equal (budget (bed), 500 * MIB);
    }
}

static void a_group_with_a_long_or_a_missing_line_is_no_limit (void **state)
{
    bed_t *bed = *state;
    char text [2 * PATH_MAX];
    memset (text, 'x', sizeof text);
    memcpy (text, "0::/", 4);
    text [sizeof text - 1] = 0;
    write_file (bed, "cgroup", text);
    assert_int_equal (budget (bed), 500 * MIB);
    text [PATH_MAX - 8] = 0; /* a group, but its file's path is too long */
    write_file (bed, "cgroup", text);
    assert_int_equal (budget (bed), 500 * MIB);
    write_file (bed, "cgroup", "");
    assert_int_equal (budget (bed), 500 * MIB);
    write_file (bed, "cgroup", "10::/yard\n1:name=0::/yard:/x\n");
    assert_int_equal (budget (bed), 500 * MIB);
}

static void a_machine_that_does_not_tell_its_memory_is_refused_with_the_key_to_set (void **state)
{
    bed_t *bed = *state;
    static const char *const wrong [] = {
        "",
        "MemFree: 12 kB\n",
        "MemTotal:\n12 kB\n",
        "MemTotal: 12 MB\n",
        "MemTotal: 12",
        "MemTotal: 0 kB\n",
        "MemTotal: -4 kB\n",
        "xMemTotal: 4 kB\n",
        "MemTotal: 18446744073709551615 kB\n",
        "MemTotal: 99999999999999999999 kB\n",
    };
    for (size_t at = 0; at < sizeof wrong / sizeof wrong [0]; at++) {
        uint64_t bytes = 7;
        yard_error_t error = { .code = 0 };
        write_file (bed, "meminfo", wrong [at]);
        assert_int_equal (loader_memory_host_budget (&bed->files, KEY, &bytes, &error), YARD_INVALID_FILE);
        assert_non_null (strstr (error.text, KEY));
        assert_int_equal (bytes, 7);
    }
    yard_error_t error = { .code = 0 };
    bed->files.meminfo = "/nowhere";
    assert_int_equal (loader_memory_host_budget (&bed->files, KEY, &(uint64_t){ 0 }, &error), YARD_NOT_FOUND);
    assert_non_null (strstr (error.text, KEY));
}

static void the_kernels_files_are_understood (void **state)
{
    (void) state;
    uint64_t bytes = 0;
    assert_int_equal (loader_memory_host_budget (&loader_memory_files, KEY, &bytes, NULL), 0);
    assert_true (bytes > 0);
    assert_true (bytes <= (uint64_t) sysconf (_SC_PHYS_PAGES) * (uint64_t) sysconf (_SC_PAGESIZE) / 2);
}

static void a_device_is_ours_but_for_its_head_room (void **state)
{
    (void) state;
    assert_int_equal (loader_memory_device_budget (1000, 300), 700);
    assert_int_equal (loader_memory_device_budget (300, 300), 0);
    assert_int_equal (loader_memory_device_budget (100, 300), 0);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        CASE (half_of_the_machine_is_ours_without_a_group),
        CASE (half_of_the_groups_memory_is_ours_if_that_is_less),
        CASE (a_group_above_ours_limits_us_too),
        CASE (a_group_outside_of_our_namespace_leaves_the_roots_limit),
        CASE (limits_that_are_no_numbers_are_no_limits),
        CASE (a_group_with_a_long_or_a_missing_line_is_no_limit),
        CASE (a_machine_that_does_not_tell_its_memory_is_refused_with_the_key_to_set),
        CASE (the_kernels_files_are_understood),
        CASE (a_device_is_ours_but_for_its_head_room),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
