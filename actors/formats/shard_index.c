// SPDX-License-Identifier: Apache-2.0
/*  shard_index.c - the map of a sharded model, read with the scanner of the headers
 */
#include "actors/formats/shard_index.h"

#include <assert.h>
#include "actors/formats/json_scan.h"
#include "actors/ground/utf8.h"
#include "actors/ground/table.h"

#define ENTRY_BYTES_MIN 7u /* "":"a", with its comma: bounds the list before it is counted */
#define KEY_MAX 16u /* longer than any key that we look for */

typedef struct {
    yard_scan_t scan;
    const char *start;
    yard_shard_index_t index;
    yard_table_t *numbers; /* file name -> its number plus 1 */
    bool mapped;
    yard_error_t *error;
} parse_t;

static int broken (parse_t *self, const char *problem)
{
    return yard_error (self->error, YARD_INVALID_FILE, "shard index: %s at byte %zu; fetch the index again",
                       problem, (size_t) (self->scan.at - self->start));
}

static int broken_json (parse_t *self)
{
    return broken (self, self->scan.problem);
}

static yard_string_t kept (parse_t *self, yard_scan_text_t text)
{
    if (!text.escaped)
        return text.raw;
    size_t size = yard_scan_decode (text, NULL, 0);
    char *copy = yard_arena_alloc (self->index.arena, size + 1);
    assert (copy); /* the arena's limit is the text's size, and decoding only shrinks */
    yard_scan_decode (text, copy, size);
    return (yard_string_t){ copy, size };
}

/*  One name in one folder, and nothing that a file system or a person could read as more. */
static bool is_plain_name (yard_string_t name)
{
    if (name.size == 0 || name.size > YARD_SHARD_NAME_MAX || name.data [0] == '.')
        return false;
    for (size_t at = 0; at < name.size; at++)
        if ((unsigned char) name.data [at] < 0x20 || name.data [at] == 0x7f ||
            strchr ("/\\:", name.data [at]))
            return false;
    return true;
}

/*  The number of a file, a new one for a name not seen before. */
static int number_of (parse_t *self, yard_string_t file, uint32_t *ret_number)
{
    uintptr_t number = (uintptr_t) yard_table_get (self->numbers, file.data, file.size);
    if (number == 0) {
        yard_shard_index_t *index = &self->index;
        if (index->file_count == YARD_SHARD_FILES_MAX)
            return yard_error (self->error, YARD_TOO_LARGE, "shard index: more than %u files",
                               YARD_SHARD_FILES_MAX);
        index->files [index->file_count++] = file;
        number = index->file_count;
        yard_table_put (self->numbers, file.data, file.size, (void *) number);
    }
    *ret_number = (uint32_t) (number - 1);
    return 0;
}

static int parse_entry (parse_t *self)
{
    yard_scan_text_t tensor, file;
    if (!yard_scan_key (&self->scan, &tensor) || !yard_scan_text (&self->scan, &file))
        return broken_json (self);
    yard_shard_entry_t entry = { .tensor = kept (self, tensor) };
    yard_string_t name = kept (self, file);
    if (!is_plain_name (name)) {
        char text [YARD_NAME_TEXT_SIZE];
        yard_name_text (name, text);
        return yard_error (
            self->error, YARD_INVALID_FILE,
            "shard index: \"%s\" is no plain file name; a shard lies beside its index, do not trust this one",
            text);
    }
    int rc = number_of (self, name, &entry.shard);
    if (rc == 0)
        self->index.entries [self->index.count++] = entry;
    return rc;
}

static int parse_map (parse_t *self)
{
    if (self->mapped)
        return broken (self, "weight_map twice");
    self->mapped = true;
    if (!yard_scan_take (&self->scan, '{'))
        return broken_json (self);
    for (bool first = true, more = true;;) {
        if (!yard_scan_more (&self->scan, '}', &first, &more))
            return broken_json (self);
        if (!more)
            return 0;
        int rc = parse_entry (self);
        if (rc)
            return rc;
    }
}

static int parse_index (parse_t *self)
{
    if (!yard_scan_take (&self->scan, '{'))
        return broken_json (self);
    for (bool first = true, more = true;;) {
        yard_scan_text_t key;
        if (!yard_scan_more (&self->scan, '}', &first, &more))
            return broken_json (self);
        if (!more)
            break;
        if (!yard_scan_key (&self->scan, &key))
            return broken_json (self);
        char decoded [KEY_MAX];
        size_t size = yard_scan_decode (key, decoded, sizeof decoded);
        if (size <= sizeof decoded && yard_string_is ((yard_string_t){ decoded, size }, "weight_map")) {
            int rc = parse_map (self);
            if (rc)
                return rc;
        } else if (!yard_scan_value (&self->scan)) {
            return broken_json (self);
        }
    }
    if (!yard_scan_end (&self->scan))
        return broken_json (self);
    return self->index.count > 0 ? 0 : broken (self, "a weight_map that maps no tensor");
}

