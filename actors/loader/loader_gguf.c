// SPDX-License-Identifier: Apache-2.0
/*  loader_gguf.c - models that are a GGUF file, or the files that one was split into
 *
 *  A region is a file, the directory comes from its header (dtype "ggml:Q4_K", or safetensors' word for plain
 *  ones). The path is the file, any one of the split ones (<stem>-00001-of-00003.gguf), or the folder that
 *  holds nothing else in GGUF. Promises: reads headers and nothing else. Refuses: split files that do not fit
 *  together, two models in one folder.
 *
 *  A GGUF file of a main model is its denoiser alone unless its names have the prefixes of a whole checkpoint
 *  (submodel.c), so that part is the whole file.
 */
#include "actors/loader/loader_gguf.h"

#include "actors/formats/gguf.h"
#include "actors/loader/headers.h"
#include "actors/loader/listing.h"
#include "actors/loader/submodel.h"

#define SUFFIX ".gguf"
#define FIRST_BYTES (1u << 20) /* holds every header without a vocabulary */
#define SPLIT_BYTES 20u /* "-00001-of-00003.gguf" */
#define SPLIT_DIGITS 5u

/*  The model's path, told apart where it is a split file's. */
typedef struct {
    char path [LOADER_MODEL_PATH_SIZE + NAME_MAX + 2];
    size_t stem; /* bytes of the path before "-00001-of-00003.gguf" */
    unsigned count; /* of split files; 0: the file is whole */
} place_t;

static bool take_digits (const char *text, unsigned *ret)
{
    unsigned number = 0;
    for (unsigned at = 0; at < SPLIT_DIGITS; at++) {
        if (text [at] < '0' || text [at] > '9')
            return false;
        number = number * 10 + (unsigned) (text [at] - '0');
    }
    *ret = number;
    return true;
}

static void tell_split (place_t *self)
{
    size_t size = strlen (self->path);
    unsigned number = 0, count = 0;
    const char *end = size > SPLIT_BYTES ? self->path + size - SPLIT_BYTES : "";
    bool split = end [0] == '-' && take_digits (end + 1, &number) && memcmp (end + 6, "-of-", 4) == 0 &&
                 take_digits (end + 10, &count) && strcmp (end + 15, SUFFIX) == 0;
    self->stem = size - SPLIT_BYTES;
    self->count = split && number >= 1 && number <= count ? count : 0;
}

static bool is_gguf (const loader_listed_t *entry)
{
    size_t size = strlen (entry->name);
    return !entry->folder && size > strlen (SUFFIX) &&
           strcmp (entry->name + size - strlen (SUFFIX), SUFFIX) == 0;
}

/*  The one model of the folder: its file, or the first of its split ones. */
static int choose (const loader_opening_t *opening, const loader_listing_t *listing, place_t *self,
                   yard_error_t *error)
{
    size_t files = 0;
    for (size_t at = 0; at < listing->count; at++) {
        if (!is_gguf (&listing->entries [at]))
            continue;
        if (files++ > 0)
            continue;
        snprintf (self->path, sizeof self->path, "%s/%s", opening->path, listing->entries [at].name);
        tell_split (self);
    }
    if (files == 0)
        return yard_error (error, YARD_MODEL_NOT_FOUND,
                           "%s has no .gguf file; install the model again, or correct its record",
                           opening->path);
    if (files != (self->count ? self->count : 1))
        return yard_error (error, YARD_INVALID_FILE,
                           "%s has %zu .gguf files that are not one model's; record the path of one of them",
                           opening->path, files);
    return 0;
}

static int find_place (loader_opening_t *opening, place_t *ret)
{
    int folder_fd;
    *ret = (place_t){ .count = 0 };
    if (loader_folder_open (opening->models_dir, opening->path, &folder_fd, NULL) != 0) {
        snprintf (ret->path, sizeof ret->path, "%s", opening->path);
        tell_split (ret);
        return 0;
    }
    loader_listing_t listing;
    int rc = loader_listing_read (folder_fd, opening->path, &listing, &opening->error);
    close (folder_fd);
    if (rc)
        return rc;
    rc = choose (opening, &listing, ret, &opening->error);
    loader_listing_clear (&listing);
    return rc;
}

static int open_all (loader_opening_t *opening, const place_t *place)
{
    char path [sizeof place->path + SPLIT_BYTES];
    if (place->count > LOADER_FILES_MAX)
        return yard_error (&opening->error, YARD_TOO_LARGE, "the model has %u files, the limit is %d",
                           place->count, LOADER_FILES_MAX);
    opening->model = loader_model_new (place->count ? place->count : 1);
    if (place->count == 0)
        return loader_file_open (opening->models_dir, place->path, &opening->model->files [0],
                                 &opening->error);
    for (unsigned at = 0; at < place->count; at++) {
        snprintf (path, sizeof path, "%.*s-%05u-of-%05u" SUFFIX, (int) place->stem, place->path, at + 1,
                  place->count);
        int rc = loader_file_open (opening->models_dir, path, &opening->model->files [at], &opening->error);
        if (rc)
            return rc;
    }
    return 0;
}

