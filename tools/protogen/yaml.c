// SPDX-License-Identifier: Apache-2.0
/*  yaml.c - modelyard.yaml: every key of config.def with its default, its bounds and its meaning
 *
 *  Promises: the page as it stands changes nothing, since every line is a comment; with the first # of every
 *  line removed it is a configuration equal to the defaults. So words of explanation begin with ##.
 */
#include <inttypes.h>
#include "protogen.h"

static const char preamble [] =
    "## modelyard.yaml - the configuration of a yard, with every key at its default.\n"
    "##\n"
    "## It is read from the yard's home directory: $MODELYARD_HOME, else ~/.local/share/modelyard; the units "
    "of\n"
    "## systemd find it in /etc/modelyard. To change a key, remove the first # of its line, and of the "
    "section\n"
    "## that it stands in. An unknown key is refused. Over this file go MODELYARD_SET (key=value,key=value) "
    "and\n"
    "## --set key=value, where a key in a section is dotted: download.max_parallel=8.\n";

/*  What may stand there, in the words of a person: nothing for sections, whose keys speak for themselves. */
static void say_bounds (yard_buffer_t *ret, const yard_wire_field_t *field)
{
    switch (field->kind) {
    case YARD_WIRE_BOOL:
        yard_buffer_text (ret, " (true or false)");
        break;
    case YARD_WIRE_ENUM:
        for (size_t i = 0; i < field->type ()->value_count; i++)
            yard_buffer_printf (ret, "%s%s", i ? ", " : " (one of ", field->type ()->values [i].word);
        yard_buffer_text (ret, ")");
        break;
    case YARD_WIRE_INT:
    case YARD_WIRE_UINT:
        yard_buffer_printf (ret, " (%" PRId64 " to %" PRIu64 ")", field->low, field->high);
        break;
    case YARD_WIRE_STRING:
        yard_buffer_printf (ret, " (%" PRId64 " to %" PRIu64 " bytes)", field->low, field->high);
        break;
    default:
        break;
    }
}

static void say_key (yard_buffer_t *ret, const yard_wire_field_t *field, const char *indent)
{
    const char *value = field->fallback;
    if (field->kind == YARD_WIRE_BOOL) /* false may have become 0: it is a macro of stdbool.h */
        value = strchr ("1t", value [0]) ? "true" : "false";
    yard_buffer_printf (ret, "##%s %s", indent, field->doc);
    say_bounds (ret, field);
    yard_buffer_printf (ret, "\n#%s%s:%s%s\n", indent, field->name, *value ? " " : "", value);
}

/*  One level of sections: the configuration has no deeper one, and a list of another kind than these would
 *  need a syntax of its own. */
static void check (const yard_wire_field_t *field, bool inside)
{
    static const yard_wire_kind_t known [] = { YARD_WIRE_BOOL,   YARD_WIRE_INT,  YARD_WIRE_UINT,
                                               YARD_WIRE_STRING, YARD_WIRE_ENUM, YARD_WIRE_RECORD };
    for (size_t i = 0; i < sizeof known / sizeof known [0]; i++)
        if (field->presence == YARD_WIRE_DEFAULT && field->kind == known [i] &&
            !(inside && field->kind == YARD_WIRE_RECORD))
            return;
    fprintf (stderr, "protogen: config.def: %s is of a kind that yaml.c cannot write yet\n", field->name);
    exit (EXIT_FAILURE);
}

void protogen_yaml (yard_buffer_t *ret)
{
    const yard_wire_type_t *whole = configuration_type ();
    yard_buffer_text (ret, preamble);
    for (size_t i = 0; i < whole->field_count; i++) {
        const yard_wire_field_t *field = &whole->fields [i];
        check (field, false);
        yard_buffer_text (ret, "\n");
        say_key (ret, field, "");
        if (field->kind != YARD_WIRE_RECORD)
            continue;
        const yard_wire_type_t *section = field->type ();
        for (size_t k = 0; k < section->field_count; k++) {
            check (&section->fields [k], true);
            say_key (ret, &section->fields [k], "  ");
        }
    }
}
