// SPDX-License-Identifier: Apache-2.0
/*  holding_test.c - regions and the connection live as long as somebody looks, and no longer
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "proto/client/holding.h"

#define SIZE 10000 /* no whole number of pages */
#define THREADS 8
#define TURNS 10000

typedef struct {
    int file, ours, theirs; /* a pair of connected sockets */
    yard_holding_t *holding;
} bed_t;

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    int pair [2];
    char bytes [SIZE];
    assert_non_null (bed);
    memset (bytes, 'a', sizeof bytes);
    bed->file = memfd_create ("test", MFD_CLOEXEC);
    assert_true (bed->file >= 0);
    assert_int_equal (write (bed->file, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    bed->ours = pair [0];
    bed->theirs = pair [1];
    assert_int_equal (yard_holding_new (bed->ours, &bed->holding, NULL), 0);
    close (bed->ours); /* the holding has its own */
    *state = bed;
    return 0;
}

static int end_bed (void **state)
{
    bed_t *bed = *state;
    yard_holding_drop (&bed->holding);
    close (bed->file);
    close (bed->theirs);
    free (bed);
    return 0;
}

static bool connected (const bed_t *bed)
{
    char byte;
    return recv (bed->theirs, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool mapped (const void *data)
{
    return msync ((void *) (uintptr_t) data, 1, MS_ASYNC) == 0; /* ENOMEM for what is not mapped */
}

static void a_host_region_is_the_files_bytes (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (yard_holding_map (bed->holding, bed->file, SIZE, NULL), 0);
    assert_int_equal (yard_holding_count (bed->holding), 1);
    yard_holding_region_t region = yard_holding_region (bed->holding, 0);
    assert_int_equal (region.bytes, SIZE);
    assert_int_equal (region.device, YARD_HOLDING_HOST);
    assert_true (region.writable);
    assert_int_equal (((const char *) region.data) [SIZE - 1], 'a');
}

static void a_write_is_not_in_the_file (void **state)
{
    bed_t *bed = *state;
    char byte = 0;
    assert_int_equal (yard_holding_map (bed->holding, bed->file, SIZE, NULL), 0);
    ((char *) yard_holding_region (bed->holding, 0).data) [5] = 'b';
    assert_int_equal (pread (bed->file, &byte, 1, 5), 1);
    assert_int_equal (byte, 'a');
}

static void a_sealed_file_is_mapped_too (void **state)
{
    bed_t *bed = *state;
    int file = memfd_create ("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal (write (file, "seal", 4), 4);
    assert_int_equal (fcntl (file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), 0);
    assert_int_equal (yard_holding_map (bed->holding, file, 4, NULL), 0);
    ((char *) yard_holding_region (bed->holding, 0).data) [0] = 'S';
    close (file);
}

static void a_file_that_became_shorter_is_refused (void **state)
{
    bed_t *bed = *state;
    yard_error_t error = { 0 };
    assert_int_equal (yard_holding_map (bed->holding, bed->file, SIZE + 1, &error), YARD_INTEGRITY);
    assert_non_null (strstr (error.text, "shorter"));
    assert_int_equal (yard_holding_count (bed->holding), 0);
}

static void an_empty_region_has_no_address (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (yard_holding_map (bed->holding, bed->file, 0, NULL), 0);
    assert_null (yard_holding_region (bed->holding, 0).data);
}

static void a_connection_that_is_none_is_refused (void **state)
{
    (void) state;
    yard_holding_t *holding = NULL;
    assert_true (yard_holding_new (-1, &holding, NULL) < 0);
    assert_null (holding);
}

static void the_last_to_let_go_unmaps_and_ends_the_connection (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (yard_holding_map (bed->holding, bed->file, SIZE, NULL), 0);
    assert_int_equal (yard_holding_map (bed->holding, bed->file, SIZE, NULL), 0);
    const void *first = yard_holding_region (bed->holding, 0).data,
               *second = yard_holding_region (bed->holding, 1).data;
    yard_holding_t *other = yard_holding_take (bed->holding);
    yard_holding_drop (&bed->holding);
    assert_null (bed->holding);
    assert_true (connected (bed) && mapped (first) && mapped (second));
    yard_holding_drop (&other);
    assert_false (mapped (first));
    assert_false (mapped (second));
    char byte;
    assert_int_equal (recv (bed->theirs, &byte, 1, MSG_DONTWAIT), 0);
    yard_holding_drop (&other); /* NULL by now */
}

static void *take_and_drop (void *argument)
{
    for (int i = 0; i < TURNS; i++) {
        yard_holding_t *one = yard_holding_take (argument);
        yard_holding_drop (&one);
    }
    yard_holding_t *handed = argument;
    yard_holding_drop (&handed);
    return NULL;
}

static void threads_count_together (void **state)
{
    bed_t *bed = *state;
    pthread_t threads [THREADS];
    assert_int_equal (yard_holding_map (bed->holding, bed->file, SIZE, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal (
            pthread_create (&threads [i], NULL, take_and_drop, yard_holding_take (bed->holding)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join (threads [i], NULL);
    assert_true (connected (bed));
    yard_holding_drop (&bed->holding);
    assert_false (connected (bed));
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, end_bed)

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_host_region_is_the_files_bytes),
        CASE (a_write_is_not_in_the_file),
        CASE (a_sealed_file_is_mapped_too),
        CASE (a_file_that_became_shorter_is_refused),
        CASE (an_empty_region_has_no_address),
        CASE (a_connection_that_is_none_is_refused),
        CASE (the_last_to_let_go_unmaps_and_ends_the_connection),
        CASE (threads_count_together),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
