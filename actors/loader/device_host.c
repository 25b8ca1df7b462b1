// SPDX-License-Identifier: Apache-2.0
/*  device_host.c - the host's own memory behind the device door
 *
 *  Promises: every way that a model takes to a device works here too, on any machine: memory is a memfd of exactly the bytes asked for,
 *  exported as a descriptor that nobody can write through; a copy is over when it has begun.
 *  Refuses: more than the kernel says is available now. A memfd takes its pages when they are written, which is too late to say no.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include "actors/loader/device.h"

#define MEMINFO_TEXT_MAX 8192 /* /proc/meminfo has 1.5 KiB */

typedef struct pin_t {
    struct pin_t *next;
    void *data;
    size_t size;
} pin_t;

struct loader_device_t {
    pin_t *pins;
};

struct loader_memory_t {
    char *data;
    uint64_t bytes;
    int fd;
    bool imported;
};

struct loader_event_t {
    char unused; /* whatever it stands behind is over already */
};

static int host_count (int *ret_count, yard_error_t *error)
{
    (void) error;
    *ret_count = 1;
    return 0;
}

/*  "MemAvailable:   12345 kB" */
static uint64_t meminfo_bytes (const char *text, const char *name)
{
    const char *line = strstr (text, name);
    return line ? strtoull (line + strlen (name), NULL, 10) * 1024 : 0;
}

static int read_meminfo (loader_device_about_t *ret, yard_error_t *error)
{
    char text [MEMINFO_TEXT_MAX];
    int fd = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read (fd, text, sizeof text - 1) : -1;
    int saved = errno;
    if (fd >= 0)
        close (fd);
    if (size < 0)
        return yard_error_errno (error, saved, "reading /proc/meminfo");
    text [size] = 0;
    ret->bytes_total = meminfo_bytes (text, "MemTotal:");
    ret->bytes_free = meminfo_bytes (text, "MemAvailable:");
    return 0;
}

static int host_look (int number, loader_device_about_t *ret, yard_error_t *error)
{
    assert (number == 0);
    loader_device_about_t about = {
        .name = "host memory", .numa_node = -1, .granularity = 1, .exports = LOADER_EXPORT_VMM
    };
    int rc = read_meminfo (&about, error);
    if (!rc)
        *ret = about;
    return rc;
}

static int host_about (loader_device_t *self, loader_device_about_t *ret, yard_error_t *error)
{
    (void) self;
    return host_look (0, ret, error);
}

static int host_open (const char *device, loader_export_t wish, loader_device_t **ret, yard_error_t *error)
{
    assert (strcmp (device, "host") == 0);
    if (wish == LOADER_EXPORT_IPC)
        return yard_error (error, YARD_NOT_SERVED,
                           "the host's memory is shared by descriptor; set loader.export to auto or vmm");
    loader_device_t *self = calloc (1, sizeof *self);
    if (!self)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no memory to open the host");
    *ret = self;
    return 0;
}

static void host_close (loader_device_t **self_p)
{
    loader_device_t *self = *self_p;
    *self_p = NULL;
    assert (!self || !self->pins);
    free (self);
}

/*  --- memory */
static void host_release (loader_device_t *self, loader_memory_t **memory_p)
{
    loader_memory_t *memory = *memory_p;
    (void) self;
    *memory_p = NULL;
    if (!memory)
        return;
    if (memory->data)
        munmap (memory->data, memory->bytes);
    if (memory->fd >= 0)
        close (memory->fd);
    free (memory);
}

static loader_memory_t *memory_new (uint64_t bytes, int fd, yard_error_t *error)
{
    loader_memory_t *memory = calloc (1, sizeof *memory);
    if (!memory)
        yard_error (error, YARD_OUT_OF_MEMORY, "no memory for an allocation's row");
    else
        *memory = (loader_memory_t){ .bytes = bytes, .fd = fd };
    return memory;
}

