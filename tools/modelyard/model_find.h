// SPDX-License-Identifier: Apache-2.0
/*  model_find.h - the model that a word of the command line means
 *
 *  A whole key; else a name that one model has; else the first digits of one key. Several: ambiguous_model,
 *  whose text names some of them.
 */
#ifndef MODELYARD_MODEL_FIND_H
#define MODELYARD_MODEL_FIND_H

#include "invocation.h"

int model_find (invocation_t *self, const char *word, model_record_t *ret);

/*  Calls each for every record that the ask (without its cursor) finds, page by page, until each gives
 *  false. */
typedef bool (model_each_fn) (void *argument, const model_record_t *record);
int model_each (invocation_t *self, const record_search_ask_t *ask, model_each_fn *each, void *argument);

#endif
