// SPDX-License-Identifier: Apache-2.0
/*  vfs_memory.c - the memory disk's face: SQLite's two tables of functions, and what tests do to it
 *
 *  Promises: what vfs_memory.h says. A dead connection's calls answer an I/O error and touch nothing.
 */
#include <assert.h>
#include <limits.h>
#include "vfs_memory_inside.h"

#define START_MS \
    212900000000000 /* Julian milliseconds, some day of 2034: xCurrentTime, the same in each run */

/*  --- one file ------------------------------------------------------------------------------------------ */
/*  Counts, and cuts the power when it is time: false, nothing is to be done any more. */
static bool may_act (yard_memory_disk_t *disk, bool sync)
{
    disk->operations++;
    disk->syncs += sync;
    if (disk->operations != disk->cut_operation && !(sync && disk->syncs == disk->cut_sync))
        return true;
    vfs_memory_power_cut (disk, disk->cut_random);
    return false;
}

static int file_close (sqlite3_file *base)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    memory_shared_unmap (base, 0);
    memory_handle_t **link = &handle->disk->handles;
    while (*link != handle)
        link = &(*link)->next;
    *link = handle->next;
    handle->file->users--;
    memory_file_release (handle->disk, handle->file);
    return SQLITE_OK;
}

static int file_read (sqlite3_file *base, void *data, int size, sqlite3_int64 offset)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    if (handle->dead)
        return SQLITE_IOERR_READ;
    size_t there = memory_file_read (handle->file, data, (size_t) size, (size_t) offset);
    return there < (size_t) size ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int file_write (sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    if (handle->dead || !may_act (handle->disk, false))
        return SQLITE_IOERR_WRITE;
    return memory_file_write (handle->file, data, (size_t) size, (size_t) offset);
}

static int file_truncate (sqlite3_file *base, sqlite3_int64 size)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    if (handle->dead || !may_act (handle->disk, false))
        return SQLITE_IOERR_TRUNCATE;
    memory_file_truncate (handle->file, (size_t) size);
    return SQLITE_OK;
}

static int file_sync (sqlite3_file *base, int flags)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    (void) flags;
    if (handle->dead || !may_act (handle->disk, true))
        return SQLITE_IOERR_FSYNC;
    memory_file_sync (handle->disk, handle->file);
    return SQLITE_OK;
}

static int file_size (sqlite3_file *base, sqlite3_int64 *ret)
{
    const memory_handle_t *handle = (memory_handle_t *) base;
    if (handle->dead)
        return SQLITE_IOERR_FSTAT;
    *ret = (sqlite3_int64) handle->file->size;
    return SQLITE_OK;
}

static int file_control (sqlite3_file *base, int operation, void *argument)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    (void) argument;
    if (operation != VFS_MEMORY_FORGET_DIRTY)
        return SQLITE_NOTFOUND;
    if (!handle->dead)
        memory_file_forget_dirty (handle->file);
    return SQLITE_OK;
}

static int file_sector_size (sqlite3_file *base)
{
    (void) base;
    return MEMORY_PAGE;
}

/*  As unix: bytes beside a torn write stay as they were. */
static int file_characteristics (sqlite3_file *base)
{
    (void) base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2, /* with shared memory, without xFetch */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = memory_lock,
    .xUnlock = memory_unlock,
    .xCheckReservedLock = memory_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = memory_shared_map,
    .xShmLock = memory_shared_lock,
    .xShmBarrier = memory_shared_barrier,
    .xShmUnmap = memory_shared_unmap,
};

