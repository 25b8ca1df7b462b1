// SPDX-License-Identifier: Apache-2.0
/*  read_test.c - every byte of a read arrives once, at its place and nowhere else, in every way there is to read
 */
#include "read_fixture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FILE_BYTES_MAX 700000 /* some ten chunks */
#define PLANS 4 /* each in four ways, with two sizes of chunks, to three destinations */
#define UNTOUCHED 0xa5

/*  alike: what is a gap in the file is one in memory, so that their pages lie on each other, as in a copy of the file. */
static void plan_at_random (bed_t *bed)
{
    yard_random_t *random = &bed->random;
    uint64_t to = 0;
    bool alike = yard_random_below (random, 2);
    bed->run_count = 0;
    for (unsigned i = 0; i < FILES; i++) {
        make_file (bed, i, yard_random_below (random, 8) ? yard_random_below (random, FILE_BYTES_MAX) : 0);
        if (yard_random_below (random, 3))
            make_checksums (bed, i, 1 + (4095u << yard_random_below (random, 7)));
        uint64_t large = yard_random_below (random, 2) ? 300000 : 3000;
        to = alike ? (to + 4095) / 4096 * 4096 : to;
        for (uint64_t at = 0; at < bed->sources [i].bytes && bed->run_count < RUNS_MAX;) {
            uint64_t rest = bed->sources [i].bytes - at, bytes = yard_random_below (random, large);
            uint64_t gap = yard_random_below (random, 3) ? 0 : yard_random_below (random, 9000);
            bytes = bytes < rest ? bytes : rest;
            bed->runs [bed->run_count++] =
                (loader_run_t){ .source = i, .offset = at, .bytes = bytes, .to = to };
            at += bytes + gap;
            to += bytes + (alike ? gap : yard_random_below (random, 2) * yard_random_below (random, 600));
        }
    }
    assert_true (to <= IMAGE_BYTES);
}

/*  What must come, and how many bytes of it have a checksum, by looking at every block. */
static uint64_t expect (bed_t *bed)
{
    uint64_t checked = 0;
    memset (bed->expected, UNTOUCHED, IMAGE_BYTES);
    for (unsigned i = 0; i < FILES; i++) {
        const loader_source_t *source = &bed->sources [i];
        unsigned char *wanted = calloc (1, source->bytes + 1);
        assert_non_null (wanted);
        for (size_t at = 0; at < bed->run_count; at++) {
            const loader_run_t *run = &bed->runs [at];
            if (run->source != i)
                continue;
            assert_int_equal (pread (source->fd, bed->expected + run->to, run->bytes, (off_t) run->offset),
                              run->bytes);
            memset (wanted + run->offset, 1, run->bytes);
        }
        for (uint64_t at = 0; source->crc32c && at < source->bytes; at += source->crc_bytes) {
            uint64_t rest = source->bytes - at, size = rest < source->crc_bytes ? rest : source->crc_bytes;
            checked += memchr (wanted + at, 0, size) ? 0 : size;
        }
        free (wanted);
    }
    return checked;
}

/*  Out of the page cache, and a part of it in again. */
static void mix_cache (bed_t *bed)
{
    char byte;
    for (unsigned i = 0; i < FILES; i++) {
        posix_fadvise (bed->sources [i].fd, 0, 0, POSIX_FADV_DONTNEED);
        for (uint64_t n = yard_random_below (&bed->random, 3); n > 0 && bed->sources [i].bytes > 0; n--)
            (void) !pread (bed->sources [i].fd, &byte, 1,
                           (off_t) yard_random_below (&bed->random, bed->sources [i].bytes));
    }
}

static bool direct_is_to_be_had (const bed_t *bed)
{
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/0", bed->folder);
    int fd = open (path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd >= 0)
        close (fd);
    return fd >= 0;
}

enum {
    THROUGH_RING,
    INTO_MEMORY,
    INTO_DESCRIPTOR,
    DESTINATIONS
};

