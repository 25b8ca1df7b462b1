// SPDX-License-Identifier: Apache-2.0
/*  rows.h - a table for people
 *
 *  Cells are cleaned (text.h) when they are added. Printed to a terminal, columns that may be cut are, until
 *  a row fits; else nothing is cut.
 */
#ifndef MODELYARD_ROWS_H
#define MODELYARD_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "actors/ground/view.h"

#define ROWS_COLUMNS_MAX 12 /* our widest, `ps`, has 11 */

typedef struct {
    const char *heading;
    bool right; /* numbers */
    bool cut; /* may be shortened on a terminal */
} column_t;

typedef struct rows_t rows_t;

rows_t *rows_new (const column_t *columns, size_t count); /* borrows columns */
void rows_destroy (rows_t **self_p);
void rows_add (rows_t *self, const yard_string_t *cells); /* as many as columns */
size_t rows_count (const rows_t *self);
void rows_print (const rows_t *self, FILE *out, size_t width); /* width in columns; 0 = do not cut */

/*  Of the terminal that stdout is; 0 if it is none. */
size_t rows_terminal_width (void);

#endif
