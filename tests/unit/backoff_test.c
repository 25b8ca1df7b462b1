// SPDX-License-Identifier: Apache-2.0
/*  backoff_test.c - waits that grow, are capped, and differ
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/downloader/backoff.h"

static void a_wait_is_within_its_doubling_bound (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 1);
    for (uint64_t failures = 1; failures < 200; failures++)
        for (int i = 0; i < 50; i++) {
            int64_t wait = downloader_backoff_ms (failures, 500, 30000, &random);
            int64_t bound = failures < 8 ? 500ll << (failures - 1) : 30000;
            assert_true (wait >= 0 && wait <= (bound < 30000 ? bound : 30000));
        }
}

static void jitter_is_full (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 2);
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 2000; i++) {
        int64_t wait = downloader_backoff_ms (100, 500, 30000, &random);
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_true (least < 1500 && most > 28500);
}

static void the_largest_configuration_does_not_overflow (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 3);
    int64_t wait = downloader_backoff_ms (UINT64_MAX, 60000, 3600000, &random);
    assert_true (wait >= 0 && wait <= 3600000);
    assert_true (downloader_backoff_ms (1, 1, 1, &random) <= 1);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_wait_is_within_its_doubling_bound),
        cmocka_unit_test (jitter_is_full),
        cmocka_unit_test (the_largest_configuration_does_not_overflow),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
