/* How far layers' way through the program is from what the machine can do: each of our steps beside the bare library or
 * tool that does its heaviest part, over the same 150 MB, in processes of their own. The last column is the processor
 * time of the floor divided by ours: 1.00 means that nothing was lost. Nothing is judged: compare runs of one machine.
 */
#include "build/copy.h"
#include "snapshot/unpack.h"
#include "sys/file.h"
#include "tar/compress.h"
#include "tar/decompress.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define BLOCK (1 << 20)

static const char *folder;
static uint64_t total; /* bytes of the archive */

struct cost {
    double wall_s, cpu_s;
    long rss_kib;
};

static void must(struct err *e)
{
    if (!e)
        return;
    err_print(stderr, e);
    exit(1);
}

static int open_file(const char *name, int flags)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC, 0644);

    if (fd < 0)
        must(err_sys(errno, "cannot open '%s'", path));
    return fd;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The second of two runs: the first one fills the caches. */
static struct cost measure(void (*fn)(void *arg), void *arg)
{
    struct cost c = { 0 };

    for (int i = 0; i < 2; i++) {
        double start = now();
        struct rusage u;
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            fn(arg);
            _exit(0);
        }
        if (wait4(pid, &status, 0, &u) < 0 || status != 0)
            exit(1);
        c.wall_s = now() - start;
        c.cpu_s =
            (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
        c.rss_kib = u.ru_maxrss;
    }
    return c;
}

static void print(const char *name, struct cost c, double floor_cpu_s)
{
    printf("%-34s %7.0f MB/s wall %7.0f MB/s cpu %6.1f MiB peak", name, (double)total / 1e6 / c.wall_s,
           (double)total / 1e6 / c.cpu_s, (double)c.rss_kib / 1024);
    if (floor_cpu_s > 0)
        printf("  %5.2f", floor_cpu_s / c.cpu_s);
    printf("\n");
    fflush(stdout);
}

/* --- the floors --- */

static void run_tool(void *arg)
{
    execl("/bin/sh", "sh", "-c", (const char *)arg, NULL);
    _exit(127);
}

static void run_hash(void *arg)
{
    AUTO_CLOSE int fd = open_file("data.tar", O_RDONLY);
    AUTO(hasher_free) struct hasher *h = hasher_new();
    AUTO_FREE char *p = xcalloc(1, BLOCK);

    (void)arg;
    for (ssize_t n; (n = read(fd, p, BLOCK)) > 0;)
        hasher_add(h, p, (size_t)n);
}

static void run_libdeflate(void *arg)
{
    AUTO_CLOSE int fd = open_file("data.tar", O_RDONLY);
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    size_t size = libdeflate_gzip_compress_bound(c, BLOCK);
    AUTO_FREE char *p = xcalloc(1, BLOCK), *out = xcalloc(1, size);

    (void)arg;
    for (ssize_t n; (n = read(fd, p, BLOCK)) > 0;)
        if (!libdeflate_gzip_compress(c, p, (size_t)n, out, size))
            _exit(1);
    libdeflate_free_compressor(c);
}

/* --- ours --- */

static struct err *to_nothing(void *ctx, const void *p, size_t n)
{
    (void)ctx, (void)p, (void)n;
    return NULL;
}

static void compress_to(const struct compress_opts *opts, struct sink out)
{
    AUTO_CLOSE int fd = open_file("data.tar", O_RDONLY);
    AUTO(compress_free) struct compressor *c = NULL;
    AUTO_FREE char *p = xcalloc(1, BLOCK);
    struct compress_result r;

    must(compress_new(opts, out, &c));
    struct sink sink = compress_sink(c);

    for (ssize_t n; (n = read(fd, p, BLOCK / 8)) > 0;)
        must(sink_write(&sink, p, (size_t)n));
    must(compress_end(c, &r));
}

static void run_compress(void *arg)
{
    compress_to(arg, (struct sink){ to_nothing, NULL });
}

static void run_decompress(void *arg)
{
    AUTO_CLOSE int fd = open_file(arg, O_RDONLY);
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO_FREE char *p = xcalloc(1, BLOCK);
    size_t n = 1;

    must(decompress_new(file_source(&fd), &d));
    struct source s = decompress_source(d);

    while (n)
        must(source_read(&s, p, BLOCK / 8, &n));
}

static void clear(const char *name)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, name);

    must(file_remove_tree(AT_FDCWD, path));
    must(file_mkdirs(path, 0755));
}

static void run_unpack(void *arg)
{
    struct unpack_opts opts = { .owners = OWNER_REAL, .chmod = -1 };

    (void)arg;
    clear("out");
    AUTO_CLOSE int fd = open_file("data.tar", O_RDONLY), root = open_file("out", O_RDONLY | O_DIRECTORY);

    must(unpack_tar(file_source(&fd), root, "/", &opts));
}

