// SPDX-License-Identifier: Apache-2.0
/*  leases.c - one table by id, in order of grant
 *
 *  Walks over all of it for owners and times: at most loader.leases_max rows (1,024), some microseconds, and
 *  only when a client goes or a time comes.
 */
#include "actors/loader/leases.h"

#include <assert.h>
#include "actors/ground/table.h"

struct loader_leases_t {
    yard_table_t *rows; /* id -> loader_lease_t */
    size_t max;
    loader_lease_ends_t ends;
};

loader_leases_t *loader_leases_new (size_t max, const loader_lease_ends_t *ends)
{
    loader_leases_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->rows = yard_table_new ();
    self->max = max;
    self->ends = *ends;
    return self;
}

static void forget (loader_leases_t *self, loader_lease_t *lease)
{
    yard_table_take (self->rows, lease->id, LOADER_LEASE_SIZE - 1);
    self->ends.gone (self->ends.argument, lease);
    loader_model_drop (&lease->model);
    free (lease);
}

void loader_leases_end (loader_leases_t *self, loader_lease_t *lease, const char *why)
{
    if (lease->over)
        return;
    lease->over = true;
    self->ends.over (self->ends.argument, lease, why);
    if (lease->attachments == 0)
        forget (self, lease);
}

void loader_leases_destroy (loader_leases_t **self_p)
{
    loader_leases_t *self = *self_p;
    if (!self)
        return;
    void *value;
    for (size_t at = 0; yard_table_next (self->rows, &at, &value);) {
        loader_lease_t *lease = value;
        assert (lease->attachments == 0);
        loader_leases_end (self, lease, "the loader ends");
    }
    yard_table_destroy (&self->rows);
    free (self);
    *self_p = NULL;
}

int loader_leases_grant (loader_leases_t *self, const loader_lease_t *grant, yard_random_t *random,
                         const loader_lease_t **ret, yard_error_t *error)
{
    if (yard_table_count (self->rows) >= self->max)
        return yard_error (
            error, YARD_BUSY,
            "%zu leases are out, the limit (loader.leases_max); release some, or try again later", self->max);
    loader_lease_t *lease = malloc (sizeof *lease);
    if (!lease)
        abort ();
    *lease = *grant;
    lease->model = loader_model_use (grant->model);
    lease->attachments = 0;
    lease->over = false;
    yard_random_hex (random, lease->id, LOADER_LEASE_SIZE - 1);
    void *other = yard_table_put (self->rows, lease->id, LOADER_LEASE_SIZE - 1, lease);
    assert (!other); /* 128 random bits */
    (void) other;
    *ret = lease;
    return 0;
}

int loader_leases_find (const loader_leases_t *self, yard_string_t id, loader_lease_t **ret,
                        yard_error_t *error)
{
    loader_lease_t *lease = id.size ? yard_table_get (self->rows, id.data, id.size) : NULL;
    if (!lease || lease->over)
        return yard_error (
            error, YARD_UNKNOWN_LEASE,
            "no lease %.8s… here: it was released, its time or its owner ended, or another loader "
            "granted it; load the model again",
            lease ? lease->id : "of this id");
    *ret = lease;
    return 0;
}

size_t loader_leases_end_owner (loader_leases_t *self, yard_string_t owner)
{
    size_t ended = 0;
    void *value;
    for (size_t at = 0; yard_table_next (self->rows, &at, &value);) {
        loader_lease_t *lease = value;
        if (lease->over || lease->owner [0] == 0 || !yard_string_is (owner, lease->owner))
            continue;
        loader_leases_end (self, lease, "its owner has gone");
        ended++;
    }
    return ended;
}

size_t loader_leases_expire (loader_leases_t *self, int64_t now_ms)
{
    size_t ended = 0;
    void *value;
    for (size_t at = 0; yard_table_next (self->rows, &at, &value);) {
        loader_lease_t *lease = value;
        if (lease->over || lease->ends_ms > now_ms)
            continue;
        loader_leases_end (self, lease, "its time is over");
        ended++;
    }
    return ended;
}

size_t loader_leases_orphan (loader_leases_t *self, int64_t ends_ms)
{
    size_t orphaned = 0;
    void *value;
    for (size_t at = 0; yard_table_next (self->rows, &at, &value);) {
        loader_lease_t *lease = value;
        if (lease->over || lease->owner [0] == 0)
            continue;
        snprintf (lease->owner, sizeof lease->owner, LOADER_ORPHAN);
        if (lease->ends_ms > ends_ms)
            lease->ends_ms = ends_ms;
        orphaned++;
    }
    return orphaned;
}

int64_t loader_leases_next_ms (const loader_leases_t *self)
{
    int64_t next = LOADER_FOREVER;
    void *value;
    for (size_t at = 0; yard_table_next (self->rows, &at, &value);) {
        const loader_lease_t *lease = value;
        if (!lease->over && lease->ends_ms < next)
            next = lease->ends_ms;
    }
    return next;
}

void loader_leases_attach (loader_leases_t *self, loader_lease_t *lease)
{
    (void) self;
    assert (!lease->over);
    lease->attachments++;
}

void loader_leases_detach (loader_leases_t *self, loader_lease_t *lease)
{
    assert (lease->attachments > 0);
    if (--lease->attachments == 0 && lease->over)
        forget (self, lease);
}

size_t loader_leases_count (const loader_leases_t *self)
{
    return yard_table_count (self->rows);
}

bool loader_leases_next (const loader_leases_t *self, size_t *at, const loader_lease_t **ret)
{
    void *value;
    if (!yard_table_next (self->rows, at, &value))
        return false;
    *ret = value;
    return true;
}
