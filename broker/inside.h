// SPDX-License-Identifier: Apache-2.0
/*  inside.h - what the router's files share: its peers, its state, and which file does what with them
 *
 *  router.c hands a frame to the file of its letter; peers.c knows connections; hello.c lets actors in; routing.c carries asks and answers;
 *  liveness.c pings and sweeps; owed.c keeps what a full connection could not take; publish.c numbers events, followers.c hands them out; services.c answers yard.*; outgoing.c writes frames.
 *  directory, asks and event_log are their stores and know nothing of frames.
 */
#ifndef YARD_BROKER_INSIDE_H
#define YARD_BROKER_INSIDE_H

#include <sys/queue.h>
#include "actors/ground/arena.h"
#include "actors/ground/buffer.h"
#include "actors/ground/table.h"
#include "proto/envelope.h"
#include "event_log.h"
#include "router.h"

#define BROKER_CLIENT_SIZE 24 /* "c" and a number of 64 bits */
#define BROKER_PING_MS 500 /* between two pings of a guest (ARCHITECTURE 2); told in the welcome */

typedef struct broker_peer_t broker_peer_t;
typedef struct broker_ask_t broker_ask_t;
typedef struct broker_service_t broker_service_t;
typedef struct broker_follower_t broker_follower_t;
typedef struct broker_directory_t broker_directory_t;
typedef struct broker_asks_t broker_asks_t;
typedef struct broker_owed_t broker_owed_t;
typedef struct broker_numbers_t broker_numbers_t;

/*  One connection. Without a hello only the first two parts are used. */
struct broker_peer_t {
    size_t routing_size;
    char routing [BROKER_ROUTING_MAX];
    char client [BROKER_CLIENT_SIZE]; /* its name in from */
    char user [65];
    uint64_t number; /* never used again in this epoch */
    unsigned roles;
    bool hello, distant;
    int64_t heard_ms;
    TAILQ_ENTRY (broker_peer_t) link; /* strangers: least recently heard first; guests: in order of hello */

    /* What is open. */
    TAILQ_HEAD (, broker_ask_t) asked, serving;
    size_t asked_count, serving_count;
    uint64_t tried; /* the round in which it was last chosen as a server */
    yard_buffer_t from; /* packed, for the servers of its asks */
    uint64_t last_server; /* the newest in servers: most clients ask one server again and again */
    yard_table_t *servers; /* numbers of the peers that ever took an ask of it; NULL = none */
    TAILQ_HEAD (, broker_follower_t) follows;
    size_t follow_count;

    /* What its connection could not take yet; the list is made with the first. */
    STAILQ_HEAD (, broker_owed_t) owed;
    size_t owed_count, owed_bytes;
    TAILQ_ENTRY (broker_peer_t) owing_link;

    /* What its hello said. */
    char actor [33], place [201], instance [33], node [65];
    uint64_t process;

    /* Whether it lives. */
    int64_t hello_ms, pong_ms, ping_ms;
    bool ping_open; /* due at ping_ms, not yet answered */
    bool unreachable; /* a frame could not be sent: no asks go there any more */
    int64_t suspect_ms; /* since when; 0 = not suspected */
    const char *reason; /* of the suspicion */
    TAILQ_ENTRY (broker_peer_t) suspect_link;
    uint64_t busy_us, idle_us, open_requests, open_asks;
    char note [201];
};

TAILQ_HEAD (broker_peers_t, broker_peer_t);

struct broker_router_t {
    broker_options_t options;
    int64_t now_ms;
    yard_arena_t *arena; /* of the message in hand */
    yard_buffer_t body, stamp; /* of the frame being written */

    /* peers.c */
    yard_table_t *by_routing;
    struct broker_peers_t strangers, guests, suspects;
    size_t guest_count;
    uint64_t last_peer;

    /* hello.c */
    int64_t refused_since_ms;
    uint64_t refused; /* since then */

    broker_directory_t *directory;
    broker_asks_t *asks;
    uint64_t round; /* of choices among servers */

    /* owed.c */
    struct broker_peers_t owing; /* peers that are owed something */
    size_t owed_bytes;
    int64_t pay_ms;

    /* liveness.c */
    int64_t next_ping_ms;

    /* publish.c, followers.c */
    broker_event_log_t *log;
    yard_table_t *names, *stores; /* name -> its last number; store -> its last change */
    int64_t next_beat_ms;
    TAILQ_HEAD (, broker_follower_t) followers;
    size_t follower_count;
    int64_t flush_ms; /* when a follower may have something to get; INT64_MAX = at the next event or credit */
};

/*  --- outgoing.c: every frame that leaves */
/*  For what may be refused (asks, events): 0, or YARD_BUSY (also while the peer is owed something), or YARD_GONE: then the peer is
 *  suspected. */
