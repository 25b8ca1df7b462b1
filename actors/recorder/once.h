// SPDX-License-Identifier: Apache-2.0
/*  once.h - idempotency keys: the same ask again has one effect and the same answer, for seven days
 *
 *  Kept by (user, method, once) with a digest of the ask, in the effect's transaction: either both are there, or neither. Refusals are not
 *  kept: they had no effect.
 */
#ifndef YARD_RECORDER_ONCE_H
#define YARD_RECORDER_ONCE_H

#include "book.h"

typedef struct {
    yard_string_t user, method, once, body;
} recorder_once_t;

/*  1: ret_answer is the packed answer of the first time; 0: not seen; conflict: seen with another body. */
int recorder_once_find (recorder_book_t *book, const recorder_once_t *key, yard_string_t *ret_answer,
                        yard_error_t *error);
int recorder_once_keep (recorder_book_t *book, const recorder_once_t *key, yard_string_t answer,
                        yard_error_t *error);

#endif