static void run_to (bed_t *bed, unsigned destination)
{
    catcher_t catcher;
    catcher_init (&catcher);
    unsigned char *image =
        bed->image + yard_random_below (&bed->random, 2) * yard_random_below (&bed->random, CHUNK);
    loader_read_wish_t wish = wish_of (bed);
    int fd = -1;
    memset (image, UNTOUCHED, IMAGE_BYTES);
    if (destination == THROUGH_RING) {
        catcher.image = image;
    } else if (destination == INTO_MEMORY) {
        wish.memory = (char *) image;
    } else {
        fd = memfd_create ("read", MFD_CLOEXEC);
        assert_true (fd > 0);
        assert_int_equal (pwrite (fd, image, IMAGE_BYTES, 0), IMAGE_BYTES);
        for (size_t at = 0; at < FILES; at++)
            bed->sources [at].memory_fd = fd;
    }
    if (destination != THROUGH_RING)
        wish.filled = NULL;
    start (bed, wish, &catcher);
    await (&catcher, 0, 1);
    if (catcher.error.code)
        print_error ("%s\n", catcher.error.text);
    assert_int_equal (catcher.error.code, 0);
    assert_true (catcher.held_max <= SLOTS);
    if (fd >= 0) {
        assert_int_equal (pread (fd, image, IMAGE_BYTES, 0), IMAGE_BYTES);
        close (fd);
        for (size_t at = 0; at < FILES; at++)
            bed->sources [at].memory_fd = 0;
    }
    assert_memory_equal (image, bed->expected, IMAGE_BYTES);
}

static void every_byte_of_random_plans_arrives_in_every_way (void **state)
{
    bed_t *bed = *state;
    for (unsigned round = 0; round < 8; round++) {
        unsigned way = round % 4;
        uint64_t bytes = 0, checked = 0;
        bed->chunk_bytes = round < 4 ? CHUNK : 4 * CHUNK; /* small ones are never split for their alignment */
        open_reader (bed, way, SLOTS);
        for (unsigned plan = 0; plan < PLANS; plan++) {
            plan_at_random (bed);
            uint64_t checks = expect (bed);
            for (unsigned destination = 0; destination < DESTINATIONS; destination++) {
                mix_cache (bed);
                run_to (bed, destination);
                checked += checks;
                for (size_t i = 0; i < bed->run_count; i++)
                    bytes += bed->runs [i].bytes;
            }
        }
        loader_reader_counts_t counts;
        loader_reader_counts (bed->reader, &counts);
        assert_int_equal (counts.bytes_cached + counts.bytes_direct + counts.bytes_buffered, bytes);
        assert_int_equal (counts.bytes_checked, checked);
        if (way & 2)
            assert_int_equal (counts.bytes_buffered, bytes);
        else if (direct_is_to_be_had (bed))
            assert_int_equal (counts.bytes_buffered, 0); /* no read was refused for its alignment */
        assert_true (!(way & 1) || !counts.uring);
    }
}

static void two_thousand_small_runs_arrive (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, SLOTS);
    for (size_t i = 0; i < RUNS_MAX; i++)
        bed->runs [i] = (loader_run_t){ .offset = i * 150, .bytes = 150, .to = i * 256 };
    bed->run_count = RUNS_MAX;
    make_checksums (bed, 0, 4096); /* all but the last are read wholly, in pieces */
    uint64_t checked = expect (bed);
    assert_int_equal (checked, RUNS_MAX * 150 / 4096 * 4096);
    for (unsigned destination = 0; destination < DESTINATIONS; destination++)
        run_to (bed, destination);
    loader_reader_counts_t counts;
    loader_reader_counts (bed->reader, &counts);
    assert_int_equal (counts.bytes_checked, DESTINATIONS * checked);
}

static void runs_that_meet_are_one_chunk (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, SLOTS);
    for (size_t i = 0; i < 100; i++)
        bed->runs [i] = (loader_run_t){ .offset = i * 100, .bytes = 100, .to = 7 + i * 100 };
    bed->run_count = 100;
    catcher_t catcher;
    catcher_init (&catcher);
    assert_int_equal (read_code (bed, &catcher), 0);
    assert_int_equal (catcher.filled_count, 1);
}

static void chunks_end_where_the_checksums_do (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, 1);
    make_checksums (bed, 0, CHUNK);
    bed->runs [0] = (loader_run_t){ .offset = 100, .bytes = 2 * CHUNK + 1 };
    bed->run_count = 1;
    catcher_t catcher;
    catcher_init (&catcher);
    assert_int_equal (read_code (bed, &catcher), 0);
    const size_t sizes [] = { CHUNK - 100, CHUNK, 101 };
    assert_int_equal (catcher.filled_count, 3);
    assert_memory_equal (catcher.sizes, sizes, sizeof sizes);
}

