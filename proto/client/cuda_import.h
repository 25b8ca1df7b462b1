// SPDX-License-Identifier: Apache-2.0
/*  cuda_import.h - another process's memory on a GPU, in this process
 *
 *  The loader owns one allocation for each model on a device and hands out how to get at it, in one of two forms:
 *  - vmm: a descriptor; it is mapped for reading only, and the memory lives as long as anyone has it mapped, whatever becomes of the
 *    loader;
 *  - ipc: 64 bytes; the driver has no read-only form of it, and the memory is the loader's: it frees it only when the attach
 *    connections have ended, so close first and then end the connection (holding.c does).
 *
 *  Promises: works with the CUDA runtime that the process has, or finds one (libcudart.so.13, then .12), and needs none to be built.
 *  The caller's current device stays what it is, in every thread: all calls are made on a short-lived thread of our own. Closing waits
 *  until the device has done all that this process asked of it, so no kernel that still runs loses its weights.
 *  Refuses: a device that this process does not see (CUDA_VISIBLE_DEVICES); devices are found by UUID, never by number.
 */
#ifndef YARD_CLIENT_CUDA_IMPORT_H
#define YARD_CLIENT_CUDA_IMPORT_H

#include <stdint.h>
#include "actors/ground/error.h"

#define YARD_CUDA_IPC_SIZE 64
#define YARD_CUDA_UUID_SIZE \
    72 /* attach_region.device_uuid has at most 64 characters; and no padding behind it */

enum {
    YARD_CUDA_VMM = 1,
    YARD_CUDA_IPC = 2
};

/*  Laid out for callers from other languages: no padding. */
typedef struct {
    int32_t form; /* YARD_CUDA_VMM or _IPC */
    int32_t fd; /* vmm: borrowed */
    uint8_t bytes [YARD_CUDA_IPC_SIZE]; /* ipc */
    uint64_t size; /* of the whole allocation, in bytes */
    char uuid [YARD_CUDA_UUID_SIZE]; /* of the device: "GPU-…", 0 behind it */
} yard_cuda_handle_t;

#pragma GCC visibility push(hidden)

typedef struct client_cuda_memory_t client_cuda_memory_t;

/*  not_served: no runtime, driver or function for it; not_local: the device is not this process's to see; out_of_memory; gone: the
 *  handle is no longer good. */
int client_cuda_open (const yard_cuda_handle_t *handle, client_cuda_memory_t **ret, yard_error_t *error);
void *client_cuda_data (const client_cuda_memory_t *self); /* the device's address */
int client_cuda_device (const client_cuda_memory_t *self); /* its number in this process */
/*  Takes NULL. Blocks until the device is idle. */
void client_cuda_close (client_cuda_memory_t **self_p);

#pragma GCC visibility pop

#endif
