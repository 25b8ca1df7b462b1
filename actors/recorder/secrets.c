// SPDX-License-Identifier: Apache-2.0
/*  secrets.c - the directory of tokens, and those of live jobs in memory
 */
#include "secrets.h"
#include "actors/ground/durable.h"
#include "actors/ground/log.h"
#include "actors/ground/paths.h"
#include "actors/ground/table.h"
#include <dirent.h>
#include <errno.h>

typedef struct {
    char name [RECORDER_SECRET_DIGITS + 1];
    size_t size;
    char token [];
} secret_t;

struct recorder_secrets_t {
    char directory [PATH_MAX];
    yard_table_t *known; /* by name */
};

static void wipe (secret_t *secret)
{
    if (!secret)
        return;
    explicit_bzero (secret->token, secret->size);
    free (secret);
}

void recorder_secrets_know (recorder_secrets_t *self, const char *name, yard_string_t token)
{
    secret_t *secret = calloc (1, sizeof *secret + token.size);
    if (!secret)
        abort ();
    snprintf (secret->name, sizeof secret->name, "%s", name);
    secret->size = token.size;
    memcpy (secret->token, token.data, token.size);
    wipe (yard_table_put (self->known, name, strlen (name), secret));
}

void recorder_secrets_forget (recorder_secrets_t *self, const char *name)
{
    wipe (yard_table_take (self->known, name, strlen (name)));
}

yard_string_t recorder_secrets_get (const recorder_secrets_t *self, yard_string_t name)
{
    const secret_t *secret = yard_table_get (self->known, name.data, name.size);
    return secret ? (yard_string_t){ secret->token, secret->size } : yard_string ("");
}

int recorder_secrets_path (const recorder_secrets_t *self, const char *name, char *ret_path,
                           yard_error_t *error)
{
    return yard_path_join (ret_path, self->directory, name, error);
}

/*  A row whose file cannot be read is no reason not to start: its download will say that it is not
 *  authorised. It is known as empty, so that a disk which fails for a moment does not make remove_unnamed
 *  take the file away. */
static void read_one (recorder_secrets_t *self, yard_string_t name)
{
    char text [RECORDER_SECRET_DIGITS + 1], path [PATH_MAX], *data;
    size_t size;
    yard_error_t error;
    snprintf (text, sizeof text, "%.*s", YARD_VIEW (name));
    if (recorder_secrets_path (self, text, path, &error) ||
        yard_file_read (path, RECORDER_SECRET_BYTES_MAX, &data, &size, &error)) {
        yard_log_warning ("secret.lost", "text=%s", YARD_QUOTED (error.text));
        recorder_secrets_know (self, text, yard_string (""));
        return;
    }
    recorder_secrets_know (self, text, (yard_string_t){ data, size });
    explicit_bzero (data, size);
    free (data);
}

static int read_named (recorder_book_t *book, recorder_secrets_t *self, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_secrets);
    int code;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1)
        read_one (self, recorder_column (statement, 0, book->arena));
    return code;
}

static int remove_unnamed (recorder_secrets_t *self, yard_error_t *error)
{
    DIR *directory = opendir (self->directory);
    if (!directory)
        return yard_error_errno (error, errno, "%s: the secrets cannot be listed", self->directory);
    const struct dirent *entry;
    int code = 0;
    while (code == 0 && (entry = readdir (directory)) != NULL) {
        char path [PATH_MAX];
        bool dots = strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0;
        if (dots || yard_table_get (self->known, entry->d_name, strlen (entry->d_name)))
            continue;
        code = recorder_secrets_path (self, entry->d_name, path, error);
        if (code == 0)
            code = yard_durable_remove (path, error);
    }
    closedir (directory);
    return code;
}

int recorder_secrets_open (recorder_book_t *book, const char *directory, recorder_secrets_t **ret,
                           yard_error_t *error)
{
    int code = yard_paths_make_private (directory, error);
    if (code)
        return code;
    recorder_secrets_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    snprintf (self->directory, sizeof self->directory, "%s", directory);
    self->known = yard_table_new ();
    code = read_named (book, self, error);
    if (code == 0)
        code = remove_unnamed (self, error);
    if (code)
        recorder_secrets_close (&self);
    else
        *ret = self;
    return code;
}

void recorder_secrets_close (recorder_secrets_t **self_p)
{
    recorder_secrets_t *self = *self_p;
    if (!self)
        return;
    void *value;
    for (size_t at = 0; yard_table_next (self->known, &at, &value);) {
        secret_t *secret = value;
        yard_table_take (self->known, secret->name, strlen (secret->name));
        wipe (secret);
    }
    yard_table_destroy (&self->known);
    free (self);
    *self_p = NULL;
}
