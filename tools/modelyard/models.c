// SPDX-License-Identifier: Apache-2.0
/*  models.c - commands about recorded models: ls, show, rm
 */
#include "commands.h"

#include "fields.h"
#include "model_find.h"
#include "rows.h"
#include "text.h"

/*  --- ls */
typedef struct {
    invocation_t *invocation;
    record_search_ask_t ask;
    bool keys;
    rows_t *rows;
} ls_t;

enum {
    OPTION_TYPE = 0x200,
    OPTION_BASE,
    OPTION_NAME,
    OPTION_KEYS
};

/*  The value of an enum's word; a wrong word names the right ones. */
static int word_of (const yard_wire_type_t *type, const char *word, struct argp_state *state)
{
    int value = yard_wire_value (type, yard_string (word));
    yard_buffer_t words;
    if (value)
        return value;
    yard_buffer_init (&words, 2048);
    for (size_t i = 0; i < type->value_count; i++)
        yard_buffer_printf (&words, "%s%s", i ? " " : "", type->values [i].word);
    argp_error (state, "\"%.40s\" is no %s; one of: %s", word, type->name, words.data);
    return 0;
}

static error_t parse_ls (int key, char *word, struct argp_state *state)
{
    ls_t *self = state->input;
    switch (key) {
    case OPTION_TYPE:
        self->ask.has_type = true;
        self->ask.type = (model_type_t) word_of (model_type_type (), word, state);
        return 0;
    case OPTION_BASE:
        self->ask.has_base = true;
        self->ask.base = (base_model_t) word_of (base_model_type (), word, state);
        return 0;
    case OPTION_NAME:
        self->ask.has_name = true;
        self->ask.name = yard_string (word);
        return 0;
    case OPTION_KEYS:
        self->keys = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp ls_argp = {
    .options =
        (const struct argp_option []){
            { .name = "type",
              .key = OPTION_TYPE,
              .arg = "TYPE",
              .doc = "Only of this type: main, lora, vae …" },
            { .name = "base",
              .key = OPTION_BASE,
              .arg = "BASE",
              .doc = "Only for this architecture: sd-1, sdxl …" },
            { .name = "name", .key = OPTION_NAME, .arg = "NAME", .doc = "Only with exactly this name" },
            { .name = "keys", .key = OPTION_KEYS, .doc = "Whole keys and nothing else, one a line" },
            { 0 } },
    .parser = parse_ls,
    .doc = "Lists the models of the yard, ordered by name."
};

static const column_t ls_columns [] = { { .heading = "KEY" },    { .heading = "NAME", .cut = true },
                                        { .heading = "TYPE" },   { .heading = "BASE" },
                                        { .heading = "FORMAT" }, { .heading = "SIZE", .right = true } };

static bool list_record (void *argument, const model_record_t *record)
{
    ls_t *self = argument;
    const model_config_t *config = &record->config;
    char size [32];
    if (self->invocation->json) {
        invocation_json (model_record_type (), record);
        return true;
    }
    if (self->keys) {
        puts (config->key.data);
        return true;
    }
    const yard_string_t cells [] = { { config->key.data, 8 },
                                     config->name,
                                     yard_string (yard_wire_word (model_type_type (), (int) config->type)),
                                     yard_string (yard_wire_word (base_model_type (), (int) config->base)),
                                     yard_string (
                                         yard_wire_word (model_format_type (), (int) config->format)),
                                     yard_string (text_size (size, sizeof size, config->total_bytes)) };
    rows_add (self->rows, cells);
    return true;
}

int command_ls (invocation_t *invocation, int argc, char **argv)
{
    ls_t self = { .invocation = invocation };
    yard_wire_init (record_search_ask_type (), &self.ask);
    int rc = invocation_parse (invocation, &ls_argp, argc, argv, &self);
    self.rows = rows_new (ls_columns, sizeof ls_columns / sizeof ls_columns [0]);
    if (rc == 0)
        rc = model_each (invocation, &self.ask, list_record, &self);
    if (rc == 0 && !invocation->json && !self.keys) {
        if (rows_count (self.rows))
            rows_print (self.rows, stdout, rows_terminal_width ());
        else
            fprintf (stderr, "no models; `modelyard install` gets one\n");
    }
    rows_destroy (&self.rows);
    return rc ? invocation_failed (invocation) : EXIT_DONE;
}

/*  --- show, rm */
static error_t parse_model (int key, char *word, struct argp_state *state)
{
    const char **self = state->input;
    if (key == ARGP_KEY_NO_ARGS)
        argp_error (state, "which model? a key, its first digits, or a name; `modelyard ls` lists them");
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (state->arg_num > 0)
        argp_usage (state);
    *self = word;
    return 0;
}

int command_show (invocation_t *self, int argc, char **argv)
{
    static const struct argp argp = { .parser = parse_model,
                                      .args_doc = "KEY|NAME",
                                      .doc = "Prints everything about one model." };
    const char *word = NULL;
    model_record_t record;
    int rc = invocation_parse (self, &argp, argc, argv, &word);
    if (rc == 0)
        rc = model_find (self, word, &record);
    if (rc)
        return invocation_failed (self);
    if (self->json)
        invocation_json (model_record_type (), &record);
    else
        fields_print (stdout, model_record_type (), &record, true);
    return EXIT_DONE;
}

int command_rm (invocation_t *self, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse_model,
        .args_doc = "KEY|NAME",
        .doc = "Removes a model from the yard, and its files if they are in the models directory."
    };
    const char *word = NULL;
    model_record_t record;
    install_delete_ask_t ask;
    install_delete_answer_t answer;
    char name [512];
    int rc = invocation_parse (self, &argp, argc, argv, &word);
    if (rc == 0)
        rc = model_find (self, word, &record);
    if (rc == 0) {
        yard_wire_init (install_delete_ask_type (), &ask);
        ask.key = record.config.key;
        rc = invocation_ask (self, &install_delete_method, &ask, &answer);
    }
    if (rc)
        return invocation_failed (self);
    if (self->json)
        invocation_json (install_delete_answer_type (), &answer);
    else
        printf ("removed %s %s%s\n", answer.config.key.data,
                text_clean (name, sizeof name, answer.config.name),
                answer.files_removed ? "" : " (its files are outside of the models directory and stay)");
    return EXIT_DONE;
}
