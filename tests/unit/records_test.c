// SPDX-License-Identifier: Apache-2.0
/*  records_test.c - models: add, change, forget, search */
#include "recorder_fixture.h"
#include <time.h>

static const char key_a [] = "0000000000000000000000000000000a",
                        key_b [] = "0000000000000000000000000000000b";

static int add (fixture_t *self, const model_config_t *config, model_record_t *ret)
{
    record_add_ask_t ask = { .config = *config };
    return EFFECT_CODE (self, recorder_record_add (&self->book, &ask, ret, &self->error));
}

/* R1.1 R1.7 R1.9 */
static void a_record_comes_back_with_all_its_fields (void **state)
{
    fixture_t *self = *state;
    model_record_t added, got;
    model_config_t config = fixture_config (key_a, "pencil");
    base_model_t also [] = { base_model_sd_2 };
    config.also_bases.items = also;
    config.also_bases.count = 1;
    config.description = yard_string ("lines");
    assert_int_equal (add (self, &config, &added), 0);
    fixture_commit (self);
    assert_int_equal (recorder_record_get (&self->book, yard_string (key_a), &got, &self->error), 0);
    assert_true (yard_string_is (got.config.name, "pencil"));
    assert_true (yard_string_is (got.config.description, "lines"));
    assert_int_equal (got.config.also_bases.count, 1);
    assert_int_equal (got.config.also_bases.items [0], base_model_sd_2);
    assert_int_equal (got.config.total_bytes, 4096);
    assert_int_equal (got.created_ms, WALL_MS);
    assert_int_equal (got.change, self->book.change);
    assert_events (self, 0, "model_record_added/0000000000000000000000000000000a ");
}

/* R1.7 */
static void the_same_record_again_is_the_same_answer (void **state)
{
    fixture_t *self = *state;
    model_record_t first, second;
    model_config_t config = fixture_config (key_a, "pencil");
    assert_int_equal (add (self, &config, &first), 0);
    assert_int_equal (add (self, &config, &second), 0);
    assert_int_equal (first.change, second.change);
    assert_int_equal (self->book.change, 1);
}

/* R1.7 */
static void a_duplicate_key_with_other_fields_is_refused (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    model_config_t config = fixture_config (key_a, "pencil");
    assert_int_equal (add (self, &config, &record), 0);
    config.name = yard_string ("brush");
    assert_int_equal (add (self, &config, &record), YARD_DUPLICATE_MODEL);
}

/* R1.1 */
static void two_models_may_have_one_name (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    model_config_t a = fixture_config (key_a, "pencil"), b = fixture_config (key_b, "pencil");
    assert_int_equal (add (self, &a, &record), 0);
    assert_int_equal (add (self, &b, &record), 0);
}

/* R1.6 */
static void an_unknown_key_is_unknown_model (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    bool exists = true;
    record_update_ask_t update = { .key = yard_string (key_a) };
    assert_int_equal (recorder_record_get (&self->book, yard_string (key_a), &record, &self->error),
                      YARD_UNKNOWN_MODEL);
    assert_int_equal (recorder_record_exists (&self->book, yard_string (key_a), &exists, &self->error), 0);
    assert_false (exists);
    assert_int_equal (
        EFFECT_CODE (self, recorder_record_update (&self->book, &update, &record, &self->error)),
        YARD_UNKNOWN_MODEL);
    assert_int_equal (
        EFFECT_CODE (self, recorder_record_delete (&self->book, yard_string (key_a), &record, &self->error)),
        YARD_UNKNOWN_MODEL);
}

/* R1.7 */
static void fields_that_do_not_fit_together_are_refused (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    base_model_t also [] = { base_model_sd_1 };
    model_config_t good = fixture_config (key_a, "pencil"), wrong [6];
    for (size_t i = 0; i < 6; i++)
        wrong [i] = good;
    wrong [0].key = yard_string ("0000000000000000000000000000000G");
    wrong [1].has_variant = true; /* of a LoRA */
    wrong [1].variant = model_variant_inpaint;
    wrong [2].also_bases.items = also; /* its own base */
    wrong [2].also_bases.count = 1;
    wrong [3].path = yard_string ("../../etc/passwd");
    wrong [4].base = base_model_any;
    wrong [4].also_bases.items = also;
    wrong [4].also_bases.count = 1;
    wrong [5].type = model_type_unset;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal (add (self, &wrong [i], &record), YARD_INVALID_MODEL_CONFIG);
    assert_int_equal (self->book.change, 0);
    assert_int_equal (add (self, &good, &record), 0);
}

