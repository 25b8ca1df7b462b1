// SPDX-License-Identifier: Apache-2.0
/*  dlpack_test.c - what a consumer of DLPack finds, and what its deleter lets go
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "proto/client/dlpack.h"

#define SIZE 5000

typedef struct {
    int theirs;
    yard_holding_t *holding;
} bed_t;

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    int pair [2], file = memfd_create ("test", MFD_CLOEXEC);
    assert_non_null (bed);
    assert_int_equal (ftruncate (file, SIZE), 0);
    assert_int_equal (pwrite (file, "x", 1, SIZE - 1), 1);
    assert_int_equal (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal (yard_holding_new (pair [0], &bed->holding, NULL), 0);
    assert_int_equal (yard_holding_map (bed->holding, file, SIZE, NULL), 0);
    assert_int_equal (yard_holding_map (bed->holding, file, 0, NULL), 0);
    close (file);
    close (pair [0]);
    bed->theirs = pair [1];
    *state = bed;
    return 0;
}

static int end_bed (void **state)
{
    bed_t *bed = *state;
    yard_holding_drop (&bed->holding);
    close (bed->theirs);
    free (bed);
    return 0;
}

static bool connected (const bed_t *bed)
{
    char byte;
    return recv (bed->theirs, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/*  Sizes and places as a C compiler lays the specification's structs out on 64 bits. */
static void the_layout_is_the_specifications (void **state)
{
    (void) state;
    assert_int_equal (sizeof (yard_dlpack_tensor_t), 48);
    assert_int_equal (offsetof (yard_dlpack_tensor_t, device), 8);
    assert_int_equal (offsetof (yard_dlpack_tensor_t, rank), 16);
    assert_int_equal (offsetof (yard_dlpack_tensor_t, element), 20);
    assert_int_equal (offsetof (yard_dlpack_tensor_t, shape), 24);
    assert_int_equal (offsetof (yard_dlpack_tensor_t, byte_offset), 40);
    assert_int_equal (sizeof (yard_dlpack_t), 64);
    assert_int_equal (offsetof (yard_dlpack_t, deleter), 56);
    assert_int_equal (sizeof (yard_dlpack_versioned_t), 80);
    assert_int_equal (offsetof (yard_dlpack_versioned_t, manager), 8);
    assert_int_equal (offsetof (yard_dlpack_versioned_t, flags), 24);
    assert_int_equal (offsetof (yard_dlpack_versioned_t, tensor), 32);
}

static void check_tensor (const yard_dlpack_tensor_t *tensor)
{
    assert_int_equal (tensor->device.type, YARD_DLPACK_CPU);
    assert_int_equal (tensor->device.number, 0);
    assert_int_equal (tensor->rank, 1);
    assert_int_equal (tensor->element.code, YARD_DLPACK_UINT);
    assert_int_equal (tensor->element.bits, 8);
    assert_int_equal (tensor->element.lanes, 1);
    assert_int_equal (tensor->shape [0], SIZE);
    assert_int_equal (tensor->strides [0], 1);
    assert_int_equal (tensor->byte_offset, 0);
    assert_int_equal (((const char *) tensor->data) [SIZE - 1], 'x');
}

static void a_tensor_is_all_of_its_region (void **state)
{
    bed_t *bed = *state;
    yard_dlpack_t *plain = yard_dlpack_new (bed->holding, 0);
    yard_dlpack_versioned_t *versioned = yard_dlpack_versioned_new (bed->holding, 0);
    check_tensor (&plain->tensor);
    check_tensor (&versioned->tensor);
    assert_int_equal (versioned->version.major, 1);
    assert_int_equal (versioned->flags, 0); /* a host's region may be written */
    plain->deleter (plain);
    versioned->deleter (versioned);
}

static void an_empty_region_is_an_empty_tensor (void **state)
{
    bed_t *bed = *state;
    yard_dlpack_t *plain = yard_dlpack_new (bed->holding, 1);
    assert_null (plain->tensor.data);
    assert_int_equal (plain->tensor.shape [0], 0);
    yard_dlpack_destroy (&plain);
}

static void *delete_there (void *argument)
{
    yard_dlpack_versioned_t *tensor = argument;
    tensor->deleter (tensor);
    return NULL;
}

static void a_tensor_outlives_its_maker_and_dies_on_any_thread (void **state)
{
    bed_t *bed = *state;
    pthread_t thread;
    yard_dlpack_versioned_t *tensor = yard_dlpack_versioned_new (bed->holding, 0);
    yard_holding_drop (&bed->holding);
    assert_true (connected (bed));
    check_tensor (&tensor->tensor);
    assert_int_equal (pthread_create (&thread, NULL, delete_there, tensor), 0);
    pthread_join (thread, NULL);
    assert_false (connected (bed));
}

static void a_tensor_that_nobody_took_is_destroyed (void **state)
{
    bed_t *bed = *state;
    yard_dlpack_t *plain = yard_dlpack_new (bed->holding, 0);
    yard_dlpack_versioned_t *versioned = yard_dlpack_versioned_new (bed->holding, 0);
    yard_holding_drop (&bed->holding);
    yard_dlpack_destroy (&plain);
    assert_null (plain);
    assert_true (connected (bed));
    yard_dlpack_versioned_destroy (&versioned);
    assert_null (versioned);
    assert_false (connected (bed));
    yard_dlpack_destroy (&plain);
    yard_dlpack_versioned_destroy (&versioned);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, end_bed)

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (the_layout_is_the_specifications),
        CASE (a_tensor_is_all_of_its_region),
        CASE (an_empty_region_is_an_empty_tensor),
        CASE (a_tensor_outlives_its_maker_and_dies_on_any_thread),
        CASE (a_tensor_that_nobody_took_is_destroyed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
