// SPDX-License-Identifier: Apache-2.0
/*  modelyard.c - the command line: which commands there are, and their help
 *
 *  Every command is a function from words to an exit code (commands.h); what all of them share is in
 *  invocation.c.
 */
#include "commands.h"

#include <signal.h>
#include <stdlib.h>
#include "actors/loader/device_proof.h"
#include "version.h"

const command_t commands [] = {
    { "up", command_up, "[-d] [--only ACTOR,…] [--set KEY=VALUE]…",
      "start a yard; with -d return when it is ready" },
    { "down", command_down, "", "stop it" },
    { "status", command_status, "", "how the yard is: actors, jobs, models, loads" },
    { "install", command_install, "SOURCE", "install a model from a file or URL, with progress" },
    { "ls", command_ls, "[--type T] [--base B] [--name N]", "list models" },
    { "show", command_show, "KEY|NAME", "everything about one model" },
    { "rm", command_rm, "KEY|NAME", "remove a model and its files" },
    { "load", command_load,
      "KEY|NAME [--submodel S | --whole] [--device D] [--form F] [--variant V] [--precision P] [--priority "
      "N] "
      "[--ttl T] [--path FILE] [--estimate] [--prefetch]",
      "keep a model in memory until unload" },
    { "pin", command_pin,
      "KEY|NAME [--submodel S | --whole] [--device D] [--form F] [--variant V] [--precision P] [--priority "
      "N] "
      "[--ttl T] [--path FILE]",
      "the same, in memory of the yard's own; prints the lease" },
    { "unload", command_unload, "LEASE|KEY|NAME [--device D] [--idle] [--all-idle]", "end what load began" },
    { "ps", command_ps, "[--device D]", "what is in memory, on every device" },
    { "top", command_top, "[--once] [--interval S]", "the same, live: devices, caches, rates" },
    { "devices", command_devices, "[--names]", "where models can be loaded" },
    { "doctor", command_doctor, "[--prove-device D]",
      "what of this machine the yard can use, and what is missing" },
    { "jobs", command_jobs, "[--live]", "list jobs" },
    { "cancel", command_cancel, "ID", "cancel a job" },
    { "events", command_events, "[--since CHANGE] [-f] [PREFIX…]",
      "what happened, and with -f what happens" },
    { "actors", command_actors, "", "who is on the bus" },
    { "config", command_config, "", "the configuration in force" },
    { "call", command_call, "METHOD[@PLACE] [JSON]", "ask any method" },
    { "version", command_version, "", "of this program and of the yard" },
    { "completion", command_completion, "bash",
      "print a completion script: source <(modelyard completion bash)" },
    { 0 },
};

static void print_commands (FILE *out)
{
    fputs ("Usage: modelyard COMMAND [OPTION…]\nA yard for machine-learning models.\n\nCommands:\n", out);
    for (const command_t *command = commands; command->name; command++)
        fprintf (out, "  %-11s %s\n", command->name, command->doc);
    fputs ("\nEvery command takes --home DIR, --run DIR, --json and --help.\n", out);
}

/*  Exit codes in order, each with the failures that have it. */
static void print_exit_codes (FILE *out)
{
    fprintf (out, "\nExit codes:\n  %3d  done\n", EXIT_DONE);
    for (int code = 1; code < 128; code++) {
        bool any = false;
        if (code == EXIT_DETACHED) {
            fprintf (out, "  %3d  detached by Ctrl-C, the job goes on;", code);
            any = true;
        } else if (code == EXIT_USAGE) {
            fprintf (out, "  %3d  usage;", code);
            any = true;
        }
        for (int number = YARD_ERROR_FIRST + 1; number < YARD_ERROR_LAST; number++) {
            const yard_error_row_t *row = yard_error_row (-number);
            if (row->exit != code)
                continue;
            any ? fprintf (out, " %s", row->word) : fprintf (out, "  %3d  %s", code, row->word);
            any = true;
        }
        if (any)
            fputc ('\n', out);
    }
}

static const command_t *find (const char *name)
{
    for (const command_t *command = commands; command->name; command++)
        if (strcmp (command->name, name) == 0)
            return command;
    return NULL;
}

/*  --home, --run and --json may stand before the command too. */
static int count_before_command (int argc, char **argv)
{
    int at = 1;
    while (at < argc && argv [at][0] == '-')
        at += strcmp (argv [at], "--home") == 0 || strcmp (argv [at], "--run") == 0 ? 2 : 1;
    return at < argc ? at : argc;
}

static bool is_any (const char *word, const char *a, const char *b)
{
    return strcmp (word, a) == 0 || strcmp (word, b) == 0;
}

int main (int argc, char **argv)
{
    int peer =
        loader_device_proof_peer (argc, argv); /* `doctor --prove-device` starts this program once more */
    if (peer >= 0)
        return peer;
    int at = count_before_command (argc, argv);
    if (argc > 1 && (is_any (argv [1], "--help", "-h") || is_any (argv [1], "help", "-?"))) {
        print_commands (stdout);
        print_exit_codes (stdout);
        return EXIT_DONE;
    }
    if (argc > 1 && is_any (argv [1], "--version", "-V")) {
        printf ("modelyard %s\n", MODELYARD_VERSION);
        return EXIT_DONE;
    }
    const command_t *command = at < argc ? find (argv [at]) : NULL;
    if (!command) {
        if (at < argc)
            fprintf (stderr, "modelyard: there is no command \"%.40s\"\n", argv [at]);
        print_commands (stderr);
        return EXIT_USAGE;
    }
    signal (SIGPIPE, SIG_DFL); /* `modelyard ls | head -1` ends as any filter */
    /* What stood before the command stands behind it now: the command's name moves to the front. */
    for (char *name = argv [at]; at > 1; at--) {
        argv [at] = argv [at - 1];
        argv [at - 1] = name;
    }
    invocation_t invocation;
    invocation_init (&invocation, command->name);
    int code = command->function (&invocation, argc - 1, argv + 1);
    invocation_clear (&invocation);
    if (fflush (stdout) || ferror (stdout)) {
        fprintf (stderr, "modelyard: the output could not be written\n");
        return code ? code : 5; /* disk_full, disk_failed */
    }
    return code;
}
