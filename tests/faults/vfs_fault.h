// SPDX-License-Identifier: Apache-2.0
/*  vfs_fault.h - an SQLite VFS over another one, whose n-th read, write, sync, truncate, open or delete fails
 *
 *  Invariants:
 *  - Unarmed it only counts and passes on.
 *  - A failing write has written its first half, as write(2) may. A failing sync has synced nothing, and a
 *    memory disk under it takes its unsynced pages for written from then on, as Linux does: the next sync
 *    succeeds without them.
 *  - Locks and shared memory never fail. Not for threads.
 */
#ifndef YARD_FAULTS_VFS_FAULT_H
#define YARD_FAULTS_VFS_FAULT_H

#include <stdint.h>

typedef enum {
    VFS_FAULT_READ,
    VFS_FAULT_WRITE,
    VFS_FAULT_SYNC,
    VFS_FAULT_TRUNCATE,
    VFS_FAULT_OPEN,
    VFS_FAULT_DELETE,
    VFS_FAULT_CALLS
} vfs_fault_call_t;

typedef struct yard_fault_disk_t yard_fault_disk_t;

/*  Registers name (borrowed) over the VFS called under, as the default for opens without a VFS name. */
yard_fault_disk_t *vfs_fault_new (const char *name, const char *under);
void vfs_fault_destroy (yard_fault_disk_t **self_p); /* every connection must be closed before */

#define VFS_FAULT_FOR_GOOD UINT64_MAX

/*  The n-th such call from now on, counted from 1, and those after it, `times` in all, give code
 *  (SQLITE_IOERR_*, SQLITE_FULL, SQLITE_CANTOPEN). One fault is armed at a time; times = 0 disarms. */
void vfs_fault_arm (yard_fault_disk_t *self, vfs_fault_call_t call, uint64_t n, int code, uint64_t times);
uint64_t vfs_fault_struck (const yard_fault_disk_t *self); /* calls that failed since it was armed */
uint64_t vfs_fault_count (const yard_fault_disk_t *self, vfs_fault_call_t call); /* ever */

#endif
