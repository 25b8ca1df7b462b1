// SPDX-License-Identifier: Apache-2.0
/*  durable_place.h - a path as its directory and its name, for durable.c and durable_tree.c
 */
#ifndef YARD_GROUND_DURABLE_PLACE_H
#define YARD_GROUND_DURABLE_PLACE_H

#include <limits.h>
#include "error.h"

typedef struct {
    char parent [PATH_MAX]; /* "." for a name alone */
    char name [NAME_MAX + 1];
} yard_durable_place_t;

/*  Slashes at the end do not count. Refuses a path that ends in no name of its own: "", "/", "." and "..". */
int yard_durable_place (yard_durable_place_t *self, const char *path, yard_error_t *error);

/*  fsync of what fd is. path is for the sentence. */
int yard_durable_sync_fd (int fd, const char *path, yard_error_t *error);

#endif
