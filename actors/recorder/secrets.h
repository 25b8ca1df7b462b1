// SPDX-License-Identifier: Apache-2.0
/*  secrets.h - access tokens: a file each, named at random, 0600, and never a byte in the database
 *
 *  The file is written and fsynced before the row that names it is inserted; it goes when the job ends; one that no row names goes at the next
 *  start. Tokens of live jobs are kept in memory too, so that a grant does not wait for the disk.
 */
#ifndef YARD_RECORDER_SECRETS_H
#define YARD_RECORDER_SECRETS_H

#include "book.h"

#define RECORDER_SECRET_BYTES_MAX 4096 /* of a token; job.def */

typedef struct recorder_secrets_t recorder_secrets_t;

/*  Makes the directory, reads what rows name, removes what none does. Blocks on the disk: only at open. */
int recorder_secrets_open (recorder_book_t *book, const char *directory, recorder_secrets_t **ret,
                           yard_error_t *error);
void recorder_secrets_close (recorder_secrets_t **self_p); /* overwrites what it knew */

yard_string_t recorder_secrets_get (const recorder_secrets_t *self, yard_string_t name); /* empty: none */
void recorder_secrets_know (recorder_secrets_t *self, const char *name, yard_string_t token);
void recorder_secrets_forget (recorder_secrets_t *self, const char *name);
int recorder_secrets_path (const recorder_secrets_t *self, const char *name, char *ret_path,
                           yard_error_t *error); /* [PATH_MAX] */

#endif
