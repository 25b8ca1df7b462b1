// SPDX-License-Identifier: Apache-2.0
/*  vfs_memory_lock.c - locks and shared memory of a memory disk, per connection
 *
 *  The rules are those of lockingv3.html and of sqlite3_io_methods: a connection's level, and eight shared or
 *  exclusive locks over the wal-index. Connections of one instance exclude each other as those of two do.
 */
#include <assert.h>
#include <sys/mman.h>
#include "vfs_memory_inside.h"

/*  The highest level that another living connection of this file holds. */
static int others_level (const memory_handle_t *handle)
{
    int level = SQLITE_LOCK_NONE;
    for (const memory_handle_t *other = handle->disk->handles; other; other = other->next)
        if (other != handle && other->file == handle->file && other->level > level)
            level = other->level;
    return level;
}

int memory_lock (sqlite3_file *file, int level)
{
    memory_handle_t *handle = (memory_handle_t *) file;
    if (handle->dead)
        return SQLITE_IOERR_LOCK;
    if (handle->level >= level)
        return SQLITE_OK;
    int others = others_level (handle);
    /*  The least level of another that forbids this one. */
    int forbidding = level == SQLITE_LOCK_SHARED ? SQLITE_LOCK_PENDING : SQLITE_LOCK_RESERVED;
    if (others >= forbidding)
        return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && others >= SQLITE_LOCK_SHARED) {
        handle->level = SQLITE_LOCK_PENDING; /* no new readers from now on */
        return SQLITE_BUSY;
    }
    handle->level = level;
    return SQLITE_OK;
}

int memory_unlock (sqlite3_file *file, int level)
{
    memory_handle_t *handle = (memory_handle_t *) file;
    if (handle->level > level)
        handle->level = level;
    return SQLITE_OK;
}

int memory_check_reserved (sqlite3_file *file, int *ret)
{
    memory_handle_t *handle = (memory_handle_t *) file;
    if (handle->dead)
        return SQLITE_IOERR_CHECKRESERVEDLOCK;
    *ret = handle->level >= SQLITE_LOCK_RESERVED || others_level (handle) >= SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
}

/*  --- shared memory ------------------------------------------------------------------------------------- */
static int join_shared (memory_handle_t *handle)
{
    memory_file_t *file = handle->file;
    if (!file->shared) {
        file->shared = calloc (1, sizeof *file->shared);
        if (!file->shared)
            abort ();
        file->shared->fd = memfd_create ("wal-index", MFD_CLOEXEC);
        assert (file->shared->fd >= 0);
    }
    file->shared->users++;
    file->shared->living++;
    handle->shared = file->shared;
    return SQLITE_OK;
}

int memory_shared_map (sqlite3_file *base, int region, int size, int extend, void volatile **ret)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    *ret = NULL;
    if (handle->dead)
        return SQLITE_IOERR_SHMMAP;
    assert (size == (int) MEMORY_SHARED_BYTES);
    if (region >= MEMORY_SHARED_REGIONS_MAX)
        return SQLITE_NOMEM;
    if (!handle->shared)
        join_shared (handle);
    memory_shared_t *shared = handle->shared;
    if ((unsigned) region >= shared->regions) {
        if (!extend)
            return SQLITE_OK;
        if (ftruncate (shared->fd, (off_t) (region + 1) * (off_t) MEMORY_SHARED_BYTES) != 0)
            return SQLITE_IOERR_SHMSIZE;
        shared->regions = (unsigned) region + 1;
    }
    if (!handle->regions [region]) {
        void *memory = mmap (NULL, MEMORY_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, shared->fd,
                             (off_t) region * (off_t) MEMORY_SHARED_BYTES);
        if (memory == MAP_FAILED)
            return SQLITE_IOERR_SHMMAP;
        handle->regions [region] = memory;
    }
    *ret = handle->regions [region];
    return SQLITE_OK;
}

