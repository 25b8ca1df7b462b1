// SPDX-License-Identifier: Apache-2.0
/*  directory.h - who serves what, and where: methods, places and instances of the peers that said hello
 *
 *  Invariants: a place and an instance belong to one peer; a single method has one server; all servers of a method agree on its routing
 *  and roles; a method without a server is not there; an instance that was declared gone is remembered for a while.
 *  The directory leans on peers and owns none.
 */
#ifndef YARD_BROKER_DIRECTORY_H
#define YARD_BROKER_DIRECTORY_H

#include "actors/ground/error.h"
#include "inside.h"

#define BROKER_SERVERS_MAX 64 /* of one method: yard_method_row lists so many places */

/*  One method and its servers. */
struct broker_service_t {
    char name [YARD_METHOD_NAME_MAX];
    routing_t routing;
    unsigned roles;
    size_t count, turn; /* turn: where the next choice among equals begins */
    broker_peer_t *servers [BROKER_SERVERS_MAX];
};

broker_directory_t *broker_directory_new (void);
void broker_directory_destroy (broker_directory_t **self_p);

/*  Enters peer (its place and instance are set) with the methods of its hello, or nothing of it: taken, gone, busy or invalid_message. */
int broker_directory_join (broker_directory_t *self, broker_peer_t *peer, const hello_t *hello,
                           yard_error_t *error);
/*  Takes it out; its instance is refused from now on. */
void broker_directory_leave (broker_directory_t *self, broker_peer_t *peer);

bool broker_directory_is_gone (const broker_directory_t *self, yard_string_t instance);
broker_peer_t *broker_directory_instance (const broker_directory_t *self, yard_string_t instance);
broker_peer_t *broker_directory_place (const broker_directory_t *self, yard_string_t place);
broker_service_t *broker_directory_service (const broker_directory_t *self, yard_string_t name);
bool broker_directory_next (const broker_directory_t *self, size_t *at, broker_service_t **ret);

/*  The reachable member with the fewest open requests that was not tried in this round, ties in turn; NULL when all were tried. */
broker_peer_t *broker_directory_choose (broker_service_t *service, uint64_t round);
bool broker_directory_serves (const broker_service_t *service, const broker_peer_t *peer);

#endif
