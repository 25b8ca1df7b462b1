// SPDX-License-Identifier: Apache-2.0
/*  load_rows.h - tables of devices and of what is loaded on them; pure, for `ps`, `top` and `devices`
 */
#ifndef MODELYARD_LOAD_ROWS_H
#define MODELYARD_LOAD_ROWS_H

#include "loaders.h"
#include "rows.h"

/*  A table of every row of load.list, in the order of the loaders. rows_destroy it. */
rows_t *load_rows_new (const loaders_t *loaders);

/*  A line for each loader that did not answer, and for rows that did not fit into an answer; nothing else. */
void load_rows_print_silent (const loaders_t *loaders, FILE *out);

/*  "loading 43 %", "leased", "idle" … into `into` [size]. */
const char *load_row_state (const load_row_t *row, char *into, size_t size);

/*  A bar of so many columns (at most LOAD_BAR_MAX) of a device's budget: '#' held by leases, '=' idle, '+'
 *  reserved, '~' draining, '.' free. Every part that is there and has at least half a column shows; the sum is
 *  exact to a column. */
#define LOAD_BAR_MAX 60
const char *load_bar (const load_device_answer_t *about, size_t columns, char *into, size_t size);

/*  {"place":…,"device":{…},"loads":[…]}; a loader that did not answer has "failure" instead. Appends. */
void load_rows_json (yard_buffer_t *line, const loader_seen_t *seen);

#endif
