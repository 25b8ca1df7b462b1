// SPDX-License-Identifier: Apache-2.0
/*  completion.c - `modelyard completion bash`: made from the table of commands, so it knows all of them
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

/*  The second word is a command; of the others those with models complete keys, which `ls` knows. */
int command_completion (invocation_t *self, int argc, char **argv)
{
    static const struct argp argp = { .parser = parse,
                                      .args_doc = "bash",
                                      .doc = "Prints a completion script." };
    if (invocation_parse (self, &argp, argc, argv, NULL))
        return invocation_failed (self);
    puts (
        "_modelyard () {\n    local word=${COMP_WORDS[COMP_CWORD]}\n    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    fputs ("        COMPREPLY=($(compgen -W '", stdout);
    for (const command_t *command = commands; command->name; command++)
        printf ("%s%s", command == commands ? "" : " ", command->name);
    puts ("' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n    show|rm|load|unload)\n"
          "        COMPREPLY=($(compgen -W \"$(modelyard ls --keys 2>/dev/null)\" -- \"$word\")) ;;\n"
          "    install)\n        COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
          "complete -o default -F _modelyard modelyard");
    return EXIT_DONE;
}
