// SPDX-License-Identifier: Apache-2.0
/*  device.h - the door to a device's memory: open, memory, copy, event, export, gather
 *
 *  One table of functions per kind of device: device_host.c for the host, and libmodelyard-cuda.so for GPUs, which the loader opens
 *  only for `cuda:N` (device_plugin.c). Whoever serves a device asks for nothing but this.
 *
 *  Invariants:
 *  - Every call is made on one thread, the loader's device thread: CUDA keeps its current device per thread. The loop never calls in here.
 *  - Nothing blocks longer than the driver does, except where it says so. A copy is under way until its event is done; its source must
 *    stay, unchanged, until then.
 *  - copy, done, wait and read that fail leave no copy of the device under way.
 *  - A function returns 0 or a negative code of errors.def with a sentence; ret_ values are written on success only. out_of_memory
 *    leaves everything as it was. A lost device (YARD_DEVICE_LOST) fails every later call: the process is to end and start anew.
 *  - memory, events and gathers are destroyed before their device; destructors take NULL.
 */
#ifndef LOADER_DEVICE_H
#define LOADER_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"

#define LOADER_DEVICE_VERSION 1 /* of this table; a plug-in of another one is refused */
#define LOADER_DEVICE_SYMBOL "loader_device_plugin" /* what a plug-in exports: loader_device_plugin_fn */
#define LOADER_GATHER_ID_SIZE 128 /* ncclUniqueId (nccl.h) */
#define LOADER_HANDLE_SIZE 64 /* cudaIpcMemHandle_t (driver_types.h) */

typedef struct loader_device_t loader_device_t; /* each kind's own */
typedef struct loader_memory_t loader_memory_t; /* one allocation on the device */
typedef struct loader_event_t loader_event_t; /* a mark behind a copy; used again and again */
typedef struct loader_gather_t loader_gather_t; /* this device's end of a group of devices */

typedef enum {
    LOADER_EXPORT_AUTO, /* vmm where the device can, else ipc */
    LOADER_EXPORT_VMM, /* a descriptor that importers map read-only (cuMemExportToShareableHandle) */
    LOADER_EXPORT_IPC /* 64 bytes that importers open (cudaIpcGetMemHandle) */
} loader_export_t;

typedef struct {
    char name [256]; /* the driver's words */
    char uuid [41]; /* "GPU-" and the UUID; empty for the host */
    char pci [16]; /* "0000:01:00.0"; empty for the host */
    int numa_node; /* -1: unknown */
    uint64_t bytes_total, bytes_free; /* now, of the whole device, other processes included */
    uint64_t granularity; /* allocations are rounded up to it */
    loader_export_t exports; /* what it was opened with; never AUTO */
    int driver_version, runtime_version, nccl_version; /* as the libraries count; 0 = none */
} loader_device_about_t;

/*  How another process gets at the memory. */
typedef struct {
    loader_export_t form;
    int fd; /* vmm: the receiver's to close; -1 else */
    uint8_t bytes [LOADER_HANDLE_SIZE]; /* ipc */
    uint64_t size; /* of the whole allocation, in bytes */
} loader_handle_t;

