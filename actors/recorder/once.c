// SPDX-License-Identifier: Apache-2.0
/*  once.c - idempotency keys as rows
 */
#include "once.h"
#include "actors/ground/digest.h"

#define KEPT_MS (7 * 86400 * 1000LL) /* ARCHITECTURE 5 */
#define EXPIRE_ROWS 4 /* dropped with each row kept: faster than they come, and never a burst */

static void digest (yard_string_t body, char *ret_hex)
{
    yard_sha256_t *hash = yard_sha256_new ();
    yard_sha256_update (hash, body.data, body.size);
    yard_sha256_hex (hash, ret_hex);
    yard_sha256_destroy (&hash);
}

static void bind_key (sqlite3_stmt *statement, const recorder_once_t *key)
{
    recorder_bind_text (statement, 1, key->user);
    recorder_bind_text (statement, 2, key->method);
    recorder_bind_text (statement, 3, key->once);
}

int recorder_once_find (recorder_book_t *book, const recorder_once_t *key, yard_string_t *ret_answer,
                        yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_once_get);
    bind_key (statement, key);
    recorder_bind_number (statement, 4, (uint64_t) book->wall_ms);
    int code = recorder_sql_step (book->store, statement, error);
    if (code <= 0)
        return code;
    char hex [YARD_SHA256_HEX_SIZE];
    digest (key->body, hex);
    bool same = yard_string_is (recorder_column (statement, 0, book->arena), hex);
    *ret_answer = recorder_column (statement, 1, book->arena);
    recorder_sql_done (statement);
    if (same)
        return 1;
    return yard_error (error, YARD_CONFLICT,
                       "the once key %.*s came before with another body; take a fresh key for a new ask",
                       YARD_VIEW (key->once));
}

static int expire (recorder_book_t *book, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_once_expire);
    recorder_bind_number (statement, 1, (uint64_t) book->wall_ms);
    recorder_bind_number (statement, 2, EXPIRE_ROWS);
    return recorder_sql_run (book->store, statement, error);
}

int recorder_once_keep (recorder_book_t *book, const recorder_once_t *key, yard_string_t answer,
                        yard_error_t *error)
{
    char hex [YARD_SHA256_HEX_SIZE];
    digest (key->body, hex);
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_once_put);
    bind_key (statement, key);
    recorder_bind_text (statement, 4, yard_string (hex));
    recorder_bind_blob (statement, 5, answer);
    recorder_bind_number (statement, 6, (uint64_t) (book->wall_ms + KEPT_MS));
    int code = recorder_sql_run (book->store, statement, error);
    return code ? code : expire (book, error);
}
