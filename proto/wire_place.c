// SPDX-License-Identifier: Apache-2.0
/*  wire_place.c - the sentence that names a field by its whole path
 */
#include "wire_place.h"

#include <stdarg.h>

/*  Appends the path; recursion is as deep as the types are (YARD_DEPTH_MAX). */
static void spell (yard_buffer_t *text, const yard_wire_place_t *place)
{
    if (place->parent)
        spell (text, place->parent);
    if (!place->name)
        yard_buffer_printf (text, " [%zu]", place->index);
    else
        yard_buffer_printf (text, "%s%s", place->parent ? "." : "", place->name);
}

int yard_wire_refuse (yard_error_t *error, int code, const yard_wire_place_t *place, const char *format, ...)
{
    if (!error)
        return code;
    char sentence [YARD_ERROR_TEXT_MAX];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (sentence, sizeof sentence, format, arguments);
    va_end (arguments);
    yard_buffer_t path;
    yard_buffer_init (&path, YARD_ERROR_TEXT_MAX);
    if (place)
        spell (&path, place);
    else
        yard_buffer_text (&path, code == YARD_INVALID_CONFIG ? "the configuration" : "the message");
    yard_error (error, code, "%s: %s", path.data, sentence);
    yard_buffer_clear (&path);
    return code;
}
