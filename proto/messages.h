// SPDX-License-Identifier: Apache-2.0
/*  messages.h - the structs, enums, methods and events that conversations.def lists
 *
 *  For RECORD (job) there is job_t and job_type (); for ENUM (job_kind) there is job_kind_t (job_kind_unset =
 *  0, job_kind_install …) and job_kind_type (); for METHOD (job_get, …) there are job_get_ask_t,
 *  job_get_answer_t and job_get_method; for EVENT (download_running, …) there is download_running_event.
 */
#ifndef YARD_PROTO_MESSAGES_H
#define YARD_PROTO_MESSAGES_H

#include "wire.h"

/*  Roles a peer may have, and the sets of them that a method admits. */
enum {
    YARD_ROLE_VIEWER = 1,
    YARD_ROLE_OPERATOR = 2,
    YARD_ROLE_WORKER = 4,
    YARD_ROLE_ADMIN = 8
};
#define YARD_ROLES_ANYONE (YARD_ROLE_VIEWER | YARD_ROLE_OPERATOR | YARD_ROLE_WORKER | YARD_ROLE_ADMIN)
#define YARD_ROLES_OPERATOR (YARD_ROLE_OPERATOR | YARD_ROLE_ADMIN)
#define YARD_ROLES_WORKER (YARD_ROLE_WORKER | YARD_ROLE_ADMIN)
#define YARD_ROLES_ADMIN (YARD_ROLE_ADMIN)

typedef enum {
    YARD_ROUTING_SINGLE,
    YARD_ROUTING_POOL,
    YARD_ROUTING_PLACED,
    YARD_ROUTING_BROKER
} yard_routing_t;

#define YARD_METHOD_NAME_MAX 64 /* bytes with the 0; our longest is 24 */

typedef struct {
    const char *id; /* "job_get"; on the wire the first _ is a dot: "job.get" */
    yard_wire_type_fn *ask, *answer;
    unsigned roles; /* set of YARD_ROLE_ */
    yard_routing_t routing;
    int64_t deadline_ms; /* 0 = none: lease, follow, wait, load */
    const char *doc;
} yard_method_t;

typedef struct {
    const char *name; /* "model_install_completed" */
    yard_wire_type_fn *body;
    const char *subject; /* what the topic's second word is: "job", "key", "actor" … */
} yard_event_t;

/*  All of them, in the order of conversations.def; each list ends with NULL. */
const yard_method_t *const *yard_methods (void);
const yard_event_t *const *yard_events (void);
const yard_wire_type_t *const *yard_types (void); /* records and enums */

/*  "job.get" into name [YARD_METHOD_NAME_MAX]; and back: NULL for an unknown name. A name with "@…" behind it
 *  is found too. */
void yard_method_name (const yard_method_t *method, char *name);
const yard_method_t *yard_method_find (yard_string_t name);
const yard_event_t *yard_event_find (yard_string_t name);

/* clang-format off: macros that read as the rows they expand */
/*  --- pass 1 of 2 over the rows: types and declarations */
#define YARD_C_BOOL bool
#define YARD_C_INT int64_t
#define YARD_C_UINT uint64_t
#define YARD_C_DOUBLE double
#define YARD_C_STRING yard_string_t
#define YARD_C_BINARY yard_string_t
#define YARD_C_SECRET yard_string_t
#define YARD_C_MAP yard_map_t
#define YARD_C_ENUM(x) x##_t
#define YARD_C_RECORD(x) x##_t
#define YARD_C_LIST(x) \
    struct { \
        x##_t *items; \
        size_t count; \
    }
#define YARD_HAS(name) bool has_##name;
#define YARD_HAS_NOT(name)
#define YARD_HAS_REQUIRED YARD_HAS_NOT
#define YARD_HAS_OPTIONAL YARD_HAS
#define YARD_HAS_DEFAULT(value) YARD_HAS_NOT

#define ENUM(name, doc) \
    const yard_wire_type_t *name##_type (void); \
    typedef enum { \
        name##_unset,
#define VALUE(set, id, word) set##_##id,
#define END_ENUM(name) \
    name##_count \
    } \
    name##_t;
#define RECORD(name, doc) \
    const yard_wire_type_t *name##_type (void); \
    typedef struct name##_t {
#define FIELD(presence, kind, name, low, high, doc) \
    YARD_C_##kind name; \
    YARD_HAS_##presence (name)
#define END(name) \
    } \
    name##_t;
#define METHOD(name, ask, answer, roles, routing, deadline_ms, doc) \
    typedef ask##_t name##_ask_t; \
    typedef answer##_t name##_answer_t; \
    extern const yard_method_t name##_method;
#define EVENT(name, body, subject) extern const yard_event_t name##_event;
#include "conversations.def"
#undef ENUM
#undef VALUE
#undef END_ENUM
#undef RECORD
#undef FIELD
#undef END
#undef METHOD
#undef EVENT

/* clang-format on */

#endif
