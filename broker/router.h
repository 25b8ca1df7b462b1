// SPDX-License-Identifier: Apache-2.0
/*  router.h - who hears what: frames in, frames out, and nothing else
 *
 *  The whole of the broker but its sockets: directory, pools, places, failures, pings, sweep, followers, numbered events (ARCHITECTURE 2
 *  and 4). It owns no socket and reads no monotonic clock, so that it can be tested, fuzzed and simulated as it is.
 *
 *  Invariants:
 *  - An ask from a peer is answered at most once; exactly once as long as its server lives and answers.
 *  - Only meta (where it came), hello, credit, pong and the bodies of yard.* and event.* are opened.
 *  - Nothing that a peer sends makes it crash, loop, or grow beyond the limits at the heads of its files.
 *  - No callback is called but from inside input and tick.
 */
#ifndef YARD_BROKER_ROUTER_H
#define YARD_BROKER_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/clock.h"
#include "actors/ground/view.h"
#include "proto/messages.h"

#define BROKER_ROUTING_MAX 255 /* bytes of a ZeroMQ routing id */

typedef struct broker_router_t broker_router_t;

/*  Where frames came from, as the socket vouches for it. */
typedef struct {
    yard_string_t routing; /* the connection: 1 to BROKER_ROUTING_MAX bytes */
    const char *user; /* "local" on ipc; at most 64 bytes */
    unsigned roles; /* set of YARD_ROLE_ */
    bool distant; /* tcp: a broken connection may come back */
} broker_origin_t;

/*  Borrowed for the router's life. */
typedef struct {
    const char *epoch; /* 16 hex digits, fresh per life */
    const char *node; /* this machine's name: placed methods go to its host loader */
    const char *home;
    const char *event_endpoint;
    const char *version; /* of modelyard */
    const char *zeromq; /* of the library */
    const configuration_t *configuration;
    const yard_clock_t *clock; /* its wall time alone, for stamps and yard.ping */
    void *context; /* of the two below */
    /*  0; YARD_BUSY: the peer takes no more now; YARD_GONE: no such peer. */
    int (*send) (void *context, yard_string_t routing, const yard_string_t *frames, size_t count);
    void (*publish) (void *context, const yard_string_t *frames, size_t count);
} broker_options_t;

broker_router_t *broker_router_new (const broker_options_t *options);
void broker_router_destroy (broker_router_t **self_p);

/*  One message of a peer, without the routing id's frame. now_ms is monotonic and never goes back. */
void broker_router_input (broker_router_t *self, int64_t now_ms, const broker_origin_t *origin,
                          const yard_string_t *frames, size_t count);

/*  What time brings: pings, sweeps, the beat, and events to followers. drained: the mailbox was read until it was empty, so that a silent
 *  peer's last words have been heard. */
void broker_router_tick (broker_router_t *self, int64_t now_ms, bool drained);

/*  How long until tick has something to do; 0 = now. */
int64_t broker_router_wait_ms (const broker_router_t *self, int64_t now_ms);

#endif
