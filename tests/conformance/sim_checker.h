// SPDX-License-Identifier: Apache-2.0
/*  sim_checker.h - what must hold whatever happens, watched from outside
 *
 *  The checker sees what a stranger could see: messages as they arrive, answers as clients get them, files,
 *  and at the end all that the yard says of itself. It knows what was acknowledged and asks for nothing
 *  else. What is broken ends the process with `seed N failed: ...`.
 *
 *  Checked:
 *  - an acknowledged job is there at the end, and has ended; one whose cancellation was acknowledged is
 *    cancelled; the same once key gave the same job; an acknowledged change of a record is there;
 *  - a job completes once, a key is recorded once, a deleted one stays away;
 *  - a subscriber's numbers are dense within a broker's life;
 *  - changes are dense, in order, and each is told with one content, whoever hears it, however often; a
 *    follower hears each of them, or is told that it lost some and then hears all behind the snapshot it
 *    pages;
 *  - tokens of a job only rise, and a word with a token that is not the last one granted has no effect;
 *  - no two downloaders have one part file open for writing;
 *  - a folder with a final name has a manifest that proves it, and the bytes of one version of its source;
 *    each record has such a folder, each folder a record; nothing is in staging, secrets or views that
 *    nobody needs;
 *  - at the end nobody waits for an answer, and descriptors and (if nobody was killed) memory are as before.
 */
#ifndef YARD_TESTS_SIM_CHECKER_H
#define YARD_TESTS_SIM_CHECKER_H

#include "sim_world.h"

sim_checker_t *sim_checker_new (sim_world_t *world);
void sim_checker_destroy (sim_checker_t **self_p);

/*  Prints `seed N failed: ...` and ends the process with 1. */
_Noreturn void sim_failed (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/*  --- what passes on the bus (sim_tap.c) */
void sim_tap (sim_world_t *world, const yard_passed_t *passed);
void sim_tap_forget (sim_world_t *world); /* the recorder's connection is another */
/*  The broker's number of an ask that waits at the recorder, for a liar; empty: none. And what liars say. */
yard_string_t sim_open_number (const sim_world_t *world);
#define SIM_LIE "nobody was asked, and yet I answer"

/*  --- what clients were told */
void sim_ack_job (sim_world_t *world, uint64_t job, yard_string_t key, yard_string_t once);
void sim_ack_cancel (sim_world_t *world, uint64_t job, job_status_t status);
void sim_ack_delete (sim_world_t *world, yard_string_t key);
/*  tried before the ask, acknowledged after it: the value at the end is at least the last acknowledged and
 *  at most the last tried. */
uint64_t sim_try_update (sim_world_t *world); /* a fresh value */
void sim_ack_update (sim_world_t *world, yard_string_t key, uint64_t value);
uint64_t sim_job_at (const sim_world_t *world, uint64_t number); /* the number-th acknowledged job, or 0 */
const char *sim_key_at (const sim_world_t *world, uint64_t number);
uint64_t sim_jobs_count (const sim_world_t *world);

/*  --- what a follower hears (one life of it) */
typedef struct {
    uint64_t last; /* change; 0: none yet in this stream */
    bool lost; /* since the last one some may be missing */
    uint64_t first; /* change heard since the loss; 0: none */
    bool snapshot_known; /* and nothing heard since the loss */
    uint64_t snapshot; /* it knows all up to this */
} sim_hearing_t;
void sim_heard (sim_hearing_t *self, uint64_t change);
void sim_lost (sim_hearing_t *self);
void sim_snapshot (sim_hearing_t *self, uint64_t change);

/*  --- what a subscriber gets (sim_subscriber.c) */
typedef struct {
    yard_socket_t *socket;
    yard_message_t message;
    char epoch [YARD_EPOCH_SIZE + 1];
    uint64_t number; /* the last one of the epoch */
    yard_table_t *names; /* name -> number of its last event */
} sim_subscriber_t;
void sim_subscriber_open (sim_world_t *world);
void sim_subscriber_close (sim_world_t *world);
void sim_subscriber_read (sim_world_t *world); /* what has arrived */

/*  --- the disk (sim_disk.c) */
void sim_check_folders (sim_world_t *world); /* at any time */
void sim_check_part_files (sim_world_t *world); /* at any time: part files have one writer */
void sim_check_disk (sim_world_t *world); /* at the end */

/*  --- the end (sim_judge.c collects; sim_verdict.c compares) */
typedef struct {
    bool done;
    uint64_t change; /* the last one */
    yard_arena_t *arena;
    job_t *jobs;
    model_record_t *records;
    told_t *events;
    size_t job_count, record_count, event_count;
} sim_findings_t;
sim_findings_t *sim_findings (sim_world_t *world);
sim_hearing_t *sim_last_hearing (sim_world_t *world); /* of the follower that lives at the end */
void sim_check_findings (sim_world_t *world);
const char *
sim_asks_too_many (const sim_world_t *world); /* who waits though nothing is to be done; NULL: nobody */

/*  --- for the files of the checker */
#define SIM_JOBS_MAX 4096 /* ids of one story; the longest has 300 */
#define SIM_KEY_SIZE 33

typedef struct {
    uint64_t id; /* 0: not acknowledged */
    char key [SIM_KEY_SIZE], once [40];
    uint64_t token; /* the last one granted, as far as anybody was told */
    char member [65]; /* to whom */
    uint64_t ended_token; /* a word that ended it with this token was acknowledged */
    bool cancelled; /* acknowledged */
    bool deleted; /* its record, acknowledged */
    uint64_t updated; /* value, acknowledged */
} sim_job_t;

struct sim_checker_t {
    sim_world_t *world;
    sim_job_t jobs [SIM_JOBS_MAX]; /* by id */
    uint64_t acked [SIM_JOBS_MAX]; /* ids in order of acknowledgement */
    size_t acked_count;
    uint64_t tried; /* values of updates */
    yard_table_t *asked; /* of the recorder, by the broker's number */
    uint64_t open_number; /* of an ask that waits there; 0: none */
    uint32_t told [65536]; /* crc32c of what was told as this change; 0: not told */
    uint64_t last_told;
    yard_arena_t *arena; /* of what is decoded */
    sim_findings_t findings;
    sim_hearing_t *hearing;
    sim_subscriber_t subscriber;
    size_t told_twice, stale_words, answers, folders_seen;
};

#endif
