// SPDX-License-Identifier: Apache-2.0
/*  spread_slice_test.c - slices of tensors: the right elements at the right places, wherever the chunks end
 *
 *  Each case plays a device: bytes of a file go where the plan's runs say, in pieces of any size, through the packing that the loader does.
 *  What then lies there is held against the same slice, taken element by element.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "actors/ground/random.h"
#include "actors/loader/spread_slice.h"

#define TENSORS_MAX 6
#define RANK_MAX 4
#define ROUNDS 150

typedef struct {
    char name [32];
    uint64_t shape [RANK_MAX], elements, element;
    uint32_t rank;
    uint64_t offset, bytes;
} tensor_t;

typedef struct {
    tensor_t tensors [TENSORS_MAX];
    size_t count;
    unsigned char *file;
    uint64_t file_bytes;
    char *directory_bytes; /* aligned, as a mapping is */
    yard_directory_t directory;
} model_t;

static void write_directory (model_t *model)
{
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    yard_buffer_t bytes;
    yard_buffer_init (&bytes, 1 << 20);
    for (size_t at = 0; at < model->count; at++) {
        const tensor_t *tensor = &model->tensors [at];
        const yard_tensor_row_t row = { .name = yard_string (tensor->name),
                                        .dtype = yard_string ("U8"),
                                        .shape = tensor->shape,
                                        .rank = tensor->rank,
                                        .offset = tensor->offset,
                                        .bytes = tensor->bytes };
        assert_int_equal (yard_directory_writer_add (writer, &row, NULL), 0);
    }
    assert_int_equal (yard_directory_writer_finish (writer, &bytes, NULL), 0);
    yard_directory_writer_destroy (&writer);
    model->directory_bytes = malloc (bytes.size);
    assert_non_null (model->directory_bytes);
    memcpy (model->directory_bytes, bytes.data, bytes.size);
    assert_int_equal (yard_directory_open (&model->directory, model->directory_bytes, bytes.size, NULL), 0);
    yard_buffer_clear (&bytes);
}

static void add_tensor (model_t *model, const char *name, uint32_t rank, const uint64_t *shape,
                        uint64_t element)
{
    tensor_t *tensor = &model->tensors [model->count++];
    snprintf (tensor->name, sizeof tensor->name, "%s", name);
    tensor->rank = rank;
    tensor->element = element;
    tensor->elements = 1;
    for (uint32_t at = 0; at < rank; at++) {
        tensor->shape [at] = shape [at];
        tensor->elements *= shape [at];
    }
    tensor->offset = model->file_bytes;
    tensor->bytes = tensor->elements * element;
    model->file_bytes += tensor->bytes;
}

static void finish_model (model_t *model, yard_random_t *random)
{
    model->file = malloc (model->file_bytes ? model->file_bytes : 1);
    assert_non_null (model->file);
    for (uint64_t at = 0; at < model->file_bytes; at++)
        model->file [at] = (unsigned char) yard_random_next (random);
    write_directory (model);
}

static void clear_model (model_t *model)
{
    free (model->file);
    free (model->directory_bytes);
}

/*  --- a device */

static void fill (const model_t *model, const loader_plan_t *plan, yard_random_t *random,
                  unsigned char *device)
{
    for (size_t at = 0; at < plan->run_count; at++) {
        const loader_run_t *run = &plan->runs [at];
        assert_true (run->offset + run->bytes <= model->file_bytes);
        for (uint64_t done = 0, size; done < run->bytes; done += size) {
            size = 1 + yard_random_below (random, run->bytes - done);
            unsigned char *chunk = malloc (size);
            assert_non_null (chunk);
            memcpy (chunk, model->file + run->offset + done, size);
            loader_slot_t slot = { .data = chunk, .size = size, .to = run->to + done };
            uint64_t to = slot.to;
            size_t wanted = size;
            if (to >= LOADER_PACKED)
                loader_slice_pack (plan, &slot, &to, &wanted);
            assert_true (wanted == 0 || to + wanted <= plan->bytes);
            memcpy (device + (wanted ? to : 0), chunk, wanted);
            free (chunk);
        }
    }
}

/*  Whether the element of the whole is the rank's, and its number among the rank's elements. */
static bool number_in_slice (const tensor_t *tensor, uint32_t axis, unsigned rank, unsigned ranks,
                             uint64_t number, uint64_t *ret)
{
    uint64_t index [RANK_MAX], part = tensor->shape [axis] / ranks;
    for (uint32_t at = tensor->rank; at-- > 0; number /= tensor->shape [at])
        index [at] = number % tensor->shape [at];
    if (index [axis] / part != rank)
        return false;
    index [axis] %= part;
    *ret = 0;
    for (uint32_t at = 0; at < tensor->rank; at++)
        *ret = *ret * (at == axis ? part : tensor->shape [at]) + index [at];
    return true;
}

static void check_tensor (const model_t *model, const tensor_t *tensor, uint32_t axis,
                          const loader_slices_t *slices, const yard_tensor_row_t *row,
                          const unsigned char *device)
{
    uint64_t there, seen = 0;
    for (uint64_t number = 0; number < tensor->elements; number++) {
        there = number;
        if (axis < tensor->rank &&
            !number_in_slice (tensor, axis, slices->rank, slices->ranks, number, &there))
            continue;
        assert_memory_equal (device + row->offset + there * tensor->element,
                             model->file + tensor->offset + number * tensor->element, tensor->element);
        seen++;
    }
    assert_int_equal (row->bytes, seen * tensor->element);
    for (uint32_t at = 0; at < tensor->rank; at++)
        assert_int_equal (row->shape [at], tensor->shape [at] / (at == axis ? slices->ranks : 1));
}

