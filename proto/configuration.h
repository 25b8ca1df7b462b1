// SPDX-License-Identifier: Apache-2.0
/*  configuration.h - modelyard.yaml in force: defaults, then the file, then MODELYARD_SET, then --set
 *
 *  Keys are the rows of config.def, dotted: download.max_parallel. An unknown key is invalid_config and names
 *  the nearest one. A missing file is an empty file. Endpoints left empty become ipc://<run>/command.ipc and
 *  ipc://<run>/event.ipc; a relative models_dir becomes absolute below home; an empty node becomes the host's
 *  name.
 */
#ifndef YARD_PROTO_CONFIGURATION_H
#define YARD_PROTO_CONFIGURATION_H

#include "actors/ground/paths.h"
#include "messages.h"

#define YARD_CONFIGURATION_BYTES_MAX (256 * 1024) /* of the file; ours has 4 KiB with all comments */

typedef struct yard_configuration_t yard_configuration_t;

/*  settings: "key=value" words, count of them (from --set and MODELYARD_SET, later ones win). */
int yard_configuration_read (const yard_paths_t *paths, const char *const *settings, size_t count,
                             yard_configuration_t **ret, yard_error_t *error);
void yard_configuration_destroy (yard_configuration_t **self_p);
const configuration_t *
yard_configuration_values (const yard_configuration_t *self); /* strings in it are terminated */

#endif