static int map_memory (loader_memory_t *memory, int fd, int rights, yard_error_t *error)
{
    void *data = mmap (NULL, memory->bytes, rights, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return yard_error_errno (error, errno, "mapping %llu bytes", (unsigned long long) memory->bytes);
    memory->data = data;
    return 0;
}

/*  A file of its size for ever, that this process's mapping alone writes. */
static int fill_memory (loader_memory_t *memory, yard_error_t *error)
{
    memory->fd = memfd_create ("modelyard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory->fd < 0 || ftruncate (memory->fd, (off_t) memory->bytes) != 0)
        return yard_error_errno (error, errno, "making a memory file of %llu bytes",
                                 (unsigned long long) memory->bytes);
    int rc = map_memory (memory, memory->fd, PROT_READ | PROT_WRITE, error);
    if (!rc && fcntl (memory->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE) != 0)
        rc = yard_error_errno (error, errno, "sealing a memory file");
    return rc;
}

static int host_allocate (loader_device_t *self, uint64_t bytes, loader_memory_t **ret, yard_error_t *error)
{
    loader_device_about_t about;
    int rc = host_about (self, &about, error);
    if (rc)
        return rc;
    if (bytes > about.bytes_free)
        return yard_error (error, YARD_OUT_OF_MEMORY,
                           "the host has %llu bytes available and %llu are asked for; unload a model",
                           (unsigned long long) about.bytes_free, (unsigned long long) bytes);
    loader_memory_t *memory = memory_new (bytes ? bytes : 1, -1, error);
    if (!memory)
        return YARD_OUT_OF_MEMORY;
    rc = fill_memory (memory, error);
    if (rc)
        host_release (self, &memory);
    else
        *ret = memory;
    return rc;
}

static uint64_t host_bytes (const loader_memory_t *memory)
{
    return memory->bytes;
}

static int host_export (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                        yard_error_t *error)
{
    char path [64];
    (void) self;
    assert (!memory->imported);
    snprintf (path, sizeof path, "/proc/self/fd/%d", memory->fd);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return yard_error_errno (error, errno, "opening a memory file for reading");
    *ret = (loader_handle_t){ .form = LOADER_EXPORT_VMM, .fd = fd, .size = memory->bytes };
    return 0;
}

static int host_import (loader_device_t *self, const loader_handle_t *handle, loader_memory_t **ret,
                        yard_error_t *error)
{
    if (handle->form != LOADER_EXPORT_VMM || handle->size == 0)
        return yard_error (error, YARD_INVALID_MESSAGE, "the handle is none of the host's memory");
    loader_memory_t *memory = memory_new (handle->size, -1, error);
    if (!memory)
        return YARD_OUT_OF_MEMORY;
    memory->imported = true;
    int rc = map_memory (memory, handle->fd, PROT_READ, error);
    if (rc)
        host_release (self, &memory);
    else
        *ret = memory;
    return rc;
}

/*  --- pinning: the pages stay in memory, as a device's copies would need them */
static int host_pin (loader_device_t *self, void *data, size_t size, yard_error_t *error)
{
    pin_t *pin = calloc (1, sizeof *pin);
    if (!pin)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no memory for the row of what is pinned");
    if (mlock (data, size) != 0) {
        free (pin);
        return yard_error (error, YARD_OUT_OF_MEMORY,
                           "locking %zu bytes in memory: %s; raise the limit of locked memory (ulimit -l)",
                           size, strerrordesc_np (errno));
    }
    *pin = (pin_t){ .next = self->pins, .data = data, .size = size };
    self->pins = pin;
    return 0;
}

static void host_unpin (loader_device_t *self, void *data)
{
    pin_t **at = &self->pins;
    while (*at && (*at)->data != data)
        at = &(*at)->next;
    assert (*at);
    pin_t *pin = *at;
    *at = pin->next;
    munlock (pin->data, pin->size);
    free (pin);
}

/*  --- copies */
static int host_event_new (loader_device_t *self, loader_event_t **ret, yard_error_t *error)
{
    (void) self;
    loader_event_t *event = calloc (1, sizeof *event);
    if (!event)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no memory for an event");
    *ret = event;
    return 0;
}

static void host_event_destroy (loader_device_t *self, loader_event_t **event_p)
{
    (void) self;
    free (*event_p);
    *event_p = NULL;
}

static bool holds (const loader_memory_t *memory, uint64_t offset, size_t size)
{
    return offset <= memory->bytes && size <= memory->bytes - offset;
}

static int host_copy (loader_device_t *self, loader_memory_t *to, uint64_t offset, const void *from,
                      size_t size, loader_event_t *event, yard_error_t *error)
{
    (void) self, (void) event, (void) error;
    assert (holds (to, offset, size) && !to->imported);
    memcpy (to->data + offset, from, size);
    return 0;
}

static int host_done (loader_device_t *self, loader_event_t *event, int *ret_done, yard_error_t *error)
{
    (void) self, (void) event, (void) error;
    *ret_done = 1;
    return 0;
}

static int host_wait (loader_device_t *self, loader_event_t *event, yard_error_t *error)
{
    (void) self, (void) event, (void) error;
    return 0;
}

static int host_read (loader_device_t *self, loader_memory_t *from, uint64_t offset, void *to, size_t size,
                      yard_error_t *error)
{
    (void) self, (void) error;
    assert (holds (from, offset, size));
    memcpy (to, from->data + offset, size);
    return 0;
}

const loader_device_class_t loader_device_host = {
    .version = LOADER_DEVICE_VERSION,
    .name = "host",
    .count = host_count,
    .look = host_look,
    .open = host_open,
    .close = host_close,
    .about = host_about,
    .allocate = host_allocate,
    .release = host_release,
    .bytes = host_bytes,
    .export_memory = host_export,
    .import_memory = host_import,
    .pin = host_pin,
    .unpin = host_unpin,
    .event_new = host_event_new,
    .event_destroy = host_event_destroy,
    .copy = host_copy,
    .done = host_done,
    .wait = host_wait,
    .read = host_read,
};