/* R1.7 R1.9 */
static void a_sparse_update_leaves_the_rest_and_keeps_the_key (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    model_config_t config = fixture_config (key_a, "pencil");
    assert_int_equal (add (self, &config, &record), 0);
    self->book.wall_ms += 5000;
    record_update_ask_t ask = { .key = yard_string (key_a),
                                .changes = { .has_name = true,
                                             .name = yard_string ("brush"),
                                             .has_base = true,
                                             .base = base_model_sdxl } };
    MUST (self, recorder_record_update (&self->book, &ask, &record, &self->error));
    fixture_commit (self);
    assert_int_equal (recorder_record_get (&self->book, yard_string (key_a), &record, &self->error), 0);
    assert_true (yard_string_is (record.config.name, "brush"));
    assert_true (yard_string_is (record.config.path, "sd-1/lora/x"));
    assert_int_equal (record.created_ms, WALL_MS);
    assert_int_equal (record.updated_ms, WALL_MS + 5000);
    assert_int_equal (record.change, 2);
    record_search_ask_t search = { .has_base = true, .base = base_model_sd_1, .limit = 10 };
    record_search_answer_t found;
    assert_int_equal (recorder_record_search (&self->book, &search, &found, &self->error), 0);
    assert_int_equal (found.records.count, 0); /* its old base finds it no more */
    assert_events (self, 1, "model_record_updated/0000000000000000000000000000000a ");
}

/* R1.7 */
static void an_update_that_does_not_fit_is_refused (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    model_config_t config = fixture_config (key_a, "pencil");
    assert_int_equal (add (self, &config, &record), 0);
    record_update_ask_t ask = { .key = yard_string (key_a),
                                .changes = { .has_prediction_type = true,
                                             .prediction_type = prediction_type_epsilon } };
    assert_int_equal (EFFECT_CODE (self, recorder_record_update (&self->book, &ask, &record, &self->error)),
                      YARD_INVALID_MODEL_CONFIG);
}

/* R1.7 R1.9 */
static void a_deleted_record_is_answered_as_it_was (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    model_config_t config = fixture_config (key_a, "pencil");
    assert_int_equal (add (self, &config, &record), 0);
    MUST (self, recorder_record_delete (&self->book, yard_string (key_a), &record, &self->error));
    assert_true (yard_string_is (record.config.name, "pencil"));
    record_search_ask_t search = { .has_base = true, .base = base_model_sd_1, .limit = 10 };
    record_search_answer_t found;
    assert_int_equal (recorder_record_search (&self->book, &search, &found, &self->error), 0);
    assert_int_equal (found.records.count, 0);
    assert_events (self, 1, "model_record_deleted/0000000000000000000000000000000a ");
}

/*  --- search
 *  -------------------------------------------------------------------------------------------------------------- */
static void add_many (fixture_t *self, size_t count)
{
    static const base_model_t bases [] = { base_model_sd_1, base_model_sdxl, base_model_any,
                                           base_model_flux };
    base_model_t also [] = { base_model_sd_2 };
    for (size_t i = 0; i < count; i++) {
        char key [33], name [32];
        snprintf (key, sizeof key, "%032zx", i + 1);
        snprintf (name, sizeof name, "model %06zu", (i * 7919) % count); /* not in the order of keys */
        model_config_t config = fixture_config (key, name);
        config.base = bases [i % 4];
        if (config.base == base_model_flux) {
            config.also_bases.items = also;
            config.also_bases.count = 1;
        }
        config.type = i % 2 ? model_type_lora : model_type_vae;
        model_record_t record;
        assert_int_equal (add (self, &config, &record), 0);
        if (i % 1000 == 999)
            fixture_commit (self);
    }
    fixture_commit (self);
}

/*  Pages until the end; how many came, each after the one before. */
static size_t page_through (fixture_t *self, record_search_ask_t ask)
{
    size_t count = 0;
    char last [64] = "", cursor [513];
    for (bool more = true; more;) {
        record_search_answer_t answer;
        if (recorder_record_search (&self->book, &ask, &answer, &self->error))
            fail_msg ("%s", self->error.text);
        assert_in_range (answer.records.count, 0, ask.limit);
        for (size_t i = 0; i < answer.records.count; i++) {
            char name [64];
            snprintf (name, sizeof name, "%.*s", YARD_VIEW (answer.records.items [i].config.name));
            assert_true (strcmp (name, last) > 0);
            snprintf (last, sizeof last, "%s", name);
        }
        count += answer.records.count;
        more = answer.has_cursor;
        snprintf (cursor, sizeof cursor, "%.*s", YARD_VIEW (answer.cursor));
        ask.has_cursor = true;
        ask.cursor = yard_string (cursor);
        recorder_book_turn_over (&self->book);
    }
    return count;
}

/* R1.3 R1.6 */
static void pages_hold_every_record_once_in_order_of_name (void **state)
{
    fixture_t *self = *state;
    add_many (self, 400);
    assert_int_equal (page_through (self, (record_search_ask_t){ .limit = 7 }), 400);
    assert_int_equal (
        page_through (self, (record_search_ask_t){ .limit = 256, .has_type = true, .type = model_type_vae }),
        200);
    assert_int_equal (
        page_through (
            self, (record_search_ask_t){ .limit = 3, .has_format = true, .format = model_format_lycoris }),
        400);
}

