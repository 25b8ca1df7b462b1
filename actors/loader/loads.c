// SPDX-License-Identifier: Apache-2.0
/*  loads.c - two tables by the same name: models that are loaded, loads under way
 *
 *  A load is an opening, on a pool thread, and for a model that gets memory of its own a fill behind it (tier.h). An opening cannot be
 *  stopped; a fill that nobody waits for any more is cancelled. While the actor closes, the runtime still calls `opened` for every
 *  opening, so none is lost.
 */
#include "actors/loader/loads.h"

#include "actors/ground/table.h"
#include "actors/loader/load_name.h"

#define OPENINGS_MAX 256 /* under way at once; two threads open some hundred models a second */

struct loader_waiter_t {
    loader_waiter_t *next;
    struct under_way_t *way;
    loader_loaded_fn *fn; /* NULL: forgotten */
    void *argument;
    bool first; /* the one whose wish began the load */
};

typedef struct under_way_t {
    loader_loads_t *loads;
    loader_opening_t *work;
    loader_model_t *known; /* used, while the opening compares with it */
    loader_model_t *filling; /* used, while it gets its memory */
    loader_fill_t *fill;
    loader_waiter_t *waiters, **last;
    load_form_t form;
    bool look_only, cancelled;
    int priority;
    int64_t deadline_ms, began_ms;
    const loader_fill_sharing_t *sharing; /* NULL: nobody */
    loader_phase_t phases [2 * LOADER_PHASES_MAX];
    size_t phase_count;
    char title [256]; /* the model's name, for lists */
    loader_load_name_t name;
} under_way_t;

typedef struct {
    loader_model_t *model; /* used once by the row */
    int64_t used_ms;
    char title [256];
    size_t name_size;
    char name [];
} row_t;

struct loader_loads_t {
    yard_actor_t *actor;
    const loader_registry_t *registry;
    loader_tier_t *tier;
    loader_numbers_t numbers;
    yard_table_t *models; /* name -> row_t */
    yard_table_t *under_way; /* name -> under_way_t */
    uint64_t serial; /* of names that nobody is to find */
    size_t files; /* open in all models, those that are only leased included */
};

loader_loads_t *loader_loads_new (yard_actor_t *actor, const loader_registry_t *registry, loader_tier_t *tier)
{
    loader_loads_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->actor = actor;
    self->registry = registry;
    self->tier = tier;
    self->models = yard_table_new ();
    self->under_way = yard_table_new ();
    loader_numbers_init (&self->numbers);
    return self;
}

static void free_under_way (under_way_t *way)
{
    while (way->waiters) {
        loader_waiter_t *waiter = way->waiters;
        way->waiters = waiter->next;
        free (waiter);
    }
    if (way->known)
        loader_tier_release (way->loads->tier, way->known);
    loader_model_drop (&way->known);
    loader_model_drop (&way->filling);
    loader_opening_destroy (&way->work);
    free (way);
}

/*  Takes a row out of the cache. */
static void drop_row (loader_loads_t *self, row_t *row)
{
    yard_table_take (self->models, row->name, row->name_size);
    loader_tier_retire (self->tier, row->model);
    loader_model_drop (&row->model);
    free (row);
}

void loader_loads_destroy (loader_loads_t **self_p)
{
    loader_loads_t *self = *self_p;
    if (!self)
        return;
    void *value;
    for (size_t at = 0; yard_table_next (self->under_way, &at, &value);)
        free_under_way (value);
    for (size_t at = 0; yard_table_next (self->models, &at, &value);)
        drop_row (self, value);
    yard_table_destroy (&self->under_way);
    yard_table_destroy (&self->models);
    free (self);
    *self_p = NULL;
}

static bool copy_text (char *to, size_t room, yard_string_t text)
{
    if (text.size >= room)
        return false;
    memcpy (to, text.data, text.size);
    to [text.size] = 0;
    return true;
}

/*  The model of this name that is loaded now, as the opening is to compare with it. */
static void copy_known (loader_opening_t *work, const loader_model_t *model)
{
    size_t bytes = model->file_count * sizeof *work->known;
    work->known = malloc (bytes);
    if (!work->known)
        abort ();
    memcpy (work->known, model->files, bytes);
    for (size_t at = 0; at < model->file_count; at++)
        work->known [at].fd = -1;
    work->known_count = model->file_count;
}

