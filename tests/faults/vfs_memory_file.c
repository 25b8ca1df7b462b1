// SPDX-License-Identifier: Apache-2.0
/*  vfs_memory_file.c - the bytes of a memory disk, twice: as the kernel has them, and as the platter has them
 *
 *  Promises: what was synced is what a power cut leaves, byte for byte; what was not may be there page by
 *            page.
 *  Weaker than a real disk: a page written twice between two syncs survives in its last form or not at all.
 */
#include <assert.h>
#include "vfs_memory_inside.h"

#define FIRST_BYTES (4 * MEMORY_PAGE) /* an empty file of ours soon has a few pages */

static void *need (void *memory)
{
    if (!memory)
        abort ();
    return memory;
}

static size_t pages (size_t size)
{
    return (size + MEMORY_PAGE - 1) / MEMORY_PAGE;
}

/*  Both images grow together; bytes past a size are always zero. */
static void reserve (memory_file_t *file, size_t size)
{
    if (size <= file->capacity)
        return;
    size_t capacity = file->capacity ? file->capacity : FIRST_BYTES;
    while (capacity < size)
        capacity *= 2;
    file->bytes = need (realloc (file->bytes, capacity));
    file->synced = need (realloc (file->synced, capacity));
    file->dirty = need (realloc (file->dirty, pages (capacity)));
    memset (file->bytes + file->capacity, 0, capacity - file->capacity);
    memset (file->synced + file->capacity, 0, capacity - file->capacity);
    memset (file->dirty + pages (file->capacity), 0, pages (capacity) - pages (file->capacity));
    file->capacity = capacity;
}

memory_file_t *memory_file_find (const yard_memory_disk_t *disk, const char *name)
{
    for (memory_file_t *file = disk->files; file; file = file->next)
        if (file->linked && file->name && strcmp (file->name, name) == 0)
            return file;
    return NULL;
}

memory_file_t *memory_file_new (yard_memory_disk_t *disk, const char *name)
{
    memory_file_t *file = need (calloc (1, sizeof *file));
    file->name = name ? need (strdup (name)) : NULL;
    file->linked = name != NULL;
    reserve (file, 1); /* the three are never NULL */
    file->next = disk->files;
    disk->files = file;
    return file;
}

void memory_file_release (yard_memory_disk_t *disk, memory_file_t *file)
{
    if (file->users || file->linked || file->linked_durably)
        return;
    memory_file_t **link = &disk->files;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    free (file->name);
    free (file->bytes);
    free (file->synced);
    free (file->dirty);
    free (file);
}

size_t memory_file_read (const memory_file_t *file, void *data, size_t size, size_t offset)
{
    size_t there = offset < file->size ? file->size - offset : 0;
    if (there > size)
        there = size;
    if (there)
        memcpy (data, file->bytes + offset, there);
    memset ((char *) data + there, 0, size - there);
    return there;
}

int memory_file_write (memory_file_t *file, const void *data, size_t size, size_t offset)
{
    if (offset > MEMORY_FILE_BYTES_MAX || size > MEMORY_FILE_BYTES_MAX - offset)
        return SQLITE_FULL;
    reserve (file, offset + size);
    memcpy (file->bytes + offset, data, size);
    size_t from = offset < file->size ? offset : file->size; /* a hole is written too */
    for (size_t page = from / MEMORY_PAGE; page < pages (offset + size); page++)
        file->dirty [page] = 1;
    if (offset + size > file->size)
        file->size = offset + size;
    return SQLITE_OK;
}

void memory_file_truncate (memory_file_t *file, size_t size)
{
    if (size >= file->size)
        return;
    memset (file->bytes + size, 0, file->size - size);
    file->size = size;
    if (size < file->least_size)
        file->least_size = size;
}

/*  All files lie in one directory, and unix' sync of a new file syncs that too. */
static void sync_directory (yard_memory_disk_t *disk)
{
    for (memory_file_t *file = disk->files, *next; file; file = next) {
        next = file->next;
        file->linked_durably = file->linked;
        memory_file_release (disk, file);
    }
}

