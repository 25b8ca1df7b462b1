// SPDX-License-Identifier: Apache-2.0
/*  rows.c - the rows once more, with the file that each stands in
 *
 *  The tables of messages.c do not know their files; __FILE__ inside the .def does.
 */
#include "protogen.h"

#define ROWS_MAX 1024 /* five times what there are; more stops the program */

typedef struct {
    const char *file;
    yard_wire_type_fn *type;
    const yard_method_t *method;
    const yard_event_t *event;
} source_row_t;

#define ENUM(name, doc) { .file = __FILE__, .type = name##_type },
#define RECORD(name, doc) { .file = __FILE__, .type = name##_type },
#define METHOD(name, ask, answer, roles, routing, deadline_ms, doc) \
    { .file = __FILE__, .method = &name##_method },
#define EVENT(name, body, subject) { .file = __FILE__, .event = &name##_event },
#define VALUE(set, id, word)
#define END_ENUM(name)
#define FIELD(presence, kind, name, low, high, doc)
#define END(name)
static const source_row_t source_rows [] = {
#include "proto/conversations.def"
};

const protogen_row_t *protogen_rows (size_t *ret_count)
{
    static protogen_row_t rows [ROWS_MAX];
    const size_t count = sizeof source_rows / sizeof source_rows [0];
    _Static_assert(sizeof source_rows / sizeof source_rows [0] <= ROWS_MAX, "more rows than ROWS_MAX");
    for (size_t i = 0; i < count; i++) {
        const source_row_t *from = &source_rows [i];
        rows [i] =
            (protogen_row_t){ from->file, from->type ? from->type () : NULL, from->method, from->event };
    }
    *ret_count = count;
    return rows;
}

void protogen_conversation (const char *file, char *text)
{
    const char *slash = strrchr (file, '/');
    snprintf (text, PROTOGEN_TEXT_MAX, "%s", slash ? slash + 1 : file);
    char *dot = strrchr (text, '.');
    if (dot)
        *dot = 0;
}

/*  The first line is "/ *  job.def - durable work: … * /". */
void protogen_purpose (const char *file, char *text)
{
    FILE *stream = fopen (file, "r");
    text [0] = 0;
    if (!stream || !fgets (text, PROTOGEN_TEXT_MAX, stream))
        text [0] = 0;
    if (stream)
        fclose (stream);
    char *start = strstr (text, ".def - "), *end = strstr (text, " */");
    if (!start) {
        fprintf (stderr, "protogen: %s: the first line must be a comment \"<name>.def - what it is\"\n",
                 file);
        exit (EXIT_FAILURE);
    }
    if (end)
        *end = 0;
    start += strlen (".def - ");
    memmove (text, start, strlen (start) + 1);
    text [strcspn (text, "\n")] = 0;
}

const char *protogen_routing (const yard_method_t *method)
{
    static const char *const words [] = { [YARD_ROUTING_SINGLE] = "single",
                                          [YARD_ROUTING_POOL] = "pool",
                                          [YARD_ROUTING_PLACED] = "placed",
                                          [YARD_ROUTING_BROKER] = "broker" };
    return words [method->routing];
}

void protogen_roles (const yard_method_t *method, yard_buffer_t *ret, const char *before, const char *after)
{
    static const struct {
        unsigned bit;
        const char *word;
    } roles [] = { { YARD_ROLE_VIEWER, "viewer" },
                   { YARD_ROLE_OPERATOR, "operator" },
                   { YARD_ROLE_WORKER, "worker" },
                   { YARD_ROLE_ADMIN, "admin" } };
    const char *comma = "";
    for (size_t i = 0; i < sizeof roles / sizeof roles [0]; i++) {
        if (!(method->roles & roles [i].bit))
            continue;
        yard_buffer_printf (ret, "%s%s%s%s", comma, before, roles [i].word, after);
        comma = ", ";
    }
}
