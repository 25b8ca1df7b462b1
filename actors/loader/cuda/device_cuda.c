// SPDX-License-Identifier: Apache-2.0
/*  device_cuda.c - a GPU behind the device door: the plug-in's table, opening and closing
 *
 *  This folder is libmodelyard-cuda.so. Read on: cuda_list (which device a name means), cuda_driver (what the runtime lacks), memory and
 *  its two forms, copy, gather_nccl, cuda_errors.
 *
 *  Promises: opening takes the device's context, two streams and nothing else; an opening that fails leaves nothing.
 */
#include "cuda_device.h"

__attribute__ ((visibility ("default"))) loader_device_plugin_fn loader_device_plugin;

static int cuda_count (int *ret_count, yard_error_t *error)
{
    loader_cuda_row_t rows [LOADER_DEVICES_MAX];
    return loader_cuda_list (rows, ret_count, error);
}

static int cuda_look (int number, loader_device_about_t *ret, yard_error_t *error)
{
    loader_cuda_row_t row;
    char device [24];
    snprintf (device, sizeof device, "cuda:%d", number);
    int rc = loader_cuda_find (device, &row, error);
    if (!rc)
        *ret = row.about;
    return rc;
}

int loader_cuda_enter (loader_device_t *self, yard_error_t *error)
{
    if (self->lost)
        return yard_error (error, YARD_DEVICE_LOST,
                           "the device %s was lost while %s; its loader has to start anew", self->about.uuid,
                           self->lost_why);
    return loader_cuda_check (self, cudaSetDevice (self->ordinal), "choosing the device", error);
}

static void cuda_close (loader_device_t **self_p)
{
    loader_device_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    cudaSetDevice (self->ordinal);
    if (self->copies)
        cudaStreamDestroy (self->copies);
    if (self->gathers)
        cudaStreamDestroy (self->gathers);
    cudaGetLastError ();
    free (self);
}

/*  The first form of these that the device can. */
static int choose_form (loader_device_t *self, loader_export_t wish, yard_error_t *error)
{
    const loader_memory_form_t *const forms [] = { &loader_memory_vmm, &loader_memory_ipc };
    int rc = YARD_NOT_SERVED;
    for (size_t i = 0; i < sizeof forms / sizeof forms [0] && rc == YARD_NOT_SERVED; i++) {
        if (wish != LOADER_EXPORT_AUTO && wish != forms [i]->word)
            continue;
        rc = forms [i]->prepare (self, &self->about.granularity, error);
        self->form = forms [i];
        self->about.exports = forms [i]->word;
    }
    return rc;
}

static int cuda_open (const char *device, loader_export_t wish, loader_device_t **ret, yard_error_t *error)
{
    loader_cuda_row_t row;
    int rc = loader_cuda_find (device, &row, error);
    if (rc)
        return rc;
    loader_device_t *self = calloc (1, sizeof *self);
    if (!self)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no host memory to open %s", device);
    self->ordinal = row.ordinal;
    self->about = row.about;
    rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = loader_cuda_check (self, cudaStreamCreateWithFlags (&self->copies, cudaStreamNonBlocking),
                                "making a stream for copies", error);
    if (!rc)
        rc = loader_cuda_check (self, cudaStreamCreateWithFlags (&self->gathers, cudaStreamNonBlocking),
                                "making a stream for gathers", error);
    if (!rc)
        rc = choose_form (self, wish, error);
    if (rc)
        cuda_close (&self);
    else
        *ret = self;
    return rc;
}

static int cuda_about (loader_device_t *self, loader_device_about_t *ret, yard_error_t *error)
{
    size_t bytes_free = 0, bytes_total = 0;
    int rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = loader_cuda_check (self, cudaMemGetInfo (&bytes_free, &bytes_total), "asking for free memory",
                                error);
    if (rc)
        return rc;
    *ret = self->about;
    ret->bytes_free = bytes_free;
    ret->bytes_total = bytes_total;
    return 0;
}

static const loader_device_class_t cuda_class = {
    .version = LOADER_DEVICE_VERSION,
    .name = "cuda",
    .count = cuda_count,
    .look = cuda_look,
    .open = cuda_open,
    .close = cuda_close,
    .about = cuda_about,
    .allocate = loader_memory_allocate,
    .release = loader_memory_release,
    .bytes = loader_memory_bytes,
    .export_memory = loader_memory_export,
    .import_memory = loader_memory_import,
    .pin = loader_copy_pin,
    .unpin = loader_copy_unpin,
    .event_new = loader_copy_event_new,
    .event_destroy = loader_copy_event_destroy,
    .copy = loader_copy_start,
    .done = loader_copy_done,
    .wait = loader_copy_wait,
    .read = loader_copy_read,
#ifdef LOADER_WITH_NCCL
    .gather_id = loader_nccl_id,
    .gather_join = loader_nccl_join,
    .gather = loader_nccl_gather,
    .broadcast = loader_nccl_broadcast,
    .gather_state = loader_nccl_state,
    .gather_leave = loader_nccl_leave,
#endif
};

/*  NCCL looks for the other ranks on the network's interfaces; ours are on this machine. It reads its variables once, later; here no
 *  thread of a device runs yet. Who has set it knows better. */
const loader_device_class_t *loader_device_plugin (void)
{
    setenv ("NCCL_SOCKET_IFNAME", "lo", 0);
    return &cuda_class;
}
