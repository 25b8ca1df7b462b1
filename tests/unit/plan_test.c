// SPDX-License-Identifier: Apache-2.0
/*  plan_test.c - where tensors lie on a device, held against what plan.h promises, over random directories
 *
 *  The seed is printed; PLAN_SEED=n repeats one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>
#include "actors/ground/random.h"
#include "actors/loader/plan.h"

#define SEEDS 200
#define TENSORS_MAX 60
#define REGIONS 3
#define GAP_MAX 4096u /* as in plan.c */

typedef struct {
    yard_tensor_row_t rows [TENSORS_MAX];
    char names [TENSORS_MAX][16];
    size_t count;
    bool aligned;
} tensors_t;

/*  A directory and what was made of it. */
typedef struct {
    yard_buffer_t before_bytes, after_bytes;
    yard_directory_t before, after;
    loader_plan_t plan;
} made_t;

static const uint64_t shape [2] = { 3, 5 };

static void write_directory (const tensors_t *tensors, yard_buffer_t *ret)
{
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    yard_buffer_init (ret, YARD_DIRECTORY_BYTES_MAX);
    for (size_t at = 0; at < tensors->count; at++)
        assert_int_equal (yard_directory_writer_add (writer, &tensors->rows [at], NULL), 0);
    assert_int_equal (yard_directory_writer_finish (writer, ret, NULL), 0);
    yard_directory_writer_destroy (&writer);
}

static void make (const tensors_t *tensors, made_t *ret)
{
    write_directory (tensors, &ret->before_bytes);
    assert_int_equal (
        yard_directory_open (&ret->before, ret->before_bytes.data, ret->before_bytes.size, NULL), 0);
    yard_buffer_init (&ret->after_bytes, YARD_DIRECTORY_BYTES_MAX);
    assert_int_equal (loader_plan_make (&ret->before, &ret->plan, &ret->after_bytes, NULL), 0);
    assert_int_equal (yard_directory_open (&ret->after, ret->after_bytes.data, ret->after_bytes.size, NULL),
                      0);
}

static void clear (made_t *made)
{
    loader_plan_clear (&made->plan);
    yard_buffer_clear (&made->before_bytes);
    yard_buffer_clear (&made->after_bytes);
}

static yard_tensor_row_t *add (tensors_t *self, uint32_t region, uint64_t offset, uint64_t bytes)
{
    size_t at = self->count++;
    snprintf (self->names [at], sizeof self->names [at], "t%zu", at);
    self->rows [at] = (yard_tensor_row_t){ .name = yard_string (self->names [at]),
                                           .dtype = yard_string ("F16"),
                                           .shape = shape,
                                           .rank = 2,
                                           .region = region,
                                           .offset = offset,
                                           .bytes = bytes };
    return &self->rows [at];
}

static void swap (tensors_t *self, size_t a, size_t b)
{
    yard_tensor_row_t row = self->rows [a];
    self->rows [a] = self->rows [b];
    self->rows [b] = row;
}

/*  Gaps small, just so, and large; tensors without bytes; in aligned files also aliases, and tensors within others. */
static void draw (tensors_t *self, yard_random_t *random)
{
    static const uint64_t gaps [] = { 0, 0, 0, 16, 256, GAP_MAX, GAP_MAX + 16, 100000 };
    *self = (tensors_t){ .aligned = yard_random_below (random, 3) > 0 };
    for (uint32_t region = 0; region < REGIONS; region++) {
        uint64_t at = yard_random_below (random, 5000);
        size_t count = yard_random_below (random, TENSORS_MAX / REGIONS - 1);
        for (size_t i = 0; i < count; i++) {
            at += gaps [yard_random_below (random, sizeof gaps / sizeof gaps [0])];
            at = self->aligned ? (at + 15) / 16 * 16 : at;
            uint64_t bytes = yard_random_below (random, 4) ? yard_random_below (random, 9000) : 0;
            add (self, region, at, bytes);
            if (self->aligned && bytes > 64 && yard_random_below (random, 8) == 0 && i + 1 < count) {
                i++;
                if (yard_random_below (random, 2))
                    add (self, region, at, bytes);
                else
                    add (self, region, at + 16, bytes - 64);
            }
            at += bytes;
        }
    }
    if (!self->aligned)
        add (self, REGIONS - 1, 1000001, 77); /* one is enough */
    for (size_t at = 0; at < self->count; at++)
        swap (self, at, yard_random_below (random, self->count));
}