void memory_file_sync (yard_memory_disk_t *disk, memory_file_t *file)
{
    size_t both = file->size > file->synced_size ? file->size : file->synced_size;
    for (size_t page = 0; page < pages (both); page++)
        if (file->dirty [page] || (page + 1) * MEMORY_PAGE > file->least_size)
            memcpy (file->synced + page * MEMORY_PAGE, file->bytes + page * MEMORY_PAGE, MEMORY_PAGE);
    if (both) /* an empty file has no pages at all */
        memset (file->dirty, 0, pages (both));
    file->synced_size = file->least_size = file->size;
    if (file->linked && !file->linked_durably)
        sync_directory (disk);
}

/*  The file keeps its length: what was not written reads as before, or as zero. */
void memory_file_forget_dirty (memory_file_t *file)
{
    size_t both = file->size > file->synced_size ? file->size : file->synced_size;
    if (both) /* an empty file has no pages at all */
        memset (file->dirty, 0, pages (both));
    if (file->size < file->synced_size)
        memset (file->synced + file->size, 0, file->synced_size - file->size);
    file->synced_size = file->least_size = file->size;
}

void memory_file_unlink (yard_memory_disk_t *disk, memory_file_t *file, bool durably)
{
    file->linked = false;
    if (durably)
        sync_directory (disk);
    else
        memory_file_release (disk, file);
}

/*  A page that reached the disk; of a torn one only its first sectors did. */
static void keep_page (memory_file_t *file, size_t page, bool torn, yard_random_t *random)
{
    size_t start = page * MEMORY_PAGE;
    size_t bytes = file->size - start < MEMORY_PAGE ? file->size - start : MEMORY_PAGE;
    if (torn) {
        size_t sectors = yard_random_below (random, MEMORY_PAGE / MEMORY_SECTOR) * MEMORY_SECTOR;
        bytes = sectors < bytes ? sectors : bytes;
    }
    memcpy (file->synced + start, file->bytes + start, bytes);
    if (start + bytes > file->synced_size)
        file->synced_size = start + bytes;
}

static void cut_file (memory_file_t *file, yard_random_t *random)
{
    if (file->least_size < file->synced_size && yard_random_below (random, 2)) {
        memset (file->synced + file->least_size, 0, file->synced_size - file->least_size);
        file->synced_size = file->least_size;
    }
    /*  Write-back stops at any moment: from a random page on nothing was written, and what came last is
     *  torn. */
    size_t end = yard_random_below (random, pages (file->size) + 1);
    bool ordered =
        yard_random_below (random, 2); /* an older disk: in the order of addresses, none left out */
    for (size_t page = 0; page < pages (file->size); page++) {
        if (!file->dirty [page] || (ordered ? page > end : yard_random_below (random, 2) && page != end))
            continue;
        keep_page (file, page, page == end, random);
    }
    memcpy (file->bytes, file->synced, file->capacity);
    memset (file->dirty, 0, pages (file->capacity));
    file->size = file->least_size = file->synced_size;
}

void memory_files_cut (yard_memory_disk_t *disk, yard_random_t *random)
{
    for (memory_file_t *file = disk->files, *next; file; file = next) {
        next = file->next;
        cut_file (file, random);
        if (file->linked != file->linked_durably)
            file->linked = file->name && yard_random_below (random, 2);
        file->linked_durably = file->linked;
    }
    /*  An old file that came back and a new one of its name cannot both be there: the newer stands first. */
    for (memory_file_t *file = disk->files, *next; file; file = next) {
        next = file->next;
        if (file->linked && memory_file_find (disk, file->name) != file)
            file->linked = file->linked_durably = false;
        memory_file_release (disk, file);
    }
}

void memory_files_free (yard_memory_disk_t *disk)
{
    while (disk->files) {
        memory_file_t *file = disk->files;
        assert (!file->users);
        file->linked = file->linked_durably = false;
        memory_file_release (disk, file);
    }
}
