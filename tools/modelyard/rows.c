// SPDX-License-Identifier: Apache-2.0
/*  rows.c - a table for people
 */
#include "rows.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "text.h"

#define CELL_MAX 1024 /* bytes; what is longer is not for a table */
#define GAP 2 /* spaces between columns */
#define WIDTH_MIN 6 /* a column is not cut below this */
#define ROWS_MAX 1000000 /* more is for --json */

struct rows_t {
    const column_t *columns;
    size_t column_count;
    char **cells; /* row after row */
    size_t count, capacity;
};

rows_t *rows_new (const column_t *columns, size_t count)
{
    assert (count <= ROWS_COLUMNS_MAX);
    rows_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->columns = columns;
    self->column_count = count;
    return self;
}

void rows_destroy (rows_t **self_p)
{
    assert (self_p);
    rows_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count * self->column_count; i++)
        free (self->cells [i]);
    free (self->cells);
    free (self);
    *self_p = NULL;
}

size_t rows_count (const rows_t *self)
{
    return self->count;
}

void rows_add (rows_t *self, const yard_string_t *cells)
{
    if (self->count == ROWS_MAX)
        return;
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 16;
        self->cells = reallocarray (self->cells, self->capacity * self->column_count, sizeof (char *));
        if (!self->cells)
            abort ();
    }
    for (size_t i = 0; i < self->column_count; i++) {
        char clean [CELL_MAX];
        char **cell = &self->cells [self->count * self->column_count + i];
        *cell = strdup (text_clean (clean, sizeof clean, cells [i]));
        if (!*cell)
            abort ();
    }
    self->count++;
}

static size_t total (const rows_t *self, const size_t *widths)
{
    size_t sum = 0;
    for (size_t i = 0; i < self->column_count; i++)
        sum += widths [i] + (i ? GAP : 0);
    return sum;
}

/*  The widest that may be cut loses a column at a time, so that the loss is shared. */
static void fit (const rows_t *self, size_t *widths, size_t width)
{
    while (total (self, widths) > width) {
        size_t widest = self->column_count;
        for (size_t i = 0; i < self->column_count; i++)
            if (self->columns [i].cut && widths [i] > WIDTH_MIN &&
                (widest == self->column_count || widths [i] > widths [widest]))
                widest = i;
        if (widest == self->column_count)
            return;
        widths [widest]--;
    }
}

static void print_cell (FILE *out, const rows_t *self, size_t column, const char *clean, size_t width,
                        bool cut)
{
    char text [CELL_MAX];
    bool last = column + 1 == self->column_count;
    snprintf (text, sizeof text, "%s", clean);
    if (cut)
        text_cut (text, width);
    size_t pad = text_columns (text) < width ? width - text_columns (text) : 0;
    int before = self->columns [column].right ? (int) pad : 0;
    int after = last || self->columns [column].right ? 0 : (int) pad;
    fprintf (out, "%*s%s%*s%*s", before, "", text, after, "", last ? 0 : GAP, "");
}

void rows_print (const rows_t *self, FILE *out, size_t width)
{
    size_t widths [ROWS_COLUMNS_MAX];
    for (size_t i = 0; i < self->column_count; i++) {
        widths [i] = text_columns (self->columns [i].heading);
        for (size_t row = 0; row < self->count; row++) {
            size_t columns = text_columns (self->cells [row * self->column_count + i]);
            widths [i] = columns > widths [i] ? columns : widths [i];
        }
    }
    if (width)
        fit (self, widths, width);
    for (size_t i = 0; i < self->column_count; i++)
        print_cell (out, self, i, self->columns [i].heading, widths [i], false);
    fputc ('\n', out);
    for (size_t row = 0; row < self->count; row++) {
        for (size_t i = 0; i < self->column_count; i++)
            print_cell (out, self, i, self->cells [row * self->column_count + i], widths [i], width > 0);
        fputc ('\n', out);
    }
}

size_t rows_terminal_width (void)
{
    struct winsize size = { 0 };
    if (!isatty (STDOUT_FILENO))
        return 0;
    return ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}