static void let_go (memory_handle_t *handle, int slot)
{
    if (handle->holds_shared [slot])
        handle->shared->shared [slot]--;
    if (handle->holds_exclusive [slot])
        handle->shared->exclusive [slot] = false;
    handle->holds_shared [slot] = handle->holds_exclusive [slot] = false;
}

static bool is_free (const memory_handle_t *handle, int slot, bool exclusively)
{
    const memory_shared_t *shared = handle->shared;
    if (handle->holds_exclusive [slot])
        return true;
    if (shared->exclusive [slot])
        return false;
    return !exclusively || shared->shared [slot] == (handle->holds_shared [slot] ? 1u : 0u);
}

static void take (memory_handle_t *handle, int slot, bool exclusively)
{
    if (exclusively) {
        handle->holds_exclusive [slot] = handle->shared->exclusive [slot] = true;
    } else if (!handle->holds_shared [slot]) {
        handle->holds_shared [slot] = true;
        handle->shared->shared [slot]++;
    }
}

/*  All of the range or none. */
int memory_shared_lock (sqlite3_file *base, int first, int count, int flags)
{
    memory_handle_t *handle = (memory_handle_t *) base;
    if (handle->dead)
        return SQLITE_IOERR_SHMLOCK;
    assert (handle->shared && first >= 0 && first + count <= SQLITE_SHM_NLOCK);
    bool exclusively = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (int slot = first; slot < first + count; slot++)
        if ((flags & SQLITE_SHM_LOCK) && !is_free (handle, slot, exclusively))
            return SQLITE_BUSY;
    for (int slot = first; slot < first + count; slot++) {
        if (flags & SQLITE_SHM_UNLOCK)
            let_go (handle, slot);
        else
            take (handle, slot, exclusively);
    }
    return SQLITE_OK;
}

void memory_shared_barrier (sqlite3_file *file)
{
    (void) file; /* one thread: there is nobody to order against */
}

/*  Of the living: the last takes the generation away from the file. */
static void leave_shared (memory_handle_t *handle)
{
    memory_shared_t *shared = handle->shared;
    for (int slot = 0; slot < SQLITE_SHM_NLOCK; slot++)
        let_go (handle, slot);
    if (--shared->living == 0)
        handle->file->shared = NULL;
}

int memory_shared_unmap (sqlite3_file *base, int remove)
{
    (void) remove; /* it goes with its last user anyway */
    memory_handle_t *handle = (memory_handle_t *) base;
    if (!handle->shared)
        return SQLITE_OK;
    for (int i = 0; i < MEMORY_SHARED_REGIONS_MAX; i++) {
        if (handle->regions [i])
            munmap (handle->regions [i], MEMORY_SHARED_BYTES);
        handle->regions [i] = NULL;
    }
    if (!handle->dead)
        leave_shared (handle);
    if (--handle->shared->users == 0) {
        close (handle->shared->fd);
        free (handle->shared);
    }
    handle->shared = NULL;
    return SQLITE_OK;
}

/*  SQLite keeps the addresses and, closing a connection in a transaction, writes there: it gets a copy
 *  under the same address. */
static void cut_off (void *memory)
{
    char *copy = malloc (MEMORY_SHARED_BYTES);
    if (!copy)
        abort ();
    memcpy (copy, memory, MEMORY_SHARED_BYTES);
    void *same = mmap (memory, MEMORY_SHARED_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert (same == memory);
    memcpy (same, copy, MEMORY_SHARED_BYTES);
    free (copy);
}

void memory_handle_die (memory_handle_t *handle)
{
    if (handle->dead)
        return;
    handle->level = SQLITE_LOCK_NONE;
    for (int i = 0; i < MEMORY_SHARED_REGIONS_MAX; i++)
        if (handle->regions [i])
            cut_off (handle->regions [i]);
    if (handle->shared)
        leave_shared (handle);
    handle->dead = true;
}