/*  Where a model of this name is loaded already, its files were others; who leases it keeps it, nobody finds
 *  it any more. */
static void put_model (under_way_t *way, loader_model_t *model)
{
    loader_loads_t *self = way->loads;
    const loader_load_name_t *name = &way->name;
    row_t *old = yard_table_get (self->models, name->bytes, name->size);
    if (old)
        drop_row (self, old);
    row_t *row = malloc (sizeof *row + name->size);
    if (!row)
        abort ();
    loader_model_number (model, &self->numbers);
    row->model = loader_model_use (model);
    row->used_ms = yard_now_ms (self->actor);
    memcpy (row->title, way->title, sizeof row->title);
    row->name_size = name->size;
    memcpy (row->name, name->bytes, name->size);
    if (!model->count)
        loader_model_count (model, &self->files);
    yard_table_put (self->models, name->bytes, name->size, row);
}

static void add_phases (under_way_t *way, const loader_phase_t *phases, size_t count)
{
    for (size_t at = 0; at < count && way->phase_count < sizeof way->phases / sizeof way->phases [0]; at++)
        way->phases [way->phase_count++] = phases [at];
}

/*  The load is over, one way or the other; model is NULL when it has failed. */
static void end (under_way_t *way, loader_model_t *model, const yard_error_t *error)
{
    loader_loads_t *self = way->loads;
    loader_loaded_t loaded = { .code = error->code,
                               .error = error,
                               .model = model,
                               .phases = way->phases,
                               .phase_count = way->phase_count };
    yard_table_take (self->under_way, way->name.bytes, way->name.size);
    row_t *row = model ? yard_table_get (self->models, way->name.bytes, way->name.size) : NULL;
    if (row)
        row->used_ms = yard_now_ms (self->actor);
    for (loader_waiter_t *waiter = way->waiters; waiter; waiter = waiter->next) {
        loaded.shared = way->work->same || !waiter->first;
        if (waiter->fn)
            waiter->fn (waiter->argument, &loaded);
    }
    free_under_way (way);
    loader_loads_sweep (self);
}

/*  On the loop: the memory is full, or could not be had. */
static void filled (void *argument, const yard_error_t *error, const loader_phase_t *phases,
                    size_t phase_count)
{
    under_way_t *way = argument;
    loader_loads_t *self = way->loads;
    loader_model_t *model = way->filling;
    way->fill = NULL;
    add_phases (way, phases, phase_count);
    if (error->code) {
        end (way, NULL, error);
        return;
    }
    put_model (way, model);
    way->filling = NULL;
    const yard_error_t none = { 0 };
    end (way, model, &none);
    loader_tier_release (self->tier, model); /* the use that came with the fill; its waiters have theirs */
    loader_model_drop (&model);
}

static bool anybody_waits (const under_way_t *way)
{
    for (const loader_waiter_t *waiter = way->waiters; waiter; waiter = waiter->next)
        if (waiter->fn)
            return true;
    return false;
}

/*  The files are open: memory for them. */
static int begin_fill (under_way_t *way, yard_error_t *error)
{
    loader_loads_t *self = way->loads;
    if (way->cancelled || !anybody_waits (way))
        return yard_error (error, YARD_CANCELLED, "the load was cancelled");
    const loader_fill_wish_t wish = { .model = way->work->model,
                                      .sharing = way->sharing,
                                      .priority = way->priority,
                                      .deadline_ms = way->deadline_ms,
                                      .done = filled,
                                      .argument = way };
    int rc = loader_fill_start (self->tier, &wish, &way->fill, error);
    if (rc)
        return rc;
    loader_model_count (way->work->model, &self->files); /* open from now on, not when it is full */
    way->filling = way->work->model;
    way->work->model = NULL;
    return 0;
}

static int check_files (const loader_loads_t *self, const loader_model_t *model, yard_error_t *error)
{
    uint64_t files_max = yard_actor_configuration (self->actor)->loader.files_max;
    if (self->files + model->file_count <= files_max)
        return 0;
    return yard_error (
        error, YARD_BUSY,
        "%zu files are mapped, and the limit is %llu (loader.files_max); release other models, "
        "or raise it",
        self->files, (unsigned long long) files_max);
}

/*  On a pool thread. */
static void run_opening (void *argument)
{
    loader_opening_run (((under_way_t *) argument)->work);
}

