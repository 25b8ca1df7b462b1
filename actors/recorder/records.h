// SPDX-License-Identifier: Apache-2.0
/*  records.h - models: add, get, search, change, forget (REQUIREMENTS R1.1, R1.3, R1.6, R1.7, R1.9)
 *
 *  Invariants: a key is one record; a name is not. Every change is an event with the whole record, and the row's change is that event's.
 *  The effects among them (add, update, delete) run inside recorder_book_enter and _leave.
 */
#ifndef YARD_RECORDER_RECORDS_H
#define YARD_RECORDER_RECORDS_H

#include "book.h"

/*  With job and token it also ends that install, in the same transaction. duplicate_model, invalid_model_config, stale_token … */
int recorder_record_add (recorder_book_t *book, const record_add_ask_t *ask, model_record_t *ret,
                         yard_error_t *error);
int recorder_record_get (recorder_book_t *book, yard_string_t key, model_record_t *ret,
                         yard_error_t *error); /* or unknown_model */
int recorder_record_exists (recorder_book_t *book, yard_string_t key, bool *ret, yard_error_t *error);
int recorder_record_search (recorder_book_t *book, const record_search_ask_t *ask,
                            record_search_answer_t *ret, yard_error_t *error);
int recorder_record_update (recorder_book_t *book, const record_update_ask_t *ask, model_record_t *ret,
                            yard_error_t *error);
int recorder_record_delete (recorder_book_t *book, yard_string_t key, model_record_t *ret,
                            yard_error_t *error);

/*  record_fields.c: do the fields fit together? invalid_model_config says which do not. And a sparse change laid over a record. */
int recorder_record_check (const model_config_t *config, yard_error_t *error);
void recorder_record_change (model_config_t *config, const model_changes_t *changes);

#endif
