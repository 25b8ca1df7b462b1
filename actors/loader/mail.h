// SPDX-License-Identifier: Apache-2.0
/*  mail.h - from the loader's threads to its loop
 *
 *  The loop owns everything; the device thread and the reader's threads tell it what has happened by a letter: a function and its
 *  argument. Letters are read in the order in which they were posted, one loop's turn after the other.
 *
 *  Invariants: post may be called on any thread, and never waits for the loop; a letter's function runs exactly once, on the loop, in
 *  loader_mail_destroy at the latest.
 */
#ifndef LOADER_MAIL_H
#define LOADER_MAIL_H

#include "actors/runtime/actor.h"

typedef struct loader_mail_t loader_mail_t;
typedef void (loader_letter_fn) (void *argument);

loader_mail_t *loader_mail_new (yard_actor_t *actor);
void loader_mail_destroy (loader_mail_t **self_p); /* when nobody posts any more */
/*  For the end, when the loop turns no more: blocks until there is a letter, and reads. */
void loader_mail_wait (loader_mail_t *self);
void loader_mail_post (loader_mail_t *self, loader_letter_fn *read, void *argument);

#endif
