// SPDX-License-Identifier: Apache-2.0
/*  dlpack.h - a region of a holding as a tensor that every array library takes
 *
 *  DLPack is how array libraries hand memory to each other (dmlc.github.io/dlpack, "C API"); Python wraps these structs in a PyCapsule
 *  named "dltensor", or "dltensor_versioned" for consumers that ask for version 1. Consumers of one region get one tensor of bytes
 *  (uint8, one dimension, without strides' gaps) and cut theirs out of it.
 *
 *  Invariants: the layouts are the specification's, of which version 1.0 is enough here. A tensor has a count of its holding; its
 *  deleter, which may be called in any thread, gives it back.
 */
#ifndef YARD_CLIENT_DLPACK_H
#define YARD_CLIENT_DLPACK_H

#include <stddef.h>
#include <stdint.h>
#include "holding.h"

/*  The specification's numbers: DLDeviceType, DLDataTypeCode, flags of a versioned tensor. */
enum {
    YARD_DLPACK_CPU = 1,
    YARD_DLPACK_CUDA = 2
};
enum {
    YARD_DLPACK_UINT = 1
};
enum {
    YARD_DLPACK_READ_ONLY = 1
};

/*  DLTensor */
typedef struct {
    void *data;
    struct {
        int32_t type, number;
    } device;
    int32_t rank;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } element;
    int64_t *shape, *strides; /* in elements */
    uint64_t byte_offset;
} yard_dlpack_tensor_t;

/*  DLManagedTensor: "dltensor" */
typedef struct yard_dlpack_t {
    yard_dlpack_tensor_t tensor;
    void *manager;
    void (*deleter) (struct yard_dlpack_t *self);
} yard_dlpack_t;

/*  DLManagedTensorVersioned: "dltensor_versioned" */
typedef struct yard_dlpack_versioned_t {
    struct {
        uint32_t major, minor;
    } version;
    void *manager;
    void (*deleter) (struct yard_dlpack_versioned_t *self);
    uint64_t flags;
    yard_dlpack_tensor_t tensor;
} yard_dlpack_versioned_t;

/*  A tensor over a whole region (region < count), with a count of the holding. The older form cannot say that it is not to be written. */
yard_dlpack_t *yard_dlpack_new (yard_holding_t *holding, size_t region);
yard_dlpack_versioned_t *yard_dlpack_versioned_new (yard_holding_t *holding, size_t region);

/*  For a tensor that no consumer took: calls its deleter. Take NULL. */
void yard_dlpack_destroy (yard_dlpack_t **self_p);
void yard_dlpack_versioned_destroy (yard_dlpack_versioned_t **self_p);

#endif
