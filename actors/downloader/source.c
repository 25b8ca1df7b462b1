// SPDX-License-Identifier: Apache-2.0
/*  source.c - the table of sources
 */
#include "source.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const downloader_source_t *const sources [] = {
    &downloader_source_http,
};

static bool begins (const char *source, const char *scheme)
{
    return strncasecmp (source, scheme, strlen (scheme)) == 0;
}

int downloader_source_find (const char *source, const downloader_source_t **ret, yard_error_t *error)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources [0]; i++)
        for (const char *const *scheme = sources [i]->schemes; *scheme; scheme++)
            if (begins (source, *scheme)) {
                int rc = sources [i]->check (source, error);
                if (rc == 0)
                    *ret = sources [i];
                return rc;
            }
    return yard_error (error, YARD_INVALID_SOURCE,
                       "the source is neither http:// nor https://; give such a URL");
}
