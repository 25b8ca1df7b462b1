// SPDX-License-Identifier: Apache-2.0
/*  doctor_yard.c - the yard's own places: home, models directory, run directory, broker, loaders
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include "loaders.h"
#include "text.h"
#include "up_lock.h"
#include "version.h"

#define SPACE_LOW ((uint64_t) 10 * 1024 * 1024 * 1024) /* below it the next checkpoint may not fit */
#define SPACE_NONE ((uint64_t) 64 * 1024 * 1024) /* below it the store itself is in danger */
#define SOCKET_NAME_MAX 44 /* "attach-", an instance of 32 digits, ".sock" */

/*  statfs (2) f_type of file systems whose bytes live on another machine (linux/magic.h, and the kernel's fs
 *  folder for those that are not in it). */
static const struct {
    unsigned long magic;
    const char *name;
} network_systems [] = {
    { 0x6969, "NFS" },      { 0x517B, "SMB" },        { 0xFF534D42, "CIFS" }, { 0xFE534D42, "SMB2" },
    { 0x65735546, "FUSE" }, { 0x01021997, "9p" },     { 0x5346414F, "AFS" },  { 0x6B414653, "kAFS" },
    { 0x00C36400, "Ceph" }, { 0x0BD00BD0, "Lustre" }, { 0x47504653, "GPFS" }, { 0x786F4256, "vboxsf" },
};

/*  --- directories */
/*  The nearest part of the path that is there: what is not made yet will lie on its file system. */
static void find_existing (const char *path, char *ret)
{
    snprintf (ret, PATH_MAX, "%s", path);
    while (access (ret, F_OK) && errno == ENOENT) {
        char *slash = strrchr (ret, '/');
        if (!slash || slash == ret) {
            snprintf (ret, PATH_MAX, "/");
            return;
        }
        *slash = 0;
    }
}

static const char *network_name (const char *path)
{
    struct statfs system;
    for (size_t i = 0; statfs (path, &system) == 0 && i < sizeof network_systems / sizeof network_systems [0];
         i++)
        if ((unsigned long) system.f_type == network_systems [i].magic)
            return network_systems [i].name;
    return NULL;
}

