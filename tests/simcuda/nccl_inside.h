// SPDX-License-Identifier: Apache-2.0
/*  nccl_inside.h - what the files of the simulated NCCL share
 *
 *  In reading order: nccl_api.c (the doors, and what is simulated at all), nccl_comm.c (a communicator's life), nccl_root.c (how ranks
 *  meet), nccl_collective.c (all-gather and broadcast in a stream's order), nccl_arena.c (the memory through which the ranks move
 *  bytes).
 */
#ifndef SIMCUDA_NCCL_INSIDE_H
#define SIMCUDA_NCCL_INSIDE_H

#include <nccl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "tests/simcuda/simcuda.h"

#define SIMNCCL_RANKS_MAX 64 /* ours; the yard's machines have at most 16 devices */
#define SIMNCCL_BUS_SIZE 16 /* "0000:01:00.0" and its end */

/*  What all ranks must ask for alike: the n-th call of one is the n-th of all. */
typedef struct {
    uint32_t kind; /* SIMNCCL_GATHER, SIMNCCL_BROADCAST */
    int32_t root; /* of a broadcast; else 0 */
    uint64_t bytes; /* that one source gives */
} simnccl_call_t;

enum {
    SIMNCCL_GATHER = 1,
    SIMNCCL_BROADCAST = 2
};

/*  --- nccl_arena.c: memory that all ranks of one communicator map; counters only grow, so nobody has to lock */

/*  One rank's line. Written by its rank alone, read by all. */
typedef struct {
    simnccl_call_t calls [2]; /* its latest calls, by number modulo 2: nobody gets further ahead than that */
    _Atomic uint64_t posted; /* calls begun */
    _Atomic uint64_t published; /* chunks laid into its slots, ever */
    _Atomic uint64_t taken [SIMNCCL_RANKS_MAX]; /* chunks that it took of each rank's, ever */
    _Atomic uint32_t left; /* it has finalized, all its work is over */
    pid_t process;
} simnccl_line_t;

typedef struct {
    uint64_t size; /* of the whole mapping */
    uint32_t ranks;
    _Atomic uint32_t bell; /* rung at every change; a futex */
    simnccl_line_t lines [SIMNCCL_RANKS_MAX];
} simnccl_arena_t;

int simnccl_arena_make (unsigned ranks); /* a descriptor, or -1 */
simnccl_arena_t *simnccl_arena_map (int fd); /* or NULL; fd stays the caller's */
void simnccl_arena_unmap (simnccl_arena_t **self_p);
unsigned char *simnccl_arena_slot (simnccl_arena_t *self, unsigned rank, uint64_t chunk);
bool simnccl_arena_room (simnccl_arena_t *self,
                         unsigned rank); /* every other rank took what the next chunk would overwrite */
uint64_t simnccl_arena_chunks (uint64_t bytes);
size_t simnccl_arena_chunk (uint64_t bytes, uint64_t chunk,
                            uint64_t *ret_offset); /* its size and place in `bytes` */
void simnccl_arena_ring (simnccl_arena_t *self);
/*  Until somebody rings after `seen` was read, at most so long. */
void simnccl_arena_wait (simnccl_arena_t *self, uint32_t seen, uint64_t most_ns);
uint64_t simnccl_now (void); /* ns, monotonic */

/*  --- nccl_root.c */

int simnccl_root_start (ncclUniqueId *ret); /* 0, or -1 with errno */
bool simnccl_root_drew (const ncclUniqueId *id); /* it looks like one of ours */
/*  Waits for all ranks; comm->socket is this rank's end while it waits, shutting it down ends the wait. Gives the arena. */
ncclResult_t simnccl_root_join (ncclComm_t comm, simnccl_arena_t **ret);

/*  --- nccl_comm.c */

typedef struct simnccl_operation simnccl_operation_t;

typedef enum {
    SIMNCCL_TASK_INIT,
    SIMNCCL_TASK_COLLECTIVE,
    SIMNCCL_TASK_FINALIZE
} simnccl_task_kind_t;

/*  What simcuda_fault has for a call. */
typedef struct {
    enum {
        SIMNCCL_FAULT_NONE,
        SIMNCCL_FAULT_RETURN,
        SIMNCCL_FAULT_HANG,
        SIMNCCL_FAULT_ASYNC
    } kind;
    ncclResult_t code;
} simnccl_fault_t;

