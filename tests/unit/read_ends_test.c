// SPDX-License-Identifier: Apache-2.0
/*  read_ends_test.c - who is read first, what a kept slot holds up, and how a read ends that does not end well
 */
#include "read_fixture.h"

#define ALL (5 * CHUNK) /* of the first file */

static void wish_all (bed_t *bed)
{
    bed->runs [0] = (loader_run_t){ .bytes = ALL };
    bed->run_count = 1;
}

static void no_more_is_in_flight_than_allowed (void **state)
{
    bed_t *bed = *state;
    for (unsigned way = 0; way < 4; way++) {
        open_reader (bed, way, 3);
        wish_all (bed);
        catcher_t catcher;
        catcher_init (&catcher);
        catcher.keep = true;
        start (bed, wish_of (bed), &catcher);
        await (&catcher, 3, 0);
        assert_int_equal (loader_read_bytes (catcher.read), 3 * CHUNK);
        let_go (&catcher);
        await (&catcher, 0, 1);
        assert_int_equal (catcher.error.code, 0);
        assert_int_equal (catcher.filled_count, 5);
        assert_int_equal (catcher.held_max, 3);
    }
}

static void done_waits_for_the_last_slot (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, SLOTS);
    wish_all (bed);
    catcher_t catcher, other;
    catcher_init (&catcher);
    catcher_init (&other);
    catcher.keep = true;
    start (bed, wish_of (bed), &catcher);
    await (&catcher, 5, 0);
    for (unsigned i = 0; i < 20; i++) { /* others come and go */
        assert_int_equal (read_code (bed, &other), 0);
        catcher_init (&other);
    }
    assert_int_equal (catcher.done_count, 0);
    let_go (&catcher);
    await (&catcher, 5, 1);
    assert_int_equal (catcher.error.code, 0);
}

static void the_most_urgent_read_gets_the_next_chunk (void **state)
{
    bed_t *bed = *state;
    const struct {
        char letter;
        int priority;
        int64_t deadline_ms;
    } rows [] = {
        { 'd', 0, INT64_MAX }, { 'b', 5, INT64_MAX }, { 'a', 5, 100 }, { 'c', 5, INT64_MAX }, { 'e', -1, 1 }
    };
    enum {
        ROWS = sizeof rows / sizeof *rows
    };
    bed->threads = 1; /* it looks at the files of all reads before it begins a chunk */
    for (unsigned way = 0; way < 2; way++) {
        char text [64] = "", *line = text;
        catcher_t first, others [ROWS];
        open_reader (bed, way, 1);
        wish_all (bed);
        catcher_init (&first);
        first.keep = true;
        first.line = &line;
        first.letter = '0';
        start (bed, wish_of (bed), &first);
        await (&first, 1, 0);
        for (size_t i = 0; i < ROWS; i++) {
            loader_read_wish_t wish = wish_of (bed);
            wish.priority = rows [i].priority;
            wish.deadline_ms = rows [i].deadline_ms;
            catcher_init (&others [i]);
            others [i].line = &line;
            others [i].letter = rows [i].letter;
            start (bed, wish, &others [i]);
        }
        /* All of them are known to the thread when an empty read that came later is done. */
        catcher_t empty;
        loader_read_wish_t nothing = wish_of (bed);
        nothing.run_count = 0;
        nothing.priority = -9;
        catcher_init (&empty);
        start (bed, nothing, &empty);
        await (&empty, 0, 1);
        let_go (&first);
        await (&first, 0, 1);
        for (size_t i = 0; i < ROWS; i++)
            await (&others [i], 0, 1);
        assert_string_equal (text, "0aaaaabbbbbccccc0000dddddeeeee");
    }
}

/*  --- cancelling */

static void a_cancelled_read_begins_no_more_chunks (void **state)
{
    bed_t *bed = *state;
    for (unsigned way = 0; way < 4; way++) {
        open_reader (bed, way, 2);
        wish_all (bed);
        catcher_t catcher;
        catcher_init (&catcher);
        catcher.keep = true;
        start (bed, wish_of (bed), &catcher);
        await (&catcher, 2, 0);
        loader_read_cancel (catcher.read);
        assert_int_equal (catcher.done_count, 0); /* its slots are out */
        let_go (&catcher);
        await (&catcher, 0, 1);
        assert_int_equal (catcher.error.code, YARD_CANCELLED);
        assert_int_equal (catcher.filled_count, 2);
        loader_reader_counts_t counts;
        loader_reader_counts (bed->reader, &counts);
        assert_int_equal (counts.bytes_cached + counts.bytes_direct + counts.bytes_buffered, 2 * CHUNK);
    }
}

static void a_read_that_waits_for_a_slot_is_cancelled_without_one (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, 1);
    wish_all (bed);
    catcher_t holder, waiting;
    catcher_init (&holder);
    catcher_init (&waiting);
    holder.keep = true;
    start (bed, wish_of (bed), &holder);
    await (&holder, 1, 0);
    start (bed, wish_of (bed), &waiting);
    loader_read_cancel (waiting.read);
    await (&waiting, 0, 1);
    assert_int_equal (waiting.error.code, YARD_CANCELLED);
    assert_int_equal (waiting.filled_count, 0);
    let_go (&holder);
    await (&holder, 0, 1);
    assert_int_equal (holder.error.code, 0);
}

static void a_reader_that_goes_cancels_what_is_left (void **state)
{
    bed_t *bed = *state;
    catcher_t catchers [20];
    char *memory = malloc (ALL);
    assert_non_null (memory);
    open_reader (bed, 0, 1);
    wish_all (bed);
    loader_read_wish_t wish = wish_of (bed);
    wish.memory = memory;
    wish.filled = NULL;
    for (size_t i = 0; i < 20; i++) {
        catcher_init (&catchers [i]);
        start (bed, wish, &catchers [i]);
    }
    loader_reader_destroy (&bed->reader);
    assert_null (bed->reader);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal (catchers [i].done_count, 1);
        assert_true (catchers [i].error.code == 0 || catchers [i].error.code == YARD_CANCELLED);
    }
    free (memory);
}

