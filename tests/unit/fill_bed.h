// SPDX-License-Identifier: Apache-2.0
/*  fill_bed.h - a tier in an actor that has nothing else, models from files under /tmp, and who is told how their fills end
 */
#ifndef TESTS_UNIT_FILL_BED_H
#define TESTS_UNIT_FILL_BED_H

#include "actor_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"
#include "actors/ground/durable.h"
#include "actors/loader/tier.h"

#define MODELS_MAX 4
#define FILES_MAX 3
#define MODEL_BYTES ((uint64_t) 300000) /* of a model of FILES_MAX files, about */
#define BUDGET ((uint64_t) 1000000)
#define STEPS_MAX 12 /* turns that a fill takes, and some more */

typedef struct bed_t bed_t;

/*  One model and its fill. */
typedef struct {
    bed_t *bed;
    loader_model_t *model; /* used once while it is wanted */
    loader_fill_t *fill;
    int done; /* times */
    yard_error_t error;
    size_t phase_count;
    const char *evicted; /* why */
    char *expected [FILES_MAX];
} slot_t;

/*  What the actor's struct is; the bed is the test's. */
typedef struct {
    bed_t *bed;
} filler_t;

struct bed_t {
    world_t *world;
    char folder [64];
    const char *device;
    loader_tier_t *tier;
    slot_t slots [MODELS_MAX];
    size_t descriptors; /* open before */
};

static void drop_all (bed_t *bed)
{
    for (size_t at = 0; at < MODELS_MAX; at++)
        if (bed->slots [at].done && bed->slots [at].error.code == 0 && bed->slots [at].model) {
            loader_tier_retire (bed->tier, bed->slots [at].model);
            loader_model_drop (&bed->slots [at].model);
        }
}

/*  As the loader does it: what is under way is cancelled, then waited for; models go, then the tier. */
static void close_filler (void *self)
{
    bed_t *bed = ((filler_t *) self)->bed;
    if (!bed || !bed->tier)
        return;
    for (size_t at = 0; at < MODELS_MAX; at++)
        if (bed->slots [at].fill && !bed->slots [at].done)
            loader_fill_cancel (bed->slots [at].fill);
    loader_tier_close (bed->tier);
    drop_all (bed);
    loader_tier_destroy (&bed->tier);
}

static const yard_route_t routes [] = { { 0 } };
static const yard_actor_class_t filler_class = {
    .name = "filler", .size = sizeof (filler_t), .routes = routes, .close = close_filler
};

static inline size_t count_descriptors (void)
{
    size_t count = 0;
    DIR *folder = opendir ("/proc/self/fd");
    assert_non_null (folder);
    while (readdir (folder))
        count++;
    closedir (folder);
    return count;
}

static inline void on_evicted (void *argument, loader_model_t *model, const char *reason)
{
    bed_t *bed = argument;
    for (size_t at = 0; at < MODELS_MAX; at++)
        if (bed->slots [at].model == model) {
            bed->slots [at].evicted = reason;
            loader_model_drop (&bed->slots [at].model);
            return;
        }
    fail_msg ("a model that nobody has was evicted");
}

/*  A tier of BUDGET on the device; "host" is the host. */
static inline void bed_begin (bed_t *bed, const char *device, bool offload_inline)
{
    yard_error_t error = { 0 };
    bed->descriptors = count_descriptors ();
    bed->world = world_new (&filler_class, offload_inline);
    ((filler_t *) yard_actor_self (bed->world->actor))->bed = bed;
    configuration_t *configuration = (configuration_t *) yard_actor_configuration (bed->world->actor);
    configuration->loader.host_bytes = configuration->loader.device_bytes = BUDGET;
    configuration->loader.read_ahead_bytes = 16777216;
    bed->device = device;
    if (loader_tier_new (bed->world->actor, device, on_evicted, bed, &bed->tier, &error))
        fail_msg ("%s", error.text);
}

/*  To be used again. */
static inline void clear_slot (slot_t *slot)
{
    loader_model_drop (&slot->model);
    for (size_t file = 0; file < FILES_MAX; file++)
        free (slot->expected [file]);
    *slot = (slot_t){ 0 };
}

/*  Everything is as it was, whatever was under way. */
static inline void bed_end (bed_t *bed)
{
    world_destroy (&bed->world);
    for (size_t at = 0; at < MODELS_MAX; at++) {
        slot_t *slot = &bed->slots [at];
        assert_true (!slot->fill || slot->done == 1);
        clear_slot (slot);
    }
    assert_int_equal (count_descriptors (), bed->descriptors);
}

static inline int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/yard-fill-XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    *state = bed;
    return 0;
}

