// SPDX-License-Identifier: Apache-2.0
/*  messages.c - the rows of conversations.def as tables, and the lists of all methods, events and types
 *
 *  The second pass over the rows. A field table sits inside its type's function, where self_t is the record's
 *  own struct: that is how offsetof works without naming the record in every row.
 */
#include "messages.h"

/* clang-format off: macros that read as the rows they expand */
#define YARD_KIND_BOOL .kind = YARD_WIRE_BOOL
#define YARD_KIND_INT .kind = YARD_WIRE_INT
#define YARD_KIND_UINT .kind = YARD_WIRE_UINT
#define YARD_KIND_DOUBLE .kind = YARD_WIRE_DOUBLE
#define YARD_KIND_STRING .kind = YARD_WIRE_STRING
#define YARD_KIND_BINARY .kind = YARD_WIRE_BINARY
#define YARD_KIND_SECRET .kind = YARD_WIRE_SECRET
#define YARD_KIND_MAP .kind = YARD_WIRE_MAP
#define YARD_KIND_ENUM(x) .kind = YARD_WIRE_ENUM, .type = x##_type
#define YARD_KIND_RECORD(x) .kind = YARD_WIRE_RECORD, .type = x##_type
#define YARD_KIND_LIST(x) .kind = YARD_WIRE_LIST, .type = x##_type

#define YARD_PRESENCE_REQUIRED(field) .presence = YARD_WIRE_REQUIRED
#define YARD_PRESENCE_OPTIONAL(field) \
    .presence = YARD_WIRE_OPTIONAL, .has_offset = offsetof (self_t, has_##field)
#define YARD_PRESENCE_DEFAULT_IS(value) .presence = YARD_WIRE_DEFAULT, .fallback = #value
#define YARD_PRESENCE_IGNORE(field)
#define YARD_PRESENCE_DEFAULT(value) YARD_PRESENCE_DEFAULT_IS (value) YARD_PRESENCE_IGNORE

#define ENUM(enumeration, doc_text) \
    const yard_wire_type_t *enumeration##_type (void) \
    { \
        static const char name_text [] = #enumeration, about [] = doc_text; \
        static const yard_wire_value_t values [] = {
#define VALUE(set, id, word_text) { .word = word_text, .value = set##_##id },
#define END_ENUM(enumeration) \
    } \
    ; \
    static const yard_wire_type_t type = { .name = name_text, \
                                           .doc = about, \
                                           .kind = YARD_WIRE_ENUM, \
                                           .size = sizeof (enumeration##_t), \
                                           .values = values, \
                                           .value_count = sizeof values / sizeof values [0] }; \
    return &type; \
    }
#define RECORD(record, doc_text) \
    const yard_wire_type_t *record##_type (void) \
    { \
        typedef record##_t self_t; \
        static const char name_text [] = #record, about [] = doc_text; \
        static const yard_wire_field_t fields [] = {
#define FIELD(presence_word, kind_word, field, low_bound, high_bound, doc_text) \
    { .name = #field, \
      .doc = doc_text, \
      .low = low_bound, \
      .high = high_bound, \
      .offset = offsetof (self_t, field), \
      YARD_KIND_##kind_word, \
      YARD_PRESENCE_##presence_word (field) },
#define END(record) \
    } \
    ; \
    static const yard_wire_type_t type = { .name = name_text, \
                                           .doc = about, \
                                           .kind = YARD_WIRE_RECORD, \
                                           .size = sizeof (self_t), \
                                           .fields = fields, \
                                           .field_count = sizeof fields / sizeof fields [0] }; \
    return &type; \
    }
#define METHOD(name, ask_type, answer_type, role_set, routing_word, deadline, doc_text) \
    const yard_method_t name##_method = { .id = #name, \
                                          .ask = ask_type##_type, \
                                          .answer = answer_type##_type, \
                                          .roles = YARD_ROLES_##role_set, \
                                          .routing = YARD_ROUTING_##routing_word, \
                                          .deadline_ms = deadline, \
                                          .doc = doc_text };
#define EVENT(event, body_type, subject_word) \
    const yard_event_t event##_event = { .name = #event, .body = body_type##_type, .subject = #subject_word };
#include "conversations.def"
#undef ENUM
#undef VALUE
#undef END_ENUM
#undef RECORD
#undef FIELD
#undef END
#undef METHOD
#undef EVENT

#define VALUE(set, id, word)
#define END_ENUM(name)
#define FIELD(presence, kind, name, low, high, doc)
#define END(name)

const yard_method_t *const *yard_methods (void)
{
#define ENUM(name, doc)
#define RECORD(name, doc)
#define METHOD(name, ask, answer, roles, routing, deadline_ms, doc) &name##_method,
#define EVENT(name, body, subject)
    static const yard_method_t *const methods [] = {
#include "conversations.def"
        NULL
    };
#undef METHOD
#undef EVENT
    return methods;
}

const yard_event_t *const *yard_events (void)
{
#define METHOD(name, ask, answer, roles, routing, deadline_ms, doc)
#define EVENT(name, body, subject) &name##_event,
    static const yard_event_t *const events [] = {
#include "conversations.def"
        NULL
    };
#undef ENUM
#undef RECORD
#undef EVENT
    return events;
}

/*  Type functions are not constants, so the list is filled at the first call; two threads that race write the
 *  same pointers. */
const yard_wire_type_t *const *yard_types (void)
{
#define ENUM(name, doc) name##_type,
#define RECORD(name, doc) name##_type,
#define EVENT(name, body, subject)
    static yard_wire_type_fn *const functions [] = {
#include "conversations.def"
    };
    static const yard_wire_type_t *types [sizeof functions / sizeof functions [0] + 1];
    for (size_t i = 0; i < sizeof functions / sizeof functions [0]; i++)
        types [i] = functions [i]();
    return types;
}

/* clang-format on */

/*  The first _ of an id stands for the dot of the wire name. */
void yard_method_name (const yard_method_t *method, char *name)
{
    snprintf (name, YARD_METHOD_NAME_MAX, "%s", method->id);
    char *dot = strchr (name, '_');
    if (dot)
        *dot = '.';
}

/*  Compared in place, not written out first: each ask of an actor looks through all methods here. */
static bool name_is (const yard_method_t *method, yard_string_t name)
{
    size_t size = strlen (method->id), dot = strcspn (method->id, "_");
    if (name.size != size || memcmp (name.data, method->id, dot) != 0)
        return false;
    if (dot == size)
        return true;
    return name.data [dot] == '.' && memcmp (name.data + dot + 1, method->id + dot + 1, size - dot - 1) == 0;
}

const yard_method_t *yard_method_find (yard_string_t name)
{
    const char *at = name.size ? memchr (name.data, '@', name.size) : NULL;
    if (at)
        name.size = (size_t) (at - name.data);
    for (const yard_method_t *const *method = yard_methods (); *method; method++)
        if (name_is (*method, name))
            return *method;
    return NULL;
}

const yard_event_t *yard_event_find (yard_string_t name)
{
    for (const yard_event_t *const *event = yard_events (); *event; event++)
        if (yard_string_is (name, (*event)->name))
            return *event;
    return NULL;
}
