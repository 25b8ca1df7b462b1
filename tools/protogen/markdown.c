// SPDX-License-Identifier: Apache-2.0
/*  markdown.c - MESSAGES.md: preamble.md, then the failures, then one chapter per conversation
 */
#include <inttypes.h>
#include "actors/ground/durable.h"
#include "protogen.h"

#define PREAMBLE_MAX (256 * 1024)

static void say_preamble (yard_buffer_t *ret)
{
    char *text;
    size_t size;
    yard_error_t error;
    if (yard_file_read (PROTOGEN_FOLDER "/preamble.md", PREAMBLE_MAX, &text, &size, &error)) {
        fprintf (stderr, "protogen: %s\n", error.text);
        exit (EXIT_FAILURE);
    }
    yard_buffer_append (ret, text, size);
    free (text);
}

static void say_failures (yard_buffer_t *ret)
{
    static const yard_error_row_t rows [] = {
#define ERROR(id, word, http, exit, doc) { word, http, exit, doc },
#include "actors/ground/errors.def"
#undef ERROR
    };
    yard_buffer_text (ret,
                      "\n## Failures\n\nThe word in `code` never changes its meaning; `text` is for people "
                      "and says the next step. "
                      "HTTP status and exit code are what the gateway and the command line make of it.\n\n"
                      "| Word | Means | HTTP | Exit |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        yard_buffer_printf (ret, "| `%s` | %s | %d | %d |\n", rows [i].word, rows [i].doc, rows [i].http,
                            rows [i].exit);
}

/*  --- one field
 *  -------------------------------------------------------------------------------------------------------- */
static void say_type (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    if (type->kind == YARD_WIRE_RECORD || type->kind == YARD_WIRE_ENUM)
        yard_buffer_printf (ret, "[%s](#%s)", type->name, type->name);
    else
        yard_buffer_text (ret, type->kind == YARD_WIRE_STRING ? "text" : "natural");
}

static void say_kind (yard_buffer_t *ret, const yard_wire_field_t *field)
{
    static const char *const words [] = {
        [YARD_WIRE_BOOL] = "boolean", [YARD_WIRE_INT] = "integer",   [YARD_WIRE_UINT] = "natural",
        [YARD_WIRE_DOUBLE] = "real",  [YARD_WIRE_STRING] = "text",   [YARD_WIRE_BINARY] = "bytes",
        [YARD_WIRE_ENUM] = "",        [YARD_WIRE_RECORD] = "",       [YARD_WIRE_LIST] = "list of ",
        [YARD_WIRE_MAP] = "map",      [YARD_WIRE_SECRET] = "secret",
    };
    yard_buffer_text (ret, words [field->kind]);
    if (field->type)
        say_type (ret, field->type ());
}

static void say_presence (yard_buffer_t *ret, const yard_wire_field_t *field)
{
    if (field->presence == YARD_WIRE_REQUIRED)
        yard_buffer_text (ret, "required");
    else if (field->presence == YARD_WIRE_OPTIONAL)
        yard_buffer_text (ret, "optional");
    else if (field->kind == YARD_WIRE_BOOL) /* false may have become 0: it is a macro of stdbool.h */
        yard_buffer_printf (ret, "default `%s`", strchr ("1t", field->fallback [0]) ? "true" : "false");
    else if (*field->fallback)
        yard_buffer_printf (ret, "default `%s`", field->fallback);
    else
        yard_buffer_text (ret,
                          field->kind == YARD_WIRE_RECORD ? "default: its own defaults" : "default: empty");
}

static void say_bounds (yard_buffer_t *ret, const yard_wire_field_t *field)
{
    const char *unit = "";
    switch (field->kind) {
    case YARD_WIRE_BOOL:
    case YARD_WIRE_ENUM:
    case YARD_WIRE_RECORD:
        return;
    case YARD_WIRE_STRING:
    case YARD_WIRE_BINARY:
    case YARD_WIRE_SECRET:
        unit = " bytes";
        break;
    case YARD_WIRE_LIST:
    case YARD_WIRE_MAP:
        unit = " entries";
        break;
    default:
        break;
    }
    if (field->low >= 0 && (uint64_t) field->low == field->high)
        yard_buffer_printf (ret, "%" PRIu64 "%s", field->high, unit);
    else if (field->high == YARD_SAFE_INTEGER)
        yard_buffer_printf (ret, "%" PRId64 " to 2^53 - 1%s", field->low, unit);
    else if (field->high == UINT64_MAX)
        yard_buffer_printf (ret, "%" PRId64 " to 2^64 - 1%s", field->low, unit);
    else
        yard_buffer_printf (ret, "%" PRId64 " to %" PRIu64 "%s", field->low, field->high, unit);
}