/*  One thing asked of a communicator, on its way to the background. */
typedef struct simnccl_task {
    struct simnccl_task *next;
    ncclComm_t comm;
    simnccl_task_kind_t kind;
    simnccl_fault_t fault;
    simnccl_operation_t *operation; /* of a collective; the task owns it until it is in its stream */
    ncclComm_t *handle; /* of an init: where the caller keeps it */
} simnccl_task_t;

struct ncclComm {
    ncclComm_t next; /* of those that live, in this process */
    unsigned rank, ranks;
    int device;
    char bus [SIMNCCL_BUS_SIZE]; /* the device's true name: ordinals differ between processes */
    bool blocking;
    ncclUniqueId id;

    pthread_mutex_t lock; /* over what follows, up to the next lock */
    pthread_cond_t changed;
    int holders; /* the handle, the background job, each operation in a stream */
    bool job; /* one is under way */
    ncclResult_t job_result;
    simnccl_task_t *tasks; /* the job's */
    bool finalized;
    unsigned pending; /* operations in streams */
    int socket; /* to the root, while it waits there; -1 else */
    ncclResult_t late_error; /* a fault's, reported from late_at on */
    uint64_t late_at; /* ns; 0: none */

    _Atomic int state; /* what ncclCommGetAsyncError says */
    _Atomic bool aborted;

    pthread_mutex_t running; /* held by the one operation that moves; over what follows */
    simnccl_arena_t *arena; /* set once by the init */
    int peers [SIMNCCL_RANKS_MAX]; /* pidfds; -1: cannot tell */
    bool gone [SIMNCCL_RANKS_MAX]; /* its end is in the log */
    uint64_t enqueued, turn; /* numbers of operations: the next one's, the one that may move */
    uint64_t published [SIMNCCL_RANKS_MAX]; /* chunks of each rank before the running operation */
    uint64_t in_free, out_free; /* ns: when this rank's link is idle again, per direction */
};

/*  The living communicator, or NULL: no such one, or its end has come (in the log). */
ncclComm_t simnccl_comm_find (ncclComm_t handle);
ncclComm_t simnccl_comm_new (void);
void simnccl_comm_hold (ncclComm_t comm);
void simnccl_comm_release (ncclComm_t comm);
void simnccl_comm_forget (ncclComm_t comm); /* no longer living; the handle's hold is given up */
/*  ncclSuccess, or why nothing may be asked of it now. */
ncclResult_t simnccl_comm_ready (ncclComm_t comm);
/*  Starts the tasks, one job per communicator; waits for the blocking ones. Takes the tasks. */
ncclResult_t simnccl_comm_submit (simnccl_task_t *tasks);
/*  All its work is over, then everyone's. */
ncclResult_t simnccl_comm_finalize (ncclComm_t comm);
void simnccl_comm_abort (ncclComm_t comm);
void simnccl_comm_hang (ncclComm_t comm); /* until it is aborted */
/*  Lines in the log for the peers that have ended, as what waits for them. Call with `running` held, or from the job. */
void simnccl_comm_watch (ncclComm_t comm, const char *what);

/*  With its operation, if it still has one, and its hold on the communicator. */
void simnccl_task_destroy (simnccl_task_t **self_p);

/*  --- nccl_group.c */

/*  Takes the operation. Outside a group: starts it. */
ncclResult_t simnccl_group_ask (ncclComm_t comm, simnccl_task_kind_t kind, simnccl_fault_t fault,
                                simnccl_operation_t *operation, ncclComm_t *handle);
/*  A call failed: so will its group, and a communicator that does not block keeps the error. Returns the code. */
ncclResult_t simnccl_group_failed (ncclComm_t comm, ncclResult_t code);

/*  --- nccl_collective.c */

/*  Checked and ready to be put in its stream; takes nothing of the communicator yet. */
ncclResult_t simnccl_operation_new (ncclComm_t comm, const simnccl_call_t *call, const void *send,
                                    void *receive, cudaStream_t stream, simnccl_operation_t **ret);
/*  Into its stream: takes it. stuck: it never moves. */
ncclResult_t simnccl_operation_enqueue (simnccl_operation_t *self, bool stuck);
void simnccl_operation_destroy (simnccl_operation_t **self_p);

/*  --- nccl_error.c */

/*  Keeps the sentence for ncclGetLastError, logs it, returns the code. */
ncclResult_t simnccl_wrong (ncclResult_t code, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
simnccl_fault_t simnccl_fault (const char *name);
uint64_t simnccl_setting (const char *name, uint64_t otherwise); /* of the environment */
bool simnccl_impatient (uint64_t since); /* ns: it has been waiting long enough for a line in the log */

#endif
