// SPDX-License-Identifier: Apache-2.0
/*  opening_test.c - from a file to a sealed directory, as the pool thread does it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include "actors/ground/durable.h"
#include "actors/loader/loader_safetensors.h"
#include "proto/directory.h"

#define DIRECTORY_ROOM 65536

/*  Three tensors of two parts: an F16 of 2x2, an I64 scalar, an F16 of 1. */
static const char header [] =
    "{\"model.diffusion_model.w\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
    "\"cond_stage_model.ids\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]},"
    "\"cond_stage_model.b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[16,18]}}";
#define DATA_BYTES 18

typedef struct {
    char folder [64];
    loader_opening_t *opening;
    _Alignas(8) char bytes [DIRECTORY_ROOM];
    yard_directory_t directory;
} bed_t;

static void write_model (const bed_t *bed, const char *text, size_t data_bytes)
{
    char path [PATH_MAX];
    static const char data [DATA_BYTES + 1];
    uint64_t size = strlen (text);
    snprintf (path, sizeof path, "%s/m.safetensors", bed->folder);
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, &size, sizeof size), sizeof size);
    assert_int_equal (write (fd, text, size), size);
    assert_int_equal (write (fd, data, data_bytes), data_bytes);
    close (fd);
}

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/opening_XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    write_model (bed, header, DATA_BYTES);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_opening_destroy (&bed->opening);
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

static loader_opening_t *prepare (bed_t *bed, const char *path, const char *submodel)
{
    loader_opening_destroy (&bed->opening);
    loader_opening_t *opening = bed->opening = loader_opening_new ();
    snprintf (opening->models_dir, sizeof opening->models_dir, "%s", bed->folder);
    snprintf (opening->path, sizeof opening->path, "%s", path);
    snprintf (opening->submodel, sizeof opening->submodel, "%s", submodel);
    opening->base = base_model_sd_1;
    opening->type = model_type_main;
    opening->open = loader_safetensors.open;
    return opening;
}

static int run (bed_t *bed, const char *path, const char *submodel)
{
    loader_opening_t *opening = prepare (bed, path, submodel);
    loader_opening_run (opening);
    assert_true ((opening->error.code == 0) == (opening->model != NULL));
    return opening->error.code;
}

static void read_directory (bed_t *bed)
{
    const loader_model_t *model = bed->opening->model;
    assert_true (model->directory_bytes <= sizeof bed->bytes);
    assert_int_equal (pread (model->directory_fd, bed->bytes, model->directory_bytes, 0),
                      model->directory_bytes);
    assert_int_equal (yard_directory_open (&bed->directory, bed->bytes, model->directory_bytes, NULL), 0);
    assert_int_equal (bed->directory.count, model->tensors);
}

static void a_whole_file_becomes_rows_with_offsets_from_its_start (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (run (bed, "m.safetensors", ""), 0);
    read_directory (bed);
    const loader_model_t *model = bed->opening->model;
    assert_int_equal (model->tensors, 3);
    assert_string_equal (model->precision, "float16"); /* the ids are no weights */
    assert_int_equal (model->bytes, 8 + strlen (header) + DATA_BYTES);
    yard_tensor_row_t row = yard_directory_get (&bed->directory, 2);
    assert_true (yard_string_is (row.name, "cond_stage_model.b"));
    assert_true (yard_string_is (row.dtype, "F16"));
    assert_int_equal (row.offset, 8 + strlen (header) + 16);
    assert_int_equal (row.bytes, 2);
    assert_true (yard_directory_fits (&row, &model->bytes, 1));
}

static void a_part_is_the_tensors_of_its_prefix (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (run (bed, "m.safetensors", "text_encoder"), 0);
    read_directory (bed);
    assert_int_equal (bed->directory.count, 2);
    assert_true (yard_string_is (yard_directory_get (&bed->directory, 0).name, "cond_stage_model.ids"));
    assert_int_equal (run (bed, "m.safetensors", "vae"), YARD_NO_SUBMODEL);
    assert_int_equal (run (bed, "m.safetensors", "tail"), YARD_NO_SUBMODEL);
}

static void nobody_can_change_the_directory_any_more (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (run (bed, "m.safetensors", ""), 0);
    int fd = bed->opening->model->directory_fd;
    assert_int_equal (fcntl (fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL);
    assert_int_equal (pwrite (fd, "x", 1, 0), -1);
    assert_int_equal (ftruncate (fd, 0), -1);
    assert_true (mmap (NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
}

static void the_same_files_are_recognised_before_anything_is_read (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (run (bed, "m.safetensors", ""), 0);
    loader_file_t *known = malloc (sizeof *known);
    assert_non_null (known);
    *known = bed->opening->model->files [0];
    loader_opening_t *opening = prepare (bed, "m.safetensors", "");
    opening->known = known;
    opening->known_count = 1;
    loader_opening_run (opening);
    assert_int_equal (opening->error.code, 0);
    assert_true (opening->same);
    assert_null (opening->model);
    assert_int_equal (opening->phase_count, 1);
    opening->same = false;
    known->identity.inode++;
    loader_opening_run (opening);
    assert_false (opening->same);
    assert_non_null (opening->model);
}

static void bad_files_say_what_they_are (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (run (bed, "none.safetensors", ""), YARD_MODEL_NOT_FOUND);
    assert_int_equal (run (bed, "m.ckpt", ""), YARD_MODEL_NOT_FOUND);
    assert_int_equal (run (bed, "m.zip", ""), YARD_NOT_IMPLEMENTED);
    assert_int_equal (run (bed, ".safetensors", ""), YARD_NOT_IMPLEMENTED);
    write_model (bed, header, DATA_BYTES - 1);
    assert_int_equal (run (bed, "m.safetensors", ""), YARD_INVALID_FILE);
    write_model (bed, "{", 0);
    assert_int_equal (run (bed, "m.safetensors", ""), YARD_INVALID_FILE);
}

static void a_file_without_tensors_is_a_model_without_tensors (void **state)
{
    bed_t *bed = *state;
    write_model (bed, "{}", 0);
    assert_int_equal (run (bed, "m.safetensors", ""), 0);
    read_directory (bed);
    assert_int_equal (bed->directory.count, 0);
    assert_string_equal (bed->opening->model->precision, "");
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        CASE (a_whole_file_becomes_rows_with_offsets_from_its_start),
        CASE (a_part_is_the_tensors_of_its_prefix),
        CASE (nobody_can_change_the_directory_any_more),
        CASE (the_same_files_are_recognised_before_anything_is_read),
        CASE (bad_files_say_what_they_are),
        CASE (a_file_without_tensors_is_a_model_without_tensors),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
