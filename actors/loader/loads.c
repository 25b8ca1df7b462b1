// SPDX-License-Identifier: Apache-2.0
/*  loads.c - two tables by the same name: models that are loaded, openings under way
 *
 *  An opening outlives its waiters: it runs on a pool thread and cannot be stopped, so with nobody left its
 *  model is dropped by the sweep that follows. While the actor closes, the runtime still calls `opened` for
 *  every opening, so none is lost.
 */
#include "actors/loader/loads.h"

#include "actors/ground/table.h"

#define OPENINGS_MAX 256 /* under way at once; two threads open some hundred models a second */
#define NAME_BYTES_MAX (32 + 1 + LOADER_SUBMODEL_SIZE + LOADER_MODEL_PATH_SIZE)

struct loader_waiter_t {
    loader_waiter_t *next;
    loader_loaded_fn *fn; /* NULL: forgotten */
    void *argument;
    bool first; /* the one whose wish began the opening */
};

/*  key, part and path, each with a 0 behind it. */
typedef struct {
    char bytes [NAME_BYTES_MAX];
    size_t size;
} load_name_t;

typedef struct {
    loader_loads_t *loads;
    loader_opening_t *work;
    loader_model_t *known; /* used, while the opening compares with it */
    loader_waiter_t *waiters, **last;
    load_name_t name;
} under_way_t;

typedef struct {
    loader_model_t *model; /* used once by the row */
    size_t name_size;
    char name [];
} row_t;

struct loader_loads_t {
    yard_actor_t *actor;
    const loader_registry_t *registry;
    loader_numbers_t numbers;
    yard_table_t *models; /* name -> row_t */
    yard_table_t *under_way; /* name -> under_way_t */
    size_t files; /* open in all models, those that are only leased included */
};

loader_loads_t *loader_loads_new (yard_actor_t *actor, const loader_registry_t *registry)
{
    loader_loads_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->actor = actor;
    self->registry = registry;
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
    loader_model_drop (&way->known);
    loader_opening_destroy (&way->work);
    free (way);
}

void loader_loads_destroy (loader_loads_t **self_p)
{
    loader_loads_t *self = *self_p;
    if (!self)
        return;
    void *value;
    for (size_t at = 0; yard_table_next (self->under_way, &at, &value);)
        free_under_way (value);
    for (size_t at = 0; yard_table_next (self->models, &at, &value);) {
        row_t *row = value;
        loader_model_drop (&row->model);
        free (row);
    }
    yard_table_destroy (&self->under_way);
    yard_table_destroy (&self->models);
    free (self);
    *self_p = NULL;
}

