// SPDX-License-Identifier: Apache-2.0
/*  sim_world.h - a whole yard in one process: its processes, its clock, its bus, its disk, and what may
 *  befall them
 *
 *  A process here is a slot: an actor or the broker, started, given turns, stopped, killed and started again
 *  by the scheduler. Product code reaches the world through the doors it has anyway (ARCHITECTURE 13),
 *  chosen at link time: the simulation brings its own yard_fault, yard_log, offload pool, fetch and sandbox,
 *  and wraps the system calls that change the disk.
 *
 *  Invariants:
 *  - One seed, one story: nothing that is decided depends on time, addresses or the process id. The trace's
 *    hash says so.
 *  - A killed process runs not one instruction more: the scheduler leaves it by longjmp, wherever it was
 *    (sim_point), closes its descriptors and its socket, and keeps its memory as it lies, for ever. So
 *    nothing is cleaned up that kill -9 would not clean up.
 *  - One world per process: the doors have no argument that could carry it, so sim_world_now finds it.
 */
#ifndef YARD_TESTS_SIM_WORLD_H
#define YARD_TESTS_SIM_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include "actors/runtime/actor_inside.h"
#include "broker/server.h"
#include "tests/faults/vfs_memory.h"

#define SIM_FDS_MAX 128 /* descriptors that are told apart by their owner; a yard of this size has about 40 */

typedef enum {
    SIM_BROKER,
    SIM_RECORDER,
    SIM_INSTALLER,
    SIM_DOWNLOADER,
    SIM_DOWNLOADER_TWO,
    SIM_PROBER,
    SIM_LOADER,
    SIM_FOLLOWER,
    SIM_CLIENT,
    SIM_CLIENT_TWO,
    SIM_CLIENT_THREE,
    SIM_JUDGE,
    SIM_PROCESSES,
    SIM_NOBODY = SIM_PROCESSES,
    SIM_HOST /* owns what was open before, and the memory disk's descriptors whose process has died */
} sim_slot_t;

typedef struct {
    const char *name;
    const yard_actor_class_t *class; /* NULL: the broker */
    yard_actor_t *actor; /* or server: NULL while it is not alive */
    broker_server_t *server;
    yard_random_t random; /* this life's */
    uint64_t instance; /* this life's number on the memory disk */
    unsigned lives;
    unsigned wants; /* turns it should get though no timer is due */
    int64_t stopped_until_ms; /* SIGSTOP */
    int64_t starts_ms; /* when the supervisor starts it; INT64_MAX: not at all */
    int64_t reconnects_ms; /* its connection was cut; 0: it was not */
} sim_process_t;

typedef struct sim_checker_t sim_checker_t;
typedef struct sim_remote_t sim_remote_t;

typedef struct {
    uint64_t seed;
    bool verbose, gentle; /* gentle: nobody is killed, so all memory must be given back */
    const char *plant; /* the planted bug, or NULL */
    char directory [32];
    yard_paths_t paths;
    yard_configuration_t *configuration;
    yard_bus_t *bus;
    yard_memory_disk_t *disk;
    yard_random_t random; /* the scheduler's */
    int64_t now_ns;
    yard_clock_t clock;
    sim_process_t processes [SIM_PROCESSES];
    sim_slot_t fd_owner [SIM_FDS_MAX];
    sim_checker_t *checker;
    sim_remote_t *remote;
    bool faults; /* still in the time of faults */
    bool descriptors_moved; /* opened or closed since it was last looked whose they are */

    sim_slot_t active; /* whose turn it is */
    sim_slot_t doomed; /* who dies at the points_left-th point from now */
    unsigned points_left;
    const char *doomed_at; /* only points of this name count; NULL: all */
    const char *death; /* the point it died at */
    sigjmp_buf back;

    uint64_t trace, steps, deaths, sent;
} sim_world_t;

/*  The directory is made below /dev/shm. Starts nobody. */
sim_world_t *sim_world_new (uint64_t seed, const char *plant, bool verbose);
void sim_world_destroy (sim_world_t **self_p); /* ends all who live, in order, and removes the directory */
sim_world_t *sim_world_now (void);
int64_t sim_now_ms (const sim_world_t *self);

/*  A line of the story: always into the hash, and onto stdout when verbose. */
void sim_trace (sim_world_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/*  --- processes (sim_process.c) */
bool sim_lives (const sim_process_t *self);
void sim_start (sim_world_t *self, sim_slot_t slot);
void sim_turn (sim_world_t *self, sim_slot_t slot); /* may kill it, or end it */
void sim_end (sim_world_t *self, sim_slot_t slot); /* with all manners */
/*  Between two turns. of what is under way from it, the first `kept` messages still arrive; power: what its
 *  store had not synced is lost. */
void sim_kill (sim_world_t *self, sim_slot_t slot, bool power);
/*  The process may die here, if it was doomed. */
void sim_point (const char *what);
sim_slot_t sim_slot_of (const sim_world_t *self, const yard_socket_t *socket);
size_t sim_open_fds (void);

/*  --- the scheduler (sim_scheduler.c) */
/*  The whole story of a seed; gives the trace's hash. What breaks a promise ends the process
 *  (sim_checker.h). */
uint64_t sim_run (sim_world_t *self);

/*  --- the classes that are not the product's */
extern const yard_actor_class_t sim_client_class;
extern const yard_actor_class_t sim_follower_class;
extern const yard_actor_class_t sim_judge_class;

#endif
