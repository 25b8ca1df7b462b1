// SPDX-License-Identifier: Apache-2.0
/*  cuda_device_scenarios.c - what cuda_device_test.c plays, each in a process that has the devices
 *
 *  A scenario prints what happened, a line each; whoever plays it says what should have.
 */
#include "tests/unit/cuda_device_scenarios.h"
#include <stdbool.h>
#include <sys/mman.h>
#include "actors/loader/device_proof.h"
#include "actors/loader/device_proof_peer.h"

#define MIB ((uint64_t) 1024 * 1024)

static const loader_device_class_t *cuda;

static void say (const char *what, int rc, const yard_error_t *error)
{
    printf ("%s: %s%s%s\n", what, rc ? yard_error_row (rc)->word : "ok", rc ? " " : "",
            rc ? error->text : "");
}

static int class_or_say (const char *device)
{
    yard_error_t error = { 0 };
    int rc = loader_device_class (device, &cuda, &error);
    if (rc)
        say ("class", rc, &error);
    return rc;
}

static void tell_proof (void *argument, const char *proof, loader_proof_outcome_t outcome, const char *why)
{
    static const char *const words [] = { "passed", "failed", "skipped" };
    (void) argument;
    printf ("%s: %s (%s)\n", words [outcome], proof, why);
}

static void prove (loader_export_t wish)
{
    yard_error_t error = { 0 };
    int rc = loader_device_prove ("cuda:0", wish, tell_proof, NULL, &error);
    say ("prove", rc, &error);
}

static void do_prove (void)
{
    prove (LOADER_EXPORT_AUTO);
}

static void do_prove_ipc (void)
{
    prove (LOADER_EXPORT_IPC);
}

static void do_open_vmm (void)
{
    yard_error_t error = { 0 };
    loader_device_t *device = NULL;
    if (class_or_say ("cuda:0"))
        return;
    int rc = cuda->open ("cuda:0", LOADER_EXPORT_VMM, &device, &error);
    say ("open", rc, &error);
    cuda->close (&device);
}

static void do_list (void)
{
    yard_error_t error = { 0 };
    loader_device_about_t rows, about;
    char name [24], last [sizeof rows.pci] = "";
    int count = 0, rc = class_or_say ("cuda:0");
    rc = rc ? rc : cuda->count (&count, &error);
    say ("count", rc, &error);
    for (int i = 0; i < count && !rc; i++) {
        loader_device_t *by_number = NULL, *by_uuid = NULL;
        snprintf (name, sizeof name, "cuda:%d", i);
        rc = cuda->look (i, &rows, &error);
        rc = rc ? rc : cuda->open (name, LOADER_EXPORT_AUTO, &by_number, &error);
        rc = rc ? rc : cuda->open (rows.uuid, LOADER_EXPORT_AUTO, &by_uuid, &error);
        rc = rc ? rc : cuda->about (by_uuid, &about, &error);
        if (!rc)
            printf ("%d %s %s %s %s %llu\n", i, rows.uuid, strcmp (last, rows.pci) < 0 ? "after" : "before",
                    strcmp (about.uuid, rows.uuid) ? "another" : "same",
                    about.exports == LOADER_EXPORT_VMM ? "vmm" : "ipc",
                    (unsigned long long) about.bytes_free);
        memcpy (last, rows.pci, sizeof last);
        cuda->close (&by_number);
        cuda->close (&by_uuid);
    }
    say ("list", rc, &error);
    rc = cuda->open ("cuda:77", LOADER_EXPORT_AUTO, &(loader_device_t *){ NULL }, &error);
    say ("cuda:77", rc, &error);
}

static uint64_t free_bytes (loader_device_t *device)
{
    loader_device_about_t about = { 0 };
    yard_error_t error = { 0 };
    int rc = cuda->about (device, &about, &error);
    if (rc)
        say ("about", rc, &error);
    return about.bytes_free;
}

/*  Granules until there are none, one more, one back, one again. */
static void do_full (void)
{
    yard_error_t error = { 0 };
    loader_device_t *device = NULL;
    loader_memory_t *memory [GRANULES + 1] = { 0 };
    int count = 0;
    if (class_or_say ("cuda:0") || cuda->open ("cuda:0", LOADER_EXPORT_AUTO, &device, &error))
        return;
    while (count <= GRANULES && cuda->allocate (device, 2 * MIB, &memory [count], &error) == 0)
        count++;
    printf ("fitted %d free %llu\n", count, (unsigned long long) free_bytes (device));
    say ("one more", error.code, &error);
    cuda->release (device, &memory [3]);
    printf ("one back free %llu\n", (unsigned long long) free_bytes (device));
    say ("too large", cuda->allocate (device, 2 * MIB + 1, &memory [3], &error), &error);
    say ("again", cuda->allocate (device, 2 * MIB - 1, &memory [3], &error), &error);
    for (int i = 0; i < count; i++)
        cuda->release (device, &memory [i]);
    printf ("all back free %llu\n", (unsigned long long) free_bytes (device));
    say ("no device is so large", cuda->allocate (device, UINT64_MAX, &memory [0], &error), &error);
    cuda->close (&device);
}

