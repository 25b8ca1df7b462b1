// SPDX-License-Identifier: Apache-2.0
/*  safetensors.c - from header bytes to a list of tensors
 *
 *  The order of the checks is the reference's, so that a broken file has the same name of its fault
 *  everywhere: length, UTF-8, JSON, names, then one walk over the tensors sorted by offset, then the end of
 *  the file.
 */
#include "actors/formats/safetensors.h"

#include <assert.h>
#include "actors/formats/json_scan.h"
#include "actors/ground/utf8.h"

/*  The shortest entry that is not refused: {"":{"dtype":"U8","shape":[],"data_offsets":[0,0]}. Bounds the
 *  list before it is counted. */
#define ENTRY_BYTES_MIN 49u
/*  Shapes and unescaped names, in blocks of 16 bytes: at most 2.5 times the header at 32 dimensions. The rest
 *  is the arena's own. */
#define ARENA_LIMIT(header_size) ((header_size) *5 / 2 + (1u << 20))
#define WORD_MAX 16u /* longer than any field's name and any dtype's word */

#define AGAIN "; fetch the file again, or have it written anew"

typedef struct {
    yard_scan_t scan;
    const char *start; /* of the JSON text, for positions in sentences */
    yard_tensors_t tensors;
    size_t metadata_room;
    bool metadata_seen;
    yard_error_t *error;
} parse_t;

int yard_safetensors_header_size (const void *first, uint64_t file_size, uint64_t *ret_bytes,
                                  yard_error_t *error)
{
    const unsigned char *bytes = first;
    uint64_t length = 0;
    if (file_size < YARD_SAFETENSORS_LENGTH_SIZE)
        return yard_error (error, YARD_INVALID_FILE,
                           "HeaderTooSmall: the file has %llu bytes, its header's length alone takes 8" AGAIN,
                           (unsigned long long) file_size);
    for (size_t at = YARD_SAFETENSORS_LENGTH_SIZE; at-- > 0;)
        length = length << 8 | bytes [at];
    if (length > YARD_SAFETENSORS_HEADER_MAX)
        return yard_error (error, YARD_TOO_LARGE,
                           "HeaderTooLarge: the header claims %llu bytes, the format's limit is %u" AGAIN,
                           (unsigned long long) length, YARD_SAFETENSORS_HEADER_MAX);
    if (length > file_size - YARD_SAFETENSORS_LENGTH_SIZE)
        return yard_error (
            error, YARD_INVALID_FILE,
            "InvalidHeaderLength: the header claims %llu bytes, the file has %llu in all" AGAIN,
            (unsigned long long) length, (unsigned long long) file_size);
    *ret_bytes = length + YARD_SAFETENSORS_LENGTH_SIZE;
    return 0;
}

static int broken (parse_t *self, const char *problem)
{
    return yard_error (self->error, YARD_INVALID_FILE,
                       "InvalidHeaderDeserialization: %s at byte %zu of the header" AGAIN, problem,
                       (size_t) (self->scan.at - self->start));
}

/*  The scanner has said no. */
static int broken_json (parse_t *self)
{
    return broken (self, self->scan.problem);
}

/*  Is this text, decoded, that word? */
static bool text_is (yard_scan_text_t text, const char *word)
{
    if (!text.escaped)
        return yard_string_is (text.raw, word);
    char decoded [WORD_MAX];
    size_t size = yard_scan_decode (text, decoded, sizeof decoded);
    return size <= sizeof decoded && yard_string_is ((yard_string_t){ decoded, size }, word);
}

/*  A text that will be kept: the view itself, or a decoded copy. */
static yard_string_t kept (parse_t *self, yard_scan_text_t text)
{
    if (!text.escaped)
        return text.raw;
    size_t size = yard_scan_decode (text, NULL, 0);
    char *copy = yard_arena_alloc (self->tensors.arena, size + 1);
    assert (copy); /* ARENA_LIMIT covers whatever the header can hold */
    yard_scan_decode (text, copy, size);
    return (yard_string_t){ copy, size };
}

