// SPDX-License-Identifier: Apache-2.0
/*  durable.h - files that are there whole, or not at all
 *
 *  Every function here blocks on the disk: call it from the offload pool, never from a handler. An fsync
 *  error means that the file is lost; nobody calls fsync a second time on the same file to make it true
 *  (Linux reports the error once and may have dropped the pages).
 */
#ifndef YARD_GROUND_DURABLE_H
#define YARD_GROUND_DURABLE_H

#include <stddef.h>
#include <sys/types.h>
#include "error.h"

/*  Writes beside (".<name>.<random>.part"), fsyncs, renames over path, fsyncs the directory. */
int yard_durable_write (const char *path, const void *data, size_t size, mode_t mode, yard_error_t *error);

/*  fsync of a file or directory by path, and of a whole tree (files, then directories bottom up). */
int yard_durable_sync (const char *path, yard_error_t *error);
int yard_durable_sync_tree (const char *path, yard_error_t *error);

/*  mkdir -p below an existing root, each new directory's parent fsynced. */
int yard_durable_mkdir (const char *path, mode_t mode, yard_error_t *error);

/*  rename that refuses an existing target (conflict), then fsync of both parents. */
int yard_durable_rename (const char *from, const char *to, yard_error_t *error);

/*  rm -r that never follows a symlink and never leaves path's file system; a missing path is success. Then
 *  fsync of the parent. */
int yard_durable_remove (const char *path, yard_error_t *error);

/*  Reads a whole small file; too_large past size_max. Gives malloc'ed bytes with a 0 behind them: free them. */
int yard_file_read (const char *path, size_t size_max, char **ret_data, size_t *ret_size,
                    yard_error_t *error);

#endif