/*  All that a loader does with a device, one step after the other, until one fails. */
typedef struct {
    loader_device_t *device;
    loader_memory_t *memory;
    loader_event_t *event;
    loader_handle_t handle;
    char *page;
    bool pinned;
    loader_device_about_t about;
} life_t;

static int live (life_t *life, loader_export_t wish, yard_error_t *error)
{
    char there [4096];
    int done = 0, rc = cuda->open ("cuda:0", wish, &life->device, error);
    rc = rc ? rc : cuda->about (life->device, &life->about, error);
    rc = rc ? rc : cuda->allocate (life->device, 3 * MIB, &life->memory, error);
    rc = rc ? rc : cuda->pin (life->device, life->page, 4096, error);
    life->pinned = !rc;
    rc = rc ? rc : cuda->event_new (life->device, &life->event, error);
    rc = rc ? rc : cuda->copy (life->device, life->memory, 1, life->page, 4096, life->event, error);
    if (!rc)
        rc = cuda->done (life->device, life->event, &done, error);
    rc = rc ? rc : cuda->wait (life->device, life->event, error);
    memset (life->page, 1, 4096); /* the source is ours again, after a failure too */
    rc = rc ? rc : cuda->export_memory (life->device, life->memory, &life->handle, error);
    return rc ? rc : cuda->read (life->device, life->memory, 1, there, sizeof there, error);
}

static void end_life (life_t *life)
{
    if (!life->device)
        return;
    if (life->handle.fd >= 0)
        close (life->handle.fd);
    cuda->event_destroy (life->device, &life->event);
    cuda->release (life->device, &life->memory);
    if (life->pinned)
        cuda->unpin (life->device, life->page);
    life->pinned = false;
}

/*  Twice: what the first life met must not be in the second one's way. */
static void live_twice (loader_export_t wish)
{
    void *page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 2 && class_or_say ("cuda:0") == 0; i++) {
        life_t life = { .page = page, .handle.fd = -1 };
        yard_error_t error = { 0 };
        int rc = live (&life, wish, &error);
        say (i ? "second" : "first", rc, &error);
        end_life (&life);
        uint64_t bytes_free = life.device && life.about.bytes_free ? free_bytes (life.device) : 0;
        if (bytes_free) /* 0: asking for it was what failed */
            printf ("drift %lld\n", (long long) (life.about.bytes_free - bytes_free));
        cuda->close (&life.device);
    }
    munmap (page, 4096);
}

static void do_life (void)
{
    live_twice (LOADER_EXPORT_AUTO);
}

static void do_life_ipc (void)
{
    live_twice (LOADER_EXPORT_IPC);
}

/*  A device that fails while it copies: everything afterwards says so. */
static void do_lost (void)
{
    life_t life = { .handle.fd = -1 };
    yard_error_t error = { 0 };
    loader_memory_t *none = NULL;
    loader_event_t *event = NULL;
    char page [16] = "";
    int done = 0;
    life.page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (class_or_say ("cuda:0"))
        return;
    say ("life", live (&life, LOADER_EXPORT_AUTO, &error), &error);
    say ("about", cuda->about (life.device, &life.about, &error), &error);
    say ("allocate", cuda->allocate (life.device, MIB, &none, &error), &error);
    say ("pin", cuda->pin (life.device, page, sizeof page, &error), &error);
    say ("event_new", cuda->event_new (life.device, &event, &error), &error);
    say ("copy", cuda->copy (life.device, life.memory, 0, life.page, 16, life.event, &error), &error);
    say ("done", cuda->done (life.device, life.event, &done, &error), &error);
    say ("wait", cuda->wait (life.device, life.event, &error), &error);
    say ("read", cuda->read (life.device, life.memory, 0, page, sizeof page, &error), &error);
    say ("export", cuda->export_memory (life.device, life.memory, &life.handle, &error), &error);
    end_life (&life);
    cuda->close (&life.device);
}

