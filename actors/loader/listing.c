// SPDX-License-Identifier: Apache-2.0
/*  listing.c - a folder's names, sorted
 */
#include "actors/loader/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ENTRIES_MAX 10000 /* names in one folder; published ones have some hundred */
#define NAMES_BYTES_MAX (ENTRIES_MAX * 272u + (1u << 16)) /* NAME_MAX and the arena's rounding */

static int by_name (const void *left, const void *right)
{
    const loader_listed_t *a = left, *b = right;
    return strcmp (a->name, b->name);
}

static bool is_folder (int folder_fd, const struct dirent *entry)
{
    struct stat state;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat (folder_fd, entry->d_name, &state, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR (state.st_mode);
}

static int add (loader_listing_t *self, int folder_fd, const struct dirent *entry, const char *path,
                yard_error_t *error)
{
    if (entry->d_name [0] == '.')
        return 0;
    char *name =
        self->count < ENTRIES_MAX ? yard_arena_text (self->arena, yard_string (entry->d_name)) : NULL;
    if (!name)
        return yard_error (error, YARD_TOO_LARGE,
                           "%s has more than %d names, the limit; leave the model's own files in it", path,
                           ENTRIES_MAX);
    self->entries [self->count++] = (loader_listed_t){ .name = name, .folder = is_folder (folder_fd, entry) };
    return 0;
}

int loader_listing_read (int folder_fd, const char *path, loader_listing_t *ret, yard_error_t *error)
{
    /*  Opened anew: a dup would share its place in the folder with every other reader of folder_fd. */
    int fd = openat (folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir (fd);
    if (!folder) {
        int saved_errno = errno;
        if (fd >= 0)
            close (fd);
        return yard_error_errno (error, saved_errno, "cannot list %s", path);
    }
    loader_listing_t listing = { .arena = yard_arena_new (NAMES_BYTES_MAX) };
    listing.entries = calloc (ENTRIES_MAX, sizeof *listing.entries);
    if (!listing.entries)
        abort ();
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir (folder)))
        rc = add (&listing, folder_fd, entry, path, error);
    closedir (folder);
    if (rc) {
        loader_listing_clear (&listing);
        return rc;
    }
    qsort (listing.entries, listing.count, sizeof *listing.entries, by_name);
    *ret = listing;
    return 0;
}

void loader_listing_clear (loader_listing_t *self)
{
    free (self->entries);
    yard_arena_destroy (&self->arena);
    *self = (loader_listing_t){ 0 };
}
