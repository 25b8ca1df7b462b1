// SPDX-License-Identifier: Apache-2.0
/*  copy.c - from the host's memory to the device's, and the marks that say when it is over
 *
 *  Promises: a copy from pinned memory returns at once; one that fails has nothing under way any more. All copies of a device are in one
 *  stream, hence in order; more streams do not make the link faster.
 */
#include "cuda_device.h"
#include <assert.h>

/*  Registering locks and maps each page; in steps, so that the driver's own lock is not held for the seconds that 100 GiB take. */
#define PIN_STEP_BYTES ((size_t) 1 << 30)

struct loader_pin_t {
    loader_pin_t *next;
    char *data;
    size_t size, registered;
};

/*  The last step first; what fails here is not registered any more, or the device is lost. */
static void unregister (loader_device_t *self, loader_pin_t *pin)
{
    size_t steps = (pin->registered + PIN_STEP_BYTES - 1) / PIN_STEP_BYTES;
    while (steps-- > 0)
        loader_cuda_check (self, cudaHostUnregister (pin->data + steps * PIN_STEP_BYTES),
                           "unpinning host memory", NULL);
    free (pin);
}

static size_t step_at (size_t offset, size_t size)
{
    return size - offset < PIN_STEP_BYTES ? size - offset : PIN_STEP_BYTES;
}

int loader_copy_pin (loader_device_t *self, void *data, size_t size, yard_error_t *error)
{
    int rc = loader_cuda_enter (self, error);
    if (rc)
        return rc;
    loader_pin_t *pin = calloc (1, sizeof *pin);
    if (!pin)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no host memory for the row of what is pinned");
    *pin = (loader_pin_t){ .next = self->pins, .data = data, .size = size };
    while (!rc && pin->registered < size) {
        size_t step = step_at (pin->registered, size);
        rc = loader_cuda_check (self,
                                cudaHostRegister (pin->data + pin->registered, step, cudaHostRegisterDefault),
                                "pinning host memory", error);
        pin->registered += rc ? 0 : step;
    }
    if (!rc) {
        self->pins = pin;
        return 0;
    }
    unregister (self, pin);
    if (rc == YARD_OUT_OF_MEMORY) /* the host's, not the device's */
        rc = yard_error (
            error, rc,
            "the driver cannot lock %zu bytes of host memory for copies; free some, raise the limit of "
            "locked memory (ulimit -l), or lower loader.read_ahead_bytes",
            size);
    return rc;
}

void loader_copy_unpin (loader_device_t *self, void *data)
{
    loader_pin_t **at = &self->pins;
    while (*at && (*at)->data != data)
        at = &(*at)->next;
    assert (*at);
    loader_pin_t *pin = *at;
    *at = pin->next;
    cudaSetDevice (self->ordinal);
    unregister (self, pin);
}

/*  How much of [from, from + size) lies in the same registration: one copy must not reach over the seam of two. */
static size_t reach (const loader_device_t *self, const char *from, size_t size)
{
    for (const loader_pin_t *pin = self->pins; pin; pin = pin->next) {
        if (from < pin->data || from >= pin->data + pin->size)
            continue;
        size_t offset = (size_t) (from - pin->data);
        size_t left = step_at (offset - offset % PIN_STEP_BYTES, pin->size) - offset % PIN_STEP_BYTES;
        return size < left ? size : left;
    }
    return size;
}

int loader_copy_event_new (loader_device_t *self, loader_event_t **ret, yard_error_t *error)
{
    cudaEvent_t event = NULL;
    int rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = loader_cuda_check (
            self, cudaEventCreateWithFlags (&event, cudaEventDisableTiming | cudaEventBlockingSync),
            "making an event", error);
    if (!rc)
        *ret = (loader_event_t *) event;
    return rc;
}

void loader_copy_event_destroy (loader_device_t *self, loader_event_t **event_p)
{
    loader_event_t *event = *event_p;
    *event_p = NULL;
    if (!event)
        return;
    cudaSetDevice (self->ordinal);
    loader_cuda_check (self, cudaEventDestroy (loader_event_cuda (event)), "destroying an event", NULL);
}

static int enqueue (loader_device_t *self, char *to, const char *from, size_t size, yard_error_t *error)
{
    for (size_t at = 0, part; at < size; at += part) {
        part = reach (self, from + at, size - at);
        int rc = loader_cuda_check (
            self, cudaMemcpyAsync (to + at, from + at, part, cudaMemcpyHostToDevice, self->copies),
            "copying to the device", error);
        if (rc)
            return rc;
    }
    return 0;
}

/*  The caller of a function that fails uses source and destination again, whatever may still be under way. */
static int settled (loader_device_t *self, int rc)
{
    if (rc)
        loader_cuda_check (self, cudaStreamSynchronize (self->copies), "waiting for copies after a failure",
                           NULL);
    return rc;
}

int loader_copy_start (loader_device_t *self, loader_memory_t *to, uint64_t offset, const void *from,
                       size_t size, loader_event_t *event, yard_error_t *error)
{
    assert (loader_memory_holds (to, offset, size) && !to->imported);
    int rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = enqueue (self, to->data + offset, from, size, error);
    if (!rc)
        rc = loader_cuda_check (self, cudaEventRecord (loader_event_cuda (event), self->copies),
                                "marking a copy", error);
    return settled (self, rc);
}

int loader_copy_done (loader_device_t *self, loader_event_t *event, int *ret_done, yard_error_t *error)
{
    int rc = loader_cuda_enter (self, error);
    if (rc)
        return settled (self, rc);
    cudaError_t result = cudaEventQuery (loader_event_cuda (event));
    if (result == cudaErrorNotReady)
        cudaGetLastError (); /* it is no error, and must not be taken for the next call's */
    else
        rc = loader_cuda_check (self, result, "asking whether a copy is over", error);
    if (!rc)
        *ret_done = result == cudaSuccess;
    return settled (self, rc);
}

int loader_copy_wait (loader_device_t *self, loader_event_t *event, yard_error_t *error)
{
    int rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = loader_cuda_check (self, cudaEventSynchronize (loader_event_cuda (event)), "waiting for a copy",
                                error);
    return settled (self, rc);
}

int loader_copy_read (loader_device_t *self, loader_memory_t *from, uint64_t offset, void *to, size_t size,
                      yard_error_t *error)
{
    assert (loader_memory_holds (from, offset, size));
    int rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = loader_cuda_check (
            self, cudaMemcpyAsync (to, from->data + offset, size, cudaMemcpyDeviceToHost, self->copies),
            "copying from the device", error);
    if (!rc)
        rc = loader_cuda_check (self, cudaStreamSynchronize (self->copies),
                                "waiting for a copy from the device", error);
    return settled (self, rc);
}
