// SPDX-License-Identifier: Apache-2.0
/*  ledger.c - seven counters that always add up to the budget, and a sorted list of who waits
 *
 *  Everything is decided in settle, from the counters and the head of the list alone: nobody has to be woken
 *  by name, so no wake can be lost. A settle that finds nothing to do walks the waiters once (some
 *  microseconds at 1,024) and looks at no model.
 */
#include "actors/loader/ledger.h"

#include <assert.h>
#include <sys/queue.h>

#define KEY_SIZE 64 /* the configuration's longest dotted name has half of it */

struct loader_reservation_t {
    TAILQ_ENTRY (loader_reservation_t) link; /* while it waits */
    loader_ledger_t *ledger;
    loader_room_wish_t wish;
    unsigned passed; /* how many of its own priority went before it for their deadline */
    bool granted;
};

struct loader_ledger_t {
    uint64_t bytes [LOADER_BYTES_KINDS];
    uint64_t budget, peak;
    TAILQ_HEAD (waiting_t, loader_reservation_t) waiting; /* the next one first */
    size_t waiters, waiters_max;
    loader_evictor_t evictor;
    uint64_t granted, refused;
    bool settling;
    char key [KEY_SIZE];
};

/*  A loaded model's bytes drain in any state: it may be replaced while it is leased or pinned. */
#define TO(kind) (1u << LOADER_BYTES_##kind)
#define ENDS (TO (KEPT) | TO (COMING) | TO (FREE))
static const unsigned moves [LOADER_BYTES_KINDS] = {
    [LOADER_BYTES_FREE] = TO (RESERVED),
    [LOADER_BYTES_RESERVED] = TO (FREE) | TO (BUSY),
    [LOADER_BYTES_IDLE] = TO (BUSY) | TO (PINNED) | ENDS,
    [LOADER_BYTES_BUSY] = TO (IDLE) | TO (PINNED) | ENDS,
    [LOADER_BYTES_PINNED] = TO (IDLE) | TO (BUSY) | ENDS,
    [LOADER_BYTES_KEPT] = TO (COMING) | TO (FREE),
    [LOADER_BYTES_COMING] = TO (FREE),
};

loader_ledger_t *loader_ledger_new (uint64_t budget, const char *key, size_t waiters_max)
{
    loader_ledger_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->budget = budget;
    self->bytes [LOADER_BYTES_FREE] = budget;
    self->waiters_max = waiters_max;
    TAILQ_INIT (&self->waiting);
    snprintf (self->key, sizeof self->key, "%s", key);
    return self;
}

static void leave_queue (loader_reservation_t *reservation)
{
    TAILQ_REMOVE (&reservation->ledger->waiting, reservation, link);
    reservation->ledger->waiters--;
}

void loader_ledger_destroy (loader_ledger_t **self_p)
{
    loader_ledger_t *self = *self_p;
    if (!self)
        return;
    assert (self->bytes [LOADER_BYTES_RESERVED] == 0);
    for (loader_reservation_t *waiter = TAILQ_FIRST (&self->waiting), *next; waiter; waiter = next) {
        next = TAILQ_NEXT (waiter, link);
        free (waiter);
    }
    free (self);
    *self_p = NULL;
}

void loader_ledger_set_evictor (loader_ledger_t *self, const loader_evictor_t *evictor)
{
    self->evictor = evictor ? *evictor : (loader_evictor_t){ .plan = NULL };
}

static uint64_t in_use (const loader_ledger_t *self)
{
    return self->budget - self->bytes [LOADER_BYTES_FREE];
}

int loader_ledger_set_budget (loader_ledger_t *self, uint64_t budget, yard_error_t *error)
{
    uint64_t used = in_use (self);
    if (budget < used)
        return yard_error (error, YARD_BUSY,
                           "%llu bytes are in use, more than the new budget of %llu (%s); evict or release "
                           "models, then lower it",
                           (unsigned long long) used, (unsigned long long) budget, self->key);
    self->budget = budget;
    self->bytes [LOADER_BYTES_FREE] = budget - used;
    return 0;
}

void loader_ledger_move (loader_ledger_t *self, loader_bytes_t from, loader_bytes_t to, uint64_t bytes)
{
    assert (from == to || (moves [from] & 1u << to));
    assert (bytes <= self->bytes [from]);
    self->bytes [from] -= bytes;
    self->bytes [to] += bytes;
    if (in_use (self) > self->peak)
        self->peak = in_use (self);
}

/*  --- the queue */

/*  Not even when all is released that somebody will release. */
static bool is_hopeless (const loader_ledger_t *self, uint64_t bytes)
{
    return bytes > self->budget - self->bytes [LOADER_BYTES_PINNED];
}

