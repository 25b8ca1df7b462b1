// SPDX-License-Identifier: Apache-2.0
/*  device_proof_inside.h - what the files of proofs share
 */
#ifndef LOADER_DEVICE_PROOF_INSIDE_H
#define LOADER_DEVICE_PROOF_INSIDE_H

#include "actors/loader/device_proof_peer.h"

#define LOADER_PROOF_BYTES ((uint64_t) 5 * 1024 * 1024 + 4097) /* of most memories: no multiple of anything */

/*  An open device under proof. */
typedef struct {
    const loader_device_class_t *class;
    loader_device_t *device;
    const char *name;
    loader_export_t wish;
    loader_device_about_t about; /* before the first proof */
} loader_proof_bed_t;

/*  0 = passed; YARD_NOT_IMPLEMENTED = this device has not what it is about, with why. */
typedef int (loader_proof_fn) (loader_proof_bed_t *bed, yard_error_t *error);

/*  device_proof_gather.c: a second device is needed. */
loader_proof_fn loader_proof_gather, loader_proof_lost_rank;

#endif
