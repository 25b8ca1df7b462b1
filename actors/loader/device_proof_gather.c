// SPDX-License-Identifier: Apache-2.0
/*  device_proof_gather.c - proofs of groups: this device and another one, in a process of its own
 */
#include "actors/loader/device_proof_inside.h"

#define RANKS 2
#define PIECES 12 /* gathers asked for without looking how the first one is */
#define PIECE_BYTES ((uint64_t) 256 * 1024)
#define SHARE_BYTES (PIECES * PIECE_BYTES)
#define HANG_TRIES 200 /* milliseconds in which a gather without its peer must not finish */

typedef struct {
    loader_proof_bed_t *bed;
    loader_peer_t *peer; /* rank 1 */
    loader_memory_t *memory;
    loader_proof_buffer_t share; /* to be copied to it */
    loader_event_t *filled;
    loader_gather_t *group;
} pair_t;

/*  A device that is not ours, by its number. */
static int find_other (loader_proof_bed_t *bed, char *ret_name, size_t size, yard_error_t *error)
{
    int count = 0;
    if (!bed->class->gather_join)
        return yard_error (error, YARD_NOT_IMPLEMENTED,
                           "this kind of device, in this build, joins no groups");
    int rc = bed->class->count (&count, error);
    for (int i = 0; i < count && !rc; i++) {
        loader_device_about_t about;
        rc = bed->class->look (i, &about, error);
        if (rc || strcmp (about.uuid, bed->about.uuid) == 0)
            continue;
        snprintf (ret_name, size, "%s:%d", bed->class->name, i);
        return 0;
    }
    return rc ? rc
              : yard_error (error, YARD_NOT_IMPLEMENTED,
                            "a group needs a second device; this machine shows %d", count);
}

static int settle_both (pair_t *pair, yard_error_t *error)
{
    int rc = loader_peer_order (pair->peer, &(loader_order_t){ .word = LOADER_ORDER_SETTLE }, error);
    if (!rc)
        rc = loader_proof_settle (pair->bed->class, pair->group, error);
    if (!rc)
        rc = loader_peer_answer (pair->peer, NULL, error);
    return rc;
}

static int ask (pair_t *pair, loader_order_word_t word, uint64_t offset, uint64_t size, uint64_t seed,
                yard_error_t *error)
{
    return loader_peer_ask (pair->peer,
                            &(loader_order_t){ .word = word, .offset = offset, .size = size, .seed = seed },
                            NULL, error);
}

/*  Both ranks have room for two shares, and are in one group. */
static int pair_new (pair_t *self, loader_proof_bed_t *bed, yard_error_t *error)
{
    char other [64];
    loader_order_t join = { .word = LOADER_ORDER_JOIN, .rank = 1, .ranks = RANKS };
    *self = (pair_t){ .bed = bed };
    int rc = find_other (bed, other, sizeof other, error);
    if (!rc)
        rc = loader_peer_new (other, bed->wish, &self->peer, error);
    if (!rc)
        rc = ask (self, LOADER_ORDER_ALLOCATE, 0, RANKS * SHARE_BYTES, 0, error);
    if (!rc)
        rc = bed->class->allocate (bed->device, RANKS * SHARE_BYTES, &self->memory, error);
    if (!rc)
        rc = loader_proof_buffer_init (&self->share, bed->class, bed->device, SHARE_BYTES, error);
    if (!rc)
        rc = bed->class->event_new (bed->device, &self->filled, error);
    if (!rc)
        rc = bed->class->gather_id (bed->device, join.id, error);
    if (!rc)
        rc = loader_peer_ask (self->peer, &join, NULL, error);
    if (!rc)
        rc = bed->class->gather_join (bed->device, join.id, 0, RANKS, &self->group, error);
    return rc ? rc : settle_both (self, error);
}

static void pair_clear (pair_t *self)
{
    const loader_device_class_t *class = self->bed->class;
    if (self->group)
        class->gather_leave (&self->group, 1);
    loader_peer_destroy (&self->peer);
    class->event_destroy (self->bed->device, &self->filled);
    class->release (self->bed->device, &self->memory);
    loader_proof_buffer_clear (&self->share);
}

static int check_both (pair_t *self, uint64_t offset, uint64_t size, uint64_t seed, yard_error_t *error)
{
    int rc =
        loader_proof_check (self->bed->class, self->bed->device, self->memory, offset, size, seed, error);
    return rc ? rc : ask (self, LOADER_ORDER_CHECK, offset, size, seed, error);
}

/*  Ours are all still being copied when the first gather is asked for, which is that of the last piece: it has to wait. Neither rank looks
 *  how one gather is before it asks for the next. */
