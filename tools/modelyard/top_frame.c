// SPDX-License-Identifier: Apache-2.0
/*  top_frame.c - one picture of `modelyard top`
 */
#include "top_frame.h"

#include <stdlib.h>
#include "load_rows.h"
#include "text.h"

#define BAR_COLUMNS 30 /* leaves room for the numbers on 100 columns */
#define BAR_COLUMNS_NARROW 12
#define NARROW 100 /* columns; below it bars are short */
#define DEVICE_COLUMNS 8 /* "cuda:0" and room */

/*  --- rates */
static size_t find (const top_rates_t *self, yard_string_t place)
{
    size_t at = 0;
    while (at < self->count && !yard_string_is (place, self->items [at].place))
        at++;
    return at;
}

static void rate_told (top_rates_t *self, const loader_seen_t *seen, int64_t now_ms)
{
    size_t at = find (self, seen->place);
    if (at == TOP_RATES_MAX)
        return;
    int64_t span = now_ms - self->items [at].ms;
    uint64_t bytes = seen->about.read_bytes, before = self->items [at].read_bytes;
    bool is_new = at == self->count;
    if (is_new) {
        self->count++;
        snprintf (self->items [at].place, sizeof self->items [at].place, "%.*s", (int) seen->place.size,
                  seen->place.data);
    }
    self->items [at].known = !is_new && bytes >= before && span > 0;
    if (self->items [at].known)
        self->items [at].bytes_per_s = (uint64_t) ((double) (bytes - before) * 1000.0 / (double) span);
    self->items [at].read_bytes = bytes;
    self->items [at].ms = now_ms;
}

void top_rates_told (top_rates_t *self, const loaders_t *loaders, int64_t now_ms)
{
    for (size_t i = 0; i < loaders->count; i++)
        if (loaders->items [i].described.code == 0)
            rate_told (self, &loaders->items [i], now_ms);
}

static bool rate_of (const top_rates_t *self, yard_string_t place, uint64_t *ret)
{
    size_t at = find (self, place);
    bool known = at < self->count && self->items [at].known;
    *ret = known ? self->items [at].bytes_per_s : 0;
    return known;
}

/*  --- the picture */
typedef struct {
    uint64_t models, leases, loading, idle;
} totals_t;

static totals_t count (const loaders_t *loaders)
{
    totals_t totals = { 0 };
    for (size_t i = 0; i < loaders->count; i++) {
        const loader_seen_t *seen = &loaders->items [i];
        for (size_t row = 0; seen->listed.code == 0 && row < seen->list.loads.count; row++) {
            yard_string_t state = seen->list.loads.items [row].state;
            totals.leases += yard_string_is (state, "leased");
            totals.loading += yard_string_is (state, "loading");
            totals.idle += yard_string_is (state, "idle");
        }
        totals.models += seen->described.code ? 0 : seen->about.models;
    }
    return totals;
}

static void draw_head (const loaders_t *loaders, const top_view_t *view, FILE *out)
{
    char text [YARD_ERROR_TEXT_MAX];
    totals_t totals = count (loaders);
    fprintf (out, "modelyard top  %s  %zu device%s, %llu model%s, %llu leased, %llu loading, %llu idle\n",
             view->when, loaders->count, loaders->count == 1 ? "" : "s", (unsigned long long) totals.models,
             totals.models == 1 ? "" : "s", (unsigned long long) totals.leases,
             (unsigned long long) totals.loading, (unsigned long long) totals.idle);
    if (view->failure)
        fprintf (out, "the yard does not answer: %s\n",
                 text_clean (text, sizeof text, yard_string (view->failure)));
}

/*  cuda:0   [###==++..........]  12.3 GiB held  2.00 GiB idle  …  free of …  hits 97 %  reads 1.2 GiB/s */
static void draw_device (const loader_seen_t *seen, const top_rates_t *rates, size_t width, FILE *out)
{
    const load_device_answer_t *about = &seen->about;
    char bar [LOAD_BAR_MAX + 1], device [128], number [32];
    const struct {
        const char *word;
        uint64_t bytes;
        bool always;
    } parts [] = { { "held", about->held_bytes, true },          { "idle", about->idle_bytes, false },
                   { "reserved", about->reserved_bytes, false }, { "draining", about->draining_bytes, false },
                   { "waiting", about->waiting_bytes, false },   { "free", about->free_bytes, true } };
    text_clean (device, sizeof device, seen->device);
    load_bar (about, width && width < NARROW ? BAR_COLUMNS_NARROW : BAR_COLUMNS, bar, sizeof bar);
    fprintf (out, "%-*s [%s]", DEVICE_COLUMNS, device, bar);
    for (size_t i = 0; i < sizeof parts / sizeof parts [0]; i++)
        if (parts [i].always || parts [i].bytes > 0)
            fprintf (out, "  %s %s", parts [i].word, text_size (number, sizeof number, parts [i].bytes));
    fprintf (out, " of %s", text_size (number, sizeof number, about->budget_bytes));
    if (about->loads)
        fprintf (out, "  hits %d %%", (int) (100.0 * (double) about->hits / (double) about->loads));
    if (about->evictions)
        fprintf (out, "  evicted %llu", (unsigned long long) about->evictions);
    uint64_t speed;
    if (rate_of (rates, seen->place, &speed))
        fprintf (out, "  reads %s/s", text_size (number, sizeof number, speed));
    fputc ('\n', out);
}

/*  What was drawn in full, cut to the view. */
static void cut (char *text, const top_view_t *view, FILE *out)
{
    size_t left = view->height;
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn (line, "\n");
        next += *next == '\n';
        if (next > line && next [-1] == '\n')
            next [-1] = 0;
        if (view->height && left-- == 0)
            return;
        char clean [4096];
        snprintf (clean, sizeof clean, "%s", line);
        if (view->width)
            text_cut (clean, view->width);
        fprintf (out, "%s\n", clean);
    }
}

void top_frame_draw (const loaders_t *loaders, const top_rates_t *rates, const top_view_t *view, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *whole = open_memstream (&text, &size);
    if (!whole)
        abort ();
    draw_head (loaders, view, whole);
    for (size_t i = 0; i < loaders->count; i++)
        if (loaders->items [i].described.code == 0)
            draw_device (&loaders->items [i], rates, view->width, whole);
    load_rows_print_silent (loaders, whole);
    rows_t *rows = load_rows_new (loaders);
    if (rows_count (rows) > 0) {
        fputc ('\n', whole);
        rows_print (rows, whole, view->width);
    }
    rows_destroy (&rows);
    fclose (whole);
    cut (text, view, out);
    free (text);
}

void top_frame_json (const loaders_t *loaders, const top_rates_t *rates, double time, yard_buffer_t *line)
{
    yard_buffer_printf (line, "{\"time\":%.3f,\"loaders\":[", time);
    for (size_t i = 0; i < loaders->count; i++) {
        uint64_t speed;
        yard_buffer_text (line, i ? ",{\"reads_bytes_per_s\":" : "{\"reads_bytes_per_s\":");
        if (rate_of (rates, loaders->items [i].place, &speed))
            yard_buffer_printf (line, "%llu,\"seen\":", (unsigned long long) speed);
        else
            yard_buffer_text (line, "null,\"seen\":");
        load_rows_json (line, &loaders->items [i]);
        yard_buffer_text (line, "}");
    }
    yard_buffer_text (line, "]}");
}
