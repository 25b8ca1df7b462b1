// SPDX-License-Identifier: Apache-2.0
/*  cuda_import.c - opens and closes another process's GPU memory, with functions looked up at run time
 *
 *  Promises: what fails half-way leaves nothing behind. Whatever CUDA answers while closing is not looked at: the process may be ending,
 *  and then the driver has gone first.
 */
#include "cuda_import.h"
#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>
#include "cuda_abi.h"

static const char *const runtimes [] = { "libcudart.so.13", "libcudart.so.12" };

typedef struct {
    const char *name;
    size_t at; /* in cuda_functions_t */
} function_t;

static const function_t from_runtime [] = {
    { "cudaGetDeviceCount", offsetof (cuda_functions_t, count) },
    { "cudaGetDeviceProperties", offsetof (cuda_functions_t, properties) },
    { "cudaSetDevice", offsetof (cuda_functions_t, set_device) },
    { "cudaDeviceSynchronize", offsetof (cuda_functions_t, synchronize) },
    { "cudaIpcOpenMemHandle", offsetof (cuda_functions_t, ipc_open) },
    { "cudaIpcCloseMemHandle", offsetof (cuda_functions_t, ipc_close) },
    { "cudaGetErrorString", offsetof (cuda_functions_t, words) },
    { "cudaGetDriverEntryPointByVersion", offsetof (cuda_functions_t, entry) },
    { NULL, 0 },
};

static const function_t from_driver [] = {
    { "cuMemImportFromShareableHandle", offsetof (cuda_functions_t, import) },
    { "cuMemRelease", offsetof (cuda_functions_t, release) },
    { "cuMemAddressReserve", offsetof (cuda_functions_t, reserve) },
    { "cuMemAddressFree", offsetof (cuda_functions_t, unreserve) },
    { "cuMemMap", offsetof (cuda_functions_t, map) },
    { "cuMemUnmap", offsetof (cuda_functions_t, unmap) },
    { "cuMemSetAccess", offsetof (cuda_functions_t, set_access) },
    { NULL, 0 },
};

struct client_cuda_memory_t {
    cuda_functions_t cuda;
    int32_t form;
    int device;
    void *data;
    size_t size;
};

/*  --- CUDA's words */
static int check (const cuda_functions_t *cuda, int result, const char *doing, yard_error_t *error)
{
    static const struct {
        int result, code;
    } codes [] = { { CUDA_OUT_OF_MEMORY, YARD_OUT_OF_MEMORY },
                   { CUDA_OLD_DRIVER, YARD_NOT_SERVED },
                   { CUDA_NO_DEVICE, YARD_NOT_SERVED } };
    int code = YARD_GONE;
    if (result == 0)
        return 0;
    for (size_t i = 0; i < sizeof codes / sizeof codes [0]; i++)
        if (codes [i].result == result)
            code = codes [i].code;
    return yard_error (error, code, "%s: %s (CUDA's error %d); %s", doing, cuda->words (result), result,
                       code == YARD_GONE ? "load the model again" : "see `modelyard doctor`");
}

/*  --- finding the functions */
/*  The runtime that the process has, before one of our choosing; it stays loaded. */
static void *find_runtime (void)
{
    for (int loading = 0; loading < 2; loading++)
        for (size_t i = 0; i < sizeof runtimes / sizeof runtimes [0]; i++) {
            void *library = dlopen (runtimes [i], RTLD_NOW | RTLD_NODELETE | (loading ? 0 : RTLD_NOLOAD));
            if (library)
                return library;
        }
    return NULL;
}

static void put (cuda_functions_t *self, const function_t *row, void *function)
{
    memcpy ((char *) self + row->at, &function, sizeof function);
}

static int find_in_runtime (cuda_functions_t *self, yard_error_t *error)
{
    void *library = find_runtime ();
    if (!library)
        return yard_error (error, YARD_NOT_SERVED,
                           "this process has no CUDA runtime, and %s is not found; install it, or load the "
                           "model on the host",
                           runtimes [0]);
    int rc = 0;
    for (const function_t *row = from_runtime; row->name && rc == 0; row++) {
        void *function = dlsym (library, row->name);
        put (self, row, function);
        if (!function)
            rc = yard_error (error, YARD_NOT_SERVED,
                             "the CUDA runtime has no %s; CUDA 12.5 or newer is needed", row->name);
    }
    dlclose (library);
    return rc;
}

static int find_in_driver (cuda_functions_t *self, yard_error_t *error)
{
    for (const function_t *row = from_driver; row->name; row++) {
        void *function = NULL;
        int found = -1;
        int rc =
            check (self, self->entry (row->name, &function, CUDA_VERSION_OF_VMM, CUDA_ENTRY_DEFAULT, &found),
                   row->name, error);
        if (rc)
            return rc;
        if (found != CUDA_ENTRY_FOUND || !function)
            return yard_error (
                error, YARD_NOT_SERVED,
                "the NVIDIA driver has no %s; install a newer one, or set the loader's export to ipc",
                row->name);
        put (self, row, function);
    }
    return 0;
}

/*  --- which device */
static void write_uuid (const unsigned char *id, char ret [YARD_CUDA_UUID_SIZE])
{
    int used = snprintf (ret, YARD_CUDA_UUID_SIZE, "GPU-");
    for (int i = 0; i < CUDA_UUID_SIZE; i++)
        used += snprintf (ret + used, YARD_CUDA_UUID_SIZE - (size_t) used,
                          i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id [i]);
}

