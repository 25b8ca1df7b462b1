// SPDX-License-Identifier: Apache-2.0
/*  ledger.h - one memory budget: who has which bytes of it, and who waits for some
 *
 *  One ledger for the host's resident memory, one for each device. A load asks for its bytes before it takes
 *  any; so of loads that race for the last bytes exactly one wins, and the others wait, or have idle models
 *  evicted. No I/O, no thread, no clock: the loop calls loader_ledger_settle once in each turn in which
 *  something ended or was asked, and at next_ms.
 *
 *  Invariants:
 *  - Every byte of the budget is of exactly one kind at any time: free + reserved + held + draining = budget,
 *    with held = idle + busy + pinned and draining = kept + coming. Bytes change their kind only as the table
 *    in ledger.c allows.
 *  - A wish is answered exactly once, from inside settle and never from inside ask, unless it was cancelled
 *    first. Answers may call anything of the ledger; what they ask is answered by the same settle.
 *  - The queue is strict: higher priority first, then the earlier deadline, then the earlier ask; nobody is
 *    granted before the head. So a small load never starves a big one, with two exceptions that are meant:
 *    higher priorities go before lower ones always, and earlier deadlines of the same priority at most
 *    LOADER_PASSES_MAX times.
 *  - Only what is enough is evicted: if idle models, free bytes and coming bytes together do not make room for
 *    the head, nothing is evicted, and it waits for leases, attachments and loads to end.
 *  - A waiter is answered as soon as it can be: after every settle the head, if there is one, does not fit.
 *    No wish waits for what nobody but an operator can give: one that does not fit beside the pinned models is
 *    refused, also while it waits.
 *
 *  Who needs room in several ledgers asks in one order everywhere, the host first, then devices by number, and
 *  cancels what it has when a later one refuses: else two loads could wait for each other. What the ledger
 *  cannot see is a client that holds a lease while it waits for another model; deadlines are for that.
 */
#ifndef LOADER_LEDGER_H
#define LOADER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"

#define LOADER_PASSES_MAX \
    32 /* a deadline may hurry; a wish without one is still served after so many loads */
#define LOADER_NO_DEADLINE INT64_MAX

typedef struct loader_ledger_t loader_ledger_t;
typedef struct loader_reservation_t loader_reservation_t;

typedef enum {
    LOADER_BYTES_FREE,
    LOADER_BYTES_RESERVED, /* of a load under way */
    LOADER_BYTES_IDLE, /* held by a model that may be evicted */
    LOADER_BYTES_BUSY, /* held by a model that is leased or attached */
    LOADER_BYTES_PINNED, /* held by a model that the yard keeps */
    LOADER_BYTES_KEPT, /* draining: the model has left the cache, a lease or an attachment still has the bytes */
    LOADER_BYTES_COMING, /* draining: being freed, by nobody's leave (on the device's thread) */
    LOADER_BYTES_KINDS
} loader_bytes_t;

/*  refusal: NULL = granted, the reservation is the asker's to commit or cancel. Else it is gone already, and
 *  the sentence lives until the answer returns: YARD_TIMEOUT, YARD_OUT_OF_MEMORY. */
typedef void (loader_answer_fn) (void *argument, const yard_error_t *refusal);

typedef struct {
    uint64_t bytes;
    int priority; /* higher goes first */
    int64_t deadline_ms; /* of the clock that settle is given; LOADER_NO_DEADLINE */
    loader_answer_fn *answer;
    void *argument;
} loader_room_wish_t;

/*  Who evicts idle models (lru.c). Only called when at least so many bytes are idle. */
typedef struct {
    /*  How many bytes will have gone when make_room has returned; changes nothing. */
    uint64_t (*plan) (void *argument, uint64_t bytes);
    /*  Evicts at least so many idle bytes, and no model that could be spared. */
    void (*make_room) (void *argument, uint64_t bytes);
    void *argument;
} loader_evictor_t;

/*  key is the configuration's name of this budget, for sentences; copied. At most waiters_max wishes wait. */
loader_ledger_t *loader_ledger_new (uint64_t budget, const char *key, size_t waiters_max);
/*  Waiters are forgotten, untold; their reservations are gone. Granted ones are to be ended before. */
void loader_ledger_destroy (loader_ledger_t **self_p);

void loader_ledger_set_evictor (loader_ledger_t *self, const loader_evictor_t *evictor); /* NULL: none */

/*  Raising wakes waiters; lowering refuses (at the next settle) those that fit no more. YARD_BUSY, with the
 *  numbers, below what is in use: evict, then try again. */
int loader_ledger_set_budget (loader_ledger_t *self, uint64_t budget, yard_error_t *error);

/*  --- reservations */

/*  YARD_OUT_OF_MEMORY: it fits never, as budget and pins are now. YARD_BUSY: too many wait. */
int loader_ledger_ask (loader_ledger_t *self, const loader_room_wish_t *wish, loader_reservation_t **ret,
                       yard_error_t *error);

/*  Answers who can be answered: overdue and hopeless wishes no, then from the head on whoever fits yes,
 *  evicting for it. How many; from inside an answer nothing, the outer call goes on. */
size_t loader_ledger_settle (loader_ledger_t *self, int64_t now_ms);
int64_t loader_ledger_next_ms (const loader_ledger_t *self); /* earliest deadline; LOADER_NO_DEADLINE */

/*  Waiting or granted; gives back what it had. Takes NULL. */
void loader_reservation_cancel (loader_reservation_t **self_p);
/*  Of a waiting one: it waits until then. Its place stays; later than before, or it might be owed a better one. */
void loader_reservation_give_time (loader_reservation_t *self, int64_t deadline_ms);
/*  Of a granted one: the load needs only so much. It may not grow: cancel, and ask anew. */
void loader_reservation_shrink (loader_reservation_t *self, uint64_t bytes);
/*  Of a granted one: the load is done, its bytes are held and busy. How many. */
uint64_t loader_reservation_commit (loader_reservation_t **self_p);
uint64_t loader_reservation_bytes (const loader_reservation_t *self);

/*  --- bytes that are held or draining */

/*  lru.c moves what is held. The owner moves what drains: KEPT to COMING when the last attachment has ended and
 *  the device's thread frees, either to FREE when the bytes are free. */
void loader_ledger_move (loader_ledger_t *self, loader_bytes_t from, loader_bytes_t to, uint64_t bytes);

/*  --- looking */

typedef enum {
    LOADER_FITS_NOW,
    LOADER_FITS_EVICTING, /* after evicting these bytes; 0 = after what is being freed already */
    LOADER_MUST_WAIT, /* for waiters before it, leases, attachments or loads under way */
    LOADER_NEVER_FITS
} loader_verdict_t;

/*  What an ask with these bytes, priority and deadline would meet; exact right after a settle. *ret_evict is
 *  0 but for LOADER_FITS_EVICTING. Changes nothing. */
loader_verdict_t loader_ledger_estimate (const loader_ledger_t *self, const loader_room_wish_t *wish,
                                         uint64_t *ret_evict);

uint64_t loader_ledger_bytes (const loader_ledger_t *self, loader_bytes_t kind);

/*  In bytes, but for the counts. */
typedef struct {
    uint64_t budget, free, reserved, held, draining;
    uint64_t evictable, pinned; /* parts of held */
    uint64_t peak; /* most in use at once, since the start */
    uint64_t waiting; /* asked for by those who wait */
    size_t waiters;
    uint64_t granted, refused; /* wishes since the start; those that asked in vain included */
} loader_ledger_numbers_t;
void loader_ledger_numbers (const loader_ledger_t *self, loader_ledger_numbers_t *ret);

#endif
