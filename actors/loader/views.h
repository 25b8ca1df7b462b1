// SPDX-License-Identifier: Apache-2.0
/*  views.h - the path door: $RUN/views/<lease>/ holds the model's real file names as symlinks to
 *  /proc/<pid>/fd/<n>, in folders where a model is a tree of files
 *
 *  So readers that know only paths open exactly the file that is leased, even when it has been replaced on
 *  the disk since. For the same user and pid namespace only. Invariants: a view appears whole, by one rename;
 *  it is taken away before any of its descriptors is closed; one whose process is dead is removed by the next
 *  loader that starts.
 */
#ifndef LOADER_VIEWS_H
#define LOADER_VIEWS_H

#include <limits.h>
#include "actors/ground/error.h"
#include "actors/loader/model.h"

typedef struct {
    char folder [PATH_MAX]; /* $RUN/views */
} loader_views_t;

/*  Makes the folder, and removes what dead loaders left. */
int loader_views_open (loader_views_t *self, const char *run, yard_error_t *error);

/*  Makes the view of a lease; its path is written to ret_path [PATH_MAX]. */
int loader_views_add (const loader_views_t *self, const char *lease, const loader_model_t *model,
                      char *ret_path, yard_error_t *error);
void loader_views_remove (const loader_views_t *self,
                          const char *lease); /* a missing one is removed already */

#endif
