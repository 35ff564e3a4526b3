#include "sandbox/limits.h"

#include "base/mem.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CGROUP_DIR    "/sys/fs/cgroup"
#define MAX_THREADS   16
#define THREAD_BYTES  (3 << 20)           /* what a worker needs: a block before and after, and what it works with */
#define OWN_PART      4                   /* a quarter of the memory and of the processes is ours, the rest a RUN's */
#define CPU_PERIOD_US 100000              /* the kernel's default, where a file names none */
#define V1_NO_LIMIT   (UINT64_C(1) << 60) /* v1 writes "none" as the largest page-aligned number */
#define SMALL_FILE    4096

/* A small pseudo file of the kernel's, NUL-terminated; false if it cannot be read. */
static bool read_small(const char *path, char text[SMALL_FILE])
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;

    if (fd < 0)
        return false;
    while (len < SMALL_FILE - 1) {
        ssize_t n = read(fd, text + len, SMALL_FILE - 1 - len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    text[len] = '\0';
    return true;
}

static bool read_file_of(const char *dir, const char *name, char text[SMALL_FILE])
{
    AUTO_FREE char *path = xasprintf("%s/%s", dir, name);

    return read_small(path, text);
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- where our cgroup is ---- */

/* Does the comma-separated list hold the word? */
static bool has_word(const char *list, size_t len, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= len; i++)
        if ((i == 0 || list[i - 1] == ',') && strncmp(list + i, word, n) == 0 && (i + n == len || list[i + n] == ','))
            return true;
    return false;
}

/* Our path in a hierarchy from /proc/self/cgroup ("ID:CONTROLLERS:PATH" lines; v2 is "0::PATH"). "" if it names none.
 */
static char *own_path(const char *root, const char *controller)
{
    AUTO_FREE char *file = xasprintf("%s/proc/self/cgroup", root);
    char text[SMALL_FILE], *line_end;

    if (!read_small(file, text))
        return xstrdup("");
    for (char *line = text; *line; line = line_end + (*line_end != '\0')) {
        line_end = line + strcspn(line, "\n");
        char *list = memchr(line, ':', (size_t)(line_end - line));
        if (!list)
            continue;
        list++;
        char *path = memchr(list, ':', (size_t)(line_end - list));
        if (!path)
            continue;
        size_t len = (size_t)(path - list);
        if (controller ? has_word(list, len, controller) : len == 0)
            return xstrndup(path + 1, (size_t)(line_end - path - 1));
    }
    return xstrdup("");
}

/* Calls fn for our cgroup's directory and each above it as far as it is visible; without a cgroup namespace the path
 * may be the node's and not exist here: then the mount itself is our cgroup. */
static void each_level(const char *mount, const char *path, void (*fn)(const char *dir, void *ctx), void *ctx)
{
    AUTO_FREE char *dir = xasprintf("%s%s", mount, path);
    size_t top = strlen(mount);

    if (strstr(path, "..") || !is_dir(dir))
        dir[top] = '\0';
    for (;;) {
        while (strlen(dir) > top && dir[strlen(dir) - 1] == '/')
            dir[strlen(dir) - 1] = '\0';
        fn(dir, ctx);
        if (strlen(dir) <= top)
            return;
        *strrchr(dir, '/') = '\0';
    }
}

/* ---- the numbers ---- */

static void lower_memory(struct limits *l, uint64_t bytes)
{
    if (bytes < l->memory_bytes)
        l->memory_bytes = bytes;
}

static void lower_cpu(struct limits *l, long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return;
    unsigned long long milli = (unsigned long long)quota * 1000 / (unsigned long long)period;

    if (milli < 1)
        milli = 1;
    if (milli > UINT32_MAX)
        return;
    if (!l->cpu_limited || milli < l->cpu_milli)
        l->cpu_milli = (uint32_t)milli;
    l->cpu_limited = true;
}

static bool parse_u64(const char *text, uint64_t *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || (*end && *end != '\n' && *end != ' '))
        return false;
    *ret = v;
    return true;
}

/* The same file in both versions. */
static void read_pids(const char *dir, void *ctx)
{
    struct limits *l = ctx;
    char text[SMALL_FILE];
    uint64_t n;

    if (read_file_of(dir, "pids.max", text) && parse_u64(text, &n) && n < l->pids_max)
        l->pids_max = n;
}

static void read_v2(const char *dir, void *ctx)
{
    char text[SMALL_FILE];
    uint64_t n;

    read_pids(dir, ctx);
    if (read_file_of(dir, "memory.max", text) && parse_u64(text, &n))
        lower_memory(ctx, n);
    if (!read_file_of(dir, "cpu.max", text) || !parse_u64(text, &n) || n > INT64_MAX)
        return;
    const char *space = strchr(text, ' ');
    uint64_t period = CPU_PERIOD_US;
    if (space && (!parse_u64(space + 1, &period) || period > INT64_MAX))
        return;
    lower_cpu(ctx, (long long)n, (long long)period);
}

