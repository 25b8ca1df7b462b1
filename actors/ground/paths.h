// SPDX-License-Identifier: Apache-2.0
/*  paths.h - where the yard lives (ARCHITECTURE 8)
 *
 *  home: $MODELYARD_HOME, else ~/.local/share/modelyard. run: $MODELYARD_RUN, else $MODELYARD_HOME/run if
 *  HOME was set explicitly, else $XDG_RUNTIME_DIR/modelyard, else /run/modelyard. All paths that come out are
 *  absolute and at most PATH_MAX.
 */
#ifndef YARD_GROUND_PATHS_H
#define YARD_GROUND_PATHS_H

#include <limits.h>
#include "error.h"

#define YARD_SOCKET_PATH_MAX 107 /* sun_path has 108 bytes with its 0 */

typedef struct {
    char home [PATH_MAX];
    char run [PATH_MAX];
} yard_paths_t;

int yard_paths_find (yard_paths_t *self, yard_error_t *error);

/*  Joins with one slash; an absolute b stands alone. too_large when it does not fit into ret_path [PATH_MAX]. */
int yard_path_join (char *ret_path, const char *a, const char *b, yard_error_t *error);

/*  Makes the directory (0700) and its parents; refuses one that another user owns. */
int yard_paths_make_private (const char *path, yard_error_t *error);

#endif
