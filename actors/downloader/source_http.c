// SPDX-License-Identifier: Apache-2.0
/*  source_http.c - a plain URL; its credential is for its own scheme, host and port, and for no other
 */
#include <stddef.h>
#include "source.h"
#include "url.h"

static const char *const schemes [] = { "http://", "https://", NULL };

const downloader_source_t downloader_source_http = {
    .name = "http",
    .schemes = schemes,
    .check = downloader_url_check,
    .may_see_credential = downloader_url_same_origin,
};