/*  On the loop: the opening is back. */
static void opened (void *actor_self, void *argument)
{
    (void) actor_self;
    under_way_t *way = argument;
    loader_opening_t *work = way->work;
    yard_error_t *error = &work->error;
    add_phases (way, work->phases, work->phase_count);
    if (error->code == 0 && work->model && !way->look_only)
        error->code = check_files (way->loads, work->model, error);
    if (error->code) {
        end (way, NULL, error);
    } else if (work->same) {
        end (way, way->known, error);
    } else if (way->look_only) {
        end (way, work->model, error);
    } else if (way->form == load_form_mapped) {
        put_model (way, work->model);
        end (way, work->model, error);
    } else if ((error->code = begin_fill (way, error))) {
        end (way, NULL, error);
    }
}

/*  All that the pool thread will need, in memory of its own. */
static int make_opening (const loader_loads_t *self, const loader_wish_t *wish, loader_opening_t **ret,
                         yard_error_t *error)
{
    const model_config_t *config = wish->config;
    const loader_kind_t *kind = wish->kind;
    const char *root = wish->root ? wish->root : yard_actor_configuration (self->actor)->models_dir.data;
    int rc = kind ? 0
                  : loader_registry_find (self->registry, config->base, config->type, config->format, &kind,
                                          error);
    if (rc)
        return rc;
    loader_opening_t *work = loader_opening_new ();
    if (!copy_text (work->models_dir, sizeof work->models_dir, yard_string (root)) ||
        !copy_text (work->path, sizeof work->path, config->path) ||
        !copy_text (work->submodel, sizeof work->submodel, wish->submodel) ||
        !copy_text (work->variant, sizeof work->variant, wish->variant)) {
        loader_opening_destroy (&work);
        return yard_error (
            error, YARD_TOO_LARGE,
            "the record's path, part or variant is longer than any file's; correct the record");
    }
    work->variant_soft = wish->variant_soft;
    work->base = config->base;
    work->type = config->type;
    work->into_memory = wish->form != load_form_mapped && !wish->look_only;
    work->onto_device = wish->form == load_form_device;
    work->open = kind->open;
    if (wish->slices) {
        work->slices = malloc (sizeof *work->slices);
        if (!work->slices)
            abort ();
        *work->slices = *wish->slices;
    }
    *ret = work;
    return 0;
}

static int begin (loader_loads_t *self, const loader_wish_t *wish, const loader_load_name_t *name,
                  under_way_t **ret, yard_error_t *error)
{
    loader_opening_t *work = NULL;
    if (yard_table_count (self->under_way) >= OPENINGS_MAX)
        return yard_error (error, YARD_BUSY, "%d models are being loaded, the limit; ask again in a moment",
                           OPENINGS_MAX);
    int rc = make_opening (self, wish, &work, error);
    if (rc)
        return rc;
    under_way_t *way = calloc (1, sizeof *way);
    if (!way)
        abort ();
    way->loads = self;
    way->work = work;
    way->last = &way->waiters;
    way->form = wish->form;
    way->look_only = wish->look_only;
    way->priority = wish->priority;
    way->deadline_ms = wish->deadline_ms;
    way->began_ms = yard_now_ms (self->actor);
    way->sharing = wish->sharing;
    way->name = *name;
    copy_text (way->title, sizeof way->title, wish->config->name);
    const row_t *known = yard_table_get (self->models, name->bytes, name->plain);
    if (known) {
        way->known = loader_model_use (known->model);
        loader_tier_use (self->tier, way->known); /* it must not be evicted while it is compared with */
        copy_known (work, known->model);
    }
    yard_table_put (self->under_way, name->bytes, name->size, way);
    yard_offload (self->actor, run_opening, opened, way);
    *ret = way;
    return 0;
}

/*  Whoever joins may have more time than those before; their own ends are the runtime's to tell them. */
static void give_time (under_way_t *way, int64_t deadline_ms)
{
    way->deadline_ms = deadline_ms;
    if (way->fill)
        loader_fill_give_time (way->fill, deadline_ms);
}

