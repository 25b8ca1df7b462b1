// SPDX-License-Identifier: Apache-2.0
/*  simcuda_sharing_test.c - device memory in two processes: by the runtime's 64 bytes, and by the driver's descriptor
 *
 *  Lines are those of the headers of CUDA 13.0; `assumed` has no source.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <signal.h>
#include <cuda.h>
#include <cudaTypedefs.h>
#include "tests/simcuda/play.h"
#include "tests/simcuda/simcuda.h"

#define STEP (2 * PLAY_MIB)
#define SIZE (2 * STEP)

static void fill (uint8_t *memory, size_t size, int value)
{
    uint8_t *host = play_host (size, value, 1);
    must_do (cudaMemcpy (memory, host, size, cudaMemcpyHostToDevice));
    play_host_free (host, size, 1);
}

static void tell (int socket)
{
    play_send (socket, "x", 1, -1);
}

static void hear (int socket)
{
    char word;
    play_receive (socket, &word, 1, NULL);
}

/*  --- by handle */

static uint8_t *publish (int socket)
{
    uint8_t *memory;
    cudaIpcMemHandle_t handle;
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc ((void **) &memory, SIZE));
    fill (memory, SIZE, 0x61);
    must_do (cudaIpcGetMemHandle (&handle, memory));
    play_send (socket, &handle, sizeof handle, -1);
    return memory;
}

static uint8_t *fetch (int socket, cudaIpcMemHandle_t *ret)
{
    uint8_t *memory;
    must_do (cudaSetDevice (0));
    play_receive (socket, ret, sizeof *ret, NULL);
    must_do (cudaIpcOpenMemHandle ((void **) &memory, *ret, cudaIpcMemLazyEnablePeerAccess));
    must (play_device_all (memory, SIZE, 0x61));
    return memory;
}

static void own (int socket)
{
    uint8_t *memory = publish (socket);
    hear (socket);
    must_do (cudaFree (memory));
    tell (socket);
}

static void open_twice (int socket)
{
    cudaIpcMemHandle_t handle;
    uint8_t *memory = fetch (socket, &handle);
    void *again = NULL;
    must_do (cudaIpcOpenMemHandle (&again, handle, cudaIpcMemLazyEnablePeerAccess));
    must (again == memory && play_bytes_free () == 0); /* counted once, though two processes have it */
    must_do (cudaIpcCloseMemHandle (again));
    must (play_device_all (memory, SIZE, 0x61));
    must_do (cudaIpcCloseMemHandle (memory));
    tell (socket);
    hear (socket);
    must (play_bytes_free () == SIZE);
}

/*  cuda_runtime_api.h:829 "the reference count on the handle is incremented by 1 and the existing device pointer is returned"; :881 "When
 *  the reference count reaches 0, this API unmaps the memory." A program that does all in order leaves no line. */
static void a_handle_is_opened_elsewhere (void **unused)
{
    (void) unused;
    play_well (play_pair ("SIMCUDA_MEMORY=4194304", own, open_twice), NULL);
}

static void misuse_handle (int socket)
{
    cudaIpcMemHandle_t handle;
    uint8_t *memory = fetch (socket, &handle);
    void *again = NULL;
    must_be (cudaErrorInvalidValue, cudaIpcOpenMemHandle (&again, handle, 0));
    must_be (cudaErrorInvalidValue, cudaFree (memory));
    must_be (cudaErrorInvalidValue, cudaIpcCloseMemHandle (memory + 256));
    must_be (cudaErrorInvalidValue, cudaIpcGetMemHandle (&handle, memory));
    must_do (cudaIpcCloseMemHandle (memory));
    must_be (cudaErrorInvalidValue, cudaIpcCloseMemHandle (memory));
    tell (socket);
    hear (socket);
    must_be (cudaErrorInvalidResourceHandle,
             cudaIpcOpenMemHandle (&again, handle, cudaIpcMemLazyEnablePeerAccess));
    memset (&handle, 0x5a, sizeof handle);
    must_be (cudaErrorInvalidResourceHandle,
             cudaIpcOpenMemHandle (&again, handle, cudaIpcMemLazyEnablePeerAccess));
}

/*  cuda_runtime_api.h:848 ("Must be specified as cudaIpcMemLazyEnablePeerAccess"), :833 ("must be freed with cudaIpcCloseMemHandle"), :770
 *  ("a pointer to the base"), :851-858 (codes; which of them a dead handle has is assumed). */
