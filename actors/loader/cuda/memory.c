// SPDX-License-Identifier: Apache-2.0
/*  memory.c - allocations on the device, whichever way they are shared
 *
 *  Promises: an allocation is one physical piece of its own, a multiple of the granularity, so that sharing it shares nothing else.
 */
#include "cuda_device.h"
#include <assert.h>

static loader_memory_t *memory_new (const loader_memory_form_t *form, uint64_t bytes, yard_error_t *error)
{
    loader_memory_t *memory = calloc (1, sizeof *memory);
    if (!memory)
        yard_error (error, YARD_OUT_OF_MEMORY, "no host memory for an allocation's row");
    else
        *memory = (loader_memory_t){ .form = form, .bytes = bytes };
    return memory;
}

static const loader_memory_form_t *form_of (loader_export_t word)
{
    const loader_memory_form_t *const forms [] = { &loader_memory_vmm, &loader_memory_ipc };
    for (size_t i = 0; i < sizeof forms / sizeof forms [0]; i++)
        if (forms [i]->word == word)
            return forms [i];
    return NULL;
}

int loader_memory_allocate (loader_device_t *self, uint64_t bytes, loader_memory_t **ret, yard_error_t *error)
{
    uint64_t grain = self->about.granularity, rounded;
    int rc = loader_cuda_enter (self, error);
    if (rc)
        return rc;
    if (__builtin_add_overflow (bytes ? bytes : 1, grain - 1, &rounded))
        return yard_error (error, YARD_OUT_OF_MEMORY, "no device has %llu bytes", (unsigned long long) bytes);
    loader_memory_t *memory = memory_new (self->form, rounded / grain * grain, error);
    if (!memory)
        return YARD_OUT_OF_MEMORY;
    rc = self->form->allocate (self, memory, error);
    if (rc)
        free (memory);
    else
        *ret = memory;
    return rc;
}

void loader_memory_release (loader_device_t *self, loader_memory_t **memory_p)
{
    loader_memory_t *memory = *memory_p;
    *memory_p = NULL;
    if (!memory)
        return;
    cudaSetDevice (self->ordinal); /* not enter: what a lost device still gives back is given back */
    memory->form->release (self, memory);
    free (memory);
}

uint64_t loader_memory_bytes (const loader_memory_t *memory)
{
    return memory->bytes;
}

bool loader_memory_holds (const loader_memory_t *memory, uint64_t offset, uint64_t size)
{
    return offset <= memory->bytes && size <= memory->bytes - offset;
}

int loader_memory_export (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                          yard_error_t *error)
{
    loader_handle_t handle = { .form = memory->form->word, .fd = -1, .size = memory->bytes };
    assert (!memory->imported);
    int rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = memory->form->export_memory (self, memory, &handle, error);
    if (!rc)
        *ret = handle;
    return rc;
}

int loader_memory_import (loader_device_t *self, const loader_handle_t *handle, loader_memory_t **ret,
                          yard_error_t *error)
{
    const loader_memory_form_t *form = form_of (handle->form);
    int rc = loader_cuda_enter (self, error);
    if (rc)
        return rc;
    if (!form || handle->size == 0)
        return yard_error (error, YARD_INVALID_MESSAGE, "the handle is of no form that this build knows");
    loader_memory_t *memory = memory_new (form, handle->size, error);
    if (!memory)
        return YARD_OUT_OF_MEMORY;
    memory->imported = true;
    rc = form->import_memory (self, handle, memory, error);
    if (rc)
        free (memory);
    else
        *ret = memory;
    return rc;
}
