// SPDX-License-Identifier: Apache-2.0
/*  sim_remote.c - makes the files: small LoRAs of three widths, one file that is no model we know, and one
 *  that is a page
 */
#include "sim_remote.h"

#define FILE_MAX 65536
#define KEY "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"

struct sim_remote_t {
    int versions [SIM_FILES];
    yard_buffer_t bytes [SIM_FILES][SIM_VERSIONS];
};

/*  Two have one name: their folders must not. */
static const struct {
    const char *url, *key;
    unsigned width;
} files [SIM_FILES] = {
    { "http://files.test/a/style.safetensors", KEY, 768 },
    { "http://files.test/b/style.safetensors", KEY, 768 },
    { "http://files.test/c/ink.safetensors", KEY, 1024 },
    { "http://files.test/d/clay.safetensors", KEY, 2048 },
    { "http://files.test/e/glass.safetensors", KEY, 768 },
    { "http://files.test/f/moss.safetensors", KEY, 1024 },
    { "http://files.test/g/rust.safetensors", KEY, 2048 },
    { "http://files.test/h/fog.safetensors", KEY, 768 },
    { "http://files.test/i/riddle.safetensors", "who.knows.what", 32 }, /* undecided */
    { "http://files.test/j/page.safetensors", NULL, 0 },
};

static void make_file (yard_buffer_t *ret, yard_random_t *random, size_t file, int version)
{
    yard_buffer_init (ret, FILE_MAX);
    if (!files [file].key) {
        yard_buffer_text (ret, "<!DOCTYPE html><html><body>Please log in.</body></html>");
        return;
    }
    unsigned rank = 1 + (unsigned) yard_random_below (random, 8);
    size_t bytes = (size_t) rank * files [file].width * 2;
    char json [512];
    int size = snprintf (json, sizeof json,
                         "{\"__metadata__\":{\"file\":\"%zu\",\"version\":\"%d\"},\"%s\":{\"dtype\":\"F16\","
                         "\"shape\":[%u,%u],\"data_offsets\":[0,%zu]}}",
                         file, version, files [file].key, rank, files [file].width, bytes);
    unsigned char head [8] = { (unsigned char) size, (unsigned char) (size >> 8) };
    yard_buffer_append (ret, head, sizeof head);
    yard_buffer_append (ret, json, (size_t) size);
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t word = yard_random_next (random);
        yard_buffer_append (ret, &word, bytes - at < 8 ? bytes - at : 8);
    }
}

sim_remote_t *sim_remote_new (uint64_t seed)
{
    sim_remote_t *self = yard_zeroed (sizeof *self);
    yard_random_t random;
    yard_random_seed (&random, seed ^ 0xf11e5);
    for (size_t file = 0; file < SIM_FILES; file++)
        for (int version = 0; version < SIM_VERSIONS; version++)
            make_file (&self->bytes [file][version], &random, file, version);
    return self;
}

void sim_remote_destroy (sim_remote_t **self_p)
{
    for (size_t file = 0; *self_p && file < SIM_FILES; file++)
        for (int version = 0; version < SIM_VERSIONS; version++)
            yard_buffer_clear (&(*self_p)->bytes [file][version]);
    free (*self_p);
    *self_p = NULL;
}

const char *sim_remote_url (size_t file)
{
    return files [file].url;
}

int sim_remote_find (const char *url)
{
    for (int file = 0; file < SIM_FILES; file++)
        if (strcmp (files [file].url, url) == 0)
            return file;
    return -1;
}

yard_string_t sim_remote_bytes (sim_remote_t *self, size_t file, int version)
{
    return yard_buffer_view (&self->bytes [file][version < 0 ? self->versions [file] : version]);
}

void sim_remote_change (sim_remote_t *self, size_t file)
{
    if (self->versions [file] + 1 < SIM_VERSIONS)
        self->versions [file]++;
}

int sim_remote_version (const sim_remote_t *self, size_t file)
{
    return self->versions [file];
}

int sim_remote_recognise (sim_remote_t *self, yard_string_t bytes)
{
    for (int file = 0; file < SIM_FILES; file++)
        for (int version = 0; version < SIM_VERSIONS; version++)
            if (yard_string_equal (bytes, yard_buffer_view (&self->bytes [file][version])))
                return file;
    return -1;
}
