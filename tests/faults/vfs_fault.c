// SPDX-License-Identifier: Apache-2.0
/*  vfs_fault.c - hands every call to the VFS below, but for the one that is to fail
 */
#include "vfs_fault.h"
#include <assert.h>
#include <sqlite3.h>
#include "vfs_memory.h"

struct yard_fault_disk_t {
    sqlite3_vfs vfs;
    sqlite3_vfs *under;
    uint64_t counts [VFS_FAULT_CALLS];
    uint64_t until, times; /* calls of the armed kind before it strikes; strikes left */
    uint64_t struck;
    vfs_fault_call_t call;
    int code;
};

typedef struct {
    sqlite3_file base; /* first: SQLite's view of it */
    yard_fault_disk_t *disk;
    sqlite3_file *under; /* right behind this */
} fault_file_t;

/*  The code to fail with, or SQLITE_OK. */
static int strike (yard_fault_disk_t *disk, vfs_fault_call_t call)
{
    disk->counts [call]++;
    if (disk->times == 0 || call != disk->call)
        return SQLITE_OK;
    if (disk->until > 0) {
        disk->until--;
        return SQLITE_OK;
    }
    disk->times--;
    disk->struck++;
    return disk->code;
}

static fault_file_t *of (sqlite3_file *file)
{
    return (fault_file_t *) file;
}

static sqlite3_file *under (sqlite3_file *file)
{
    return of (file)->under;
}

/*  --- calls that may fail ------------------------------------------------------------------------------- */
static int file_read (sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    int code = strike (of (file)->disk, VFS_FAULT_READ);
    return code ? code : under (file)->pMethods->xRead (under (file), data, size, offset);
}

static int file_write (sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    int code = strike (of (file)->disk, VFS_FAULT_WRITE);
    int written = under (file)->pMethods->xWrite (under (file), data, code ? size / 2 : size, offset);
    return code ? code : written;
}

static int file_sync (sqlite3_file *file, int flags)
{
    int code = strike (of (file)->disk, VFS_FAULT_SYNC);
    if (!code)
        return under (file)->pMethods->xSync (under (file), flags);
    under (file)->pMethods->xFileControl (under (file), VFS_MEMORY_FORGET_DIRTY, NULL);
    return code;
}

static int file_truncate (sqlite3_file *file, sqlite3_int64 size)
{
    int code = strike (of (file)->disk, VFS_FAULT_TRUNCATE);
    return code ? code : under (file)->pMethods->xTruncate (under (file), size);
}

/*  --- calls that are handed on -------------------------------------------------------------------------- */
static int file_close (sqlite3_file *file)
{
    return under (file)->pMethods->xClose (under (file));
}

static int file_size (sqlite3_file *file, sqlite3_int64 *ret)
{
    return under (file)->pMethods->xFileSize (under (file), ret);
}

static int file_lock (sqlite3_file *file, int level)
{
    return under (file)->pMethods->xLock (under (file), level);
}

static int file_unlock (sqlite3_file *file, int level)
{
    return under (file)->pMethods->xUnlock (under (file), level);
}

static int file_check_reserved (sqlite3_file *file, int *ret)
{
    return under (file)->pMethods->xCheckReservedLock (under (file), ret);
}

static int file_control (sqlite3_file *file, int operation, void *argument)
{
    return under (file)->pMethods->xFileControl (under (file), operation, argument);
}

static int file_sector_size (sqlite3_file *file)
{
    return under (file)->pMethods->xSectorSize (under (file));
}

static int file_characteristics (sqlite3_file *file)
{
    return under (file)->pMethods->xDeviceCharacteristics (under (file));
}

static int shared_map (sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
    return under (file)->pMethods->xShmMap (under (file), region, size, extend, ret);
}

static int shared_lock (sqlite3_file *file, int first, int count, int flags)
{
    return under (file)->pMethods->xShmLock (under (file), first, count, flags);
}

static void shared_barrier (sqlite3_file *file)
{
    under (file)->pMethods->xShmBarrier (under (file));
}

static int shared_unmap (sqlite3_file *file, int remove)
{
    return under (file)->pMethods->xShmUnmap (under (file), remove);
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2, /* with shared memory, without xFetch */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = shared_map,
    .xShmLock = shared_lock,
    .xShmBarrier = shared_barrier,
    .xShmUnmap = shared_unmap,
};

/*  --- the disk ------------------------------------------------------------------------------------------ */
static int disk_open (sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *base, int flags, int *ret_flags)
{
    yard_fault_disk_t *disk = vfs->pAppData;
    fault_file_t *file = of (base);
    file->base.pMethods = NULL;
    file->disk = disk;
    file->under = (sqlite3_file *) (file + 1);
    int code = strike (disk, VFS_FAULT_OPEN);
    if (!code)
        code = disk->under->xOpen (disk->under, name, file->under, flags, ret_flags);
    if (!code)
        file->base.pMethods = &file_methods;
    return code;
}

static int disk_delete (sqlite3_vfs *vfs, const char *name, int sync)
{
    yard_fault_disk_t *disk = vfs->pAppData;
    int code = strike (disk, VFS_FAULT_DELETE);
    return code ? code : disk->under->xDelete (disk->under, name, sync);
}

static sqlite3_vfs *below (sqlite3_vfs *vfs)
{
    return ((yard_fault_disk_t *) vfs->pAppData)->under;
}

static int disk_access (sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    return below (vfs)->xAccess (below (vfs), name, flags, ret);
}

static int disk_full_path (sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    return below (vfs)->xFullPathname (below (vfs), name, size, ret);
}

static int disk_randomness (sqlite3_vfs *vfs, int size, char *ret)
{
    return below (vfs)->xRandomness (below (vfs), size, ret);
}

static int disk_sleep (sqlite3_vfs *vfs, int microseconds)
{
    return below (vfs)->xSleep (below (vfs), microseconds);
}

static int disk_time (sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    return below (vfs)->xCurrentTimeInt64 (below (vfs), ret);
}

yard_fault_disk_t *vfs_fault_new (const char *name, const char *under_name)
{
    yard_fault_disk_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->under = sqlite3_vfs_find (under_name);
    assert (self->under && self->under->iVersion >= 2);
    self->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int) sizeof (fault_file_t) + self->under->szOsFile,
        .mxPathname = self->under->mxPathname,
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
    int code = sqlite3_vfs_register (&self->vfs, 1);
    assert (code == SQLITE_OK);
    return self;
}

void vfs_fault_destroy (yard_fault_disk_t **self_p)
{
    yard_fault_disk_t *self = *self_p;
    if (!self)
        return;
    sqlite3_vfs_unregister (&self->vfs);
    free (self);
    *self_p = NULL;
}

void vfs_fault_arm (yard_fault_disk_t *self, vfs_fault_call_t call, uint64_t n, int code, uint64_t times)
{
    self->call = call;
    self->until = n - 1;
    self->code = code;
    self->times = times;
    self->struck = 0;
}

uint64_t vfs_fault_struck (const yard_fault_disk_t *self)
{
    return self->struck;
}

uint64_t vfs_fault_count (const yard_fault_disk_t *self, vfs_fault_call_t call)
{
    return self->counts [call];
}
