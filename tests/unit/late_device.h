// SPDX-License-Identifier: Apache-2.0
/*  late_device.h - a device for tests: the host's memory, copies that happen late, and a call that fails
 *
 *  Who includes this has a loader_device_class of its own, so the library's (device_plugin.c) is not linked. A copy reads its source only
 *  when it is over, and is over when it was asked about LATE_LOOKS times or waited for; so a source that is given up too early shows.
 *  Every call must come from one thread.
 */
#ifndef TESTS_UNIT_LATE_DEVICE_H
#define TESTS_UNIT_LATE_DEVICE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "actors/loader/device.h"

#define LATE_LOOKS 3

typedef enum {
    LATE_NOTHING,
    LATE_OPEN,
    LATE_ABOUT,
    LATE_ALLOCATE,
    LATE_EXPORT,
    LATE_PIN,
    LATE_EVENT,
    LATE_COPY,
    LATE_DONE, /* done or wait */
    LATE_READ, /* bytes that were read back are others */
    LATE_POINTS
} late_point_t;

/*  Set while no device is open. */
typedef struct {
    late_point_t point; /* which call fails … */
    int at; /* … at the n-th time, from 1 on … */
    int code; /* … with this */
    atomic_int passed [LATE_POINTS];
    atomic_int memories, events, pins, devices; /* alive */
} late_script_t;
static late_script_t late_script;

struct loader_event_t {
    loader_memory_t *to;
    uint64_t offset;
    const void *from;
    size_t size;
    int looks;
    bool marked;
};

static pthread_t late_thread; /* while a device is open */

static inline void late_begin (late_point_t point, int at, int code)
{
    late_script.point = point;
    late_script.at = at;
    late_script.code = code;
    for (int i = 0; i < LATE_POINTS; i++)
        atomic_store (&late_script.passed [i], 0);
}

/*  Nothing of a device is left. */
static inline void late_assert_over (void)
{
    assert_int_equal (atomic_load (&late_script.memories), 0);
    assert_int_equal (atomic_load (&late_script.events), 0);
    assert_int_equal (atomic_load (&late_script.pins), 0);
    assert_int_equal (atomic_load (&late_script.devices), 0);
}

/*  A lost device fails everything from then on. */
static inline int late_fails (late_point_t point, yard_error_t *error)
{
    int passed = atomic_fetch_add (&late_script.passed [point], 1) + 1;
    assert (pthread_equal (pthread_self (), late_thread));
    bool lost = late_script.code == YARD_DEVICE_LOST && late_script.point != LATE_NOTHING &&
                atomic_load (&late_script.passed [late_script.point]) > late_script.at;
    if (!lost && (point != late_script.point || passed != late_script.at))
        return 0;
    return yard_error (error, late_script.code, "the test said so");
}

static inline int late_open (const char *device, loader_export_t wish, loader_device_t **ret,
                             yard_error_t *error)
{
    (void) device;
    late_thread = pthread_self ();
    if (late_fails (LATE_OPEN, error))
        return late_script.code;
    int rc = loader_device_host.open ("host", wish, ret, error);
    late_script.devices += rc == 0;
    return rc;
}

static inline void late_close (loader_device_t **self_p)
{
    late_script.devices--;
    loader_device_host.close (self_p);
}

static inline int late_about (loader_device_t *self, loader_device_about_t *ret, yard_error_t *error)
{
    int rc = late_fails (LATE_ABOUT, error);
    return rc ? rc : loader_device_host.about (self, ret, error);
}

static inline int late_allocate (loader_device_t *self, uint64_t bytes, loader_memory_t **ret,
                                 yard_error_t *error)
{
    int rc = late_fails (LATE_ALLOCATE, error);
    if (rc == 0)
        rc = loader_device_host.allocate (self, bytes, ret, error);
    late_script.memories += rc == 0;
    return rc;
}

static inline void late_release (loader_device_t *self, loader_memory_t **memory_p)
{
    late_script.memories -= *memory_p != NULL;
    loader_device_host.release (self, memory_p);
}

static inline int late_export (loader_device_t *self, loader_memory_t *memory, loader_handle_t *ret,
                               yard_error_t *error)
{
    int rc = late_fails (LATE_EXPORT, error);
    return rc ? rc : loader_device_host.export_memory (self, memory, ret, error);
}

static inline int late_pin (loader_device_t *self, void *data, size_t size, yard_error_t *error)
{
    (void) self, (void) data, (void) size;
    int rc = late_fails (LATE_PIN, error);
    late_script.pins += rc == 0;
    return rc;
}

static inline void late_unpin (loader_device_t *self, void *data)
{
    (void) self, (void) data;
    late_script.pins--;
}

static inline int late_event_new (loader_device_t *self, loader_event_t **ret, yard_error_t *error)
{
    (void) self;
    int rc = late_fails (LATE_EVENT, error);
    if (rc)
        return rc;
    *ret = calloc (1, sizeof **ret);
    late_script.events++;
    return 0;
}

static inline void late_event_destroy (loader_device_t *self, loader_event_t **event_p)
{
    (void) self;
    late_script.events -= *event_p != NULL;
    free (*event_p);
    *event_p = NULL;
}

static inline int late_copy (loader_device_t *self, loader_memory_t *to, uint64_t offset, const void *from,
                             size_t size, loader_event_t *event, yard_error_t *error)
{
    (void) self;
    int rc = late_fails (LATE_COPY, error);
    if (rc)
        return rc;
    assert (!event->marked);
    *event = (loader_event_t){ .to = to, .offset = offset, .from = from, .size = size, .marked = true };
    return 0;
}

static inline int late_wait (loader_device_t *self, loader_event_t *event, yard_error_t *error)
{
    assert (event->marked);
    event->marked = false;
    int rc = late_fails (LATE_DONE, error);
    return rc ? rc
              : loader_device_host.copy (self, event->to, event->offset, event->from, event->size, NULL,
                                         error);
}

static inline int late_done (loader_device_t *self, loader_event_t *event, int *ret_done, yard_error_t *error)
{
    *ret_done = ++event->looks >= LATE_LOOKS;
    return *ret_done ? late_wait (self, event, error) : 0;
}

static inline int late_read (loader_device_t *self, loader_memory_t *from, uint64_t offset, void *to,
                             size_t size, yard_error_t *error)
{
    int rc = loader_device_host.read (self, from, offset, to, size, error);
    if (late_fails (LATE_READ, NULL))
        ((char *) to) [size / 2] ^= 1;
    return rc;
}

int loader_device_class (const char *device, const loader_device_class_t **ret, yard_error_t *error)
{
    static loader_device_class_t late;
    (void) device, (void) error;
    late = loader_device_host;
    late.open = late_open;
    late.close = late_close;
    late.about = late_about;
    late.allocate = late_allocate;
    late.release = late_release;
    late.export_memory = late_export;
    late.pin = late_pin;
    late.unpin = late_unpin;
    late.event_new = late_event_new;
    late.event_destroy = late_event_destroy;
    late.copy = late_copy;
    late.done = late_done;
    late.wait = late_wait;
    late.read = late_read;
    *ret = &late;
    return 0;
}

#endif
