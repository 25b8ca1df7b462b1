// SPDX-License-Identifier: Apache-2.0
/*  spread_part.h - this device's part in spreads: what other loaders ask of it
 *
 *  A spread is led by the loader of its lowest device (spread.c), which asks every device's loader, its own included:
 *
 *      load.turn -> load.join -> load.gather, where bytes are exchanged -> load.complete        load.leave at any time
 *
 *  Invariants: one spread at a time has the turn, in the order of their asks, and a spread takes its turns in the order of its devices,
 *  so two of them never wait for each other. A part ends with the answer of load.complete, with load.leave, or with its leader's
 *  connection; whoever else waits for the same load gets it all the same, read from this device's own disk.
 */
#ifndef LOADER_SPREAD_PART_H
#define LOADER_SPREAD_PART_H

#include "actors/loader/loader.h"

/*  What NCCL takes on a device for one group while it lives: 544 MB with two devices, 688 MB with more, measured on four A100 (NVIDIA/nccl,
 *  issue 964). It is reserved beside the model, and given back at the end. */
#define LOADER_GATHER_BYTES ((uint64_t) 688 * 1000 * 1000)

loader_parts_t *loader_parts_new (loader_t *loader);
void loader_parts_destroy (loader_parts_t **self_p); /* when all fills have ended */
/*  This client leads no more; NULL: nobody does, there is another broker. */
void loader_parts_leader_gone (loader_parts_t *self, const yard_string_t *client);

int loader_on_load_turn (loader_t *self, yard_request_t *request, const load_turn_ask_t *ask);
int loader_on_load_join (loader_t *self, yard_request_t *request, const load_join_ask_t *ask);
int loader_on_load_gather (loader_t *self, yard_request_t *request, const load_gather_ask_t *ask);
int loader_on_load_complete (loader_t *self, yard_request_t *request, const load_complete_ask_t *ask);
int loader_on_load_leave (loader_t *self, yard_request_t *request, const load_leave_ask_t *ask);

#endif
