// SPDX-License-Identifier: Apache-2.0
/*  sandbox_server.h - what the sandbox's processes say to each other, and where the two inner ones begin
 */
#ifndef YARD_PROBER_SANDBOX_SERVER_H
#define YARD_PROBER_SANDBOX_SERVER_H

#include <limits.h>
#include <stdint.h>
#include "actors/prober/confine.h"
#include "actors/prober/verdict.h"

#define PROBER_CHILDREN_MAX 16u /* more than a machine's disks feed; the server's table */

/*  Actor to server, with the file's descriptor beside it (SCM_RIGHTS). */
typedef struct {
    uint64_t ticket;
    char name [NAME_MAX + 1];
} prober_request_t;

/*  Server to actor. */
typedef struct {
    uint64_t ticket;
    prober_verdict_t verdict;
} prober_reply_t;

/*  The server's life: until the link ends. */
_Noreturn void prober_sandbox_serve (int link, const prober_limits_t *limits);

/*  A child's life: confine, inspect, send one prober_verdict_t to result, end with status 0. */
_Noreturn void prober_sandbox_child (int file, int result, const char *name, const prober_limits_t *limits);

#endif
