// SPDX-License-Identifier: Apache-2.0
/*  source_yaml.c - items out of YAML text, by way of libyaml's document
 *
 *  Promises: what a plain word means is decided by the field it stands in, so a name 1.10 or no stays text; a
 *  quoted word is always text. Texts are copied into the arena. Refuses: anchors and aliases (they multiply),
 *  tags, a second document, nesting deeper than YARD_SOURCE_DEPTH_MAX, more than YARD_TEXT_SOURCE_MAX bytes.
 *  The text is looked through for these before a document is built of it.
 */
#include <yaml.h>
#include "base64.h"
#include "source.h"

typedef struct {
    const yaml_node_t *of;
    size_t index; /* the next entry */
} level_t;

typedef struct {
    yard_source_t base;
    yaml_document_t document;
    yaml_node_t *value, *last; /* the root or the value of the last key; the item given last, for its line */
    level_t levels [YARD_SOURCE_DEPTH_MAX];
    size_t depth;
} yaml_source_t;

static bool broken (yard_source_t *self, const char *problem)
{
    self->problem = problem;
    return false;
}

static bool enter (yaml_source_t *self, yard_item_t *ret)
{
    const yaml_node_t *of = self->last;
    if (self->depth == YARD_SOURCE_DEPTH_MAX)
        return broken (&self->base, "is nested too deep");
    self->levels [self->depth++] = (level_t){ .of = of };
    *ret = (yard_item_t){ .kind = of->type == YAML_MAPPING_NODE ? YARD_ITEM_MAP : YARD_ITEM_LIST };
    ret->count = of->type == YAML_MAPPING_NODE
                     ? (size_t) (of->data.mapping.pairs.top - of->data.mapping.pairs.start)
                     : (size_t) (of->data.sequence.items.top - of->data.sequence.items.start);
    return true;
}

static bool scalar (yaml_source_t *self, yard_wire_kind_t wanted, yard_item_t *ret)
{
    const yaml_node_t *from = self->last;
    yard_string_t word = { (const char *) from->data.scalar.value, from->data.scalar.length };
    bool plain = from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    *ret = (yard_item_t){ .kind = YARD_ITEM_NOTHING };
    if (plain && (word.size == 0 || yard_string_is (word, "~") || yard_string_is (word, "null")))
        return true;
    if (wanted == YARD_WIRE_BINARY) {
        ret->kind = YARD_ITEM_BYTES;
        return yard_base64_read (word, self->base.arena, &ret->text) ||
               broken (&self->base, "must be base64 text");
    }
    yard_source_plain (word, plain ? wanted : YARD_WIRE_STRING, ret);
    if (ret->kind != YARD_ITEM_TEXT)
        return true;
    ret->text = yard_arena_copy (self->base.arena, word);
    return ret->text.data || broken (&self->base, "does not fit into the memory of one request");
}

static bool next (yard_source_t *base, yard_wire_kind_t wanted, yard_item_t *ret)
{
    yaml_source_t *self = (yaml_source_t *) base;
    level_t *level = self->depth ? &self->levels [self->depth - 1] : NULL;
    if (level && level->of->type == YAML_SEQUENCE_NODE)
        self->last =
            yaml_document_get_node (&self->document, level->of->data.sequence.items.start [level->index++]);
    else
        self->last = self->value;
    if (!self->last) { /* an empty text */
        *ret = (yard_item_t){ .kind = YARD_ITEM_NOTHING };
        return true;
    }
    return self->last->type == YAML_SCALAR_NODE ? scalar (self, wanted, ret) : enter (self, ret);
}

static bool key (yard_source_t *base, yard_string_t *ret)
{
    yaml_source_t *self = (yaml_source_t *) base;
    level_t *level = &self->levels [self->depth - 1];
    const yaml_node_pair_t *pair = &level->of->data.mapping.pairs.start [level->index++];
    self->last = yaml_document_get_node (&self->document, pair->key);
    self->value = yaml_document_get_node (&self->document, pair->value);
    if (self->last->type != YAML_SCALAR_NODE)
        return broken (base, "has a key that is no text");
    *ret = yard_arena_copy (base->arena, (yard_string_t){ (const char *) self->last->data.scalar.value,
                                                          self->last->data.scalar.length });
    return ret->data || broken (base, "does not fit into the memory of one request");
}

