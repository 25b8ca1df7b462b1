// SPDX-License-Identifier: Apache-2.0
/*  cuda_device.h - what the files of the CUDA plug-in share; nobody outside this folder sees it
 *
 *  Invariants: every entry of the table calls loader_cuda_enter first, so CUDA's current device is ours whichever thread it is; every
 *  result of CUDA goes through loader_cuda_check (NCCL's through gather_nccl.c), so no error stays behind in CUDA and no lost device goes
 *  unnoticed; the default stream is never used.
 */
#ifndef LOADER_CUDA_DEVICE_H
#define LOADER_CUDA_DEVICE_H

#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include "actors/loader/device.h"

#define LOADER_DEVICES_MAX \
    64 /* of one machine; the largest sold today have 16, cut into 7 instances each at most half of that */

/*  --- what stands in the machine (cuda_list.c) */
typedef struct {
    int ordinal; /* CUDA's number, which depends on CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER */
    loader_device_about_t about; /* as far as it is known without opening */
} loader_cuda_row_t;

/*  Sorted by PCI address. not_served, with what is missing, when there is none. */
int loader_cuda_list (loader_cuda_row_t *rows, int *ret_count, yard_error_t *error);
int loader_cuda_find (const char *device, loader_cuda_row_t *ret, yard_error_t *error);

/*  --- the driver's functions for memory with descriptors, which the runtime does not have (cuda_driver.c) */
typedef struct {
    PFN_cuDeviceGetAttribute_v2000 get_attribute;
    PFN_cuMemGetAllocationGranularity_v10020 get_granularity;
    PFN_cuMemCreate_v10020 create;
    PFN_cuMemRelease_v10020 release;
    PFN_cuMemAddressReserve_v10020 reserve;
    PFN_cuMemAddressFree_v10020 address_free;
    PFN_cuMemMap_v10020 map;
    PFN_cuMemUnmap_v10020 unmap;
    PFN_cuMemSetAccess_v10020 set_access;
    PFN_cuMemExportToShareableHandle_v10020 export_handle;
    PFN_cuMemImportFromShareableHandle_v10020 import_handle;
} loader_driver_t;

/*  not_served: this driver, or this device (by its ordinal), cannot. */
int loader_driver_open (loader_driver_t *self, int ordinal, yard_error_t *error);

/*  --- a device (device_cuda.c) */
typedef struct loader_pin_t loader_pin_t; /* a run of page-locked host memory (copy.c) */
typedef struct loader_memory_form_t loader_memory_form_t;

struct loader_device_t {
    int ordinal;
    loader_device_about_t about; /* as it was when it was opened */
    cudaStream_t copies,
        gathers; /* non-blocking ones: neither waits for the other, nor for the default stream */
    const loader_memory_form_t *form;
    loader_driver_t driver; /* filled where form is vmm */
    loader_pin_t *pins;
    bool lost;
    char lost_why [160]; /* the sentence of the failure that lost it */
};

/*  Makes the device the thread's current one; device_lost once it is. */
int loader_cuda_enter (loader_device_t *self, yard_error_t *error);

/*  --- memory (memory.c, memory_vmm.c, memory_ipc.c) */
struct loader_memory_t {
    const loader_memory_form_t *form;
    char *data; /* a device's address: not to be followed here */
    uint64_t bytes;
    CUmemGenericAllocationHandle handle; /* vmm */
    bool imported;
};

/*  What the ways of sharing memory differ in. allocate and import find bytes filled in; on failure they leave nothing on the device. */
struct loader_memory_form_t {
    loader_export_t word;
    int (*prepare) (loader_device_t *self, uint64_t *ret_granularity, yard_error_t *error);
    int (*allocate) (loader_device_t *self, loader_memory_t *memory, yard_error_t *error);
    void (*release) (loader_device_t *self, loader_memory_t *memory);
    int (*export_memory) (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                          yard_error_t *error);
    int (*import_memory) (loader_device_t *self, const loader_handle_t *handle, loader_memory_t *memory,
                          yard_error_t *error);
};
extern const loader_memory_form_t loader_memory_vmm, loader_memory_ipc;

int loader_memory_allocate (loader_device_t *self, uint64_t bytes, loader_memory_t **ret,
                            yard_error_t *error);
void loader_memory_release (loader_device_t *self, loader_memory_t **memory_p);
uint64_t loader_memory_bytes (const loader_memory_t *memory);
int loader_memory_export (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                          yard_error_t *error);
int loader_memory_import (loader_device_t *self, const loader_handle_t *handle, loader_memory_t **ret,
                          yard_error_t *error);
bool loader_memory_holds (const loader_memory_t *memory, uint64_t offset, uint64_t size);

/*  --- copies (copy.c). An event is CUDA's own. */
static inline cudaEvent_t loader_event_cuda (loader_event_t *event)
{
    return (cudaEvent_t) event;
}

int loader_copy_pin (loader_device_t *self, void *data, size_t size, yard_error_t *error);
void loader_copy_unpin (loader_device_t *self, void *data);
int loader_copy_event_new (loader_device_t *self, loader_event_t **ret, yard_error_t *error);
void loader_copy_event_destroy (loader_device_t *self, loader_event_t **event_p);
int loader_copy_start (loader_device_t *self, loader_memory_t *to, uint64_t offset, const void *from,
                       size_t size, loader_event_t *event, yard_error_t *error);
int loader_copy_done (loader_device_t *self, loader_event_t *event, int *ret_done, yard_error_t *error);
int loader_copy_wait (loader_device_t *self, loader_event_t *event, yard_error_t *error);
int loader_copy_read (loader_device_t *self, loader_memory_t *from, uint64_t offset, void *to, size_t size,
                      yard_error_t *error);

/*  --- gathers (gather_nccl.c), in a build with NCCL */
int loader_nccl_version (void); /* as the library counts */
int loader_nccl_id (loader_device_t *self, uint8_t ret_id [LOADER_GATHER_ID_SIZE], yard_error_t *error);
int loader_nccl_join (loader_device_t *self, const uint8_t id [LOADER_GATHER_ID_SIZE], unsigned rank,
                      unsigned ranks, loader_gather_t **ret, yard_error_t *error);
int loader_nccl_gather (loader_gather_t *self, loader_memory_t *memory, uint64_t offset, uint64_t share,
                        loader_event_t *after, yard_error_t *error);
int loader_nccl_broadcast (loader_gather_t *self, loader_memory_t *memory, uint64_t offset, uint64_t bytes,
                           unsigned root, loader_event_t *after, yard_error_t *error);
int loader_nccl_state (loader_gather_t *self, int *ret_done, yard_error_t *error);
void loader_nccl_leave (loader_gather_t **self_p, int abort);

/*  --- errors (cuda_errors.c)
 *  0 for success, else our code with the sentence "<doing> on <device>: <CUDA's words>; <next step>". Takes the error out of CUDA's
 *  memory of the last one, and notes in self (NULL: no device is open yet) that the device is lost when the error is one that stays.
 *  The driver's codes are the runtime's numbers (driver_types.h says at each which it is the same as). */
int loader_cuda_check (loader_device_t *self, cudaError_t result, const char *doing, yard_error_t *error);

static inline int loader_driver_check (loader_device_t *self, CUresult result, const char *doing,
                                       yard_error_t *error)
{
    return loader_cuda_check (self, (cudaError_t) result, doing, error);
}

#endif
