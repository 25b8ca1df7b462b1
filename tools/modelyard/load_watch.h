// SPDX-License-Identifier: Apache-2.0
/*  load_watch.h - asks a loader for something that may take long, and shows how far it is
 */
#ifndef MODELYARD_LOAD_WATCH_H
#define MODELYARD_LOAD_WATCH_H

#include "invocation.h"

/*  What the events of this load have in common. A model that is in no record has no key before it is loaded: it
 *  is known by its location, which model_load_started tells with the key. */
typedef struct {
    yard_string_t key; /* empty: not known yet */
    const char *location; /* path; NULL = by its key */
    yard_string_t submodel, device; /* empty device: any */
} load_subject_t;

/*  As invocation_ask_with, with a line of progress for as long as the load reads. Ctrl-C gives the load up:
 *  YARD_CANCELLED, and nothing is kept. */
int load_watch (invocation_t *self, const yard_method_t *method, const void *ask,
                const yard_call_options_t *options, const load_subject_t *subject, void *ret_answer);

#endif
