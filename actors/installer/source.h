// SPDX-License-Identifier: Apache-2.0
/*  source.h - what a user calls a source, as canonical text
 *
 *  Canonical text parses back to itself: an absolute path without . and .., or a normal http(s) URL without
 *  fragment and user. The forms of later sources (hub repositories, Civitai, S3) are recognised and answered
 *  not_implemented, so that nothing is mistaken for a path.
 */
#ifndef YARD_INSTALLER_SOURCE_H
#define YARD_INSTALLER_SOURCE_H

#include "actors/ground/arena.h"
#include "actors/ground/error.h"
#include "proto/messages.h"

#define INSTALLER_FILE_NAME_MAX \
    200 /* bytes; leaves room for .part, .journal and a token within NAME_MAX 255 */

/*  Fills ret (source, local, inplace, move) from exactly one of ask's source, local and url. Looks at the
 *  text only, never at the disk. ret's strings live in the arena. */
int installer_source_parse (const install_import_ask_t *ask, yard_arena_t *arena, install_request_t *ret,
                            yard_error_t *error);

/*  The name under which a source's file is staged: the last part of its path, bytes outside [A-Za-z0-9._-] as
 *  _, no leading dot or dash; "model" if nothing is left. */
const char *installer_source_file_name (const install_request_t *request, yard_arena_t *arena);

/*  A model's folder name from its record's name (ARCHITECTURE 6.5): the same rule, at most 100 bytes. */
const char *installer_folder_name (yard_string_t name, yard_arena_t *arena);

#endif
