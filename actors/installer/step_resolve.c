// SPDX-License-Identifier: Apache-2.0
/*  step_resolve.c - first step: what has to be fetched, and where to
 *
 *  A staging directory is made; a local file is copied into it, an URL becomes one download job. If the
 *  finished file is there already (a killed installer, or an undecided install of the same source that is
 *  tried again with overrides), the step is over at once.
 */
#include "installer.h"

#include "actors/ground/durable.h"
#include "actors/ground/fault.h"
#include "source.h"

typedef struct {
    const char *from; /* canonical source, terminated */
    const char *name; /* of the staged file */
    const char *inherit; /* staging directory of the undecided install before, or NULL */
    const char *staged; /* out: the finished file, NULL while there is none */
    uint64_t bytes;
    yard_error_t error;
} resolve_t;

/*  On a pool thread: directory, inherited bytes, local copy. */
static void work_resolve (void *argument)
{
    installer_lease_t *lease = argument;
    resolve_t *step = lease->step;
    if (yard_durable_mkdir (lease->staging, 0755, &step->error))
        return;
    if (installer_staging_file (lease->staging, lease->arena, &step->staged, &step->bytes, NULL) == 0)
        return;
    const char *before;
    if (step->inherit &&
        installer_staging_file (step->inherit, lease->arena, &before, &step->bytes, NULL) == 0) {
        const char *target = yard_arena_printf (lease->arena, "%s/%s", lease->staging, step->name);
        if (yard_durable_rename (before, target, &step->error) == 0)
            step->staged = target;
        return;
    }
    if (!lease->job.install.local)
        return;
    if (installer_staging_copy (step->from, lease->staging, step->name, lease->job.install.move, lease,
                                &step->error) == 0)
        installer_staging_file (lease->staging, lease->arena, &step->staged, &step->bytes, &step->error);
}

static void after_resolve (void *pointer, void *argument)
{
    (void) pointer;
    installer_lease_t *lease = argument;
    resolve_t *step = lease->step;
    if (step->error.code) {
        installer_lease_fail (lease, step->error.code, step->error.code == YARD_DISK_FULL, step->error.text);
        return;
    }
    job_submit_ask_t child;
    yard_wire_init (job_submit_ask_type (), &child);
    job_expand_ask_t ask;
    yard_wire_init (job_expand_ask_type (), &ask);
    ask.job = lease->job.id;
    ask.token = lease->token;
    ask.step = yard_string ("probe");
    ask.local_path = yard_string (lease->staging);
    ask.total_bytes = step->bytes;
    if (!step->staged) {
        child.kind = job_kind_download;
        child.priority = lease->job.priority;
        child.node = lease->job.node;
        child.has_download = true;
        child.download.source = lease->job.install.source;
        child.download.path =
            yard_string (yard_arena_printf (lease->arena, "%s/%s", lease->staging, step->name));
        ask.children.items = &child;
        ask.children.count = 1;
    }
    if (FAULT ("installer.before_expand")) {
        installer_lease_fail (lease, YARD_DISK_FAILED, true, "fault installer.before_expand");
        return;
    }
    installer_lease_expand (lease, &ask);
}

/*  An undecided install of the same source keeps its bytes; the newest one hands them on. */
static void on_earlier (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    installer_lease_t *lease = argument;
    resolve_t *step = lease->step;
    if (outcome->code == 0) {
        const job_list_answer_t *answer = outcome->answer;
        for (size_t i = 0; i < answer->jobs.count; i++)
            if (answer->jobs.items [i].id != lease->job.id &&
                yard_string_is (answer->jobs.items [i].error_type, yard_error_row (YARD_UNKNOWN_TYPE)->word))
                step->inherit = installer_staging_path (self, answer->jobs.items [i].id, lease->arena);
    }
    yard_offload (self->actor, work_resolve, after_resolve, lease);
}

void installer_step_resolve (installer_lease_t *lease)
{
    resolve_t *step = yard_arena_alloc (lease->arena, sizeof *step);
    lease->step = step;
    step->from = yard_arena_text (lease->arena, lease->job.install.source);
    step->name = installer_source_file_name (&lease->job.install, lease->arena);
    if (installer_staging_is_leftover (step->name)) /* a model called x.part must not look like one */
        step->name = yard_arena_printf (lease->arena, "%s_", step->name);
    job_list_ask_t ask;
    yard_wire_init (job_list_ask_type (), &ask);
    ask.has_kind = true;
    ask.kind = job_kind_install;
    ask.has_status = true;
    ask.status = job_status_error;
    ask.has_source = true;
    ask.source = lease->job.install.source;
    ask.limit = 256;
    yard_ask (lease->owner->actor, &job_list_method, &ask, NULL, on_earlier, lease);
}
