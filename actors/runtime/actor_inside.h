// SPDX-License-Identifier: Apache-2.0
/*  actor_inside.h - the loop's own struct and what its files tell each other; for the runtime and its tests
 *  alone
 *
 *  Invariants:
 *  - What a turn says waits in `asks_held`, `said_held` and `published`; settle moves it to `asks_leaving`
 *    and `said_leaving`, and only from there it goes to the socket, in order, while the broker knows us
 *    (YARD_LINK_WELCOMED).
 *  - An open ask is in `asks` until its handler is due; then it is freed at once, or waits in `asks_ended`
 *    for the next turn.
 *  - No handler is ever called from inside a function that a handler called.
 */
#ifndef YARD_RUNTIME_ACTOR_INSIDE_H
#define YARD_RUNTIME_ACTOR_INSIDE_H

#include "actor.h"
#include "actors/ground/buffer.h"
#include "actors/ground/table.h"
#include "handler_watch.h"
#include "proto/envelope.h"

#define YARD_OPEN_REQUESTS_MAX \
    8192 /* eight times what the broker lets one peer ask (ARCHITECTURE 2): one cannot keep out the others */
#define YARD_ARENA_BYTES_MAX \
    (16 * 1024 * 1024) /* what one message may become in memory: its 1 MiB sixteen times */
#define YARD_MAILBOX_BUDGET 64 /* messages between two looks at timers and files (actor.h) */
#define YARD_EPOCH_SIZE 16 /* hex digits (bus.def) */
#define YARD_ASK_ID_SIZE 9 /* 'a' and the number; the broker's own numbers have 8 bytes */

struct yard_timer_t {
    yard_actor_t *actor;
    yard_timer_fn *fire;
    void *argument;
    int64_t due_ms;
    uint64_t order; /* of equal times the one set first fires first */
    size_t slot; /* in the heap, from 1; 0 = unarmed */
    bool inside; /* the runtime's own: not a handler, no reason to settle */
};

typedef struct yard_said_t yard_said_t; /* a frame other than an ask, on its way out */
typedef struct yard_open_ask_t yard_open_ask_t;

typedef struct {
    yard_said_t *first, **last_p;
    size_t count;
} yard_said_list_t;

typedef struct {
    yard_open_ask_t *first, *last;
} yard_ask_list_t;

typedef enum {
    YARD_LINK_HELLO_DUE, /* hello goes as soon as the socket takes it */
    YARD_LINK_AWAITING, /* said hello; asks and answers wait for the welcome, since another epoch would refuse them */
    YARD_LINK_WELCOMED
} yard_link_t;

struct yard_actor_t {
    const yard_actor_class_t *class;
    yard_actor_options_t options;
    const configuration_t *configuration;
    void *self;
    yard_socket_t *socket;
    yard_message_t message;
    char instance [33], place [201], note [201];
    const char *device;

    int64_t now_ms;
    uint64_t busy_us, idle_us;
    bool dirty; /* something was handled or said since the last settle */
    bool blocked; /* the socket takes no more: wait for POLLOUT */
    uint64_t malformed;

    /*  hello.c */
    yard_link_t link;
    bool ever_welcomed;
    char epoch [YARD_EPOCH_SIZE + 1];
    yard_buffer_t hello; /* packed */
    yard_timer_t silence;

    /*  request.c */
    yard_table_t *requests; /* by the broker's number */
    yard_request_t *handling;

    /*  ask.c, follow.c */
    yard_table_t *asks; /* by number */
    yard_ask_list_t asks_held, asks_leaving, asks_ended;
    uint64_t last_asked;
    yard_follow_t *follows;
    yard_arena_t *scratch; /* of the answer being handled */
    yard_arena_t *event_scratch; /* of the event being handled */

    /*  outbox.c, publish.c */
    yard_said_list_t said_held, said_leaving;
    yard_arena_t *published_arena;
    told_t *published;
    size_t published_count, published_capacity;

    /*  timer.c, watch.c */
    yard_timer_t **timers; /* a binary heap, from 1 */
    size_t timer_count, timer_capacity;
    uint64_t timers_set;
    yard_watch_t *watches;
    yard_poll_t *polled;
    yard_watch_t **polled_watches;
    size_t polled_capacity;

    yard_offload_pool_t *pool;
    yard_handler_watch_t *handler_watch; /* NULL in the simulation */

    /*  drain.c */
    bool draining, drained, stopping, closing;
    int exit_code;
    yard_timer_t drain_limit;
};

struct yard_request_t {
    yard_actor_t *actor;
    yard_arena_t *arena;
    yard_string_t id, name, body; /* in the arena */
    const yard_method_t *method;
    from_t from;
    meta_t meta;
    yard_error_t error;
    int64_t due_ms; /* INT64_MAX = none */
    yard_timer_t deadline;
    yard_ended_fn *ended;
    void *ended_argument;
};