int broker_send (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope);
/*  For what must arrive (answers, byes, pings): a full connection gets it later. One that is owed too much is suspected. */
void broker_send_surely (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope);
/*  What both end in. */
int broker_send_frames (broker_router_t *self, broker_peer_t *peer, const yard_string_t *frames,
                        size_t count);
/*  Answers the ask in envelope: R with a value of the type, or F. */
void broker_reply (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *ask,
                   const yard_wire_type_t *type, const void *value);
void broker_fail (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *ask,
                  const yard_error_t *error);
/*  F for an open ask that ends without its server's word. */
void broker_fail_open (broker_router_t *self, broker_ask_t *ask, int code, const char *text);
/*  Packs into self->body; empty on a bug of ours, which is logged. */
yard_string_t broker_pack (broker_router_t *self, const yard_wire_type_t *type, const void *value);

/*  --- owed.c */
/*  false: it is owed as much as it may be. */
bool broker_owe (broker_router_t *self, broker_peer_t *peer, const yard_string_t *frames, size_t count);
void broker_pay (broker_router_t *self); /* at every tick */
void broker_forgive (broker_router_t *self, broker_peer_t *peer); /* it is gone */

/*  --- peers.c: connections */
/*  The peer of an origin, made if it is new. NULL: the limit of peers is reached and none is idle. */
broker_peer_t *broker_peer_of (broker_router_t *self, const broker_origin_t *origin);
broker_peer_t *broker_peer_find (const broker_router_t *self, yard_string_t routing);
/*  Takes an instance's peer to the connection that it speaks from now; the stranger that stood there is freed. */
void broker_peer_move (broker_router_t *self, broker_peer_t *peer, broker_peer_t *stranger);
void broker_peer_welcome (broker_router_t *self, broker_peer_t *peer); /* a stranger becomes a guest */
void broker_peer_forget (broker_router_t *self,
                         broker_peer_t *peer); /* frees; it has nothing open any more */
void broker_peers_forget_idle (broker_router_t *self);
void broker_peer_write_from (broker_router_t *self, broker_peer_t *peer);

/*  --- the letters */
typedef void (broker_letter_fn) (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope);
broker_letter_fn broker_on_hello; /* hello.c */
broker_letter_fn broker_on_ask; /* routing.c */
broker_letter_fn broker_on_answer; /* R and F */
broker_letter_fn broker_on_bye;
broker_letter_fn broker_on_credit; /* followers.c */
broker_letter_fn broker_on_pong; /* liveness.c */

/*  Fail hello_first: with the ask's id for asks, else without id and name. */
void broker_hello_first (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope);
/*  Ends what is open on the connection: gone to those who asked it, a withdrawal for what it asked. */
void broker_routing_end (broker_router_t *self, broker_peer_t *peer, bool tell_servers);
/*  The same where the peer lives on: it is told too, what it asked (gone) and what it was asked (B). */
void broker_routing_cut (broker_router_t *self, broker_peer_t *peer);
/*  Its end will be told from now on, also to those who took its asks before it said hello. */
void broker_routing_joined (broker_peer_t *peer);

/*  --- liveness.c */
void broker_suspect (broker_router_t *self, broker_peer_t *peer, const char *reason);
void broker_trust (broker_router_t *self, broker_peer_t *peer); /* it has shown itself */
void broker_sweep (broker_router_t *self, broker_peer_t *peer, const char *reason); /* frees the peer */
void broker_probe (broker_router_t *self, broker_peer_t *peer); /* is it still there? a ping now */
void broker_liveness_tick (broker_router_t *self, bool drained);
/*  Sends B with an ask's number, or with a client. */
void broker_tell_bye (broker_router_t *self, broker_peer_t *server, uint64_t number, const char *client);

/*  --- publish.c */
int broker_publish (broker_router_t *self, broker_peer_t *peer, const event_publish_ask_t *ask,
                    event_publish_answer_t *ret_answer, yard_error_t *error);
void broker_publish_actor (broker_router_t *self, const yard_event_t *event, const broker_peer_t *peer,
                           const char *reason);
/*  The beat, when its second has come. */
void broker_publish_tick (broker_router_t *self);
void broker_publish_close (broker_router_t *self);

/*  --- followers.c */
int broker_follow (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                   const event_follow_ask_t *ask, yard_error_t *error);
bool broker_unfollow (broker_router_t *self, broker_peer_t *peer, yard_string_t id);
void broker_unfollow_all (broker_router_t *self, broker_peer_t *peer);
void broker_follows_cut (broker_router_t *self, broker_peer_t *peer); /* and it is told: gone */
void broker_followers_flush (broker_router_t *self);

/*  --- services.c */
bool broker_serves (yard_string_t name); /* a method of the broker itself */
void broker_serve (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope);

#endif
