// SPDX-License-Identifier: Apache-2.0
/*  store_script.c - the effects, and the order in which they happen
 */
#include "store_script.h"
#include "actors/recorder/jobs.h"
#include "actors/recorder/once.h"
#include "actors/recorder/records.h"

#define KEY_A "0000000000000000000000000000000a"
#define KEY_B "0000000000000000000000000000000b"

enum {
    INSTALL,
    CHILD_ONE,
    CHILD_TWO,
    DOWNLOAD_ONE,
    DOWNLOAD_TWO,
    LOCAL
};

/*  --- effects ------------------------------------------------------------------------------------------- */
static int submit (workload_t *self, int slot, job_kind_t kind, const char *source, bool local)
{
    job_submit_ask_t ask;
    job_submit_answer_t answer;
    yard_wire_init (job_submit_ask_type (), &ask);
    ask.kind = kind;
    ask.has_download = kind == job_kind_download;
    ask.has_install = kind == job_kind_install;
    if (ask.has_install) {
        ask.step = yard_string (local ? "probe" : "resolve");
        ask.install = (install_request_t){ .source = yard_string (source), .local = local };
        ask.has_equal = true;
        ask.equal = yard_string (source);
    } else
        ask.download = (download_request_t){ .source = yard_string (source),
                                             .path = yard_string ("/models/.staging/1/file") };
    int code = recorder_job_submit (&self->book, &ask, yard_string (""), &answer, &self->error);
    if (code == 0)
        self->known.jobs [slot] = answer.job.id;
    return code;
}

static int submit_install (workload_t *self)
{
    return submit (self, INSTALL, job_kind_install, "https://example.org/a", false);
}

static int submit_download_one (workload_t *self)
{
    return submit (self, DOWNLOAD_ONE, job_kind_download, "https://example.org/1", false);
}

static int submit_download_two (workload_t *self)
{
    return submit (self, DOWNLOAD_TWO, job_kind_download, "https://example.org/2", false);
}

static int submit_local (workload_t *self)
{
    return submit (self, LOCAL, job_kind_install, "/disk/a.safetensors", true);
}

static int lease (workload_t *self, const char *member, job_kind_t kind)
{
    job_lease_ask_t ask = { .node = yard_string ("box7"), .member = yard_string (member), .room = 4 };
    ask.kinds.items = &kind;
    ask.kinds.count = 1;
    job_lease_answer_t answer;
    yard_string_t *secrets = NULL;
    int code = recorder_job_grant (&self->book, &ask, &answer, &secrets, &self->error);
    for (size_t i = 0; code == 0 && i < answer.grants.count; i++)
        for (int slot = 0; slot < WORKLOAD_JOBS; slot++)
            if (self->known.jobs [slot] == answer.grants.items [i].job.id)
                self->known.tokens [slot] = answer.grants.items [i].token;
    return code;
}

static int lease_installs (workload_t *self)
{
    return lease (self, "installer", job_kind_install);
}

static int lease_downloads (workload_t *self)
{
    return lease (self, "w1", job_kind_download);
}

static int expand (workload_t *self)
{
    job_submit_ask_t files [2];
    for (int i = 0; i < 2; i++) {
        yard_wire_init (job_submit_ask_type (), &files [i]);
        files [i].kind = job_kind_download;
        files [i].has_download = true;
        files [i].download = (download_request_t){ .source = yard_string (i ? "https://example.org/a/2"
                                                                            : "https://example.org/a/1"),
                                                   .path = yard_string ("/models/.staging/1/file") };
    }
    job_expand_ask_t ask = { .job = self->known.jobs [INSTALL],
                             .token = self->known.tokens [INSTALL],
                             .step = yard_string ("probe"),
                             .local_path = yard_string ("/models/.staging/1") };
    ask.children.items = files;
    ask.children.count = 2;
    job_expand_answer_t answer;
    int code = recorder_job_expand (&self->book, &ask, &answer, &self->error);
    if (code == 0)
        memcpy (&self->known.jobs [CHILD_ONE], answer.children.items, 2 * sizeof self->known.jobs [0]);
    return code;
}

static int extend (workload_t *self)
{
    job_progress_t progress = { .job = self->known.jobs [CHILD_ONE],
                                .token = self->known.tokens [CHILD_ONE],
                                .bytes = 4 };
    job_extend_ask_t ask = { 0 };
    ask.leases.items = &progress;
    ask.leases.count = 1;
    job_extend_answer_t answer;
    uint64_t moved [1];
    size_t count;
    return recorder_job_extend (&self->book, &ask, &answer, moved, &count, &self->error);
}

static int finish (workload_t *self, int slot)
{
    static const char sha256 [] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    job_finish_ask_t ask = {
        .job = self->known.jobs [slot],
        .token = self->known.tokens [slot],
        .has_download_result = true,
        .download_result = { .path = yard_string ("/models/.staging/1/file"),
                             .bytes = 8,
                             .sha256 = yard_string (sha256) },
    };
    job_t job;
    return recorder_job_finish (&self->book, &ask, &job, &self->error);
}

static int finish_one (workload_t *self)
{
    return finish (self, CHILD_ONE);
}

static int finish_two (workload_t *self)
{
    return finish (self, CHILD_TWO);
}

static int fail_download (workload_t *self)
{
    job_fail_ask_t ask = { .job = self->known.jobs [DOWNLOAD_ONE],
                           .token = self->known.tokens [DOWNLOAD_ONE],
                           .error_type = yard_string ("http_failed"),
                           .error = yard_string ("it broke") };
    job_t job;
    return recorder_job_fail (&self->book, &ask, &job, &self->error);
}

