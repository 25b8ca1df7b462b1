// SPDX-License-Identifier: Apache-2.0
/*  progress.h - how far, how fast, how long still: pure, no clock and no terminal
 *
 *  Speed is what came in the last WINDOW seconds, so that a stall shows and a resumed download does not claim
 *  what it had before.
 */
#ifndef MODELYARD_PROGRESS_H
#define MODELYARD_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#define PROGRESS_SAMPLES 32

typedef struct {
    uint64_t bytes, total; /* total 0 = unknown */
    struct {
        int64_t ms;
        uint64_t bytes;
    } samples [PROGRESS_SAMPLES]; /* a ring, a few a second */
    size_t first, count;
} progress_t;

void progress_told (progress_t *self, int64_t now_ms, uint64_t bytes, uint64_t total);
uint64_t progress_speed (const progress_t *self,
                         int64_t now_ms); /* bytes a second; 0 = none, or not known yet */
int64_t progress_left_ms (const progress_t *self, int64_t now_ms); /* -1 = not known */

/*  "43 % 312 MiB of 725 MiB  58.1 MiB/s  7.1 s left", with a bar in front where columns leave room for one (0
 *  = no bar). Writes into `into` [size]. */
const char *progress_line (const progress_t *self, int64_t now_ms, size_t columns, char *into, size_t size);

#endif
