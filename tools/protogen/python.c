// SPDX-License-Identifier: Apache-2.0
/*  python.c - messages.py: words, shapes and tables as plain Python without dependencies
 *
 *  A record is a TypedDict: what msgpack gives is a dict already, so nothing is converted, and editors and
 *  type checkers know the keys.
 */
#include <ctype.h>
#include "protogen.h"

/*  job_submit_ask -> JobSubmitAsk; nothing else of Python or ours has such a name. */
static void say_class (yard_buffer_t *ret, const char *name)
{
    bool upper = true;
    for (; *name; name++) {
        if (*name != '_')
            yard_buffer_printf (ret, "%c", upper ? toupper (*name) : *name);
        upper = *name == '_';
    }
}

/*  job_kind, "t2i-adapter" -> JOB_KIND_T2I_ADAPTER. */
static void say_constant (yard_buffer_t *ret, const char *name, const char *word)
{
    for (; *name; name++)
        yard_buffer_printf (ret, "%c", toupper (*name));
    yard_buffer_text (ret, "_");
    for (; *word; word++)
        yard_buffer_printf (ret, "%c", isalnum (*word) ? toupper (*word) : '_');
}

static void say_enum (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    yard_buffer_printf (ret, "\n# %s\n", type->doc);
    say_class (ret, type->name);
    yard_buffer_text (ret, " = Literal[\n");
    for (size_t i = 0; i < type->value_count; i++)
        yard_buffer_printf (ret, "    \"%s\",\n", type->values [i].word);
    yard_buffer_text (ret, "]\n");
    for (size_t i = 0; i < type->value_count; i++) {
        say_constant (ret, type->name, type->values [i].word);
        yard_buffer_printf (ret, " = \"%s\"\n", type->values [i].word);
    }
}

static void say_element (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    if (type->kind == YARD_WIRE_RECORD || type->kind == YARD_WIRE_ENUM)
        say_class (ret, type->name);
    else
        yard_buffer_text (ret, type->kind == YARD_WIRE_STRING ? "str" : "int");
}

static void say_kind (yard_buffer_t *ret, const yard_wire_field_t *field)
{
    static const char *const words [] = {
        [YARD_WIRE_BOOL] = "bool",  [YARD_WIRE_INT] = "int",
        [YARD_WIRE_UINT] = "int",   [YARD_WIRE_DOUBLE] = "float",
        [YARD_WIRE_STRING] = "str", [YARD_WIRE_BINARY] = "bytes",
        [YARD_WIRE_ENUM] = NULL,    [YARD_WIRE_RECORD] = NULL,
        [YARD_WIRE_LIST] = "list[", [YARD_WIRE_MAP] = "dict[str, str]",
        [YARD_WIRE_SECRET] = "str",
    };
    if (words [field->kind])
        yard_buffer_text (ret, words [field->kind]);
    if (field->type)
        say_element (ret, field->type ());
    if (field->kind == YARD_WIRE_LIST)
        yard_buffer_text (ret, "]");
}

/*  "from" is a keyword, so the record is made by a call; the call's form works for all, so there is one form. */
static void say_record (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    yard_buffer_printf (ret, "\n# %s\n", type->doc);
    say_class (ret, type->name);
    yard_buffer_text (ret, " = TypedDict(\n    \"");
    say_class (ret, type->name);
    yard_buffer_text (ret, "\",\n    {\n");
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        bool required = field->presence == YARD_WIRE_REQUIRED;
        yard_buffer_printf (ret, "        \"%s\": %s", field->name, required ? "" : "NotRequired[");
        say_kind (ret, field);
        yard_buffer_printf (ret, "%s,  # %s\n", required ? "" : "]", field->doc);
    }
    yard_buffer_text (ret, "    },\n)\n");
}

static void say_methods (yard_buffer_t *ret)
{
    yard_buffer_text (ret, "\n# Method -> names of its records (schema/<name>.json), deadline (0 = none), "
                           "how the broker finds a "
                           "server, who may ask.\nMETHODS: dict[str, dict[str, Any]] = {\n");
    for (const yard_method_t *const *method = yard_methods (); *method; method++) {
        char name [YARD_METHOD_NAME_MAX];
        yard_method_name (*method, name);
        yard_buffer_printf (ret, "    \"%s\": {\n        \"ask\": \"%s\",\n        \"answer\": \"%s\",\n",
                            name, (*method)->ask ()->name, (*method)->answer ()->name);
        yard_buffer_printf (
            ret, "        \"deadline_ms\": %lld,\n        \"routing\": \"%s\",\n        \"roles\": [",
            (long long) (*method)->deadline_ms, protogen_routing (*method));
        protogen_roles (*method, ret, "\"", "\"");
        yard_buffer_text (ret, "],\n    },\n");
    }
    yard_buffer_text (ret, "}\n");
}

static void say_events (yard_buffer_t *ret)
{
    yard_buffer_text (ret,
                      "\n# Event -> name of its body's record, and what the second word of the topic is.\n"
                      "EVENTS: dict[str, dict[str, str]] = {\n");
    for (const yard_event_t *const *event = yard_events (); *event; event++)
        yard_buffer_printf (ret, "    \"%s\": {\"body\": \"%s\", \"subject\": \"%s\"},\n", (*event)->name,
                            (*event)->body ()->name, (*event)->subject);
    yard_buffer_text (ret, "}\n");
}

static void say_errors (yard_buffer_t *ret)
{
    static const yard_error_row_t rows [] = {
#define ERROR(id, word, http, exit, doc) { word, http, exit, doc },
#include "actors/ground/errors.def"
#undef ERROR
    };
    yard_buffer_text (ret,
                      "\n# A failure's word -> HTTP status, the command line's exit code, what it means.\n"
                      "ERRORS: dict[str, tuple[int, int, str]] = {\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        yard_buffer_printf (ret, "    \"%s\": (%d, %d, \"%s\"),\n", rows [i].word, rows [i].http,
                            rows [i].exit, rows [i].doc);
    yard_buffer_text (ret, "}\n");
}

void protogen_python (yard_buffer_t *ret)
{
    size_t count;
    const protogen_row_t *rows = protogen_rows (&count);
    yard_buffer_text (
        ret, "# SPDX-License-Identifier: Apache-2.0\n"
             "\"\"\"What is said in the yard: written by protogen from proto/*.def, so change those.\"\"\"\n"
             "from typing import Any, Literal, NotRequired, TypedDict\n");
    yard_buffer_printf (ret, "\nPROTOCOL = 1\nMESSAGE_MAX = %d\n", YARD_MESSAGE_MAX);
    for (size_t i = 0; i < count; i++) {
        if (rows [i].type && rows [i].type->kind == YARD_WIRE_ENUM)
            say_enum (ret, rows [i].type);
        else if (rows [i].type)
            say_record (ret, rows [i].type);
    }
    say_methods (ret);
    say_events (ret);
    say_errors (ret);
}
