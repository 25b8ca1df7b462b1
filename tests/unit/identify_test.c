// SPDX-License-Identifier: Apache-2.0
/*  identify_test.c - real key names and shapes, and what the rules make of them
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/prober/identify.h"

#define TENSORS_MAX 10

typedef struct {
    const char *name;
    uint32_t rank;
    uint64_t shape [5];
} row_t;

typedef struct {
    const char *title;
    const char *file_name;
    row_t rows [TENSORS_MAX];
    const char *key, *value; /* of the one pair of metadata; NULL: none */
    const char *type, *base, *format, *variant, *prediction, *rule;
    int upcast;
    uint32_t score;
    const char *evidence; /* a part of it */
} case_t;

static const case_t cases [] = {
#define CASE(title, file, key, value, tensors, ...) { title, file, { tensors }, key, value, __VA_ARGS__ },
#include "identify_cases.def"
#undef CASE
};

/*  R4.1, for files of these families */
static void one_case (void **state)
{
    const case_t *one = *state;
    yard_tensor_t items [TENSORS_MAX];
    yard_tensors_t tensors = { .items = items, .metadata_count = one->key != NULL };
    yard_metadata_t metadata = { yard_string (one->key), yard_string (one->value) };
    tensors.metadata = &metadata;
    for (; tensors.count < TENSORS_MAX && one->rows [tensors.count].name; tensors.count++) {
        const row_t *row = &one->rows [tensors.count];
        items [tensors.count] =
            (yard_tensor_t){ .name = yard_string (row->name), .rank = row->rank, .shape = row->shape };
    }
    prober_verdict_t verdict;
    prober_identify (&(prober_subject_t){ &tensors, one->file_name }, &verdict);
    if (strcmp (verdict.type, one->type) != 0 || !strstr (verdict.evidence, one->evidence))
        fail_msg ("%s: %s", verdict.type, verdict.evidence);
    assert_int_equal (verdict.code, 0);
    assert_string_equal (verdict.base, one->base);
    assert_string_equal (verdict.format, one->format);
    assert_string_equal (verdict.variant, one->variant);
    assert_string_equal (verdict.prediction_type, one->prediction);
    assert_string_equal (verdict.rule, one->rule);
    assert_int_equal (verdict.upcast_attention, one->upcast);
    assert_int_equal (verdict.score, one->score);
    assert_true (verdict.name [0] != 0);
    if (verdict.score == 0)
        assert_non_null (strstr (verdict.evidence, "type, base and format"));
}

static void a_default_name_is_a_safe_folder_name (void **state)
{
    (void) state;
    static const char *const names [][2] = {
        { "v1-5-pruned.safetensors", "v1-5-pruned" },
        { "a.b.SafeTensors", "a.b" },
        { "model.v2", "model.v2" },
        { "..--x.ckpt", "x" },
        { ".safetensors", "safetensors" },
        { "...", "model" },
        { "", "model" },
        { "my model (1).safetensors", "my_model__1_" },
        { "../../etc/passwd", "_.._etc_passwd" },
        { "\xc3\xa4.bin", "__" },
    };
    char name [PROBER_NAME_SIZE], longest [300];
    for (size_t at = 0; at < sizeof names / sizeof names [0]; at++) {
        prober_default_name (names [at][0], name);
        assert_string_equal (name, names [at][1]);
    }
    memset (longest, 'x', sizeof longest);
    longest [sizeof longest - 1] = 0;
    prober_default_name (longest, name);
    assert_int_equal (strlen (name), 100);
}

static void a_description_says_base_type_and_name (void **state)
{
    (void) state;
    static const uint64_t shape [] = { 16, 768 };
    yard_tensor_t item = { .name = yard_string (KOHYA_UNET ".lora_down.weight"), .rank = 2, .shape = shape };
    yard_tensors_t tensors = { .items = &item, .count = 1 };
    prober_verdict_t verdict;
    prober_identify (&(prober_subject_t){ &tensors, "my style.safetensors" }, &verdict);
    assert_string_equal (verdict.name, "my_style");
    assert_string_equal (verdict.description, "SD-1 LoRA model my_style");
}

static void a_verdict_from_a_stranger_is_disarmed (void **state)
{
    (void) state;
    prober_verdict_t verdict;
    memset (&verdict, 0xff, sizeof verdict);
    prober_verdict_disarm (&verdict);
    assert_true (verdict.score <= 100);
    assert_int_equal (verdict.upcast_attention, -1);
    assert_int_equal (strlen (verdict.type), PROBER_WORD_SIZE - 1);
    assert_int_equal (strspn (verdict.evidence, "?"), PROBER_EVIDENCE_SIZE - 1);
    assert_int_equal (strspn (verdict.description, "?"), PROBER_DESCRIPTION_SIZE - 1);
    for (int code = -YARD_ERROR_LAST - 1; code < 3; code++) {
        verdict.code = code;
        prober_verdict_disarm (&verdict);
        assert_int_equal (verdict.code, code > 0 || code <= -YARD_ERROR_LAST ? YARD_INTERNAL : code);
    }
}

#define CASE_COUNT (sizeof cases / sizeof cases [0])

int main (void)
{
    static struct CMUnitTest tests [CASE_COUNT + 3] = {
        [CASE_COUNT] = cmocka_unit_test (a_default_name_is_a_safe_folder_name),
        cmocka_unit_test (a_description_says_base_type_and_name),
        cmocka_unit_test (a_verdict_from_a_stranger_is_disarmed),
    };
    for (size_t at = 0; at < CASE_COUNT; at++)
        tests [at] =
            (struct CMUnitTest){ cases [at].title, one_case, NULL, NULL, (void *) (uintptr_t) &cases [at] };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
