// SPDX-License-Identifier: Apache-2.0
/*  memory_ipc.c - memory shared by 64 bytes (CUDA's legacy IPC), for devices that cannot share it by descriptor
 *
 *  Importers get it writable, must close it before we free it, and see it vanish when this process ends: whoever hands it out waits for
 *  them (cuda_runtime_api.h, cudaIpcGetMemHandle and cudaIpcCloseMemHandle).
 */
#include "cuda_device.h"

/*  cudaMalloc cuts smaller pieces from blocks of this size, and a handle opens the whole block: with less, a model's neighbours would be
 *  handed out with it (CUDA programming guide, "Interprocess Communication"). */
#define BLOCK_BYTES ((uint64_t) 2 * 1024 * 1024)

_Static_assert(sizeof (cudaIpcMemHandle_t) == LOADER_HANDLE_SIZE, "a handle is as large as device.h says");

static int ipc_prepare (loader_device_t *self, uint64_t *ret_granularity, yard_error_t *error)
{
    int unified = 0;
    int rc = loader_cuda_check (
        self, cudaDeviceGetAttribute (&unified, cudaDevAttrUnifiedAddressing, self->ordinal),
        "asking whether memory can be shared", error);
    if (!rc && !unified)
        rc = yard_error (
            error, YARD_NOT_SERVED,
            "this device cannot share memory with other processes (no unified addressing); load for "
            "another device");
    if (!rc)
        *ret_granularity = BLOCK_BYTES;
    return rc;
}

static int ipc_allocate (loader_device_t *self, loader_memory_t *memory, yard_error_t *error)
{
    void *data = NULL;
    int rc = loader_cuda_check (self, cudaMalloc (&data, memory->bytes), "allocating memory", error);
    memory->data = data;
    return rc;
}

static void ipc_release (loader_device_t *self, loader_memory_t *memory)
{
    if (memory->imported)
        loader_cuda_check (self, cudaIpcCloseMemHandle (memory->data), "closing another process's memory",
                           NULL);
    else
        loader_cuda_check (self, cudaFree (memory->data), "giving memory back", NULL);
}

static int ipc_export (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                       yard_error_t *error)
{
    cudaIpcMemHandle_t handle;
    int rc = loader_cuda_check (self, cudaIpcGetMemHandle (&handle, memory->data), "exporting memory", error);
    if (!rc)
        memcpy (ret->bytes, &handle, sizeof handle);
    return rc;
}

static int ipc_import (loader_device_t *self, const loader_handle_t *handle, loader_memory_t *memory,
                       yard_error_t *error)
{
    cudaIpcMemHandle_t own;
    void *data = NULL;
    memcpy (&own, handle->bytes, sizeof own);
    int rc = loader_cuda_check (self, cudaIpcOpenMemHandle (&data, own, cudaIpcMemLazyEnablePeerAccess),
                                "importing another process's memory", error);
    memory->data = data;
    return rc;
}

const loader_memory_form_t loader_memory_ipc = {
    .word = LOADER_EXPORT_IPC,
    .prepare = ipc_prepare,
    .allocate = ipc_allocate,
    .release = ipc_release,
    .export_memory = ipc_export,
    .import_memory = ipc_import,
};
