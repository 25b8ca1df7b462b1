// SPDX-License-Identifier: Apache-2.0
/*  attach_packet.h - what goes over an attach connection: one hello in, an answer with descriptors out
 *
 *      client -> attach_hello
 *      loader -> attach_answer + [directory, region 0, region 1 …]   first packet
 *                attach_answer + [region n, …]                      while the one before said `more`
 *
 *  Invariants: a packet is one msgpack map and at most LOADER_PACKET_FDS descriptors, each opened anew for
 *  its receiver (read-only, with a position of its own; a GPU's vmm handle is passed on as it is, an ipc handle stands in the packet);
 *  a failure is the last packet. Nothing here blocks.
 */
#ifndef LOADER_ATTACH_PACKET_H
#define LOADER_ATTACH_PACKET_H

#include <stdbool.h>
#include "actors/ground/arena.h"
#include "actors/loader/model.h"
#include "proto/messages.h"

#define LOADER_HELLO_BYTES_MAX 4096 /* ours has 60; leaves room for fields of later versions */
#define LOADER_PACKET_FDS 64 /* attach_answer.regions; Linux takes 253 (SCM_MAX_FD) */

/*  How far the answer is. */
typedef struct {
    bool begun; /* the directory has left */
    size_t regions;
} loader_answer_place_t;

/*  YARD_BUSY: nothing has come yet. YARD_GONE: the other end is closed, or broken. YARD_BAD_FRAME or
 *  YARD_INVALID_MESSAGE: no hello. ret leans on the arena. */
int loader_packet_read_hello (int fd, yard_arena_t *arena, attach_hello_t *ret, yard_error_t *error);

/*  Sends the next packets, until all have left (0) or the socket takes no more now (YARD_BUSY: again with the
 *  same place, when it can be written). Any other code: the connection is of no use any more. */
int loader_packet_send_answer (int fd, const loader_model_t *model, loader_answer_place_t *place,
                               yard_error_t *error);

/*  Sends why not; a peer that does not take it has it from the end of the connection. */
void loader_packet_send_failure (int fd, const yard_error_t *cause);

#endif
