// SPDX-License-Identifier: Apache-2.0
/*  device_thread.h - the one thread that talks to the device
 *
 *  CUDA keeps its current device per thread, and some of its calls take long; so every call is made here, and the loop hears of the
 *  outcome by mail. Two kinds of work: jobs, one after the other; and copies, which are begun in the order in which they come and end
 *  by themselves, many at a time.
 *
 *  Invariants: a job's done is posted once, after its work; a copy's copied runs once, on this thread, when the device has read its
 *  source or the copy has failed. Both may be asked for on any thread.
 */
#ifndef LOADER_DEVICE_THREAD_H
#define LOADER_DEVICE_THREAD_H

#include "actors/loader/device.h"
#include "actors/loader/mail.h"

typedef struct loader_device_thread_t loader_device_thread_t;

/*  On the device thread; what it returns goes to done, with its sentence. */
typedef int (loader_device_work_fn) (void *argument, const loader_device_class_t *class,
                                     loader_device_t *device, yard_error_t *error);
/*  On the loop. error->code is 0 on success. */
typedef void (loader_device_done_fn) (void *argument, const yard_error_t *error);

typedef struct loader_device_copy_t {
    loader_memory_t *memory;
    uint64_t to;
    const void *data;
    size_t size;
    unsigned index; /* the caller's */
    /*  On the device thread. */
    void (*copied) (void *argument, const struct loader_device_copy_t *copy, const yard_error_t *error);
    void *argument;
} loader_device_copy_t;

/*  Looks at something that goes on by itself on the device. On the device thread; true: look again. */
typedef bool (loader_device_look_fn) (void *argument, const loader_device_class_t *class,
                                      loader_device_t *device);

/*  Opens the device on its new thread, and waits for that (a CUDA context takes a second). */
/*  verify: each copy is read back and compared before it counts (integrity); every byte goes over the link twice. */
int loader_device_thread_new (const char *device, loader_export_t wish, bool verify, loader_mail_t *mail,
                              loader_device_thread_t **ret, yard_error_t *error);
/*  Does what was asked, then closes the device; done of the last jobs is in the mail. */
void loader_device_thread_destroy (loader_device_thread_t **self_p);

/*  done may be NULL: nobody asks. */
void loader_device_thread_do (loader_device_thread_t *self, loader_device_work_fn *work,
                              loader_device_done_fn *done, void *argument);
void loader_device_thread_copy (loader_device_thread_t *self, const loader_device_copy_t *copy);
/*  Every millisecond, and after every piece of work, until it returns false. One at a time; look NULL: no more, which is to be said on
 *  the device thread. */
void loader_device_thread_watch (loader_device_thread_t *self, loader_device_look_fn *look, void *argument);

/*  As it was when the device was opened. */
const loader_device_about_t *loader_device_thread_about (const loader_device_thread_t *self);

#endif
