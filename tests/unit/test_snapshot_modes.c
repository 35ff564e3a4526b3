/* Steps in each of the comparison modes, written twice, and archives that must be refused, in a user namespace as the
 * builder has one: with one id (owners are recorded) and with a range of ids. A layer is written in these tests as
 * text, one entry a line:
 *
 *     f PATH MODE UID:GID =CONTENT     l PATH MODE UID:GID TARGET     h PATH MODE UID:GID FIRST-NAME
 *     d PATH MODE UID:GID              p PATH MODE UID:GID (fifo)     c PATH MODE UID:GID MAJOR:MINOR (also b)
 *     w PATH (a mark: .wh.NAME)        and at the end @NAME=VALUE for an extended attribute
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/strs.h"
#include "snapshot/snapshot.h"
#include "sys/file.h"
#include "sys/path.h"
#include "tar/tar.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <cmocka.h>

#define ORDINARY   1000
#define BASE_TIME  1000000000
#define CLAMP_TIME 1500000000

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* For code in the child, where an assertion of cmocka would go nowhere. */
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            return err_new(ERR_BUG, "%s:%d: not true: %s (%s)", __FILE__, __LINE__, #cond, strerror(errno));           \
    } while (0)

/* What a scenario gets: TOP/state, TOP/build, and TOP/outside/file, which nobody may touch. */
struct world {
    enum owner_mode owners;
    char *top, *build, *outside;
    struct snapshotter *s;
    const void *row;
};

/* ---- layers as text ---- */

static struct err *to_buf(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

struct reading {
    const struct buf *from;
    size_t at;
};

static struct err *from_buf(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct reading *r = ctx;
    size_t left = r->from->len - r->at;

    *ret_len = n < left ? n : left;
    if (*ret_len)
        memcpy(p, r->from->data + r->at, *ret_len);
    r->at += *ret_len;
    return NULL;
}

static mode_t type_of(char c)
{
    static const struct {
        char c;
        mode_t type;
    } types[] = { { 'd', S_IFDIR }, { 'l', S_IFLNK }, { 'p', S_IFIFO }, { 'c', S_IFCHR }, { 'b', S_IFBLK } };

    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].c == c)
            return types[i].type;
    return S_IFREG;
}

static char type_char(const struct tar_entry *e)
{
    const char *name = strrchr(e->path, '/');

    name = name ? name + 1 : e->path;
    if (e->hardlink)
        return 'h';
    if (S_ISREG(e->mode) && strncmp(name, ".wh.", 4) == 0)
        return 'w';
    for (const char *c = "dlpcb"; *c; c++)
        if ((e->mode & S_IFMT) == type_of(*c))
            return *c;
    return 'f';
}

static void parse_xattr(char *rest, struct tar_entry *e)
{
    char *at = strchr(rest, '@'), *value = at ? strchr(at, '=') : NULL;

    if (!value)
        return;
    at[0] = value[0] = '\0';
    e->xattrs = xcalloc(1, sizeof(*e->xattrs));
    e->xattrs[0] = (struct tar_xattr){ xstrdup(at + 1), xstrdup(value + 1), strlen(value + 1) };
    e->n_xattrs = 1;
    while (at > rest && at[-1] == ' ')
        *--at = '\0';
}

static struct err *add_line(struct tar_writer *w, const char *line)
{
    __attribute__((cleanup(tar_entry_release_auto))) struct tar_entry e = { .mtime.tv_sec = BASE_TIME };
    char type = 0, path[512] = "";
    unsigned mode = 0;
    int at = (int)strlen(line);

    CHECK(sscanf(line, "%c %511s %o %u:%u %n", &type, path, &mode, &e.uid, &e.gid, &at) >= (type == 'w' ? 2 : 5));
    AUTO_FREE char *rest = xstrdup(type == 'w' ? "" : line + at);
    parse_xattr(rest, &e);
    e.path = xstrdup(path);
    e.mode = type_of(type) | mode;
    if (type == 'l' || type == 'h')
        e.link = xstrdup(rest);
    e.hardlink = type == 'h';
    if (type == 'c' || type == 'b')
        CHECK(sscanf(rest, "%u:%u", &e.major, &e.minor) == 2);
    const char *content = *rest == '=' ? rest + 1 : "";
    e.size_bytes = strlen(content);
    TRY(tar_write_entry(w, &e));
    return e.size_bytes ? tar_write_data(w, content, e.size_bytes) : NULL;
}

static struct err *make_layer(const char *text, struct buf *out)
{
    AUTO(tar_writer_free) struct tar_writer *w = tar_writer_new((struct sink){ to_buf, out });
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        TRY(add_line(w, line));
    return tar_writer_end(w);
}

static void print_meta(struct buf *out, const struct tar_entry *e, const char *content)
{
    char type = type_char(e);

    buf_printf(out, "%c %s", type, e->path);
    if (type != 'w')
        buf_printf(out, " %o %u:%u", (unsigned)e->mode & 07777, e->uid, e->gid);
    if (type == 'c' || type == 'b')
        buf_printf(out, " %u:%u", e->major, e->minor);
    if (type == 'l' || type == 'h')
        buf_printf(out, " %s", e->link);
    if (content && *content)
        buf_printf(out, " =%s", content);
    for (size_t i = 0; i < e->n_xattrs; i++)
        buf_printf(out, " @%s=%.*s", e->xattrs[i].name, (int)e->xattrs[i].len, (const char *)e->xattrs[i].value);
    buf_putc(out, '\n');
}

static struct err *layer_text(const struct buf *layer, struct buf *out)
{
    struct reading in = { layer, 0 };
    AUTO(tar_reader_free) struct tar_reader *r = NULL;

    TRY(tar_reader_new((struct source){ from_buf, &in }, &r));
    for (;;) {
        __attribute__((cleanup(tar_entry_release_auto))) struct tar_entry e = { 0 };
        AUTO(buf_release) struct buf content = BUF_INIT;
        bool found = false;
        const void *p = NULL;
        size_t n = 1;
        uint64_t offset;

        TRY(tar_read_entry(r, &e, &found));
        if (!found)
            return NULL;
        CHECK(e.mtime.tv_sec <= CLAMP_TIME);
        while (e.size_bytes && n > 0) {
            TRY(tar_read_data(r, &p, &n, &offset));
            buf_add(&content, p, n);
        }
        print_meta(out, &e, buf_str(&content));
    }
}