static int parse_dtype (parse_t *self, yard_tensor_t *tensor)
{
    yard_scan_text_t word;
    if (!yard_scan_text (&self->scan, &word))
        return broken_json (self);
    char decoded [WORD_MAX];
    if (word.escaped) {
        size_t size = yard_scan_decode (word, decoded, sizeof decoded);
        word.raw = (yard_string_t){ decoded, size <= sizeof decoded ? size : 0 };
    }
    int dtype = yard_dtype_from (word.raw);
    if (dtype < 0)
        return broken (self, "a dtype that the format does not have");
    tensor->dtype = (yard_dtype_t) dtype;
    return 0;
}

static int parse_shape (parse_t *self, yard_tensor_t *tensor)
{
    uint64_t shape [YARD_SAFETENSORS_RANK_MAX];
    uint32_t rank = 0;
    if (!yard_scan_take (&self->scan, '['))
        return broken_json (self);
    for (bool first = true, more = true;;) {
        if (!yard_scan_more (&self->scan, ']', &first, &more))
            return broken_json (self);
        if (!more)
            break;
        if (rank == YARD_SAFETENSORS_RANK_MAX)
            return yard_error (self->error, YARD_TOO_LARGE,
                               "TooManyDimensions: a tensor has more than %u; have the file written anew",
                               YARD_SAFETENSORS_RANK_MAX);
        if (!yard_scan_u64 (&self->scan, &shape [rank++]))
            return broken_json (self);
    }
    tensor->rank = rank;
    if (rank > 0) {
        uint64_t *copy = yard_arena_alloc (self->tensors.arena, rank * sizeof *shape);
        assert (copy); /* ARENA_LIMIT */
        memcpy (copy, shape, rank * sizeof *shape);
        tensor->shape = copy;
    }
    return 0;
}

/*  Until the list has been checked, offset is the begin within the buffer and bytes the end. */
static int parse_offsets (parse_t *self, yard_tensor_t *tensor)
{
    yard_scan_t *scan = &self->scan;
    if (yard_scan_take (scan, '[') && yard_scan_u64 (scan, &tensor->offset) && yard_scan_take (scan, ',') &&
        yard_scan_u64 (scan, &tensor->bytes) && yard_scan_take (scan, ']'))
        return 0;
    return broken_json (self);
}

static const struct {
    const char *name;
    int (*parse) (parse_t *self, yard_tensor_t *tensor);
} fields [] = {
    { "dtype", parse_dtype },
    { "shape", parse_shape },
    { "data_offsets", parse_offsets },
};
#define FIELD_COUNT (sizeof fields / sizeof fields [0])
#define FIELDS_ALL ((1u << FIELD_COUNT) - 1)

/*  One member of an entry. Unknown ones are skipped, as the reference does. */
static int parse_field (parse_t *self, yard_tensor_t *tensor, unsigned *seen)
{
    yard_scan_text_t key;
    if (!yard_scan_key (&self->scan, &key))
        return broken_json (self);
    for (size_t at = 0; at < FIELD_COUNT; at++) {
        if (!text_is (key, fields [at].name))
            continue;
        if (*seen & 1u << at)
            return broken (self, "an entry with the same field twice");
        *seen |= 1u << at;
        return fields [at].parse (self, tensor);
    }
    return yard_scan_value (&self->scan) ? 0 : broken_json (self);
}

static int parse_entry (parse_t *self, yard_scan_text_t name, size_t room)
{
    if (self->tensors.count == YARD_SAFETENSORS_TENSORS_MAX)
        return yard_error (self->error, YARD_TOO_LARGE,
                           "TooManyTensors: the header has more than %u; split the file into shards",
                           YARD_SAFETENSORS_TENSORS_MAX);
    yard_tensor_t tensor = { .name = kept (self, name) };
    unsigned seen = 0;
    if (!yard_scan_take (&self->scan, '{'))
        return broken_json (self);
    for (bool first = true, more = true;;) {
        if (!yard_scan_more (&self->scan, '}', &first, &more))
            return broken_json (self);
        if (!more)
            break;
        int rc = parse_field (self, &tensor, &seen);
        if (rc)
            return rc;
    }
    if (seen != FIELDS_ALL)
        return broken (self, "an entry without dtype, shape or data_offsets");
    assert (self->tensors.count < room);
    self->tensors.items [self->tensors.count++] = tensor;
    return 0;
}

