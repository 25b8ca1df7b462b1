// SPDX-License-Identifier: Apache-2.0
/*  cuda_import_test.c - another process's memory on simulated GPUs, in both forms; and that our notes on CUDA's ABI are its headers'
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>
#include <sys/socket.h>
#include "proto/client/cuda_abi.h"
#include "proto/client/cuda_import.h"
#include "proto/client/dlpack.h"
#include "tests/simcuda/play.h"

#define SIZE (2 * PLAY_MIB)
#define VALUE 0x5a

/*  --- cuda_abi.h against the real headers */
_Static_assert(sizeof (cudaIpcMemHandle_t) == sizeof (cuda_ipc_t), "the handle that goes by value");
_Static_assert(sizeof (CUmemAccessDesc) == sizeof (cuda_access_t), "of cuMemSetAccess");
_Static_assert(offsetof (CUmemAccessDesc, flags) == offsetof (cuda_access_t, access), "of cuMemSetAccess");
_Static_assert(offsetof (CUmemAccessDesc, location.id) == offsetof (cuda_access_t, location.number),
               "of cuMemSetAccess");
_Static_assert(sizeof (CUdeviceptr) == sizeof (cuda_address_t), "addresses");
_Static_assert(sizeof (CUmemGenericAllocationHandle) == sizeof (cuda_allocation_t), "allocations");
_Static_assert(offsetof (struct cudaDeviceProp, uuid) == CUDA_UUID_AT, "where the UUID lies");
_Static_assert(sizeof (struct cudaDeviceProp) <= CUDA_PROPERTIES_SIZE_MAX, "room for a device's properties");
_Static_assert(sizeof (cudaError_t) == sizeof (int) && sizeof (CUresult) == sizeof (int), "results");
_Static_assert((int) cudaErrorMemoryAllocation == CUDA_OUT_OF_MEMORY &&
                   (int) CUDA_ERROR_OUT_OF_MEMORY == CUDA_OUT_OF_MEMORY,
               "errors");
_Static_assert((int) cudaErrorInsufficientDriver == CUDA_OLD_DRIVER &&
                   (int) cudaErrorNoDevice == CUDA_NO_DEVICE,
               "errors");
_Static_assert((int) CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR == CUDA_HANDLE_POSIX_FD, "constants");
_Static_assert((int) CU_MEM_LOCATION_TYPE_DEVICE == CUDA_LOCATION_DEVICE, "constants");
_Static_assert((int) CU_MEM_ACCESS_FLAGS_PROT_READ == CUDA_ACCESS_READ, "constants");
_Static_assert(cudaIpcMemLazyEnablePeerAccess == CUDA_IPC_LAZY_PEER, "constants");
_Static_assert((int) cudaDriverEntryPointSuccess == CUDA_ENTRY_FOUND &&
                   (int) cudaEnableDefault == CUDA_ENTRY_DEFAULT,
               "constants");

/*  The arguments: where enumerations and structs of ours stand for theirs, the types above say that they are as large. */
static void our_notes_are_the_headers_words (void **state)
{
    (void) state;
    assert_int_equal (CUDA_VERSION_OF_VMM, 10020);
    CUresult (*reserve) (CUdeviceptr *, size_t, size_t, CUdeviceptr, unsigned long long) =
        (PFN_cuMemAddressReserve_v10020) NULL;
    CUresult (*unreserve) (CUdeviceptr, size_t) = (PFN_cuMemAddressFree_v10020) NULL;
    CUresult (*map) (CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long) =
        (PFN_cuMemMap_v10020) NULL;
    CUresult (*unmap) (CUdeviceptr, size_t) = (PFN_cuMemUnmap_v10020) NULL;
    CUresult (*release) (CUmemGenericAllocationHandle) = (PFN_cuMemRelease_v10020) NULL;
    CUresult (*import) (CUmemGenericAllocationHandle *, void *, CUmemAllocationHandleType) =
        (PFN_cuMemImportFromShareableHandle_v10020) NULL;
    CUresult (*set_access) (CUdeviceptr, size_t, const CUmemAccessDesc *, size_t) =
        (PFN_cuMemSetAccess_v10020) NULL;
    cudaError_t (*ipc_open) (void **, cudaIpcMemHandle_t, unsigned) = cudaIpcOpenMemHandle;
    cudaError_t (*ipc_close) (void *) = cudaIpcCloseMemHandle;
    assert_true (!reserve && !unreserve && !map && !unmap && !release && !import && !set_access && ipc_open &&
                 ipc_close);
}

/*  --- an owner, as the loader's plug-in is one */
typedef struct {
    yard_cuda_handle_t handle;
} message_t;

