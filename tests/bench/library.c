/* library FILE THREADS: the seconds that libdeflate alone needs to compress FILE in pieces of 1 MiB at level 1, on so
 * many threads: the floor of making a layer. What comes out is thrown away. */
#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PIECE       (1024 * 1024)
#define MAX_THREADS 64

static int file;
static atomic_llong next_offset;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *work(void *arg)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    size_t bound = libdeflate_gzip_compress_bound(c, PIECE);
    char *in = malloc(PIECE), *out = malloc(bound);

    (void)arg;
    if (!c || !in || !out)
        fail("malloc");
    for (ssize_t n; (n = pread(file, in, PIECE, atomic_fetch_add(&next_offset, PIECE))) != 0;)
        if (n < 0 || libdeflate_gzip_compress(c, in, (size_t)n, out, bound) == 0)
            fail("compress");
    free(in);
    free(out);
    libdeflate_free_compressor(c);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t ids[MAX_THREADS];
    struct timespec a, b;
    int n = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;

    if (n < 1 || n > MAX_THREADS || (file = open(argv[1], O_RDONLY)) < 0)
        fail("usage: library FILE THREADS");
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < n; i++)
        if (pthread_create(&ids[i], NULL, work, NULL) != 0)
            fail("pthread_create");
    for (int i = 0; i < n; i++)
        pthread_join(ids[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.3f\n", (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
    return 0;
}