static void add_metadata (parse_t *self, yard_metadata_t pair)
{
    yard_tensors_t *tensors = &self->tensors;
    if (tensors->metadata_count == self->metadata_room) {
        self->metadata_room = self->metadata_room ? 2 * self->metadata_room : 64;
        tensors->metadata = realloc (tensors->metadata, self->metadata_room * sizeof *tensors->metadata);
        if (!tensors->metadata)
            abort ();
    }
    tensors->metadata [tensors->metadata_count++] = pair;
}

static int parse_metadata (parse_t *self)
{
    yard_scan_t *scan = &self->scan;
    if (self->metadata_seen)
        return broken (self, "__metadata__ twice");
    self->metadata_seen = true;
    if (yard_scan_peek (scan) == 'n')
        return yard_scan_value (scan) ? 0 : broken_json (self); /* null counts as absent */
    if (!yard_scan_take (scan, '{'))
        return broken_json (self);
    for (bool first = true, more = true;;) {
        yard_scan_text_t key, value;
        if (!yard_scan_more (scan, '}', &first, &more))
            return broken_json (self);
        if (!more)
            return 0;
        if (self->tensors.metadata_count == YARD_SAFETENSORS_METADATA_MAX)
            return yard_error (
                self->error, YARD_TOO_LARGE,
                "TooManyMetadata: __metadata__ has more than %u pairs; have the file written anew",
                YARD_SAFETENSORS_METADATA_MAX);
        if (!yard_scan_key (scan, &key) || !yard_scan_text (scan, &value))
            return broken_json (self);
        yard_string_t key_kept = kept (self, key);
        add_metadata (self, (yard_metadata_t){ key_kept, kept (self, value) });
    }
}

static int parse_json (parse_t *self, size_t room)
{
    if (!yard_scan_take (&self->scan, '{'))
        return broken_json (self);
    for (bool first = true, more = true;;) {
        yard_scan_text_t name;
        if (!yard_scan_more (&self->scan, '}', &first, &more))
            return broken_json (self);
        if (!more)
            break;
        if (!yard_scan_key (&self->scan, &name))
            return broken_json (self);
        int rc = text_is (name, "__metadata__") ? parse_metadata (self) : parse_entry (self, name, room);
        if (rc)
            return rc;
    }
    return yard_scan_end (&self->scan) ? 0 : broken_json (self);
}

static int check_names (parse_t *self)
{
    const yard_tensors_t *tensors = &self->tensors;
    const yard_string_t *twice =
        yard_names_duplicate (&tensors->items->name, tensors->count, sizeof *tensors->items);
    if (!twice && tensors->metadata)
        twice = yard_names_duplicate (&tensors->metadata->key, tensors->metadata_count,
                                      sizeof *tensors->metadata);
    if (!twice)
        return 0;
    char text [YARD_NAME_TEXT_SIZE];
    yard_name_text (*twice, text);
    return yard_error (self->error, YARD_INVALID_FILE,
                       "DuplicateName: the header has \"%s\" twice, and readers differ in which counts" AGAIN,
                       text);
}

static int by_range (const void *left, const void *right)
{
    const yard_tensor_t *a = left, *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return 0;
}

/*  Writers put the entries in order of offset already: then there is nothing to sort. */
static void sort_by_range (yard_tensors_t *tensors)
{
    for (size_t at = 1; at < tensors->count; at++)
        if (by_range (&tensors->items [at - 1], &tensors->items [at]) > 0) {
            qsort (tensors->items, tensors->count, sizeof *tensors->items, by_range);
            return;
        }
}

