// SPDX-License-Identifier: Apache-2.0
/*  devices.c - `modelyard devices`: where models can be loaded, and GPUs of this machine that no loader serves
 *
 *  A loader that does not answer is a line, not a failure; so is a GPU that cannot be looked at. Why there are
 *  none is the doctor's to say.
 */
#include "commands.h"

#include "device_list.h"
#include "json_line.h"
#include "load_rows.h"
#include "text.h"

#define NOTE_COLUMN 10

enum {
    OPTION_NAMES = 0x200
};

static error_t parse_devices (int key, char *word, struct argp_state *state)
{
    bool *names = state->input;
    (void) word;
    switch (key) {
    case OPTION_NAMES:
        *names = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_usage (state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp devices_argp = {
    .options =
        (const struct argp_option []){ { .name = "names", .key = OPTION_NAMES, .doc = "Only their names" },
                                       { 0 } },
    .parser = parse_devices,
    .doc = "Lists where models can be loaded, and GPUs of this machine that no loader serves."
};

static const column_t columns [] = { { .heading = "DEVICE" },
                                     { .heading = "NODE" },
                                     { .heading = "NAME", .cut = true },
                                     { .heading = "MEMORY", .right = true },
                                     { .heading = "BUDGET", .right = true },
                                     { .heading = "HELD", .right = true },
                                     { .heading = "IDLE", .right = true },
                                     { .heading = "FREE", .right = true },
                                     { .heading = "MODELS", .right = true },
                                     { .heading = "LEASES", .right = true },
                                     { .heading = "NOTE", .cut = true } };

static void add_loader (rows_t *rows, const loader_seen_t *seen)
{
    const load_device_answer_t *about = &seen->about;
    char total [32], budget [32], held [32], idle [32], left [32], models [32], leases [32];
    bool silent = seen->described.code != 0;
    const char *none = "-";
    snprintf (models, sizeof models, "%llu", (unsigned long long) about->models);
    snprintf (leases, sizeof leases, "%llu", (unsigned long long) about->leases);
    const yard_string_t cells [] = {
        seen->device,
        seen->node,
        silent ? yard_string (none) : about->name,
        yard_string (silent ? none : text_size (total, sizeof total, about->total_bytes)),
        yard_string (silent ? none : text_size (budget, sizeof budget, about->budget_bytes)),
        yard_string (silent ? none : text_size (held, sizeof held, about->held_bytes)),
        yard_string (silent ? none : text_size (idle, sizeof idle, about->idle_bytes)),
        yard_string (silent ? none : text_size (left, sizeof left, about->free_bytes)),
        yard_string (silent ? none : models),
        yard_string (silent ? none : leases),
        yard_string (silent ? seen->described.text : ""),
    };
    rows_add (rows, cells);
}

static bool has_loader (const loaders_t *loaders, const char *uuid)
{
    for (size_t i = 0; i < loaders->count; i++)
        if (loaders->items [i].described.code == 0 && yard_string_is (loaders->items [i].about.uuid, uuid))
            return true;
    return false;
}

/*  A GPU whose loader is silent would be told twice, but for its number. */
static bool is_silent (const loaders_t *loaders, const char *device)
{
    for (size_t i = 0; i < loaders->count; i++)
        if (loaders->items [i].described.code && yard_string_is (loaders->items [i].device, device))
            return true;
    return false;
}

static void print_json_gpu (const char *device, const device_row_t *row)
{
    yard_buffer_t line;
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    yard_buffer_text (&line, "{\"place\":null,");
    json_line_text (&line, "device", yard_string (device));
    yard_buffer_text (&line, ",");
    json_line_text (&line, "name", yard_string (row->about.name));
    yard_buffer_text (&line, ",");
    json_line_text (&line, "uuid", yard_string (row->about.uuid));
    yard_buffer_text (&line, ",");
    json_line_text (&line, "pci", yard_string (row->about.pci));
    yard_buffer_printf (&line, ",\"total_bytes\":%llu}", (unsigned long long) row->about.bytes_total);
    invocation_json_line (&line);
    yard_buffer_clear (&line);
}

/*  GPUs of this machine that no loader serves. */
static void add_gpus (const invocation_t *self, rows_t *rows, const loaders_t *loaders,
                      const device_list_t *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const device_row_t *row = &list->rows [i];
        char device [32], size [32];
        snprintf (device, sizeof device, "cuda:%zu", i);
        if (has_loader (loaders, row->about.uuid) || is_silent (loaders, device))
            continue;
        if (self->json) {
            print_json_gpu (device, row);
            continue;
        }
        yard_string_t cells [sizeof columns / sizeof columns [0]];
        for (size_t cell = 0; cell < sizeof cells / sizeof cells [0]; cell++)
            cells [cell] = yard_string ("-");
        cells [0] = yard_string (device);
        cells [2] = yard_string (row->error.code ? row->error.text : row->about.name);
        cells [3] = yard_string (text_size (size, sizeof size, row->about.bytes_total));
        cells [NOTE_COLUMN] =
            yard_string ("no loader; start one with `modelyard up --set loader.devices=all`");
        rows_add (rows, cells);
    }
}

static void print_json_loader (const loader_seen_t *seen)
{
    yard_buffer_t line;
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    if (seen->described.code)
        load_rows_json (&line, seen);
    else {
        yard_buffer_text (&line, "{");
        json_line_text (&line, "place", seen->place);
        yard_buffer_text (&line, ",");
        json_line_text (&line, "node", seen->node);
        yard_buffer_text (&line, ",");
        json_line_fields (&line, load_device_answer_type (), &seen->about);
        yard_buffer_text (&line, "}");
    }
    invocation_json_line (&line);
    yard_buffer_clear (&line);
}

/*  For completion. */
static void print_names (const loaders_t *loaders)
{
    for (size_t i = 0; i < loaders->count; i++) {
        char device [128];
        puts (text_clean (device, sizeof device, loaders->items [i].device));
    }
}

static void print_all (const invocation_t *self, const loaders_t *loaders, const device_list_t *list)
{
    rows_t *rows = rows_new (columns, sizeof columns / sizeof columns [0]);
    for (size_t i = 0; i < loaders->count; i++)
        self->json ? print_json_loader (&loaders->items [i]) : add_loader (rows, &loaders->items [i]);
    add_gpus (self, rows, loaders, list);
    if (!self->json)
        rows_print (rows, stdout, rows_terminal_width ());
    rows_destroy (&rows);
}

int command_devices (invocation_t *self, int argc, char **argv)
{
    bool names = false;
    loaders_t loaders = { 0 };
    device_list_t list = { 0 };
    int rc = invocation_parse (self, &devices_argp, argc, argv, &names);
    if (rc == 0 && !names)
        device_list_read (false, &list, NULL); /* before there are threads */
    if (rc == 0)
        rc = loaders_look (self, self->arena, names ? 0 : LOADERS_DEVICE, NULL, &loaders);
    if (rc == 0 && names)
        print_names (&loaders);
    else if (rc == 0)
        print_all (self, &loaders, &list);
    device_list_clear (&list);
    return rc ? invocation_failed (self) : EXIT_DONE;
}
