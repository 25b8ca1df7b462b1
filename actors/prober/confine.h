// SPDX-License-Identifier: Apache-2.0
/*  confine.h - takes from the calling process all that a reader of one file does not need
 *
 *  After it the process can read one file, allocate, send to one socket and end; anything else the kernel
 *  answers with SIGSYS. Built in layers, each enough against a part of the harm: no_new_privs, Landlock (no
 *  file by name; where the kernel has it), limits of processor, memory, files, and a seccomp filter that
 *  allows by list.
 */
#ifndef YARD_PROBER_CONFINE_H
#define YARD_PROBER_CONFINE_H

#include <stdint.h>
#include "actors/ground/error.h"

/*  What one probe may use. */
typedef struct {
    uint32_t children; /* probes at once */
    int64_t wall_ms; /* from fork to verdict */
    uint32_t cpu_s; /* of processor time */
    uint64_t memory_bytes; /* of address space; not under sanitizers, whose shadow is larger */
} prober_limits_t;

/*  4 at once, 30 s, 10 s of processor, 1 GiB: four times the longest header is 400 MB, and takes under 1 s. */
extern const prober_limits_t prober_limits_default;

/*  Irrevocable. file: the one that may be read; result: the socket that may be sent to. On failure the
 *  process must end. */
int prober_confine (int file, int result, const prober_limits_t *limits, yard_error_t *error);

/*  The version of Landlock that the kernel offers, 0 without. */
int prober_landlock_version (void);

#endif
