// SPDX-License-Identifier: Apache-2.0
/*  url.h - which URLs are fetched, where a redirect leads, and to whom a credential may be shown
 *
 *  URLs are taken apart by libcurl's own parser, so what is checked is what is fetched. Results are malloc'ed: free them.
 */
#ifndef YARD_DOWNLOADER_URL_H
#define YARD_DOWNLOADER_URL_H

#include <stdbool.h>
#include "actors/ground/error.h"

#define DOWNLOADER_URL_MAX 4096 /* bytes; as in download_request */

/*  http or https, with a host, without user and password, printable: else invalid_source with what to do. */
int downloader_url_check (const char *url, yard_error_t *error);

/*  The absolute URL of a Location. Refuses (http_failed) other schemes, user names, and the step from https down to http. */
int downloader_url_follow (const char *base, const char *location, char **ret_url, yard_error_t *error);

/*  Scheme, host and port are the same: the credential of one may be shown to the other. */
bool downloader_url_same_origin (const char *a, const char *b);

/*  Without query and fragment, for logs and results: a signed URL's query is a secret. "" for what is no URL; NULL never. */
char *downloader_url_public (const char *url);

#endif
