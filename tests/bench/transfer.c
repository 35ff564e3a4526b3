/* transfer push|pull CA HOST REPOSITORY FILE DIGEST BYTES: a blob to or from a registry, through this program's own
 * client. push sends FILE; pull writes FILE, or with "-" throws away what it gets, and verifies it. Prints "SECONDS
 * KIB": the time of the transfer, and by how much the process grew for it. tests/bench/transfer compares that with
 * curl. */
#include "registry/registry.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void must(struct err *e)
{
    if (!e)
        return;
    err_print(stderr, e);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The most that it had. (getrusage also counts what the process was before it became this program.) */
static long rss_kib(void)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    const char *at;

    must(file_read("/proc/self/status", 1 << 16, &text));
    at = strstr(buf_str(&text), "VmHWM:");
    return at ? strtol(at + 6, NULL, 10) : 0;
}

/* ctx: the descriptor, -1 = nowhere */
static struct err *store(void *ctx, const void *p, size_t n)
{
    const int *fd = ctx;

    return *fd < 0 ? NULL : file_write_all(*fd, p, n);
}

static void pull(struct registry *r, const struct ref *ref, const struct descriptor *d, const char *path)
{
    bool nowhere = strcmp(path, "-") == 0;
    int fd = nowhere ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 && !nowhere)
        must(err_sys(errno, "cannot create '%s'", path));
    must(registry_pull_blob(r, ref, d, &(struct blob_target){ .out = { store, &fd } }));
    if (fd >= 0 && close(fd) != 0)
        must(err_sys(errno, "cannot write '%s'", path));
}

static struct err *open_file(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    *ret_fd = open(ctx, O_RDONLY | O_CLOEXEC);
    *ret_offset = 0;
    return *ret_fd < 0 ? err_sys(errno, "cannot open '%s'", (const char *)ctx) : NULL;
}

static void move(struct registry *r, char **argv)
{
    struct ref ref = { .domain = argv[3], .path = argv[4] };
    struct descriptor d = { .size_bytes = strtoull(argv[7], NULL, 10) };
    const struct blob_source source = { open_file, argv[5] };
    enum blob_result result = BLOB_UPLOADED;

    (void)snprintf(d.media_type, sizeof(d.media_type), "%s", MEDIA_OCI_LAYER);
    must(digest_parse(argv[6], &d.digest));
    if (strcmp(argv[1], "push") == 0)
        must(registry_push_blob(r, &ref, &d, &source, NULL, &result));
    else
        pull(r, &ref, &d, argv[5]);
    if (result != BLOB_UPLOADED)
        must(err_new(ERR_BUG, "the registry has the blob already"));
}

int main(int argc, char **argv)
{
    struct http *http = NULL;
    struct registry *registry = NULL;
    struct auth *auth = auth_new();
    struct registry_opts o = { .auth = auth };
    bool found = false;

    if (argc != 8)
        must(err_new(ERR_SETTING, "seven arguments are wanted"));
    must(http_new(&(struct http_opts){ .retries = 0, .ca_file = argv[2] }, &http));
    o.http = http;
    must(registry_new(&o, &registry));
    /* the first handshake makes the library grow: that is not the transfer's */
    struct ref idle = { .domain = argv[3], .path = argv[4] };
    const struct digest none = digest_bytes("", 0);
    must(registry_has_blob(registry, &idle, &none, &found));
    long idle_kib = rss_kib();
    double start = now();
    move(registry, argv);
    printf("%.3f %ld\n", now() - start, rss_kib() - idle_kib);
    registry_free(registry);
    auth_free(auth);
    http_free(http);
    return 0;
}
