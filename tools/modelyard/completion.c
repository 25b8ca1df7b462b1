// SPDX-License-Identifier: Apache-2.0
/*  completion.c - `modelyard completion bash`: made from the table of commands, so it knows all of them and their
 *  options
 */
#include "commands.h"

#include <string.h>

static error_t parse (int key, char *word, struct argp_state *state)
{
    if (key == ARGP_KEY_ARG && strcmp (word, "bash") != 0)
        argp_error (state, "only bash is known so far");
    if (key == ARGP_KEY_NO_ARGS)
        argp_error (state, "for which shell? bash");
    return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

/*  What follows an option: words, or what a command of ours prints. */
static const struct {
    const char *option, *values;
} values [] = {
    { "--device", "$(modelyard devices --names 2>/dev/null)" },
    { "--prove-device", "host $(modelyard devices --names 2>/dev/null)" },
    { "--form", "mapped resident" },
    { "--submodel", "unet transformer text_encoder text_encoder_2 vae scheduler tokenizer" },
};

/*  The words of its usage that begin with two dashes, and those that every command has. */
static void print_options (const command_t *command)
{
    printf ("    %s) options='--home --run --json --help", command->name);
    for (const char *at = command->usage; (at = strstr (at, "--"));) {
        size_t size = 2 + strspn (at + 2, "abcdefghijklmnopqrstuvwxyz-");
        if (size > 2)
            printf (" %.*s", (int) size, at);
        at += size;
    }
    puts ("' ;;");
}

/*  The second word is a command; of the others those with models complete keys, which `ls` knows. */
int command_completion (invocation_t *self, int argc, char **argv)
{
    static const struct argp argp = { .parser = parse,
                                      .args_doc = "bash",
                                      .doc = "Prints a completion script." };
    if (invocation_parse (self, &argp, argc, argv, NULL))
        return invocation_failed (self);
    puts ("_modelyard () {\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
          "options=\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    fputs ("        COMPREPLY=($(compgen -W '", stdout);
    for (const command_t *command = commands; command->name; command++)
        printf ("%s%s", command == commands ? "" : " ", command->name);
    puts ("' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in");
    for (const command_t *command = commands; command->name; command++)
        print_options (command);
    puts ("    esac\n    case $before in");
    for (size_t i = 0; i < sizeof values / sizeof values [0]; i++)
        printf ("    %s)\n        COMPREPLY=($(compgen -W \"%s\" -- \"$word\"))\n        return ;;\n",
                values [i].option, values [i].values);
    puts ("    --path)\n        COMPREPLY=($(compgen -f -- \"$word\"))\n        return ;;\n    esac\n"
          "    if [ \"${word#-}\" != \"$word\" ]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n        return\n    fi\n"
          "    case ${COMP_WORDS[1]} in\n    show|rm|load|pin|unload)\n"
          "        COMPREPLY=($(compgen -W \"$(modelyard ls --keys 2>/dev/null)\" -- \"$word\")) ;;\n"
          "    install)\n        COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
          "complete -o default -F _modelyard modelyard");
    return EXIT_DONE;
}
