// SPDX-License-Identifier: Apache-2.0
/*  ps.c - `modelyard ps`: what is in memory, on every device of the yard
 *
 *  A loader that does not answer is a line, not a failure.
 */
#include "commands.h"

#include "json_line.h"
#include "load_rows.h"

enum {
    OPTION_DEVICE = 0x200
};

static error_t parse_ps (int key, char *word, struct argp_state *state)
{
    const char **device = state->input;
    switch (key) {
    case OPTION_DEVICE:
        *device = word;
        return 0;
    case ARGP_KEY_ARG:
        argp_usage (state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp ps_argp = {
    .options =
        (const struct argp_option []){
            { .name = "device", .key = OPTION_DEVICE, .arg = "DEVICE", .doc = "Only there: host, cuda:0 …" },
            { 0 } },
    .parser = parse_ps,
    .doc =
        "Lists what is in memory, on every device. AGE is the lease's; of an idle model the time since its "
        "last use."
};

/*  A row a line, as load.list has it, with where it is. */
static void print_json_rows (const loader_seen_t *seen)
{
    yard_buffer_t line;
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    for (size_t i = 0; i < seen->list.loads.count && !seen->listed.code; i++) {
        yard_buffer_reset (&line);
        yard_buffer_text (&line, "{");
        json_line_text (&line, "place", seen->place);
        yard_buffer_text (&line, ",");
        json_line_fields (&line, load_row_type (), &seen->list.loads.items [i]);
        yard_buffer_text (&line, "}");
        invocation_json_line (&line);
    }
    yard_buffer_reset (&line);
    if (seen->listed.code) {
        load_rows_json (&line, seen);
        invocation_json_line (&line);
    }
    yard_buffer_clear (&line);
}

static void print_table (const loaders_t *loaders)
{
    rows_t *rows = load_rows_new (loaders);
    rows_print (rows, stdout, rows_terminal_width ());
    load_rows_print_silent (loaders, stdout);
    if (rows_count (rows) == 0)
        fprintf (stderr, "nothing is loaded\n");
    rows_destroy (&rows);
}

int command_ps (invocation_t *self, int argc, char **argv)
{
    const char *device = NULL;
    loaders_t loaders = { 0 };
    int rc = invocation_parse (self, &ps_argp, argc, argv, &device);
    if (rc == 0)
        rc = loaders_look (self, self->arena, LOADERS_LIST, device, &loaders);
    if (rc)
        return invocation_failed (self);
    for (size_t i = 0; self->json && i < loaders.count; i++)
        print_json_rows (&loaders.items [i]);
    if (!self->json)
        print_table (&loaders);
    return EXIT_DONE;
}
