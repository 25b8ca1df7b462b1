// SPDX-License-Identifier: Apache-2.0
/*  outbox_test.c - what is told: in order, with the change that it tells, until it is too old */
#include "recorder_fixture.h"

static void submit_many (fixture_t *self, size_t count)
{
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    for (size_t i = 0; i < count; i++) {
        fixture_submit (self, &ask);
        recorder_book_turn_over (&self->book);
    }
    fixture_commit (self);
}

static void events_are_published_in_order_of_their_change (void **state)
{
    fixture_t *self = *state;
    submit_many (self, 300);
    event_publish_ask_t ask;
    uint64_t change = 0;
    for (size_t expected = 256; change < 300; expected = 44) {
        assert_int_equal (recorder_events_pending (&self->book, &ask, &self->error), 0);
        assert_true (yard_string_is (ask.store, recorder_store_id (self->book.store)));
        assert_int_equal (ask.events.count, expected);
        for (size_t i = 0; i < ask.events.count; i++)
            assert_int_equal (ask.events.items [i].change, ++change);
        self->book.published = change;
    }
    assert_int_equal (recorder_events_pending (&self->book, &ask, &self->error), 0);
    assert_int_equal (ask.events.count, 0);
}

static void what_the_broker_has_not_taken_is_told_after_a_restart (void **state)
{
    fixture_t *self = *state;
    submit_many (self, 3);
    self->book.published = 2;
    submit_many (self, 1); /* its commit keeps the watermark */
    fixture_reopen (self);
    event_publish_ask_t ask;
    assert_int_equal (recorder_events_pending (&self->book, &ask, &self->error), 0);
    assert_int_equal (ask.events.count, 2);
    assert_int_equal (ask.events.items [0].change, 3);
}

static void an_undone_effect_tells_nothing_and_uses_no_number (void **state)
{
    fixture_t *self = *state;
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    job_submit_answer_t answer;
    submit_many (self, 1);
    assert_int_equal (recorder_book_enter (&self->book, &self->error), 0);
    assert_int_equal (recorder_job_submit (&self->book, &ask, yard_string (""), &answer, &self->error), 0);
    assert_int_equal (self->book.change, 2);
    assert_int_equal (recorder_book_leave (&self->book, YARD_CONFLICT, &self->error), YARD_CONFLICT);
    assert_int_equal (self->book.change, 1);
    fixture_commit (self);
    assert_events (self, 0, "download_enqueued/1 ");
}

static void history_is_paged_and_filtered_by_prefix (void **state)
{
    fixture_t *self = *state;
    submit_many (self, 5);
    yard_text_t prefix = yard_string ("model_");
    event_history_ask_t ask = { .after = 1, .limit = 2 };
    event_history_answer_t answer;
    assert_int_equal (recorder_events_history (&self->book, &ask, &answer, &self->error), 0);
    assert_int_equal (answer.events.count, 2);
    assert_int_equal (answer.events.items [0].change, 2);
    assert_int_equal (answer.last, 3);
    assert_true (answer.more);
    ask = (event_history_ask_t){ .after = 0, .limit = 2 };
    ask.prefixes.items = &prefix;
    ask.prefixes.count = 1;
    assert_int_equal (recorder_events_history (&self->book, &ask, &answer, &self->error), 0);
    assert_int_equal (answer.events.count, 0);
    assert_int_equal (answer.last, 5); /* all were looked at */
    assert_false (answer.more);
}

static void history_that_is_no_longer_kept_is_too_old (void **state)
{
    fixture_t *self = *state;
    submit_many (self, 2200);
    self->book.published = 2200;
    submit_many (self, 1); /* of 1000 that are promised, and in steps of 1024 */
    event_history_ask_t ask = { .after = 10, .limit = 2 };
    event_history_answer_t answer;
    assert_int_equal (recorder_events_history (&self->book, &ask, &answer, &self->error), YARD_TOO_OLD);
    ask.after = 1201;
    assert_int_equal (recorder_events_history (&self->book, &ask, &answer, &self->error), 0);
    assert_int_equal (answer.events.items [0].change, 1202);
    fixture_reopen (self);
    ask.after = 10;
    assert_int_equal (recorder_events_history (&self->book, &ask, &answer, &self->error), YARD_TOO_OLD);
}

static void what_was_not_published_is_kept_however_old (void **state)
{
    fixture_t *self = *state;
    submit_many (self, 2200);
    submit_many (self, 1);
    event_history_ask_t ask = { .after = 0, .limit = 2 };
    event_history_answer_t answer;
    assert_int_equal (recorder_events_history (&self->book, &ask, &answer, &self->error), 0);
    assert_int_equal (answer.events.items [0].change, 1);
}

static void a_number_of_another_store_is_too_old (void **state)
{
    fixture_t *self = *state;
    event_history_ask_t ask = { .after = 77, .limit = 2 };
    event_history_answer_t answer;
    assert_int_equal (recorder_events_history (&self->book, &ask, &answer, &self->error), YARD_TOO_OLD);
}

