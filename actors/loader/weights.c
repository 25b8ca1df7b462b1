// SPDX-License-Identifier: Apache-2.0
/*  weights.c - which of a folder's weights a variant means; the rule is in listing.h
 *
 *  Sources of the names: diffusers and huggingface_hub write `<stem>.<label>.safetensors`,
 *  `<stem>.<label>-00001-of-00002.safetensors` and (older) `<stem>-00001-of-00002.<label>.safetensors`, with
 *  `<stem>.safetensors.index.<label>.json` beside them.
 */
#include "actors/loader/listing.h"

#define FILE_SUFFIX ".safetensors"
#define INDEX_SUFFIX ".safetensors.index.json"
#define LABELLED_INDEX ".safetensors.index."
#define SHARD_BYTES 15 /* "-00001-of-00002" */
#define LABEL_BYTES_MAX 32 /* "fp16", "non_ema"; a longer one is part of the name */

/*  What the libraries call the weights of a folder. */
static const char *const own_stems [] = { "model", "diffusion_pytorch_model" };

static bool take_end (yard_string_t *text, const char *end)
{
    size_t size = strlen (end);
    if (text->size <= size || memcmp (text->data + text->size - size, end, size) != 0)
        return false;
    text->size -= size;
    return true;
}

static bool take_shard (yard_string_t *text)
{
    static const char pattern [] = "-00000-of-00000";
    if (text->size <= SHARD_BYTES)
        return false;
    const char *end = text->data + text->size - SHARD_BYTES;
    for (size_t at = 0; at < SHARD_BYTES; at++)
        if (pattern [at] == '0' ? end [at] < '0' || end [at] > '9' : end [at] != pattern [at])
            return false;
    text->size -= SHARD_BYTES;
    return true;
}

/*  Small letters, digits and _, a letter first: "v1.5" is a name, not a label. */
static bool is_label (yard_string_t text)
{
    if (text.size == 0 || text.size > LABEL_BYTES_MAX || text.data [0] < 'a' || text.data [0] > 'z')
        return false;
    for (size_t at = 0; at < text.size; at++) {
        char byte = text.data [at];
        if ((byte < 'a' || byte > 'z') && (byte < '0' || byte > '9') && byte != '_')
            return false;
    }
    return true;
}

static void take_label (yard_string_t *text, yard_string_t *ret_label)
{
    const char *dot = memrchr (text->data, '.', text->size);
    if (!dot || dot == text->data)
        return;
    yard_string_t label = { dot + 1, (size_t) (text->data + text->size - dot - 1) };
    if (!is_label (label))
        return;
    *ret_label = label;
    text->size = (size_t) (dot - text->data);
}

bool loader_weights_read (const char *name, loader_weights_t *ret)
{
    loader_weights_t read = { .stem = yard_string (name) };
    const char *labelled = strstr (name, LABELLED_INDEX);
    if (take_end (&read.stem, INDEX_SUFFIX)) {
        read.index = true;
    } else if (labelled && labelled > name && take_end (&read.stem, ".json")) {
        const char *from = labelled + strlen (LABELLED_INDEX);
        read.index = true;
        read.label = (yard_string_t){ from, (size_t) (name + read.stem.size - from) };
        read.stem.size = (size_t) (labelled - name);
        if (!is_label (read.label))
            return false;
    } else if (!take_end (&read.stem, FILE_SUFFIX)) {
        return false;
    }
    read.shard = take_shard (&read.stem);
    if (read.label.size == 0)
        take_label (&read.stem, &read.label);
    read.shard = take_shard (&read.stem) || read.shard;
    *ret = read;
    return true;
}

/*  The at-th name of the listing, if it is of weights, and of this stem. */
static bool weights_at (const loader_listing_t *self, size_t at, const yard_string_t *stem,
                        loader_weights_t *ret)
{
    const loader_listed_t *entry = &self->entries [at];
    return !entry->folder && loader_weights_read (entry->name, ret) &&
           (!stem || yard_string_equal (*stem, ret->stem));
}

static bool has_label (const loader_listing_t *self, size_t end, const yard_string_t *stem,
                       yard_string_t label)
{
    loader_weights_t weights;
    for (size_t at = 0; at < end; at++)
        if (weights_at (self, at, stem, &weights) && yard_string_equal (weights.label, label))
            return true;
    return false;
}

/*  How many labels there are, and all of them for a sentence. */
static size_t list_labels (const loader_listing_t *self, const yard_string_t *stem, yard_string_t *ret_last,
                           char *text, size_t room)
{
    size_t count = 0, used = 0;
    loader_weights_t weights;
    text [0] = 0;
    for (size_t at = 0; at < self->count; at++) {
        if (!weights_at (self, at, stem, &weights) || has_label (self, at, stem, weights.label))
            continue;
        *ret_last = weights.label;
        if (used < room)
            used += (size_t) snprintf (text + used, room - used, "%s%.*s", count ? ", " : "",
                                       weights.label.size ? (int) weights.label.size : 5,
                                       weights.label.size ? weights.label.data : "plain");
        count++;
    }
    return count;
}

int loader_weights_label (const loader_listing_t *self, const char *variant, const yard_string_t *stem,
                          const char *path, yard_string_t *ret_label, yard_error_t *error)
{
    char text [YARD_ERROR_TEXT_MAX / 4];
    yard_string_t label = yard_string (variant), last = yard_string ("");
    size_t count = list_labels (self, stem, &last, text, sizeof text);
    if (count > 0 && !has_label (self, self->count, stem, label)) {
        if (label.size == 0 && count > 1)
            return yard_error (error, YARD_NOT_FOUND,
                               "%s has no plain weights, and several variants (%s); name the variant to load",
                               path, text);
        if (label.size == 0)
            label = last;
        else if (strcmp (variant, "fp32") == 0 && has_label (self, self->count, stem, yard_string ("")))
            label = yard_string ("");
        else
            return yard_error (
                error, YARD_NOT_FOUND,
                "%s has no weights of variant %s; it has %s: name one of these, or install the "
                "variant",
                path, variant, text);
    }
    *ret_label = count > 0 ? label : yard_string ("");
    return 0;
}

typedef struct {
    const char *index, *own, *file; /* the last one of each, and how many there are */
    size_t indexes, owns, files;
} found_t;

static void note (found_t *found, const char *name, const loader_weights_t *weights)
{
    if (weights->index) {
        found->index = name;
        found->indexes++;
        return;
    }
    found->file = name;
    found->files++;
    for (size_t at = 0; at < sizeof own_stems / sizeof own_stems [0]; at++)
        if (!weights->shard && yard_string_is (weights->stem, own_stems [at])) {
            found->own = name;
            found->owns++;
        }
}

int loader_weights_choose (const loader_listing_t *self, const char *variant, const char *path,
                           const char **ret_name, bool *ret_index, yard_error_t *error)
{
    yard_string_t label;
    loader_weights_t weights;
    found_t found = { 0 };
    int rc = loader_weights_label (self, variant, NULL, path, &label, error);
    if (rc)
        return rc;
    for (size_t at = 0; at < self->count; at++)
        if (weights_at (self, at, NULL, &weights) && yard_string_equal (weights.label, label))
            note (&found, self->entries [at].name, &weights);
    if (found.indexes > 1 || (found.indexes == 0 && found.files > 1 && found.owns != 1))
        return yard_error (error, YARD_INVALID_FILE,
                           "%s has several sets of weights, and nothing says which; leave one of them in the "
                           "folder",
                           path);
    *ret_index = found.indexes == 1;
    *ret_name = found.indexes == 1 ? found.index : found.owns == 1 ? found.own : found.file;
    return 0;
}
