// SPDX-License-Identifier: Apache-2.0
/*  asks.c - slots in chunks that never move, the free ones in a list
 */
#include "asks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 18 /* BROKER_ASKS_MAX; the 46 bits above it count 2 million asks a second for a year */
#define CHUNK_SLOTS ((size_t) 1024)
#define CHUNKS_MAX (BROKER_ASKS_MAX / CHUNK_SLOTS)

_Static_assert(BROKER_ASKS_MAX == (size_t) 1 << SLOT_BITS, "the slot must fit its bits of the number");

/*  free_slots is a stack: the slot that was freed last is warm. */
struct broker_asks_t {
    broker_ask_t *chunks [CHUNKS_MAX];
    size_t chunk_count, count, free_count;
    uint32_t *free_slots;
    uint64_t serial;
};

broker_asks_t *broker_asks_new (void)
{
    broker_asks_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    return self;
}

void broker_asks_destroy (broker_asks_t **self_p)
{
    assert (self_p);
    broker_asks_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->chunk_count; i++) {
        for (size_t slot = 0; slot < CHUNK_SLOTS; slot++)
            free (self->chunks [i][slot].far);
        free (self->chunks [i]);
    }
    free (self->free_slots);
    free (self);
    *self_p = NULL;
}

/*  false: there are as many as there may be. */
static bool add_chunk (broker_asks_t *self)
{
    if (self->chunk_count == CHUNKS_MAX)
        return false;
    size_t first = self->chunk_count * CHUNK_SLOTS;
    broker_ask_t *chunk = calloc (CHUNK_SLOTS, sizeof *chunk);
    uint32_t *slots = realloc (self->free_slots, (first + CHUNK_SLOTS) * sizeof *slots);
    if (!chunk || !slots)
        abort ();
    self->chunks [self->chunk_count++] = chunk;
    self->free_slots = slots;
    for (size_t i = CHUNK_SLOTS; i > 0; i--)
        slots [self->free_count++] = (uint32_t) (first + i - 1);
    return true;
}

static char *bytes_of (broker_ask_t *ask)
{
    return ask->far ? ask->far : ask->near;
}

static char *append (char *at, yard_string_t frame)
{
    if (frame.size)
        memcpy (at, frame.data, frame.size);
    return at + frame.size;
}

static void echo_keep (broker_ask_t *ask, const yard_envelope_t *envelope, size_t bytes)
{
    if (bytes > sizeof ask->near) {
        ask->far = malloc (bytes);
        if (!ask->far)
            abort ();
    }
    ask->id_size = (uint16_t) envelope->id.size;
    ask->name_size = (uint16_t) envelope->name.size;
    ask->prefix_count = (uint16_t) envelope->prefix_count;
    char *at = append (append (bytes_of (ask), envelope->id), envelope->name);
    for (size_t i = 0; i < envelope->prefix_count; i++) {
        ask->prefix_sizes [i] = (uint16_t) envelope->prefix [i].size;
        at = append (at, envelope->prefix [i]);
    }
}

broker_ask_t *broker_asks_open (broker_asks_t *self, const yard_envelope_t *envelope, broker_peer_t *asker,
                                broker_peer_t *server)
{
    size_t prefix_bytes = 0;
    for (size_t i = 0; i < envelope->prefix_count; i++) {
        if (envelope->prefix [i].size > BROKER_PREFIX_BYTES_MAX - prefix_bytes)
            return NULL;
        prefix_bytes += envelope->prefix [i].size;
    }
    if (!self->free_count && !add_chunk (self))
        return NULL;
    uint32_t slot = self->free_slots [--self->free_count];
    broker_ask_t *ask = &self->chunks [slot / CHUNK_SLOTS][slot % CHUNK_SLOTS];
    ask->number = ++self->serial << SLOT_BITS | slot;
    ask->withdrawn = false;
    ask->asker = asker;
    ask->server = server;
    echo_keep (ask, envelope, envelope->id.size + envelope->name.size + prefix_bytes);
    TAILQ_INSERT_TAIL (&asker->asked, ask, of_asker);
    TAILQ_INSERT_TAIL (&server->serving, ask, of_server);
    asker->asked_count++;
    server->serving_count++;
    self->count++;
    return ask;
}

broker_ask_t *broker_asks_find (const broker_asks_t *self, yard_string_t number)
{
    uint64_t wanted;
    if (number.size != sizeof wanted)
        return NULL;
    memcpy (&wanted, number.data, sizeof wanted);
    size_t slot = (size_t) (wanted & (BROKER_ASKS_MAX - 1));
    if (!wanted || slot / CHUNK_SLOTS >= self->chunk_count)
        return NULL;
    broker_ask_t *ask = &self->chunks [slot / CHUNK_SLOTS][slot % CHUNK_SLOTS];
    return ask->number == wanted ? ask : NULL;
}

void broker_asks_close (broker_asks_t *self, broker_ask_t *ask)
{
    TAILQ_REMOVE (&ask->asker->asked, ask, of_asker);
    TAILQ_REMOVE (&ask->server->serving, ask, of_server);
    ask->asker->asked_count--;
    ask->server->serving_count--;
    self->free_slots [self->free_count++] = (uint32_t) (ask->number & (BROKER_ASKS_MAX - 1));
    self->count--;
    free (ask->far);
    ask->far = NULL;
    ask->number = 0;
}

size_t broker_asks_count (const broker_asks_t *self)
{
    return self->count;
}

static const char *bytes_in (const broker_ask_t *ask)
{
    return ask->far ? ask->far : ask->near;
}

yard_string_t broker_ask_id (const broker_ask_t *self)
{
    return (yard_string_t){ bytes_in (self), self->id_size };
}

yard_envelope_t broker_ask_echo (const broker_ask_t *self, char letter, yard_string_t body,
                                 yard_string_t *prefix)
{
    const char *name = bytes_in (self) + self->id_size;
    const char *at = name + self->name_size;
    for (size_t i = 0; i < self->prefix_count; i++) {
        prefix [i] = (yard_string_t){ at, self->prefix_sizes [i] };
        at += self->prefix_sizes [i];
    }
    return (yard_envelope_t){
        .prefix = prefix,
        .prefix_count = self->prefix_count,
        .letter = letter,
        .id = broker_ask_id (self),
        .name = { name, self->name_size },
        .body = body,
    };
}
