// SPDX-License-Identifier: Apache-2.0
/*  model_find.c - the model that a word of the command line means
 */
#include "model_find.h"

#include "text.h"

#define KEY_DIGITS 32
#define PREFIX_DIGITS_MIN 4 /* fewer are more likely a name mistyped */
#define PAGE 256 /* the method's own limit */
#define NAMED_MAX 4 /* candidates in the sentence */

int model_each (invocation_t *self, const record_search_ask_t *ask, model_each_fn *each, void *argument)
{
    record_search_ask_t page = *ask;
    record_search_answer_t answer;
    page.limit = PAGE;
    do {
        int rc = invocation_ask (self, &record_search_method, &page, &answer);
        if (rc)
            return rc;
        for (size_t i = 0; i < answer.records.count; i++)
            if (!each (argument, &answer.records.items [i]))
                return 0;
        page.has_cursor = answer.has_cursor;
        page.cursor = answer.cursor;
    } while (answer.has_cursor);
    return 0;
}

typedef struct {
    const char *prefix; /* of the key; "" = any */
    size_t count;
    model_record_t found;
    char named [256];
} search_t;

static bool on_record (void *argument, const model_record_t *record)
{
    search_t *self = argument;
    if (!yard_string_starts (record->config.key, self->prefix))
        return true;
    if (self->count++ == 0)
        self->found = *record;
    char name [64];
    size_t used = strlen (self->named);
    if (self->count <= NAMED_MAX)
        snprintf (self->named + used, sizeof self->named - used, "%s%.8s %s", used ? ", " : "",
                  record->config.key.data, text_clean (name, sizeof name, record->config.name));
    return self->count <= NAMED_MAX;
}

static bool is_hex (const char *word)
{
    return word [strspn (word, "0123456789abcdef")] == 0;
}

int model_find (invocation_t *self, const char *word, model_record_t *ret)
{
    size_t size = strlen (word);
    if (size == KEY_DIGITS && is_hex (word)) {
        const record_key_t key = { .key = yard_string (word) };
        int rc = invocation_ask (self, &record_get_method, &key, ret);
        if (rc != YARD_UNKNOWN_MODEL)
            return rc;
    }
    search_t search = { .prefix = "" };
    record_search_ask_t ask;
    yard_wire_init (record_search_ask_type (), &ask);
    ask.has_name = size > 0 && size <= 255; /* the row's bound */
    ask.name = yard_string (word);
    int rc = ask.has_name ? model_each (self, &ask, on_record, &search) : 0;
    if (rc == 0 && search.count == 0 && size >= PREFIX_DIGITS_MIN && size < KEY_DIGITS && is_hex (word)) {
        ask.has_name = false;
        search.prefix = word;
        rc = model_each (self, &ask, on_record, &search);
    }
    if (rc)
        return rc;
    if (search.count > 1)
        return yard_error (&self->error, YARD_AMBIGUOUS_MODEL,
                           "%.100s fits several models: %s%s; give more digits of the key", word,
                           search.named, search.count > NAMED_MAX ? " …" : "");
    if (search.count == 0)
        return yard_error (&self->error, YARD_UNKNOWN_MODEL,
                           "no model has the key or name %.100s; `modelyard ls` lists them", word);
    *ret = search.found;
    return 0;
}