/*  The one run that has the tensor. */
static const loader_run_t *find_run (const loader_plan_t *plan, const yard_tensor_row_t *tensor)
{
    const loader_run_t *found = NULL;
    for (size_t at = 0; at < plan->run_count; at++) {
        const loader_run_t *run = &plan->runs [at];
        if (run->source != tensor->region || tensor->offset < run->offset ||
            tensor->offset + tensor->bytes > run->offset + run->bytes)
            continue;
        assert_null (found);
        found = run;
    }
    assert_non_null (found);
    return found;
}

static void check_tensors (const made_t *made, bool aligned)
{
    assert_int_equal (made->after.count, made->before.count);
    for (size_t at = 0; at < made->before.count; at++) {
        yard_tensor_row_t before = yard_directory_get (&made->before, at);
        yard_tensor_row_t after = yard_directory_get (&made->after, at);
        assert_true (yard_string_equal (before.name, after.name) &&
                     yard_string_equal (before.dtype, after.dtype));
        assert_int_equal (after.rank, 2);
        assert_memory_equal (after.shape, shape, sizeof shape);
        assert_int_equal (after.region, 0);
        assert_int_equal (after.bytes, before.bytes);
        assert_true (yard_directory_fits (&after, &made->plan.bytes, 1));
        assert_int_equal (after.offset % 16, 0);
        if (before.bytes == 0)
            continue;
        assert_int_equal (after.offset % 256, aligned ? before.offset % 256 : 0);
        const loader_run_t *run = find_run (&made->plan, &before);
        assert_int_equal (after.offset, run->to + (before.offset - run->offset));
    }
}

static void check_runs (const made_t *made)
{
    const loader_plan_t *plan = &made->plan;
    uint64_t end = 0;
    assert_int_equal (plan->bytes % 256, 0);
    assert_int_equal (strlen (plan->hash), LOADER_PLAN_HASH_SIZE - 1);
    assert_true (plan->run_count <= made->before.count);
    for (size_t at = 0; at < plan->run_count; at++) {
        const loader_run_t *run = &plan->runs [at], *last = at ? run - 1 : NULL;
        assert_true (run->bytes > 0);
        assert_true (!last || run->source > last->source ||
                     (run->source == last->source && run->offset >= last->offset + last->bytes));
        assert_true (run->to >= end);
        end = run->to + run->bytes;
    }
    assert_true (plan->bytes >= end && plan->bytes - end < 256);
}

/*  A stack that had other things on it must not show in the hash. */
static void __attribute__ ((noinline)) dirty_stack (int byte)
{
    volatile char bytes [4096];
    for (size_t at = 0; at < sizeof bytes; at++)
        bytes [at] = (char) byte;
}

static void every_byte_of_every_tensor_comes_from_the_run_that_its_place_says (void **state)
{
    (void) state;
    const char *wished = getenv ("PLAN_SEED");
    uint64_t first = wished ? strtoull (wished, NULL, 10) : 1;
    printf ("plan_test: seeds %" PRIu64 " to %" PRIu64 "\n", first, first + SEEDS - 1);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        yard_random_t random;
        tensors_t tensors;
        made_t one, two;
        yard_random_seed (&random, seed);
        draw (&tensors, &random);
        dirty_stack (0x55);
        make (&tensors, &one);
        check_tensors (&one, tensors.aligned);
        check_runs (&one);
        dirty_stack (0xaa);
        make (&tensors, &two);
        assert_string_equal (one.plan.hash, two.plan.hash);
        assert_int_equal (one.after_bytes.size, two.after_bytes.size);
        assert_memory_equal (one.after_bytes.data, two.after_bytes.data, one.after_bytes.size);
        clear (&one);
        clear (&two);
    }
}

static void make_three (tensors_t *ret)
{
    *ret = (tensors_t){ 0 };
    add (ret, 0, 128, 512);
    add (ret, 0, 640, 100);
    add (ret, 1, 4096, 256);
}

