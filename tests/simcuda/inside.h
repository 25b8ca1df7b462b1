// SPDX-License-Identifier: Apache-2.0
/*  inside.h - what the files of the simulated CUDA share; nobody else includes it
 *
 *  Invariants:
 *  - There is one world, and one lock over all of it: simcuda_enter takes it, simcuda_leave gives it back. A stream's thread holds it
 *    only between pieces of work, never while it waits for time to pass or moves bytes.
 *  - Handles given to the program are numbers that are never used twice, so a stale one is known as such and never followed.
 *  - A stretch of physical memory is mapped twice: PROT_NONE where the program sees it (view), and writable where only the simulation
 *    looks (inside). Ranges are compared by their inside addresses, which are one per process.
 */
#ifndef SIMCUDA_INSIDE_H
#define SIMCUDA_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <cuda.h>
#include <cuda_runtime_api.h>
#include "tests/simcuda/simcuda.h"

#define SIMCUDA_DEVICES_MAX 16 /* a server's worth; NCCL tests want 8 */
#define SIMCUDA_STREAMS_MAX 64 /* one thread each; a loader has two */
#define SIMCUDA_STEP ((size_t) 2 << 20) /* what cuMemGetAllocationGranularity says on the devices of today */
#define SIMCUDA_POISON 0xDB /* what memory holds that nobody may rely on */

typedef struct simcuda_physical_t {
    struct simcuda_physical_t *next;
    uint64_t key; /* the same in every process that has it: random */
    int device;
    int fd; /* memfd; its name says key, device and size */
    size_t size; /* a multiple of SIMCUDA_STEP */
    uint8_t *inside; /* the simulation's own mapping */
    unsigned references; /* views, handles and copies under way, of this process */
    pid_t owner; /* whose cudaMalloc or cuMemCreate it was */
    uint64_t owner_started; /* tells it from a later process of that number */
    bool exportable; /* made with CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR */
    bool shared; /* went out or came in as a descriptor: the program may still hold one */
} simcuda_physical_t;

typedef enum {
    SIMCUDA_VIEW_MALLOC, /* cudaMalloc */
    SIMCUDA_VIEW_IPC, /* cudaIpcOpenMemHandle */
    SIMCUDA_VIEW_MAP /* cuMemMap */
} simcuda_view_kind_t;

/*  A range of addresses of the program. */
typedef struct simcuda_view_t {
    struct simcuda_view_t *next;
    simcuda_view_kind_t kind;
    uint8_t *base;
    size_t size;
    simcuda_physical_t *physical;
    unsigned opens; /* SIMCUDA_VIEW_IPC */
    bool may_read, may_write; /* cuMemSetAccess; else both */
} simcuda_view_t;

/*  A point in the order of all work, taken by an event. */
typedef struct {
    unsigned references;
    bool done;
    uint64_t clock [SIMCUDA_STREAMS_MAX]; /* the last operation of each stream that is over when this is */
} simcuda_record_t;

typedef enum {
    SIMCUDA_COPY,
    SIMCUDA_RECORD,
    SIMCUDA_WAIT,
    SIMCUDA_WORK
} simcuda_operation_kind_t;

typedef struct simcuda_stream_t simcuda_stream_t;

typedef struct simcuda_operation_t {
    struct simcuda_operation_t *next;
    simcuda_operation_kind_t kind;
    simcuda_stream_t *stream; /* NULL: a copy that the caller waits for */
    uint64_t number; /* counts all operations of the process */
    uint64_t enqueued_at; /* ns, monotonic */
    uint64_t clock [SIMCUDA_STREAMS_MAX]; /* what it comes after */
    /*  SIMCUDA_COPY */
    uint8_t *to;
    const uint8_t *from;
    size_t size;
    simcuda_physical_t *to_memory, *from_memory; /* NULL: the host's */
    uint8_t *staged; /* a pageable source as it was at the call */
    uint64_t source_sum, delay; /* delay: ns after enqueued_at that it ends at the earliest */
    bool poisoned;
    const char *fault; /* "wrong", "hang", "late719" or NULL */
    /*  SIMCUDA_RECORD, SIMCUDA_WAIT */
    simcuda_record_t *record;
    /*  SIMCUDA_WORK */
    simcuda_work_fn *work;
    void *argument;
} simcuda_operation_t;

struct simcuda_stream_t {
    uintptr_t handle;
    unsigned slot; /* in the world's table and in every clock */
    int device;
    unsigned flags;
    bool closing; /* destroyed: ends when its work does */
    simcuda_operation_t *head, **tail; /* head: under way */
    uint64_t clock [SIMCUDA_STREAMS_MAX];
    uint64_t ready_at; /* ns: when its last copy left the link */
    uint64_t random; /* the state of its delays */
};

typedef struct simcuda_event_t {
    struct simcuda_event_t *next;
    uintptr_t handle;
    int device;
    simcuda_record_t *record; /* NULL: never recorded */
} simcuda_event_t;

typedef struct simcuda_pin_t {
    struct simcuda_pin_t *next;
    uint8_t *base;
    size_t size;
    int device;
} simcuda_pin_t;

typedef struct simcuda_handle_t { /* cuMemCreate, cuMemImportFromShareableHandle */
    struct simcuda_handle_t *next;
    uint64_t number;
    simcuda_physical_t *physical;
} simcuda_handle_t;

typedef struct simcuda_reservation_t { /* cuMemAddressReserve */
    struct simcuda_reservation_t *next;
    uint8_t *base;
    size_t size;
} simcuda_reservation_t;

