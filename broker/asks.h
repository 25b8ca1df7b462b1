// SPDX-License-Identifier: Apache-2.0
/*  asks.h - the asks that are on their way: one slot each, found by the broker's own number
 *
 *  The number is 8 bytes: a count that never repeats above the slot's index, so finding is one index and one comparison, and a late answer
 *  to an ask that has ended finds nothing. An open ask stands in its asker's list and in its server's.
 */
#ifndef YARD_BROKER_ASKS_H
#define YARD_BROKER_ASKS_H

#include <sys/queue.h>
#include "proto/envelope.h"
#include "inside.h"

#define BROKER_ASKS_MAX ((size_t) 262144) /* in the whole yard: 256 peers at their 1,024; 60 MiB */
#define BROKER_ASK_NEAR_BYTES 112 /* id, name and echoed frames of all but odd asks, without a malloc */
#define BROKER_PREFIX_BYTES_MAX ((size_t) 1024) /* of echoed frames together: 4 routing ids of proxies */

/*  bytes holds id, name, then the echoed frames. */
struct broker_ask_t {
    uint64_t number; /* 0 = a free slot */
    bool withdrawn; /* by its asker; open until its server says that it is over */
    broker_peer_t *asker, *server;
    TAILQ_ENTRY (broker_ask_t) of_asker, of_server;
    uint16_t id_size, name_size, prefix_count;
    uint16_t prefix_sizes [YARD_PREFIX_MAX];
    char *far; /* where near is too small */
    char near [BROKER_ASK_NEAR_BYTES];
};

broker_asks_t *broker_asks_new (void);
void broker_asks_destroy (broker_asks_t **self_p);

/*  Keeps what the answer must echo. NULL: all slots are in use, or the echoed frames are too large. */
broker_ask_t *broker_asks_open (broker_asks_t *self, const yard_envelope_t *envelope, broker_peer_t *asker,
                                broker_peer_t *server);
broker_ask_t *broker_asks_find (const broker_asks_t *self, yard_string_t number);
void broker_asks_close (broker_asks_t *self, broker_ask_t *ask);
size_t broker_asks_count (const broker_asks_t *self);

yard_string_t broker_ask_id (const broker_ask_t *self);
/*  An envelope that echoes the ask; prefix [YARD_PREFIX_MAX] is where its echoed frames are laid out. Leans on the ask. */
yard_envelope_t broker_ask_echo (const broker_ask_t *self, char letter, yard_string_t body,
                                 yard_string_t *prefix);

#endif
