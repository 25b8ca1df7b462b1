// SPDX-License-Identifier: Apache-2.0
/*  opening_bed.h - a models directory under /tmp, files in it by hand, and an opening as the pool thread runs it
 */
#ifndef TESTS_UNIT_OPENING_BED_H
#define TESTS_UNIT_OPENING_BED_H

#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"
#include "actors/loader/registry.h"
#include "proto/directory.h"

#define DIRECTORY_ROOM 65536

typedef struct {
    char folder [64];
    const loader_kind_t *kind;
    model_type_t type;
    base_model_t base;
    const char *variant;
    bool variant_soft;
    loader_opening_t *opening;
    _Alignas(8) char bytes [DIRECTORY_ROOM];
    yard_directory_t directory;
} bed_t;

static inline int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/opening_XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    bed->variant = "";
    bed->base = base_model_sd_1;
    *state = bed;
    return 0;
}

static inline int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_opening_destroy (&bed->opening);
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

/*  Folders on the way are made. */
static inline void put_file (const bed_t *bed, const char *name, const void *data, size_t size)
{
    char path [PATH_MAX];
    int used = snprintf (path, sizeof path, "%s/", bed->folder);
    snprintf (path + used, sizeof path - (size_t) used, "%s", name);
    for (char *at = strchr (path + used, '/'); at; at = strchr (at + 1, '/')) {
        *at = 0;
        mkdir (path, 0700);
        *at = '/';
    }
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, data, size), size);
    close (fd);
}

static inline void put_word (const bed_t *bed, const char *name, const char *text)
{
    put_file (bed, name, text, strlen (text));
}

/*  A safetensors file with one F16 tensor of this name. */
static inline void put_tensor (const bed_t *bed, const char *name, const char *tensor)
{
    char bytes [512];
    int size = snprintf (bytes + 8, sizeof bytes - 10,
                         "{\"%s\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}", tensor);
    uint64_t length = (uint64_t) size;
    memcpy (bytes, &length, sizeof length);
    memset (bytes + 8 + size, 0, 2);
    put_file (bed, name, bytes, 8 + (size_t) size + 2);
}

static inline int run (bed_t *bed, const char *path, const char *submodel)
{
    loader_opening_destroy (&bed->opening);
    loader_opening_t *opening = bed->opening = loader_opening_new ();
    snprintf (opening->models_dir, sizeof opening->models_dir, "%s", bed->folder);
    snprintf (opening->path, sizeof opening->path, "%s", path);
    snprintf (opening->submodel, sizeof opening->submodel, "%s", submodel);
    snprintf (opening->variant, sizeof opening->variant, "%s", bed->variant);
    opening->variant_soft = bed->variant_soft;
    opening->base = bed->base;
    opening->type = bed->type;
    opening->open = bed->kind->open;
    loader_opening_run (opening);
    assert_true ((opening->error.code == 0) == (opening->model != NULL));
    if (opening->error.code)
        return opening->error.code;
    const loader_model_t *model = opening->model;
    assert_true (model->directory_bytes <= sizeof bed->bytes);
    assert_int_equal (pread (model->directory_fd, bed->bytes, model->directory_bytes, 0),
                      model->directory_bytes);
    assert_int_equal (yard_directory_open (&bed->directory, bed->bytes, model->directory_bytes, NULL), 0);
    assert_int_equal (bed->directory.count, model->tensors);
    return 0;
}

/*  What the loader of these triple opens. */
static inline int run_kind (bed_t *bed, const loader_registry_t *registry, loader_triple_t triple,
                            const char *path, const char *submodel)
{
    assert_int_equal (
        loader_registry_find (registry, triple.base, triple.type, triple.format, &bed->kind, NULL), 0);
    bed->base = triple.base;
    bed->type = triple.type;
    return run (bed, path, submodel);
}

/*  Names of the regions, or of the tensors, one after another. */
static inline const char *regions (const bed_t *bed)
{
    static char text [4096];
    size_t used = 0;
    text [0] = 0;
    for (size_t at = 0; at < bed->opening->model->file_count; at++)
        used += (size_t) snprintf (text + used, sizeof text - used, "%s%s", at ? " " : "",
                                   bed->opening->model->files [at].name);
    return text;
}

static inline const char *tensors (const bed_t *bed)
{
    static char text [4096];
    size_t used = 0;
    text [0] = 0;
    for (size_t at = 0; at < bed->directory.count; at++)
        used += (size_t) snprintf (text + used, sizeof text - used, "%s%.*s", at ? " " : "",
                                   YARD_VIEW (yard_directory_get (&bed->directory, at).name));
    return text;
}

static inline void assert_said (const bed_t *bed, const char *part)
{
    if (!strstr (bed->opening->error.text, part))
        fail_msg ("\"%s\" is not said in: %s", part, bed->opening->error.text);
}

#endif