static struct err *same_text(const char *what, const char *got, const char *want)
{
    return strcmp(got, want) == 0 ? NULL : err_new(ERR_BUG, "%s:\n%s--- instead of:\n%s", what, got, want);
}

/* ---- a root file system as text, to compare one with another ---- */

struct listing {
    struct world *w;
    const struct rootfs *r;
    struct strs lines;
};

static struct err *list_dir(struct listing *l, int dir_fd, const char *path);

/* What stands at fd, as a line of a layer; names of one file are not told apart. */
static struct err *list_one(struct listing *l, int dir_fd, const char *name, const char *path)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    AUTO(buf_release) struct buf content = BUF_INIT, line = BUF_INIT;
    char target[512] = "", value[64] = "";
    struct owner o = { 0 };
    struct stat st;
    bool known;

    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    TRY(owner_get(l->w->owners, fd, &st, &o, &known));
    if (!known && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        (void)rootfs_find_owner(l->r, path, &o);
    struct tar_entry e = { .path = (char *)path, .uid = o.uid, .gid = o.gid, .mode = st.st_mode };
    if (o.device)
        e.mode = (st.st_mode & 07777) | o.device;
    e.major = major(o.rdev);
    e.minor = minor(o.rdev);
    if (S_ISLNK(st.st_mode) && readlinkat(dir_fd, name, target, sizeof(target) - 1) > 0)
        e.link = target;
    if (S_ISREG(e.mode))
        TRY(file_read(path_of_fd(fd).text, 1 << 20, &content));
    struct tar_xattr x = { (char *)"user.note", value, 0 };
    ssize_t n = getxattr(path_of_fd(fd).text, x.name, value, sizeof(value));
    if (n > 0)
        x.len = (size_t)n;
    e.xattrs = &x;
    e.n_xattrs = n > 0;
    print_meta(&line, &e, buf_str(&content));
    int64_t seconds = S_ISDIR(e.mode) ? 0 : st.st_mtim.tv_sec < CLAMP_TIME ? st.st_mtim.tv_sec : CLAMP_TIME;
    buf_printf(&line, "   at %lld\n", (long long)seconds);
    strs_add(&l->lines, buf_str(&line));
    return S_ISDIR(st.st_mode) ? list_dir(l, fd, path) : NULL;
}

static struct err *list_dir(struct listing *l, int dir_fd, const char *path)
{
    DIR *d = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct err *e = NULL;

    CHECK(d);
    for (struct dirent *i = readdir(d); i && !e; i = readdir(d)) {
        AUTO_FREE char *sub = *path ? xasprintf("%s/%s", path, i->d_name) : xstrdup(i->d_name);

        if (strcmp(i->d_name, ".") != 0 && strcmp(i->d_name, "..") != 0)
            e = list_one(l, dir_fd, i->d_name, sub);
    }
    closedir(d);
    return e;
}

static struct err *list_root(struct world *w, struct rootfs *r, struct buf *out)
{
    struct listing l = { .w = w, .r = r };
    int root = -1;

    TRY(rootfs_view(r, &root));
    struct err *e = list_dir(&l, root, "");
    strs_sort(&l.lines);
    for (size_t i = 0; i < l.lines.n; i++)
        buf_puts(out, l.lines.items[i]);
    strs_release(&l.lines);
    return e;
}

/* ---- worlds ---- */

static struct err *unpack_bytes(struct world *w, const struct buf *layer, struct digest *ret)
{
    struct reading in = { layer, 0 };

    *ret = digest_bytes(layer->data, layer->len);
    return snapshotter_unpack(w->s, ret, (struct source){ from_buf, &in });
}

static struct err *unpack_text(struct world *w, const char *text, struct digest *ret)
{
    AUTO(buf_release) struct buf layer = BUF_INIT;

    TRY(make_layer(text, &layer));
    return unpack_bytes(w, &layer, ret);
}

static struct err *open_world(struct world *w, const char *top)
{
    struct snapshotter_opts opts = { .backend = "overlay", .layer_space = "test", .owners = w->owners };
    AUTO_FREE char *state = xasprintf("%s/state", top);
    AUTO_FREE char *file = xasprintf("%s/outside/file", top);

    w->top = xstrdup(top);
    w->build = xasprintf("%s/state/build", top);
    w->outside = xasprintf("%s/outside", top);
    TRY(file_mkdirs(w->build, 0755));
    TRY(file_mkdirs(w->outside, 0755));
    TRY(file_write_atomic(file, "mine", 4, 0644));
    opts.state_dir = state;
    opts.build_dir = w->build;
    return snapshotter_open(&opts, &w->s);
}

static void close_world(struct world *w)
{
    snapshotter_free(w->s);
    free(w->top);
    free(w->build);
    free(w->outside);
}

static struct err *count_names(const char *dir, size_t *ret)
{
    DIR *d = opendir(dir);

    CHECK(d);
    *ret = 0;
    for (struct dirent *i = readdir(d); i; i = readdir(d))
        *ret += i->d_name[0] != '.';
    closedir(d);
    return NULL;
}

/* Is everything outside the state directory as it was? */
static struct err *check_outside(const struct world *w)
{
    AUTO_FREE char *file = xasprintf("%s/file", w->outside);
    AUTO(buf_release) struct buf content = BUF_INIT;
    struct stat st;
    size_t n = 0;

    TRY(count_names(w->outside, &n));
    CHECK(n == 1);
    TRY(count_names(w->top, &n));
    CHECK(n == 2);
    CHECK(stat(file, &st) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0644);
    TRY(file_read(file, 100, &content));
    CHECK(strcmp(buf_str(&content), "mine") == 0);
    return NULL;
}

/* ---- in a user namespace ---- */

typedef struct err *(*scenario_fn)(struct world *w);

static struct err *write_text(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text)
               ? NULL
               : err_sys(errno, "cannot write '%s'", path);
}

static struct err *enter_one_id(void)
{
    uid_t uid = getuid() ? getuid() : ORDINARY;
    gid_t gid = getuid() ? getgid() : ORDINARY;
    AUTO_FREE char *uids = xasprintf("0 %u 1", uid);
    AUTO_FREE char *gids = xasprintf("0 %u 1", gid);

