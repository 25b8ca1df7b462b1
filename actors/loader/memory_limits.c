// SPDX-License-Identifier: Apache-2.0
/*  memory_limits.c - two small parsers and a walk from our control group up to the root
 */
#include "actors/loader/memory_limits.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/sysinfo.h>
#include "actors/ground/durable.h"

#define FILE_BYTES_MAX 65536 /* meminfo and cgroup have some 2 KiB */
#define SHARE 2 /* the other half is for whoever uses the models, and for the page cache */

const loader_memory_files_t loader_memory_files = {
    .meminfo = "/proc/meminfo",
    .groups = "/proc/self/cgroup",
    .group_root = "/sys/fs/cgroup",
};

/*  Decimal digits at the start of text; false for none, or for more than fits. */
static bool parse_number (const char *text, uint64_t *ret, const char **ret_end)
{
    uint64_t number = 0;
    const char *at = text;
    for (; isdigit ((unsigned char) *at); at++)
        if (__builtin_mul_overflow (number, (uint64_t) 10, &number) ||
            __builtin_add_overflow (number, (uint64_t) (*at - '0'), &number))
            return false;
    *ret = number;
    *ret_end = at;
    return at > text;
}

/*  What follows the word at the start of some line; NULL when no line begins so. */
static const char *find_line (const char *text, const char *word)
{
    size_t size = strlen (word);
    for (const char *line = text; line; line = strchr (line, '\n')) {
        line += *line == '\n';
        if (strncmp (line, word, size) == 0)
            return line + size;
    }
    return NULL;
}

/*  "MemTotal:       24684084 kB": kB are 1,024 bytes (proc(5)). */
static bool parse_total (const char *text, uint64_t *ret_bytes)
{
    const char *at = find_line (text, "MemTotal:");
    if (!at)
        return false;
    at += strspn (at, " \t");
    uint64_t kilobytes;
    return parse_number (at, &kilobytes, &at) && strncmp (at, " kB", 3) == 0 && kilobytes > 0 &&
           !__builtin_mul_overflow (kilobytes, (uint64_t) 1024, ret_bytes);
}

static int read_total (const char *path, const char *key, uint64_t *ret_bytes, yard_error_t *error)
{
    char *text;
    size_t size;
    yard_error_t cause = { .code = 0 };
    int rc = yard_file_read (path, FILE_BYTES_MAX, &text, &size, &cause);
    /*  A hardened unit hides the file (ProcSubset=pid); the call says the same (sysinfo(2)). */
    struct sysinfo machine;
    if (rc == YARD_NOT_FOUND && path == loader_memory_files.meminfo && sysinfo (&machine) == 0) {
        *ret_bytes = (uint64_t) machine.totalram * machine.mem_unit;
        return 0;
    }
    if (rc)
        return yard_error (error, rc, "%s; set %s in the configuration", cause.text, key);
    if (!parse_total (text, ret_bytes))
        rc = yard_error (error, YARD_INVALID_FILE,
                         "%s does not say how much memory there is (MemTotal); set %s in the configuration",
                         path, key);
    free (text);
    return rc;
}

/*  The group's own limit; UINT64_MAX for "max", for a file that is not there (the root group has none) and for
 *  one that says something else. */
static uint64_t read_limit (const char *root, const char *group)
{
    char path [PATH_MAX], *text;
    const char *end;
    size_t size;
    uint64_t limit;
    int length = snprintf (path, sizeof path, "%s%s/memory.max", root, group);
    if (length < 0 || length >= (int) sizeof path ||
        yard_file_read (path, FILE_BYTES_MAX, &text, &size, NULL))
        return UINT64_MAX;
    bool said = parse_number (text, &limit, &end) && (*end == '\n' || *end == 0);
    free (text);
    return said ? limit : UINT64_MAX;
}

/*  The line of version 2, "0::/user.slice/x", into ret_group [PATH_MAX], without a slash at its end. False
 *  without one, and for a group outside of the namespace that we see ("/../x"): only the root is then known. */
static bool find_group (const char *text, char *ret_group)
{
    const char *at = find_line (text, "0::/");
    if (!at)
        return false;
    int size = snprintf (ret_group, PATH_MAX, "/%.*s", (int) strcspn (at, "\n"), at);
    if (size >= PATH_MAX || strstr (ret_group, "/.."))
        return false;
    while (size > 0 && ret_group [size - 1] == '/')
        ret_group [--size] = 0;
    return true;
}

/*  The least of our group's limit and those of all groups above it: each holds for all below it. */
static uint64_t find_group_limit (const loader_memory_files_t *files)
{
    char *text, group [PATH_MAX] = "";
    size_t size;
    if (yard_file_read (files->groups, FILE_BYTES_MAX, &text, &size, NULL))
        return UINT64_MAX;
    if (!find_group (text, group))
        group [0] = 0;
    free (text);
    uint64_t least = read_limit (files->group_root, group);
    for (char *slash; (slash = strrchr (group, '/'));) {
        *slash = 0;
        uint64_t limit = read_limit (files->group_root, group);
        least = limit < least ? limit : least;
    }
    return least;
}

int loader_memory_host_budget (const loader_memory_files_t *files, const char *key, uint64_t *ret_bytes,
                               yard_error_t *error)
{
    uint64_t total;
    int rc = read_total (files->meminfo, key, &total, error);
    if (rc)
        return rc;
    uint64_t limit = find_group_limit (files);
    *ret_bytes = (limit < total ? limit : total) / SHARE;
    return 0;
}

uint64_t loader_memory_device_budget (uint64_t total, uint64_t head_room)
{
    return total > head_room ? total - head_room : 0;
}
