// SPDX-License-Identifier: Apache-2.0
/*  dlpack.c - tensors of bytes over regions, each with its count of the holding
 */
#include "dlpack.h"
#include <assert.h>
#include <stdlib.h>

/*  Each form with what it points to behind it, so that one free ends all of it. */
typedef struct {
    yard_holding_t *holding;
    int64_t shape, stride;
} manager_t;

typedef struct {
    yard_dlpack_t dlpack; /* first: a pointer to it is one to all of this */
    manager_t manager;
} plain_t;

typedef struct {
    yard_dlpack_versioned_t dlpack;
    manager_t manager;
} versioned_t;

static yard_dlpack_tensor_t describe (manager_t *manager, yard_holding_t *holding, size_t index)
{
    yard_holding_region_t region = yard_holding_region (holding, index);
    bool host = region.device == YARD_HOLDING_HOST;
    *manager =
        (manager_t){ .holding = yard_holding_take (holding), .shape = (int64_t) region.bytes, .stride = 1 };
    return (yard_dlpack_tensor_t){ .data = region.data,
                                   .device = { host ? YARD_DLPACK_CPU : YARD_DLPACK_CUDA,
                                               host ? 0 : region.device },
                                   .rank = 1,
                                   .element = { YARD_DLPACK_UINT, 8, 1 },
                                   .shape = &manager->shape,
                                   .strides = &manager->stride };
}

static void delete_plain (yard_dlpack_t *self)
{
    plain_t *whole = self->manager;
    yard_holding_drop (&whole->manager.holding);
    free (whole);
}

static void delete_versioned (yard_dlpack_versioned_t *self)
{
    versioned_t *whole = self->manager;
    yard_holding_drop (&whole->manager.holding);
    free (whole);
}

yard_dlpack_t *yard_dlpack_new (yard_holding_t *holding, size_t region)
{
    plain_t *whole = calloc (1, sizeof *whole);
    if (!whole)
        abort ();
    whole->dlpack.tensor = describe (&whole->manager, holding, region);
    whole->dlpack.manager = whole;
    whole->dlpack.deleter = delete_plain;
    return &whole->dlpack;
}

yard_dlpack_versioned_t *yard_dlpack_versioned_new (yard_holding_t *holding, size_t region)
{
    versioned_t *whole = calloc (1, sizeof *whole);
    if (!whole)
        abort ();
    whole->dlpack.version.major = 1;
    whole->dlpack.tensor = describe (&whole->manager, holding, region);
    whole->dlpack.flags = yard_holding_region (holding, region).writable ? 0 : YARD_DLPACK_READ_ONLY;
    whole->dlpack.manager = whole;
    whole->dlpack.deleter = delete_versioned;
    return &whole->dlpack;
}

void yard_dlpack_destroy (yard_dlpack_t **self_p)
{
    assert (self_p);
    if (*self_p)
        (*self_p)->deleter (*self_p);
    *self_p = NULL;
}

void yard_dlpack_versioned_destroy (yard_dlpack_versioned_t **self_p)
{
    assert (self_p);
    if (*self_p)
        (*self_p)->deleter (*self_p);
    *self_p = NULL;
}
