// SPDX-License-Identifier: Apache-2.0
/*  fill_device.c - models on a device: one allocation for all tensors, exported for others
 */
#include "actors/loader/tier_inside.h"

static int prepare (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                    yard_error_t *error)
{
    loader_model_t *model = fill->wish.model;
    fill->runs = model->plan.runs;
    fill->run_count = model->plan.run_count;
    /*  A model of files without tensors takes nothing on a device; the smallest allocation stands for it. */
    uint64_t bytes = model->plan.bytes + model->padding;
    return class->allocate (device, bytes ? bytes : 1, &model->allocation, error);
}

static int finish (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                   yard_error_t *error)
{
    loader_model_t *model = fill->wish.model;
    int rc = class->export_memory (device, model->allocation, &model->handle, error);
    if (rc)
        return rc;
    const loader_device_about_t *about = loader_device_thread_about (fill->tier->device);
    snprintf (model->device_name, sizeof model->device_name, "%s", yard_actor_device (fill->tier->actor));
    snprintf (model->device_uuid, sizeof model->device_uuid, "%s", about->uuid);
    model->form = load_form_device;
    model->bytes = class->bytes (model->allocation);
    return 0;
}

static void discard (loader_model_t *model, const loader_device_class_t *class, loader_device_t *device)
{
    if (model->handle.fd >= 0)
        close (model->handle.fd);
    model->handle.fd = -1;
    class->release (device, &model->allocation);
}

const loader_memory_kind_t loader_device_memory = { .prepare = prepare,
                                                    .finish = finish,
                                                    .discard = discard };
