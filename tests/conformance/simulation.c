// SPDX-License-Identifier: Apache-2.0
/*  simulation.c - the whole yard in one process, under a seeded scheduler: `simulation --seeds 500 --first 1`
 *
 *  A seed is a story (sim_scheduler.c), and what must hold in each of them is in sim_checker.h. Each is told
 *  in a process of its own, two at a time, so that nothing of one reaches the next. A failing seed is
 *  printed; `simulation --seed N --verbose` tells it again, word by word.
 *
 *      --seeds N      how many (500); YARD_SIM_SECONDS in the environment: as many as that time holds
 *      --first S      the first seed (1)
 *      --seed X       this one alone, in this process
 *      --verbose      tells the story
 *      --plant NAME   with the planted bug: ends well only if a seed fails
 *      --twice N      tells N seeds twice, and compares
 */
#include "sim_checker.h"

#include <getopt.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/lsan_interface.h>

/*  A story is short and its process is thrown away: keeping every freed block apart would be half of its
 *  time. */
const char *__asan_default_options (void);
const char *__asan_default_options (void)
{
    return "quarantine_size_mb=4:malloc_context_size=12";
}
#endif

#define CHILDREN 2 /* as the machines that run the tests have processors */
#define SEED_SECONDS_MAX 120 /* real ones: a story takes one or two */

typedef struct {
    uint64_t seeds, first, seed;
    bool one, verbose;
    const char *plant;
    uint64_t twice;
    int64_t seconds; /* 0: by count */
} plan_t;

/*  Descriptors and, where nobody was killed, memory are as before. */
static uint64_t tell_story (uint64_t seed, const char *plant, bool verbose)
{
    size_t fds = sim_open_fds ();
    sim_world_t *world = sim_world_new (seed, plant, verbose);
    bool gentle = world->gentle;
    uint64_t trace = sim_run (world);
    if (verbose)
        printf ("seed %llu: steps=%llu deaths=%llu jobs=%llu changes=%zu told_twice=%zu answers=%zu "
                "stale_words=%zu folders=%zu end=%.1fs\n",
                (unsigned long long) seed, (unsigned long long) world->steps,
                (unsigned long long) world->deaths, (unsigned long long) sim_jobs_count (world),
                sim_findings (world)->event_count, world->checker->told_twice, world->checker->answers,
                world->checker->stale_words, world->checker->folders_seen, (double) world->now_ns / 1e9);
    sim_world_destroy (&world);
    if (gentle && sim_open_fds () != fds)
        sim_failed ("seed %llu: %zu descriptors before, %zu after", (unsigned long long) seed, fds,
                    sim_open_fds ());
#if defined(__SANITIZE_ADDRESS__)
    if (gentle && __lsan_do_recoverable_leak_check ())
        sim_failed ("seed %llu: memory leaked", (unsigned long long) seed);
#endif
    return trace;
}

/*  In a child: 0, or 1 when it failed. */
static pid_t begin_story (uint64_t seed, const plan_t *plan)
{
    fflush (stdout);
    pid_t child = fork ();
    if (child)
        return child;
    alarm (SEED_SECONDS_MAX);
    tell_story (seed, plan->plant, plan->verbose);
    fflush (stdout);
    _exit (0);
}

static int64_t real_ms (void)
{
    return yard_clock_ms (yard_clock_system ());
}

typedef struct {
    pid_t child;
    uint64_t seed;
} running_t;

/*  Waits for one; true: it failed. */
static bool wait_story (running_t *running, const plan_t *plan)
{
    int status = 0;
    pid_t child = wait (&status);
    for (size_t i = 0; i < CHILDREN; i++) {
        if (running [i].child != child)
            continue;
        running [i].child = 0;
        if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
            return false;
        if (!WIFEXITED (status) || WEXITSTATUS (status) != 1)
            printf ("seed %llu failed: %s %d\n", (unsigned long long) running [i].seed,
                    WIFSIGNALED (status) ? "signal" : "exit",
                    WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status));
        if (!plan->plant)
            printf ("  again, word by word: simulation --seed %llu --verbose\n",
                    (unsigned long long) running [i].seed);
        return true;
    }
    return false;
}

