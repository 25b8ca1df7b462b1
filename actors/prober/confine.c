// SPDX-License-Identifier: Apache-2.0
/*  confine.c - no_new_privs, Landlock, limits, seccomp, in this order: each needs what the next takes away
 */
#include "actors/prober/confine.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/*  Sanitizers keep a shadow of terabytes and write their reports to standard error. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SANITIZED 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#        define SANITIZED 1
#    endif
#endif

const prober_limits_t prober_limits_default = {
    .children = 4,
    .wall_ms = 30000,
    .cpu_s = 10,
    .memory_bytes = 1u << 30,
};

/*  All rights over files of Landlock's first version, execute to make_sym: handled, and granted nowhere.
 *  Later versions' rights (refer, truncate, devices) need an opened file or a right among these. */
#define LANDLOCK_FIRST_RIGHTS ((1ull << 13) - 1)

int prober_landlock_version (void)
{
    long version = syscall (SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version > 0 ? (int) version : 0;
}

static int close_files (yard_error_t *error)
{
    struct landlock_ruleset_attr nothing = { .handled_access_fs = LANDLOCK_FIRST_RIGHTS };
    if (prober_landlock_version () == 0)
        return 0; /* the filter alone then; the actor reports that at its start */
    int ruleset = (int) syscall (SYS_landlock_create_ruleset, &nothing, sizeof nothing, 0);
    if (ruleset < 0 || syscall (SYS_landlock_restrict_self, ruleset, 0) != 0)
        return yard_error_errno (error, errno, "closing the file system to the probe (landlock)");
    close (ruleset);
    return 0;
}

static int limit (int resource, rlim_t soft, rlim_t hard, yard_error_t *error)
{
    struct rlimit value = { .rlim_cur = soft, .rlim_max = hard };
    if (setrlimit ((__rlimit_resource_t) resource, &value) != 0)
        return yard_error_errno (error, errno, "limiting the probe (resource %d)", resource);
    return 0;
}

static int limit_all (const prober_limits_t *limits, yard_error_t *error)
{
    /* SIGXCPU at the soft limit says why; one second later SIGKILL would. */
    int rc = limit (RLIMIT_CPU, limits->cpu_s, limits->cpu_s + 1, error);
#ifndef SANITIZED
    if (rc == 0)
        rc = limit (RLIMIT_AS, limits->memory_bytes, limits->memory_bytes, error);
#endif
    if (rc == 0)
        rc = limit (RLIMIT_CORE, 0, 0, error);
    if (rc == 0)
        rc = limit (RLIMIT_FSIZE, 0, 0, error);
    return rc ? rc : limit (RLIMIT_NOFILE, 0, 0, error); /* what is open stays open */
}

/*  What the first argument, or the protection of memory, must be. */
typedef enum {
    ANY,
    ON_FILE,
    ON_RESULT,
    ON_SELF,
    NOT_EXECUTABLE,
    ON_STDERR
} condition_t;

static const struct {
    int call;
    condition_t condition;
} allowed [] = {
    { SCMP_SYS (pread64), ON_FILE },
    { SCMP_SYS (fstat), ON_FILE },
    { SCMP_SYS (sendto), ON_RESULT },
    { SCMP_SYS (exit_group), ANY },
    { SCMP_SYS (exit), ANY },
    /* malloc and free */
    { SCMP_SYS (mmap), NOT_EXECUTABLE },
    { SCMP_SYS (mprotect), NOT_EXECUTABLE },
    { SCMP_SYS (munmap), ANY },
    { SCMP_SYS (mremap), ANY },
    { SCMP_SYS (brk), ANY },
    { SCMP_SYS (madvise), ANY },
    { SCMP_SYS (futex), ANY },
    { SCMP_SYS (sysinfo), ANY }, /* glibc's qsort asks how much memory there is */
    { SCMP_SYS (clock_gettime), ANY },
    { SCMP_SYS (rt_sigreturn), ANY },
    /* abort: so that it ends as SIGABRT, and not as something forbidden */
    { SCMP_SYS (rt_sigprocmask), ANY },
    { SCMP_SYS (getpid), ANY },
    { SCMP_SYS (gettid), ANY },
    { SCMP_SYS (tgkill), ON_SELF },
#ifdef SANITIZED
    { SCMP_SYS (write), ON_STDERR },
    { SCMP_SYS (sched_yield), ANY },
    { SCMP_SYS (sigaltstack), ANY },
    { SCMP_SYS (rt_sigaction), ANY },
#endif
};

static int allow (scmp_filter_ctx filter, int call, condition_t condition, int file, int result)
{
    const struct scmp_arg_cmp conditions [] = {
        [ON_FILE] = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t) file },
        [ON_RESULT] = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t) result },
        [ON_SELF] = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t) getpid () },
        [NOT_EXECUTABLE] = { .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0 },
        [ON_STDERR] = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = STDERR_FILENO },
    };
    return seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, call, condition == ANY ? 0 : 1,
                                   &conditions [condition]);
}

static int filter_calls (int file, int result, yard_error_t *error)
{
    scmp_filter_ctx filter = seccomp_init (SCMP_ACT_KILL_PROCESS);
    int rc = filter ? 0 : -ENOMEM;
    for (size_t at = 0; at < sizeof allowed / sizeof allowed [0] && rc == 0; at++)
        rc = allow (filter, allowed [at].call, allowed [at].condition, file, result);
    if (rc == 0)
        rc = seccomp_load (filter);
    seccomp_release (filter);
    return rc ? yard_error_errno (error, -rc, "loading the probe's filter (seccomp)") : 0;
}

int prober_confine (int file, int result, const prober_limits_t *limits, yard_error_t *error)
{
    if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return yard_error_errno (error, errno, "giving up privileges (no_new_privs)");
    int rc = close_files (error);
    if (rc == 0)
        rc = limit_all (limits, error);
    return rc ? rc : filter_calls (file, result, error);
}
