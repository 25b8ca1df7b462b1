// SPDX-License-Identifier: Apache-2.0
/*  recorder_fixture.h - a book of the recorder in a directory of its own, with a clock that stands still
 *  until it is moved
 *
 *  For the unit tests of actors/recorder. Everything happens through effects, bracketed as the actor brackets
 *  them.
 */
#ifndef YARD_TESTS_RECORDER_FIXTURE_H
#define YARD_TESTS_RECORDER_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include "actors/ground/durable.h"
#include "actors/recorder/events.h"
#include "actors/recorder/jobs.h"
#include "actors/recorder/once.h"
#include "actors/recorder/records.h"

#define LEASE_MS 30000
#define WALL_MS 1700000000000

typedef struct {
    char home [64], path [80];
    yard_random_t random;
    recorder_limits_t limits;
    recorder_book_t book;
    yard_error_t error;
} fixture_t;

static inline void fixture_open (fixture_t *self)
{
    memset (&self->book, 0, sizeof self->book);
    if (recorder_book_open (&self->book, self->path, &self->random, &self->limits, 1000, WALL_MS,
                            &self->error))
        fail_msg ("%s", self->error.text);
}

/*  As after kill -9 and a start: nothing but the file is kept. */
static inline void fixture_reopen (fixture_t *self)
{
    recorder_book_close (&self->book);
    fixture_open (self);
}

static inline int fixture_setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    snprintf (self->home, sizeof self->home, "/tmp/yard-recorder-XXXXXX");
    assert_non_null (mkdtemp (self->home));
    snprintf (self->path, sizeof self->path, "%s/yard.db", self->home);
    yard_random_seed (&self->random, 7);
    self->limits = (recorder_limits_t){ LEASE_MS, 5, 1000 };
    fixture_open (self);
    *state = self;
    return 0;
}

static inline int fixture_teardown (void **state)
{
    fixture_t *self = *state;
    recorder_book_close (&self->book);
    assert_int_equal (yard_durable_remove (self->home, &self->error), 0);
    free (self);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, fixture_setup, fixture_teardown)

/*  The code of an effect that enters, happens and leaves. */
#define EFFECT_CODE(self, call) \
    (recorder_book_enter (&(self)->book, &(self)->error) \
         ? (self)->error.code \
         : recorder_book_leave (&(self)->book, call, &(self)->error))

#define MUST(self, call) \
    do { \
        if (EFFECT_CODE (self, call)) \
            fail_msg ("%s: %s", #call, (self)->error.text); \
    } while (0)

static inline void fixture_commit (fixture_t *self)
{
    if (recorder_book_commit (&self->book, &self->error))
        fail_msg ("%s", self->error.text);
    recorder_book_turn_over (&self->book);
}

/*  --- asks
 *  ---------------------------------------------------------------------------------------------------------------- */
static inline job_submit_ask_t fixture_download (const char *source)
{
    job_submit_ask_t ask;
    yard_wire_init (job_submit_ask_type (), &ask);
    ask.kind = job_kind_download;
    ask.has_download = true;
    ask.download = (download_request_t){ .source = yard_string (source),
                                         .path = yard_string ("/models/.staging/1/file") };
    return ask;
}

static inline job_submit_ask_t fixture_install (const char *source, bool local)
{
    job_submit_ask_t ask;
    yard_wire_init (job_submit_ask_type (), &ask);
    ask.kind = job_kind_install;
    ask.step = yard_string (local ? "probe" : "resolve");
    ask.has_install = true;
    ask.install = (install_request_t){ .source = yard_string (source), .local = local };
    return ask;
}

static inline uint64_t fixture_submit (fixture_t *self, const job_submit_ask_t *ask)
{
    job_submit_answer_t answer;
    MUST (self, recorder_job_submit (&self->book, ask, yard_string (""), &answer, &self->error));
    assert_false (answer.existed);
    return answer.job.id;
}

static inline job_lease_ask_t fixture_lease_ask (const char *member, job_kind_t *kind, uint64_t room)
{
    job_lease_ask_t ask = { .node = yard_string ("box7"), .member = yard_string (member), .room = room };
    ask.kinds.items = kind;
    ask.kinds.count = 1;
    return ask;
}

/*  The token of one grant of this kind; *ret_id is 0 if there was no work. */
static inline uint64_t fixture_grant (fixture_t *self, const char *member, job_kind_t kind, uint64_t *ret_id)
{
    job_lease_ask_t ask = fixture_lease_ask (member, &kind, 1);
    job_lease_answer_t answer;
    yard_string_t *secrets = NULL;
    MUST (self, recorder_job_grant (&self->book, &ask, &answer, &secrets, &self->error));
    *ret_id = answer.grants.count ? answer.grants.items [0].job.id : 0;
    return answer.grants.count ? answer.grants.items [0].token : 0;
}

static inline job_t fixture_job (fixture_t *self, uint64_t id)
{
    job_t job;
    if (recorder_job_get (&self->book, id, &job, &self->error))
        fail_msg ("%s", self->error.text);
    return job;
}

static inline job_finish_ask_t fixture_finish (uint64_t job, uint64_t token, uint64_t bytes)
{
    return (job_finish_ask_t){
        .job = job,
        .token = token,
        .has_download_result = true,
        .download_result = {
            .path = yard_string ("/models/.staging/1/file"),
            .bytes = bytes,
            .sha256 = yard_string ("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        },
    };
}

static inline model_config_t fixture_config (const char *key, const char *name)
{
    model_config_t config;
    yard_wire_init (model_config_type (), &config);
    config.key = yard_string (key);
    config.name = yard_string (name);
    config.type = model_type_lora;
    config.base = base_model_sd_1;
    config.format = model_format_lycoris;
    config.path = yard_string ("sd-1/lora/x");
    config.hash = yard_string ("imohash:00");
    config.total_bytes = 4096;
    return config;
}

/*  Events after a change, in order; a name per line into text. */
static inline void fixture_events (fixture_t *self, uint64_t after, char *text, size_t size)
{
    event_history_ask_t ask = { .after = after, .limit = 256 };
    event_history_answer_t answer;
    if (recorder_events_history (&self->book, &ask, &answer, &self->error))
        fail_msg ("%s", self->error.text);
    size_t used = 0;
    text [0] = 0;
    for (size_t i = 0; i < answer.events.count; i++)
        used += (size_t) snprintf (text + used, size - used, "%.*s/%.*s ",
                                   YARD_VIEW (answer.events.items [i].name),
                                   YARD_VIEW (answer.events.items [i].subject));
}

static inline void assert_events (fixture_t *self, uint64_t after, const char *expected)
{
    char text [2048];
    fixture_events (self, after, text, sizeof text);
    assert_string_equal (text, expected);
}

#endif
