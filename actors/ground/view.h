// SPDX-License-Identifier: Apache-2.0
/*  view.h - a string or bytes that somebody else owns
 *
 *  Not terminated; may hold any byte; lives as long as its owner says (a request's strings: until the handler
 *  returns or, if the request is kept, until it is answered).
 */
#ifndef YARD_GROUND_VIEW_H
#define YARD_GROUND_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *data;
    size_t size;
} yard_string_t;

/*  For printf: printf ("%.*s", YARD_VIEW (s)). */
#define YARD_VIEW(s) (int) (s).size, (s).data

static inline yard_string_t yard_string (const char *text)
{
    return (yard_string_t){ text, text ? strlen (text) : 0 };
}

static inline bool yard_string_is (yard_string_t self, const char *text)
{
    size_t size = strlen (text);
    return self.size == size && (size == 0 || memcmp (self.data, text, size) == 0);
}

static inline bool yard_string_equal (yard_string_t a, yard_string_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp (a.data, b.data, a.size) == 0);
}

static inline bool yard_string_starts (yard_string_t self, const char *prefix)
{
    size_t size = strlen (prefix);
    return self.size >= size && memcmp (self.data, prefix, size) == 0;
}

#endif
