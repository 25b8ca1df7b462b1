// SPDX-License-Identifier: Apache-2.0
/*  load_rows.c - tables of devices and of what is loaded on them
 */
#include "load_rows.h"

#include "json_line.h"
#include "text.h"

#define KEY_DIGITS_SHOWN 8 /* enough for `load`, `unload` and `show`, which take first digits */

static const column_t columns [] = { { .heading = "NAME", .cut = true },
                                     { .heading = "KEY" },
                                     { .heading = "PART" },
                                     { .heading = "DEVICE" },
                                     { .heading = "FORM" },
                                     { .heading = "SIZE", .right = true },
                                     { .heading = "STATE" },
                                     { .heading = "OWNER", .cut = true },
                                     { .heading = "USERS", .right = true },
                                     { .heading = "AGE", .right = true },
                                     { .heading = "LEASE" } };

const char *load_row_state (const load_row_t *row, char *into, size_t size)
{
    text_clean (into, size, row->state);
    if (!yard_string_is (row->state, "loading") || row->bytes == 0)
        return into;
    /* Rounded down: 100 means all. */
    double part = row->done_bytes >= row->bytes ? 1 : (double) row->done_bytes / (double) row->bytes;
    snprintf (into, size, "loading %d %%", (int) (100 * part));
    return into;
}

static yard_string_t first_digits (yard_string_t text)
{
    return (yard_string_t){ text.data, text.size < KEY_DIGITS_SHOWN ? text.size : KEY_DIGITS_SHOWN };
}

static yard_string_t or_dash (yard_string_t text)
{
    return text.size ? text : yard_string ("-");
}

/*  The machine's name stands before the device only where there are several machines. */
static bool has_several_nodes (const loaders_t *loaders)
{
    for (size_t i = 1; i < loaders->count; i++)
        if (!yard_string_equal (loaders->items [i].node, loaders->items [0].node))
            return true;
    return false;
}

static void add_row (rows_t *rows, const loader_seen_t *seen, bool with_node, const load_row_t *row)
{
    char device [160], size [32], state [64], users [32], age [32];
    snprintf (device, sizeof device, "%.*s%s%.*s", with_node ? (int) seen->node.size : 0, seen->node.data,
              with_node ? " " : "", (int) row->device.size, row->device.data);
    snprintf (users, sizeof users, "%llu", (unsigned long long) row->attachments);
    const yard_string_t cells [] = { row->name,
                                     first_digits (row->key),
                                     or_dash (row->submodel),
                                     yard_string (device),
                                     yard_string (yard_wire_word (load_form_type (), (int) row->form)),
                                     yard_string (text_size (size, sizeof size, row->bytes)),
                                     yard_string (load_row_state (row, state, sizeof state)),
                                     or_dash (row->owner),
                                     yard_string (users),
                                     yard_string (text_duration (age, sizeof age, (int64_t) row->age_ms)),
                                     or_dash (first_digits (row->lease)) };
    rows_add (rows, cells);
}

rows_t *load_rows_new (const loaders_t *loaders)
{
    rows_t *rows = rows_new (columns, sizeof columns / sizeof columns [0]);
    bool with_node = has_several_nodes (loaders);
    for (size_t i = 0; i < loaders->count; i++) {
        const loader_seen_t *seen = &loaders->items [i];
        for (size_t row = 0; seen->listed.code == 0 && row < seen->list.loads.count; row++)
            add_row (rows, seen, with_node, &seen->list.loads.items [row]);
    }
    return rows;
}

static const loader_outcome_t *failure_of (const loader_seen_t *seen)
{
    return seen->listed.code ? &seen->listed : seen->described.code ? &seen->described : NULL;
}

void load_rows_print_silent (const loaders_t *loaders, FILE *out)
{
    for (size_t i = 0; i < loaders->count; i++) {
        const loader_seen_t *seen = &loaders->items [i];
        const loader_outcome_t *failure = failure_of (seen);
        char place [256], text [YARD_ERROR_TEXT_MAX];
        text_clean (place, sizeof place, seen->place);
        if (failure)
            fprintf (out, "%s does not answer: %s (%s)\n", place,
                     text_clean (text, sizeof text, yard_string (failure->text)),
                     yard_error_row (failure->code)->word);
        if (seen->listed.code == 0 && seen->list.left_out)
            fprintf (out, "%s has %llu more that do not fit into one answer\n", place,
                     (unsigned long long) seen->list.left_out);
    }
}

const char *load_bar (const load_device_answer_t *about, size_t bar_columns, char *into, size_t size)
{
    uint64_t idle = about->idle_bytes < about->held_bytes ? about->idle_bytes : about->held_bytes;
    const struct {
        char mark;
        uint64_t bytes;
    } parts [] = { { '#', about->held_bytes - idle },
                   { '=', idle },
                   { '+', about->reserved_bytes },
                   { '~', about->draining_bytes } };
    size_t inside = bar_columns < LOAD_BAR_MAX ? bar_columns : LOAD_BAR_MAX, at = 0;
    inside = inside < size ? inside : size - 1;
    double sum = 0;
    /* Ends are rounded, not lengths: so rounding never adds up. */
    for (size_t i = 0; i < sizeof parts / sizeof parts [0] && about->budget_bytes > 0; i++) {
        sum += (double) parts [i].bytes;
        size_t end = (size_t) (sum * (double) inside / (double) about->budget_bytes + 0.5);
        for (; at < inside && at < end; at++)
            into [at] = parts [i].mark;
    }
    memset (into + at, '.', inside - at);
    into [inside] = 0;
    return into;
}

void load_rows_json (yard_buffer_t *line, const loader_seen_t *seen)
{
    const loader_outcome_t *failure = failure_of (seen);
    yard_buffer_text (line, "{");
    json_line_text (line, "place", seen->place);
    yard_buffer_text (line, ",");
    json_line_text (line, "node", seen->node);
    if (failure) {
        yard_buffer_text (line, ",\"failure\":{");
        json_line_text (line, "code", yard_string (yard_error_row (failure->code)->word));
        yard_buffer_text (line, ",");
        json_line_text (line, "text", yard_string (failure->text));
        yard_buffer_text (line, "}}");
        return;
    }
    if (seen->about.device.size) {
        yard_buffer_text (line, ",\"device\":{");
        json_line_fields (line, load_device_answer_type (), &seen->about);
        yard_buffer_text (line, "}");
    }
    yard_buffer_text (line, ",\"loads\":[");
    for (size_t i = 0; i < seen->list.loads.count; i++) {
        yard_buffer_text (line, i ? ",{" : "{");
        json_line_fields (line, load_row_type (), &seen->list.loads.items [i]);
        yard_buffer_text (line, "}");
    }
    yard_buffer_text (line, "]}");
}