    if (getuid() == 0)
        CHECK(setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* else /proc/self is root's */
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return err_sys(errno, "unshare is refused");
    TRY(write_text("/proc/self/setgroups", "deny"));
    TRY(write_text("/proc/self/uid_map", uids));
    return write_text("/proc/self/gid_map", gids);
}

/* The parent writes the maps: it is told through one pipe and answers through the other. */
static struct err *enter_many_ids(const int *tell, const int *answer)
{
    char c = 1;

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return err_sys(errno, "unshare is refused");
    CHECK(write(tell[1], &c, 1) == 1);
    CHECK(read(answer[0], &c, 1) == 1);
    CHECK(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
    return NULL;
}

static struct err *write_maps(pid_t pid)
{
    AUTO_FREE char *uids = xasprintf("/proc/%d/uid_map", (int)pid);
    AUTO_FREE char *gids = xasprintf("/proc/%d/gid_map", (int)pid);

    TRY(write_text(uids, "0 0 65536"));
    return write_text(gids, "0 0 65536");
}

/* Memory is faster than a disk, where overlayfs and its attributes work on it (Linux 6.6). With TMPDIR it is that
 * directory, on whatever file system it is. */
static void use_memory(const char *top)
{
    if (getenv("TMPDIR") || mount("tmpfs", top, "tmpfs", 0, "mode=755") < 0)
        return;
    if (setxattr(top, "user.test", "", 0, 0) < 0)
        (void)umount2(top, MNT_DETACH);
}

struct pipes {
    int tell[2], answer[2], result[2];
};

static _Noreturn void child(enum owner_mode owners, const char *top, const void *row, scenario_fn fn, struct pipes *p)
{
    struct world w = { .owners = owners, .row = row };

    close(p->answer[1]);
    (void)umask(022);
    struct err *e = owners == OWNER_REAL ? enter_many_ids(p->tell, p->answer) : enter_one_id();
    if (!e) {
        use_memory(top);
        e = open_world(&w, top);
    }
    if (!e)
        e = fn(&w);
    if (!e)
        e = check_outside(&w);
    close_world(&w);
    err_free(err_write(p->result[1], e));
    err_free(e);
    exit(0); /* and not _exit: leaks are looked for */
}

static struct err *finish(pid_t pid, struct err *e)
{
    int status = 0;

    if (waitpid(pid, &status, 0) == pid && status != 0)
        return err_join(e, err_new(ERR_BUG, "the child ended with status %#x", (unsigned)status));
    return e;
}

static void open_pipes(struct pipes *p)
{
    assert_int_equal(pipe2(p->tell, O_CLOEXEC), 0);
    assert_int_equal(pipe2(p->answer, O_CLOEXEC), 0);
    assert_int_equal(pipe2(p->result, O_CLOEXEC), 0);
}

/* Runs fn in a child that is root of its own user namespace. */
static struct err *run_child(enum owner_mode owners, const char *top, const void *row, scenario_fn fn)
{
    struct pipes p;
    struct err *e = NULL, *map_error = NULL;
    char c = 1;

    open_pipes(&p);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(owners, top, row, fn, &p);
    close(p.tell[1]);
    close(p.result[1]);
    close(p.answer[0]);
    if (owners == OWNER_REAL && read(p.tell[0], &c, 1) == 1) {
        map_error = write_maps(pid);
        if (!map_error)
            (void)!write(p.answer[1], &c, 1);
    }
    close(p.answer[1]);
    struct err *failed = err_read(p.result[0], &e);
    close(p.tell[0]);
    close(p.result[0]);
    return finish(pid, err_join(err_join(map_error, failed), e));
}

static struct err *in_namespace(enum owner_mode owners, const void *row, scenario_fn fn)
{
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *top = xasprintf("%s/test_snapshot.XXXXXX", tmp ? tmp : "/tmp");

