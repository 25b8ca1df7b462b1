// SPDX-License-Identifier: Apache-2.0
/*  source.h - the kinds of places that files come from, one small file each
 *
 *  A source knows its spelling and who may see its credential. All of them end in GETs of the fetch door.
 */
#ifndef YARD_DOWNLOADER_SOURCE_H
#define YARD_DOWNLOADER_SOURCE_H

#include <stdbool.h>
#include "actors/ground/error.h"

typedef struct {
    const char *name;
    const char *const *schemes; /* how its sources begin; ends with NULL */
    /*  0, or invalid_source with what to do. */
    int (*check) (const char *source, yard_error_t *error);
    /*  May the job's credential be shown to this URL, to which a redirect led? */
    bool (*may_see_credential) (const char *source, const char *url);
} downloader_source_t;

/*  invalid_source for what none of them takes, or what the one that does finds wrong. */
int downloader_source_find (const char *source, const downloader_source_t **ret, yard_error_t *error);

extern const downloader_source_t downloader_source_http;

#endif