/*  A C interface without an object to hang its state on: this is the state. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an operation is over, or came */
    pid_t pid; /* 0: nothing called yet */
    int devices;
    uint64_t memory; /* bytes of each device */
    uint64_t link_rate; /* bytes per second; 0 = unlimited */
    uint64_t seed;
    bool vmm; /* the devices have virtual memory management */
    cudaError_t sticky;
    uint64_t numbers; /* of operations and handles */
    simcuda_physical_t *physicals;
    simcuda_view_t *views;
    simcuda_stream_t *streams [SIMCUDA_STREAMS_MAX];
    simcuda_event_t *events;
    simcuda_pin_t *pins;
    simcuda_handle_t *handles;
    simcuda_reservation_t *reservations;
} simcuda_world_t;

typedef struct {
    int device;
    bool device_set, device_missed; /* cudaSetDevice was called on this thread; it was missed and said */
    cudaError_t last;
    const char *fault; /* of the call under way, where it isn't a number */
    simcuda_operation_t *running; /* on a stream's thread */
} simcuda_thread_t;

extern simcuda_world_t simcuda_world;
extern _Thread_local simcuda_thread_t simcuda_thread;

/*  --- simcuda.c: the way in and out of every call
 *  enter: the lock, and why the call is over already (no device, sticky error, a fault of the script), or 0. leave: gives the lock
 *  back, keeps the error for cudaGetLastError, and makes it sticky where it is of that kind. uses_device: the call means the current
 *  device, which the thread should have set. */
cudaError_t simcuda_enter (const char *name, bool uses_device);
cudaError_t simcuda_leave (cudaError_t answer);
CUresult simcuda_leave_driver (CUresult answer); /* the driver's calls keep no last error */
void simcuda_wait_change (void); /* lets the lock go until something has happened */
uint64_t simcuda_now (void);
_Noreturn void simcuda_hang (void);
void simcuda_stick (cudaError_t answer); /* where it is of the sticky kind */

/*  --- errors.c */
typedef struct {
    cudaError_t code;
    const char *name, *driver_name, *text;
    bool sticky;
} simcuda_error_row_t;
const simcuda_error_row_t *simcuda_error_row (cudaError_t code); /* NULL: not one that the simulation knows */

/*  --- state.c: what all processes together have on each device */
int simcuda_state_open (void);
int simcuda_state_hold (uint64_t key, int device, uint64_t bytes,
                        uint64_t capacity); /* -1: it would be too much */
void simcuda_state_drop (uint64_t key);
uint64_t simcuda_state_used (int device);
unsigned simcuda_state_others (uint64_t key); /* living processes but this one that hold it */
_Atomic uint64_t *simcuda_state_link (int device, int direction); /* when the link is free again, ns */
uint64_t simcuda_process_started (pid_t pid); /* 0: no such process */

/*  --- physical.c */
simcuda_physical_t *simcuda_physical_new (int device, size_t size, cudaError_t *ret_error);
/*  The memory behind a descriptor of another process (or this one); takes a duplicate. NULL: it isn't one of ours. */
simcuda_physical_t *simcuda_physical_import (int fd, cudaError_t *ret_error);
void simcuda_physical_drop (simcuda_physical_t *physical); /* one reference */
void simcuda_physical_sweep (void); /* forgets memory that only a descriptor kept, once that is closed */
void simcuda_physical_settle (simcuda_physical_t *physical,
                              const char *why); /* waits for copies; says so if there were any */

/*  --- view.c */
simcuda_view_t *simcuda_view_new (simcuda_view_kind_t kind, simcuda_physical_t *physical, uint8_t *base);
void simcuda_view_destroy (simcuda_view_t *view);
simcuda_view_t *simcuda_view_at (const void *pointer); /* the one that this address is in, or NULL */
uint8_t *simcuda_reserve (size_t size, size_t alignment); /* addresses that nothing is behind */
void simcuda_unreserve (uint8_t *base, size_t size); /* they stay unused for a while */
bool simcuda_freed (const void *pointer); /* it was in an allocation once */

/*  --- vmm.c */
simcuda_physical_t *simcuda_handle_memory (uint64_t number); /* NULL: no such handle */

/*  --- pinned.c */
simcuda_pin_t *simcuda_pin_at (const void *pointer, size_t size); /* the one that has all of it, or NULL */

/*  --- stream.c, order.c, copy.c, event.c */
simcuda_stream_t *simcuda_stream_of (cudaStream_t handle); /* NULL: none; aborts on the default stream */
simcuda_operation_t *simcuda_operation_new (simcuda_operation_kind_t kind, simcuda_stream_t *stream);
void simcuda_operation_push (simcuda_operation_t *operation); /* takes it */
void simcuda_operation_destroy (simcuda_operation_t *operation);
cudaError_t simcuda_stream_drain (simcuda_stream_t *stream); /* waits for all that is in it now */
simcuda_record_t *
simcuda_record_push (simcuda_stream_t *stream); /* NULL: no memory. The caller has a reference */
cudaError_t simcuda_record_wait (simcuda_record_t *record);
void simcuda_record_drop (simcuda_record_t *record);
void simcuda_order_check (
    const simcuda_operation_t *operation); /* says if work under way elsewhere touches the same bytes */
void simcuda_order_check_range (const uint8_t *data, size_t size);
bool simcuda_order_used (const uint8_t *data,
                         size_t size); /* whether work under way may yet read or write this */
void simcuda_copy_run (simcuda_operation_t *operation); /* without the lock */

/*  --- report.c */
void simcuda_report (void);

#endif
