// SPDX-License-Identifier: Apache-2.0
/*  error.h - what went wrong, as a code of errors.def and a sentence
 *
 *  A function that can fail returns 0 or a negative code. The sentence is made where the cause is known and
 *  says the next step; it is written to a yard_error_t that the caller lends (NULL where nobody will read
 *  it). On success the lent error is left as it was.
 */
#ifndef YARD_GROUND_ERROR_H
#define YARD_GROUND_ERROR_H

#define YARD_ERROR_TEXT_MAX 512 /* a sentence or two with a path in it; longer texts are cut */

enum {
    YARD_ERROR_FIRST = 0,
#define ERROR(id, word, http, exit, doc) YARD_ERROR_NUMBER_##id,
#include "errors.def"
#undef ERROR
    YARD_ERROR_LAST
};
enum {
#define ERROR(id, word, http, exit, doc) YARD_##id = -(int) YARD_ERROR_NUMBER_##id,
#include "errors.def"
#undef ERROR
};

typedef struct {
    int code; /* 0 or a negative code */
    char text [YARD_ERROR_TEXT_MAX]; /* always terminated */
} yard_error_t;

/*  One row of errors.def. */
typedef struct {
    const char *word;
    int http;
    int exit;
    const char *doc;
} yard_error_row_t;

/*  Writes code and sentence, returns the code: `return yard_error (error, YARD_NOT_FOUND, "...", ...)`. */
int yard_error (yard_error_t *error, int code, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

#ifdef __clang_analyzer__ /* it does not look into other files: what comes back is the code, never 0 */
#    define yard_error(error, code, ...) (yard_error ((error), (code), __VA_ARGS__), (code))
#endif

/*  The same from errno: picks disk_full, disk_failed, not_found, forbidden …, ends the sentence with
 *  strerror. */
int yard_error_errno (yard_error_t *error, int saved_errno, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/*  The row of a code; of an unknown code the row of INTERNAL. The code of a word; YARD_INTERNAL for an
 *  unknown word. */
const yard_error_row_t *yard_error_row (int code);
int yard_error_code (const char *word, unsigned long size);

#endif
