// SPDX-License-Identifier: Apache-2.0
/*  doctor_devices.c - GPUs: the plug-in, the driver, each device; and the proofs of one
 *
 *  A machine without them is a machine whose yard runs on the host: a warning. It is a failure only where the
 *  configuration asks for a GPU (loader.devices).
 */
#include "doctor.h"

#include "actors/loader/device_proof.h"
#include "json_line.h"
#include "text.h"

static const char *export_word (loader_export_t exports)
{
    return exports == LOADER_EXPORT_VMM ? "descriptors (vmm)" : "handles (ipc)";
}

static bool are_wanted (const doctor_t *self)
{
    return self->values && self->values->loader.devices.size > 0;
}

/*  CUDA counts 12050 for 12.5, NCCL 22304 for 2.23.4 (cuda_runtime_api.h, nccl.h). */
static void tell_versions (doctor_t *self, const loader_device_about_t *about)
{
    char nccl [64] = "no NCCL: models are not spread over several GPUs";
    int version = about->nccl_version;
    if (version)
        snprintf (nccl, sizeof nccl, "NCCL %d.%d.%d", version / 10000, version % 10000 / 100, version % 100);
    doctor_tell (self, "cuda", FINDING_OK, "", "driver for CUDA %d.%d, runtime %d.%d, %s",
                 about->driver_version / 1000, about->driver_version % 1000 / 10,
                 about->runtime_version / 1000, about->runtime_version % 1000 / 10, nccl);
}

static void tell_device (doctor_t *self, size_t number, const device_row_t *row)
{
    const loader_device_about_t *about = &row->about;
    char all [32], left [32];
    if (row->error.code) {
        doctor_tell (self, "device", are_wanted (self) ? FINDING_FAIL : FINDING_WARN, "see `nvidia-smi`",
                     "cuda:%zu (%s) cannot be used: %s", number, *about->name ? about->name : "unknown",
                     row->error.text);
        return;
    }
    doctor_tell (self, "device", FINDING_OK, "", "cuda:%zu is %s, %s, PCI %s, %s, %s free, shared by %s",
                 number, about->name, about->uuid, about->pci,
                 text_size (all, sizeof all, about->bytes_total),
                 text_size (left, sizeof left, about->bytes_free), export_word (about->exports));
}

void doctor_devices (doctor_t *self)
{
    finding_state_t missing = are_wanted (self) ? FINDING_FAIL : FINDING_WARN;
    if (self->devices_error->code)
        doctor_tell (self, "cuda", missing, "", "%s; the yard runs on the host", self->devices_error->text);
    else if (self->devices->count == 0)
        doctor_tell (self, "cuda", missing, "see `nvidia-smi` and CUDA_VISIBLE_DEVICES",
                     "the driver shows no device; the yard runs on the host");
    else
        tell_versions (self, &self->devices->rows [0].about);
    for (size_t i = 0; i < self->devices->count; i++)
        tell_device (self, i, &self->devices->rows [i]);
}

/*  --- proofs */
typedef struct {
    const invocation_t *invocation;
    size_t count [LOADER_PROOF_SKIPPED + 1];
} proven_t;

static void on_proof (void *argument, const char *proof, loader_proof_outcome_t outcome, const char *why)
{
    static const char *const words [] = {
        [LOADER_PROOF_PASSED] = "pass", [LOADER_PROOF_FAILED] = "fail", [LOADER_PROOF_SKIPPED] = "skip"
    };
    proven_t *self = argument;
    char clean [2 * YARD_ERROR_TEXT_MAX];
    yard_buffer_t line;
    bool told = outcome != LOADER_PROOF_PASSED && why && *why;
    self->count [outcome]++;
    if (!self->invocation->json) {
        printf ("%s  %s%s%s\n", words [outcome], proof, told ? ": " : "",
                told ? text_clean (clean, sizeof clean, yard_string (why)) : "");
        fflush (stdout);
        return;
    }
    yard_buffer_init (&line, INVOCATION_JSON_MAX);
    yard_buffer_printf (&line, "{\"outcome\":\"%s\",", words [outcome]);
    json_line_text (&line, "proof", yard_string (proof));
    yard_buffer_text (&line, ",");
    json_line_text (&line, "why", yard_string (told ? why : ""));
    yard_buffer_text (&line, "}");
    invocation_json_line (&line);
    yard_buffer_clear (&line);
}

int doctor_prove (invocation_t *self, const char *device)
{
    proven_t proven = { .invocation = self };
    int rc = loader_device_prove (device, LOADER_EXPORT_AUTO, on_proof, &proven, &self->error);
    if (!self->json)
        fprintf (stderr, "%s: %zu passed, %zu failed, %zu skipped\n", device,
                 proven.count [LOADER_PROOF_PASSED], proven.count [LOADER_PROOF_FAILED],
                 proven.count [LOADER_PROOF_SKIPPED]);
    return rc ? invocation_failed (self) : EXIT_DONE;
}
