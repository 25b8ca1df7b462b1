// SPDX-License-Identifier: Apache-2.0
/*  secrets_test.c - tokens lie in files of their own, and go when nobody needs them */
#include "recorder_fixture.h"
#include "actors/recorder/secrets.h"
#include <sys/stat.h>

static const char name_a [] = "0000000000000000000000000000000a",
                         name_b [] = "0000000000000000000000000000000b";

static void write_token (fixture_t *self, const char *name, const char *token)
{
    char path [160];
    snprintf (path, sizeof path, "%s/secrets", self->home);
    mkdir (path, 0700);
    snprintf (path, sizeof path, "%s/secrets/%s", self->home, name);
    assert_int_equal (yard_durable_write (path, token, strlen (token), 0600, &self->error), 0);
}

static bool is_there (fixture_t *self, const char *name)
{
    char path [160];
    snprintf (path, sizeof path, "%s/secrets/%s", self->home, name);
    return access (path, F_OK) == 0;
}

static recorder_secrets_t *open_secrets (fixture_t *self)
{
    char path [160];
    recorder_secrets_t *secrets = NULL;
    snprintf (path, sizeof path, "%s/secrets", self->home);
    if (recorder_secrets_open (&self->book, path, &secrets, &self->error))
        fail_msg ("%s", self->error.text);
    return secrets;
}

static uint64_t submit_with (fixture_t *self, const char *name)
{
    job_submit_ask_t ask = fixture_install ("https://example.org/a", false);
    job_submit_answer_t answer;
    MUST (self, recorder_job_submit (&self->book, &ask, yard_string (name), &answer, &self->error));
    return answer.job.id;
}

static void a_start_reads_named_tokens_and_removes_the_others (void **state)
{
    fixture_t *self = *state;
    write_token (self, name_a, "hf_a");
    write_token (self, name_b, "hf_b"); /* written, and then the process was killed */
    submit_with (self, name_a);
    fixture_commit (self);
    fixture_reopen (self);
    recorder_secrets_t *secrets = open_secrets (self);
    assert_true (yard_string_is (recorder_secrets_get (secrets, yard_string (name_a)), "hf_a"));
    assert_int_equal (recorder_secrets_get (secrets, yard_string (name_b)).size, 0);
    assert_true (is_there (self, name_a));
    assert_false (is_there (self, name_b));
    recorder_secrets_close (&secrets);
}

static void a_missing_token_does_not_stop_the_start (void **state)
{
    fixture_t *self = *state;
    submit_with (self, name_a);
    fixture_commit (self);
    recorder_secrets_t *secrets = open_secrets (self);
    assert_int_equal (recorder_secrets_get (secrets, yard_string (name_a)).size, 0);
    recorder_secrets_close (&secrets);
}

/*  A disk that fails for a moment must not cost the token for ever. */
static void a_token_that_cannot_be_read_is_not_removed (void **state)
{
    fixture_t *self = *state;
    char path [160];
    submit_with (self, name_a);
    fixture_commit (self);
    snprintf (path, sizeof path, "%s/secrets", self->home);
    mkdir (path, 0700);
    snprintf (path, sizeof path, "%s/secrets/%s", self->home, name_a);
    assert_int_equal (mkdir (path, 0700), 0); /* no file: reading fails for root too */
    recorder_secrets_t *secrets = open_secrets (self);
    assert_int_equal (recorder_secrets_get (secrets, yard_string (name_a)).size, 0);
    assert_true (is_there (self, name_a));
    recorder_secrets_close (&secrets);
}

static void a_grant_names_the_jobs_token_and_children_have_their_parents (void **state)
{
    fixture_t *self = *state;
    uint64_t id = submit_with (self, name_a);
    job_kind_t kind = job_kind_install;
    job_lease_ask_t lease = fixture_lease_ask ("installer", &kind, 1);
    job_lease_answer_t granted;
    yard_string_t *names = NULL;
    MUST (self, recorder_job_grant (&self->book, &lease, &granted, &names, &self->error));
    assert_true (yard_string_is (names [0], name_a));
    job_submit_ask_t file = fixture_download ("https://example.org/a/1");
    job_expand_ask_t expand = { .job = id,
                                .token = granted.grants.items [0].token,
                                .step = yard_string ("probe") };
    expand.children.items = &file;
    expand.children.count = 1;
    job_expand_answer_t children;
    MUST (self, recorder_job_expand (&self->book, &expand, &children, &self->error));
    kind = job_kind_download;
    MUST (self, recorder_job_grant (&self->book, &lease, &granted, &names, &self->error));
    assert_true (yard_string_is (names [0], name_a));
    job_t job;
    job_finish_ask_t finish = fixture_finish (children.children.items [0], granted.grants.items [0].token, 1);
    MUST (self, recorder_job_finish (&self->book, &finish, &job, &self->error));
    assert_int_equal (self->book.removed_count, 0); /* the parent may still need it */
    MUST (self, recorder_job_cancel (&self->book, id, &job, &self->error));
    assert_int_equal (self->book.removed_count, 1);
    assert_string_equal (self->book.removed [0].text, name_a);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_start_reads_named_tokens_and_removes_the_others),
        CASE (a_missing_token_does_not_stop_the_start),
        CASE (a_token_that_cannot_be_read_is_not_removed),
        CASE (a_grant_names_the_jobs_token_and_children_have_their_parents),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
