// SPDX-License-Identifier: Apache-2.0
/*  lru.c - one list, the least recently used first
 *
 *  The order of the list is the order of last uses, so nothing is counted or compared. Making room and
 *  expiring walk all of it: a budget holds some hundred models, and a walk is over in microseconds, beside
 *  loads of seconds.
 */
#include "actors/loader/lru.h"

#include <assert.h>
#include <sys/queue.h>

struct loader_entry_t {
    TAILQ_ENTRY (loader_entry_t) link;
    loader_lru_t *lru;
    void *model;
    uint64_t bytes;
    size_t uses, pins, attachments;
    int64_t last_use_ms, ttl_ms;
    loader_bytes_t state; /* how the ledger counts it: IDLE, BUSY or PINNED */
    bool chosen; /* by the last plan, to go */
};

struct loader_lru_t {
    loader_ledger_t *ledger;
    TAILQ_HEAD (entries_t, loader_entry_t) entries; /* least recently used first */
    loader_evict_fn *evict;
    void *argument;
    loader_lru_numbers_t numbers;
    bool telling; /* the owner is being told */
};

/*  --- one entry's state */

static loader_bytes_t state_of (const loader_entry_t *entry)
{
    if (entry->pins > 0)
        return LOADER_BYTES_PINNED;
    return entry->uses > 0 || entry->attachments > 0 ? LOADER_BYTES_BUSY : LOADER_BYTES_IDLE;
}

static void changed (loader_entry_t *entry)
{
    loader_bytes_t state = state_of (entry);
    assert (!entry->lru->telling);
    loader_ledger_move (entry->lru->ledger, entry->state, state, entry->bytes);
    entry->state = state;
}

static void touch (loader_entry_t *entry, int64_t now_ms)
{
    entry->last_use_ms = now_ms;
    TAILQ_REMOVE (&entry->lru->entries, entry, link);
    TAILQ_INSERT_TAIL (&entry->lru->entries, entry, link);
    changed (entry);
}

/*  The bytes are counted as `to` from now on; the model is the owner's again. */
static void forget (loader_entry_t *entry, loader_bytes_t to)
{
    loader_lru_t *self = entry->lru;
    assert (!self->telling);
    loader_ledger_move (self->ledger, entry->state, to, entry->bytes);
    TAILQ_REMOVE (&self->entries, entry, link);
    self->numbers.models--;
    free (entry);
}

static void evict (loader_entry_t *entry)
{
    loader_lru_t *self = entry->lru;
    void *model = entry->model;
    uint64_t bytes = entry->bytes;
    loader_fate_t fate = { 0, 0 };
    forget (entry, LOADER_BYTES_KEPT);
    self->numbers.evictions++;
    self->numbers.evicted_bytes += bytes;
    self->telling = true;
    self->evict (self->argument, model, &fate);
    self->telling = false;
    assert (fate.kept <= bytes && fate.coming <= bytes - fate.kept);
    loader_ledger_move (self->ledger, LOADER_BYTES_KEPT, LOADER_BYTES_COMING, fate.coming);
    loader_ledger_move (self->ledger, LOADER_BYTES_KEPT, LOADER_BYTES_FREE, bytes - fate.kept - fate.coming);
}

/*  --- making room */

/*  Chooses who goes. */
static uint64_t plan (void *argument, uint64_t bytes)
{
    loader_lru_t *self = argument;
    loader_entry_t *entry;
    uint64_t sum = 0;
    assert (loader_ledger_bytes (self->ledger, LOADER_BYTES_IDLE) >= bytes);
    TAILQ_FOREACH (entry, &self->entries, link)
    {
        entry->chosen = entry->state == LOADER_BYTES_IDLE && sum < bytes;
        sum += entry->chosen ? entry->bytes : 0;
    }
    TAILQ_FOREACH_REVERSE (entry, &self->entries, entries_t, link)
    if (entry->chosen && sum - entry->bytes >= bytes) {
        entry->chosen = false;
        sum -= entry->bytes;
    }
    return sum;
}

typedef bool (entry_test_fn) (const loader_entry_t *entry, int64_t now_ms);

static size_t evict_where (loader_lru_t *self, entry_test_fn *test, int64_t now_ms)
{
    size_t evicted = 0;
    for (loader_entry_t *entry = TAILQ_FIRST (&self->entries), *next; entry; entry = next) {
        next = TAILQ_NEXT (entry, link);
        if (!test (entry, now_ms))
            continue;
        evict (entry);
        evicted++;
    }
    return evicted;
}

static bool is_chosen (const loader_entry_t *entry, int64_t now_ms)
{
    (void) now_ms;
    return entry->chosen;
}

static bool is_idle (const loader_entry_t *entry, int64_t now_ms)
{
    (void) now_ms;
    return entry->state == LOADER_BYTES_IDLE;
}