static void read_v1_memory(const char *dir, void *ctx)
{
    char text[SMALL_FILE];
    uint64_t n;

    if (read_file_of(dir, "memory.limit_in_bytes", text) && parse_u64(text, &n) && n < V1_NO_LIMIT)
        lower_memory(ctx, n);
}

static void read_v1_cpu(const char *dir, void *ctx)
{
    char text[SMALL_FILE];
    uint64_t quota, period = CPU_PERIOD_US;

    if (!read_file_of(dir, "cpu.cfs_quota_us", text) || !parse_u64(text, &quota) || quota > INT64_MAX)
        return; /* -1: no quota */
    if (read_file_of(dir, "cpu.cfs_period_us", text) && (!parse_u64(text, &period) || period > INT64_MAX))
        return;
    lower_cpu(ctx, (long long)quota, (long long)period);
}

static void count_cpus(struct limits *l)
{
    cpu_set_t set;
    int n = 1;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        n = CPU_COUNT(&set);
    l->cpu_milli = (uint32_t)n * 1000;
}

static bool is_v2(const char *root)
{
    AUTO_FREE char *file = xasprintf("%s" CGROUP_DIR "/cgroup.controllers", root);

    return access(file, F_OK) == 0;
}

/* The mount of a v1 controller; NULL if there is none. cpu is often mounted together with cpuacct. */
static char *v1_mount(const char *root, const char *const *names)
{
    for (; *names; names++) {
        char *dir = xasprintf("%s" CGROUP_DIR "/%s", root, *names);

        if (is_dir(dir))
            return dir;
        free(dir);
    }
    return NULL;
}

static const char *const v1_memory_names[] = { "memory", NULL };
static const char *const v1_pids_names[] = { "pids", NULL };
static const char *const v1_cpu_names[] = { "cpu", "cpu,cpuacct", "cpuacct,cpu", NULL };

static bool visit_v1(const char *root, const char *const *names, void (*fn)(const char *, void *), void *ctx)
{
    AUTO_FREE char *mount = v1_mount(root, names);

    if (!mount)
        return false;
    AUTO_FREE char *path = own_path(root, names[0]);
    each_level(mount, path, fn, ctx);
    return true;
}

static void visit_v2(const char *root, void (*fn)(const char *, void *), void *ctx)
{
    AUTO_FREE char *mount = xasprintf("%s" CGROUP_DIR, root);
    AUTO_FREE char *path = own_path(root, NULL);

    each_level(mount, path, fn, ctx);
}

/* What the shell calls ulimit, of this process. */
static void read_rlimits(struct limits *l)
{
    static const __rlimit_resource_t of_memory[] = { RLIMIT_AS, RLIMIT_DATA };
    struct rlimit r;

    for (size_t i = 0; i < sizeof(of_memory) / sizeof(of_memory[0]); i++)
        if (getrlimit(of_memory[i], &r) == 0 && r.rlim_cur != RLIM_INFINITY)
            lower_memory(l, r.rlim_cur);
    if (getrlimit(RLIMIT_NPROC, &r) == 0 && r.rlim_cur != RLIM_INFINITY && r.rlim_cur < l->pids_max)
        l->pids_max = r.rlim_cur;
}

void limits_read(const char *root, struct limits *ret_limits)
{
    struct limits l = { .memory_bytes = UINT64_MAX, .pids_max = UINT64_MAX };

    count_cpus(&l);
    if (is_v2(root)) {
        visit_v2(root, read_v2, &l);
        l.version = 2;
    } else {
        bool memory = visit_v1(root, v1_memory_names, read_v1_memory, &l);
        bool cpu = visit_v1(root, v1_cpu_names, read_v1_cpu, &l);

        (void)visit_v1(root, v1_pids_names, read_pids, &l);
        l.version = memory || cpu ? 1 : 0;
    }
    if (!*root)
        read_rlimits(&l);
    *ret_limits = l;
}

static void lower(uint64_t *n, uint64_t most)
{
    *n = *n < most ? *n : most;
}

int limits_threads(const struct limits *l)
{
    uint64_t n = l->cpu_milli / 1000 + (l->cpu_milli % 1000 != 0);

    lower(&n, MAX_THREADS);
    lower(&n, l->memory_bytes / OWN_PART / THREAD_BYTES);
    lower(&n, l->pids_max / OWN_PART);
    return n < 1 ? 1 : (int)n;
}

/* ---- out of memory ---- */

struct oom_search {
    const char *file; /* of "NAME NUMBER" lines */
    uint64_t count;
    bool found; /* our own level answered: those above count strangers too */
};

static void read_oom(const char *dir, void *ctx)
{
    struct oom_search *s = ctx;
    char text[SMALL_FILE];

    if (s->found || !read_file_of(dir, s->file, text))
        return;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "oom_kill ", 9) == 0 && parse_u64(line + 9, &s->count))
            s->found = true;
    }
}

uint64_t limits_oom_kills(const char *root)
{
    struct oom_search s = { .file = "memory.events" };

    if (is_v2(root)) {
        visit_v2(root, read_oom, &s);
    } else {
        s.file = "memory.oom_control";
        (void)visit_v1(root, v1_memory_names, read_oom, &s);
    }
    return s.count;
}
