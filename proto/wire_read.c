// SPDX-License-Identifier: Apache-2.0
/*  wire_read.c - the read walk: items of a source in, a value that keeps its type's rules out
 *
 *  Promises: every field of the value is written; the error names the field that broke a rule, what was
 *  expected and what came. Refuses: a name twice in one map, whoever reads; a secret's value in an error.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include "source.h"
#include "wire_hint.h"
#include "wire_place.h"

#define SEEN_MAX 64 /* fields of a record: one bit each; our largest has 27 */
#define WORD_SHOWN_MAX 60 /* bytes of a wrong word in an error */

typedef struct {
    yard_source_t *source;
    yard_wire_reader_t reader;
    yard_arena_t *arena;
    yard_error_t *error;
} walk_t;

static int read_value (walk_t *walk, yard_wire_spec_t spec, void *at, const yard_wire_place_t *place);

/*  In a configuration every failure is the configuration's, and says in which line it stands. */
static int refuse (walk_t *walk, int code, const yard_wire_place_t *place, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

static int refuse (walk_t *walk, int code, const yard_wire_place_t *place, const char *format, ...)
{
    char sentence [YARD_ERROR_TEXT_MAX], line [32] = "";
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (sentence, sizeof sentence, format, arguments);
    va_end (arguments);
    size_t number = walk->source->class->line ? walk->source->class->line (walk->source) : 0;
    if (number)
        snprintf (line, sizeof line, " (line %zu)", number);
    return yard_wire_refuse (walk->error, walk->reader == YARD_WIRE_CONFIG ? YARD_INVALID_CONFIG : code,
                             place, "%s%s", sentence, line);
}

static int refuse_full (walk_t *walk, const yard_wire_place_t *place)
{
    return refuse (walk, YARD_TOO_LARGE, place, "does not fit into the memory of one request");
}

static int refuse_kind (walk_t *walk, const char *expected, const yard_item_t *item,
                        const yard_wire_place_t *place)
{
    static const char *const found [] = {
        [YARD_ITEM_NOTHING] = "nothing",
        [YARD_ITEM_BOOLEAN] = "true or false",
        [YARD_ITEM_NEGATIVE] = "a negative number",
        [YARD_ITEM_NATURAL] = "a number",
        [YARD_ITEM_REAL] = "a fraction",
        [YARD_ITEM_TEXT] = "text",
        [YARD_ITEM_BYTES] = "bytes",
        [YARD_ITEM_LIST] = "a list",
        [YARD_ITEM_MAP] = "a map",
        [YARD_ITEM_OTHER] = "an extension",
    };
    return refuse (walk, YARD_INVALID_MESSAGE, place, "must be %s, got %s", expected, found [item->kind]);
}

static int read_item (walk_t *walk, yard_wire_kind_t wanted, yard_item_t *ret, const yard_wire_place_t *place)
{
    if (walk->source->class->next (walk->source, wanted, ret))
        return 0;
    return refuse (walk, YARD_INVALID_MESSAGE, place, "%s", walk->source->problem);
}

static int check_size (walk_t *walk, yard_wire_spec_t spec, size_t size, const char *unit,
                       const yard_wire_place_t *place)
{
    if (size > spec.high)
        return refuse (walk, YARD_TOO_LARGE, place, "may have at most %" PRIu64 " %s, got %zu", spec.high,
                       unit, size);
    if (size < (size_t) spec.low)
        return refuse (walk, YARD_INVALID_MESSAGE, place, "must have at least %" PRId64 " %s, got %zu",
                       spec.low, unit, size);
    return 0;
}

/*  --- scalars
 *  --------------------------------------------------------------------------------------------------------------------- */
static int put_bool (walk_t *walk, yard_wire_spec_t spec, const yard_item_t *item, void *at,
                     const yard_wire_place_t *place)
{
    (void) spec;
    if (item->kind != YARD_ITEM_BOOLEAN)
        return refuse_kind (walk, "true or false", item, place);
    *(bool *) at = item->boolean;
    return 0;
}

static int put_int (walk_t *walk, yard_wire_spec_t spec, const yard_item_t *item, void *at,
                    const yard_wire_place_t *place)
{
    int64_t value;
    bool fits;
    if (item->kind == YARD_ITEM_NATURAL) {
        fits = item->natural <= spec.high && item->natural <= INT64_MAX;
        value = fits ? (int64_t) item->natural : 0;
        fits = fits && value >= spec.low;
    } else if (item->kind == YARD_ITEM_NEGATIVE) {
        value = item->integer;
        fits = value >= spec.low;
    } else {
        return refuse_kind (walk, "a whole number", item, place);
    }
    if (!fits)
        return refuse (walk, YARD_INVALID_MESSAGE, place, "must be %" PRId64 " to %" PRIu64, spec.low,
                       spec.high);
    *(int64_t *) at = value;
    return 0;
}

static int put_uint (walk_t *walk, yard_wire_spec_t spec, const yard_item_t *item, void *at,
                     const yard_wire_place_t *place)
{
    if (item->kind != YARD_ITEM_NATURAL)
        return refuse_kind (walk, "a number, 0 or more", item, place);
    if (item->natural > spec.high || item->natural < (uint64_t) spec.low)
        return refuse (walk, YARD_INVALID_MESSAGE, place, "must be %" PRId64 " to %" PRIu64 ", got %" PRIu64,
                       spec.low, spec.high, item->natural);
    *(uint64_t *) at = item->natural;
    return 0;
}

static int put_double (walk_t *walk, yard_wire_spec_t spec, const yard_item_t *item, void *at,
                       const yard_wire_place_t *place)
{
    double value;
    if (item->kind == YARD_ITEM_REAL)
        value = item->real;
    else if (item->kind == YARD_ITEM_NATURAL)
        value = (double) item->natural;
    else if (item->kind == YARD_ITEM_NEGATIVE)
        value = (double) item->integer;
    else
        return refuse_kind (walk, "a number", item, place);
    /* Written so that a NaN fails too. */
    if (!(value >= (double) spec.low && value <= (double) spec.high))
        return refuse (walk, YARD_INVALID_MESSAGE, place, "must be %" PRId64 " to %" PRIu64 ", got %g",
                       spec.low, spec.high, value);
    *(double *) at = value;
    return 0;
}

static int put_text (walk_t *walk, yard_wire_spec_t spec, const yard_item_t *item, void *at,
                     const yard_wire_place_t *place)
{
    bool bytes = spec.kind == YARD_WIRE_BINARY;
    if (item->kind != (bytes ? YARD_ITEM_BYTES : YARD_ITEM_TEXT))
        return refuse_kind (walk, bytes ? "bytes" : "text", item, place);
    int failed = check_size (walk, spec, item->text.size, "bytes", place);
    if (failed)
        return failed;
    if (!bytes && !yard_wire_is_text (item->text))
        return refuse (walk, YARD_INVALID_MESSAGE, place, "is not UTF-8, or has a 0 byte");
    *(yard_string_t *) at = item->text;
    return 0;
}

/*  An unknown word is a newer yard's in what we are told, and a mistake in what we are asked. */
static int put_enum (walk_t *walk, yard_wire_spec_t spec, const yard_item_t *item, void *at,
                     const yard_wire_place_t *place)
{
    if (item->kind != YARD_ITEM_TEXT)
        return refuse_kind (walk, "one of its words", item, place);
    int value = yard_wire_value (spec.type, item->text);
    if (value == 0 && walk->reader != YARD_WIRE_ANSWER) {
        if (item->text.size > WORD_SHOWN_MAX || !yard_wire_is_text (item->text))
            return refuse (walk, YARD_INVALID_MESSAGE, place, "must be a word of %s, got %zu bytes",
                           spec.type->name, item->text.size);
        char words [YARD_ERROR_TEXT_MAX];
        yard_wire_list_words (spec.type, words, sizeof words);
        return refuse (walk, YARD_INVALID_MESSAGE, place, "must be one of %s; got %.*s", words,
                       YARD_VIEW (item->text));
    }
    memcpy (at, &value, sizeof value);
    return 0;
}

static int (*const put_scalar []) (walk_t *, yard_wire_spec_t, const yard_item_t *, void *,
                                   const yard_wire_place_t *) = {
    [YARD_WIRE_BOOL] = put_bool,     [YARD_WIRE_INT] = put_int,     [YARD_WIRE_UINT] = put_uint,
    [YARD_WIRE_DOUBLE] = put_double, [YARD_WIRE_STRING] = put_text, [YARD_WIRE_BINARY] = put_text,
    [YARD_WIRE_ENUM] = put_enum,     [YARD_WIRE_SECRET] = put_text,
};

/*  --- records, lists, maps
 *  ---------------------------------------------------------------------------------------------------------- */
/*  Fields come mostly in the order of their rows, so the search begins behind the last one found. SIZE_MAX:
 *  no such field. */
static size_t find_field (const yard_wire_type_t *type, yard_string_t name, size_t from)
{
    for (size_t i = 0; i < type->field_count; i++) {
        size_t at = from + i < type->field_count ? from + i : from + i - type->field_count;
        if (yard_string_is (name, type->fields [at].name))
            return at;
    }
    return SIZE_MAX;
}

static int refuse_unknown (walk_t *walk, const yard_wire_type_t *type, yard_string_t name,
                           const yard_wire_place_t *place)
{
    int shown = name.size > WORD_SHOWN_MAX || !yard_wire_is_text (name) ? 0 : (int) name.size;
    const char *nearest = yard_wire_nearest (type, name);
    if (nearest)
        return refuse (walk, YARD_INVALID_CONFIG, place, "has no key \"%.*s\"; did you mean %s?", shown,
                       name.data, nearest);
    return refuse (walk, YARD_INVALID_CONFIG, place, "has no key \"%.*s\"", shown, name.data);
}

static int read_field (walk_t *walk, const yard_wire_field_t *field, void *value,
                       const yard_wire_place_t *place)
{
    yard_wire_place_t here = { .parent = place, .name = field->name };
    yard_wire_set_has (value, field);
    return read_value (walk, yard_wire_spec (field), yard_wire_at (value, field), &here);
}

static int fill_missing (walk_t *walk, const yard_wire_type_t *type, uint64_t seen, void *value,
                         const yard_wire_place_t *place)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        yard_wire_place_t here = { .parent = place, .name = field->name };
        if (seen & (uint64_t) 1 << i)
            continue;
        if (field->presence == YARD_WIRE_REQUIRED)
            return refuse (walk, YARD_INVALID_MESSAGE, &here, "is missing");
        if (field->presence == YARD_WIRE_DEFAULT)
            yard_wire_set_default (field, value);
    }
    return 0;
}

