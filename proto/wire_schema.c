// SPDX-License-Identifier: Apache-2.0
/*  wire_schema.c - a type as JSON Schema (draft 2020-12), for tools that check or complete JSON
 *
 *  A schema counts characters where we count bytes, so its sizes are what every valid text keeps; the
 *  reader's bounds are narrower. Unknown fields are allowed, as on the wire.
 */
#include <inttypes.h>
#include "sink.h"
#include "wire_field.h"

static void describe (yard_buffer_t *ret, yard_wire_spec_t spec);

static void quoted (yard_buffer_t *ret, const char *before, const char *text)
{
    yard_buffer_text (ret, before);
    yard_json_text (ret, yard_string (text));
}

static void describe_number (yard_buffer_t *ret, yard_wire_spec_t spec)
{
    if (spec.kind == YARD_WIRE_DOUBLE)
        yard_buffer_text (ret, "\"type\":\"number\"");
    else if (spec.high > YARD_SAFE_INTEGER) /* written as digits beyond 2^53 - 1 (sink_json.c) */
        yard_buffer_text (ret, "\"type\":[\"integer\",\"string\"]");
    else
        yard_buffer_text (ret, "\"type\":\"integer\"");
    yard_buffer_printf (ret, ",\"minimum\":%" PRId64, spec.low);
    if (spec.high <= YARD_SAFE_INTEGER)
        yard_buffer_printf (ret, ",\"maximum\":%" PRIu64, spec.high);
}

static void describe_text (yard_buffer_t *ret, yard_wire_spec_t spec)
{
    yard_buffer_text (ret, "\"type\":\"string\"");
    if (spec.kind == YARD_WIRE_BINARY) {
        yard_buffer_text (ret, ",\"contentEncoding\":\"base64\"");
        return;
    }
    /* Texts of one fixed size are hex digits: there a byte is a character. */
    if (spec.low > 0)
        yard_buffer_printf (ret, ",\"minLength\":%" PRIu64, (uint64_t) spec.low == spec.high ? spec.high : 1);
    yard_buffer_printf (ret, ",\"maxLength\":%" PRIu64, spec.high);
    if (spec.kind == YARD_WIRE_SECRET)
        yard_buffer_text (ret, ",\"writeOnly\":true");
}

static void describe_list (yard_buffer_t *ret, yard_wire_spec_t spec)
{
    yard_buffer_printf (ret,
                        "\"type\":\"array\",\"minItems\":%" PRId64 ",\"maxItems\":%" PRIu64 ",\"items\":{",
                        spec.low, spec.high);
    describe (ret, yard_wire_element (spec.type));
    yard_buffer_text (ret, "}");
}

static void describe_enum (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    yard_buffer_text (ret, "\"enum\":[");
    for (size_t i = 0; i < type->value_count; i++)
        quoted (ret, i ? "," : "", type->values [i].word);
    yard_buffer_text (ret, "]");
}

/*  The row's text, as JSON. Lists, maps and records have no default of their own. */
static void describe_default (yard_buffer_t *ret, const yard_wire_field_t *field)
{
    switch (field->kind) {
    case YARD_WIRE_BOOL:
        yard_buffer_printf (ret, ",\"default\":%s", strchr ("1t", field->fallback [0]) ? "true" : "false");
        break;
    case YARD_WIRE_INT:
    case YARD_WIRE_UINT:
    case YARD_WIRE_DOUBLE:
    case YARD_WIRE_STRING:
        yard_buffer_printf (ret, ",\"default\":%s", field->fallback);
        break;
    case YARD_WIRE_ENUM:
        quoted (ret, ",\"default\":", field->fallback);
        break;
    default:
        break;
    }
}

static void describe_record (yard_buffer_t *ret, const yard_wire_type_t *type)
{
    const char *comma = "";
    yard_buffer_text (ret, "\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        quoted (ret, i ? "," : "", field->name);
        quoted (ret, ":{\"description\":", field->doc);
        yard_buffer_text (ret, ",");
        describe (ret, yard_wire_spec (field));
        if (field->presence == YARD_WIRE_DEFAULT)
            describe_default (ret, field);
        yard_buffer_text (ret, "}");
    }
    yard_buffer_text (ret, "},\"required\":[");
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields [i].presence == YARD_WIRE_REQUIRED) {
            quoted (ret, comma, type->fields [i].name);
            comma = ",";
        }
    yard_buffer_text (ret, "]");
}

static void describe (yard_buffer_t *ret, yard_wire_spec_t spec)
{
    switch (spec.kind) {
    case YARD_WIRE_BOOL:
        yard_buffer_text (ret, "\"type\":\"boolean\"");
        break;
    case YARD_WIRE_INT:
    case YARD_WIRE_UINT:
    case YARD_WIRE_DOUBLE:
        describe_number (ret, spec);
        break;
    case YARD_WIRE_STRING:
    case YARD_WIRE_BINARY:
    case YARD_WIRE_SECRET:
        describe_text (ret, spec);
        break;
    case YARD_WIRE_ENUM:
        describe_enum (ret, spec.type);
        break;
    case YARD_WIRE_RECORD:
        describe_record (ret, spec.type);
        break;
    case YARD_WIRE_LIST:
        describe_list (ret, spec);
        break;
    case YARD_WIRE_MAP:
        yard_buffer_printf (ret, "\"type\":\"object\",\"maxProperties\":%" PRIu64, spec.high);
        yard_buffer_text (ret, ",\"additionalProperties\":{\"type\":\"string\"}");
        break;
    }
}

void yard_wire_schema (const yard_wire_type_t *type, yard_buffer_t *ret)
{
    yard_buffer_text (ret, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"");
    quoted (ret, ",\"title\":", type->name);
    quoted (ret, ",\"description\":", type->doc);
    yard_buffer_text (ret, ",");
    describe (ret, (yard_wire_spec_t){ .kind = type->kind, .type = type, .high = YARD_TEXT_MAX });
    yard_buffer_text (ret, "}");
}
