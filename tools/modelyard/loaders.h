// SPDX-License-Identifier: Apache-2.0
/*  loaders.h - what all loaders of the yard say at once
 *
 *  All are asked together, and one that is stopped, gone or older than the question costs LOADERS_WAIT_MS and
 *  is a row with a code and a sentence: it never keeps the others from being shown.
 */
#ifndef MODELYARD_LOADERS_H
#define MODELYARD_LOADERS_H

#include "invocation.h"

#define LOADERS_WAIT_MS 2000 /* they answer from memory; what takes longer does not answer now */

typedef struct {
    int code; /* 0: it is there */
    const char *text; /* why not */
} loader_outcome_t;

typedef struct {
    yard_string_t device, node, place;
    loader_outcome_t listed, described; /* 0 of what was not asked */
    load_list_answer_t list;
    load_device_answer_t about;
} loader_seen_t;

typedef struct {
    loader_seen_t *items; /* ordered by place */
    size_t count;
} loaders_t;

enum {
    LOADERS_LIST = 1, /* load.list */
    LOADERS_DEVICE = 2 /* load.device */
};

/*  Those of the device (NULL = all; a name as cuda:0, or a place). What comes out lives in the arena. Fails
 *  when the broker cannot be asked, and with not_served when no loader has the device. */
int loaders_look (invocation_t *self, yard_arena_t *arena, unsigned what, const char *device, loaders_t *ret);

/*  Every row of load.list. 0, or the code of a loader that did not answer: then some rows may be missing. */
typedef void (load_each_fn) (void *argument, const loader_seen_t *loader, const load_row_t *row);
int load_each (invocation_t *self, const char *device, load_each_fn *each, void *argument);

#endif