/*  value is zeroed by the caller. */
static int read_record (walk_t *walk, const yard_wire_type_t *type, size_t count, void *value,
                        const yard_wire_place_t *place)
{
    uint64_t seen = 0;
    size_t expected = 0;
    int failed = 0;
    assert (type->field_count <= SEEN_MAX);
    for (size_t i = 0; !failed && i < count; i++) {
        yard_string_t name;
        if (!walk->source->class->key (walk->source, &name))
            return refuse (walk, YARD_INVALID_MESSAGE, place, "%s", walk->source->problem);
        size_t at = find_field (type, name, expected);
        if (at == SIZE_MAX && walk->reader == YARD_WIRE_CONFIG)
            return refuse_unknown (walk, type, name, place);
        if (at == SIZE_MAX) {
            if (!walk->source->class->skip (walk->source))
                return refuse (walk, YARD_INVALID_MESSAGE, place, "%s", walk->source->problem);
            continue;
        }
        if (seen & (uint64_t) 1 << at)
            return refuse (walk, YARD_INVALID_MESSAGE, place, "has %s twice", type->fields [at].name);
        seen |= (uint64_t) 1 << at;
        expected = at + 1;
        failed = read_field (walk, &type->fields [at], value, place);
    }
    if (failed)
        return failed;
    walk->source->class->leave (walk->source);
    return fill_missing (walk, type, seen, value, place);
}

