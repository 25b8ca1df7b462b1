// SPDX-License-Identifier: Apache-2.0
/*  model_source.h - what a user calls a source, as canonical text (REQUIREMENTS R2.1)
 *
 *  Canonical text parses back to itself: an absolute path without . and .., or a normal http(s) URL without
 *  fragment and user. The forms of later sources (hub repositories, Civitai, S3) are recognised and answered
 *  not_implemented, so that nothing is mistaken for a path. Looks at the text only, never at the disk or the
 *  network; results live in the arena.
 */
#ifndef YARD_PROTO_MODEL_SOURCE_H
#define YARD_PROTO_MODEL_SOURCE_H

#include "actors/ground/arena.h"
#include "actors/ground/error.h"

#define YARD_SOURCE_FILE_NAME_MAX \
    200 /* bytes; leaves room for .part, .journal and a token within NAME_MAX 255 */

/*  Any form; local says that it is a path. YARD_INVALID_SOURCE, YARD_NOT_IMPLEMENTED. */
int yard_source_parse (yard_string_t text, yard_arena_t *arena, yard_string_t *ret, bool *ret_local,
                       yard_error_t *error);
/*  One form alone. */
int yard_source_parse_path (yard_string_t text, yard_arena_t *arena, yard_string_t *ret, yard_error_t *error);
int yard_source_parse_url (yard_string_t text, yard_arena_t *arena, yard_string_t *ret, yard_error_t *error);

/*  The name of a canonical source's file: the last part of its path, bytes outside [A-Za-z0-9._-] as _, no
 *  leading dot or dash; "model" if nothing is left. */
const char *yard_source_file_name (yard_string_t source, bool local, yard_arena_t *arena);

/*  The same rule for any text, cut behind size_max bytes. */
const char *yard_source_safe_name (yard_string_t text, size_t size_max, yard_arena_t *arena);

#endif