static int find_device (client_cuda_memory_t *self, const char *uuid, yard_error_t *error)
{
    _Alignas(max_align_t) unsigned char properties [CUDA_PROPERTIES_SIZE_MAX];
    char text [YARD_CUDA_UUID_SIZE];
    int count = 0;
    int rc = check (&self->cuda, self->cuda.count (&count), "counting the devices", error);
    for (int i = 0; i < count && rc == 0; i++) {
        rc = check (&self->cuda, self->cuda.properties (properties, i), "looking at a device", error);
        write_uuid (properties + CUDA_UUID_AT, text);
        if (rc == 0 && strcasecmp (text, uuid) == 0) {
            self->device = i;
            return 0;
        }
    }
    return rc ? rc
              : yard_error (error, YARD_NOT_LOCAL,
                            "the model lies on %.40s, which is not among the %d devices that this process "
                            "sees; see CUDA_VISIBLE_DEVICES",
                            uuid, count);
}

/*  --- the two forms */
static int open_vmm (client_cuda_memory_t *self, const yard_cuda_handle_t *handle, yard_error_t *error)
{
    const cuda_functions_t *cuda = &self->cuda;
    const cuda_access_t readers = { { CUDA_LOCATION_DEVICE, self->device }, CUDA_ACCESS_READ };
    cuda_allocation_t allocation = 0;
    cuda_address_t address = 0;
    bool mapped = false;
    int rc = check (cuda, cuda->import (&allocation, (void *) (intptr_t) handle->fd, CUDA_HANDLE_POSIX_FD),
                    "importing a descriptor", error);
    if (rc)
        return rc;
    rc = check (cuda, cuda->reserve (&address, self->size, 0, 0, 0), "reserving addresses", error);
    if (rc == 0) {
        rc = check (cuda, cuda->map (address, self->size, 0, allocation, 0), "mapping the model", error);
        mapped = rc == 0;
    }
    if (rc == 0)
        rc = check (cuda, cuda->set_access (address, self->size, &readers, 1),
                    "opening the model for reading", error);
    if (rc && mapped)
        cuda->unmap (address, self->size);
    if (rc && address)
        cuda->unreserve (address, self->size);
    cuda->release (allocation); /* the mapping keeps the memory */
    if (rc == 0)
        self->data = (void *) (uintptr_t) address;
    return rc;
}

static void close_vmm (client_cuda_memory_t *self)
{
    cuda_address_t address = (cuda_address_t) (uintptr_t) self->data;
    self->cuda.unmap (address, self->size);
    self->cuda.unreserve (address, self->size);
}

static int open_ipc (client_cuda_memory_t *self, const yard_cuda_handle_t *handle, yard_error_t *error)
{
    cuda_ipc_t theirs;
    memcpy (theirs.bytes, handle->bytes, sizeof theirs.bytes);
    return check (&self->cuda, self->cuda.ipc_open (&self->data, theirs, CUDA_IPC_LAZY_PEER),
                  "opening the model's memory", error);
}

static void close_ipc (client_cuda_memory_t *self)
{
    self->cuda.ipc_close (self->data);
}

/*  --- on a thread of our own */
typedef struct {
    client_cuda_memory_t *memory;
    const yard_cuda_handle_t *handle;
    yard_error_t *error;
    int rc;
} opening_t;

static void *open_there (void *argument)
{
    opening_t *opening = argument;
    client_cuda_memory_t *self = opening->memory;
    bool vmm = self->form == YARD_CUDA_VMM;
    int rc = find_in_runtime (&self->cuda, opening->error);
    if (rc == 0)
        rc = find_device (self, opening->handle->uuid, opening->error);
    if (rc == 0)
        rc = check (&self->cuda, self->cuda.set_device (self->device), "choosing the device", opening->error);
    if (rc == 0 && vmm)
        rc = find_in_driver (&self->cuda, opening->error);
    if (rc == 0)
        rc = (vmm ? open_vmm : open_ipc) (self, opening->handle, opening->error);
    opening->rc = rc;
    return NULL;
}

static void *close_there (void *argument)
{
    client_cuda_memory_t *self = argument;
    self->cuda.set_device (self->device);
    self->cuda.synchronize ();
    (self->form == YARD_CUDA_VMM ? close_vmm : close_ipc) (self);
    return NULL;
}

static int run_there (void *(*work) (void *), void *argument)
{
    pthread_t thread;
    int rc = pthread_create (&thread, NULL, work, argument);
    return rc ? rc : pthread_join (thread, NULL);
}

int client_cuda_open (const yard_cuda_handle_t *handle, client_cuda_memory_t **ret, yard_error_t *error)
{
    if (handle->form != YARD_CUDA_VMM && handle->form != YARD_CUDA_IPC)
        return yard_error (
            error, YARD_NOT_IMPLEMENTED,
            "the loader shares its memory in a form that this library does not know; update it");
    client_cuda_memory_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->form = handle->form;
    self->size = handle->size;
    opening_t opening = { .memory = self, .handle = handle, .error = error };
    int failed = run_there (open_there, &opening);
    int rc = failed ? yard_error_errno (error, failed, "cannot start a thread") : opening.rc;
    if (rc)
        free (self);
    else
        *ret = self;
    return rc;
}

void *client_cuda_data (const client_cuda_memory_t *self)
{
    return self->data;
}

int client_cuda_device (const client_cuda_memory_t *self)
{
    return self->device;
}

void client_cuda_close (client_cuda_memory_t **self_p)
{
    assert (self_p);
    if (*self_p)
        run_there (close_there, *self_p); /* without a thread the memory stays until the process ends */
    free (*self_p);
    *self_p = NULL;
}