static void say_record (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    yard_buffer_printf (ret,
                        "\n#### %s\n\n%s\n\n| Field | Kind | | Bounds | Meaning |\n|---|---|---|---|---|\n",
                        type->name, type->doc);
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        yard_buffer_printf (ret, "| `%s` | ", field->name);
        say_kind (ret, field);
        yard_buffer_text (ret, " | ");
        say_presence (ret, field);
        yard_buffer_text (ret, " | ");
        say_bounds (ret, field);
        yard_buffer_printf (ret, " | %s |\n", field->doc);
    }
}

static void say_enum (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    yard_buffer_printf (ret, "\n#### %s\n\n%s\n\n", type->name, type->doc);
    for (size_t i = 0; i < type->value_count; i++)
        yard_buffer_printf (ret, "%s`%s`", i ? ", " : "One of ", type->values [i].word);
    yard_buffer_text (ret, ".\n");
}

/*  --- one conversation */
static void say_method (yard_buffer_t *ret, const yard_method_t *method)
{
    char name [YARD_METHOD_NAME_MAX];
    yard_method_name (method, name);
    yard_buffer_printf (ret, "| `%s` | ", name);
    say_type (ret, method->ask ());
    yard_buffer_text (ret, " | ");
    say_type (ret, method->answer ());
    yard_buffer_text (ret, " | ");
    protogen_roles (method, ret, "", "");
    if (method->deadline_ms)
        yard_buffer_printf (ret, " | %s | %g s | %s |\n", protogen_routing (method),
                            (double) method->deadline_ms / 1000, method->doc);
    else
        yard_buffer_printf (ret, " | %s | none | %s |\n", protogen_routing (method), method->doc);
}

static void say_event (yard_buffer_t *ret, const yard_event_t *event)
{
    yard_buffer_printf (ret, "| `%s` | ", event->name);
    say_type (ret, event->body ());
    yard_buffer_printf (ret, " | %s |\n", event->subject);
}

/*  The rows of one file: its methods, its events, then all its types. */
static void say_conversation (yard_buffer_t *ret, const protogen_row_t *rows, size_t count)
{
    char name [PROTOGEN_TEXT_MAX], purpose [PROTOGEN_TEXT_MAX];
    bool methods = false, events = false;
    protogen_conversation (rows [0].file, name);
    protogen_purpose (rows [0].file, purpose);
    yard_buffer_printf (ret, "\n## Conversation: %s\n\n[%s.def](%s.def): %s.\n", name, name, name, purpose);
    for (size_t i = 0; i < count; i++) {
        if (!rows [i].method)
            continue;
        if (!methods)
            yard_buffer_text (ret, "\n### Methods\n\n| Method | Ask | Answer | Roles | Routing | Deadline | "
                                   "|\n|---|---|---|---|---|---|---|\n");
        methods = true;
        say_method (ret, rows [i].method);
    }
    for (size_t i = 0; i < count; i++) {
        if (!rows [i].event)
            continue;
        if (!events)
            yard_buffer_text (ret, "\n### Events\n\n| Event | Body | Subject |\n|---|---|---|\n");
        events = true;
        say_event (ret, rows [i].event);
    }
    yard_buffer_text (ret, "\n### Types\n");
    for (size_t i = 0; i < count; i++) {
        if (rows [i].type && rows [i].type->kind == YARD_WIRE_ENUM)
            say_enum (ret, rows [i].type);
        else if (rows [i].type)
            say_record (ret, rows [i].type);
    }
}

void protogen_markdown (yard_buffer_t *ret)
{
    size_t count, start = 0;
    const protogen_row_t *rows = protogen_rows (&count);
    say_preamble (ret);
    say_failures (ret);
    for (size_t i = 1; i <= count; i++) {
        if (i < count && strcmp (rows [i].file, rows [start].file) == 0)
            continue;
        say_conversation (ret, rows + start, i - start);
        start = i;
    }
}
