// SPDX-License-Identifier: Apache-2.0
/*  backoff.h - how long to wait after the n-th failure
 */
#ifndef YARD_DOWNLOADER_BACKOFF_H
#define YARD_DOWNLOADER_BACKOFF_H

#include <stdint.h>
#include "actors/ground/random.h"

/*  Full jitter: uniform in [0, min (max, base * 2^(failures - 1))] milliseconds, so that many clients which lost one server do not come
 *  back together. failures counts from 1. */
int64_t downloader_backoff_ms (uint64_t failures, uint64_t base_ms, uint64_t max_ms, yard_random_t *random);

#endif
