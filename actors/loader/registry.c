// SPDX-License-Identifier: Apache-2.0
/*  registry.c - a table from triple to loader
 */
#include "actors/loader/registry.h"

#include "actors/ground/table.h"

struct loader_registry_t {
    yard_table_t *rows; /* loader_triple_t -> loader_kind_t */
};

static const loader_kind_t *look (const loader_registry_t *self, loader_triple_t triple)
{
    return yard_table_get (self->rows, &triple, sizeof triple);
}

static int twice (const loader_triple_t *triple, const char *first, const char *second, yard_error_t *error)
{
    return yard_error (error, YARD_INTERNAL,
                       "the loaders %s and %s both serve (%s, %s, %s); take the row out of one of them",
                       first, second, yard_wire_word (base_model_type (), (int) triple->base),
                       yard_wire_word (model_type_type (), (int) triple->type),
                       yard_wire_word (model_format_type (), (int) triple->format));
}

int loader_registry_new (const loader_kind_t *const *kinds, loader_registry_t **ret, yard_error_t *error)
{
    loader_registry_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->rows = yard_table_new ();
    for (; *kinds; kinds++)
        for (size_t at = 0; at < (*kinds)->count; at++) {
            const loader_triple_t *triple = &(*kinds)->serves [at];
            const loader_kind_t *other = look (self, *triple);
            if (other) {
                int rc = twice (triple, other->name, (*kinds)->name, error);
                loader_registry_destroy (&self);
                return rc;
            }
            /*  The table holds plain pointers; nobody writes through this one. */
            union {
                const loader_kind_t *kind;
                void *value;
            } row = { .kind = *kinds };
            yard_table_put (self->rows, triple, sizeof *triple, row.value);
        }
    *ret = self;
    return 0;
}

void loader_registry_destroy (loader_registry_t **self_p)
{
    if (!*self_p)
        return;
    yard_table_destroy (&(*self_p)->rows);
    free (*self_p);
    *self_p = NULL;
}

int loader_registry_find (const loader_registry_t *self, base_model_t base, model_type_t type,
                          model_format_t format, const loader_kind_t **ret, yard_error_t *error)
{
    const loader_kind_t *found = look (self, (loader_triple_t){ base, type, format });
    if (!found)
        found = look (self, (loader_triple_t){ base_model_any, type, format });
    if (!found)
        return yard_error (error, YARD_NOT_IMPLEMENTED,
                           "no loader for base %s, type %s, format %s; safetensors and GGUF files, diffusers "
                           "folders, and ONNX, LoRA, embedding and IP-Adapter folders are loaded: convert "
                           "the model, or correct its record",
                           yard_wire_word (base_model_type (), (int) base),
                           yard_wire_word (model_type_type (), (int) type),
                           yard_wire_word (model_format_type (), (int) format));
    *ret = found;
    return 0;
}