static bool append (load_name_t *name, yard_string_t part)
{
    if (part.size >= sizeof name->bytes - name->size)
        return false;
    memcpy (name->bytes + name->size, part.data, part.size);
    name->size += part.size;
    name->bytes [name->size++] = 0;
    return true;
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
static void put_model (loader_loads_t *self, const load_name_t *name, loader_model_t *model)
{
    row_t *row = malloc (sizeof *row + name->size);
    if (!row)
        abort ();
    loader_model_number (model, &self->numbers);
    row->model = loader_model_use (model);
    row->name_size = name->size;
    memcpy (row->name, name->bytes, name->size);
    loader_model_count (model, &self->files);
    row_t *old = yard_table_put (self->models, name->bytes, name->size, row);
    if (!old)
        return;
    loader_model_drop (&old->model);
    free (old);
}

/*  On a pool thread. */
static void run_opening (void *argument)
{
    loader_opening_run (((under_way_t *) argument)->work);
}

/*  What an opening brought, as every waiter gets it. */
static loader_loaded_t take_result (loader_loads_t *self, under_way_t *way)
{
    loader_opening_t *work = way->work;
    uint64_t files_max = yard_actor_configuration (self->actor)->loader.files_max;
    if (work->error.code == 0 && work->model && self->files + work->model->file_count > files_max)
        yard_error (&work->error, YARD_BUSY,
                    "%zu files are mapped, and the limit is %llu (loader.files_max); release other models, "
                    "or raise it",
                    self->files, (unsigned long long) files_max);
    else if (work->error.code == 0 && work->model)
        put_model (self, &way->name, work->model);
    return (loader_loaded_t){ .code = work->error.code,
                              .error = &work->error,
                              .model = work->same ? way->known : work->model,
                              .phases = work->phases,
                              .phase_count = work->phase_count };
}

/*  On the loop: the opening is back. */
static void opened (void *actor_self, void *argument)
{
    (void) actor_self;
    under_way_t *way = argument;
    loader_loads_t *self = way->loads;
    yard_table_take (self->under_way, way->name.bytes, way->name.size);
    loader_loaded_t loaded = take_result (self, way);
    for (loader_waiter_t *waiter = way->waiters; waiter; waiter = waiter->next) {
        loaded.shared = way->work->same || !waiter->first;
        if (waiter->fn)
            waiter->fn (waiter->argument, &loaded);
    }
    free_under_way (way);
    loader_loads_sweep (self);
}

/*  All that the pool thread will need, in memory of its own. */
static int make_opening (const loader_loads_t *self, const model_config_t *config, yard_string_t submodel,
                         loader_opening_t **ret, yard_error_t *error)
{
    const loader_kind_t *kind;
    const configuration_t *configuration = yard_actor_configuration (self->actor);
    int rc = loader_registry_find (self->registry, config->base, config->type, config->format, &kind, error);
    if (rc)
        return rc;
    loader_opening_t *work = loader_opening_new ();
    if (!copy_text (work->models_dir, sizeof work->models_dir, configuration->models_dir) ||
        !copy_text (work->path, sizeof work->path, config->path) ||
        !copy_text (work->submodel, sizeof work->submodel, submodel)) {
        loader_opening_destroy (&work);
        return yard_error (error, YARD_TOO_LARGE,
                           "the record's path or part is longer than any file's; correct the record");
    }
    work->base = config->base;
    work->type = config->type;
    work->open = kind->open;
    *ret = work;
    return 0;
}

static int begin (loader_loads_t *self, const model_config_t *config, yard_string_t submodel,
                  const load_name_t *name, under_way_t **ret, yard_error_t *error)
{
    loader_opening_t *work = NULL;
    if (yard_table_count (self->under_way) >= OPENINGS_MAX)
        return yard_error (error, YARD_BUSY, "%d models are being opened, the limit; ask again in a moment",
                           OPENINGS_MAX);
    int rc = make_opening (self, config, submodel, &work, error);
    if (rc)
        return rc;
    under_way_t *way = calloc (1, sizeof *way);
    if (!way)
        abort ();
    way->loads = self;
    way->work = work;
    way->last = &way->waiters;
    way->name = *name;
    const row_t *known = yard_table_get (self->models, name->bytes, name->size);
    if (known) {
        way->known = loader_model_use (known->model);
        copy_known (work, known->model);
    }
    yard_table_put (self->under_way, name->bytes, name->size, way);
    yard_offload (self->actor, run_opening, opened, way);
    *ret = way;
    return 0;
}

int loader_loads_want (loader_loads_t *self, const model_config_t *config, yard_string_t submodel,
                       loader_loaded_fn *fn, void *argument, loader_waiter_t **ret, yard_error_t *error)
{
    load_name_t name = { .size = 0 };
    if (!append (&name, config->key) || !append (&name, submodel) || !append (&name, config->path))
        return yard_error (error, YARD_TOO_LARGE, "the record's key, part and path together are too long");
    under_way_t *way = yard_table_get (self->under_way, name.bytes, name.size);
    bool first = !way;
    int rc = way ? 0 : begin (self, config, submodel, &name, &way, error);
    if (rc)
        return rc;
    loader_waiter_t *waiter = calloc (1, sizeof *waiter);
    if (!waiter)
        abort ();
    *waiter = (loader_waiter_t){ .fn = fn, .argument = argument, .first = first };
    *way->last = waiter;
    way->last = &waiter->next;
    *ret = waiter;
    return 0;
}

void loader_loads_forget (loader_waiter_t **waiter_p)
{
    if (*waiter_p)
        (*waiter_p)->fn = NULL; /* freed with its opening */
    *waiter_p = NULL;
}

void loader_loads_sweep (loader_loads_t *self)
{
    void *value;
    for (size_t at = 0; yard_table_next (self->models, &at, &value);) {
        row_t *row = value;
        if (row->model->uses > 1)
            continue;
        yard_table_take (self->models, row->name, row->name_size);
        loader_model_drop (&row->model);
        free (row);
    }
}

size_t loader_loads_models (const loader_loads_t *self)
{
    return yard_table_count (self->models);
}
