// SPDX-License-Identifier: Apache-2.0
/*  protogen.h - what the .def files say, told again to people, to validators and to Python
 *
 *  Each page is a function that appends its text to a buffer; protogen.c puts the texts into files. The same
 *  rows give the same bytes: no dates, no paths.
 */
#ifndef PROTOGEN_H
#define PROTOGEN_H

#include "proto/messages.h"

/*  One row of a .def file, in reading order, and the file it stands in. */
typedef struct {
    const char *file; /* path of the .def */
    const yard_wire_type_t *type;
    const yard_method_t *method;
    const yard_event_t *event;
} protogen_row_t;

/*  All rows of conversations.def; how many. */
const protogen_row_t *protogen_rows (size_t *ret_count);

/*  "job" of "…/job.def", and what the file's first line says of itself. Both into text [PROTOGEN_TEXT_MAX]. */
#define PROTOGEN_TEXT_MAX 512
void protogen_conversation (const char *file, char *text);
void protogen_purpose (const char *file, char *text);

const char *protogen_routing (const yard_method_t *method);
/*  The words of the roles that may ask, between before and after, with commas. */
void protogen_roles (const yard_method_t *method, yard_buffer_t *ret, const char *before, const char *after);

void protogen_markdown (yard_buffer_t *ret);
void protogen_python (yard_buffer_t *ret);
void protogen_yaml (yard_buffer_t *ret);

#endif