static void nothing_wished_is_done_at_once (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, SLOTS);
    make_file (bed, 0, 0);
    const loader_run_t empty [] = { { 0 }, { .to = 9 } };
    for (size_t i = 0; i <= 2; i++) {
        memcpy (bed->runs, empty, sizeof empty);
        bed->run_count = i;
        catcher_t catcher;
        catcher_init (&catcher);
        loader_read_wish_t wish = wish_of (bed);
        wish.source_count = i > 0;
        start (bed, wish, &catcher);
        await (&catcher, 0, 1);
        assert_int_equal (catcher.error.code, 0);
        assert_int_equal (catcher.filled_count, 0);
    }
}

static void a_reader_of_impossible_sizes_is_refused (void **state)
{
    (void) state;
    const loader_reader_options_t rows [] = {
        { .chunk_bytes = 4095 },
        { .chunk_bytes = 6000 },
        { .chunk_bytes = (size_t) 1 << 30 },
        { .chunk_bytes = 8192, .in_flight_bytes = 8191 },
        { .chunk_bytes = 4096, .in_flight_bytes = (size_t) 1 << 30 },
        { .threads = 1000 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        loader_reader_t *reader = NULL;
        yard_error_t error;
        assert_int_equal (loader_reader_new (&rows [i], &reader, &error), YARD_INVALID_CONFIG);
        assert_null (reader);
    }
    loader_reader_t *none = NULL;
    loader_reader_destroy (&none);
}

static void runs_that_cannot_be_are_refused (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, SLOTS);
    const struct {
        loader_run_t runs [2];
        int code;
    } rows [] = {
        { { { .bytes = 5 * CHUNK + 1 } }, YARD_INVALID_FILE },
        { { { .offset = 5 * CHUNK + 1 } }, YARD_INVALID_FILE },
        { { { .offset = 1, .bytes = UINT64_MAX } }, YARD_INVALID_FILE },
        { { { .source = FILES } }, YARD_INTERNAL },
        { { { .bytes = 2, .to = UINT64_MAX - 1 } }, YARD_INTERNAL },
        { { { .bytes = 10 }, { .offset = 9, .bytes = 1, .to = 10 } }, YARD_INTERNAL },
        { { { .source = 1 }, { .source = 0 } }, YARD_INTERNAL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        yard_error_t error;
        loader_read_t *read = NULL;
        loader_read_wish_t wish = wish_of (bed);
        wish.runs = rows [i].runs;
        wish.run_count = 2;
        assert_int_equal (loader_read_start (bed->reader, &wish, &read, &error), rows [i].code);
        assert_null (read);
    }
    yard_error_t error;
    loader_read_t *read = NULL;
    loader_read_wish_t wish = wish_of (bed);
    make_checksums (bed, 0, CHUNK);
    bed->sources [0].crc_count--;
    assert_int_equal (loader_read_start (bed->reader, &wish, &read, &error), YARD_INTEGRITY);
}

static void without_io_uring_and_cachestat_it_reads_all_the_same (void **state)
{
    bed_t *bed = *state;
    struct sock_filter filter [] = {
        BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 1, 0),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, 451, 0, 1), /* cachestat(2) of Linux 6.5 */
        BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
            _exit (2);
        open_reader (bed, 0, SLOTS);
        for (unsigned destination = 0; destination < DESTINATIONS; destination++) {
            plan_at_random (bed);
            expect (bed);
            run_to (bed, destination); /* out of the cache, where the files still are */
            mix_cache (bed);
            run_to (bed, destination);
        }
        loader_reader_counts_t counts;
        loader_reader_counts (bed->reader, &counts);
        loader_reader_destroy (&bed->reader);
        _exit (counts.uring || counts.bytes_cached == 0 ? 3 : 0);
    }
    int status = -1;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (without_io_uring_and_cachestat_it_reads_all_the_same, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (every_byte_of_random_plans_arrives_in_every_way, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (two_thousand_small_runs_arrive, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (runs_that_meet_are_one_chunk, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (chunks_end_where_the_checksums_do, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (nothing_wished_is_done_at_once, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (runs_that_cannot_be_are_refused, make_bed, clear_bed),
        cmocka_unit_test (a_reader_of_impossible_sizes_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
