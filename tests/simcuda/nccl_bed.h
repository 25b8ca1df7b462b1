// SPDX-License-Identifier: Apache-2.0
/*  nccl_bed.h - the ranks of a test: processes of simnccl_rank, told line by line what to do
 *
 *  Every answer has a deadline, so a rank that hangs fails the test instead of it. A bed has a folder with the simulation's log.
 */
#ifndef SIMCUDA_NCCL_BED_H
#define SIMCUDA_NCCL_BED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NCCL_BED_RANKS_MAX 8
#define NCCL_BED_MEMORY (4U << 20) /* of each rank's buffer */
#define NCCL_BED_SILENT (-1000000LL) /* an answer that did not come */

typedef struct {
    pid_t process; /* 0: none */
    int to, from;
} nccl_bed_rank_t;

typedef struct {
    char folder [64], log [96];
    unsigned ranks;
    nccl_bed_rank_t rank [NCCL_BED_RANKS_MAX];
    char id [260]; /* in hexadecimal */
} nccl_bed_t;

/*  Processes with these settings in their environment ("NAME=value", up to a NULL), device N and a buffer for rank N. */
void nccl_bed_start (nccl_bed_t *self, unsigned ranks, const char *const *settings);
/*  Draws an id on rank 0, joins all. */
void nccl_bed_join (nccl_bed_t *self, bool blocking);
/*  Ends the processes by closing their stdin, waits for them, removes the folder. */
void nccl_bed_stop (nccl_bed_t *self);
void nccl_bed_kill (nccl_bed_t *self, unsigned rank);
void nccl_bed_leave (nccl_bed_t *self, unsigned rank); /* as stop, one of them; the folder stays */

void nccl_bed_tell (nccl_bed_t *self, unsigned rank, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
long long nccl_bed_answer (nccl_bed_t *self, unsigned rank); /* fails the test after 30 s */
long long nccl_bed_answer_within (nccl_bed_t *self, unsigned rank,
                                  int ms); /* NCCL_BED_SILENT: no answer yet */
long long nccl_bed_ask (nccl_bed_t *self, unsigned rank, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
void nccl_bed_draw (nccl_bed_t *self, unsigned rank);
/*  All ranks are told the same, then each has to answer this. */
void nccl_bed_all (nccl_bed_t *self, long long expected, const char *command);
/*  The log has this: now, or fails the test after 10 s. */
bool nccl_bed_logged (const nccl_bed_t *self, const char *text);
void nccl_bed_await_log (const nccl_bed_t *self, const char *text);

#endif
