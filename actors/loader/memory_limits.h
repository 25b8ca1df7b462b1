// SPDX-License-Identifier: Apache-2.0
/*  memory_limits.h - how much memory the loader takes when the configuration does not say
 *
 *  Host: half of what this process may have at all: the machine's memory (MemTotal), or less where a control
 *  group of version 2 that it is in, or one above it, says so (memory.max). Groups of version 1 are not looked
 *  at. Device: all but a head-room. Reads small files of the kernel; for the start only.
 */
#ifndef LOADER_MEMORY_LIMITS_H
#define LOADER_MEMORY_LIMITS_H

#include <stdint.h>
#include "actors/ground/error.h"

typedef struct {
    const char *meminfo; /* proc(5): /proc/meminfo */
    const char *groups; /* cgroups(7): /proc/self/cgroup */
    const char *group_root; /* where version 2 is mounted: /sys/fs/cgroup */
} loader_memory_files_t;

extern const loader_memory_files_t loader_memory_files; /* the kernel's */

/*  key is the configuration's name of this budget, for the sentence when the machine's memory cannot be told:
 *  YARD_INVALID_FILE, YARD_NOT_FOUND. Group files that are missing or not understood are no limit. */
int loader_memory_host_budget (const loader_memory_files_t *files, const char *key, uint64_t *ret_bytes,
                               yard_error_t *error);

/*  0 when the head-room is all there is. */
uint64_t loader_memory_device_budget (uint64_t total, uint64_t head_room);

#endif