static int run_plan (const plan_t *plan)
{
    running_t running [CHILDREN] = { 0 };
    uint64_t begun = 0, ended = 0, failed = 0;
    int64_t begun_ms = real_ms (), until_ms = begun_ms + plan->seconds * 1000;
    for (;;) {
        bool more = plan->seconds ? real_ms () < until_ms : begun < plan->seeds;
        if (plan->plant && failed)
            more = false;
        size_t alive = 0;
        for (size_t i = 0; i < CHILDREN; i++) {
            if (!running [i].child && more && (plan->seconds || begun < plan->seeds)) {
                running [i].seed = plan->first + begun++;
                running [i].child = begin_story (running [i].seed, plan);
            }
            alive += running [i].child != 0;
        }
        if (!alive)
            break;
        failed += wait_story (running, plan);
        ended++;
    }
    printf ("simulation: %llu seeds from %llu, %llu failed, %.1f s%s%s\n", (unsigned long long) ended,
            (unsigned long long) plan->first, (unsigned long long) failed,
            (double) (real_ms () - begun_ms) / 1000.0, plan->plant ? ", with " : "",
            plan->plant ? plan->plant : "");
    if (plan->plant && !failed)
        printf ("the planted bug was not caught\n");
    return (failed > 0) != (plan->plant != NULL);
}

/*  The same seed is the same story. */
static int run_twice (const plan_t *plan)
{
    for (uint64_t seed = plan->first; seed < plan->first + plan->twice; seed++) {
        uint64_t traces [2];
        for (int i = 0; i < 2; i++) {
            int ends [2];
            if (pipe (ends))
                return 1;
            fflush (stdout);
            if (fork () == 0) {
                uint64_t trace = tell_story (seed, NULL, false);
                _exit (write (ends [1], &trace, sizeof trace) != sizeof trace);
            }
            close (ends [1]);
            bool got = read (ends [0], &traces [i], sizeof traces [i]) == sizeof traces [i];
            close (ends [0]);
            wait (NULL);
            if (!got)
                return 1;
        }
        if (traces [0] != traces [1]) {
            printf ("seed %llu was two stories: %016llx and %016llx\n", (unsigned long long) seed,
                    (unsigned long long) traces [0], (unsigned long long) traces [1]);
            return 1;
        }
    }
    printf ("simulation: %llu seeds told twice, word by word the same\n", (unsigned long long) plan->twice);
    return 0;
}

static uint64_t number_of (const char *text)
{
    char *end;
    uint64_t number = strtoull (text, &end, 10);
    if (*end || end == text) {
        fprintf (stderr, "simulation: %s is no number\n", text);
        exit (2);
    }
    return number;
}

int main (int argc, char **argv)
{
    static const struct option options [] = {
        { "seeds", 1, NULL, 's' },
        { "first", 1, NULL, 'f' },
        { "seed", 1, NULL, 'o' },
        { "verbose", 0, NULL, 'v' },
        { "plant", 1, NULL, 'p' },
        { "twice", 1, NULL, 't' },
        { 0 },
    };
    plan_t plan = { .seeds = 500, .first = 1 };
    const char *seconds = getenv ("YARD_SIM_SECONDS");
    plan.seconds = seconds ? (int64_t) number_of (seconds) : 0;
    for (int key; (key = getopt_long (argc, argv, "", options, NULL)) != -1;)
        switch (key) {
        case 's':
            plan.seeds = number_of (optarg);
            break;
        case 'f':
            plan.first = number_of (optarg);
            break;
        case 'o':
            plan.seed = number_of (optarg), plan.one = true;
            break;
        case 'v':
            plan.verbose = true;
            break;
        case 'p':
            plan.plant = optarg;
            break;
        case 't':
            plan.twice = number_of (optarg);
            break;
        default:
            return 2;
        }
    if (plan.plant)
        plan.seconds = 0;
    if (plan.twice)
        return run_twice (&plan);
    if (!plan.one)
        return run_plan (&plan);
    uint64_t trace = tell_story (plan.seed, plan.plant, plan.verbose);
    printf ("seed %llu: trace %016llx\n", (unsigned long long) plan.seed, (unsigned long long) trace);
    fflush (stdout);
    _exit (0); /* the dead have left their memory, on purpose */
}