/*  Memory: the source has promised that count elements can be there, and high bounds what one list may ask
 *  for. */
static int read_list (walk_t *walk, yard_wire_spec_t spec, size_t count, void *at,
                      const yard_wire_place_t *place)
{
    yard_list_t list = { NULL, count };
    int failed = check_size (walk, spec, count, "entries", place);
    if (failed)
        return failed;
    if (count) {
        list.items = yard_arena_alloc (walk->arena, count * spec.type->size);
        if (!list.items)
            return refuse_full (walk, place);
    }
    for (size_t i = 0; !failed && i < count; i++) {
        yard_wire_place_t here = { .parent = place, .index = i };
        failed = read_value (walk, yard_wire_element (spec.type), (char *) list.items + i * spec.type->size,
                             &here);
    }
    if (failed)
        return failed;
    walk->source->class->leave (walk->source);
    memcpy (at, &list, sizeof list);
    return 0;
}

static int read_pair (walk_t *walk, yard_pair_t *pairs, size_t i, const yard_wire_place_t *place)
{
    const yard_wire_spec_t text = { .kind = YARD_WIRE_STRING, .high = YARD_TEXT_MAX };
    yard_wire_place_t here = { .parent = place, .index = i };
    if (!walk->source->class->key (walk->source, &pairs [i].key))
        return refuse (walk, YARD_INVALID_MESSAGE, &here, "%s", walk->source->problem);
    if (pairs [i].key.size > YARD_TEXT_MAX || !yard_wire_is_text (pairs [i].key))
        return refuse (walk, YARD_INVALID_MESSAGE, &here, "has a key that is no short text");
    for (size_t j = 0; j < i; j++)
        if (yard_string_equal (pairs [i].key, pairs [j].key))
            return refuse (walk, YARD_INVALID_MESSAGE, &here, "has the key of another entry");
    return read_value (walk, text, &pairs [i].value, &here);
}