static int gather_pieces (pair_t *self, yard_error_t *error)
{
    const loader_device_class_t *class = self->bed->class;
    int rc = 0;
    for (uint64_t p = PIECES; p-- > 0 && !rc;)
        rc = ask (self, LOADER_ORDER_GATHER, p * RANKS * PIECE_BYTES, PIECE_BYTES, 0, error);
    for (uint64_t p = 0; p < PIECES && !rc; p++)
        rc = class->copy (self->bed->device, self->memory, p * RANKS * PIECE_BYTES,
                          self->share.data + p * PIECE_BYTES, PIECE_BYTES, self->filled, error);
    for (uint64_t p = PIECES; p-- > 0 && !rc;)
        rc = class->gather (self->group, self->memory, p * RANKS * PIECE_BYTES, PIECE_BYTES, self->filled,
                            error);
    return rc ? rc : settle_both (self, error);
}

/*  Piece p of rank r lies at (p * RANKS + r) * PIECE_BYTES, as the bytes of a model that ranks read in turn. */
static int gather_shares (pair_t *self, yard_error_t *error)
{
    int rc = 0;
    for (uint64_t p = 0; p < PIECES && !rc; p++) {
        loader_proof_pattern (self->share.data + p * PIECE_BYTES, PIECE_BYTES, 2 * p);
        rc = ask (self, LOADER_ORDER_FILL, (p * RANKS + 1) * PIECE_BYTES, PIECE_BYTES, 2 * p + 1, error);
    }
    if (!rc)
        rc = gather_pieces (self, error);
    for (uint64_t p = 0; p < RANKS * PIECES && !rc; p++)
        rc = check_both (self, p * PIECE_BYTES, PIECE_BYTES, p, error);
    return rc;
}

static int broadcast_all (pair_t *self, yard_error_t *error)
{
    const loader_device_class_t *class = self->bed->class;
    loader_order_t broadcast = { .word = LOADER_ORDER_BROADCAST, .size = RANKS * SHARE_BYTES, .rank = 0 };
    int rc = loader_proof_fill (class, self->bed->device, self->memory, 0, RANKS * SHARE_BYTES, 22, error);
    if (!rc)
        rc = loader_peer_ask (self->peer, &broadcast, NULL, error);
    if (!rc)
        rc = class->broadcast (self->group, self->memory, 0, RANKS * SHARE_BYTES, 0, NULL, error);
    if (!rc)
        rc = settle_both (self, error);
    return rc ? rc : check_both (self, 0, RANKS * SHARE_BYTES, 22, error);
}

/*  In peace: both at once. */
static int leave_both (pair_t *self, yard_error_t *error)
{
    int rc = loader_peer_order (self->peer, &(loader_order_t){ .word = LOADER_ORDER_LEAVE }, error);
    if (!rc) {
        self->bed->class->gather_leave (&self->group, 0);
        rc = loader_peer_answer (self->peer, NULL, error);
    }
    return rc;
}

int loader_proof_gather (loader_proof_bed_t *bed, yard_error_t *error)
{
    pair_t pair;
    int rc = pair_new (&pair, bed, error);
    if (!rc)
        rc = gather_shares (&pair, error);
    if (!rc)
        rc = broadcast_all (&pair, error);
    if (!rc)
        rc = leave_both (&pair, error);
    pair_clear (&pair);
    return rc;
}

/*  0 when the gather neither finished nor hung where it cannot be left. An error on the way is as good: some libraries notice. */
static int wait_in_vain (pair_t *self, yard_error_t *error)
{
    const loader_device_class_t *class = self->bed->class;
    const struct timespec pause = { .tv_nsec = 1000000 };
    int done = 0, rc = class->gather (self->group, self->memory, 0, SHARE_BYTES, NULL, NULL);
    for (int i = 0; i < HANG_TRIES && !rc && !done; i++) {
        rc = class->gather_state (self->group, &done, NULL);
        nanosleep (&pause, NULL);
    }
    return done ? yard_error (error, YARD_INTEGRITY, "a gather finished without its other rank") : 0;
}

int loader_proof_lost_rank (loader_proof_bed_t *bed, yard_error_t *error)
{
    pair_t pair;
    int rc = pair_new (&pair, bed, error);
    if (!rc) {
        loader_peer_destroy (&pair.peer);
        rc = wait_in_vain (&pair, error);
    }
    if (!rc) {
        bed->class->gather_leave (&pair.group, 1);
        rc = loader_proof_fill (bed->class, bed->device, pair.memory, 0, SHARE_BYTES, 23, error);
    }
    if (!rc)
        rc = loader_proof_check (bed->class, bed->device, pair.memory, 0, SHARE_BYTES, 23, error);
    pair_clear (&pair);
    return rc;
}
