// SPDX-License-Identifier: Apache-2.0
/*  tier_inside.h - what tier.c and the fill_*.c files share
 */
#ifndef LOADER_TIER_INSIDE_H
#define LOADER_TIER_INSIDE_H

#include <pthread.h>
#include "actors/loader/tier.h"

/*  How memory of one kind is made and given up; all three block. Without a device both last arguments are NULL. */
typedef struct {
    /*  Makes the memory, and says what goes where: runs, and `memory` for a host. YARD_OUT_OF_MEMORY leaves nothing behind. */
    int (*prepare) (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                    yard_error_t *error);
    /*  It is full: seals, locks, exports. */
    int (*finish) (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                   yard_error_t *error);
    /*  Gives up the memory, whatever there is of it; descriptors and mappings are the model's own business. */
    void (*discard) (loader_model_t *model, const loader_device_class_t *class, loader_device_t *device);
} loader_memory_kind_t;

extern const loader_memory_kind_t loader_host_memory; /* fill_host.c */
extern const loader_memory_kind_t loader_device_memory; /* fill_device.c */

struct loader_tier_t {
    yard_actor_t *actor;
    const loader_memory_kind_t *kind;
    loader_mail_t *mail;
    loader_ledger_t *ledger;
    loader_lru_t *lru;
    yard_timer_t *stirred; /* fires when the ledger has something to answer, or a model is too long idle */
    loader_device_thread_t *device; /* NULL: the host */
    loader_reader_t *reader; /* made with the first fill: a yard that only maps has none */
    bool pinned; /* its ring, for the device */
    loader_evicted_fn *evicted;
    void *argument;
    const char *reason; /* of evictions under way */
    size_t fills; /* under way */
    bool closing;
};

typedef enum {
    LOADER_FILL_ASKING,
    LOADER_FILL_WORKING, /* prepare, finish or discard is under way */
    LOADER_FILL_READING,
    LOADER_FILL_HELD /* shared: until it is told how to go on */
} loader_fill_step_t;

struct loader_fill_t {
    loader_tier_t *tier;
    loader_fill_wish_t wish;
    loader_fill_step_t step;
    bool cancelled;
    bool again; /* the read under way counts for nothing: what is at `good` or behind it is read anew */
    bool apart; /* there was never room for sharing->extra_bytes */
    uint64_t need, good;
    loader_reservation_t *reservation;
    yard_error_t error; /* of the work under way, then of the fill */
    loader_phase_t phases [LOADER_PHASES_MAX];
    size_t phase_count;
    int64_t mark_ns;
    uint64_t bytes; /* to read */
    loader_source_t *sources; /* one a file; their descriptors are ours */
    size_t source_count;
    void (*next) (loader_fill_t *self); /* after the work under way */
    int (*work) (loader_fill_t *self, const loader_device_class_t *class, loader_device_t *device,
                 yard_error_t *error);

    /*  prepare says: */
    const loader_run_t *runs;
    size_t run_count;
    loader_run_t *own_runs; /* to be freed; NULL: they are the plan's */

    /*  Shared with the reader's and the device's threads. */
    pthread_mutex_t lock;
    loader_read_t *read; /* NULL before and after */
    loader_group_t *group; /* to be told of copies; NULL = none */
    yard_error_t copy_error; /* the first */
};

/*  fill_sources.c: the model's descriptors become the sources', and are closed with them. */
void loader_fill_take_sources (loader_fill_t *self);
void loader_fill_close_sources (loader_fill_t *self);
uint64_t loader_fill_checked (const loader_fill_t *self); /* bytes whose checksums the runs covered whole */

/*  A turn of ledger and LRU, soon. */
void loader_tier_stir (loader_tier_t *self);
/*  The device answers nothing any more, to this process at least: it ends, and whoever supervises it starts another. */
void loader_tier_lost (loader_tier_t *self, const yard_error_t *error);
/*  The reader, made if it is not there yet. */
int loader_tier_reader (loader_tier_t *self, yard_error_t *error);
/*  What a model holds in the tier; NULL = nothing. */
typedef struct {
    loader_entry_t *entry; /* NULL: it has left the cache, its bytes are KEPT or COMING */
    loader_bytes_t kind; /* then */
    uint64_t bytes;
} loader_hold_t;
void loader_tier_hold (loader_tier_t *self, loader_model_t *model, loader_reservation_t **reservation_p);

#endif
