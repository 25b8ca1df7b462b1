// SPDX-License-Identifier: Apache-2.0
/*  backoff.c - exponential, capped, with full jitter
 */
#include "backoff.h"

#include <assert.h>

#define DOUBLINGS_MAX 32 /* base and max are below 2^22 ms, so the shift below cannot overflow */

int64_t downloader_backoff_ms (uint64_t failures, uint64_t base_ms, uint64_t max_ms, yard_random_t *random)
{
    assert (failures > 0);
    uint64_t doublings = failures - 1 < DOUBLINGS_MAX ? failures - 1 : DOUBLINGS_MAX;
    uint64_t ceiling = base_ms << doublings;
    if (ceiling > max_ms)
        ceiling = max_ms;
    return (int64_t) yard_random_below (random, ceiling + 1);
}