/* R1.3 */
static void a_base_finds_its_own_its_also_and_any (void **state)
{
    fixture_t *self = *state;
    add_many (self, 400);
    assert_int_equal (
        page_through (self, (record_search_ask_t){ .limit = 9, .has_base = true, .base = base_model_sd_1 }),
        200);
    assert_int_equal (
        page_through (self, (record_search_ask_t){ .limit = 9, .has_base = true, .base = base_model_sd_2 }),
        200);
    assert_int_equal (
        page_through (self,
                      (record_search_ask_t){ .limit = 9, .has_base = true, .base = base_model_cogview4 }),
        100);
    assert_int_equal (
        page_through (self, (record_search_ask_t){ .limit = 9, .has_base = true, .base = base_model_any }),
        100);
    record_search_ask_t both = {
        .limit = 9, .has_base = true, .base = base_model_sd_2, .has_type = true, .type = model_type_lora
    };
    assert_int_equal (page_through (self, both), 100);
    record_search_ask_t named = { .limit = 9,
                                  .has_base = true,
                                  .base = base_model_sdxl,
                                  .has_name = true,
                                  .name = yard_string ("model 000000") };
    assert_int_equal (page_through (self, named), 0); /* number 0 is for sd-1 */
}

/* R1.6 */
static void a_path_and_a_name_are_found_exactly (void **state)
{
    fixture_t *self = *state;
    model_record_t record;
    model_config_t config = fixture_config (key_a, "pencil");
    config.path = yard_string ("sd-1/lora/pencil");
    assert_int_equal (add (self, &config, &record), 0);
    assert_int_equal (page_through (self, (record_search_ask_t){ .limit = 9,
                                                                 .has_path = true,
                                                                 .path = yard_string ("sd-1/lora/pencil") }),
                      1);
    assert_int_equal (page_through (self, (record_search_ask_t){ .limit = 9,
                                                                 .has_path = true,
                                                                 .path = yard_string ("sd-1/lora/penci") }),
                      0);
    assert_int_equal (
        page_through (self,
                      (record_search_ask_t){ .limit = 9, .has_name = true, .name = yard_string ("pencil") }),
        1);
}

static void a_cursor_that_no_page_gave_is_refused (void **state)
{
    fixture_t *self = *state;
    record_search_ask_t ask = { .limit = 9, .has_cursor = true, .cursor = yard_string ("abc") };
    record_search_answer_t answer;
    assert_int_equal (recorder_record_search (&self->book, &ask, &answer, &self->error),
                      YARD_INVALID_MESSAGE);
}

/*  A page costs a page however many models there are: no plan scans a table without an index, or sorts. */
static void no_search_scans_or_sorts (void **state)
{
    fixture_t *self = *state;
    sqlite3 *database = sqlite3_db_handle (recorder_sql (self->book.store, RECORDER_SQL_begin));
    for (recorder_sql_t id = RECORDER_SQL_search_path; id <= RECORDER_SQL_search_all; id++) {
        char *text =
            sqlite3_mprintf ("EXPLAIN QUERY PLAN %s", sqlite3_sql (recorder_sql (self->book.store, id)));
        sqlite3_stmt *statement;
        assert_int_equal (sqlite3_prepare_v2 (database, text, -1, &statement, NULL), SQLITE_OK);
        while (sqlite3_step (statement) == SQLITE_ROW) {
            const char *line = (const char *) sqlite3_column_text (statement, 3);
            bool sorts = strstr (line, "TEMP B-TREE") != NULL;
            if (sorts || (strncmp (line, "SCAN", 4) == 0 && !strstr (line, "INDEX")))
                fail_msg ("%s: %s", sqlite3_sql (recorder_sql (self->book.store, id)), line);
        }
        sqlite3_finalize (statement);
        sqlite3_free (text);
    }
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_record_comes_back_with_all_its_fields),
        CASE (the_same_record_again_is_the_same_answer),
        CASE (a_duplicate_key_with_other_fields_is_refused),
        CASE (two_models_may_have_one_name),
        CASE (an_unknown_key_is_unknown_model),
        CASE (fields_that_do_not_fit_together_are_refused),
        CASE (a_sparse_update_leaves_the_rest_and_keeps_the_key),
        CASE (an_update_that_does_not_fit_is_refused),
        CASE (a_deleted_record_is_answered_as_it_was),
        CASE (pages_hold_every_record_once_in_order_of_name),
        CASE (a_base_finds_its_own_its_also_and_any),
        CASE (a_path_and_a_name_are_found_exactly),
        CASE (a_cursor_that_no_page_gave_is_refused),
        CASE (no_search_scans_or_sorts),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
