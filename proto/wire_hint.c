// SPDX-License-Identifier: Apache-2.0
/*  wire_hint.c - the nearest key by Levenshtein's distance (1966), two rows at a time
 */
#include "wire_hint.h"

#define NAME_COMPARED_MAX 63 /* our longest key has 17 letters */
#define LIST_SHOWN_MAX 300 /* bytes: leaves room for the rest of the sentence in an error */

static size_t smallest (size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

static size_t distance (yard_string_t a, yard_string_t b)
{
    size_t row [NAME_COMPARED_MAX + 1];
    for (size_t j = 0; j <= b.size; j++)
        row [j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row [0];
        row [0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t above = row [j];
            row [j] = smallest (above + 1, row [j - 1] + 1, diagonal + (a.data [i - 1] != b.data [j - 1]));
            diagonal = above;
        }
    }
    return row [b.size];
}

const char *yard_wire_nearest (const yard_wire_type_t *type, yard_string_t name)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    if (name.size > NAME_COMPARED_MAX)
        return NULL;
    for (size_t i = 0; i < type->field_count; i++) {
        yard_string_t known = yard_string (type->fields [i].name);
        size_t changed = known.size <= NAME_COMPARED_MAX ? distance (name, known) : SIZE_MAX;
        if (changed < least && changed <= known.size / 3 + 1) {
            least = changed;
            nearest = type->fields [i].name;
        }
    }
    return nearest;
}

void yard_wire_list_words (const yard_wire_type_t *type, char *text, size_t size)
{
    size_t used = 0;
    text [0] = 0;
    for (size_t i = 0; i < type->value_count; i++) {
        if (used > LIST_SHOWN_MAX) {
            snprintf (text + used, size - used, " ...");
            return;
        }
        int added = snprintf (text + used, size - used, "%s%s", i ? ", " : "", type->values [i].word);
        used += added > 0 && (size_t) added < size - used ? (size_t) added : 0;
    }
}