    assert_non_null(mkdtemp(top));
    if (getuid() == 0 && owners == OWNER_RECORDED)
        assert_int_equal(chown(top, ORDINARY, ORDINARY), 0);
    struct err *e = run_child(owners, top, row, fn);
    assert_null(file_remove_tree(AT_FDCWD, top));
    return e;
}

static struct err *nothing(struct world *w)
{
    (void)w;
    return NULL;
}

static const char *const mode_names[] = { [OWNER_REAL] = "many ids", [OWNER_RECORDED] = "one id" };

/* NULL: scenarios can run in this mode. */
static const char *why_not(enum owner_mode owners)
{
    static char why[200];

    if (owners == OWNER_REAL && getuid() != 0)
        return "a range of ids is root's to give";
    struct err *e = in_namespace(owners, NULL, nothing);
    if (!e)
        return NULL;
    (void)snprintf(why, sizeof(why), "%s", err_message(e));
    err_free(e);
    return why;
}

static void run_row(enum owner_mode owners, const char *name, const void *row, scenario_fn fn, size_t *failed)
{
    struct err *e = in_namespace(owners, row, fn);

    if (!e)
        return;
    (void)fprintf(stderr, "%s, %s: ", mode_names[owners], name);
    err_print(stderr, e);
    err_free(e);
    ++*failed;
}

/* False: not here, with the reason said. */
static bool can_run(enum owner_mode owners)
{
    const char *why = why_not(owners);
    const char *must = getenv("MUST_WORK");

    if (!why)
        return true;
    print_message("# %s: %s\n", mode_names[owners], why);
    if (must && *must == '1' && (owners == OWNER_RECORDED || getuid() == 0))
        fail_msg("%s: %s", mode_names[owners], why);
    return false;
}

/* ---- what a step does ---- */

static const char base_layer[] = "d bin 755 0:0\nf bin/su 4755 0:0 =su\nh bin/su2 4755 0:0 bin/su\n"
                                 "d data 755 7:8\nf data/a 644 7:8 =aaaa\nf data/b 600 7:8 =bbbb\n"
                                 "l data/link 777 7:8 a\nd data/sub 700 7:8\nf data/sub/x 644 0:0 =xxxx\n"
                                 "d dev 755 0:0\nc dev/null 666 0:5 1:3\np dev/pipe 600 3:3\n"
                                 "d etc 755 0:0\nf etc/conf 644 0:0 =conf @user.note=one\n";

/* One operation inside the root at fd; the order of arguments is the shell's. */
struct op {
    int root;
    enum owner_mode owners;
    const char *name, *a, *b;
};

static int op_write(const struct op *o, int flags, const char *text)
{
    AUTO_CLOSE int fd = openat(o->root, o->a, flags | O_CLOEXEC, 0644);

    return fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ? -1 : 0;
}

/* Other bytes of the same length, and the time put back: what hides from all but a reader. */
static int op_rewrite(const struct op *o)
{
    struct stat st;

    if (fstatat(o->root, o->a, &st, 0) < 0 || op_write(o, O_WRONLY, o->b) < 0)
        return -1;
    const struct timespec times[2] = { st.st_atim, st.st_mtim };
    return utimensat(o->root, o->a, times, 0);
}

static int op_setxattr(const struct op *o)
{
    AUTO_CLOSE int fd = openat(o->root, o->a, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -1 : fsetxattr(fd, "user.note", o->b, strlen(o->b), 0);
}

static int op_chown(const struct op *o)
{
    AUTO_CLOSE int fd = openat(o->root, o->a, O_RDONLY | O_CLOEXEC);
    struct owner to = { 0 };
    struct stat st;
    bool stored;

    if (fd < 0 || fstat(fd, &st) < 0 || sscanf(o->b, "%u:%u", &to.uid, &to.gid) != 2)
        return -1;
    struct err *e = owner_set(o->owners, fd, &st, &to, &stored);
    err_free(e);
    return e ? -1 : 0;
}

static int op_remove_all(const struct op *o)
{
    struct err *e = file_remove_tree(o->root, o->a);

    err_free(e);
    return e ? -1 : 0;
}

static int do_op(const struct op *o)
{
    const mode_t mode = (mode_t)strtoul(o->b, NULL, 8);

    switch (o->name[0] << 8 | o->name[1]) {
    case 'o' << 8 | 'p': /* open: copied up, and that is all */
        return op_write(o, O_RDWR, "");
    case 'w' << 8 | 'r':
        return op_write(o, O_WRONLY | O_CREAT | O_TRUNC, o->b);
    case 'r' << 8 | 'e':
        return op_rewrite(o);
    case 't' << 8 | 'o':
        return utimensat(o->root, o->a, NULL, AT_SYMLINK_NOFOLLOW);
    case 'c' << 8 | 'm':
        return fchmodat(o->root, o->a, mode, 0);
    case 'c' << 8 | 'o':
        return op_chown(o);
    case 'x' << 8 | 'a':
        return op_setxattr(o);
    case 'm' << 8 | 'd':
        return mkdirat(o->root, o->a, 0755);
    case 'm' << 8 | 'v':
        return renameat(o->root, o->a, o->root, o->b);
    case 'l' << 8 | 'n':
        return linkat(o->root, o->a, o->root, o->b, 0);
    case 'l' << 8 | 's':
        return symlinkat(o->a, o->root, o->b);
    case 'm' << 8 | 'f':
        return mkfifoat(o->root, o->a, 0644);
    case 'r' << 8 | 'm':
        return op_remove_all(o);
    default:
        errno = ENOSYS;
        return -1;
    }
}

/* "op a b; op a b" */
static struct err *do_ops(struct world *w, int root, const char *text)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;

    for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save)) {
        char name[8] = "", a[200] = "", b[200] = "";

        if (sscanf(one, "%7s %199s %199s", name, a, b) < 2)
            return err_new(ERR_BUG, "'%s' is no operation", one);
        if (do_op(&(struct op){ root, w->owners, name, a, b }) < 0)
            return err_sys(errno, "'%s' fails", one);
    }
    return NULL;
}

static struct err *commit(struct rootfs *r, enum snapshot_mode mode, struct buf *out, struct commit_stats *stats)
{
    const struct commit_opts opts = { .mode = mode, .clamp_mtime_s = CLAMP_TIME };

    return rootfs_commit(r, &opts, (struct sink){ to_buf, out }, stats);
}

static struct err *step(struct world *w, struct rootfs *r, const char *ops, enum snapshot_mode mode, struct buf *out,
                        struct commit_stats *stats)
{
    const char *path = NULL;
    int root = -1;

    TRY(rootfs_begin(r, &root, &path));
    struct err *e = do_ops(w, root, ops);
    if (e)
        return e;
    return commit(r, mode, out, stats);
}

/* ---- changes ---- */

struct change {
    const char *name, *ops;
    const char *full; /* the layer in FULL and REDO */
    const char *time; /* the layer in TIME; NULL: the same */
    uint64_t dropped; /* in FULL */
};

#define DATA "d data 755 7:8\n"