int loader_loads_want (loader_loads_t *self, const loader_wish_t *wish, loader_loaded_fn *fn, void *argument,
                       loader_waiter_t **ret, yard_error_t *error)
{
    loader_load_name_t name;
    if (!loader_load_name_write (&name, wish, ++self->serial))
        return yard_error (error, YARD_TOO_LARGE, "the record's key, part and path together are too long");
    under_way_t *way = yard_table_get (self->under_way, name.bytes, name.size);
    bool first = !way;
    int rc = way ? 0 : begin (self, wish, &name, &way, error);
    if (rc)
        return rc;
    if (wish->deadline_ms > way->deadline_ms)
        give_time (way, wish->deadline_ms);
    loader_waiter_t *waiter = calloc (1, sizeof *waiter);
    if (!waiter)
        abort ();
    *waiter = (loader_waiter_t){ .way = way, .fn = fn, .argument = argument, .first = first };
    *way->last = waiter;
    way->last = &waiter->next;
    *ret = waiter;
    return 0;
}

static void cancel (under_way_t *way)
{
    way->cancelled = true;
    if (way->fill)
        loader_fill_cancel (way->fill);
}

/*  Whoever wants this model from now on begins anew: a load that is being cancelled is found by nobody. */
static void hide (under_way_t *way)
{
    loader_loads_t *self = way->loads;
    yard_table_take (self->under_way, way->name.bytes, way->name.size);
    loader_load_name_hide (&way->name, ++self->serial);
    yard_table_put (self->under_way, way->name.bytes, way->name.size, way);
}

void loader_loads_forget (loader_waiter_t **waiter_p)
{
    loader_waiter_t *waiter = *waiter_p;
    *waiter_p = NULL;
    if (!waiter)
        return;
    waiter->fn = NULL; /* freed with its load */
    if (anybody_waits (waiter->way) || waiter->way->cancelled)
        return;
    hide (waiter->way);
    cancel (waiter->way);
}

void loader_loads_alone (loader_waiter_t *waiter, uint64_t good)
{
    waiter->way->sharing = NULL;
    if (waiter->way->fill)
        loader_fill_alone (waiter->way->fill, good);
}

void loader_loads_cancel (loader_loads_t *self)
{
    void *way;
    for (size_t at = 0; yard_table_next (self->under_way, &at, &way);)
        cancel (way);
}

void loader_loads_sweep (loader_loads_t *self)
{
    void *value;
    for (size_t at = 0; yard_table_next (self->models, &at, &value);) {
        row_t *row = value;
        if (row->model->uses == 1 && row->model->form == load_form_mapped)
            drop_row (self, row);
    }
}

void loader_loads_evicted (loader_loads_t *self, loader_model_t *model, char *ret_key, size_t key_size,
                           char *ret_submodel)
{
    void *value;
    for (size_t at = 0; yard_table_next (self->models, &at, &value);) {
        row_t *row = value;
        if (row->model != model)
            continue;
        snprintf (ret_key, key_size, "%s", row->name);
        snprintf (ret_submodel, LOADER_SUBMODEL_SIZE, "%s", loader_load_name_part (row->name));
        drop_row (self, row);
        return;
    }
}

size_t loader_loads_models (const loader_loads_t *self)
{
    return yard_table_count (self->models);
}

size_t loader_loads_under_way (const loader_loads_t *self)
{
    return yard_table_count (self->under_way);
}

bool loader_loads_next (const loader_loads_t *self, size_t *at, loader_load_row_t *ret)
{
    void *value;
    if (!yard_table_next (self->models, at, &value))
        return false;
    const row_t *row = value;
    *ret = (loader_load_row_t){ .key = row->name,
                                .submodel = loader_load_name_part (row->name),
                                .name = row->title,
                                .model = row->model,
                                .bytes = row->model->bytes,
                                .total_bytes = row->model->bytes,
                                .since_ms = row->used_ms,
                                .form = row->model->form };
    return true;
}

bool loader_loads_next_under_way (const loader_loads_t *self, size_t *at, loader_load_row_t *ret)
{
    void *value;
    const under_way_t *way;
    do {
        if (!yard_table_next (self->under_way, at, &value))
            return false;
        way = value;
    } while (way->look_only || way->cancelled);
    *ret = (loader_load_row_t){ .key = way->name.bytes,
                                .submodel = loader_load_name_part (way->name.bytes),
                                .name = way->title,
                                .since_ms = way->began_ms,
                                .form = way->form };
    if (way->fill)
        loader_fill_progress (way->fill, &ret->bytes, &ret->total_bytes);
    return true;
}
