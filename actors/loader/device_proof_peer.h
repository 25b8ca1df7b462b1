// SPDX-License-Identifier: Apache-2.0
/*  device_proof_peer.h - the second process of a proof, seen from the first; and what both know
 *
 *  The peer opens a device of its own and does one order after the other. It ends with its socket, so with us.
 */
#ifndef LOADER_DEVICE_PROOF_PEER_H
#define LOADER_DEVICE_PROOF_PEER_H

#include <stdbool.h>
#include "actors/loader/device.h"

#define LOADER_PROOF_WAIT_MS 30000 /* a device's context takes seconds, a group of devices too */

typedef enum {
    LOADER_ORDER_ALLOCATE, /* size bytes */
    LOADER_ORDER_FILL, /* size bytes at offset with the pattern of seed */
    LOADER_ORDER_EXPORT, /* what was allocated: the answer has the handle */
    LOADER_ORDER_IMPORT, /* handle */
    LOADER_ORDER_CHECK, /* size bytes at offset are the pattern of seed */
    LOADER_ORDER_RELEASE, /* what was allocated or imported */
    LOADER_ORDER_JOIN, /* id, rank, ranks */
    LOADER_ORDER_GATHER, /* size bytes of each rank at offset */
    LOADER_ORDER_BROADCAST, /* size bytes at offset from rank `rank` */
    LOADER_ORDER_SETTLE, /* until gather_state says done */
    LOADER_ORDER_LEAVE,
    LOADER_ORDERS
} loader_order_word_t;

typedef struct {
    loader_order_word_t word;
    loader_handle_t handle; /* its descriptor travels beside */
    uint64_t offset, size, seed;
    unsigned rank, ranks;
    uint8_t id [LOADER_GATHER_ID_SIZE];
} loader_order_t;

typedef struct loader_peer_t loader_peer_t;

/*  Starts it; its device is open when the first order is answered. */
int loader_peer_new (const char *device, loader_export_t wish, loader_peer_t **ret, yard_error_t *error);
void loader_peer_destroy (loader_peer_t **self_p); /* kill -9, and waits for its end */

/*  Gives an order; hears how it went (ret_handle may be NULL; its fd is the caller's to close). */
int loader_peer_order (loader_peer_t *self, const loader_order_t *order, yard_error_t *error);
int loader_peer_answer (loader_peer_t *self, loader_handle_t *ret_handle, yard_error_t *error);
int loader_peer_ask (loader_peer_t *self, const loader_order_t *order, loader_handle_t *ret_handle,
                     yard_error_t *error); /* both */

/*  --- page-locked host memory, as copies want it. Where the host's own limit forbids locking, it is memory all the same. */
typedef struct {
    const loader_device_class_t *class;
    loader_device_t *device;
    char *data; /* NULL: there is none */
    size_t size;
    bool pinned;
} loader_proof_buffer_t;

int loader_proof_buffer_init (loader_proof_buffer_t *self, const loader_device_class_t *class,
                              loader_device_t *device, size_t size, yard_error_t *error);
void loader_proof_buffer_clear (loader_proof_buffer_t *self); /* nothing is being copied from it */

/*  --- memory filled and looked at, groups settled, the same way at both ends. A pattern always begins with its first byte. */
void loader_proof_pattern (void *data, size_t size, uint64_t seed);
int loader_proof_fill (const loader_device_class_t *class, loader_device_t *device, loader_memory_t *memory,
                       uint64_t offset, uint64_t size, uint64_t seed, yard_error_t *error);
int loader_proof_check (const loader_device_class_t *class, loader_device_t *device, loader_memory_t *memory,
                        uint64_t offset, uint64_t size, uint64_t seed, yard_error_t *error);
int loader_proof_settle (const loader_device_class_t *class, loader_gather_t *gather, yard_error_t *error);

#endif