/*  timer.c */
void yard_timer_init (yard_timer_t *self, yard_actor_t *actor, yard_timer_fn *fire,
                      void *argument); /* inside */
void yard_timers_run (yard_actor_t *actor);
int yard_timers_wait_ms (const yard_actor_t *actor, int timeout_ms); /* at most timeout_ms (-1 = no limit) */

/*  mailbox.c */
void yard_mailbox_drain (yard_actor_t *actor);
void yard_mailbox_malformed (yard_actor_t *actor, const char *why);

/*  watch.c: polls the socket, the pool and the watched fds; then tells those that are ready, the mailbox
 *  between them. */
void yard_watches_poll (yard_actor_t *actor, int timeout_ms);
void yard_watches_free (yard_actor_t *actor);

/*  request.c */
void yard_request_asked (yard_actor_t *actor, const yard_envelope_t *envelope);
void yard_request_bye (yard_actor_t *actor, const yard_envelope_t *envelope);
void yard_requests_end (yard_actor_t *actor, int code, const char *why);

/*  ask.c; `asked` numbers are those of yard_ask. */
void yard_ask_answered (yard_actor_t *actor, const yard_envelope_t *envelope);
void yard_ask_failed (yard_actor_t *actor, const yard_envelope_t *envelope);
void yard_asks_run_ended (yard_actor_t *actor);
void yard_asks_lost (yard_actor_t *actor, bool unsent_too,
                     const char *why); /* all that were sent end with gone */
void yard_asks_settled (yard_actor_t *actor, int code, const char *why); /* 0: they leave; else they end so */
int yard_asks_send (yard_actor_t *actor); /* YARD_BUSY: not all */
void yard_ask_drop (yard_actor_t *actor, uint64_t asked); /* withdraws; its handler never runs */
void yard_asks_drop_all (yard_actor_t *actor);
void yard_ask_id (uint64_t asked, char *ret_id); /* ret_id [YARD_ASK_ID_SIZE] */
uint64_t yard_ask_number (yard_string_t id); /* 0 = none of ours */

/*  outbox.c */
void yard_say (yard_actor_t *actor, char letter, yard_string_t id, yard_string_t name,
               yard_buffer_t *body); /* takes the body */
void yard_say_record (yard_actor_t *actor, char letter, yard_string_t id, const yard_wire_type_t *type,
                      const void *value);
void yard_outbox_settled (yard_actor_t *actor, int code, const char *why);
void yard_outbox_forget (yard_actor_t *actor); /* what was said to a broker that is no more */
void yard_outbox_flush (yard_actor_t *actor);
int yard_outbox_send (yard_actor_t *actor, const yard_envelope_t *envelope); /* past the queue */
bool yard_outbox_full (const yard_actor_t *actor);
void yard_failure_pack (const failure_t *failure, yard_buffer_t *ret); /* never fails */

/*  publish.c */
void yard_published_leave (yard_actor_t *actor);
void yard_published_forget (yard_actor_t *actor);

/*  hello.c */
int yard_hello_prepare (yard_actor_t *actor, yard_error_t *error);
void yard_hello_again (yard_actor_t *actor);
bool yard_hello_send (yard_actor_t *actor); /* false: the socket does not take it */
void yard_hello_welcomed (yard_actor_t *actor, const yard_envelope_t *envelope);
void yard_hello_refused (yard_actor_t *actor, const yard_envelope_t *envelope);
void yard_hello_pinged (yard_actor_t *actor, const yard_envelope_t *envelope);

/*  follow.c */
void yard_follow_heard (yard_actor_t *actor, const yard_envelope_t *envelope);
bool yard_follow_ended (yard_actor_t *actor, const yard_envelope_t *envelope); /* F with a follow's id */
void yard_follows_resume (yard_actor_t *actor); /* in a new epoch, on a new connection */
void yard_follows_free (yard_actor_t *actor);

/*  drain.c */
void yard_drain_step (yard_actor_t *actor);
bool yard_drain_ended (yard_actor_t *actor, int *ret_exit);
void yard_actor_close_all (yard_actor_t *actor);

/*  settle.c */
void yard_settle (yard_actor_t *actor);

/*  Around every call of a handler: names it for the watch, and makes the turn settle. */
static inline void yard_handling_begin (yard_actor_t *actor, const char *handler, const char *message)
{
    actor->dirty = true;
    yard_handler_watch_begin (actor->handler_watch, handler, message);
}

static inline void yard_handling_end (yard_actor_t *actor)
{
    yard_handler_watch_end (actor->handler_watch);
}

/*  calloc that aborts: a process out of memory is a crash like another. */
static inline void *yard_zeroed (size_t size)
{
    void *memory = calloc (1, size);
    if (!memory)
        abort ();
    return memory;
}

#endif