static const struct change changes[] = {
    { "an empty step", "", "", NULL, 0 },
    { "copied up only", "op data/a; op bin/su; op etc/conf", "", NULL, 3 },
    { "a device copied up only", "op dev/null", "", NULL, 1 },
    { "chmod", "cm data/a 640", DATA "f data/a 640 7:8 =aaaa\n", "", 0 },
    { "chmod of a setuid file of two names", "cm bin/su 755", "d bin 755 0:0\nf bin/su 755 0:0 =su\n", "", 0 },
    { "chmod of a directory", "cm data/sub 755", DATA "d data/sub 755 7:8\n", "", 0 },
    { "chmod of a device", "cm dev/null 600", "d dev 755 0:0\nc dev/null 600 0:5 1:3\n", "", 0 },
    { "chmod of a fifo", "cm dev/pipe 644", "d dev 755 0:0\np dev/pipe 644 3:3\n", "", 0 },
    { "same size, time put back", "re data/a AAAA", DATA "f data/a 644 7:8 =AAAA\n", "", 0 },
    { "same bytes, time put back", "re data/a aaaa", "", NULL, 1 },
    { "touch", "to data/b", DATA "f data/b 600 7:8 =bbbb\n", NULL, 0 },
    { "touch of a symlink", "to data/link", DATA "l data/link 777 7:8 a\n", NULL, 0 },
    { "touch of a directory", "to data", "", NULL, 0 },
    { "chown", "co data/a 9:10", DATA "f data/a 644 9:10 =aaaa\n", "", 0 },
    { "chown of a directory", "co data/sub 9:10", DATA "d data/sub 700 9:10\n", "", 0 },
    { "new file", "wr new text", "f new 644 0:0 =text\n", NULL, 0 },
    { "new setuid file", "wr new text;cm new 6711", "f new 6711 0:0 =text\n", NULL, 0 },
    { "new directory", "md new;md new/sub", "d new 755 0:0\nd new/sub 755 0:0\n", NULL, 0 },
    { "new directory in an old one", "md data/new", DATA "d data/new 755 0:0\n", NULL, 0 },
    { "new symlink, new fifo", "ls ../x l;mf p", "l l 777 0:0 ../x\np p 644 0:0\n", NULL, 0 },
    { "overwritten", "wr data/a longer", DATA "f data/a 644 7:8 =longer\n", NULL, 0 },
    { "deleted", "rm data/b", DATA "w data/.wh.b\n", NULL, 0 },
    { "deleted directory", "rm data/sub", DATA "w data/.wh.sub\n", NULL, 0 },
    { "deleted symlink and fifo", "rm data/link;rm dev/pipe", DATA "w data/.wh.link\nd dev 755 0:0\nw dev/.wh.pipe\n",
      NULL, 0 },
    { "deleted at the top", "rm data;rm bin", "w .wh.bin\nw .wh.data\n", NULL, 0 },
    { "made and deleted", "wr data/t text;rm data/t;md t;rm t", "", NULL, 0 },
    { "removed and made again", "rm data/sub;md data/sub", DATA "d data/sub 755 0:0\nw data/sub/.wh..wh..opq\n", NULL,
      0 },
    { "removed, made again and filled", "rm data/sub;md data/sub;wr data/sub/x new",
      DATA "d data/sub 755 0:0\nw data/sub/.wh..wh..opq\nf data/sub/x 644 0:0 =new\n", NULL, 0 },
    { "file becomes directory", "rm data/a;md data/a;wr data/a/f t", DATA "d data/a 755 0:0\nf data/a/f 644 0:0 =t\n",
      NULL, 0 },
    { "directory becomes file", "rm data/sub;wr data/sub t", DATA "f data/sub 644 0:0 =t\n", NULL, 0 },
    { "file becomes symlink", "rm data/a;ls b data/a", DATA "l data/a 777 0:0 b\n", NULL, 0 },
    { "symlink points elsewhere", "rm data/link;ls b data/link", DATA "l data/link 777 0:0 b\n", NULL, 0 },
    { "renamed", "mv data/b data/c", DATA "w data/.wh.b\nf data/c 600 7:8 =bbbb\n", NULL, 0 },
    { "renamed over another", "mv data/b data/a", DATA "w data/.wh.b\nf data/a 600 7:8 =bbbb\n", DATA "w data/.wh.b\n",
      0 },
    { "hard link to an old file", "ln data/a data/a2", DATA "f data/a 644 7:8 =aaaa\nh data/a2 644 7:8 data/a\n",
      DATA "f data/a2 644 7:8 =aaaa\n", 0 },
    { "hard links among new files", "wr n1 t;ln n1 n0;ln n1 data/n2",
      DATA "f data/n2 644 0:0 =t\nh n0 644 0:0 data/n2\nh n1 644 0:0 data/n2\n", NULL, 0 },
    { "whiteouts come first", "wr data/0 t;rm data/b;wr data/z t",
      DATA "w data/.wh.b\nf data/0 644 0:0 =t\nf data/z 644 0:0 =t\n", NULL, 0 },
};

/* The layer says what the root file system became: laid on the same base it gives the same. */
static struct err *check_applied(struct world *w, const struct digest *base, const struct buf *layer, struct rootfs *r)
{
    AUTO(buf_release) struct buf got = BUF_INIT, want = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *again = NULL;
    struct digest ids[2] = { *base };

    TRY(unpack_bytes(w, layer, &ids[1]));
    TRY(rootfs_new(w->s, ids, 2, &again));
    TRY(list_root(w, again, &got));
    TRY(list_root(w, r, &want));
    return same_text("the layer, applied again", buf_str(&got), buf_str(&want));
}

static struct err *check_change(struct world *w, const struct digest *base, enum snapshot_mode mode)
{
    static const char *const names[] = { "FULL", "REDO", "TIME" };
    const struct change *c = w->row;
    const char *want = mode == SNAPSHOT_TIME && c->time ? c->time : c->full;
    AUTO(buf_release) struct buf one = BUF_INIT, two = BUF_INIT, text = BUF_INIT, none = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *twin = NULL;
    struct commit_stats stats = { 0 }, again = { 0 };

    TRY(rootfs_new(w->s, base, 1, &r));
    TRY(rootfs_fork(r, &twin));
    TRY(step(w, r, c->ops, mode, &one, &stats));
    TRY(layer_text(&one, &text));
    TRY(same_text(names[mode], buf_str(&text), want));
    if (mode != SNAPSHOT_TIME)
        CHECK(stats.dropped == c->dropped);
    TRY(step(w, twin, c->ops, mode, &two, &again));
    CHECK(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
    CHECK(stats.entries == again.entries && (stats.entries == 0) == (*want == '\0'));
    if (mode != SNAPSHOT_TIME)
        TRY(check_applied(w, base, &one, r));
    TRY(step(w, r, "", mode, &none, &stats));
    CHECK(stats.entries == 0 && none.len == 1024);
    return NULL;
}

static struct err *run_change(struct world *w)
{
    struct digest base;

