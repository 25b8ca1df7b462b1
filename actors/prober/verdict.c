// SPDX-License-Identifier: Apache-2.0
/*  verdict.c - the fixed-size answer
 */
#include "actors/prober/verdict.h"

#include <stdarg.h>

void prober_verdict_init (prober_verdict_t *self)
{
    memset (self, 0, sizeof *self); /* padding too: it goes to another process */
    self->upcast_attention = -1;
}

void prober_verdict_fail (prober_verdict_t *self, const yard_error_t *error)
{
    prober_verdict_init (self);
    self->code = error->code;
    PROBER_WRITE (self->evidence, "%s", error->text);
}

void prober_verdict_unknown (prober_verdict_t *self, const char *format, ...)
{
    va_list arguments;
    prober_verdict_init (self);
    PROBER_WRITE (self->type, "unknown");
    va_start (arguments, format);
    vsnprintf (self->evidence, sizeof self->evidence, format, arguments);
    va_end (arguments);
}

void prober_verdict_write (char *field, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (field, size, format, arguments);
    va_end (arguments);
}

static void disarm_text (char *field, size_t size)
{
    field [size - 1] = 0;
    for (; *field; field++)
        if (*field < ' ' || *field > '~')
            *field = '?';
}

void prober_verdict_disarm (prober_verdict_t *self)
{
    if (self->code > 0 || self->code <= -YARD_ERROR_LAST)
        self->code = YARD_INTERNAL;
    self->score = self->score > 100 ? 100 : self->score;
    if (self->upcast_attention < -1 || self->upcast_attention > 1)
        self->upcast_attention = -1;
    disarm_text (self->type, sizeof self->type);
    disarm_text (self->base, sizeof self->base);
    disarm_text (self->format, sizeof self->format);
    disarm_text (self->variant, sizeof self->variant);
    disarm_text (self->prediction_type, sizeof self->prediction_type);
    disarm_text (self->rule, sizeof self->rule);
    disarm_text (self->name, sizeof self->name);
    disarm_text (self->description, sizeof self->description);
    disarm_text (self->evidence, sizeof self->evidence);
}
