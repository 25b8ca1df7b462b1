// SPDX-License-Identifier: Apache-2.0
/*  source.h - the source of an install, in the grammar of proto/model_source
 */
#ifndef YARD_INSTALLER_SOURCE_H
#define YARD_INSTALLER_SOURCE_H

#include "actors/ground/arena.h"
#include "actors/ground/error.h"
#include "proto/messages.h"

/*  Fills ret (source, local, inplace, move) from exactly one of ask's source, local and url. Looks at the
 *  text only, never at the disk. ret's strings live in the arena. */
int installer_source_parse (const install_import_ask_t *ask, yard_arena_t *arena, install_request_t *ret,
                            yard_error_t *error);

/*  The name under which a source's file is staged. */
const char *installer_source_file_name (const install_request_t *request, yard_arena_t *arena);

/*  A model's folder name from its record's name (ARCHITECTURE 6.5): the same rule, at most 100 bytes. */
const char *installer_folder_name (yard_string_t name, yard_arena_t *arena);

#endif