static bool skip (yard_source_t *base)
{
    (void) base; /* the next key stands beside it */
    return true;
}

static void leave (yard_source_t *base)
{
    ((yaml_source_t *) base)->depth--;
}

static size_t line (const yard_source_t *base)
{
    const yaml_source_t *self = (const yaml_source_t *) base;
    return self->last ? self->last->start_mark.line + 1 : 0;
}

/*  --- before a document is built */
/*  What is wrong with one event, or NULL. */
static const char *objection (const yaml_event_t *event, size_t *depth, size_t *documents)
{
    const char *tags = "a tag; leave it out, the field's own type decides";
    const char *anchors = "an anchor or alias; write the value out";
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return ++*documents > 1 ? "a second document" : NULL;
    case YAML_ALIAS_EVENT:
        return anchors;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor ? anchors : event->data.scalar.tag ? tags : NULL;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        bool map = event->type == YAML_MAPPING_START_EVENT;
        if (map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor)
            return anchors;
        if (map ? event->data.mapping_start.tag : event->data.sequence_start.tag)
            return tags;
        return ++*depth > YARD_SOURCE_DEPTH_MAX ? "values nested too deep" : NULL;
    }
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        --*depth;
        return NULL;
    default:
        return NULL;
    }
}

static int look_through (const char *name, const char *text, size_t size, int code, yard_error_t *error)
{
    yaml_parser_t parser;
    yaml_event_t event;
    size_t depth = 0, documents = 0;
    int failed = 0;
    bool last = false;
    if (!yaml_parser_initialize (&parser))
        abort ();
    yaml_parser_set_input_string (&parser, (const unsigned char *) text, size);
    while (!failed && !last) {
        if (!yaml_parser_parse (&parser, &event)) {
            failed = yard_error (error, code, "%s: no YAML: %s (line %zu)", name,
                                 parser.problem ? parser.problem : "broken", parser.problem_mark.line + 1);
            break;
        }
        const char *problem = objection (&event, &depth, &documents);
        if (problem)
            failed =
                yard_error (error, code, "%s: has %s (line %zu)", name, problem, event.start_mark.line + 1);
        last = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete (&event);
    }
    yaml_parser_delete (&parser);
    return failed;
}

static int load (yaml_document_t *document, const char *name, const char *text, size_t size, int code,
                 yard_error_t *error)
{
    yaml_parser_t parser;
    int failed = look_through (name, text, size, code, error);
    if (failed)
        return failed;
    if (!yaml_parser_initialize (&parser))
        abort ();
    yaml_parser_set_input_string (&parser, (const unsigned char *) text, size);
    if (!yaml_parser_load (&parser, document))
        failed = yard_error (error, code, "%s: no YAML: %s (line %zu)", name,
                             parser.problem ? parser.problem : "broken", parser.problem_mark.line + 1);
    yaml_parser_delete (&parser);
    return failed;
}

int yard_wire_from_yaml (const yard_wire_type_t *type, const char *text, size_t size,
                         yard_wire_reader_t reader, yard_arena_t *arena, void *ret_value, yard_error_t *error)
{
    static const yard_source_class_t class = {
        .next = next, .key = key, .skip = skip, .leave = leave, .line = line
    };
    yaml_source_t self = { .base = { .class = &class, .arena = arena } };
    int code = reader == YARD_WIRE_CONFIG ? YARD_INVALID_CONFIG : YARD_INVALID_MESSAGE;
    memset (ret_value, 0, type->size);
    if (size > YARD_TEXT_SOURCE_MAX)
        return yard_error (error, YARD_TOO_LARGE, "%s: the YAML has %zu bytes, it may have %d", type->name,
                           size, YARD_TEXT_SOURCE_MAX);
    int failed = load (&self.document, type->name, text ? text : "", size, code, error);
    if (failed)
        return failed;
    self.value = yaml_document_get_root_node (&self.document);
    failed = yard_wire_read (&self.base, type, reader, arena, ret_value, error);
    yaml_document_delete (&self.document);
    return failed;
}
