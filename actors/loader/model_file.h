// SPDX-License-Identifier: Apache-2.0
/*  model_file.h - opens the files of a model below the models directory, and nowhere else
 *
 *  Invariants: every step below the models directory is taken without following a symlink; what is opened is
 *  a regular file, read-only. An absolute path must begin with the models directory. Blocks on the disk: for
 *  the offload pool.
 */
#ifndef LOADER_MODEL_FILE_H
#define LOADER_MODEL_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "actors/ground/error.h"

#define LOADER_PATH_STEPS_MAX \
    32 /* <base>/<type>/<name>/<part>/<file> is 5; a person's own folders add some */

/*  Which bytes a file had when it was looked at: a change of one of them makes it another file to us. */
typedef struct {
    uint64_t device, inode, bytes;
    int64_t mtime_s, mtime_ns;
} loader_identity_t;

typedef struct {
    char name [NAME_MAX + 1]; /* its real name, the last step of its path; with the folders between where a
                               * model is a tree of files ("unet/model.onnx") */
    int fd; /* -1 when closed */
    loader_identity_t identity; /* of the file on the disk */
    loader_identity_t given; /* of what fd leads to: the same file, or the memory that was filled from it */
} loader_file_t;

/*  YARD_MODEL_NOT_FOUND when a step is missing, YARD_FORBIDDEN when a step leads out or is a symlink,
 *  YARD_INVALID_FILE when the end is no regular file. */
int loader_file_open (const char *models_dir, const char *path, loader_file_t *ret, yard_error_t *error);
void loader_file_close (loader_file_t *self);

/*  The same for a folder, as a descriptor to walk from; and one file in it, by a plain name. */
int loader_folder_open (const char *models_dir, const char *path, int *ret_fd, yard_error_t *error);
int loader_file_open_in (int folder_fd, const char *name, loader_file_t *ret, yard_error_t *error);

bool loader_identity_equal (const loader_identity_t *a, const loader_identity_t *b);

/*  Reads exactly size bytes at offset. YARD_INVALID_FILE when the file ends before. */
int loader_file_read (const loader_file_t *self, uint64_t offset, void *data, size_t size,
                      yard_error_t *error);

#endif
