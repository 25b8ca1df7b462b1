// SPDX-License-Identifier: Apache-2.0
/*  up_devices.c - which GPUs `up` starts a loader for
 */
#include "up_devices.h"

#include <strings.h>

#define SEPARATORS " ,\t\n"
#define WORD_MAX 64 /* of a device's name on the bus */

typedef struct {
    const device_list_t *list;
    up_devices_t *ret;
    up_devices_refused_fn *refused;
    void *argument;
} choice_t;

static void choose (const choice_t *self, size_t at, const char *word)
{
    const device_row_t *row = &self->list->rows [at];
    if (row->error.code)
        self->refused (self->argument, word, row->error.text);
    else
        self->ret->chosen [at] = true;
}

static void choose_word (const choice_t *self, const char *word)
{
    bool all = strcmp (word, "all") == 0;
    size_t found = 0;
    if (strcmp (word, "host") == 0)
        return;
    for (size_t i = 0; i < self->list->count && i < DEVICE_LIST_MAX; i++) {
        char name [32];
        snprintf (name, sizeof name, "cuda:%zu", i);
        if (!all && strcmp (word, name) != 0 && strcasecmp (word, self->list->rows [i].about.uuid) != 0)
            continue;
        found++;
        choose (self, i, name);
    }
    if (found == 0)
        self->refused (self->argument, word,
                       all ? "this machine shows no GPU; see `modelyard doctor`"
                           : "this machine shows no such GPU; `modelyard doctor` lists them");
}

void up_devices_choose (const char *setting, const device_list_t *list, up_devices_t *ret,
                        up_devices_refused_fn *refused, void *argument)
{
    *ret = (up_devices_t){ 0 };
    const choice_t self = { list, ret, refused, argument };
    for (const char *at = setting + strspn (setting, SEPARATORS); *at; at += strspn (at, SEPARATORS)) {
        char word [WORD_MAX + 1];
        size_t size = strcspn (at, SEPARATORS);
        snprintf (word, sizeof word, "%.*s", (int) (size < WORD_MAX ? size : WORD_MAX), at);
        choose_word (&self, word);
        at += size;
    }
}
