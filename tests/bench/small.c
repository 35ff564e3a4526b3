/* What many small things cost, in processor time, the best of a few rounds: reading and planning a Dockerfile of 2,000
 * lines, and a .dockerignore of 200 patterns over 100,000 files beside the walk that finds them. Fails above the
 * limits.
 *
 * usage: small FOLDER (an empty one, for the files) */
#include "base/buf.h"
#include "context/ignore.h"
#include "plan/plan.h"
#include "sys/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ROUNDS        5
#define LINES         2000
#define PLAN_LIMIT_S  0.020
#define PATTERNS      200
#define DIRS          1000 /* of FILES_PER_DIR files */
#define FILES_PER_DIR 100
#define IGNORE_LIMIT  1.0 /* times the walk */
#define PATH_BYTES    256

static void must(struct err *e)
{
    if (!e)
        return;
    err_print(stderr, e);
    exit(1);
}

static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double best(double (*round)(void *arg), void *arg)
{
    double least = 1e9;

    for (int i = 0; i < ROUNDS; i++) {
        double s = round(arg);

        least = s < least ? s : least;
    }
    return least;
}

/* ---- a Dockerfile ---- */

static void write_dockerfile(struct buf *text)
{
    static const char *const lines[] = {
        "ARG A%zu=value",
        "ENV E%zu=$A1 F=${E2:-x}",
        "RUN echo $E1 > /file%zu && make -j4 all",
        "COPY dir%zu/*.c /src/",
        "LABEL l%zu=\"a b\"",
        "WORKDIR /w/%zu",
        "EXPOSE %zu",
        "USER %zu",
        "RUN --mount=type=cache,target=/c%zu build",
        "# a comment, %zu",
    };

    buf_puts(text, "FROM scratch\n");
    for (size_t i = 1; i < LINES; i++) {
        const char *line = lines[i % (sizeof(lines) / sizeof(lines[0]))], *number = strstr(line, "%zu");

        buf_printf(text, "%.*s%zu%s\n", (int)(number - line), line, i, number + strlen("%zu"));
    }
}

static double plan_once(void *arg)
{
    const struct buf *text = arg;
    struct plan_opts opts = { .target = NULL };
    struct dockerfile *df = NULL;
    struct image_config base = { 0 };
    struct stage_plan sp = { 0 };
    struct plan *p = NULL;

    must(platform_parse("linux/amd64", &opts.target_platform));
    opts.build_platform = opts.target_platform;
    config_init(&base, &opts.target_platform);
    double start = cpu_now();
    must(dockerfile_parse("Dockerfile", text->data, text->len, &df));
    must(plan_new(df, &opts, &p));
    must(plan_rehearse(p, false, NULL));
    must(plan_stage(p, p->target, &base, NULL, &sp));
    double s = cpu_now() - start;
    stage_plan_release(&sp);
    plan_free(p);
    dockerfile_free(df);
    config_release(&base);
    return s;
}

/* ---- .dockerignore ---- */

static void make_files(int root)
{
    char name[64];

    for (int d = 0; d < DIRS; d++) {
        (void)snprintf(name, sizeof(name), "dir%d", d);
        if (mkdirat(root, name, 0755) < 0)
            must(err_sys(errno, "cannot make '%s'", name));
        for (int f = 0; f < FILES_PER_DIR; f++) {
            (void)snprintf(name, sizeof(name), "dir%d/file%d.c", d, f);
            AUTO_CLOSE int fd = openat(root, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

            if (fd < 0)
                must(err_sys(errno, "cannot make '%s'", name));
        }
    }
}

static void write_ignore(struct buf *text)
{
    static const char *const patterns[] = { "**/*.o%zu",       "dir%zu/file7.c", "**/node_modules%zu", "build%zu/",
                                            "!dir%zu/file7.c", "*.log%zu",       "**/dir%zu/*.tmp",    "dir?/x%zu" };

    for (size_t i = 0; i < PATTERNS; i++) {
        const char *p = patterns[i % (sizeof(patterns) / sizeof(patterns[0]))], *number = strstr(p, "%zu");

        buf_printf(text, "%.*s%zu%s\n", (int)(number - p), p, i, number + strlen("%zu"));
    }
}

struct walk {
    int root;
    const struct ignore *ignore; /* NULL: the walk alone */
    size_t seen, excluded;
};

static void walk_dir(struct walk *w, int parent, const char *name, const char *path, const unsigned char *state)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    AUTO_FREE unsigned char *own = w->ignore ? xcalloc(1, ignore_state_size(w->ignore)) : NULL;

    if (!dir)
        must(err_sys(errno, "cannot open '%s'", name));
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char below[PATH_BYTES];
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if ((size_t)snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", e->d_name) >= sizeof(below))
            continue;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            must(err_sys(errno, "cannot look at '%s'", below));
        w->seen++;
        w->excluded += w->ignore && ignore_excludes_in(w->ignore, below, state, own);
        if (S_ISDIR(st.st_mode))
            walk_dir(w, fd, e->d_name, below, own);
    }
    closedir(dir);
}

static double walk_once(void *arg)
{
    struct walk *w = arg;
    double start = cpu_now();

    w->seen = w->excluded = 0;
    walk_dir(w, w->root, ".", "", NULL);
    return cpu_now() - start;
}

static bool show(const char *name, double value, const char *unit, double limit)
{
    bool good = value <= limit;

    printf("%-6s %-50s %8.4f %s (limit %.4g)\n", good ? "ok" : "FAILED", name, value, unit, limit);
    return good;
}

int main(int argc, char **argv)
{
    AUTO(buf_release) struct buf text = BUF_INIT, patterns = BUF_INIT;
    struct ignore *ignore = NULL;
    struct walk w = { .root = -1 };

    if (argc == 2)
        w.root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w.root < 0) {
        (void)fprintf(stderr, "usage: small FOLDER\n");
        return 64;
    }
    write_dockerfile(&text);
    bool good = show("read and plan a Dockerfile of 2,000 lines", best(plan_once, &text), "s", PLAN_LIMIT_S);
    make_files(w.root);
    write_ignore(&patterns);
    must(ignore_parse(patterns.data, patterns.len, &ignore));
    double alone = best(walk_once, &w);
    w.ignore = ignore;
    double both = best(walk_once, &w);
    printf("       %zu files, %zu of them excluded; the walk alone %.3f s\n", w.seen, w.excluded, alone);
    good &=
        show(".dockerignore of 200 patterns over 100,000 files", (both - alone) / alone, "of the walk", IGNORE_LIMIT);
    ignore_free(ignore);
    close(w.root);
    return good ? 0 : 1;
}
