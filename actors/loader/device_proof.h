// SPDX-License-Identifier: Apache-2.0
/*  device_proof.h - proves that a device does what device.h promises, on the machine where it stands
 *
 *  A list of proofs, each a sentence and a function. The same ones are run on the host, on simulated devices and on real ones. They
 *  want the device for themselves: memory that another process takes or gives back meanwhile makes them fail. Every proof gives back
 *  what it took, also when it fails.
 *
 *  Sharing needs a second process: the running program is started again with LOADER_PROOF_PEER as its first argument, so its main begins
 *  with loader_device_proof_peer.
 */
#ifndef LOADER_DEVICE_PROOF_H
#define LOADER_DEVICE_PROOF_H

#include "actors/loader/device.h"

#define LOADER_PROOF_PEER "--device-proof-peer"

typedef enum {
    LOADER_PROOF_PASSED,
    LOADER_PROOF_FAILED,
    LOADER_PROOF_SKIPPED /* this device, or this machine, has not what it is about */
} loader_proof_outcome_t;

/*  After each proof: what was proven, and on anything but success why not. */
typedef void (loader_proof_told_fn) (void *argument, const char *proof, loader_proof_outcome_t outcome,
                                     const char *why);

/*  0 when no proof failed; integrity when one did; else what kept the device from being opened. */
int loader_device_prove (const char *device, loader_export_t wish, loader_proof_told_fn *told, void *argument,
                         yard_error_t *error);

/*  The exit status of a peer's main, when that is what this process was started for; else -1. */
int loader_device_proof_peer (int argc, char **argv);

#endif