static void a_handle_is_used_as_it_says (void **unused)
{
    (void) unused;
    play_well (play_pair ("", own, misuse_handle), "simcuda.double_free");
}

static void open_own (void)
{
    uint8_t *memory;
    void *again = NULL;
    cudaIpcMemHandle_t handle;
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc ((void **) &memory, SIZE));
    must_do (cudaIpcGetMemHandle (&handle, memory));
    must_be (cudaErrorDeviceUninitialized,
             cudaIpcOpenMemHandle (&again, handle, cudaIpcMemLazyEnablePeerAccess));
    must_be (cudaErrorInvalidValue, cudaIpcGetMemHandle (&handle, memory + 256));
    must_do (cudaFree (memory));
}

/*  cuda_runtime_api.h:813 "exported from another process", :855 (cudaErrorDeviceUninitialized); that it is this code is what UCX saw
 *  (openucx/ucx pull request 11603: "invalid device context"). */
static void a_handle_is_not_opened_by_its_owner (void **unused)
{
    (void) unused;
    play_well (play ("", open_own), NULL);
}

static void free_too_early (int socket)
{
    uint8_t *memory = publish (socket);
    hear (socket);
    must_do (cudaFree (memory));
    tell (socket);
}

static void read_too_late (int socket)
{
    cudaIpcMemHandle_t handle;
    uint8_t *memory = fetch (socket, &handle);
    tell (socket);
    hear (socket);
    must (play_device_all (memory, SIZE, 0xDB));
    must_do (cudaIpcCloseMemHandle (memory));
}

/*  cuda_runtime_api.h:836 "Calling cudaFree on an exported memory region before calling cudaIpcCloseMemHandle in the importing context
 *  will result in undefined behavior": here poison. */
static void memory_freed_before_its_importers_is_told (void **unused)
{
    (void) unused;
    play_well (play_pair ("", free_too_early, read_too_late),
               "simcuda.freed_with_importers importers=1 bytes=4194304");
}

static void publish_and_die (int socket)
{
    (void) publish (socket);
    hear (socket);
    (void) raise (SIGKILL);
}

static void outlive (int socket)
{
    cudaIpcMemHandle_t handle;
    char word;
    uint8_t *memory = fetch (socket, &handle), host [16] = { 0 };
    void *again;
    tell (socket);
    must (read (socket, &word, 1) == 0);
    while (play_device_all (memory, 16, 0x61))
        (void) sched_yield (); /* until the owner has quite gone */
    must_do (cudaMemcpy (host, memory, sizeof host, cudaMemcpyDeviceToHost));
    must_do (cudaIpcCloseMemHandle (memory));
    must_be (cudaErrorInvalidResourceHandle,
             cudaIpcOpenMemHandle (&again, handle, cudaIpcMemLazyEnablePeerAccess));
}

/*  assumed, from the same sentence: the owner's end frees its memory. */
static void a_handle_dangles_when_its_owner_dies (void **unused)
{
    (void) unused;
    play_t got = play_pair ("", publish_and_die, outlive);
    assert_int_equal (got.signal, SIGKILL);
    assert_int_equal (got.other_exit_status, 0);
    assert_non_null (strstr (got.log, "simcuda.dangling_import"));
}

/*  --- by descriptor */

static void *entry (const char *name)
{
    void *found = NULL;
    must_do (cudaGetDriverEntryPointByVersion (name, &found, 12000, cudaEnableDefault, NULL));
    must (found);
    return found;
}

/*  The driver's functions as programs get them; the types are the header's. */
typedef struct {
    PFN_cuMemCreate_v10020 create;
    PFN_cuMemRelease_v10020 release;
    PFN_cuMemAddressReserve_v10020 reserve;
    PFN_cuMemAddressFree_v10020 unreserve;
    PFN_cuMemMap_v10020 map;
    PFN_cuMemUnmap_v10020 unmap;
    PFN_cuMemSetAccess_v10020 permit;
    PFN_cuMemExportToShareableHandle_v10020 export;
    PFN_cuMemImportFromShareableHandle_v10020 import;
    PFN_cuMemGetAllocationGranularity_v10020 granularity;
} driver_t;