/*  Takes what the file has, and more of it for as long as the header goes on. */
static int read_header (const loader_file_t *file, loader_header_t *ret, yard_gguf_t *ret_gguf,
                        yard_error_t *error)
{
    uint64_t file_size = file->identity.bytes;
    uint64_t have = 0, more = file_size < FIRST_BYTES ? file_size : FIRST_BYTES;
    int rc = 0;
    do {
        /*  At most 100 MB and no more than the file has, so this cannot be made to lie. */
        char *bytes = realloc (ret->bytes, more ? more : 1);
        if (!bytes)
            return yard_error (error, YARD_OUT_OF_MEMORY,
                               "no memory for a header of %llu bytes; unload other models",
                               (unsigned long long) more);
        ret->bytes = bytes;
        ret->size = more;
        rc = loader_file_read (file, have, bytes + have, more - have, error);
        have = more;
        if (rc == 0)
            rc = yard_gguf_parse (bytes, have, file_size, ret_gguf, &more, error);
    } while (rc == 0 && more > 0);
    if (rc == 0)
        ret->tensors = ret_gguf->tensors;
    return rc;
}

/*  Is this file what its name says? */
static int check_split (const loader_opening_t *opening, const yard_gguf_t *gguf, size_t at,
                        yard_error_t *error)
{
    size_t count = opening->model->file_count;
    const char *name = opening->model->files [at].name;
    if (gguf->split_count == 0 && count == 1)
        return 0;
    if (gguf->split_count == count && gguf->split_no == at)
        return 0;
    return yard_error (
        error, YARD_INVALID_FILE,
        "%s says of itself that it is file %u of %u of a split model, and its name says %zu of "
        "%zu; give the files the names that they were written with",
        name, gguf->split_count ? gguf->split_no + 1 : 1, gguf->split_count ? gguf->split_count : 1, at + 1,
        count);
}

static int read_headers (loader_opening_t *opening, loader_header_t *headers)
{
    size_t count = opening->model->file_count;
    yard_error_t *error = &opening->error;
    uint64_t bytes = 0, tensors = 0, promised = 0;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < count; at++) {
        yard_gguf_t gguf;
        rc = read_header (&opening->model->files [at], &headers [at], &gguf, error);
        if (rc == 0)
            rc = check_split (opening, &gguf, at, error);
        if (rc == 0)
            rc = loader_headers_count (opening, &headers [at], &bytes, error);
        if (rc)
            return rc;
        tensors += gguf.tensors.count;
        promised = gguf.split_tensors;
    }
    if (promised > 0 && promised != tensors)
        return yard_error (error, YARD_INVALID_FILE,
                           "the files of %s have %llu tensors, and say %llu; fetch them again", opening->path,
                           (unsigned long long) tensors, (unsigned long long) promised);
    return loader_headers_unique (opening, headers);
}

/*  The part's prefix, or NULL for all tensors. */
static int find_prefix (loader_opening_t *opening, const loader_header_t *headers, const char **ret_prefix)
{
    yard_string_t part = yard_string (opening->submodel);
    *ret_prefix = NULL;
    if (part.size == 0)
        return 0;
    const char *prefix = loader_submodel_prefix (opening->base, part);
    if (prefix && !loader_headers_alone (opening, headers, opening->model->file_count))
        *ret_prefix = prefix; /* where no name begins so, the directory says that the part is missing */
    if (prefix)
        return 0;
    char known [YARD_ERROR_TEXT_MAX / 2];
    loader_submodel_list (opening->base, known, sizeof known);
    return yard_error (&opening->error, YARD_NO_SUBMODEL,
                       "a GGUF file of base %s has no part %s; its parts are %s",
                       yard_wire_word (base_model_type (), (int) opening->base), opening->submodel, known);
}

static int make_directory (loader_opening_t *opening)
{
    size_t count = opening->model->file_count;
    loader_pick_t pick = { .prefix = NULL };
    loader_header_t *headers = calloc (count, sizeof *headers);
    if (!headers)
        abort ();
    int rc = read_headers (opening, headers);
    loader_opening_phase (opening, "parse");
    if (rc == 0)
        rc = find_prefix (opening, headers, &pick.prefix);
    if (rc == 0)
        rc = loader_directory_make (opening->model, headers, &pick, &opening->error);
    loader_headers_destroy (&headers, count);
    loader_opening_phase (opening, "directory");
    return rc;
}

static int open_gguf (loader_opening_t *opening)
{
    place_t place;
    int rc = find_place (opening, &place);
    if (rc == 0)
        rc = open_all (opening, &place);
    loader_opening_phase (opening, "open");
    if (rc)
        return rc;
    if (loader_opening_known (opening, opening->model)) {
        loader_model_drop (&opening->model);
        return 0;
    }
    return make_directory (opening);
}

static const loader_triple_t serves [] = {
    { base_model_any, model_type_main, model_format_gguf_quantized },
    { base_model_any, model_type_vae, model_format_gguf_quantized },
    { base_model_any, model_type_lora, model_format_gguf_quantized },
    { base_model_any, model_type_controlnet, model_format_gguf_quantized },
    { base_model_any, model_type_clip_vision, model_format_gguf_quantized },
    { base_model_any, model_type_clip_embed, model_format_gguf_quantized },
    { base_model_any, model_type_t5_encoder, model_format_gguf_quantized },
    { base_model_any, model_type_siglip, model_format_gguf_quantized },
    { base_model_any, model_type_llava_onevision, model_format_gguf_quantized },
    { base_model_any, model_type_text_llm, model_format_gguf_quantized },
};

const loader_kind_t loader_gguf = {
    .name = "gguf",
    .serves = serves,
    .count = sizeof serves / sizeof serves [0],
    .open = open_gguf,
};
