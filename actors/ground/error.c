// SPDX-License-Identifier: Apache-2.0
/*  error.c - errors.def as a table, and the sentence beside a code
 *
 *  Promises: the text is always terminated, is cut between two characters of UTF-8, and may quote the
 *  error it replaces.
 */
#include "error.h"

#undef yard_error /* the analyzer's */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/*  Row n is the code -(n + 1), since the numbers of error.h count from 1. */
static const yard_error_row_t rows [] = {
#define ERROR(id, word, http, exit, doc) { word, http, exit, doc },
#include "errors.def"
#undef ERROR
};

/*  Errors of a file or disk that are no disk's failure. What is not listed is DISK_FAILED. */
static const struct {
    int number, code;
} errno_codes [] = {
    { ENOSPC, YARD_DISK_FULL },
    { EDQUOT, YARD_DISK_FULL },
    { ENOENT, YARD_NOT_FOUND },
    { ENOTDIR, YARD_NOT_FOUND },
    { ENXIO, YARD_NOT_FOUND },
    { EACCES, YARD_FORBIDDEN },
    { EPERM, YARD_FORBIDDEN },
    { EEXIST, YARD_CONFLICT },
    { ENOTEMPTY, YARD_CONFLICT },
    { EBUSY, YARD_CONFLICT },
    { EAGAIN, YARD_FILE_LOCKED },
    { ETXTBSY, YARD_FILE_LOCKED },
    { ENAMETOOLONG, YARD_TOO_LARGE },
    { EFBIG, YARD_TOO_LARGE },
    { EISDIR, YARD_INVALID_FILE },
    { ELOOP, YARD_INVALID_FILE },
    { EXDEV, YARD_INVALID_CONFIG }, /* never CONFLICT, which a rename means as "the name is taken" */
    { ENOMEM, YARD_OUT_OF_MEMORY },
    { EMFILE, YARD_BUSY },
    { ENFILE, YARD_BUSY },
    { ECONNREFUSED, YARD_NETWORK_FAILED },
    { ECONNRESET, YARD_NETWORK_FAILED },
    { EHOSTUNREACH, YARD_NETWORK_FAILED },
    { ENETUNREACH, YARD_NETWORK_FAILED },
    { ETIMEDOUT, YARD_TIMEOUT },
    { EBADF, YARD_INTERNAL },
    { EFAULT, YARD_INTERNAL },
    { EINVAL, YARD_INTERNAL },
};

/*  A text that was cut may end in the middle of a character, and then no reader of UTF-8 would take it. */
static void drop_half_character (char *text)
{
    size_t size = strlen (text), back = 0;
    while (back < 3 && back < size && ((unsigned char) text [size - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back >= size)
        return;
    unsigned char lead = (unsigned char) text [size - 1 - back];
    size_t follow = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (follow > back)
        text [size - 1 - back] = 0;
}

/*  Through a buffer of its own, since an argument may be the very text it replaces. */
static void write_sentence (yard_error_t *error, int code, const char *reason, const char *format,
                            va_list arguments)
{
    char text [YARD_ERROR_TEXT_MAX];
    int size = vsnprintf (text, sizeof text, format, arguments);
    if (size < 0)
        text [0] = 0;
    size_t used = strlen (text);
    if (reason)
        size += snprintf (text + used, sizeof text - used, ": %s", reason);
    if (size >= (int) sizeof text)
        drop_half_character (text);
    error->code = code;
    memcpy (error->text, text, sizeof text);
}

int yard_error (yard_error_t *error, int code, const char *format, ...)
{
    assert (code < 0);
    if (!error)
        return code;
    va_list arguments;
    va_start (arguments, format);
    write_sentence (error, code, NULL, format, arguments);
    va_end (arguments);
    return code;
}

static int code_of_errno (int number)
{
    for (size_t i = 0; i < sizeof errno_codes / sizeof *errno_codes; i++)
        if (errno_codes [i].number == number)
            return errno_codes [i].code;
    return YARD_DISK_FAILED;
}

int yard_error_errno (yard_error_t *error, int saved_errno, const char *format, ...)
{
    int code = code_of_errno (saved_errno);
    if (!error)
        return code;
    char buffer [128]; /* glibc's longest reason has about 50 bytes */
    va_list arguments;
    va_start (arguments, format);
    write_sentence (error, code, strerror_r (saved_errno, buffer, sizeof buffer), format, arguments);
    va_end (arguments);
    return code;
}

/*  A code from nowhere is our bug, and is shown as one. */
const yard_error_row_t *yard_error_row (int code)
{
    if (code >= 0 || code <= -(int) YARD_ERROR_LAST)
        code = YARD_INTERNAL;
    return &rows [-code - 1];
}

/*  A search of sixty words: it runs once per failed answer. */
int yard_error_code (const char *word, unsigned long size)
{
    for (int number = 1; number < (int) YARD_ERROR_LAST; number++) {
        const char *known = rows [number - 1].word;
        if (strlen (known) == size && memcmp (known, word, size) == 0)
            return -number;
    }
    return YARD_INTERNAL;
}
