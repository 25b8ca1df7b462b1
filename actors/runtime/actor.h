// SPDX-License-Identifier: Apache-2.0
/*  actor.h - one process, one loop, one mailbox
 *
 *  An actor is a struct of yours and a table of what it answers. The runtime owns the loop, the socket to the
 *  broker, the timers and the manners: it says hello (again when the broker is another), answers pings, keeps
 *  deadlines, answers what nobody handles, drains when asked and exits non-zero when broken. Handlers never
 *  block: what takes longer than a millisecond is offloaded, or another process's work.
 *
 *  One turn of the loop: due timers -> poll -> mailbox (at most 64 messages) -> watched fds, mailbox again
 *  between them -> offloaded work that ended -> settle -> held answers and asks leave -> events leave ->
 *  watchdog and pong accounting.
 *
 *  Invariants:
 *  - A request is answered exactly once: by yard_reply, yard_refuse, or the runtime (deadline, asker gone,
 *    actor closing).
 *  - Asks, events and answers made in a turn (settle included) leave after its settle, in this order; if
 *    settle fails, every answer of the turn becomes that failure, its events are dropped, and the handlers of
 *    its asks run with the failure.
 *  - The handler of an ask runs exactly once, never from inside yard_ask.
 *  - Everything here is called on the loop's thread.
 */
#ifndef YARD_RUNTIME_ACTOR_H
#define YARD_RUNTIME_ACTOR_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/arena.h"
#include "actors/ground/clock.h"
#include "actors/ground/error.h"
#include "actors/ground/log.h"
#include "actors/ground/offload.h"
#include "actors/ground/paths.h"
#include "actors/ground/random.h"
#include "actors/runtime/bus.h"
#include "proto/configuration.h"
#include "proto/messages.h"

typedef struct yard_actor_t yard_actor_t; /* the running actor */
typedef struct yard_request_t yard_request_t; /* an ask to us, not yet answered */
typedef struct yard_timer_t yard_timer_t;
typedef struct yard_watch_t yard_watch_t;
typedef struct yard_follow_t yard_follow_t;

/*  Returns 0 when it has answered, or keeps the request and answers later. A negative code: the runtime
 *  answers with it, and with the sentence in yard_request_error (request). ask is valid until the request is
 *  answered. */
typedef int (yard_handler_fn) (void *self, yard_request_t *request, const void *ask);

typedef struct {
    const yard_method_t *method;
    yard_handler_fn *handler;
} yard_route_t;