static int cancel_download (workload_t *self)
{
    job_t job;
    return recorder_job_cancel (&self->book, self->known.jobs [DOWNLOAD_TWO], &job, &self->error);
}

static int release_install (workload_t *self)
{
    job_release_ask_t ask = { self->known.jobs [INSTALL], self->known.tokens [INSTALL] };
    job_t job;
    return recorder_job_release (&self->book, &ask, &job, &self->error);
}

static int prune (workload_t *self)
{
    job_prune_ask_t ask = { .has_kind = true, .kind = job_kind_download };
    job_prune_answer_t answer;
    return recorder_job_prune (&self->book, &ask, &answer, &self->error);
}

static model_config_t config (const char *key, const char *name)
{
    model_config_t ret;
    yard_wire_init (model_config_type (), &ret);
    ret.key = yard_string (key);
    ret.name = yard_string (name);
    ret.type = model_type_lora;
    ret.base = base_model_sd_1;
    ret.format = model_format_lycoris;
    ret.path = yard_string ("sd-1/lora/x");
    ret.hash = yard_string ("imohash:00");
    ret.total_bytes = 4096;
    return ret;
}

/*  Ends an install, in one transaction with its record. */
static int add_of_job (workload_t *self, int slot)
{
    job_t job;
    int code = recorder_job_get (&self->book, self->known.jobs [slot], &job, &self->error);
    if (code)
        return code;
    snprintf (self->known.key, sizeof self->known.key, "%.*s", YARD_VIEW (job.key));
    record_add_ask_t ask = { .config = config (self->known.key, "pencil"),
                             .has_job = true,
                             .job = self->known.jobs [slot],
                             .has_token = true,
                             .token = self->known.tokens [slot] };
    model_record_t record;
    return recorder_record_add (&self->book, &ask, &record, &self->error);
}

static int add_of_install (workload_t *self)
{
    return add_of_job (self, INSTALL);
}

static int add_of_local (workload_t *self)
{
    return add_of_job (self, LOCAL);
}

static int add (workload_t *self, const char *key, const char *name)
{
    record_add_ask_t ask = { .config = config (key, name) };
    model_record_t record;
    return recorder_record_add (&self->book, &ask, &record, &self->error);
}

static int add_a (workload_t *self)
{
    return add (self, KEY_A, "brush");
}

static int add_b (workload_t *self)
{
    return add (self, KEY_B, "chalk");
}

static int update_a (workload_t *self)
{
    record_update_ask_t ask = { .key = yard_string (KEY_A),
                                .changes = { .has_name = true,
                                             .name = yard_string ("ink"),
                                             .has_base = true,
                                             .base = base_model_sdxl } };
    model_record_t record;
    return recorder_record_update (&self->book, &ask, &record, &self->error);
}

static int delete_a (workload_t *self)
{
    model_record_t record;
    return recorder_record_delete (&self->book, yard_string (KEY_A), &record, &self->error);
}

/*  As the actor does: looked up first, kept with the effect. The second time it is there, and nothing
 *  happens. */
static int submit_once (workload_t *self)
{
    recorder_once_t key = { yard_string ("local"), yard_string ("job.submit"), yard_string ("k1"),
                            yard_string ("body") };
    yard_string_t answer;
    int code = recorder_once_find (&self->book, &key, &answer, &self->error);
    if (code)
        return code < 0 ? code : 0;
    code = submit_local (self);
    return code ? code : recorder_once_keep (&self->book, &key, yard_string ("answer"), &self->error);
}

static int expire (workload_t *self)
{
    self->book.now_ms += 2 * STORE_LEASE_MS;
    return recorder_jobs_expire (&self->book, &self->error);
}

/*  --- the script ---------------------------------------------------------------------------------------- */
#define EFFECT(name) \
    { \
#        name, STORE_EFFECT, name, false \
    }
#define COMMIT(name) \
    { \
#        name, STORE_EFFECT, name, true \
    }
#define RESTART \
    { \
        "restart", STORE_RESTART, NULL, true \
    }
#define PUBLISH \
    { \
        "publish", STORE_PUBLISH, NULL, true \
    }

const store_effect_t store_script [] = {
    RESTART,
    COMMIT (submit_install),
    EFFECT (submit_download_one),
    COMMIT (submit_download_two),
    COMMIT (lease_installs),
    COMMIT (expand),
    EFFECT (add_a),
    COMMIT (lease_downloads),
    COMMIT (extend),
    COMMIT (finish_one),
    EFFECT (fail_download),
    EFFECT (update_a),
    COMMIT (cancel_download),
    COMMIT (submit_once),
    RESTART,
    COMMIT (submit_once),
    PUBLISH,
    COMMIT (finish_two),
    COMMIT (lease_installs),
    COMMIT (release_install),
    COMMIT (lease_installs),
    EFFECT (add_b),
    COMMIT (add_of_install),
    EFFECT (delete_a),
    EFFECT (add_of_local),
    EFFECT (prune),
    COMMIT (submit_download_one),
    COMMIT (lease_downloads),
    COMMIT (expire),
    RESTART,
    EFFECT (lease_downloads),
    COMMIT (add_a),
    COMMIT (update_a),
};

const size_t store_script_count = sizeof store_script / sizeof store_script [0];
_Static_assert(sizeof store_script / sizeof store_script [0] <= WORKLOAD_EFFECTS_MAX,
               "acknowledged has room");