/*  What is wrong with a tensor whose range should begin at `begin`; NULL when nothing is. */
static const char *fault_of (const yard_tensor_t *tensor, uint64_t begin)
{
    if (tensor->offset != begin || tensor->bytes < tensor->offset)
        return "InvalidOffset: a hole, an overlap or an end before the begin at";
    uint64_t elements = 1, bits;
    for (uint32_t at = 0; at < tensor->rank; at++)
        if (__builtin_mul_overflow (elements, tensor->shape [at], &elements))
            return "ValidationOverflow: more than 2^64 elements in";
    if (__builtin_mul_overflow (elements, (uint64_t) yard_dtype_row (tensor->dtype)->bits, &bits))
        return "ValidationOverflow: more than 2^64 bits in";
    if (bits % 8 != 0)
        return "MisalignedSlice: no whole number of bytes in";
    if (bits / 8 != tensor->bytes - tensor->offset)
        return "TensorInvalidInfo: shape and dtype do not make the bytes of";
    return NULL;
}

/*  Proves the ranges and turns them into offsets in the file. */
static int check_ranges (parse_t *self, uint64_t file_size)
{
    yard_tensors_t *tensors = &self->tensors;
    uint64_t begin = 0;
    sort_by_range (tensors);
    for (size_t at = 0; at < tensors->count; at++) {
        yard_tensor_t *tensor = &tensors->items [at];
        const char *fault = fault_of (tensor, begin);
        if (fault) {
            char text [YARD_NAME_TEXT_SIZE];
            yard_name_text (tensor->name, text);
            return yard_error (self->error, YARD_INVALID_FILE, "%s tensor \"%s\"" AGAIN, fault, text);
        }
        begin = tensor->bytes;
        tensor->bytes -= tensor->offset;
        tensor->offset += tensors->data_offset; /* wraps only where the next check refuses the file */
    }
    if (begin != file_size - tensors->data_offset)
        return yard_error (
            self->error, YARD_INVALID_FILE,
            "MetadataIncompleteBuffer: the tensors take %llu bytes, the file has %llu for them" AGAIN,
            (unsigned long long) begin, (unsigned long long) (file_size - tensors->data_offset));
    return 0;
}

static int parse_header (parse_t *self, yard_string_t json, uint64_t file_size)
{
    size_t valid = yard_utf8_valid (json.data, json.size);
    if (valid < json.size)
        return yard_error (self->error, YARD_INVALID_FILE,
                           "InvalidHeader: byte %zu of the header is no UTF-8" AGAIN, valid);
    size_t room = json.size / ENTRY_BYTES_MIN + 1;
    if (room > YARD_SAFETENSORS_TENSORS_MAX)
        room = YARD_SAFETENSORS_TENSORS_MAX;
    yard_tensors_t *tensors = &self->tensors;
    tensors->arena = yard_arena_new (ARENA_LIMIT (json.size));
    /* Room for the most entries that fit: what is never touched costs address space alone, and there is no second
     * list to copy to. */
    tensors->items = malloc (room * sizeof *tensors->items);
    if (!tensors->items)
        abort ();
    int rc = parse_json (self, room);
    if (rc == 0)
        rc = check_names (self);
    return rc ? rc : check_ranges (self, file_size);
}

int yard_safetensors_parse (const char *header, size_t size, uint64_t file_size, yard_tensors_t *ret,
                            yard_error_t *error)
{
    uint64_t needed = 0;
    int rc = yard_safetensors_header_size (header, size < file_size ? size : file_size, &needed, error);
    if (rc)
        return rc;
    yard_string_t json = { header + YARD_SAFETENSORS_LENGTH_SIZE, needed - YARD_SAFETENSORS_LENGTH_SIZE };
    parse_t parse = {
        .scan = { .at = json.data, .end = json.data + json.size },
        .start = json.data,
        .tensors = { .data_offset = needed },
        .error = error,
    };
    rc = parse_header (&parse, json, file_size);
    if (rc)
        yard_tensors_clear (&parse.tensors);
    else
        *ret = parse.tensors;
    return rc;
}
