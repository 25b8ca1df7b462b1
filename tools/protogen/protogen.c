// SPDX-License-Identifier: Apache-2.0
/*  protogen.c - writes MESSAGES.md, schema/<type>.json and python/modelyard/messages.py below one folder, and
 *  modelyard.yaml into another
 *
 *      protogen proto deploy
 *
 *  Promises: the same rows give the same bytes; a schema whose type is gone is removed, so the folder holds
 *  what is said now and no more.
 */
#include "protogen.h"

#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include "actors/ground/durable.h"
#include "proto/configuration.h"

#define PAGE_MAX (8 * 1024 * 1024) /* MESSAGES.md has some 100 KiB */

static void give_up (const char *what, const char *why)
{
    fprintf (stderr, "protogen: %s: %s\n", what, why);
    exit (EXIT_FAILURE);
}

static void make_folder (const char *path)
{
    yard_error_t error;
    if (yard_durable_mkdir (path, 0755, &error))
        give_up (path, error.text);
}

static void write_page (const char *folder, const char *name, yard_buffer_t *page)
{
    char path [PATH_MAX];
    yard_error_t error;
    if (yard_path_join (path, folder, name, &error) ||
        yard_durable_write (path, page->data, page->size, 0644, &error))
        give_up (name, error.text);
    if (page->overflow)
        give_up (name, "is larger than a page may be");
    yard_buffer_clear (page);
}

/*  The engine's schema is one line; people read differences of many short ones. */
static void write_schema (const char *folder, const yard_wire_type_t *type)
{
    yard_buffer_t page;
    char name [NAME_MAX];
    json_error_t place;
    yard_buffer_init (&page, PAGE_MAX);
    yard_wire_schema (type, &page);
    json_t *tree = json_loadb (page.data, page.size, JSON_REJECT_DUPLICATES, &place);
    char *text = tree ? json_dumps (tree, JSON_INDENT (2) | JSON_PRESERVE_ORDER) : NULL;
    if (!text)
        give_up (type->name, place.text);
    yard_buffer_reset (&page);
    yard_buffer_printf (&page, "%s\n", text);
    free (text);
    json_decref (tree);
    snprintf (name, sizeof name, "schema/%s.json", type->name);
    write_page (folder, name, &page);
}

/*  Records that travel or lie somewhere by themselves: asks, answers, bodies of events, the configuration,
 *  the frames of bus.def, the manifest. The parts of others stand inside these. */
static bool stands_alone (const yard_wire_type_t *type)
{
    static yard_wire_type_fn *const others [] = {
        configuration_type, hello_type,         welcome_type,  meta_type, from_type,
        failure_type,       pong_type,          credit_type,   bye_type,  stamp_type,
        attach_hello_type,  attach_answer_type, manifest_type,
    };
    for (size_t i = 0; i < sizeof others / sizeof others [0]; i++)
        if (others [i]() == type)
            return true;
    for (const yard_method_t *const *method = yard_methods (); *method; method++)
        if ((*method)->ask () == type || (*method)->answer () == type)
            return true;
    for (const yard_event_t *const *event = yard_events (); *event; event++)
        if ((*event)->body () == type)
            return true;
    return false;
}

/*  Removes schema/x.json where no type x stands alone any more. */
static void remove_old_schemas (const char *folder)
{
    DIR *schemas = opendir (folder);
    if (!schemas)
        give_up (folder, "cannot be read");
    for (struct dirent *entry; (entry = readdir (schemas)) != NULL;) {
        size_t size = strlen (entry->d_name);
        bool known = false;
        if (size < 6 || strcmp (entry->d_name + size - 5, ".json") != 0)
            continue;
        for (const yard_wire_type_t *const *type = yard_types (); *type; type++)
            known = known || (stands_alone (*type) && strlen ((*type)->name) == size - 5 &&
                              memcmp ((*type)->name, entry->d_name, size - 5) == 0);
        if (!known && unlinkat (dirfd (schemas), entry->d_name, 0) != 0)
            give_up (entry->d_name, "cannot be removed");
    }
    closedir (schemas);
}

int main (int argc, char **argv)
{
    char path [PATH_MAX];
    yard_buffer_t page;
    if (argc != 3) {
        fprintf (stderr, "usage: protogen PROTO DEPLOY\nwrites MESSAGES.md, schema/ and "
                         "python/modelyard/messages.py into PROTO, modelyard.yaml into DEPLOY\n");
        return 2;
    }
    snprintf (path, sizeof path, "%s/python/modelyard", argv [1]);
    make_folder (path);
    snprintf (path, sizeof path, "%s/schema", argv [1]);
    make_folder (path);
    remove_old_schemas (path);
    yard_buffer_init (&page, PAGE_MAX);
    protogen_markdown (&page);
    write_page (argv [1], "MESSAGES.md", &page);
    protogen_python (&page);
    write_page (argv [1], "python/modelyard/messages.py", &page);
    protogen_yaml (&page);
    write_page (argv [2], "modelyard.yaml", &page);
    for (const yard_wire_type_t *const *type = yard_types (); *type; type++)
        if (stands_alone (*type))
            write_schema (argv [1], *type);
    return 0;
}