typedef struct {
    uint32_t version; /* LOADER_DEVICE_VERSION */
    const char *name; /* "host", "cuda" */

    /*  How many devices there are. not_served with the reason: no driver, no library. look: what number 0 to count - 1 is, as far as
     *  that is known without opening it (bytes_free, granularity and exports are not). Both initialize CUDA, after which a process must
     *  not fork: who only lists devices does it in a short-lived child. */
    int (*count) (int *ret_count, yard_error_t *error);
    int (*look) (int number, loader_device_about_t *ret, yard_error_t *error);
    /*  device: "host", "cuda:N" (N in PCI order) or the UUID. */
    int (*open) (const char *device, loader_export_t wish, loader_device_t **ret, yard_error_t *error);
    void (*close) (loader_device_t **self_p);
    int (*about) (loader_device_t *self, loader_device_about_t *ret, yard_error_t *error);

    int (*allocate) (loader_device_t *self, uint64_t bytes, loader_memory_t **ret, yard_error_t *error);
    void (*release) (loader_device_t *self, loader_memory_t **memory_p); /* nothing is under way to it */
    uint64_t (*bytes) (const loader_memory_t *memory); /* as allocated: rounded up */
    int (*export_memory) (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                          yard_error_t *error);
    /*  What an importer does, for proofs: another process's memory, to be read and released only. Borrows handle->fd. */
    int (*import_memory) (loader_device_t *self, const loader_handle_t *handle, loader_memory_t **ret,
                          yard_error_t *error);

    /*  Host memory that copies come from: page-locked, so that a copy overlaps with everything else. */
    int (*pin) (loader_device_t *self, void *data, size_t size, yard_error_t *error);
    void (*unpin) (loader_device_t *self, void *data);

    int (*event_new) (loader_device_t *self, loader_event_t **ret, yard_error_t *error);
    void (*event_destroy) (loader_device_t *self, loader_event_t **event_p);
    /*  Host to device: under way when it returns; event is done when it is over. */
    int (*copy) (loader_device_t *self, loader_memory_t *to, uint64_t offset, const void *from, size_t size,
                 loader_event_t *event, yard_error_t *error);
    /*  *ret_done: whether all that was asked before the event's last mark is over. Never waits. */
    int (*done) (loader_device_t *self, loader_event_t *event, int *ret_done, yard_error_t *error);
    int (*wait) (loader_device_t *self, loader_event_t *event, yard_error_t *error); /* blocks */
    /*  Device to host, blocks: for proofs. */
    int (*read) (loader_device_t *self, loader_memory_t *from, uint64_t offset, void *to, size_t size,
                 yard_error_t *error);

    /*  --- several devices, one process each (NCCL); NULL where the kind has none
     *  One process draws an id and hands it round; all join with it, each with its rank of `ranks`; then all ask for the same gathers
     *  in the same order. Nothing here waits for another rank: gather_state says how far it is, and the caller has the deadline. Any
     *  failure: every rank aborts. */
    int (*gather_id) (loader_device_t *self, uint8_t ret_id [LOADER_GATHER_ID_SIZE], yard_error_t *error);
    int (*gather_join) (loader_device_t *self, const uint8_t id [LOADER_GATHER_ID_SIZE], unsigned rank,
                        unsigned ranks, loader_gather_t **ret, yard_error_t *error);
    /*  In place: rank r has its `share` bytes at offset + r * share, and gets all others' (ncclAllGather). Begins after what the event
     *  marks now (NULL: at once). Both may be asked for before the group has come together; busy when 32 asks wait. */
    int (*gather) (loader_gather_t *self, loader_memory_t *memory, uint64_t offset, uint64_t share,
                   loader_event_t *after, yard_error_t *error);
    /*  From the root's memory to all others', at the same offset (ncclBroadcast). */
    int (*broadcast) (loader_gather_t *self, loader_memory_t *memory, uint64_t offset, uint64_t bytes,
                      unsigned root, loader_event_t *after, yard_error_t *error);
    /*  *ret_done: joined, and all that was asked so far is over on this device, without an error. */
    int (*gather_state) (loader_gather_t *self, int *ret_done, yard_error_t *error);
    /*  abort: ends what hangs; else only when gather_state said done, by all ranks at once: it waits for them, at most a second. */
    void (*gather_leave) (loader_gather_t **self_p, int abort);
} loader_device_class_t;

typedef const loader_device_class_t *(loader_device_plugin_fn) (void);

extern const loader_device_class_t loader_device_host; /* device_host.c */

/*  The class that serves this device: the host's, or a plug-in's, loaded on the first call (device_plugin.c), which is made before the
 *  process has threads (a plug-in may set environment variables for its libraries). not_served with what is missing (the plug-in, one of
 *  its libraries) and what to do; invalid_config: no device is called so. Driver and device are judged by count and open. */
int loader_device_class (const char *device, const loader_device_class_t **ret, yard_error_t *error);

#endif