/*  --- the disk ------------------------------------------------------------------------------------------ */
static int disk_open (sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *base, int flags, int *ret_flags)
{
    yard_memory_disk_t *disk = vfs->pAppData;
    memory_handle_t *handle = (memory_handle_t *) base;
    memset (handle, 0, sizeof *handle);
    memory_file_t *file = name ? memory_file_find (disk, name) : NULL;
    if (disk->stopped)
        return SQLITE_IOERR;
    if (!file && !(flags & (SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB)))
        return SQLITE_CANTOPEN;
    if (!file)
        file = memory_file_new (disk, name);
    if (flags & SQLITE_OPEN_DELETEONCLOSE)
        file->linked = false;
    file->users++;
    handle->base.pMethods = &file_methods;
    handle->disk = disk;
    handle->file = file;
    handle->instance = disk->instance;
    handle->next = disk->handles;
    disk->handles = handle;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

/*  SQLite does not say whose call this is: it counts as the acting instance's. */
static int disk_delete (sqlite3_vfs *vfs, const char *name, int sync)
{
    yard_memory_disk_t *disk = vfs->pAppData;
    memory_file_t *file = memory_file_find (disk, name);
    if (disk->stopped)
        return SQLITE_IOERR_DELETE;
    if (!file)
        return SQLITE_IOERR_DELETE_NOENT;
    if (!may_act (disk, false))
        return SQLITE_IOERR_DELETE;
    memory_file_unlink (disk, file, sync != 0);
    return SQLITE_OK;
}

/*  An empty log is as good as none: SQLite asks to learn whether there is something to recover. */
static int disk_access (sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    const memory_file_t *file = memory_file_find (vfs->pAppData, name);
    *ret = file && (flags != SQLITE_ACCESS_EXISTS || file->size > 0);
    return SQLITE_OK;
}

static int disk_full_path (sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    (void) vfs;
    return snprintf (ret, (size_t) size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int disk_randomness (sqlite3_vfs *vfs, int size, char *ret)
{
    yard_memory_disk_t *disk = vfs->pAppData;
    yard_random_bytes (&disk->random, ret, (size_t) size);
    return size;
}

static int disk_sleep (sqlite3_vfs *vfs, int microseconds)
{
    (void) vfs;
    return microseconds; /* whoever is waited for cannot run meanwhile */
}

static int disk_time (sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void) vfs;
    *ret = START_MS;
    return SQLITE_OK;
}

yard_memory_disk_t *vfs_memory_new (const char *name, uint64_t seed, bool as_default)
{
    yard_memory_disk_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    yard_random_seed (&self->random, seed);
    self->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof (memory_handle_t),
        .mxPathname = PATH_MAX,
        .zName = name,
        .pAppData = self,
        .xOpen = disk_open,
        .xDelete = disk_delete,
        .xAccess = disk_access,
        .xFullPathname = disk_full_path,
        .xRandomness = disk_randomness,
        .xSleep = disk_sleep,
        .xCurrentTimeInt64 = disk_time,
    };
    int code = sqlite3_vfs_register (&self->vfs, as_default);
    assert (code == SQLITE_OK);
    if (as_default)
        sqlite3_randomness (0, NULL);
    return self;
}

void vfs_memory_destroy (yard_memory_disk_t **self_p)
{
    yard_memory_disk_t *self = *self_p;
    if (!self)
        return;
    assert (!self->handles);
    sqlite3_vfs_unregister (&self->vfs);
    memory_files_free (self);
    free (self);
    *self_p = NULL;
}

void vfs_memory_act_as (yard_memory_disk_t *self, uint64_t instance)
{
    self->instance = instance;
    self->stopped = false;
}

void vfs_memory_kill (yard_memory_disk_t *self, uint64_t instance)
{
    for (memory_handle_t *handle = self->handles; handle; handle = handle->next)
        if (handle->instance == instance)
            memory_handle_die (handle);
    if (self->instance == instance)
        self->stopped = true;
}

void vfs_memory_power_cut (yard_memory_disk_t *self, yard_random_t *random)
{
    for (memory_handle_t *handle = self->handles; handle; handle = handle->next)
        memory_handle_die (handle);
    self->stopped = true;
    memory_files_cut (self, random);
}

uint64_t vfs_memory_operations (const yard_memory_disk_t *self)
{
    return self->operations;
}

void vfs_memory_cut_instead_of (yard_memory_disk_t *self, uint64_t operation, yard_random_t *random)
{
    self->cut_operation = operation;
    self->cut_sync = 0;
    self->cut_random = random;
}

void vfs_memory_cut_instead_of_sync (yard_memory_disk_t *self, uint64_t sync, yard_random_t *random)
{
    self->cut_operation = 0;
    self->cut_sync = sync;
    self->cut_random = random;
}

unsigned vfs_memory_handles (const yard_memory_disk_t *self)
{
    unsigned count = 0;
    for (const memory_handle_t *handle = self->handles; handle; handle = handle->next)
        count++;
    return count;
}
