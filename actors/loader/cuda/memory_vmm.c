// SPDX-License-Identifier: Apache-2.0
/*  memory_vmm.c - memory shared by descriptor: one physical allocation, mapped read-write here and read-only where it is imported
 *
 *  The driver counts who holds the physical memory, over all processes: it lives until the last mapping, handle and descriptor is gone,
 *  so an importer outlives us without harm (reference: cuda.h, cuMemRelease and cuMemExportToShareableHandle).
 */
#include "cuda_device.h"
#include <errno.h>
#include <fcntl.h>

#define HANDLE_KIND CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR

static CUmemAllocationProp kind_of_memory (const loader_device_t *self)
{
    return (CUmemAllocationProp){ .type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                  .requestedHandleTypes = HANDLE_KIND,
                                  .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE, .id = self->ordinal } };
}

static int vmm_prepare (loader_device_t *self, uint64_t *ret_granularity, yard_error_t *error)
{
    CUmemAllocationProp kind = kind_of_memory (self);
    size_t granularity = 0;
    int rc = loader_driver_open (&self->driver, self->ordinal, error);
    if (!rc)
        rc = loader_driver_check (
            self, self->driver.get_granularity (&granularity, &kind, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
            "asking for the granularity of memory", error);
    if (!rc && granularity == 0)
        rc = yard_error (error, YARD_NOT_SERVED,
                         "the driver says that memory has no granularity; set loader.export to ipc");
    if (!rc)
        *ret_granularity = granularity;
    return rc;
}

/*  Mapping, handle and addresses, as far as there are any; what fails here stays lost, there is no second way. */
static void vmm_release (loader_device_t *self, loader_memory_t *memory)
{
    const loader_driver_t *driver = &self->driver;
    CUdeviceptr at = (CUdeviceptr) memory->data;
    if (at) {
        loader_driver_check (self, driver->unmap (at, memory->bytes), "taking memory out of its addresses",
                             NULL);
        loader_driver_check (self, driver->address_free (at, memory->bytes), "giving addresses back", NULL);
    }
    loader_driver_check (self, driver->release (memory->handle), "giving memory back", NULL);
}

/*  Gives memory->handle an address with these rights; on failure it has none. */
static int map_memory (loader_device_t *self, loader_memory_t *memory, CUmemAccess_flags rights,
                       yard_error_t *error)
{
    const loader_driver_t *driver = &self->driver;
    CUmemAccessDesc access = { .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE, .id = self->ordinal },
                               .flags = rights };
    CUdeviceptr at = 0;
    int rc = loader_driver_check (self, driver->reserve (&at, memory->bytes, 0, 0, 0), "reserving addresses",
                                  error);
    if (rc)
        return rc;
    rc = loader_driver_check (self, driver->map (at, memory->bytes, 0, memory->handle, 0), "mapping memory",
                              error);
    if (!rc) {
        rc = loader_driver_check (self, driver->set_access (at, memory->bytes, &access, 1),
                                  "setting the rights to memory", error);
        if (rc)
            loader_driver_check (self, driver->unmap (at, memory->bytes),
                                 "taking memory out of its addresses", NULL);
    }
    if (rc)
        loader_driver_check (self, driver->address_free (at, memory->bytes), "giving addresses back", NULL);
    else
        memory->data = (char *) at;
    return rc;
}

static int map_or_release (loader_device_t *self, loader_memory_t *memory, CUmemAccess_flags rights,
                           yard_error_t *error)
{
    int rc = map_memory (self, memory, rights, error);
    if (rc)
        vmm_release (self, memory);
    return rc;
}

static int vmm_allocate (loader_device_t *self, loader_memory_t *memory, yard_error_t *error)
{
    CUmemAllocationProp kind = kind_of_memory (self);
    int rc = loader_driver_check (self, self->driver.create (&memory->handle, memory->bytes, &kind, 0),
                                  "allocating memory", error);
    return rc ? rc : map_or_release (self, memory, CU_MEM_ACCESS_FLAGS_PROT_READWRITE, error);
}

static int vmm_export (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                       yard_error_t *error)
{
    int fd = -1;
    int rc = loader_driver_check (self, self->driver.export_handle (&fd, memory->handle, HANDLE_KIND, 0),
                                  "exporting memory as a descriptor", error);
    if (rc)
        return rc;
    if (fcntl (fd, F_SETFD, FD_CLOEXEC) != 0) {
        rc = yard_error_errno (error, errno, "keeping the exported memory from child processes");
        close (fd);
        return rc;
    }
    ret->fd = fd;
    return 0;
}

static int vmm_import (loader_device_t *self, const loader_handle_t *handle, loader_memory_t *memory,
                       yard_error_t *error)
{
    int rc = self->driver.create ? 0 : loader_driver_open (&self->driver, self->ordinal, error);
    if (!rc)
        rc = loader_driver_check (
            self, self->driver.import_handle (&memory->handle, (void *) (intptr_t) handle->fd, HANDLE_KIND),
            "importing memory from a descriptor", error);
    return rc ? rc : map_or_release (self, memory, CU_MEM_ACCESS_FLAGS_PROT_READ, error);
}

const loader_memory_form_t loader_memory_vmm = {
    .word = LOADER_EXPORT_VMM,
    .prepare = vmm_prepare,
    .allocate = vmm_allocate,
    .release = vmm_release,
    .export_memory = vmm_export,
    .import_memory = vmm_import,
};
