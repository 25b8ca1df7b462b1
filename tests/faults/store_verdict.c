// SPDX-License-Identifier: Apache-2.0
/*  store_verdict.c - replays what was acknowledged and compares every row
 *
 *  A sync that fails leaves the commit's frames in the log: the running recorder sees the turn as undone and
 *  writes the next one over it, but a recorder that starts before that finds it whole. So of each life of the
 *  recorder, between two restarts, one turn with a failed commit may be there; but whole.
 */
#include "store_verdict.h"
#include <assert.h>
#include "store_state.h"
#include "vfs_memory.h"

#define CONTEXT_BYTES 60 /* said of what is equal before a difference */
#define LIVES_MAX 6 /* of a script: its restarts and one */
#define SUSPECTS 16 /* failed turns of a life: more than the script has in one */
#define REPLAYS_MAX 512 /* kept; then all are forgotten */

typedef struct {
    size_t firsts [SUSPECTS], count;
} life_t;

typedef struct {
    bool done [WORKLOAD_EFFECTS_MAX], late [WORKLOAD_EFFECTS_MAX];
    yard_buffer_t state;
} replay_t;

struct store_verdict_t {
    const char *path;
    replay_t replays [REPLAYS_MAX];
    size_t count;
    char text [400];
};

store_verdict_t *store_verdict_new (const char *path)
{
    store_verdict_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->path = path;
    return self;
}

static void forget (store_verdict_t *self)
{
    while (self->count)
        yard_buffer_clear (&self->replays [--self->count].state);
}

void store_verdict_destroy (store_verdict_t **self_p)
{
    store_verdict_t *self = *self_p;
    if (!self)
        return;
    forget (self);
    free (self);
    *self_p = NULL;
}

/*  The state after exactly these effects, from memory if they were replayed before. */
static const yard_buffer_t *state_after (store_verdict_t *self, const bool *done, const bool *late)
{
    for (size_t i = 0; i < self->count; i++)
        if (memcmp (self->replays [i].done, done, WORKLOAD_EFFECTS_MAX) == 0 &&
            memcmp (self->replays [i].late, late, WORKLOAD_EFFECTS_MAX) == 0)
            return &self->replays [i].state;
    if (self->count == REPLAYS_MAX)
        forget (self);
    replay_t *replay = &self->replays [self->count++];
    memcpy (replay->done, done, sizeof replay->done);
    memcpy (replay->late, late, sizeof replay->late);
    yard_buffer_init (&replay->state, STORE_STATE_BYTES_MAX);
    yard_memory_disk_t *disk = vfs_memory_new ("yard-replay", 1, true);
    workload_t workload;
    workload_init (&workload, self->path, NULL);
    workload_replay (&workload, done, late);
    int code = store_state_read (workload_database (&workload), &replay->state);
    assert (code == SQLITE_OK && !replay->state.overflow);
    workload_close (&workload);
    vfs_memory_destroy (&disk);
    return &replay->state;
}

static bool same (const yard_buffer_t *a, const yard_buffer_t *b)
{
    return a->size == b->size && memcmp (a->data, b->data, a->size) == 0;
}

/*  Of each life the turns that had effects and no commit, with none committed after them: the frames of one
 *  may be whole in the log, and no later ones lie over them. */
static size_t failed_turns (const workload_t *workload, life_t *ret)
{
    size_t lives = 0;
    ret [0].count = 0;
    for (size_t first = 0; first < workload_count (); first = workload_turn_end (first) + 1) {
        if (workload_restarts (first) && ret [lives].count > 0) {
            assert (lives + 1 < LIVES_MAX);
            ret [++lives].count = 0;
        } else if (workload->happened [first] && !workload->acknowledged [first]) {
            assert (ret [lives].count < SUSPECTS);
            ret [lives].firsts [ret [lives].count++] = first;
        } else if (workload->wrote [workload_turn_end (first)])
            ret [lives].count = 0;
    }
    return lives + (ret [lives].count > 0);
}

/*  Is it as if, in this life and those after it, at most one failed turn each had been committed beside
 *  those of `late`? */
static bool is_with_failed_turns (store_verdict_t *self, const workload_t *workload,
                                  const yard_buffer_t *state, const life_t *lives, size_t count, bool *late)
{
    if (count == 0)
        return same (state, state_after (self, workload->acknowledged, late));
    bool found = is_with_failed_turns (self, workload, state, lives + 1, count - 1, late);
    for (size_t i = 0; !found && i < lives->count; i++) {
        size_t first = lives->firsts [i], size = workload_turn_end (first) + 1 - first;
        memcpy (late + first, workload->happened + first, size);
        found = is_with_failed_turns (self, workload, state, lives + 1, count - 1, late);
        memset (late + first, 0, size);
    }
    return found;
}

/*  Where they part, with some of what is before it. */
static size_t shortly_before_the_difference (const yard_buffer_t *a, const yard_buffer_t *b)
{
    size_t i = 0;
    while (i < a->size && i < b->size && a->data [i] == b->data [i])
        i++;
    return i > CONTEXT_BYTES ? i - CONTEXT_BYTES : 0;
}

static const char *compare (store_verdict_t *self, const workload_t *workload, const yard_buffer_t *state)
{
    life_t lives [LIVES_MAX];
    bool late [WORKLOAD_EFFECTS_MAX] = { 0 };
    if (is_with_failed_turns (self, workload, state, lives, failed_turns (workload, lives), late))
        return NULL;
    const yard_buffer_t *expected = state_after (self, workload->acknowledged, late);
    size_t at = shortly_before_the_difference (state, expected);
    snprintf (self->text, sizeof self->text, "it holds \"%.150s\" where \"%.150s\" was acknowledged",
              state->data + at, expected->data + at);
    return self->text;
}

const char *store_verdict (store_verdict_t *self, workload_t *workload)
{
    const char *broken = store_state_broken (workload_database (workload));
    if (broken) {
        snprintf (self->text, sizeof self->text, "it does not hold that %s", broken);
        return self->text;
    }
    yard_buffer_t state;
    yard_buffer_init (&state, STORE_STATE_BYTES_MAX);
    int code = store_state_read (workload_database (workload), &state);
    const char *wrong = code ? "it cannot be read" : compare (self, workload, &state);
    yard_buffer_clear (&state);
    return wrong;
}