static void *entry (const char *name)
{
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult found;
    must_do (
        cudaGetDriverEntryPointByVersion (name, &function, CUDA_VERSION_OF_VMM, cudaEnableDefault, &found));
    must (found == cudaDriverEntryPointSuccess);
    return function;
}

static void write_uuid (int device, char *ret)
{
    struct cudaDeviceProp properties;
    must_do (cudaGetDeviceProperties (&properties, device));
    int used = snprintf (ret, YARD_CUDA_UUID_SIZE, "GPU-");
    for (int i = 0; i < 16; i++)
        used += snprintf (ret + used, YARD_CUDA_UUID_SIZE - (size_t) used, "%s%02x",
                          i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                          (unsigned char) properties.uuid.bytes [i]);
}

static void fill (void *device)
{
    uint8_t *host = play_host (SIZE, VALUE, 0);
    must_do (cudaMemcpy (device, host, SIZE, cudaMemcpyHostToDevice));
    play_host_free (host, SIZE, 0);
}

/*  Hands out, then waits until the other side has ended the connection. */
static void hand_out (int socket, const message_t *message, int fd)
{
    char byte;
    play_send (socket, message, sizeof *message, fd);
    must (recv (socket, &byte, 1, 0) == 0);
}

static void own_ipc (int socket)
{
    message_t message = { .handle = { .form = YARD_CUDA_IPC, .fd = -1, .size = SIZE } };
    void *device = NULL;
    must_do (cudaSetDevice (1));
    must_do (cudaMalloc (&device, SIZE));
    fill (device);
    must_do (cudaIpcGetMemHandle ((cudaIpcMemHandle_t *) (void *) message.handle.bytes, device));
    write_uuid (1, message.handle.uuid);
    hand_out (socket, &message, -1);
    must_do (cudaFree (device));
}