    TRY(unpack_text(w, base_layer, &base));
    for (enum snapshot_mode mode = SNAPSHOT_FULL; mode <= SNAPSHOT_TIME; mode++)
        TRY(check_change(w, &base, mode));
    return NULL;
}

/* ---- archives ---- */

struct archive {
    const char *name;
    const char *layers[3]; /* lowest first */
    const char *want;      /* lines that must stand in the root file system, each once; NULL: the last one is refused */
    const char *absent;    /* a path that must not be there */
};

static const struct archive archives[] = {
    { "all kinds", { base_layer }, base_layer, NULL },
    { "whiteout of a file", { base_layer, "w data/.wh.a\n" }, "f data/b 600 7:8 =bbbb\n", "data/a" },
    { "whiteout of a directory", { base_layer, "w .wh.data\n" }, "d bin 755 0:0\n", "data" },
    { "whiteout and new file",
      { base_layer, "w data/.wh.a\nf data/a 600 1:1 =new\n" },
      "f data/a 600 1:1 =new\n",
      NULL },
    { "new file and whiteout",
      { base_layer, "f data/a 600 1:1 =new\nw data/.wh.a\n" },
      "f data/a 600 1:1 =new\n",
      NULL },
    { "whiteout of nothing", { base_layer, "w data/.wh.zero\n" }, DATA, "data/zero" },
    { "opaque",
      { base_layer, "d data 755 7:8\nw data/.wh..wh..opq\nf data/n 644 0:0 =n\n" },
      "f data/n 644 0:0 =n\n",
      "data/a" },
    { "opaque at the end",
      { base_layer, "d data 755 7:8\nf data/n 644 0:0 =n\nw data/.wh..wh..opq\n" },
      "f data/n 644 0:0 =n\n",
      "data/a" },
    { "opaque, and a layer above",
      { base_layer, "d data 755 7:8\nw data/.wh..wh..opq\n", "f data/b 644 0:0 =2\n" },
      DATA "f data/b 644 0:0 =2\n",
      "data/a" },
    { "aufs' own files", { base_layer, "w .wh..wh.aufs\nw .wh..wh.plnk\n" }, DATA, ".wh..wh.aufs" },
    { "a directory that is not named",
      { base_layer, "f data/sub/y 644 0:0 =y\n" },
      DATA "d data/sub 700 7:8\nf data/sub/y 644 0:0 =y\n",
      NULL },
    { "named twice", { "f a 644 0:0 =1\nf a 600 1:2 =22\n" }, "f a 600 1:2 =22\n", NULL },
    { "file, then directory",
      { "f a 644 0:0 =1\nd a 700 1:2\nf a/b 644 0:0 =2\n" },
      "d a 700 1:2\nf a/b 644 0:0 =2\n",
      NULL },
    { "directory, then file", { "d a 755 0:0\nf a/b 644 0:0 =2\nf a 644 0:0 =1\n" }, "f a 644 0:0 =1\n", "a/b" },
    { "directory that nobody may write",
      { "d a 555 0:0\nf a/b 444 0:0 =2\n" },
      "d a 555 0:0\nf a/b 444 0:0 =2\n",
      NULL },
    { "symlink on the way", { "d real 755 0:0\nl s 777 0:0 real\nf s/f 644 0:0 =1\n" }, "f real/f 644 0:0 =1\n", NULL },
    { "attributes of the builder's",
      { "f a 644 0:0 @user.copyup.owner=5:5\nf b 644 0:0 @user.overlay.opaque=y\n" },
      "f a 644 0:0\nf b 644 0:0\n",
      NULL },
    { "dot and slashes", { "f ./a//b 644 0:0 =1\n" }, "f a/b 644 0:0 =1\n", NULL },
    { "absolute", { "f /a 644 0:0 =1\n" }, "f a 644 0:0 =1\n", NULL },
    { "symlinks outside stay what they are",
      { "l s 777 0:0 ../../..\nl t 777 0:0 /etc\n" },
      "l s 777 0:0 ../../..\nl t 777 0:0 /etc\n",
      NULL },
    { "through a symlink that goes up", { "l s 777 0:0 ../../../..\nf s/f 644 0:0 =1\n" }, "f f 644 0:0 =1\n", NULL },
    { "through an absolute symlink", { "l s 777 0:0 /d\nf s/f 644 0:0 =1\n" }, "f d/f 644 0:0 =1\n", NULL },
    { "over a symlink", { "l s 777 0:0 /etc/passwd\nf s 644 0:0 =1\n" }, "f s 644 0:0 =1\n", NULL },
    { "hard link to a symlink", { "f f 644 0:0 =1\nl s 777 0:0 f\nh t 777 0:0 s\n" }, "l t 777 0:0 f\n", NULL },
    { "up and away", { "f ../x 644 0:0 =1\n" }, NULL, NULL },
    { "up in the middle", { "d a 755 0:0\nf a/../x 644 0:0 =1\n" }, NULL, NULL },
    { "up at the end", { "d a/.. 755 0:0\n" }, NULL, NULL },
    { "up, a whiteout", { base_layer, "w ../.wh.x\n" }, NULL, NULL },
    { "up, a link", { "l ../x 777 0:0 /\n" }, NULL, NULL },
    { "names with dots only",
      { "f ... 644 0:0 =1\nf ..a 644 0:0 =2\nf a.. 644 0:0 =3\n" },
      "f ... 644 0:0 =1\nf ..a 644 0:0 =2\nf a.. 644 0:0 =3\n",
      NULL },
    { "whiteout of '..'", { base_layer, "w data/.wh...\n" }, NULL, NULL },
    { "whiteout of nothing named", { base_layer, "w data/.wh.\n" }, NULL, NULL },
    { "hard link to a missing file", { "h a 644 0:0 b\n" }, NULL, NULL },
    { "hard link into a missing directory", { "h a 644 0:0 no/such/b\n" }, NULL, NULL },
    { "hard link to a directory", { "d d 755 0:0\nh a 644 0:0 d\n" }, NULL, NULL },
    { "hard link to the root", { "h a 644 0:0 /\n" }, NULL, NULL },
    { "hard link below a file", { "f f 644 0:0 =1\nh a 644 0:0 f/b\n" }, NULL, NULL },
    { "hard link outside, up", { "h a 644 0:0 ../../../outside/file\n" }, NULL, NULL },
    { "hard link outside, through a symlink", { "l s 777 0:0 ../../../outside\nh a 644 0:0 s/file\n" }, NULL, NULL },
    { "below a file", { "f f 644 0:0 =1\nf f/g 644 0:0 =1\n" }, NULL, NULL },
    { "below a symlink loop", { "l s 777 0:0 t\nl t 777 0:0 s\nf s/f 644 0:0 =1\n" }, NULL, NULL },
    { "malformed capabilities", { "f f 644 0:0 =1 @security.capability=x\n" }, NULL, NULL },
};

static struct err *check_refused(struct world *w, const char *text)
{
    AUTO(buf_release) struct buf layer = BUF_INIT;
    struct digest id;
    size_t n = 1;

    TRY(make_layer(text, &layer));
    struct err *e = unpack_bytes(w, &layer, &id);
    if (!e)
        return err_new(ERR_BUG, "it is not refused");
    if (err_kind(e) != ERR_REGISTRY)
        return err_wrap(e, "it is not the registry's fault");
    err_free(e);
    CHECK(!snapshotter_has_layer(w->s, &id));
    TRY(count_names(w->build, &n));
    CHECK(n == 0);
    return NULL;
}

static bool has_path(const char *listing, const char *path)
{
    AUTO_FREE char *with_spaces = xasprintf(" %s ", path);

    return strstr(listing, with_spaces) != NULL;
}

/* Each line of `want` must be there; a hard link is a file of its first name's content, which the listing shows. */
static struct err *check_lines(const char *listing, const char *want)
{
    AUTO_FREE char *copy = xstrdup(want);
    char *save = NULL;

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        AUTO_FREE char *whole = xasprintf("%s\n", line);

