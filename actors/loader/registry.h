// SPDX-License-Identifier: Apache-2.0
/*  registry.h - which loader opens which kind of model (REQUIREMENTS R6.6)
 *
 *  A loader is one small file that names the triples (base, type, format) it serves; adding one is adding a
 *  file and a row in loaders.c. Found exactly first, then by base `any`. Two loaders for one triple are an
 *  error at start: nobody could say which would run.
 */
#ifndef LOADER_REGISTRY_H
#define LOADER_REGISTRY_H

#include "actors/ground/error.h"
#include "actors/loader/opening.h"
#include "proto/messages.h"

typedef struct {
    base_model_t base; /* base_model_any: every base without a row of its own */
    model_type_t type;
    model_format_t format;
} loader_triple_t;

typedef struct {
    const char *name; /* for logs and sentences */
    const loader_triple_t *serves;
    size_t count;
    /*  Makes opening->model, on a pool thread; the rules are in opening.h. */
    int (*open) (loader_opening_t *opening);
} loader_kind_t;

typedef struct loader_registry_t loader_registry_t;

/*  kinds ends with NULL and is borrowed. YARD_INTERNAL names a triple that stands there twice. */
int loader_registry_new (const loader_kind_t *const *kinds, loader_registry_t **ret, yard_error_t *error);
void loader_registry_destroy (loader_registry_t **self_p);

/*  YARD_NOT_IMPLEMENTED when nobody serves it. */
int loader_registry_find (const loader_registry_t *self, base_model_t base, model_type_t type,
                          model_format_t format, const loader_kind_t **ret, yard_error_t *error);

/*  All loaders of this build, ends with NULL (loaders.c). */
extern const loader_kind_t *const loader_kinds [];

#endif
