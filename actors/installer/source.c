// SPDX-License-Identifier: Apache-2.0
/*  source.c - from an ask to the request of a job; the grammar of sources is proto/model_source
 */
#include "source.h"

#include "proto/model_source/model_source.h"

#define FOLDER_NAME_MAX 100 /* bytes (ARCHITECTURE 6.5) */

int installer_source_parse (const install_import_ask_t *ask, yard_arena_t *arena, install_request_t *ret,
                            yard_error_t *error)
{
    if (ask->has_source + ask->has_local + ask->has_url != 1)
        return yard_error (error, YARD_INVALID_SOURCE, "give exactly one of source, local and url");
    install_request_t request;
    yard_wire_init (install_request_type (), &request);
    int code;
    if (ask->has_local) {
        if (ask->local.inplace)
            return yard_error (error, YARD_NOT_IMPLEMENTED,
                               "inplace is not built yet; leave it out and the file is copied into the yard");
        request.local = true;
        request.move = ask->local.move;
        code = yard_source_parse_path (ask->local.path, arena, &request.source, error);
    } else if (ask->has_url)
        code = yard_source_parse_url (ask->url.url, arena, &request.source, error);
    else
        code = yard_source_parse (ask->source, arena, &request.source, &request.local, error);
    if (code)
        return code;
    request.has_config = ask->has_config;
    if (ask->has_config)
        yard_wire_copy (model_changes_type (), &ask->config, arena, &request.config);
    *ret = request;
    return 0;
}

const char *installer_source_file_name (const install_request_t *request, yard_arena_t *arena)
{
    return yard_source_file_name (request->source, request->local, arena);
}

const char *installer_folder_name (yard_string_t name, yard_arena_t *arena)
{
    return yard_source_safe_name (name, FOLDER_NAME_MAX, arena);
}