/*  A file and the number that the entries know it by. */
typedef struct {
    yard_string_t name;
    uint32_t number;
} numbered_t;

static int by_name (const void *left, const void *right)
{
    const numbered_t *a = left, *b = right;
    size_t shorter = a->name.size < b->name.size ? a->name.size : b->name.size;
    int order = memcmp (a->name.data, b->name.data, shorter);
    return order ? order : (a->name.size > b->name.size) - (a->name.size < b->name.size);
}

/*  Files come in the order of the tensors' names; regions of a loaded model come in the order of the files'. */
static void sort_files (yard_shard_index_t *index)
{
    numbered_t *sorted = calloc (index->file_count, sizeof *sorted);
    uint32_t *position = calloc (index->file_count, sizeof *position);
    if (!sorted || !position)
        abort ();
    for (size_t at = 0; at < index->file_count; at++)
        sorted [at] = (numbered_t){ index->files [at], (uint32_t) at };
    qsort (sorted, index->file_count, sizeof *sorted, by_name);
    for (size_t at = 0; at < index->file_count; at++) {
        index->files [at] = sorted [at].name;
        position [sorted [at].number] = (uint32_t) at;
    }
    for (size_t at = 0; at < index->count; at++)
        index->entries [at].shard = position [index->entries [at].shard];
    free (sorted);
    free (position);
}

static int check_twice (parse_t *self)
{
    const yard_shard_index_t *index = &self->index;
    const yard_string_t *twice =
        yard_names_duplicate (&index->entries->tensor, index->count, sizeof *index->entries);
    if (!twice)
        return 0;
    char text [YARD_NAME_TEXT_SIZE];
    yard_name_text (*twice, text);
    return yard_error (self->error, YARD_INVALID_FILE,
                       "shard index: tensor \"%s\" is mapped twice; fetch the index again", text);
}

static void *room_for (size_t count, size_t size)
{
    void *memory = calloc (count, size);
    if (!memory)
        abort ();
    return memory;
}

int yard_shard_index_parse (const char *json, size_t size, yard_shard_index_t *ret, yard_error_t *error)
{
    if (size > YARD_SHARD_INDEX_BYTES_MAX)
        return yard_error (error, YARD_TOO_LARGE, "shard index: %zu bytes, the limit is %u", size,
                           YARD_SHARD_INDEX_BYTES_MAX);
    parse_t parse = { .scan = { .at = json, .end = json + size }, .start = json, .error = error };
    size_t valid = yard_utf8_valid (json, size);
    if (valid < size) {
        parse.scan.at = json + valid;
        return broken (&parse, "no UTF-8");
    }
    parse.index.arena = yard_arena_new (size + 1);
    parse.index.entries = room_for (size / ENTRY_BYTES_MIN + 1, sizeof *parse.index.entries);
    parse.index.files = room_for (YARD_SHARD_FILES_MAX, sizeof *parse.index.files);
    parse.numbers = yard_table_new ();
    int rc = parse_index (&parse);
    if (rc == 0)
        rc = check_twice (&parse);
    yard_table_destroy (&parse.numbers);
    if (rc) {
        yard_shard_index_clear (&parse.index);
        return rc;
    }
    sort_files (&parse.index);
    *ret = parse.index;
    return 0;
}

void yard_shard_index_clear (yard_shard_index_t *self)
{
    free (self->files);
    free (self->entries);
    yard_arena_destroy (&self->arena);
    *self = (yard_shard_index_t){ 0 };
}

static int missing (yard_string_t tensor, yard_string_t file, yard_error_t *error)
{
    char text [YARD_NAME_TEXT_SIZE], file_text [YARD_NAME_TEXT_SIZE];
    yard_name_text (tensor, text);
    yard_name_text (file, file_text);
    return yard_error (error, YARD_INVALID_FILE,
                       "shard index: tensor \"%s\" is not in %s, where the index puts it; fetch both again",
                       text, file_text);
}

int yard_shard_index_check (const yard_shard_index_t *self, const yard_tensors_t *shards, yard_error_t *error)
{
    yard_table_t **names = room_for (self->file_count, sizeof (yard_table_t *));
    for (size_t shard = 0; shard < self->file_count; shard++) {
        names [shard] = yard_table_new ();
        for (size_t at = 0; at < shards [shard].count; at++) {
            yard_tensor_t *tensor = &shards [shard].items [at];
            yard_table_put (names [shard], tensor->name.data, tensor->name.size, tensor);
        }
    }
    int rc = 0;
    for (size_t at = 0; at < self->count && rc == 0; at++) {
        const yard_shard_entry_t *entry = &self->entries [at];
        if (!yard_table_get (names [entry->shard], entry->tensor.data, entry->tensor.size))
            rc = missing (entry->tensor, self->files [entry->shard], error);
    }
    for (size_t shard = 0; shard < self->file_count; shard++)
        yard_table_destroy (&names [shard]);
    free (names);
    return rc;
}