static int read_map (walk_t *walk, yard_wire_spec_t spec, size_t count, void *at,
                     const yard_wire_place_t *place)
{
    yard_map_t map = { NULL, count };
    int failed = check_size (walk, spec, count, "entries", place);
    if (failed)
        return failed;
    if (count) {
        map.items = yard_arena_alloc (walk->arena, count * sizeof *map.items);
        if (!map.items)
            return refuse_full (walk, place);
    }
    for (size_t i = 0; !failed && i < count; i++)
        failed = read_pair (walk, map.items, i, place);
    if (failed)
        return failed;
    walk->source->class->leave (walk->source);
    memcpy (at, &map, sizeof map);
    return 0;
}

static int read_value (walk_t *walk, yard_wire_spec_t spec, void *at, const yard_wire_place_t *place)
{
    yard_item_t item;
    int failed = read_item (walk, spec.kind, &item, place);
    if (failed)
        return failed;
    bool record = spec.kind == YARD_WIRE_RECORD;
    if (spec.kind == YARD_WIRE_LIST && item.kind == YARD_ITEM_LIST)
        return read_list (walk, spec, item.count, at, place);
    if (spec.kind == YARD_WIRE_LIST)
        return refuse_kind (walk, "a list", &item, place);
    if (!record && spec.kind != YARD_WIRE_MAP)
        return put_scalar [spec.kind](walk, spec, &item, at, place);
    /* In a configuration "bus:" with all its keys commented out is nothing, and means an empty map. */
    if (item.kind == YARD_ITEM_NOTHING && record && walk->reader == YARD_WIRE_CONFIG)
        return fill_missing (walk, spec.type, 0, at, place);
    if (item.kind != YARD_ITEM_MAP)
        return refuse_kind (walk, "a map", &item, place);
    return record ? read_record (walk, spec.type, item.count, at, place)
                  : read_map (walk, spec, item.count, at, place);
}

int yard_wire_read (yard_source_t *source, const yard_wire_type_t *type, yard_wire_reader_t reader,
                    yard_arena_t *arena, void *ret_value, yard_error_t *error)
{
    walk_t walk = { source, reader, arena, error };
    memset (ret_value, 0, type->size);
    int failed = read_value (&walk, (yard_wire_spec_t){ .kind = type->kind, .type = type }, ret_value, NULL);
    if (failed)
        memset (ret_value, 0, type->size);
    return failed;
}

/*  --- one word of a command line */
typedef struct {
    yard_source_t base;
    yard_string_t word;
} word_source_t;

static bool next_word (yard_source_t *self, yard_wire_kind_t wanted, yard_item_t *ret)
{
    yard_source_plain (((word_source_t *) self)->word, wanted, ret);
    return true;
}

int yard_wire_set (const yard_wire_type_t *type, yard_string_t path, yard_string_t word, yard_arena_t *arena,
                   void *value, yard_error_t *error)
{
    static const yard_source_class_t class = { .next = next_word };
    word_source_t source = { .base = { .class = &class }, .word = word };
    walk_t walk = { &source.base, YARD_WIRE_CONFIG, arena, error };
    yard_wire_place_t places [YARD_DEPTH_MAX];
    for (size_t depth = 0; depth < YARD_DEPTH_MAX; depth++) {
        const yard_wire_place_t *parent = depth ? &places [depth - 1] : NULL;
        const char *dot = memchr (path.data, '.', path.size);
        yard_string_t name = { path.data, dot ? (size_t) (dot - path.data) : path.size };
        size_t at = find_field (type, name, 0);
        if (at == SIZE_MAX)
            return refuse_unknown (&walk, type, name, parent);
        const yard_wire_field_t *field = &type->fields [at];
        places [depth] = (yard_wire_place_t){ .parent = parent, .name = field->name };
        if (!dot && field->kind != YARD_WIRE_RECORD)
            return read_field (&walk, field, value, parent);
        if (!dot || field->kind != YARD_WIRE_RECORD)
            return refuse (&walk, YARD_INVALID_CONFIG, &places [depth], "%s",
                           dot ? "has no keys below it"
                               : "is a group of keys: name one of them behind a dot");
        value = yard_wire_at (value, field);
        type = field->type ();
        path = (yard_string_t){ dot + 1, path.size - name.size - 1 };
    }
    return refuse (&walk, YARD_INVALID_CONFIG, NULL, "has no key so deep");
}