static void run_copy(void *arg)
{
    struct copy_stats stats;

    (void)arg;
    clear("out");
    AUTO_CLOSE int from = open_file("tree", O_RDONLY | O_DIRECTORY), to = open_file("out", O_RDONLY | O_DIRECTORY);
    struct copy_spec spec = { .from_fd = from, .dest = "/", .unpack = -1, .owners = OWNER_REAL };

    strs_add(&spec.sources, ".");
    must(copy_into(to, &spec, &stats));
}

/* --- the workload --- */

/* 3,000 files of 0 to 100 kB: text-like, noise and zeros in turn, the same in every run. */
static void make_tree(void)
{
    uint32_t x = 2463534242u;
    AUTO_FREE char *data = xcalloc(1, 100000);

    for (int i = 0; i < 3000; i++) {
        AUTO_FREE char *path = xasprintf("%s/tree/d%d/f%d", folder, i % 100, i);
        size_t n = (size_t)i * 7919 % 100000;

        for (size_t k = 0; k < n; k++) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            data[k] = (char)(i % 4 == 3 ? x : i % 4 == 2 ? 0u : (uint32_t) " etaoinshrdlu"[x % 13]);
        }
        must(file_write_atomic(path, data, n, 0644));
    }
}

static void make_inputs(void)
{
    AUTO_FREE char *command =
        xasprintf("cd %s && tar -C tree -cf data.tar . && gzip -6 -k data.tar && mv data.tar.gz one.gz", folder);
    struct compress_opts opts = { COMPRESSION_GZIP, 0, 2, NULL };

    make_tree();
    measure(run_tool, command);
    AUTO_CLOSE int fd = open_file("ours.gz", O_WRONLY | O_CREAT);
    AUTO_CLOSE int tar = open_file("data.tar", O_RDONLY);

    compress_to(&opts, file_sink(&fd));
    total = (uint64_t)lseek(tar, 0, SEEK_END);
}

static void bench_compress(void)
{
    struct cost hash = measure(run_hash, NULL), raw = measure(run_libdeflate, NULL);
    static const struct {
        const char *name;
        struct compress_opts opts;
        bool gzip;
    } rows[] = {
        { "compress gzip, 1 thread", { COMPRESSION_GZIP, 0, 1, NULL }, true },
        { "compress gzip, 2 threads", { COMPRESSION_GZIP, 0, 2, NULL }, true },
        { "compress gzip, 8 threads", { COMPRESSION_GZIP, 0, 8, NULL }, true },
        { "compress zstd, 2 threads", { COMPRESSION_ZSTD, 0, 2, NULL }, false },
    };

    print("floor: sha256", hash, 0);
    print("floor: libdeflate, one thread", raw, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        print(rows[i].name, measure(run_compress, (void *)&rows[i].opts), rows[i].gzip ? hash.cpu_s + raw.cpu_s : 0);
}

static void bench_decompress(void)
{
    AUTO_FREE char *one = xasprintf("gzip -dc %s/one.gz > /dev/null", folder),
                   *ours = xasprintf("gzip -dc %s/ours.gz > /dev/null", folder);
    struct cost tool = measure(run_tool, one), tool_ours = measure(run_tool, ours);

    print("floor: gzip -d of one member", tool, 0);
    print("decompress one member", measure(run_decompress, (void *)"one.gz"), tool.cpu_s);
    print("floor: gzip -d of our members", tool_ours, 0);
    print("decompress our members", measure(run_decompress, (void *)"ours.gz"), tool_ours.cpu_s);
}

static void bench_trees(void)
{
    AUTO_FREE char *tar = xasprintf("cd %s && rm -rf out && mkdir out && tar -C out -xpf data.tar", folder);
    AUTO_FREE char *cp = xasprintf("cd %s && rm -rf out && cp -a tree out", folder);
    struct cost tool = measure(run_tool, tar);

    print("floor: tar x", tool, 0);
    print("unpack a layer", measure(run_unpack, NULL), tool.cpu_s);
    tool = measure(run_tool, cp);
    print("floor: cp -a", tool, 0);
    print("COPY a tree", measure(run_copy, NULL), tool.cpu_s);
}

int main(void)
{
    char template[] = "/var/tmp/copyup-streams-XXXXXX";

    folder = mkdtemp(template);
    if (!folder)
        must(err_sys(errno, "cannot make a directory in /var/tmp"));
    make_inputs();
    bench_compress();
    bench_decompress();
    bench_trees();
    must(file_remove_tree(AT_FDCWD, folder));
    return 0;
}