        if (*line != 'h' && !strstr(listing, whole))
            return err_new(ERR_BUG, "no line '%s' in:\n%s", line, listing);
    }
    return NULL;
}

static struct err *run_archive(struct world *w)
{
    const struct archive *a = w->row;
    AUTO(buf_release) struct buf listing = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest ids[COUNT(a->layers)];
    size_t n = 0;

    for (; n < COUNT(a->layers) && a->layers[n]; n++) {
        bool last = n + 1 == COUNT(a->layers) || !a->layers[n + 1];

        if (last && !a->want)
            return check_refused(w, a->layers[n]);
        TRY(unpack_text(w, a->layers[n], &ids[n]));
    }
    TRY(rootfs_new(w->s, ids, n, &r));
    TRY(list_root(w, r, &listing));
    TRY(check_lines(buf_str(&listing), a->want));
    if (a->absent && has_path(buf_str(&listing), a->absent))
        return err_new(ERR_BUG, "'%s' is there:\n%s", a->absent, buf_str(&listing));
    return NULL;
}

/* ---- the rest, one function each ---- */

static struct err *wrong_diff_id(struct world *w)
{
    AUTO(buf_release) struct buf layer = BUF_INIT;
    AUTO_FREE char *layers = xasprintf("%s/state/layers/test", w->top);
    struct reading in = { &layer, 0 };
    struct digest id = digest_bytes("x", 1);
    size_t n = 1;

    TRY(make_layer(base_layer, &layer));
    struct err *e = snapshotter_unpack(w->s, &id, (struct source){ from_buf, &in });
    bool is_refused = e && err_kind(e) == ERR_REGISTRY;
    err_free(e);
    CHECK(is_refused);
    CHECK(!snapshotter_has_layer(w->s, &id));
    TRY(count_names(layers, &n));
    CHECK(n == 0);
    TRY(count_names(w->build, &n));
    CHECK(n == 0);
    return NULL;
}

static struct err *cut_archive(struct world *w)
{
    AUTO(buf_release) struct buf layer = BUF_INIT;
    struct digest id;

    TRY(make_layer("f a 644 0:0 =some bytes\n", &layer));
    layer.len = 515;
    struct err *e = unpack_bytes(w, &layer, &id);
    bool is_refused = e && err_kind(e) == ERR_REGISTRY;
    err_free(e);
    CHECK(is_refused && !snapshotter_has_layer(w->s, &id));
    return NULL;
}

static struct err *unpacked_twice(struct world *w)
{
    AUTO(buf_release) struct buf listing = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest id;

    TRY(unpack_text(w, base_layer, &id));
    TRY(unpack_text(w, base_layer, &id));
    CHECK(snapshotter_has_layer(w->s, &id));
    TRY(rootfs_new(w->s, &id, 1, &r));
    TRY(list_root(w, r, &listing));
    return check_lines(buf_str(&listing), base_layer);
}

static struct err *ignored_paths(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT;
    AUTO(strs_release) struct strs ignore = { 0 };
    struct commit_opts opts = { .mode = SNAPSHOT_FULL, .clamp_mtime_s = CLAMP_TIME, .ignore = &ignore };
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    struct digest base;
    const char *path = NULL;
    int root = -1;

    strs_add(&ignore, "data/sub");
    strs_add(&ignore, "run");
    strs_add(&ignore, "etc/conf");
    TRY(unpack_text(w, base_layer, &base));
    TRY(rootfs_new(w->s, &base, 1, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "md run;wr run/secret t;wr data/sub/x t;wr data/subway t;rm etc/conf;wr etc/confess t"));
    TRY(rootfs_commit(r, &opts, (struct sink){ to_buf, &out }, &stats));
    TRY(layer_text(&out, &text));
    return same_text("ignored", buf_str(&text),
                     DATA "f data/subway 644 0:0 =t\nd etc 755 0:0\nf etc/confess 644 0:0 =t\n");
}

/* Who owns what a step made: what has no record is root's. */
static struct err *new_files(struct world *w)
{
    const bool recorded = w->owners == OWNER_RECORDED;
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT;
    const struct commit_opts opts = { .mode = SNAPSHOT_FULL, .clamp_mtime_s = CLAMP_TIME };
    const struct owner noted = { 21, 22, 0, 0 };
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    struct owner o = { 0 };
    struct digest base;
    const char *path = NULL;
    int root = -1;

    TRY(unpack_text(w, base_layer, &base));
    TRY(rootfs_new(w->s, &base, 1, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "wr f t;ls f l;ls f m;cm etc/conf 600;rm data/b;wr data/b bbbb"));
    rootfs_note_owner(r, "m", &noted);
    if (!recorded)
        CHECK(fchownat(root, "m", 21, 22, AT_SYMLINK_NOFOLLOW) == 0);
    TRY(rootfs_commit(r, &opts, (struct sink){ to_buf, &out }, &stats));
    TRY(layer_text(&out, &text));
    TRY(same_text("new files", buf_str(&text),
                  DATA "f data/b 644 0:0 =bbbb\nd etc 755 0:0\nf etc/conf 600 0:0 =conf\n"
                       "f f 644 0:0 =t\nl l 777 0:0 f\nl m 777 21:22 f\n"));
    CHECK(!recorded || (rootfs_find_owner(r, "m", &o) && o.uid == 21 && o.gid == 22));
    CHECK(!rootfs_find_owner(r, "no/such", &o));
    return NULL;
}

static struct err *check_content(struct rootfs *r, const char *path, const char *want)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    AUTO_CLOSE int fd = -1;
    int root = -1;

    TRY(rootfs_view(r, &root));
    TRY(path_open_if_exists(root, path, O_RDONLY, &fd));
    if (!want)
        return fd < 0 ? NULL : err_new(ERR_BUG, "'%s' is there", path);
    if (fd < 0)
        return err_new(ERR_BUG, "'%s' is not there", path);
    TRY(file_read_fd(fd, path, 1000, &content));
    return same_text(path, buf_str(&content), want);
}

