// SPDX-License-Identifier: Apache-2.0
/*  doctor_machine.c - what the kernel of this machine grants: locked memory, descriptors, io_uring, memfd
 *
 *  Looks by doing: what is refused here is refused to a loader of the same user. A service manager may grant its
 *  services more, or less, than this shell has; so limits are warnings.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "text.h"

#define DESCRIPTORS_BESIDE 1024 /* sockets, connections, views: what a loader has open beside model files */
#define PROBE_BYTES 4096

/*  The ring that files are read through is pinned for a GPU and registered for io_uring: both count as locked. */
static void check_memlock (doctor_t *self)
{
    struct rlimit limit;
    char has [32], wants [32];
    uint64_t ring = self->values ? self->values->loader.read_ahead_bytes : 0;
    if (getrlimit (RLIMIT_MEMLOCK, &limit)) {
        doctor_tell (self, "memlock", FINDING_WARN, "", "RLIMIT_MEMLOCK cannot be read: %s",
                     strerror (errno));
        return;
    }
    if (limit.rlim_cur == RLIM_INFINITY) {
        doctor_tell (self, "memlock", FINDING_OK, "", "memory may be locked without limit");
        return;
    }
    text_size (has, sizeof has, limit.rlim_cur);
    text_size (wants, sizeof wants, ring);
    if (limit.rlim_cur >= ring)
        doctor_tell (self, "memlock", FINDING_OK, "",
                     "%s may be locked, %s for reading; resident models beyond that may be swapped out", has,
                     wants);
    else
        doctor_tell (
            self, "memlock", FINDING_WARN,
            "raise it: LimitMEMLOCK=infinity in the service, `ulimit -l unlimited` in a shell",
            "only %s may be locked (RLIMIT_MEMLOCK), reading wants %s: reads are slower, resident models may "
            "be swapped out",
            has, wants);
}

static void check_descriptors (doctor_t *self)
{
    struct rlimit limit;
    uint64_t wants = DESCRIPTORS_BESIDE;
    if (self->values)
        wants += self->values->loader.files_max + self->values->loader.leases_max;
    if (getrlimit (RLIMIT_NOFILE, &limit))
        doctor_tell (self, "descriptors", FINDING_WARN, "", "RLIMIT_NOFILE cannot be read: %s",
                     strerror (errno));
    else if (limit.rlim_max >= wants)
        doctor_tell (self, "descriptors", FINDING_OK, "", "%llu files may be open, a full loader has %llu",
                     (unsigned long long) limit.rlim_max, (unsigned long long) wants);
    else
        doctor_tell (
            self, "descriptors", FINDING_WARN,
            "raise it: LimitNOFILE=65536 in the service, or lower loader.files_max and loader.leases_max",
            "only %llu files may be open (RLIMIT_NOFILE), a full loader has %llu",
            (unsigned long long) limit.rlim_max, (unsigned long long) wants);
}

/*  io_uring_setup (2): what a ring's first call says is what it will say to the loader. */
static void check_uring (doctor_t *self)
{
    struct io_uring_params parameters = { 0 };
    long fd = syscall (SYS_io_uring_setup, 1, &parameters);
    const char *next = errno == EPERM
                           ? "allow it: sysctl kernel.io_uring_disabled=0, or the container's seccomp profile"
                           : "use Linux 5.6 or newer with CONFIG_IO_URING";
    if (fd >= 0) {
        close ((int) fd);
        doctor_tell (self, "io_uring", FINDING_OK, "", "io_uring is there");
    } else
        doctor_tell (self, "io_uring", FINDING_WARN, next,
                     "io_uring is refused (%s): files are read by threads", strerror (errno));
}

/*  Resident models and every directory of tensors live in one. */
static void check_memfd (doctor_t *self)
{
    const int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    int fd = memfd_create ("modelyard-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool sealed = fd >= 0 && ftruncate (fd, PROBE_BYTES) == 0 && fcntl (fd, F_ADD_SEALS, seals) == 0;
    if (sealed)
        doctor_tell (self, "memfd", FINDING_OK, "", "memory can be shared sealed");
    else
        doctor_tell (self, "memfd", FINDING_FAIL,
                     "use Linux 5.1 or newer, and a seccomp profile that allows memfd_create",
                     "memory cannot be shared sealed: %s", strerror (errno));
    if (fd >= 0)
        close (fd);
}

static uint64_t machine_bytes (void)
{
    long pages = sysconf (_SC_PHYS_PAGES), size = sysconf (_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t) pages * (uint64_t) size : 0;
}

static void check_memory (doctor_t *self)
{
    char has [32], wants [32];
    uint64_t all = machine_bytes (), budget = self->values ? self->values->loader.host_bytes : 0;
    text_size (has, sizeof has, all);
    text_size (wants, sizeof wants, budget);
    if (budget > all)
        doctor_tell (self, "memory", FINDING_WARN,
                     "lower loader.host_bytes, or leave it at 0 for half of the memory",
                     "this machine has %s of memory, loader.host_bytes is %s", has, wants);
    else
        doctor_tell (self, "memory", FINDING_OK, "", "this machine has %s of memory, %s for resident models",
                     has, budget ? wants : "half of it");
}

void doctor_machine (doctor_t *self)
{
    check_memory (self);
    check_memlock (self);
    check_descriptors (self);
    check_uring (self);
    check_memfd (self);
}