static driver_t driver (void)
{
    driver_t found;
    must_do (cudaSetDevice (0));
    *(void **) &found.create = entry ("cuMemCreate");
    *(void **) &found.release = entry ("cuMemRelease");
    *(void **) &found.reserve = entry ("cuMemAddressReserve");
    *(void **) &found.unreserve = entry ("cuMemAddressFree");
    *(void **) &found.map = entry ("cuMemMap");
    *(void **) &found.unmap = entry ("cuMemUnmap");
    *(void **) &found.permit = entry ("cuMemSetAccess");
    *(void **) &found.export = entry ("cuMemExportToShareableHandle");
    *(void **) &found.import = entry ("cuMemImportFromShareableHandle");
    *(void **) &found.granularity = entry ("cuMemGetAllocationGranularity");
    return found;
}

static CUmemAllocationProp properties (CUmemAllocationHandleType type)
{
    CUmemAllocationProp prop = { .type = CU_MEM_ALLOCATION_TYPE_PINNED, .requestedHandleTypes = type };
    prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    return prop;
}

static void allow (const driver_t *calls, CUdeviceptr at, CUmemAccess_flags flags)
{
    const CUmemAccessDesc access = { .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0 },
                                     .flags = flags };
    must_do (calls->permit (at, SIZE, &access, 1));
}

static CUdeviceptr map (const driver_t *calls, CUmemGenericAllocationHandle handle)
{
    CUdeviceptr at = 0;
    must_do (calls->reserve (&at, SIZE, 0, 0, 0));
    must (at % STEP == 0);
    must_do (calls->map (at, SIZE, 0, handle, 0));
    return at;
}

static void unmap (const driver_t *calls, CUdeviceptr at)
{
    must_do (calls->unmap (at, SIZE));
    must_do (calls->unreserve (at, SIZE));
}