/*  axes [i]: of the i-th tensor; RANK_MAX: whole. */
static void check_rank (const model_t *model, const loader_slices_t *slices, const uint32_t *axes,
                        yard_random_t *random)
{
    loader_plan_t plan;
    yard_directory_t directory;
    yard_buffer_t bytes;
    yard_buffer_init (&bytes, 1 << 20);
    assert_int_equal (loader_slice_plan_make (&model->directory, slices, &plan, &bytes, NULL), 0);
    unsigned char *device = calloc (1, plan.bytes + 1);
    char *aligned = malloc (bytes.size);
    assert_true (device && aligned);
    memcpy (aligned, bytes.data, bytes.size);
    assert_int_equal (yard_directory_open (&directory, aligned, bytes.size, NULL), 0);
    fill (model, &plan, random, device);
    assert_int_equal (directory.count, model->count);
    for (size_t at = 0; at < model->count; at++) {
        yard_tensor_row_t row = yard_directory_get (&directory, at);
        assert_true (row.offset % 256 == 0 && row.offset + row.bytes <= plan.bytes);
        check_tensor (model, &model->tensors [at], axes [at], slices, &row, device);
    }
    free (aligned);
    free (device);
    yard_buffer_clear (&bytes);
    loader_plan_clear (&plan);
}

static void every_rank_gets_its_slices_of_any_axis_whatever_the_chunks (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 4);
    for (unsigned round = 0; round < ROUNDS; round++) {
        model_t model = { 0 };
        loader_slices_t slices = { .ranks = 1 + (unsigned) yard_random_below (&random, 5) };
        uint32_t axes [TENSORS_MAX];
        size_t count = 1 + yard_random_below (&random, TENSORS_MAX);
        for (size_t at = 0; at < count; at++) {
            uint64_t shape [RANK_MAX];
            uint32_t rank = 1 + (uint32_t) yard_random_below (&random, RANK_MAX);
            char name [32];
            axes [at] =
                yard_random_below (&random, 4) ? (uint32_t) yard_random_below (&random, rank) : RANK_MAX;
            for (uint32_t dimension = 0; dimension < rank; dimension++)
                shape [dimension] =
                    (1 + yard_random_below (&random, 6)) * (dimension == axes [at] ? slices.ranks : 1);
            snprintf (name, sizeof name, "t%zu.%u", at, axes [at]);
            add_tensor (&model, name, rank, shape, 1 + yard_random_below (&random, 8));
        }
        for (uint32_t axis = 0; axis < RANK_MAX; axis++) {
            slices.rows [slices.count].axis = axis;
            snprintf (slices.rows [slices.count++].pattern, LOADER_PATTERN_SIZE, "*.%u", axis);
        }
        finish_model (&model, &random);
        for (slices.rank = 0; slices.rank < slices.ranks; slices.rank++) {
            loader_slices_name (&slices);
            check_rank (&model, &slices, axes, &random);
        }
        clear_model (&model);
    }
}

/*  --- what cannot be cut */

static void check_refused (const model_t *model, uint32_t axis, const char *word)
{
    loader_plan_t plan;
    yard_buffer_t bytes;
    yard_error_t error = { 0 };
    loader_slices_t slices = { .ranks = 2, .count = 1 };
    slices.rows [0].axis = axis;
    snprintf (slices.rows [0].pattern, LOADER_PATTERN_SIZE, "*");
    yard_buffer_init (&bytes, 1 << 20);
    assert_int_equal (loader_slice_plan_make (&model->directory, &slices, &plan, &bytes, &error),
                      YARD_INVALID_MESSAGE);
    assert_non_null (strstr (error.text, word));
    assert_non_null (strstr (error.text, model->tensors [0].name));
    yard_buffer_clear (&bytes);
}

static void a_tensor_that_cannot_be_cut_is_refused_by_name (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 5);
    model_t model = { 0 };
    add_tensor (&model, "odd", 2, (uint64_t []){ 3, 4 }, 2);
    finish_model (&model, &random);
    check_refused (&model, 0, "3 elements");
    check_refused (&model, 2, "no axis 2");
    clear_model (&model);
}

/*  As of a quantised block: 18 bytes for 32 elements. */
static void an_axis_of_elements_that_are_no_whole_bytes_is_refused (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 6);
    model_t model = { 0 };
    add_tensor (&model, "blocks", 2, (uint64_t []){ 4, 32 }, 1);
    model.tensors [0].bytes = model.file_bytes = 4 * 18;
    finish_model (&model, &random);
    check_refused (&model, 1, "no whole bytes");
    clear_model (&model);
}

static void equal_slices_have_equal_names_and_others_have_not (void **state)
{
    (void) state;
    loader_slices_t one = { .rank = 1, .ranks = 2, .count = 1, .rows = { { "*.up", 0 } } }, two = one,
                    three = one;
    three.rows [0].axis = 1;
    loader_slices_name (&one);
    loader_slices_name (&two);
    loader_slices_name (&three);
    assert_string_equal (one.name, two.name);
    assert_string_not_equal (one.name, three.name);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_rank_gets_its_slices_of_any_axis_whatever_the_chunks),
        cmocka_unit_test (a_tensor_that_cannot_be_cut_is_refused_by_name),
        cmocka_unit_test (an_axis_of_elements_that_are_no_whole_bytes_is_refused),
        cmocka_unit_test (equal_slices_have_equal_names_and_others_have_not),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
