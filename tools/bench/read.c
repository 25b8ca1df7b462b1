// SPDX-License-Identifier: Apache-2.0
/*  read.c - a file into fresh memory, cold, by the loaders' reader: how a model becomes resident
 *
 *      bench-read FILE ROUNDS [pread] [buffered] [warm] [checked] [mapped]
 *
 *  Each round drops the file from the page cache, makes a memfd of its size and reads all of it there; the time is from
 *  making the memfd to the last byte. mapped: through a mapping of it, not its descriptor. warm: the file is read through
 *  the cache first instead of being dropped. checked: a crc32c of each 8 MiB is compared on the way. Prints one JSON
 *  object; `rounds` are in their order, for pairing with another program's.
 */
#include "carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "actors/ground/digest.h"
#include "actors/loader/read.h"

#define ROUNDS_MAX 99
#define WORDS 5

typedef struct {
    loader_reader_t *reader;
    loader_source_t source;
    sem_t done;
    yard_error_t error;
    bool warm, mapped;
} bench_t;

static void on_done (void *argument, const yard_error_t *error)
{
    bench_t *self = argument;
    self->error = *error;
    sem_post (&self->done);
}

/*  Reads all of it through the page cache. crc: what to write the checksums to, or NULL. */
static void read_all (const bench_t *self, uint32_t *crc)
{
    char *chunk = malloc (LOADER_CHUNK_BYTES);
    if (!chunk)
        bench_die ("no memory");
    for (uint64_t at = 0; at < self->source.bytes; at += LOADER_CHUNK_BYTES) {
        ssize_t got = pread (self->source.fd, chunk, LOADER_CHUNK_BYTES, (off_t) at);
        if (got <= 0)
            bench_die ("cannot read the file: %s", strerror (errno));
        if (crc)
            crc [at / LOADER_CHUNK_BYTES] = yard_crc32c (0, chunk, (size_t) got);
    }
    free (chunk);
}

static void open_file (bench_t *self, const char *path, bool checked)
{
    struct stat state;
    self->source.fd = open (path, O_RDONLY | O_CLOEXEC);
    if (self->source.fd < 0 || fstat (self->source.fd, &state) || state.st_size == 0)
        bench_die ("cannot open %s, or it is empty", path);
    self->source.name = path;
    self->source.bytes = (uint64_t) state.st_size;
    if (!checked)
        return;
    self->source.crc_bytes = LOADER_CHUNK_BYTES;
    self->source.crc_count = (self->source.bytes + LOADER_CHUNK_BYTES - 1) / LOADER_CHUNK_BYTES;
    uint32_t *crc = calloc (self->source.crc_count, sizeof *crc);
    if (!crc)
        bench_die ("no memory");
    read_all (self, crc);
    self->source.crc32c = crc;
}

static int64_t run_round (bench_t *self)
{
    if (self->warm)
        read_all (self, NULL);
    else if (posix_fadvise (self->source.fd, 0, 0, POSIX_FADV_DONTNEED))
        bench_die ("cannot drop the file from the page cache");
    loader_run_t run = { .bytes = self->source.bytes };
    yard_error_t error;
    int64_t begin = bench_now_ns ();
    int memory_fd = memfd_create ("bench", MFD_CLOEXEC);
    if (memory_fd < 0 || ftruncate (memory_fd, (off_t) self->source.bytes))
        bench_die ("cannot make a memfd: %s", strerror (errno));
    char *memory = NULL;
    if (self->mapped) {
        memory = mmap (NULL, self->source.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
        if (memory == MAP_FAILED)
            bench_die ("cannot map it: %s", strerror (errno));
    }
    self->source.memory_fd = memory ? 0 : memory_fd;
    loader_read_wish_t wish = { .sources = &self->source,
                                .source_count = 1,
                                .runs = &run,
                                .run_count = 1,
                                .memory = memory,
                                .done = on_done,
                                .argument = self,
                                .deadline_ms = INT64_MAX };
    loader_read_t *read;
    if (loader_read_start (self->reader, &wish, &read, &error))
        bench_die ("%s", error.text);
    while (sem_wait (&self->done) && errno == EINTR)
        ;
    int64_t took = bench_now_ns () - begin;
    if (self->error.code)
        bench_die ("%s", self->error.text);
    if (memory)
        munmap (memory, self->source.bytes);
    close (memory_fd);
    return took;
}

static void print (const bench_t *self, const int64_t *times, size_t count)
{
    int64_t sorted [ROUNDS_MAX];
    loader_reader_counts_t counts;
    loader_reader_counts (self->reader, &counts);
    memcpy (sorted, times, count * sizeof *times);
    bench_sort (sorted, count);
    double bytes = (double) self->source.bytes;
    printf ("{\"median_mb_s\": %.0f, \"uring\": %s, \"cached\": %.3f, \"direct\": %.3f, \"checked\": %.3f, "
            "\"rounds\": [",
            bytes * 1e3 / (double) sorted [count / 2], counts.uring ? "true" : "false",
            (double) counts.bytes_cached / bytes / (double) count,
            (double) counts.bytes_direct / bytes / (double) count,
            (double) counts.bytes_checked / bytes / (double) count);
    for (size_t i = 0; i < count; i++)
        printf ("%s%.0f", i ? ", " : "", bytes * 1e3 / (double) times [i]);
    puts ("]}");
}

int main (int argc, char **argv)
{
    bool words [WORDS] = { false };
    static const char *const names [WORDS] = { "pread", "buffered", "warm", "checked", "mapped" };
    for (int i = 3; i < argc; i++) {
        size_t word = 0;
        while (word < WORDS && strcmp (argv [i], names [word]) != 0)
            word++;
        if (word == WORDS)
            bench_die ("%s is none of pread, buffered, warm, checked, mapped", argv [i]);
        words [word] = true;
    }
    uint64_t rounds = argc > 2 ? bench_number (argv [2]) : 0;
    if (rounds < 1 || rounds > ROUNDS_MAX)
        bench_die (
            "usage: bench-read FILE ROUNDS [pread] [buffered] [warm] [checked] [mapped], at most %d rounds",
            ROUNDS_MAX);
    bench_t self = { .warm = words [2], .mapped = words [4] };
    yard_error_t error;
    open_file (&self, argv [1], words [3]);
    sem_init (&self.done, 0, 0);
    loader_reader_options_t options = { .no_uring = words [0], .no_direct = words [1] };
    if (loader_reader_new (&options, &self.reader, &error))
        bench_die ("%s", error.text);
    int64_t times [ROUNDS_MAX];
    for (uint64_t i = 0; i < rounds; i++)
        times [i] = run_round (&self);
    print (&self, times, rounds);
    loader_reader_destroy (&self.reader);
    sem_destroy (&self.done);
    free ((void *) self.source.crc32c);
    close (self.source.fd);
    return 0;
}
