// SPDX-License-Identifier: Apache-2.0
/*  vfs_memory_inside.h - what the files of the memory disk share
 *
 *  vfs_memory.c is the face to SQLite and to the test, vfs_memory_file.c the bytes and what of them survives,
 *  vfs_memory_lock.c who holds what.
 */
#ifndef YARD_FAULTS_VFS_MEMORY_INSIDE_H
#define YARD_FAULTS_VFS_MEMORY_INSIDE_H

#include <sqlite3.h>
#include "vfs_memory.h"

#define MEMORY_PAGE 4096u /* the page cache's unit, and a flash block's: what is written back or not */
#define MEMORY_SECTOR 512u /* the least a disk writes whole: where a page tears */
#define MEMORY_FILE_BYTES_MAX (256u << 20) /* a runaway log ends the test, not the machine */
#define MEMORY_SHARED_BYTES 32768u /* SQLite's wal-index regions (walformat.html 2.1) */
#define MEMORY_SHARED_REGIONS_MAX 64 /* 32 KiB each hold 4,096 frames of the log: 1 GiB of it */

/*  One generation of a file's shared memory: it ends with its last living connection. */
typedef struct {
    int fd; /* memfd: each connection maps it for itself, so that a dead one can be cut off from the rest */
    unsigned users, living;
    unsigned regions;
    unsigned shared [SQLITE_SHM_NLOCK]; /* holders of each lock */
    bool exclusive [SQLITE_SHM_NLOCK];
} memory_shared_t;

typedef struct memory_file_t {
    struct memory_file_t *next;
    char *name; /* NULL: a temporary one */
    bool linked; /* the name leads here now */
    bool linked_durably; /* and did at the last sync of the directory */
    unsigned users;
    unsigned char *bytes, *synced, *dirty; /* dirty: one byte per page written since the last sync */
    size_t size, synced_size;
    size_t least_size; /* since the last sync: truncated to */
    size_t capacity;
    memory_shared_t *shared; /* NULL: nobody living has it */
} memory_file_t;

typedef struct memory_handle_t {
    sqlite3_file base; /* first: SQLite's view of it */
    struct memory_handle_t *next;
    yard_memory_disk_t *disk;
    memory_file_t *file;
    uint64_t instance;
    bool dead;
    int level; /* SQLITE_LOCK_* */
    memory_shared_t *shared;
    void *regions [MEMORY_SHARED_REGIONS_MAX];
    bool holds_shared [SQLITE_SHM_NLOCK], holds_exclusive [SQLITE_SHM_NLOCK];
} memory_handle_t;

struct yard_memory_disk_t {
    sqlite3_vfs vfs;
    memory_file_t *files;
    memory_handle_t *handles;
    yard_random_t random; /* SQLite's */
    uint64_t instance, operations, syncs, cut_operation, cut_sync;
    bool stopped; /* the acting instance was killed */
    yard_random_t *cut_random;
};

/*  vfs_memory_file.c */
memory_file_t *memory_file_find (const yard_memory_disk_t *disk, const char *name);
memory_file_t *memory_file_new (yard_memory_disk_t *disk, const char *name);
void memory_file_release (yard_memory_disk_t *disk, memory_file_t *file); /* gone if nothing leads to it */
size_t memory_file_read (const memory_file_t *file, void *data, size_t size,
                         size_t offset); /* bytes there are; the rest is zeroed */
int memory_file_write (memory_file_t *file, const void *data, size_t size, size_t offset);
void memory_file_truncate (memory_file_t *file, size_t size);
void memory_file_sync (yard_memory_disk_t *disk, memory_file_t *file);
void memory_file_forget_dirty (memory_file_t *file);
void memory_file_unlink (yard_memory_disk_t *disk, memory_file_t *file, bool durably);
void memory_files_cut (yard_memory_disk_t *disk, yard_random_t *random);
void memory_files_free (yard_memory_disk_t *disk);

/*  vfs_memory_lock.c: methods of a handle, and its end. */
int memory_lock (sqlite3_file *file, int level);
int memory_unlock (sqlite3_file *file, int level);
int memory_check_reserved (sqlite3_file *file, int *ret);
int memory_shared_map (sqlite3_file *file, int region, int size, int extend, void volatile **ret);
int memory_shared_lock (sqlite3_file *file, int first, int count, int flags);
void memory_shared_barrier (sqlite3_file *file);
int memory_shared_unmap (sqlite3_file *file, int remove);
void memory_handle_die (memory_handle_t *handle); /* locks dropped, shared memory its own copy */

#endif