static void own_vmm (int socket)
{
    message_t message = { .handle = { .form = YARD_CUDA_VMM, .size = SIZE } };
    CUmemAllocationProp wish = { .type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                 .location = { CU_MEM_LOCATION_TYPE_DEVICE, 1 } };
    CUmemAccessDesc access = { wish.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE };
    CUmemGenericAllocationHandle allocation;
    CUdeviceptr address = 0;
    int fd = -1;
    must_do (cudaSetDevice (1));
    must_do (((PFN_cuMemCreate_v10020) entry ("cuMemCreate")) (&allocation, SIZE, &wish, 0));
    must_do (((PFN_cuMemAddressReserve_v10020) entry ("cuMemAddressReserve")) (&address, SIZE, 0, 0, 0));
    must_do (((PFN_cuMemMap_v10020) entry ("cuMemMap")) (address, SIZE, 0, allocation, 0));
    must_do (((PFN_cuMemSetAccess_v10020) entry ("cuMemSetAccess")) (address, SIZE, &access, 1));
    fill ((void *) (uintptr_t) address);
    must_do (((PFN_cuMemExportToShareableHandle_v10020) entry ("cuMemExportToShareableHandle")) (
        &fd, allocation, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    write_uuid (1, message.handle.uuid);
    hand_out (socket, &message, fd);
    close (fd);
    must_do (((PFN_cuMemUnmap_v10020) entry ("cuMemUnmap")) (address, SIZE));
    must_do (((PFN_cuMemAddressFree_v10020) entry ("cuMemAddressFree")) (address, SIZE));
    must_do (((PFN_cuMemRelease_v10020) entry ("cuMemRelease")) (allocation));
}

/*  --- an importer: takes what came into a holding, reads it through DLPack, lets go */
static void use (int socket, bool vmm)
{
    message_t message;
    yard_error_t error = { 0 };
    yard_holding_t *holding = NULL;
    int current = -1;
    play_receive (socket, &message, sizeof message, vmm ? &message.handle.fd : NULL);
    must (yard_holding_new (socket, &holding, NULL) == 0);
    close (socket);
    if (yard_holding_import (holding, &message.handle, &error)) {
        (void) fprintf (stderr, "%s\n", error.text);
        _exit (PLAY_FAILED);
    }
    if (vmm)
        close (message.handle.fd);
    must_do (cudaGetDevice (&current));
    must (current == 0); /* this thread's is what it was */
    yard_dlpack_versioned_t *tensor = yard_dlpack_versioned_new (holding, 0);
    yard_holding_drop (&holding);
    must (tensor->tensor.device.type == YARD_DLPACK_CUDA && tensor->tensor.device.number == 1);
    must (tensor->tensor.shape [0] == (int64_t) SIZE && tensor->flags == YARD_DLPACK_READ_ONLY);
    must_do (cudaSetDevice (1));
    must (play_device_all (tensor->tensor.data, SIZE, VALUE));
    must_do (cudaSetDevice (0));
    yard_dlpack_versioned_destroy (&tensor);
    must_do (cudaGetDevice (&current));
    must (current == 0);
}

static void use_ipc (int socket)
{
    use (socket, false);
}

static void use_vmm (int socket)
{
    use (socket, true);
}

static void well (play_t got)
{
    assert_int_equal (got.signal, 0);
    assert_int_equal (got.exit_status, 0);
    assert_int_equal (got.other_signal, 0);
    assert_int_equal (got.other_exit_status, 0);
    assert_string_equal (got.log, ""); /* no leak, no wrong device, nothing freed too early */
}

static void memory_by_descriptor_is_read_and_let_go (void **state)
{
    (void) state;
    well (play_pair ("SIMCUDA_DEVICES=2", own_vmm, use_vmm));
}

static void memory_by_handle_is_read_and_let_go_before_the_owner_frees_it (void **state)
{
    (void) state;
    well (play_pair ("SIMCUDA_DEVICES=2", own_ipc, use_ipc));
}

/*  --- what is refused, and leaves nothing behind (the simulation would log it) */
static int import (yard_cuda_handle_t handle, yard_error_t *error)
{
    yard_holding_t *holding = NULL;
    must (yard_holding_new (STDERR_FILENO, &holding, NULL) == 0);
    int rc = yard_holding_import (holding, &handle, error);
    must (yard_holding_count (holding) == 0);
    yard_holding_drop (&holding);
    return rc;
}

static void import_elsewhere (void)
{
    yard_error_t error = { 0 };
    must (import ((yard_cuda_handle_t){ .form = YARD_CUDA_IPC, .size = SIZE, .uuid = "GPU-none" }, &error) ==
          YARD_NOT_LOCAL);
    must (strstr (error.text, "CUDA_VISIBLE_DEVICES") != NULL);
    must (import ((yard_cuda_handle_t){ .form = 7, .size = SIZE }, &error) == YARD_NOT_IMPLEMENTED);
}

static void import_without_a_driver (void)
{
    yard_error_t error = { 0 };
    must (import ((yard_cuda_handle_t){ .form = YARD_CUDA_VMM, .fd = -1, .size = SIZE, .uuid = "GPU-none" },
                  &error) == YARD_NOT_SERVED);
}

static void a_device_that_is_not_seen_is_not_local (void **state)
{
    (void) state;
    well (play ("SIMCUDA_DEVICES=2", import_elsewhere));
}

static void without_a_driver_it_is_not_served (void **state)
{
    (void) state;
    well (play ("SIMCUDA_DEVICES=0", import_without_a_driver));
}

/*  One call of an import fails; the sentence is there, and nothing stays. */
static const char *failing; /* which, for the process that imports */

static void import_failing (int socket)
{
    message_t message;
    yard_error_t error = { 0 };
    bool vmm = !strstr (failing, "Ipc");
    (void) setenv ("SIMCUDA_FAULTS", failing, 1);
    play_receive (socket, &message, sizeof message, vmm ? &message.handle.fd : NULL);
    int rc = import (message.handle, &error);
    if (vmm)
        close (message.handle.fd);
    must (rc == YARD_OUT_OF_MEMORY || rc == YARD_GONE);
    must (error.text [0] != 0);
}

static void what_fails_half_way_leaves_nothing (void **state)
{
    (void) state;
    static const struct {
        const char *failing;
        void (*owner) (int socket);
    } rows [] = {
        { "cudaSetDevice:1=2", own_vmm },
        { "cudaGetDriverEntryPointByVersion:3=2", own_vmm },
        { "cuMemImportFromShareableHandle:1=400", own_vmm },
        { "cuMemAddressReserve:1=2", own_vmm },
        { "cuMemMap:1=2", own_vmm },
        { "cuMemSetAccess:1=2", own_vmm },
        { "cudaIpcOpenMemHandle:1=400", own_ipc },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++) {
        failing = rows [i].failing;
        play_t got = play_pair ("SIMCUDA_DEVICES=2", rows [i].owner, import_failing);
        const char *end = strchr (got.log, '\n');
        assert_true (strncmp (got.log, "simcuda.fault ", 14) == 0 && end &&
                     end [1] == 0); /* that, and no leak */
        got.log [0] = 0;
        well (got);
    }
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (our_notes_are_the_headers_words),
        cmocka_unit_test (memory_by_descriptor_is_read_and_let_go),
        cmocka_unit_test (memory_by_handle_is_read_and_let_go_before_the_owner_frees_it),
        cmocka_unit_test (a_device_that_is_not_seen_is_not_local),
        cmocka_unit_test (without_a_driver_it_is_not_served),
        cmocka_unit_test (what_fails_half_way_leaves_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
