// SPDX-License-Identifier: Apache-2.0
/*  top_frame.h - one picture of `modelyard top`: pure, from answers to lines of text
 */
#ifndef MODELYARD_TOP_FRAME_H
#define MODELYARD_TOP_FRAME_H

#include "loaders.h"

#define TOP_RATES_MAX 256 /* as many loaders as yard.devices lists */

/*  Rates are the difference of two looks. One entry a loader, by its place. */
typedef struct {
    size_t count;
    struct {
        char place [201]; /* yard_device_row.place */
        uint64_t read_bytes;
        int64_t ms;
        bool known; /* two looks at the same life of the loader */
        uint64_t bytes_per_s;
    } items [TOP_RATES_MAX];
} top_rates_t;

/*  Takes the next look. A counter that fell is another life: its rate is unknown until the look after. */
void top_rates_told (top_rates_t *self, const loaders_t *loaders, int64_t now_ms);

typedef struct {
    const char *when; /* "14:03:22" */
    const char *failure; /* NULL, or why the loaders could not be asked: then they are as last seen */
    size_t width, height; /* of the terminal; 0 = nothing is cut */
} top_view_t;

/*  Lines without control characters, at most height of them, each at most width columns. */
void top_frame_draw (const loaders_t *loaders, const top_rates_t *rates, const top_view_t *view, FILE *out);

/*  {"time":…,"loaders":[…]} with rates inside, on one line. Appends. */
void top_frame_json (const loaders_t *loaders, const top_rates_t *rates, double time, yard_buffer_t *line);

#endif