/* R2.6 */
static void an_install_tells_the_parts_of_all_its_files (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    job_submit_ask_t install = fixture_install ("https://example.org/a", false);
    job_submit_ask_t files [2] = { fixture_download ("https://example.org/a/1"),
                                   fixture_download ("https://example.org/a/2") };
    files [0].download.has_size = true;
    files [0].download.size = 60;
    uint64_t id = fixture_submit (self, &install),
             token = fixture_grant (self, "installer", job_kind_install, &leased);
    job_expand_ask_t ask = { .job = id,
                             .token = token,
                             .step = yard_string ("probe"),
                             .local_path = yard_string ("/models/.staging/1"),
                             .total_bytes = 100 };
    ask.children.items = files;
    ask.children.count = 2;
    job_expand_answer_t answer;
    MUST (self, recorder_job_expand (&self->book, &ask, &answer, &self->error));
    token = fixture_grant (self, "w1", job_kind_download, &leased);
    job_progress_t progress = { .job = leased, .token = token, .bytes = 30, .total_bytes = 60 };
    job_extend_ask_t extend = { 0 };
    extend.leases.items = &progress;
    extend.leases.count = 1;
    job_extend_answer_t revoked;
    uint64_t moved [1];
    size_t count;
    MUST (self, recorder_job_extend (&self->book, &extend, &revoked, moved, &count, &self->error));
    install_progress_t body;
    job_t job = fixture_job (self, id);
    assert_int_equal (recorder_events_install (&self->book, &job, &body, &self->error), 0);
    assert_int_equal (body.parts.count, 2);
    assert_int_equal (body.parts.items [0].bytes, 30);
    assert_int_equal (body.parts.items [0].total_bytes, 60);
    assert_true (yard_string_is (body.parts.items [1].source, "https://example.org/a/2"));
    assert_int_equal (body.bytes, 30);
    assert_int_equal (body.total_bytes, 100);
    assert_true (yard_string_is (body.local_path, "/models/.staging/1"));
}

static void parts_with_long_names_are_cut_to_what_a_message_holds (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    static char source [256][4001];
    job_submit_ask_t install = fixture_install ("https://example.org/a", false),
                     *files = calloc (256, sizeof *files);
    for (int i = 0; i < 256; i++) {
        memset (source [i], 'a', 4000);
        memcpy (source [i], "https://", 8);
        files [i] = fixture_download (source [i]);
    }
    uint64_t id = fixture_submit (self, &install),
             token = fixture_grant (self, "installer", job_kind_install, &leased);
    job_expand_ask_t ask = { .job = id, .token = token, .step = yard_string ("probe") };
    ask.children.items = files;
    ask.children.count = 256;
    job_expand_answer_t answer;
    MUST (self, recorder_job_expand (&self->book, &ask, &answer, &self->error));
    free (files);
    install_progress_t body;
    job_t job = fixture_job (self, id);
    assert_int_equal (recorder_events_install (&self->book, &job, &body, &self->error), 0);
    assert_in_range (body.parts.count, 100, 200);
}

/*  --- idempotency keys */
static void a_once_key_gives_its_first_answer_and_refuses_another_body (void **state)
{
    fixture_t *self = *state;
    recorder_once_t key = { yard_string ("local"), yard_string ("job_submit"), yard_string ("k1"),
                            yard_string ("body") };
    yard_string_t answer;
    assert_int_equal (recorder_once_find (&self->book, &key, &answer, &self->error), 0);
    MUST (self, recorder_once_keep (&self->book, &key, yard_string ("answer"), &self->error));
    fixture_commit (self);
    fixture_reopen (self);
    assert_int_equal (recorder_once_find (&self->book, &key, &answer, &self->error), 1);
    assert_true (yard_string_is (answer, "answer"));
    key.body = yard_string ("another body");
    assert_int_equal (recorder_once_find (&self->book, &key, &answer, &self->error), YARD_CONFLICT);
    key.user = yard_string ("somebody else");
    assert_int_equal (recorder_once_find (&self->book, &key, &answer, &self->error), 0);
}

static void a_once_key_is_forgotten_after_seven_days (void **state)
{
    fixture_t *self = *state;
    recorder_once_t key = { yard_string ("local"), yard_string ("job_submit"), yard_string ("k1"),
                            yard_string ("body") };
    yard_string_t answer;
    MUST (self, recorder_once_keep (&self->book, &key, yard_string ("answer"), &self->error));
    self->book.wall_ms += 7LL * 86400 * 1000 - 1;
    assert_int_equal (recorder_once_find (&self->book, &key, &answer, &self->error), 1);
    self->book.wall_ms += 1;
    assert_int_equal (recorder_once_find (&self->book, &key, &answer, &self->error), 0);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (events_are_published_in_order_of_their_change),
        CASE (what_the_broker_has_not_taken_is_told_after_a_restart),
        CASE (an_undone_effect_tells_nothing_and_uses_no_number),
        CASE (history_is_paged_and_filtered_by_prefix),
        CASE (history_that_is_no_longer_kept_is_too_old),
        CASE (what_was_not_published_is_kept_however_old),
        CASE (a_number_of_another_store_is_too_old),
        CASE (an_install_tells_the_parts_of_all_its_files),
        CASE (parts_with_long_names_are_cut_to_what_a_message_holds),
        CASE (a_once_key_gives_its_first_answer_and_refuses_another_body),
        CASE (a_once_key_is_forgotten_after_seven_days),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