static inline int clear_bed (void **state)
{
    bed_t *bed = *state;
    assert_null (bed->world);
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

static inline int write_file (const bed_t *bed, const char *name, const char *data, size_t size)
{
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, data, size), size);
    return fd;
}

/*  Random bytes, as long as they say; with the checksums of its chunks. */
static inline void make_file (bed_t *bed, slot_t *slot, size_t at, uint64_t bytes)
{
    loader_file_t *file = &slot->model->files [at];
    loader_checksums_t *checksums = &slot->model->checksums [at];
    struct stat state;
    char *data = slot->expected [at] = malloc (bytes + 1);
    assert_non_null (data);
    yard_random_bytes (&bed->world->random, data, bytes);
    snprintf (file->name, sizeof file->name, "%zu-%zu", (size_t) (slot - bed->slots), at);
    file->fd = write_file (bed, file->name, data, bytes);
    assert_int_equal (fstat (file->fd, &state), 0);
    file->identity = (loader_identity_t){ .device = state.st_dev,
                                          .inode = state.st_ino,
                                          .bytes = bytes,
                                          .mtime_s = state.st_mtim.tv_sec,
                                          .mtime_ns = state.st_mtim.tv_nsec };
    file->given = file->identity;
    checksums->chunk_bytes = 65536;
    checksums->count = (bytes + 65535) / 65536;
    checksums->crc32c = calloc (checksums->count + 1, sizeof *checksums->crc32c);
    for (size_t chunk = 0; chunk < checksums->count; chunk++) {
        uint64_t rest = bytes - chunk * 65536;
        checksums->crc32c [chunk] = yard_crc32c (0, data + chunk * 65536, rest < 65536 ? rest : 65536);
    }
    slot->model->bytes += bytes;
}

/*  As an opening leaves it: files open, a directory, for a device a plan: of each file all but its first and last 16 bytes. */
static inline void make_model (bed_t *bed, slot_t *slot)
{
    static const uint64_t sizes [FILES_MAX] = { 200001, 0, 99990 };
    slot->bed = bed;
    slot->model = loader_model_new (FILES_MAX);
    slot->model->checksums = calloc (FILES_MAX, sizeof *slot->model->checksums);
    for (size_t at = 0; at < FILES_MAX; at++)
        make_file (bed, slot, at, sizes [at]);
    if (strcmp (bed->device, "host") == 0)
        return;
    loader_plan_t *plan = &slot->model->plan;
    plan->runs = calloc (FILES_MAX, sizeof *plan->runs);
    for (uint32_t at = 0; at < FILES_MAX; at++)
        if (sizes [at]) {
            plan->runs [plan->run_count++] =
                (loader_run_t){ .source = at, .offset = 16, .bytes = sizes [at] - 32, .to = plan->bytes };
            plan->bytes += (sizes [at] + 255) / 256 * 256;
        }
}

static inline void on_filled (void *argument, const yard_error_t *error, const loader_phase_t *phases,
                              size_t phase_count)
{
    slot_t *slot = argument;
    (void) phases;
    slot->done++;
    slot->error = *error;
    slot->phase_count = phase_count;
    if (error->code)
        loader_model_drop (&slot->model);
}

static inline int start_with (bed_t *bed, slot_t *slot, int64_t deadline_ms)
{
    const loader_fill_wish_t wish = {
        .model = slot->model, .deadline_ms = deadline_ms, .done = on_filled, .argument = slot
    };
    return loader_fill_start (bed->tier, &wish, &slot->fill, &slot->error);
}

static inline void start (bed_t *bed, slot_t *slot)
{
    make_model (bed, slot);
    if (start_with (bed, slot, LOADER_NO_DEADLINE))
        fail_msg ("%s", slot->error.text);
}

/*  A turn that may wait: for a letter, or work of the pool. */
static inline void turn (bed_t *bed)
{
    bed->world->ended = !yard_actor_turn (bed->world->actor, 10000, &bed->world->exit_code);
}

static inline void finish (bed_t *bed, const slot_t *slot)
{
    while (!slot->done)
        turn (bed);
    assert_int_equal (slot->done, 1);
}

static inline loader_ledger_numbers_t ledger_of (const bed_t *bed)
{
    loader_tier_numbers_t numbers;
    loader_tier_numbers (bed->tier, &numbers);
    return numbers.ledger;
}

/*  Nothing is in the tier, sooner or later. */
static inline void expect_empty (bed_t *bed)
{
    while (ledger_of (bed).draining > 0)
        turn (bed);
    loader_ledger_numbers_t ledger = ledger_of (bed);
    assert_int_equal (ledger.free, ledger.budget);
    assert_int_equal (ledger.waiters, 0);
}

/*  Its caller has no use of it any more. */
static inline void release (bed_t *bed, slot_t *slot)
{
    loader_tier_release (bed->tier, slot->model);
}

#endif
