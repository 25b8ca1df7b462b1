// SPDX-License-Identifier: Apache-2.0
/*  attach.h - the door where leased memory is handed out
 *
 *  A client connects, shows a lease, and gets the descriptors; from then on the connection is the attachment,
 *  and its end (close, exit, kill) is the attachment's end, told at once. Invariants: `leave` is called once
 *  for each `enter` that succeeded; a connection says its hello within HELLO_MS_MAX; at most CONNECTIONS_MAX
 *  are open, the next is told `busy`.
 */
#ifndef LOADER_ATTACH_H
#define LOADER_ATTACH_H

#include "actors/ground/error.h"
#include "actors/loader/model.h"
#include "actors/runtime/actor.h"

typedef struct {
    /*  A lease is shown. 0: it is attached, the model stays until leave (same ticket); else why not. */
    int (*enter) (void *argument, yard_string_t lease, const loader_model_t **ret_model, void **ret_ticket,
                  yard_error_t *error);
    void (*leave) (void *argument, void *ticket);
    void *argument;
} loader_door_t;

typedef struct loader_attach_t loader_attach_t;

/*  Listens in the actor's run directory. */
int loader_attach_new (yard_actor_t *actor, const loader_door_t *door, loader_attach_t **ret,
                       yard_error_t *error);
/*  closes every connection, and takes the socket away */
void loader_attach_destroy (loader_attach_t **self_p);

const char *loader_attach_path (const loader_attach_t *self);

#endif