/*  --- files that are not what they were */

static void truncate_it (catcher_t *self)
{
    const loader_source_t *source = self->argument;
    if (ftruncate (source->fd, 2 * CHUNK + 100))
        abort ();
}

static void write_to_it (catcher_t *self)
{
    const loader_source_t *source = self->argument;
    if (pwrite (source->fd, "x", 1, 3 * CHUNK) != 1)
        abort ();
}

static void append_to_it (catcher_t *self)
{
    const loader_source_t *source = self->argument;
    if (pwrite (source->fd, "x", 1, ALL) != 1)
        abort ();
}

static void a_file_that_changes_while_it_is_read_ends_the_read (void **state)
{
    bed_t *bed = *state;
    const struct {
        void (*change) (catcher_t *self);
        const char *words;
    } rows [] = {
        { truncate_it, "a.safetensors ended at 131172 " },
        { write_to_it, "a.safetensors was written while it was read" },
        { append_to_it, "had 327680 bytes and has 327681" },
    };
    for (unsigned way = 0; way < 4; way++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            make_file (bed, 0, ALL);
            open_reader (bed, way, 1);
            wish_all (bed);
            catcher_t catcher;
            catcher_init (&catcher);
            catcher.at_first = rows [i].change;
            catcher.argument = &bed->sources [0];
            assert_int_equal (read_code (bed, &catcher), YARD_INVALID_FILE);
            if (!strstr (catcher.error.text, rows [i].words))
                fail_msg ("%s", catcher.error.text);
        }
}

static void a_file_shorter_than_it_was_ends_the_read (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, SLOTS);
    wish_all (bed);
    assert_int_equal (ftruncate (bed->sources [0].fd, 1), 0);
    catcher_t catcher;
    catcher_init (&catcher);
    assert_int_equal (read_code (bed, &catcher), YARD_INVALID_FILE);
}

static void a_wrong_checksum_ends_the_read (void **state)
{
    bed_t *bed = *state;
    static const uint64_t sizes [] = { 4096, CHUNK, 100000, ALL };
    for (unsigned way = 0; way < 4; way++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char words [64];
            make_checksums (bed, 0, sizes [i]);
            size_t last = bed->sources [0].crc_count - 1;
            bed->crc [0][last] ^= 1;
            open_reader (bed, way, SLOTS);
            wish_all (bed);
            catcher_t catcher;
            catcher_init (&catcher);
            assert_int_equal (read_code (bed, &catcher), YARD_INTEGRITY);
            snprintf (words, sizeof words, "a.safetensors is damaged in its %llu bytes at %llu:",
                      (unsigned long long) (ALL - last * sizes [i]), (unsigned long long) (last * sizes [i]));
            if (strncmp (catcher.error.text, words, strlen (words)) != 0)
                fail_msg ("%s", catcher.error.text);
        }
}

static void a_disk_that_fails_ends_the_read (void **state)
{
    bed_t *bed = *state;
    /* What no process has mapped cannot be read from its memory: EIO (proc_pid_mem(5)), as from a disk. */
    const struct {
        const char *path;
        int flags, code;
    } rows [] = {
        { "/proc/self/mem", O_RDONLY, YARD_DISK_FAILED },
        { "/tmp", O_RDONLY | O_DIRECTORY, YARD_INVALID_FILE },
    };
    for (unsigned way = 0; way < 4; way++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            int fd = open (rows [i].path, rows [i].flags | O_CLOEXEC);
            assert_true (fd >= 0);
            loader_source_t source = { .fd = fd, .bytes = ALL, .name = rows [i].path };
            open_reader (bed, way, SLOTS);
            wish_all (bed);
            loader_read_wish_t wish = wish_of (bed);
            wish.sources = &source;
            wish.source_count = 1;
            catcher_t catcher;
            catcher_init (&catcher);
            start (bed, wish, &catcher);
            await (&catcher, 0, 1);
            assert_int_equal (catcher.error.code, rows [i].code);
            assert_int_equal (catcher.filled_count, 0);
            close (fd);
        }
}

static void memory_that_cannot_be_written_ends_the_read (void **state)
{
    bed_t *bed = *state;
    open_reader (bed, 0, SLOTS);
    wish_all (bed);
    int fd = memfd_create ("read", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true (fd > 0);
    assert_int_equal (fcntl (fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    loader_read_wish_t wish = wish_of (bed);
    for (size_t at = 0; at < FILES; at++)
        bed->sources [at].memory_fd = fd;
    wish.filled = NULL;
    catcher_t catcher;
    catcher_init (&catcher);
    start (bed, wish, &catcher);
    await (&catcher, 0, 1);
    assert_int_equal (catcher.error.code, YARD_FORBIDDEN);
    close (fd);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        CASE (no_more_is_in_flight_than_allowed),
        CASE (done_waits_for_the_last_slot),
        CASE (the_most_urgent_read_gets_the_next_chunk),
        CASE (a_cancelled_read_begins_no_more_chunks),
        CASE (a_read_that_waits_for_a_slot_is_cancelled_without_one),
        CASE (a_reader_that_goes_cancels_what_is_left),
        CASE (a_file_that_changes_while_it_is_read_ends_the_read),
        CASE (a_file_shorter_than_it_was_ends_the_read),
        CASE (a_wrong_checksum_ends_the_read),
        CASE (a_disk_that_fails_ends_the_read),
        CASE (memory_that_cannot_be_written_ends_the_read),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
