// SPDX-License-Identifier: Apache-2.0
/*  load_name.c - texts side by side
 */
#include "actors/loader/load_name.h"

static bool append (loader_load_name_t *self, yard_string_t part)
{
    if (part.size >= sizeof self->bytes - self->size)
        return false;
    memcpy (self->bytes + self->size, part.data, part.size);
    self->size += part.size;
    self->bytes [self->size++] = 0;
    return true;
}

bool loader_load_name_write (loader_load_name_t *self, const loader_wish_t *wish, uint64_t serial)
{
    const model_config_t *config = wish->config;
    char form [LOADER_FORM_SIZE];
    self->size = 0;
    snprintf (form, sizeof form, "%d %s %d %d %d%s %s", (int) wish->form, wish->kind ? wish->kind->name : "",
              (int) config->base, (int) config->type, (int) config->format, wish->variant_soft ? " soft" : "",
              wish->slices ? wish->slices->name : "");
    bool fits = append (self, config->key) && append (self, wish->submodel) && append (self, wish->variant) &&
                append (self, yard_string (form)) && append (self, config->path);
    self->plain = self->size;
    snprintf (form, sizeof form, "%llu", (unsigned long long) serial);
    return fits && (!wish->look_only || append (self, yard_string (form)));
}

void loader_load_name_hide (loader_load_name_t *self, uint64_t serial)
{
    int size = snprintf (self->bytes, sizeof self->bytes, "cancelled %llu%c", (unsigned long long) serial, 0);
    self->bytes [size] = 0; /* an empty part */
    self->size = (size_t) size + 1;
}

const char *loader_load_name_part (const char *name)
{
    return name + strlen (name) + 1;
}