/*  By making a file without a name: rights, quotas and read-only mounts all speak then. */
static bool can_write (const char *path)
{
    int fd = open (path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close (fd);
    else if (errno == EOPNOTSUPP || errno == EISDIR) /* a file system without them */
        return access (path, W_OK | X_OK) == 0;
    return fd >= 0;
}

static void check_space (doctor_t *self, const char *check, const char *path)
{
    struct statvfs system;
    char size [32];
    if (statvfs (path, &system))
        return; /* it was told that it cannot be reached */
    uint64_t left = (uint64_t) system.f_bavail * system.f_frsize;
    text_size (size, sizeof size, left);
    if (left < SPACE_NONE)
        doctor_tell (self, check, FINDING_FAIL, "make room, or set models_dir to another disk",
                     "only %s free at %s", size, path);
    else if (left < SPACE_LOW)
        doctor_tell (self, check, FINDING_WARN, "make room: `modelyard ls` and `modelyard rm`",
                     "%s free at %s; a large model needs more", size, path);
    else
        doctor_tell (self, check, FINDING_OK, "", "%s free at %s", size, path);
}

/*  network: what a network file system is here. */
static void check_directory (doctor_t *self, const char *check, const char *path, finding_state_t network,
                             const char *network_next)
{
    char there [PATH_MAX];
    struct stat status;
    find_existing (path, there);
    bool exists = strcmp (there, path) == 0;
    if (stat (there, &status) || !S_ISDIR (status.st_mode)) {
        doctor_tell (self, check, FINDING_FAIL, "make it a directory of yours", "%s is no directory", there);
        return;
    }
    const char *name = network_name (there);
    if (!can_write (there))
        doctor_tell (self, check, FINDING_FAIL, "give this user the right to write there",
                     "%s cannot be written: %s", there, strerror (errno));
    else if (name)
        doctor_tell (self, check, network, network_next, "%s is on %s", path, name);
    else
        doctor_tell (self, check, FINDING_OK, "", "%s %s", path,
                     exists ? "can be written, on a local file system" : "will be made by `modelyard up`");
}

static void check_home (doctor_t *self)
{
    const char *home = self->invocation->paths.home;
    char there [PATH_MAX];
    check_directory (self, "home", home, FINDING_FAIL,
                     "set MODELYARD_HOME to a local disk: a database on a network file system gets damaged");
    find_existing (home, there);
    check_space (self, "home-space", there);
    if (!self->values)
        return;
    check_directory (self, "models", self->values->models_dir.data, FINDING_WARN,
                     "set loader.form to resident: a mapped file shares the network's fate");
    find_existing (self->values->models_dir.data, there);
    check_space (self, "models-space", there);
}

static void check_run (doctor_t *self)
{
    const char *run = self->invocation->paths.run;
    struct stat status;
    if (strlen (run) + 1 + SOCKET_NAME_MAX > YARD_SOCKET_PATH_MAX)
        doctor_tell (self, "run", FINDING_FAIL, "set MODELYARD_RUN to a shorter path",
                     "%s is too long for sockets in it: %d bytes at most", run,
                     YARD_SOCKET_PATH_MAX - 1 - SOCKET_NAME_MAX);
    else if (lstat (run, &status))
        doctor_tell (self, "run", errno == ENOENT ? FINDING_OK : FINDING_FAIL,
                     errno == ENOENT ? "" : "set MODELYARD_RUN to a directory of yours", "%s%s%s", run,
                     errno == ENOENT ? " " : ": ",
                     errno == ENOENT ? "will be made by `modelyard up`" : strerror (errno));
    else if (!S_ISDIR (status.st_mode) || status.st_uid != geteuid () || (status.st_mode & 077))
        doctor_tell (self, "run", FINDING_FAIL, "make it a directory of this user, mode 0700 (chmod 700)",
                     "%s is not this user's alone: its rights are who may command the yard", run);
    else
        doctor_tell (self, "run", FINDING_OK, "", "%s is this user's alone", run);
}

/*  --- processes */
static void tell_absence (doctor_t *self)
{
    pid_t pid;
    int pidfd = -1;
    yard_error_t error;
    int rc = up_lock_holder (self->invocation->paths.run, &pid, &pidfd, &error);
    if (rc == 0)
        close (pidfd);
    if (rc == 0)
        doctor_tell (self, "broker", FINDING_FAIL,
                     "see log/broker.log in its home, or `modelyard down` and `up`",
                     "a yard is up (process %ld), but its broker does not answer: %s", (long) pid,
                     self->invocation->error.text);
    else
        doctor_tell (self, "broker", FINDING_WARN, "`modelyard up --detach` starts one",
                     "no yard is up in %s", self->invocation->paths.run);
}

static void check_version (doctor_t *self, const yard_version_answer_t *version)
{
    if (yard_string_is (version->version, MODELYARD_VERSION))
        doctor_tell (self, "broker", FINDING_OK, "", "it answers, version %s", MODELYARD_VERSION);
    else
        doctor_tell (self, "broker", FINDING_WARN,
                     "install both from one package, then `modelyard down` and `up`",
                     "the yard is version %s, this program %s", version->version.data, MODELYARD_VERSION);
}

static void tell_loader (doctor_t *self, const loader_seen_t *seen)
{
    char budget [32], place [256];
    text_clean (place, sizeof place, seen->place);
    text_size (budget, sizeof budget, seen->about.budget_bytes);
    if (seen->described.code)
        doctor_tell (self, "loader", FINDING_FAIL, "see its log in the folder log of its home",
                     "%s does not answer: %s", place, seen->described.text);
    else if (seen->about.budget_bytes == 0)
        doctor_tell (self, "loader", FINDING_WARN,
                     "set loader.device_bytes (loader.host_bytes), or lower loader.device_spare_bytes",
                     "%s answers, but its budget is 0: nothing can be loaded into its memory", place);
    else
        doctor_tell (self, "loader", FINDING_OK, "", "%s answers, budget %s, reads by %s", place, budget,
                     seen->about.uring ? "io_uring" : "threads");
}

static void check_loaders (doctor_t *self)
{
    loaders_t loaders = { 0 };
    if (loaders_look (self->invocation, self->invocation->arena, LOADERS_DEVICE, NULL, &loaders)) {
        doctor_tell (self, "loader", FINDING_FAIL, "see the folder log in its home",
                     "loaders cannot be asked: %s", self->invocation->error.text);
        return;
    }
    if (loaders.count == 0)
        doctor_tell (self, "loader", FINDING_WARN,
                     "start one: `modelyard up` does, see log/loader.log in its home",
                     "no loader is up: models cannot be loaded");
    for (size_t i = 0; i < loaders.count; i++)
        tell_loader (self, &loaders.items [i]);
}

void doctor_yard (doctor_t *self)
{
    yard_version_answer_t version;
    check_home (self);
    check_run (self);
    if (invocation_ask (self->invocation, &yard_version_method, NULL, &version))
        tell_absence (self);
    else {
        check_version (self, &version);
        check_loaders (self);
    }
}
