// SPDX-License-Identifier: Apache-2.0
/*  nccl_error.c - the simulated NCCL's words, its script of failures, its settings
 */
#include <stdarg.h>
#include "tests/simcuda/nccl_inside.h"

#define SENTENCE_SIZE 512
#define PATIENCE_MS 10000 /* waiting longer than this is worth a line; slow disks are no mistake */

/*  The API has one last error per process (NCCL user guide, ncclGetLastError), so this is one too. */
static struct {
    pthread_mutex_t lock;
    char sentence [SENTENCE_SIZE];
} last = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*  The real library's answers, compared with it by nccl_real_test.c. */
static const char *const texts [] = {
    [ncclSuccess] = "no error",
    [ncclUnhandledCudaError] = "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
    [ncclSystemError] = "unhandled system error (run with NCCL_DEBUG=INFO for details)",
    [ncclInternalError] = "internal error - please report this issue to the NCCL developers",
    [ncclInvalidArgument] = "invalid argument (run with NCCL_DEBUG=WARN for details)",
    [ncclInvalidUsage] = "invalid usage (run with NCCL_DEBUG=WARN for details)",
    [ncclRemoteError] = "remote process exited or there was a network error",
    [ncclInProgress] = "NCCL operation in progress",
};

const char *ncclGetErrorString (ncclResult_t result)
{
    size_t at = (size_t) result;
    return at < sizeof texts / sizeof texts [0] ? texts [at] : "unknown result code";
}

/*  The pointer stays good for the process's life; the words may change under a reader, as the real one's do. */
const char *ncclGetLastError (ncclComm_t comm)
{
    (void) comm; /* unused, as the user guide says */
    return last.sentence;
}

ncclResult_t simnccl_wrong (ncclResult_t code, const char *format, ...)
{
    char sentence [SENTENCE_SIZE];
    va_list values;
    va_start (values, format);
    vsnprintf (sentence, sizeof sentence, format, values);
    va_end (values);
    pthread_mutex_lock (&last.lock);
    memcpy (last.sentence, sentence, sizeof sentence);
    pthread_mutex_unlock (&last.lock);
    simcuda_log ("nccl.refused code=%d %s", (int) code, sentence);
    return code;
}

simnccl_fault_t simnccl_fault (const char *name)
{
    static const char async [] = "async";
    const char *script = simcuda_fault (name);
    simnccl_fault_t fault = { .kind = SIMNCCL_FAULT_NONE };
    if (!script)
        return fault;
    if (strcmp (script, "hang") == 0)
        fault.kind = SIMNCCL_FAULT_HANG;
    else if (strncmp (script, async, sizeof async - 1) == 0)
        fault.kind = SIMNCCL_FAULT_ASYNC;
    else
        fault.kind = SIMNCCL_FAULT_RETURN;
    script += fault.kind == SIMNCCL_FAULT_ASYNC ? sizeof async - 1 : 0;
    script += fault.kind == SIMNCCL_FAULT_ASYNC && *script == ':';
    fault.code = (ncclResult_t) strtol (script, NULL, 10);
    return fault;
}

uint64_t simnccl_setting (const char *name, uint64_t otherwise)
{
    const char *text = getenv (name);
    return text && *text ? strtoull (text, NULL, 10) : otherwise;
}

bool simnccl_impatient (uint64_t since)
{
    return simnccl_now () - since > simnccl_setting ("SIMNCCL_PATIENCE_MS", PATIENCE_MS) * 1000000;
}