static int tell_hopeless (const loader_ledger_t *self, uint64_t bytes, yard_error_t *error)
{
    uint64_t pinned = self->bytes [LOADER_BYTES_PINNED];
    if (bytes > self->budget || pinned == 0)
        return yard_error (
            error, YARD_OUT_OF_MEMORY,
            "the load needs %llu bytes, and the whole budget is %llu (%s); raise it, or load a "
            "smaller part or variant",
            (unsigned long long) bytes, (unsigned long long) self->budget, self->key);
    return yard_error (error, YARD_OUT_OF_MEMORY,
                       "the load needs %llu bytes, and %llu of the budget of %llu (%s) are pinned; unpin a "
                       "model, or raise the budget",
                       (unsigned long long) bytes, (unsigned long long) pinned,
                       (unsigned long long) self->budget, self->key);
}

static bool goes_before (const loader_room_wish_t *wish, const loader_reservation_t *other)
{
    if (wish->priority != other->wish.priority)
        return wish->priority > other->wish.priority;
    return wish->deadline_ms < other->wish.deadline_ms && other->passed < LOADER_PASSES_MAX;
}

/*  Behind whom this wish would stand: the last one that it may not pass; NULL = nobody. */
static loader_reservation_t *find_place (const loader_ledger_t *self, const loader_room_wish_t *wish)
{
    loader_reservation_t *other = TAILQ_LAST (&self->waiting, waiting_t);
    while (other && goes_before (wish, other))
        other = TAILQ_PREV (other, waiting_t, link);
    return other;
}

static void enter_queue (loader_ledger_t *self, loader_reservation_t *reservation)
{
    loader_reservation_t *before = find_place (self, &reservation->wish), *other = reservation;
    if (before)
        TAILQ_INSERT_AFTER (&self->waiting, before, reservation, link);
    else
        TAILQ_INSERT_HEAD (&self->waiting, reservation, link);
    while ((other = TAILQ_NEXT (other, link)))
        if (other->wish.priority == reservation->wish.priority)
            other->passed++;
    self->waiters++;
}

int loader_ledger_ask (loader_ledger_t *self, const loader_room_wish_t *wish, loader_reservation_t **ret,
                       yard_error_t *error)
{
    int rc = 0;
    if (is_hopeless (self, wish->bytes))
        rc = tell_hopeless (self, wish->bytes, error);
    else if (self->waiters >= self->waiters_max)
        rc = yard_error (error, YARD_BUSY,
                         "%zu loads wait for memory (%s), the limit; try again when some have ended",
                         self->waiters, self->key);
    if (rc) {
        self->refused++;
        return rc;
    }
    loader_reservation_t *reservation = calloc (1, sizeof *reservation);
    if (!reservation)
        abort ();
    reservation->ledger = self;
    reservation->wish = *wish;
    enter_queue (self, reservation);
    *ret = reservation;
    return 0;
}

/*  --- settling */

static int judge (const loader_ledger_t *self, const loader_room_wish_t *wish, int64_t now_ms,
                  yard_error_t *refusal)
{
    if (is_hopeless (self, wish->bytes))
        return tell_hopeless (self, wish->bytes, refusal);
    if (wish->deadline_ms > now_ms)
        return 0;
    return yard_error (
        refusal, YARD_TIMEOUT,
        "no room for %llu bytes came in time: of the budget of %llu (%s) %llu are free and %llu "
        "idle; release models, or give the load more time",
        (unsigned long long) wish->bytes, (unsigned long long) self->budget, self->key,
        (unsigned long long) self->bytes [LOADER_BYTES_FREE],
        (unsigned long long) self->bytes [LOADER_BYTES_IDLE]);
}

/*  Refuses one; an answer may change the whole queue, so the next is looked for from the head again (1,024
 *  waiters that all end at once: half a million steps, about a millisecond). */
static bool refuse_one (loader_ledger_t *self, int64_t now_ms)
{
    loader_reservation_t *reservation;
    yard_error_t refusal = { .code = 0 };
    TAILQ_FOREACH (reservation, &self->waiting, link)
    if (judge (self, &reservation->wish, now_ms, &refusal))
        break;
    if (!reservation)
        return false;
    loader_room_wish_t wish = reservation->wish;
    leave_queue (reservation);
    free (reservation);
    self->refused++;
    wish.answer (wish.argument, &refusal);
    return true;
}

/*  What must be evicted for so many bytes: 0 when nothing, or when it would not be enough. */
static uint64_t shortage (const loader_ledger_t *self, uint64_t bytes)
{
    uint64_t there = self->bytes [LOADER_BYTES_FREE] + self->bytes [LOADER_BYTES_COMING];
    uint64_t missing = bytes > there ? bytes - there : 0;
    return self->evictor.make_room && missing <= self->bytes [LOADER_BYTES_IDLE] ? missing : 0;
}

/*  More than one round only when an evicted model's bytes were kept, against what was known of it. */
static void make_room (loader_ledger_t *self, uint64_t bytes)
{
    uint64_t missing;
    while ((missing = shortage (self, bytes)) > 0) {
        uint64_t idle = self->bytes [LOADER_BYTES_IDLE];
        self->evictor.make_room (self->evictor.argument, missing);
        assert (self->bytes [LOADER_BYTES_IDLE] < idle); /* or this would never end */
    }
}

