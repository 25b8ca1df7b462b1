// SPDX-License-Identifier: Apache-2.0
/*  cuda_driver.c - the driver's functions for memory that is shared by descriptor
 *
 *  The runtime has no such functions. They are asked for through the runtime, each at the version whose type the table has, so nothing is
 *  linked against libcuda.so.1 and a machine without a driver still gets a sentence.
 */
#include "cuda_device.h"

#define DRIVER_VERSION 10020 /* since CUDA 10.2 the functions are as their types here say (cudaTypedefs.h) */

typedef void (any_fn) (void);

typedef struct {
    const char *name;
    size_t at; /* in loader_driver_t */
} entry_t;

static const entry_t entries [] = {
    { "cuDeviceGetAttribute", offsetof (loader_driver_t, get_attribute) },
    { "cuMemGetAllocationGranularity", offsetof (loader_driver_t, get_granularity) },
    { "cuMemCreate", offsetof (loader_driver_t, create) },
    { "cuMemRelease", offsetof (loader_driver_t, release) },
    { "cuMemAddressReserve", offsetof (loader_driver_t, reserve) },
    { "cuMemAddressFree", offsetof (loader_driver_t, address_free) },
    { "cuMemMap", offsetof (loader_driver_t, map) },
    { "cuMemUnmap", offsetof (loader_driver_t, unmap) },
    { "cuMemSetAccess", offsetof (loader_driver_t, set_access) },
    { "cuMemExportToShareableHandle", offsetof (loader_driver_t, export_handle) },
    { "cuMemImportFromShareableHandle", offsetof (loader_driver_t, import_handle) },
};

/*  What the device must say yes to. */
static const CUdevice_attribute needs [] = {
    CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
    CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
};

static int find_entry (loader_driver_t *self, const entry_t *entry, yard_error_t *error)
{
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    cudaError_t result =
        cudaGetDriverEntryPointByVersion (entry->name, &function, DRIVER_VERSION, cudaEnableDefault, &found);
    int rc = loader_cuda_check (NULL, result, entry->name, error);
    if (!rc && (found != cudaDriverEntryPointSuccess || !function))
        rc = yard_error (
            error, YARD_NOT_SERVED,
            "the NVIDIA driver has no %s, so memory cannot be shared by descriptor; install a newer "
            "driver, or set loader.export to ipc",
            entry->name);
    if (!rc)
        memcpy ((char *) self + entry->at, &function, sizeof function);
    return rc;
}

int loader_driver_open (loader_driver_t *self, int ordinal, yard_error_t *error)
{
    loader_driver_t found = { 0 };
    for (size_t i = 0; i < sizeof entries / sizeof entries [0]; i++) {
        int rc = find_entry (&found, &entries [i], error);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < sizeof needs / sizeof needs [0]; i++) {
        int yes = 0; /* a device's handle is its ordinal (cuda.h: cuDeviceGet) */
        int rc = loader_driver_check (NULL, found.get_attribute (&yes, needs [i], ordinal),
                                      "asking whether memory can be shared by descriptor", error);
        if (!rc && !yes)
            rc = yard_error (error, YARD_NOT_SERVED,
                             "this device cannot share memory by descriptor; set loader.export to ipc");
        if (rc)
            return rc;
    }
    *self = found;
    return 0;
}