static void a_plan_of_anything_else_has_another_hash (void **state)
{
    (void) state;
    made_t made;
    char hashes [8][LOADER_PLAN_HASH_SIZE];
    for (int change = 0; change < 8; change++) {
        tensors_t tensors;
        make_three (&tensors);
        yard_tensor_row_t *row = &tensors.rows [1];
        switch (change) {
        case 1:
            row->name = yard_string ("other");
            break;
        case 2:
            row->dtype = yard_string ("F32");
            break;
        case 3:
            row->bytes++;
            break;
        case 4:
            row->offset += 16;
            break;
        case 5:
            tensors.rows [2].region = 2; /* the same places on the device, from another file */
            break;
        case 6:
            tensors.rows [2].offset += 256; /* from elsewhere in the same file */
            break;
        case 7:
            swap (&tensors, 0, 1);
            break;
        default:
            break;
        }
        make (&tensors, &made);
        memcpy (hashes [change], made.plan.hash, sizeof hashes [change]);
        clear (&made);
        for (int other = 0; other < change; other++)
            assert_string_not_equal (hashes [other], hashes [change]);
    }
}

static void neighbours_are_one_run_and_a_larger_gap_parts_them (void **state)
{
    (void) state;
    tensors_t tensors = { 0 };
    made_t made;
    for (uint64_t at = 0; at < 20; at++)
        add (&tensors, 0, 64 + at * 1024, 1000);
    uint64_t end = 64 + 19 * 1024 + 1000;
    add (&tensors, 0, (end + 15) / 16 * 16 + GAP_MAX + 16, 10);
    make (&tensors, &made);
    assert_int_equal (made.plan.run_count, 2);
    assert_int_equal (made.plan.runs [0].bytes, end - 64);
    assert_int_equal (made.plan.runs [0].to % 256, 64);
    assert_int_equal (made.plan.runs [1].bytes, 10);
    clear (&made);
}

static void of_a_checkpoint_only_the_part_that_is_loaded_is_read (void **state)
{
    (void) state;
    tensors_t tensors = { 0 };
    made_t made;
    add (&tensors, 0, (uint64_t) 1 << 30, 4096); /* a submodel at the end of a long file */
    make (&tensors, &made);
    assert_int_equal (made.plan.bytes, 4096);
    assert_int_equal (made.plan.run_count, 1);
    assert_int_equal (made.plan.runs [0].offset, (uint64_t) 1 << 30);
    clear (&made);
}

static void an_alias_shares_the_bytes_of_its_twin (void **state)
{
    (void) state;
    tensors_t tensors = { 0 };
    made_t made;
    add (&tensors, 0, 256, 1024);
    add (&tensors, 0, 256, 1024);
    make (&tensors, &made);
    assert_int_equal (made.plan.bytes, 1024);
    assert_int_equal (made.plan.run_count, 1);
    assert_int_equal (yard_directory_get (&made.after, 0).offset, yard_directory_get (&made.after, 1).offset);
    clear (&made);
}

static void tensors_without_bytes_need_no_run_and_lie_within (void **state)
{
    (void) state;
    tensors_t tensors = { 0 };
    made_t made;
    make (&tensors, &made); /* no tensor at all */
    assert_int_equal (made.plan.bytes, 0);
    assert_int_equal (made.plan.run_count, 0);
    clear (&made);
    add (&tensors, 0, 4112, 0); /* at no multiple of 256: it must not end up behind the allocation */
    make (&tensors, &made);
    assert_int_equal (made.plan.run_count, 0);
    check_tensors (&made, true);
    clear (&made);
    add (&tensors, 1, 0, 256);
    add (&tensors, 2, 65552, 0);
    make (&tensors, &made);
    assert_int_equal (made.plan.bytes, 256);
    check_tensors (&made, true);
    clear (&made);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_byte_of_every_tensor_comes_from_the_run_that_its_place_says),
        cmocka_unit_test (a_plan_of_anything_else_has_another_hash),
        cmocka_unit_test (neighbours_are_one_run_and_a_larger_gap_parts_them),
        cmocka_unit_test (of_a_checkpoint_only_the_part_that_is_loaded_is_read),
        cmocka_unit_test (an_alias_shares_the_bytes_of_its_twin),
        cmocka_unit_test (tensors_without_bytes_need_no_run_and_lie_within),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
