// SPDX-License-Identifier: Apache-2.0
/*  vfs_memory.h - an SQLite VFS whose files live in memory, and whose processes and power can be taken away
 *
 *  A disk is one VFS of its own. Who opens a file is the instance of the last vfs_memory_act_as: one
 *  simulated process, with any number of connections. Product code needs no change: a disk made the default
 *  serves every sqlite3_open_v2 without a VFS name.
 *
 *  Invariants:
 *  - Locks and shared memory are those of SQLite's unix VFS: between any two connections, of one instance or
 *    of two. The shared memory of a file begins at zero when no living connection has it, so the next one
 *    recovers from the log.
 *  - A killed instance leaves every byte it has written (the kernel has them) and no lock. Its connections
 *    fail whatever they do from then on; they must still be closed, and closing them changes nothing.
 *  - A power cut kills every instance and keeps what was synced, plus a random subset of the unsynced 4 KiB
 *    pages, one of them torn at a 512 byte sector. Names come and go durably with the first sync of a new
 *    file, or a delete that syncs the directory; until then a new file may vanish and a deleted one come
 *    back.
 *  - Nothing depends on time or addresses: the same calls and the same random give the same bytes. xSleep
 *    returns at once.
 *  - Not for threads: one simulation is one thread.
 *
 *  A main database file that is not there is opened empty, since the recorder makes its file with open(2)
 *  before SQLite sees it: a run that opens a database of a dead disk again sees that disk, whatever lies on
 *  the real one.
 */
#ifndef YARD_FAULTS_VFS_MEMORY_H
#define YARD_FAULTS_VFS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include "actors/ground/random.h"

/*  xFileControl of a file: its unsynced pages count as written, though they are not. A failed fsync(2)
 *  does that on Linux. */
#define VFS_MEMORY_FORGET_DIRTY 0x59415244

typedef struct yard_memory_disk_t yard_memory_disk_t;

/*  Makes a disk and registers it under the name, which is borrowed. as_default: for opens without a VFS
 *  name; SQLite's own randomness (log salts) is then drawn again, from this seed. */
yard_memory_disk_t *vfs_memory_new (const char *name, uint64_t seed, bool as_default);
/*  Every connection must be closed before; after it, SQLite's default is another VFS again. */
void vfs_memory_destroy (yard_memory_disk_t **self_p);

/*  Files opened from now on are this instance's. Set it before an instance's code runs; 0 at first. When
 *  the acting instance was killed, nothing can be opened or deleted until this names the next, which may
 *  have the same number. */
void vfs_memory_act_as (yard_memory_disk_t *self, uint64_t instance);
/*  kill -9. Then close what the instance had open, in any order. */
void vfs_memory_kill (yard_memory_disk_t *self, uint64_t instance);
void vfs_memory_power_cut (yard_memory_disk_t *self, yard_random_t *random);

/*  Writes, truncates, syncs and deletes so far. */
uint64_t vfs_memory_operations (const yard_memory_disk_t *self);
/*  The power is cut instead of the n-th operation (as operations counts), counted from 1; random is
 *  borrowed until then. 0: not at all. */
void vfs_memory_cut_instead_of (yard_memory_disk_t *self, uint64_t operation, yard_random_t *random);

/*  The same instead of the n-th sync; one cut is armed at a time. */
void vfs_memory_cut_instead_of_sync (yard_memory_disk_t *self, uint64_t sync, yard_random_t *random);

/*  Open files, of the living and the dead: 0 when every connection was closed. */
unsigned vfs_memory_handles (const yard_memory_disk_t *self);

#endif
