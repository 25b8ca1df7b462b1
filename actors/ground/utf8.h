// SPDX-License-Identifier: Apache-2.0
/*  utf8.h - is this text UTF-8?
 *
 *  RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. The byte 0 is a character like others.
 */
#ifndef YARD_GROUND_UTF8_H
#define YARD_GROUND_UTF8_H

#include <stddef.h>

/*  How many bytes at the start are valid: size when all are. */
size_t yard_utf8_valid (const char *data, size_t size);

#endif