static int64_t expires_ms (const loader_entry_t *entry)
{
    if (entry->ttl_ms == 0 || entry->state != LOADER_BYTES_IDLE ||
        entry->ttl_ms > LOADER_NO_EXPIRY - entry->last_use_ms)
        return LOADER_NO_EXPIRY;
    return entry->last_use_ms + entry->ttl_ms;
}

static bool is_expired (const loader_entry_t *entry, int64_t now_ms)
{
    int64_t at = expires_ms (entry);
    return at < LOADER_NO_EXPIRY && at <= now_ms;
}

static void make_room (void *argument, uint64_t bytes)
{
    plan (argument, bytes);
    evict_where (argument, is_chosen, 0);
}

/*  --- the whole */

loader_lru_t *loader_lru_new (loader_ledger_t *ledger, loader_evict_fn *evict_fn, void *argument)
{
    loader_lru_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->ledger = ledger;
    self->evict = evict_fn;
    self->argument = argument;
    TAILQ_INIT (&self->entries);
    loader_ledger_set_evictor (ledger, &(loader_evictor_t){ plan, make_room, self });
    return self;
}

void loader_lru_destroy (loader_lru_t **self_p)
{
    loader_lru_t *self = *self_p;
    if (!self)
        return;
    for (loader_entry_t *entry = TAILQ_FIRST (&self->entries), *next; entry; entry = next) {
        next = TAILQ_NEXT (entry, link);
        forget (entry, LOADER_BYTES_FREE);
    }
    loader_ledger_set_evictor (self->ledger, NULL);
    free (self);
    *self_p = NULL;
}

loader_entry_t *loader_lru_add (loader_lru_t *self, loader_reservation_t **reservation_p, void *model,
                                int64_t ttl_ms, int64_t now_ms)
{
    assert (!self->telling && ttl_ms >= 0 && now_ms >= 0);
    loader_entry_t *entry = calloc (1, sizeof *entry);
    if (!entry)
        abort ();
    *entry = (loader_entry_t){ .lru = self,
                               .model = model,
                               .bytes = loader_reservation_commit (reservation_p),
                               .uses = 1,
                               .last_use_ms = now_ms,
                               .ttl_ms = ttl_ms,
                               .state = LOADER_BYTES_BUSY };
    TAILQ_INSERT_TAIL (&self->entries, entry, link);
    self->numbers.models++;
    self->numbers.misses++;
    return entry;
}

void loader_entry_use (loader_entry_t *self, int64_t now_ms)
{
    self->uses++;
    self->lru->numbers.hits++;
    touch (self, now_ms);
}

void loader_entry_release (loader_entry_t *self, int64_t now_ms)
{
    assert (self->uses > 0);
    self->uses--;
    touch (self, now_ms);
}

void loader_entry_attach (loader_entry_t *self)
{
    self->attachments++;
    changed (self);
}

void loader_entry_detach (loader_entry_t *self, int64_t now_ms)
{
    assert (self->attachments > 0);
    self->attachments--;
    touch (self, now_ms);
}

void loader_entry_pin (loader_entry_t *self)
{
    self->pins++;
    changed (self);
}

void loader_entry_unpin (loader_entry_t *self)
{
    assert (self->pins > 0);
    self->pins--;
    changed (self);
}

uint64_t loader_entry_bytes (const loader_entry_t *self)
{
    return self->bytes;
}

void loader_entry_retire (loader_entry_t **self_p)
{
    forget (*self_p, LOADER_BYTES_KEPT);
    *self_p = NULL;
}

int loader_entry_evict (loader_entry_t **self_p, yard_error_t *error)
{
    loader_entry_t *self = *self_p;
    if (self->uses > 0 || self->pins > 0)
        return yard_error (error, YARD_CONFLICT,
                           "the model is held by %zu leases and %zu pins; release and unpin it first",
                           self->uses, self->pins);
    evict (self);
    *self_p = NULL;
    return 0;
}

size_t loader_lru_empty (loader_lru_t *self)
{
    return evict_where (self, is_idle, 0);
}

size_t loader_lru_free (loader_lru_t *self, uint64_t bytes)
{
    plan (self, bytes);
    return evict_where (self, is_chosen, 0);
}

size_t loader_lru_expire (loader_lru_t *self, int64_t now_ms)
{
    size_t expired = evict_where (self, is_expired, now_ms);
    self->numbers.expired += expired;
    return expired;
}

int64_t loader_lru_next_ms (const loader_lru_t *self)
{
    const loader_entry_t *entry;
    int64_t next = LOADER_NO_EXPIRY;
    TAILQ_FOREACH (entry, &self->entries, link)
    if (expires_ms (entry) < next)
        next = expires_ms (entry);
    return next;
}

void loader_lru_numbers (const loader_lru_t *self, loader_lru_numbers_t *ret)
{
    *ret = self->numbers;
}