/*  A row of the route table; a handler of the wrong type does not compile. */
#define HANDLE(self_type, name, function) \
    { \
        &name##_method, \
            (yard_handler_fn *) (1 ? (function) \
                                   : (int (*) (self_type *, yard_request_t *, const name##_ask_t *)) 0) \
    }

typedef struct {
    const char
        *name; /* "prober": the program is modelyard-prober, the place prober (or as pool, placed say) */
    size_t size; /* of your struct, zeroed */
    const yard_route_t *routes; /* ends with { 0 } */
    size_t offload_threads; /* 0 = 2 */
    bool pool; /* several at once: the place is <name>/<node>/<instance> */
    bool placed; /* one per device: the place is <name>/<node>/<device> */

    /*  Before any thread or context exists (fork servers). ret_prepared is handed to open through yard_actor_prepared. */
    int (*prepare) (void **ret_prepared, yard_error_t *error);
    /*  Opens files, makes state. A failure: the process says why and exits with 2, it never said hello. */
    int (*open) (void *self, yard_actor_t *actor, yard_error_t *error);
    /*  Said hello and was welcomed; also after every later welcome of a new epoch. May be NULL, as all below. */
    void (*welcomed) (void *self, bool new_epoch);
    /*  End of a turn that handled something: commit. 0, or a code: see the invariants. */
    int (*settle) (void *self, yard_error_t *error);
    /*  A client that ever asked us something has gone. client is from.client. */
    void (*client_gone) (void *self, yard_string_t client);
    /*  SIGTERM: hand work back. Called each turn until it returns 0 (the count of things still open), at most DRAIN_MS_MAX. */
    size_t (*drain) (void *self);
    /*  Must cope with a half-open self. */
    void (*close) (void *self);
} yard_actor_class_t;

/*  Exit codes for the supervisor. */
enum {
    YARD_EXIT_DRAINED = 0,
    YARD_EXIT_BROKEN = 1,
    YARD_EXIT_CANNOT_START = 2
};

/*  main of every actor: flags --home DIR, --run DIR, --set key=value, --device NAME, --log LEVEL, --version;
 *  blocks until the end. */
int yard_actor_main (const yard_actor_class_t *class, int argc, char **argv);
#ifdef YARD_SIMULATION
#    define YARD_ACTOR_MAIN(class)
#else
#    define YARD_ACTOR_MAIN(class) \
        int main (int argc, char **argv) \
        { \
            return yard_actor_main (&class, argc, argv); \
        }
#endif

/*  The same in pieces, for tests, the simulation, and programs that host an actor on a bus and clock of
 *  theirs. Borrows all of the options. */
typedef struct {
    yard_bus_t *bus;
    const yard_clock_t *clock;
    yard_random_t *random;
    const yard_configuration_t *configuration;
    const yard_paths_t *paths;
    const char *device; /* for placed actors; NULL = "host" */
    void *prepared;
    bool offload_inline;
} yard_actor_options_t;
int yard_actor_new (const yard_actor_class_t *class, const yard_actor_options_t *options, yard_actor_t **ret,
                    yard_error_t *error);
/*  One turn, waiting at most timeout_ms (-1 = until something comes). false: it has ended; its exit code is
 *  in ret_exit. */
bool yard_actor_turn (yard_actor_t *self, int timeout_ms, int *ret_exit);
void yard_actor_destroy (yard_actor_t **self_p); /* close, then free */

/*  --- what an actor may know */
void *yard_actor_self (const yard_actor_t *self); /* your struct */
void *yard_actor_prepared (const yard_actor_t *self);
int64_t yard_now_ms (const yard_actor_t *self); /* monotonic, as of this turn's start */
int64_t yard_wall_ms (const yard_actor_t *self); /* since 1970 */
yard_random_t *yard_actor_random (yard_actor_t *self);
const configuration_t *yard_actor_configuration (const yard_actor_t *self);
const yard_paths_t *yard_actor_paths (const yard_actor_t *self);
const char *yard_actor_place (const yard_actor_t *self);
const char *yard_actor_instance (const yard_actor_t *self); /* 32 hex digits */
const char *yard_actor_node (const yard_actor_t *self);
const char *yard_actor_device (const yard_actor_t *self);
void yard_actor_note (yard_actor_t *self, const char *note); /* for the pong: what we are doing */
void yard_actor_stop (yard_actor_t *self,
                      int exit_code); /* YARD_EXIT_DRAINED drains first; others leave at once */
bool yard_actor_draining (const yard_actor_t *self);

/*  --- requests
 *  ------------------------------------------------------------------------------------------------------------ */
/*  Answers and frees the request; both return 0, so a handler ends with `return yard_reply (request,
 *  &answer);`. An answer that cannot be packed becomes the failure that says why. */
int yard_reply (yard_request_t *request, const void *answer);
int yard_refuse (yard_request_t *request, int code, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
int yard_refuse_error (yard_request_t *request, const yard_error_t *error);
/*  refuse with more of the failure: place for wrong_place, retry_after_ms for busy. */
int yard_refuse_failure (yard_request_t *request, const failure_t *failure);

yard_error_t *
yard_request_error (yard_request_t *request); /* where a handler that returns a code writes its sentence */
yard_arena_t *yard_request_arena (yard_request_t *request); /* lives until the answer has left */
const from_t *yard_request_from (const yard_request_t *request);
const meta_t *yard_request_meta (const yard_request_t *request);
const yard_method_t *yard_request_method (const yard_request_t *request);
yard_string_t yard_request_body (const yard_request_t *request); /* the packed ask, for digests */
/*  Until its deadline; INT64_MAX for none. An asker without hello has one in any case, since nobody tells
 *  us when it has gone. */
int64_t yard_request_left_ms (const yard_request_t *request);

/*  For kept requests: told once when the runtime ends the request itself (deadline, asker gone or withdrew,
 *  closing). It is answered already; the handler forgets its pointer. code is timeout, gone or cancelled. */
typedef void (yard_ended_fn) (void *self, yard_request_t *request, void *argument, int code);
void yard_request_keep (yard_request_t *request, yard_ended_fn *ended, void *argument);

/*  --- asks
 *  ---------------------------------------------------------------------------------------------------------------- */
typedef struct {
    int code; /* 0: answered */
    const void *answer; /* <method>_answer_t, NULL on failure; valid until the handler returns */
    const char *text; /* the failure's sentence */
    const failure_t *failure; /* whole, when it came over the bus */
} yard_outcome_t;
typedef void (yard_answered_fn) (void *self, void *argument, const yard_outcome_t *outcome);

typedef struct {
    const char *at; /* place or instance behind the @; NULL = none */
    int64_t deadline_ms; /* 0 = the method's */
    const char *once; /* NULL = none */
    uint64_t ttl_s; /* 0 = none */
} yard_ask_options_t;

/*  Sends after settle, and while no broker has welcomed us waits for that until the deadline, which then
 *  means unreachable: certainly not done. An ask that the broker refuses with hello_first is sent again once
 *  by the runtime. answered may be NULL: then nobody is told. asked is 0 on failure to pack (the handler runs
 *  all the same, next turn), else a number for yard_withdraw. options may be NULL. */
uint64_t yard_ask (yard_actor_t *self, const yard_method_t *method, const void *ask,
                   const yard_ask_options_t *options, yard_answered_fn *answered, void *argument);
/*  B with the id; the handler runs with YARD_CANCELLED, next turn. Unknown numbers are ignored. */
void yard_withdraw (yard_actor_t *self, uint64_t asked);

/*  --- events
 *  -------------------------------------------------------------------------------------------------------------- */
/*  For actors without a store: lost if there is no broker. Actors with a store ask event.publish themselves
 *  (with change numbers). */
void yard_publish (yard_actor_t *self, const yard_event_t *event, const char *subject, const void *body);

typedef struct {
    yard_string_t name, subject;
    const yard_event_t *event; /* NULL: of a later version, body not decoded */
    const void *body; /* decoded as event->body */
    const stamp_t *stamp;
} yard_heard_t;
typedef void (yard_heard_fn) (void *self, void *argument, const yard_heard_t *heard);
/*  Some events are lost for good (too_old; another store; a broker ended before any change was seen): page a
 *  snapshot. The new stream has been asked for when this is called, so what is asked here is answered behind its
 *  start. */
typedef void (yard_lost_fn) (void *self, void *argument);
/*  prefixes: count of them. Resumes by itself: same epoch from the last number, new epoch from event.history. */
yard_follow_t *yard_follow (yard_actor_t *self, const char *const *prefixes, size_t count,
                            const char *subject, yard_heard_fn *heard, yard_lost_fn *lost, void *argument);
void yard_unfollow (yard_follow_t **self_p);

/*  --- time, files, threads */
typedef void (yard_timer_fn) (void *self, void *argument);
yard_timer_t *yard_timer_new (yard_actor_t *self, yard_timer_fn *fire, void *argument); /* unarmed */
void yard_timer_set (yard_timer_t *self,
                     int64_t delay_ms); /* (re)arms: once, in delay_ms; negative disarms */
void yard_timer_destroy (yard_timer_t **self_p);

typedef void (yard_ready_fn) (void *self, void *argument, int fd, short events);
yard_watch_t *yard_watch_new (yard_actor_t *self, int fd, short events, yard_ready_fn *ready, void *argument);
void yard_watch_set (yard_watch_t *self, short events);
void yard_watch_destroy (yard_watch_t **self_p); /* from inside its own callback too; does not close fd */

/*  work on a pool thread, done on the loop. While the actor closes, done is called for all that was
 *  submitted. */
void yard_offload (yard_actor_t *self, yard_work_fn *work, yard_done_fn *done, void *argument);

#endif
