// SPDX-License-Identifier: Apache-2.0
/*  server.h - the router on its two sockets: command (ROUTER) and event (XPUB)
 *
 *  One turn: poll -> the mailbox, until it is empty or a budget is spent -> tick. Runs on a real bus in the program, on a memory bus in
 *  tests and the simulation.
 */
#ifndef YARD_BROKER_SERVER_H
#define YARD_BROKER_SERVER_H

#include "actors/ground/clock.h"
#include "actors/ground/paths.h"
#include "actors/ground/random.h"
#include "actors/runtime/bus.h"
#include "proto/configuration.h"

typedef struct broker_server_t broker_server_t;

/*  Borrowed for the server's life. */
typedef struct {
    yard_bus_t *bus;
    const yard_clock_t *clock;
    yard_random_t *random; /* draws the epoch */
    const yard_configuration_t *configuration;
    const yard_paths_t *paths;
} broker_server_options_t;

/*  Binds. tcp is refused (invalid_config) but on loopback with bus.insecure_loopback. For ipc paths see yard_bus_open: the lock is the
 *  caller's. */
int broker_server_new (const broker_server_options_t *options, broker_server_t **ret, yard_error_t *error);
void broker_server_destroy (broker_server_t **self_p);

/*  Waits at most timeout_ms (-1 = until something is due). true: other_fd (-1 = none) is readable. */
bool broker_server_turn (broker_server_t *self, int timeout_ms, int other_fd);

/*  As bound: a tcp port * is resolved. */
const char *broker_server_command (const broker_server_t *self);
const char *broker_server_event (const broker_server_t *self);

#endif