static bool grant_head (loader_ledger_t *self)
{
    loader_reservation_t *head = TAILQ_FIRST (&self->waiting);
    if (!head)
        return false;
    make_room (self, head->wish.bytes);
    if (head->wish.bytes > self->bytes [LOADER_BYTES_FREE])
        return false;
    leave_queue (head);
    head->granted = true;
    loader_ledger_move (self, LOADER_BYTES_FREE, LOADER_BYTES_RESERVED, head->wish.bytes);
    self->granted++;
    head->wish.answer (head->wish.argument, NULL); /* may have ended the reservation */
    return true;
}

size_t loader_ledger_settle (loader_ledger_t *self, int64_t now_ms)
{
    if (self->settling)
        return 0;
    self->settling = true;
    size_t answers = 0;
    while (refuse_one (self, now_ms) || grant_head (self))
        answers++;
    self->settling = false;
    return answers;
}

int64_t loader_ledger_next_ms (const loader_ledger_t *self)
{
    const loader_reservation_t *reservation;
    int64_t next = LOADER_NO_DEADLINE;
    TAILQ_FOREACH (reservation, &self->waiting, link)
    if (reservation->wish.deadline_ms < next)
        next = reservation->wish.deadline_ms;
    return next;
}

/*  --- one reservation */

void loader_reservation_cancel (loader_reservation_t **self_p)
{
    loader_reservation_t *self = *self_p;
    if (!self)
        return;
    if (self->granted)
        loader_ledger_move (self->ledger, LOADER_BYTES_RESERVED, LOADER_BYTES_FREE, self->wish.bytes);
    else
        leave_queue (self);
    free (self);
    *self_p = NULL;
}

void loader_reservation_give_time (loader_reservation_t *self, int64_t deadline_ms)
{
    assert (!self->granted && deadline_ms >= self->wish.deadline_ms);
    self->wish.deadline_ms = deadline_ms;
}

void loader_reservation_shrink (loader_reservation_t *self, uint64_t bytes)
{
    assert (self->granted && bytes <= self->wish.bytes);
    loader_ledger_move (self->ledger, LOADER_BYTES_RESERVED, LOADER_BYTES_FREE, self->wish.bytes - bytes);
    self->wish.bytes = bytes;
}

uint64_t loader_reservation_commit (loader_reservation_t **self_p)
{
    loader_reservation_t *self = *self_p;
    uint64_t bytes = self->wish.bytes;
    assert (self->granted);
    loader_ledger_move (self->ledger, LOADER_BYTES_RESERVED, LOADER_BYTES_BUSY, bytes);
    free (self);
    *self_p = NULL;
    return bytes;
}

uint64_t loader_reservation_bytes (const loader_reservation_t *self)
{
    return self->wish.bytes;
}

/*  --- looking */

loader_verdict_t loader_ledger_estimate (const loader_ledger_t *self, const loader_room_wish_t *wish,
                                         uint64_t *ret_evict)
{
    *ret_evict = 0;
    if (is_hopeless (self, wish->bytes))
        return LOADER_NEVER_FITS;
    if (find_place (self, wish))
        return LOADER_MUST_WAIT;
    if (wish->bytes <= self->bytes [LOADER_BYTES_FREE])
        return LOADER_FITS_NOW;
    uint64_t missing = shortage (self, wish->bytes);
    if (missing == 0 && wish->bytes > self->bytes [LOADER_BYTES_FREE] + self->bytes [LOADER_BYTES_COMING])
        return LOADER_MUST_WAIT;
    if (missing > 0)
        *ret_evict = self->evictor.plan (self->evictor.argument, missing);
    return LOADER_FITS_EVICTING;
}

uint64_t loader_ledger_bytes (const loader_ledger_t *self, loader_bytes_t kind)
{
    return self->bytes [kind];
}

void loader_ledger_numbers (const loader_ledger_t *self, loader_ledger_numbers_t *ret)
{
    const loader_reservation_t *reservation;
    *ret = (loader_ledger_numbers_t){
        .budget = self->budget,
        .free = self->bytes [LOADER_BYTES_FREE],
        .reserved = self->bytes [LOADER_BYTES_RESERVED],
        .held = self->bytes [LOADER_BYTES_IDLE] + self->bytes [LOADER_BYTES_BUSY] +
                self->bytes [LOADER_BYTES_PINNED],
        .draining = self->bytes [LOADER_BYTES_KEPT] + self->bytes [LOADER_BYTES_COMING],
        .evictable = self->bytes [LOADER_BYTES_IDLE],
        .pinned = self->bytes [LOADER_BYTES_PINNED],
        .peak = self->peak,
        .waiters = self->waiters,
        .granted = self->granted,
        .refused = self->refused,
    };
    TAILQ_FOREACH (reservation, &self->waiting, link)
    ret->waiting += reservation->wish.bytes;
}