static CUmemGenericAllocationHandle make (const driver_t *calls)
{
    CUmemAllocationProp prop = properties (CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    CUmemGenericAllocationHandle handle = 0;
    size_t step = 0;
    must_do (calls->granularity (&step, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    must (step == STEP);
    must_do (calls->create (&handle, SIZE, &prop, 0));
    return handle;
}

static void export_and_die (int socket)
{
    driver_t calls = driver ();
    CUmemGenericAllocationHandle handle = make (&calls);
    CUdeviceptr at = map (&calls, handle);
    int fd = -1;
    allow (&calls, at, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    fill ((uint8_t *) at, SIZE, 0x71);
    must_do (calls.export(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    play_send (socket, "f", 1, fd);
    hear (socket);
    (void) raise (SIGKILL);
}

static void import_and_stay (int socket)
{
    driver_t calls = driver ();
    CUmemGenericAllocationHandle handle = 0;
    char word;
    int fd = -1;
    play_receive (socket, &word, 1, &fd);
    must_do (calls.import (&handle, (void *) (uintptr_t) fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    close (fd);
    CUdeviceptr at = map (&calls, handle);
    uint8_t host [16] = { 0 };
    must_be (cudaErrorInvalidValue,
             cudaMemcpy (host, (void *) at, 16, cudaMemcpyDeviceToHost)); /* no access yet */
    allow (&calls, at, CU_MEM_ACCESS_FLAGS_PROT_READ);
    must (play_device_all ((void *) at, SIZE, 0x71));
    must_be (cudaErrorInvalidValue, cudaMemcpy ((void *) at, host, 16, cudaMemcpyHostToDevice));
    must_do (calls.release (handle));
    tell (socket);
    must (read (socket, &word, 1) == 0);
    must (play_device_all ((void *) at, SIZE, 0x71));
    must (play_bytes_free () == 2 * SIZE - SIZE);
    unmap (&calls, at);
    while (play_bytes_free () != 2 * SIZE)
        (void) sched_yield (); /* the owner's process goes a moment after its socket */
}

/*  cuda.h:12841 "The memory allocation will be freed when all outstanding mappings to the memory are unmapped and when all outstanding
 *  references to the handle (including it's shareable counterparts) are also released"; :12885 (no access before cuMemSetAccess); :4149
 *  (read accessible). The code of a refused copy is assumed. */
static void a_descriptor_keeps_memory_that_only_reads (void **unused)
{
    (void) unused;
    play_t got = play_pair ("SIMCUDA_MEMORY=8388608", export_and_die, import_and_stay);
    assert_int_equal (got.signal, SIGKILL);
    assert_int_equal (got.other_exit_status, 0);
    assert_non_null (strstr (got.log, "simcuda.access_denied write=0"));
    assert_non_null (strstr (got.log, "simcuda.access_denied write=1"));
}

static void map_carefully (void)
{
    driver_t calls = driver ();
    CUmemGenericAllocationHandle handle = make (&calls), again = 0;
    CUmemAllocationProp prop = properties (CU_MEM_HANDLE_TYPE_NONE);
    CUdeviceptr at = map (&calls, handle);
    cudaIpcMemHandle_t bytes;
    int fd = -1;
    must_be (CUDA_ERROR_INVALID_VALUE, calls.create (&again, STEP + 4096, &prop, 0));
    must_be (CUDA_ERROR_OUT_OF_MEMORY, calls.create (&again, SIZE, &prop, 0));
    must_be (CUDA_ERROR_INVALID_VALUE, calls.map (at, SIZE, 0, handle, 0)); /* something is there */
    must_be (CUDA_ERROR_INVALID_VALUE, calls.map (at + 16 * SIZE, SIZE, 0, handle, 0)); /* not reserved */
    must_be (CUDA_ERROR_INVALID_VALUE, calls.unmap (at, STEP)); /* a part */
    must_be (cudaErrorInvalidValue, cudaIpcGetMemHandle (&bytes, (void *) at));
    must_do (calls.release (handle));
    must_be (CUDA_ERROR_INVALID_VALUE,
             calls.export(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    must (play_bytes_free () == STEP); /* its mapping keeps it */
    must_do (calls.create (&again, STEP, &prop, 0));
    must_be (CUDA_ERROR_INVALID_VALUE, calls.export(&fd, again, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    must_do (calls.release (again));
    unmap (&calls, at);
    must (play_bytes_free () == SIZE + STEP);
}

/*  cuda.h:12782 (multiple of the granularity), :12894 ("not currently mapped"), :12867 ("previously reserved"), :13058 ("cannot unmap a
 *  sub-range"), :12843 (a handle may go before its mappings), :4309 (requestedHandleTypes). cuIpcGetMemHandle takes cuMemAlloc's memory
 *  only (cuda.h, cuIpcGetMemHandle). */
static void the_steps_of_mapping_are_checked (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_MEMORY=6291456", map_carefully), NULL);
}

static void keep_descriptor (void)
{
    driver_t calls = driver ();
    CUmemGenericAllocationHandle handle = make (&calls);
    int fd = -1;
    must_do (calls.export(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    must_do (calls.release (handle));
    must (play_bytes_free () == SIZE);
    must_do (calls.import (&handle, (void *) (uintptr_t) fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    must_do (calls.release (handle));
    close (fd);
    must (play_bytes_free () == 2 * SIZE);
    must_be (CUDA_ERROR_INVALID_VALUE,
             calls.import (&handle, NULL, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    must_do (calls.create (
        &handle, SIZE,
        &(CUmemAllocationProp){ .type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE } },
        0));
    must_do (calls.export(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    must_do (calls.release (handle));
}

/*  cuda.h:13147 "Once all shareable handles are closed and the allocation is released, the allocated memory referenced will be released". */
static void an_open_descriptor_keeps_its_memory (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_MEMORY=8388608", keep_descriptor),
               "simcuda.leak_descriptor bytes=4194304 device=0");
}

static void see_no_vmm (void)
{
    driver_t calls = driver ();
    CUmemAllocationProp prop = properties (CU_MEM_HANDLE_TYPE_NONE);
    CUmemGenericAllocationHandle handle;
    must_be (CUDA_ERROR_NOT_SUPPORTED, calls.create (&handle, SIZE, &prop, 0));
}

/*  cuda.h:12829 lists CUDA_ERROR_NOT_SUPPORTED; :831 is the attribute that tells. */
static void devices_may_have_no_virtual_memory (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_VMM=0", see_no_vmm), NULL);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_handle_is_opened_elsewhere),
        cmocka_unit_test (a_handle_is_used_as_it_says),
        cmocka_unit_test (a_handle_is_not_opened_by_its_owner),
        cmocka_unit_test (memory_freed_before_its_importers_is_told),
        cmocka_unit_test (a_handle_dangles_when_its_owner_dies),
        cmocka_unit_test (a_descriptor_keeps_memory_that_only_reads),
        cmocka_unit_test (the_steps_of_mapping_are_checked),
        cmocka_unit_test (an_open_descriptor_keeps_its_memory),
        cmocka_unit_test (devices_may_have_no_virtual_memory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