/*  Pinned in two steps, and copied over the seam between them. */
static void do_seam (void)
{
    size_t gib = (size_t) 1 << 30, size = gib + 8192;
    life_t life = { .handle.fd = -1 };
    yard_error_t error = { 0 };
    char there [8192] = "";
    char *data =
        mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int rc = class_or_say ("cuda:0");
    for (size_t i = 0; i < 8192; i++)
        data [gib - 4096 + i] = (char) (i * 7 + i / 256);
    rc = rc ? rc : cuda->open ("cuda:0", LOADER_EXPORT_AUTO, &life.device, &error);
    rc = rc ? rc : cuda->allocate (life.device, 8192, &life.memory, &error);
    rc = rc ? rc : cuda->event_new (life.device, &life.event, &error);
    rc = rc ? rc : cuda->pin (life.device, data, size, &error);
    rc = rc ? rc : cuda->copy (life.device, life.memory, 0, data + gib - 4096, 8192, life.event, &error);
    rc = rc ? rc : cuda->wait (life.device, life.event, &error);
    rc = rc ? rc : cuda->read (life.device, life.memory, 0, there, 8192, &error);
    say ("seam", rc, &error);
    printf ("bytes %s\n", memcmp (there, data + gib - 4096, 8192) ? "differ" : "equal");
    if (!rc)
        cuda->unpin (life.device, data);
    end_life (&life);
    cuda->close (&life.device);
}

/*  --- groups */
/*  A group of one rank goes the whole way; after a failure it says so until it is left. */
static void do_group (void)
{
    uint8_t id [LOADER_GATHER_ID_SIZE];
    yard_error_t error = { 0 };
    life_t life = { .handle.fd = -1 };
    loader_gather_t *group = NULL;
    int rc = class_or_say ("cuda:0");
    rc = rc ? rc : cuda->open ("cuda:0", LOADER_EXPORT_AUTO, &life.device, &error);
    rc = rc ? rc : cuda->allocate (life.device, 2 * MIB, &life.memory, &error);
    rc = rc ? rc : cuda->gather_id (life.device, id, &error);
    rc = rc ? rc : cuda->gather_join (life.device, id, 0, 1, &group, &error);
    rc = rc ? rc : loader_proof_settle (cuda, group, &error);
    rc = rc ? rc : cuda->gather (group, life.memory, 0, MIB, NULL, &error);
    rc = rc ? rc : cuda->broadcast (group, life.memory, 0, MIB, 0, NULL, &error);
    rc = rc ? rc : loader_proof_settle (cuda, group, &error);
    say ("group", rc, &error);
    if (rc && group)
        say ("still", cuda->gather_state (group, &(int){ 0 }, &error), &error);
    cuda->gather_leave (&group, rc != 0);
    end_life (&life);
    cuda->close (&life.device);
}

/*  The other rank never comes: asks queue up to their limit, and abort ends it. */
static void do_alone (void)
{
    uint8_t id [LOADER_GATHER_ID_SIZE];
    yard_error_t error = { 0 };
    life_t life = { .handle.fd = -1 };
    loader_gather_t *group = NULL;
    int asked = 0, done = 0, rc = class_or_say ("cuda:0");
    rc = rc ? rc : cuda->open ("cuda:0", LOADER_EXPORT_AUTO, &life.device, &error);
    rc = rc ? rc : cuda->allocate (life.device, 2 * MIB, &life.memory, &error);
    rc = rc ? rc : cuda->gather_id (life.device, id, &error);
    rc = rc ? rc : cuda->gather_join (life.device, id, 0, 2, &group, &error);
    while (!rc && asked < 1000) {
        rc = cuda->gather (group, life.memory, 0, MIB, NULL, &error);
        asked += !rc;
    }
    printf ("asked %d\n", asked);
    say ("one more", rc, &error);
    say ("state", cuda->gather_state (group, &done, &error), &error);
    printf ("done %d\n", done);
    cuda->gather_leave (&group, 1);
    end_life (&life);
    printf ("left\n");
    cuda->close (&life.device);
}

static const struct {
    const char *name;
    void (*function) (void);
} scenarios [] = {
    { "prove", do_prove }, { "prove_ipc", do_prove_ipc }, { "open_vmm", do_open_vmm }, { "list", do_list },
    { "full", do_full },   { "life", do_life },           { "life_ipc", do_life_ipc }, { "lost", do_lost },
    { "seam", do_seam },   { "group", do_group },         { "alone", do_alone },
};

int cuda_device_scenario (const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios [0]; i++)
        if (strcmp (name, scenarios [i].name) == 0) {
            scenarios [i].function ();
            return 0;
        }
    return 1;
}