static struct err *forked(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *twin = NULL;
    struct commit_stats stats;

    TRY(rootfs_new(w->s, NULL, 0, &r));
    TRY(step(w, r, "wr a 1;wr b 1", SNAPSHOT_FULL, &out, &stats));
    TRY(rootfs_fork(r, &twin));
    TRY(step(w, twin, "wr a 2;rm b", SNAPSHOT_FULL, &out, &stats));
    TRY(step(w, r, "wr c 3", SNAPSHOT_FULL, &out, &stats));
    TRY(check_content(r, "a", "1"));
    TRY(check_content(r, "b", "1"));
    TRY(check_content(twin, "a", "2"));
    TRY(check_content(twin, "b", NULL));
    TRY(check_content(twin, "c", NULL));
    rootfs_free(steal(&r)); /* the twin keeps what they share */
    return check_content(twin, "a", "2");
}

static struct err *aborted(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    struct digest base;
    const char *path = NULL;
    int root = -1;

    TRY(unpack_text(w, base_layer, &base));
    TRY(rootfs_new(w->s, &base, 1, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "wr lost t;rm data"));
    rootfs_abort(r);
    TRY(check_content(r, "lost", NULL));
    TRY(check_content(r, "data/a", "aaaa"));
    TRY(step(w, r, "wr kept t", SNAPSHOT_FULL, &out, &stats));
    TRY(layer_text(&out, &text));
    return same_text("after an abort", buf_str(&text), "f kept 644 0:0 =t\n");
}

static struct err *refuse(void *ctx, const void *p, size_t n)
{
    (void)ctx;
    (void)p;
    (void)n;
    return err_new(ERR_DISK, "no room");
}

static struct err *failed_commit(struct world *w)
{
    const struct commit_opts opts = { .clamp_mtime_s = CLAMP_TIME };
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    const char *path = NULL;
    int root = -1;

    TRY(rootfs_new(w->s, NULL, 0, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "wr lost t"));
    struct err *e = rootfs_commit(r, &opts, (struct sink){ refuse, NULL }, &stats);
    bool is_disk = e && err_kind(e) == ERR_DISK;
    err_free(e);
    CHECK(is_disk);
    TRY(check_content(r, "lost", NULL));
    TRY(step(w, r, "wr kept t", SNAPSHOT_FULL, &out, &stats));
    return check_content(r, "kept", "t");
}

#define MANY_LAYERS 130

static struct err *many_layers(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT, listing = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest ids[MANY_LAYERS];
    struct commit_stats stats;

    for (int i = 0; i < MANY_LAYERS; i++) {
        AUTO_FREE char *layer =
            xasprintf("d d 7%d0 %d:1\nf d/f%d 644 %d:3 =%d\nl d/l%d 777 %d:4 x\nf same 644 0:0 =%d\n"
                      "f d/gone 644 0:0\n",
                      i % 8, i, i, i, i, i, i, i);
        AUTO_FREE char *second = xasprintf("w d/.wh.f%d\nw d/.wh.gone\nf d/f1 600 0:0 =again\n", i - 1);

        TRY(unpack_text(w, i % 10 == 9 ? second : layer, &ids[i]));
    }
    TRY(rootfs_new(w->s, ids, MANY_LAYERS, &r));
    TRY(list_root(w, r, &listing));
    TRY(check_lines(buf_str(&listing),
                    "d d 700 128:1\nf same 644 0:0 =128\nf d/f127 644 127:3 =127\nf d/f0 644 0:3 =0\n"
                    "l d/l3 777 3:4 x\nf d/f1 600 0:0 =again\nl d/l128 777 128:4 x\n"));
    CHECK(!has_path(buf_str(&listing), "d/f8") && !has_path(buf_str(&listing), "d/f128"));
    CHECK(!has_path(buf_str(&listing), "d/gone"));
    TRY(step(w, r, "op d/f0;op same;rm d/f127;cm d/f2 600", SNAPSHOT_FULL, &out, &stats));
    TRY(layer_text(&out, &text));
    return same_text("above many layers", buf_str(&text), "d d 700 128:1\nw d/.wh.f127\nf d/f2 600 2:3 =2\n");
}

static struct err *many_steps(struct world *w)
{
    AUTO(rootfs_free) struct rootfs *r = NULL;

    TRY(rootfs_new(w->s, NULL, 0, &r));
    for (int i = 0; i < 60; i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        AUTO_FREE char *ops = xasprintf("wr f%d %d;wr same %d%s", i, i, i, i == 30 ? ";rm f3" : "");
        struct commit_stats stats;

        TRY(step(w, r, ops, SNAPSHOT_FULL, &out, &stats));
    }
    TRY(check_content(r, "same", "59"));
    TRY(check_content(r, "f0", "0"));
    return check_content(r, "f3", NULL);
}

static const struct {
    const char *name;
    scenario_fn fn;
} scenarios[] = {
    { "wrong diff id", wrong_diff_id },
    { "cut archive", cut_archive },
    { "unpacked twice", unpacked_twice },
    { "ignored paths", ignored_paths },
    { "owners of new files", new_files },
    { "fork", forked },
    { "abort", aborted },
    { "failed commit", failed_commit },
    { "130 layers", many_layers },
    { "60 steps", many_steps },
};

/* ---- the tests ---- */

static void run_all(enum owner_mode owners, size_t *failed)
{
    for (size_t i = 0; i < COUNT(archives); i++)
        run_row(owners, archives[i].name, &archives[i], run_archive, failed);
    for (size_t i = 0; i < COUNT(changes); i++)
        run_row(owners, changes[i].name, &changes[i], run_change, failed);
    for (size_t i = 0; i < COUNT(scenarios); i++)
        run_row(owners, scenarios[i].name, NULL, scenarios[i].fn, failed);
}

static void test_in(enum owner_mode owners)
{
    size_t failed = 0;

    if (!can_run(owners))
        skip();
    run_all(owners, &failed);
    assert_int_equal(failed, 0);
}

static void test_one_id(void **state)
{
    (void)state;
    test_in(OWNER_RECORDED);
}

static void test_many_ids(void **state)
{
    (void)state;
    test_in(OWNER_REAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_id),
        cmocka_unit_test(test_many_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
