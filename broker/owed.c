// SPDX-License-Identifier: Apache-2.0
/*  owed.c - what a full connection could not take: kept in order, and sent before anything else goes there
 *
 *  A server that is flooded with asks has no room for the answers to its own, and is alive and well. So answers, byes and pings wait here
 *  instead of ending it; asks and events do not wait: they find it busy, and what is owed gets the room that comes first.
 *
 *  Promises: frames leave in the order in which they were owed. Refuses: more than a peer's or the broker's share; who reads so little is
 *  given up.
 */
#include <stdlib.h>
#include "inside.h"

#define PEER_FRAMES_MAX ((size_t) 65536) /* a bye for each of the asks that 64 clients may have open */
#define PEER_BYTES_MAX ((size_t) 8 * 1024 * 1024) /* eight of the longest answers */
#define BYTES_MAX ((size_t) 64 * 1024 * 1024) /* of all; the event log may have as much */
#define RETRY_MS ((int64_t) 10) /* a full connection is looked at again; followers wait as long */

struct broker_owed_t {
    STAILQ_ENTRY (broker_owed_t) link;
    size_t count, bytes;
    size_t sizes [YARD_FRAMES_MAX];
    char data [];
};

static broker_owed_t *keep (const yard_string_t *frames, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += frames [i].size;
    broker_owed_t *owed = malloc (sizeof *owed + bytes);
    if (!owed)
        abort ();
    owed->count = count;
    owed->bytes = sizeof *owed + bytes;
    char *at = owed->data;
    for (size_t i = 0; i < count; i++) {
        owed->sizes [i] = frames [i].size;
        if (frames [i].size)
            memcpy (at, frames [i].data, frames [i].size);
        at += frames [i].size;
    }
    return owed;
}

bool broker_owe (broker_router_t *self, broker_peer_t *peer, const yard_string_t *frames, size_t count)
{
    if (peer->owed_count == PEER_FRAMES_MAX || peer->owed_bytes >= PEER_BYTES_MAX ||
        self->owed_bytes >= BYTES_MAX)
        return false;
    broker_owed_t *owed = keep (frames, count);
    if (TAILQ_EMPTY (&self->owing))
        self->pay_ms = self->now_ms + RETRY_MS;
    if (peer->owed_count++ == 0) {
        STAILQ_INIT (&peer->owed);
        TAILQ_INSERT_TAIL (&self->owing, peer, owing_link);
    }
    STAILQ_INSERT_TAIL (&peer->owed, owed, link);
    peer->owed_bytes += owed->bytes;
    self->owed_bytes += owed->bytes;
    return true;
}

static void drop_first (broker_router_t *self, broker_peer_t *peer)
{
    broker_owed_t *owed = STAILQ_FIRST (&peer->owed);
    STAILQ_REMOVE_HEAD (&peer->owed, link);
    peer->owed_bytes -= owed->bytes;
    self->owed_bytes -= owed->bytes;
    free (owed);
    if (--peer->owed_count == 0)
        TAILQ_REMOVE (&self->owing, peer, owing_link);
}

void broker_forgive (broker_router_t *self, broker_peer_t *peer)
{
    while (peer->owed_count)
        drop_first (self, peer);
}

static int send_first (broker_router_t *self, broker_peer_t *peer)
{
    const broker_owed_t *owed = STAILQ_FIRST (&peer->owed);
    yard_string_t frames [YARD_FRAMES_MAX];
    const char *at = owed->data;
    for (size_t i = 0; i < owed->count; i++) {
        frames [i] = (yard_string_t){ at, owed->sizes [i] };
        at += owed->sizes [i];
    }
    return broker_send_frames (self, peer, frames, owed->count);
}

/*  A peer whose connection has ended keeps what it is owed: over tcp its instance may come back on another. */
static void pay (broker_router_t *self, broker_peer_t *peer)
{
    while (peer->owed_count && !peer->unreachable && send_first (self, peer) == 0)
        drop_first (self, peer);
}

void broker_pay (broker_router_t *self)
{
    if (TAILQ_EMPTY (&self->owing) || self->now_ms < self->pay_ms)
        return;
    broker_peer_t *peer = TAILQ_FIRST (&self->owing), *next;
    for (; peer; peer = next) {
        next = TAILQ_NEXT (peer, owing_link);
        pay (self, peer);
    }
    self->pay_ms = self->now_ms + RETRY_MS;
}
