#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/map.h"
#include "build/copy.h"
#include "sys/file.h"
#include "sys/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>

/* ---- trees as text: one entry per word group, ';' between them ---- */

#define SRC_TIME 1000000000
#define DST_TIME 1100000000

static void set_time(int fd, const char *name, time_t when)
{
    const struct timespec t[2] = { { .tv_sec = when }, { .tv_sec = when } };

    assert_int_equal(utimensat(fd, name, t, AT_SYMLINK_NOFOLLOW), 0);
}

static void make_socket(int fd, const char *name)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    AUTO_CLOSE int s = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", fd, name);
    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
}

/* "KIND NAME [MODE|TARGET] [CONTENT]" */
static void make_entry(int fd, char *text, time_t when)
{
    char *save = NULL, *kind = strtok_r(text, " ", &save), *name = strtok_r(NULL, " ", &save);
    char *arg = strtok_r(NULL, " ", &save), *content = strtok_r(NULL, "", &save);
    mode_t mode = arg ? (mode_t)strtoul(arg, NULL, 8) : 0;

    if (*kind == 'd') {
        assert_int_equal(mkdirat(fd, name, 0755), 0);
        assert_int_equal(fchmodat(fd, name, mode, 0), 0);
    } else if (*kind == 'f') {
        AUTO_CLOSE int f = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_true(f >= 0);
        if (content)
            assert_null(file_write_all(f, content, strlen(content)));
        assert_int_equal(fchmod(f, mode), 0);
    } else if (*kind == 'l') {
        assert_int_equal(symlinkat(arg, fd, name), 0);
    } else if (*kind == 'h') {
        assert_int_equal(linkat(fd, arg, fd, name, 0), 0);
    } else if (*kind == 'p') {
        assert_int_equal(mkfifoat(fd, name, mode), 0);
        assert_int_equal(fchmodat(fd, name, mode, 0), 0);
    } else if (*kind == 's') {
        make_socket(fd, name);
        assert_int_equal(fchmodat(fd, name, mode, 0), 0);
    } else {
        fail_msg("what is '%s'?", kind);
    }
    set_time(fd, name, when);
}

static void make_tree(int fd, const char *text, time_t when)
{
    AUTO_FREE char *copy = xstrdup(text ? text : "");
    char *save = NULL;

    for (char *s = strtok_r(copy, ";", &save); s; s = strtok_r(NULL, ";", &save))
        make_entry(fd, s, when);
    set_time(fd, ".", when);
}

struct dump {
    enum owner_mode owners;
    const struct owner_table *table;
    struct map *inodes;
    bool times;
    struct buf out;
};

static void dump_owner(struct dump *d, int fd, const char *path, const struct stat *st)
{
    struct owner o;
    bool known;

    assert_null(owner_get(d->owners, fd, st, &o, &known));
    if (!known && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        assert_true(owner_table_get(d->table, path, &o));
    buf_printf(&d->out, " %u:%u", o.uid, o.gid);
    if (o.device)
        buf_printf(&d->out, " device %u:%u", major(o.rdev), minor(o.rdev));
}

static void dump_content(struct dump *d, int dir_fd, const char *name, const struct stat *st)
{
    char key[32], text[4096];
    AUTO_CLOSE int fd = -1;
    ssize_t n = 0;

    (void)snprintf(key, sizeof(key), "%" PRIuMAX, (uintmax_t)st->st_ino);
    if (S_ISLNK(st->st_mode)) {
        n = readlinkat(dir_fd, name, text, sizeof(text) - 1);
        buf_puts(&d->out, " ->");
    } else if (S_ISREG(st->st_mode) && st->st_nlink > 1 && map_get(d->inodes, key)) {
        buf_printf(&d->out, " = %s", (char *)map_get(d->inodes, key));
        return;
    } else if (S_ISREG(st->st_mode)) {
        fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        n = read(fd, text, sizeof(text) - 1);
        map_set(d->inodes, key, xstrdup(name));
    }
    assert_true(n >= 0);
    text[n] = '\0';
    if (n > 0)
        buf_printf(&d->out, " %s", text);
}

static void dump_dir(struct dump *d, int fd, const char *path);

static void dump_one(struct dump *d, int dir_fd, const char *dir, const char *name)
{
    static const char letters[] = "?pc?d?b?f?l?s";
    AUTO_FREE char *path = *dir ? xasprintf("%s/%s", dir, name) : xstrdup(name);
    AUTO_CLOSE int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    buf_printf(&d->out, "%c %s", letters[st.st_mode >> 12], path);
    if (!S_ISLNK(st.st_mode))
        buf_printf(&d->out, " %04o", st.st_mode & 07777);
    dump_owner(d, fd, path, &st);
    dump_content(d, dir_fd, name, &st);
    if (d->times)
        buf_puts(&d->out, st.st_mtime == SRC_TIME ? " src" : st.st_mtime == DST_TIME ? " dst" : " now");
    buf_putc(&d->out, '\n');
    if (S_ISDIR(st.st_mode)) {
        AUTO_CLOSE int sub = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        dump_dir(d, sub, path);
    }
}

static void dump_dir(struct dump *d, int fd, const char *path)
{
    AUTO(strs_release) struct strs names = { 0 };
    DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY));
    const struct dirent *e;

    while ((e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            strs_add(&names, e->d_name);
    }
    closedir(dir);
    strs_sort(&names);
    for (size_t i = 0; i < names.n; i++)
        dump_one(d, fd, path, names.items[i]);
}

/* ---- one copy ---- */

struct run {
    char dir[32];
    int src, dst;
    struct owner_table *table, *src_table;
    enum owner_mode owners;
};

static void run_start(struct run *r, enum owner_mode owners)
{
    *r = (struct run){ .dir = "/tmp/copyup-test-XXXXXX", .owners = owners };
    assert_non_null(mkdtemp(r->dir));
    r->table = owner_table_new();
    r->src_table = owner_table_new();
    int fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(fd, "src", 0755) | mkdirat(fd, "dst", 0755), 0);
    r->src = openat(fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r->dst = openat(fd, "dst", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(fd);
}

static void run_end(struct run *r)
{
    close(r->src);
    close(r->dst);
    owner_table_free(r->table);
    owner_table_free(r->src_table);
    assert_null(file_remove_tree(AT_FDCWD, r->dir));
}

static void note(void *ctx, const char *path, const struct owner *o)
{
    owner_table_set(((struct run *)ctx)->table, path, o);
}

static bool find(void *ctx, const char *path, struct owner *ret)
{
    return owner_table_get(((struct run *)ctx)->src_table, path, ret);
}

static struct copy_spec spec_of(struct run *r, const char *dest)
{
    return (struct copy_spec){ .from_fd = r->src,
                               .dest = dest,
                               .unpack = -1,
                               .owners = r->owners,
                               .note_owner = note,
                               .find_owner = find,
                               .find_ctx = r,
                               .ctx = r };
}

static char *dump(struct run *r, bool times)
{
    struct dump d = { .owners = r->owners, .table = r->table, .inodes = map_new(free), .times = times };

    dump_dir(&d, r->dst, "");
    map_free(d.inodes);
    (void)buf_str(&d.out);
    return buf_steal(&d.out);
}

static char *message(struct err *e)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    err_print(f, e);
    fclose(f);
    return text;
}

static void add_words(struct strs *l, const char *text)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;

    for (char *s = strtok_r(copy, "|", &save); s; s = strtok_r(NULL, "|", &save))
        strs_add(l, s);
}

struct row {
    const char *name, *src, *dst; /* trees */
    const char *sources, *dest;   /* sources with '|' between them */
    const char *ignore, *exclude, *chmod, *chown;
    bool image, parents, link;
    const char *expect; /* the tree after it, or '!' and a part of the message */
};

#define TREE "f a.txt 0644 A;f b.txt 0600 B;d d 0750;f d/one 0644 1;d d/sub 0700;f d/sub/two 0755 2;d d/empty 0711"

static const struct row rows[] = {
    /* where to */
    { "file to name", TREE, "", "a.txt", "/x", .expect = "f x 0644 0:0 A\n" },
    { "file into made dir", TREE, "", "a.txt", "/n/m/",
      .expect = "d n 0755 0:0\nd n/m 0755 0:0\nf n/m/a.txt 0644 0:0 A\n" },
    { "dot at the end", TREE, "", "a.txt", "/n/.", .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\n" },
    { "file to deep name", TREE, "", "a.txt", "/n/m", .expect = "d n 0755 0:0\nf n/m 0644 0:0 A\n" },
    { "file into existing dir", TREE, "d x 0700", "a.txt", "/x", .expect = "d x 0700 0:0\nf x/a.txt 0644 0:0 A\n" },
    { "file over file", TREE, "f x 0777 old", "b.txt", "/x", .expect = "f x 0600 0:0 B\n" },
    { "file over dir inside", TREE, "d x 0755;d x/a.txt 0755", "a.txt", "/x/",
      .expect = "!cannot replace the directory '/x/a.txt'" },
    { "file below a file", TREE, "f x 0644 X", "a.txt", "/x/", .expect = "!'x'" },
    { "file deep below a file", TREE, "f x 0644 X", "a.txt", "/x/y/z", .expect = "!'x/y'" },
    { "root as dest", TREE, "", "a.txt", "/", .expect = "f a.txt 0644 0:0 A\n" },
    { "two files", TREE, "", "a.txt|b.txt", "/n/",
      .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\nf n/b.txt 0600 0:0 B\n" },
    { "two files to a name", TREE, "", "a.txt|b.txt", "/n", .expect = "f n 0600 0:0 B\n" },
    { "slash after a file", TREE, "", "a.txt/", "/n/", .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\n" },
    { "leading slash and dots", TREE, "", "/../a.txt", "/n", .expect = "f n 0644 0:0 A\n" },
    /* directories */
    { "dir to new", TREE, "", "d", "/n",
      .expect = "d n 0755 0:0\nd n/empty 0711 0:0\nf n/one 0644 0:0 1\nd n/sub 0700 0:0\nf n/sub/two 0755 0:0 2\n" },
    { "dir into existing", "d d 0700;f d/f 0644 F;d d/s 0711", "d n 0770;f n/old 0640 O;d n/s 0777;f n/s/k 0600 K",
      "d/", "/n/",
      .expect = "d n 0770 0:0\nf n/f 0644 0:0 F\nf n/old 0640 0:0 O\nd n/s 0711 0:0\nf n/s/k 0600 0:0 K\n" },
    { "dir over file", TREE, "f n 0644 N", "d", "/n",
      .expect = "!cannot copy the directory 'd' to '/n', which is not a directory" },
    { "dir over file inside", TREE, "d n 0755;f n/sub 0644 x", "d", "/n",
      .expect = "!cannot copy the directory 'd/sub' to '/n/sub'" },
    { "dir over symlink inside", TREE, "d n 0755;d n/o 0755;l n/sub o", "d", "/n",
      .expect = "!cannot copy the directory" },
    { "empty dir", TREE, "", "d/empty", "/e", .expect = "d e 0755 0:0\n" },
    { "all to root", "f a 0644 A;d d 0700", "", ".", "/", .expect = "f a 0644 0:0 A\nd d 0700 0:0\n" },
    { "dirs merge", "d a 0755;f a/1 0644 x;d b 0755;f b/1 0644 y;f b/2 0644 z", "", "a|b", "/n/",
      .expect = "d n 0755 0:0\nf n/1 0644 0:0 y\nf n/2 0644 0:0 z\n" },
    /* symlinks */
    { "link as a source", "f t 0640 T;l l t", "", "l", "/n/", .expect = "d n 0755 0:0\nf n/l 0640 0:0 T\n" },
    { "link to a dir as a source", "d t 0755;f t/f 0644 F;l l t", "", "l", "/n",
      .expect = "d n 0755 0:0\nf n/f 0644 0:0 F\n" },
    { "way through links", "d t 0755;f t/f 0644 F;l l /t;l m l", "", "m/f", "/n", .expect = "f n 0644 0:0 F\n" },
    { "links inside are kept", "d d 0755;l d/rel f;l d/abs /etc/passwd;l d/up ../../..;l d/dead x", "", "d", "/n",
      .expect =
          "d n 0755 0:0\nl n/abs 0:0 -> /etc/passwd\nl n/dead 0:0 -> x\nl n/rel 0:0 -> f\nl n/up 0:0 -> ../../..\n" },
    { "dead link as a source", "l l x", "", "l", "/n", .expect = "!'l' not found in the build context" },
    { "dest through a link", TREE, "d r 0755;l l r", "a.txt", "/l/",
      .expect = "l l 0:0 -> r\nd r 0755 0:0\nf r/a.txt 0644 0:0 A\n" },
    { "dest through an escaping link", TREE, "d r 0755;l l ../../../r", "a.txt", "/l/x",
      .expect = "l l 0:0 -> ../../../r\nd r 0755 0:0\nf r/x 0644 0:0 A\n" },
    { "dest is a link to a file", TREE, "f r 0600 R;l l r", "a.txt", "/l", .expect = "l l 0:0 -> r\nf r 0644 0:0 A\n" },
    { "dest is a dead link", TREE, "l l /m/r", "a.txt", "/l",
      .expect = "l l 0:0 -> /m/r\nd m 0755 0:0\nf m/r 0644 0:0 A\n" },
    { "link in a dir is replaced", TREE, "d n 0755;f r 0600 R;l n/a.txt ../r", "a.txt", "/n/",
      .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\nf r 0600 0:0 R\n" },
    { "link over file and again", "d d 0755;l d/l t", "d n 0755;f n/l 0644 L", "d|d", "/n/",
      .expect = "d n 0755 0:0\nl n/l 0:0 -> t\n" },
    { "link over dir", "d d 0755;l d/l t", "d n 0755;d n/l 0755", "d", "/n/",
      .expect = "!cannot replace the directory" },
    { "dest loops", TREE, "l l l", "a.txt", "/l/x", .expect = "!cannot follow" },
    /* wildcards */
    { "wildcard", TREE, "", "*.txt", "/n/", .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\nf n/b.txt 0600 0:0 B\n" },
    { "wildcard with dirs", TREE, "", "d*", "/n/",
      .expect = "d n 0755 0:0\nd n/empty 0711 0:0\nf n/one 0644 0:0 1\nd n/sub 0700 0:0\nf n/sub/two 0755 0:0 2\n" },
    { "wildcard inside", TREE, "", "d/*/t*", "/n", .expect = "f n 0755 0:0 2\n" },
    { "nothing matches", TREE, "", "*.c", "/n/", .expect = "" },
    { "bad wildcard", TREE, "", "[", "/n/", .expect = "!malformed" },
    /* what is missing */
    { "missing", TREE, "", "nosuch", "/n", .expect = "!'nosuch' not found in the build context" },
    { "missing, nearly there", TREE, "", "a.tx", "/n", .expect = "!Did you mean 'a.txt'?" },
    { "missing, other case", TREE, "", "d/ONE", "/n", .expect = "!Did you mean 'd/one'?" },
    { "missing, a dangling link", "l l nowhere", "", "l", "/n", .expect = "!It is a symbolic link to 'nowhere'" },
    { "missing in a stage", TREE, "", "zzz", "/n", .image = true,
      .expect = "!'zzz' not found in the source image or stage" },
    { "ignored", TREE, "", "a.txt", "/n", .ignore = "*.txt", .expect = "!excluded by '*.txt' in .dockerignore" },
    /* .dockerignore */
    { "ignore", TREE, "", ".", "/n/", .ignore = "*.txt\nd/sub",
      .expect = "d n 0755 0:0\nd n/d 0750 0:0\nd n/d/empty 0711 0:0\nf n/d/one 0644 0:0 1\n" },
    { "ignore and include", TREE, "", ".", "/n/", .ignore = "*\n!d/sub",
      .expect = "d n 0755 0:0\nd n/d 0750 0:0\nd n/d/sub 0700 0:0\nf n/d/sub/two 0755 0:0 2\n" },
    { "ignored dir with included file", TREE, "", "d", "/n/", .ignore = "d\n!d/sub/t*",
      .expect = "d n 0755 0:0\nd n/sub 0700 0:0\nf n/sub/two 0755 0:0 2\n" },
    { "ignore below a source", TREE, "", "d", "/n/", .ignore = "d/*\n!d/one",
      .expect = "d n 0755 0:0\nf n/one 0644 0:0 1\n" },
    { "ignore wildcard", TREE, "", "*.txt", "/n/", .ignore = "a*", .expect = "d n 0755 0:0\nf n/b.txt 0600 0:0 B\n" },
    { "ignored link target", "f t 0644 T;l l t", "", "l", "/n", .ignore = "t", .expect = "!'l' not found" },
    /* --exclude: seen from the source's root; the source itself is never excluded */
    { "exclude", TREE, "", "d", "/n", .exclude = "one|sub/t*",
      .expect = "d n 0755 0:0\nd n/empty 0711 0:0\nd n/sub 0700 0:0\n" },
    { "exclude but", TREE, "", "d", "/n", .exclude = "*|!sub/two",
      .expect = "d n 0755 0:0\nd n/sub 0700 0:0\nf n/sub/two 0755 0:0 2\n" },
    { "exclude dir", TREE, "", ".", "/n", .exclude = "**/sub|*.txt",
      .expect = "d n 0755 0:0\nd n/d 0750 0:0\nd n/d/empty 0711 0:0\nf n/d/one 0644 0:0 1\n" },
    { "exclude a file source", TREE, "", "a.txt", "/n", .exclude = "*.txt", .expect = "f n 0644 0:0 A\n" },
    /* --parents */
    { "parents", TREE, "", "d/sub/two", "/n/", .parents = true,
      .expect = "d n 0755 0:0\nd n/d 0750 0:0\nd n/d/sub 0700 0:0\nf n/d/sub/two 0755 0:0 2\n" },
    { "parents wildcard", TREE, "", "./d/**/t*|*.txt", "/n/", .parents = true,
      .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\nf n/b.txt 0600 0:0 B\nd n/d 0750 0:0\nd n/d/sub 0700 0:0\nf "
                "n/d/sub/two 0755 0:0 2\n" },
    { "parents pivot", TREE, "", "d/./sub/two", "/n/", .parents = true,
      .expect = "d n 0755 0:0\nd n/sub 0700 0:0\nf n/sub/two 0755 0:0 2\n" },
    { "parents of a dir", TREE, "", "/d/empty/", "/n", .parents = true,
      .expect = "d n 0755 0:0\nd n/d 0750 0:0\nd n/d/empty 0711 0:0\n" },
    { "parents missing", TREE, "", "d/x", "/n/", .parents = true, .expect = "!'d/x' not found" },
    { "parents matches nothing", TREE, "", "x*", "/n/", .parents = true, .expect = "d n 0755 0:0\n" },
    { "parents pivot missing", TREE, "", "x/./y", "/n/", .parents = true, .expect = "!'x' not found" },
    { "parents and exclude", TREE, "", "d", "/n/", .parents = true, .exclude = "d/sub|d/empty",
      .expect = "d n 0755 0:0\nd n/d 0750 0:0\nf n/d/one 0644 0:0 1\n" },
    /* --chmod, --chown */
    { "chmod", TREE, "", "d", "/n/m", .chmod = "4711",
      .expect = "d n 0711 0:0\nd n/m 0711 0:0\nd n/m/empty 4711 0:0\nf n/m/one 4711 0:0 1\nd n/m/sub 4711 0:0\nf "
                "n/m/sub/two 4711 0:0 2\n" },
    { "chmod symbolic", TREE, "", "d", "/n", .chmod = "u=rwX,go=rX",
      .expect = "d n 0755 0:0\nd n/empty 0755 0:0\nf n/one 0644 0:0 1\nd n/sub 0755 0:0\nf n/sub/two 0755 0:0 2\n" },
    { "chmod leaves an existing dest", TREE, "d n 0700", "a.txt", "/n/", .chmod = "0600",
      .expect = "d n 0700 0:0\nf n/a.txt 0600 0:0 A\n" },
    { "chmod wrong", TREE, "", "a.txt", "/n", .chmod = "999", .expect = "!'999' is no mode" },
    { "chown", "d d 0755;f d/f 4755 F;l d/l x;p d/p 0640", "", "d", "/n/m", .chown = "1500:1600",
      .expect = "d n 0755 1500:1600\nd n/m 0755 1500:1600\nf n/m/f 4755 1500:1600 F\nl n/m/l 1500:1600 -> x\np n/m/p "
                "0640 1500:1600\n" },
    { "chown leaves an existing dest", TREE, "d n 0700", "a.txt", "/n/", .chown = "5:6",
      .expect = "d n 0700 0:0\nf n/a.txt 0644 5:6 A\n" },
    /* kinds of files */
    { "setuid and sticky", "d d 0755;f d/s 6755 S;d d/t 1777", "", "d", "/n",
      .expect = "d n 0755 0:0\nf n/s 6755 0:0 S\nd n/t 1777 0:0\n" },
    { "fifo and socket", "d d 0755;p d/p 0640;s d/s 0750", "", "d", "/n",
      .expect = "d n 0755 0:0\np n/p 0640 0:0\nf n/s 0750 0:0\n" },
    { "fifo as the source", "p p 0600", "f n 0644 N", "p", "/n", .expect = "p n 0600 0:0\n" },
    { "hard links", "d d 0755;f d/a 0644 A;h d/b d/a;d d/s 0755;h d/s/c d/a", "", "d", "/n",
      .expect = "d n 0755 0:0\nf n/a 0644 0:0 A\nf n/b 0644 0:0 = a\nd n/s 0755 0:0\nf n/s/c 0644 0:0 = a\n" },
    { "hard link to what is outside", "f a 0644 A;d d 0755;h d/a a", "", "d", "/n",
      .expect = "d n 0755 0:0\nf n/a 0644 0:0 A\n" },
    { "hard links of two sources", "f a 0644 A;h b a", "", "a|b", "/n/",
      .expect = "d n 0755 0:0\nf n/a 0644 0:0 A\nf n/b 0644 0:0 A\n" },
    { "odd names", "d d 0755;f d/\xFF\xFE 0644 x;f d/new\nline 0644 y;f d/*[ 0644 z", "", "d", "/n",
      .expect = "d n 0755 0:0\nf n/*[ 0644 0:0 z\nf n/new\nline 0644 0:0 y\nf n/\xFF\xFE 0644 0:0 x\n" },
    { "closed dir", "d d 0755;d d/ro 0500;f d/ro/f 0400 F", "", "d", "/n",
      .expect = "d n 0755 0:0\nd n/ro 0500 0:0\nf n/ro/f 0400 0:0 F\n" },
    /* --link: as if into an empty root */
    { "link into a dir", TREE, "d n 0700", "a.txt", "/n/", .link = true,
      .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\n" },
    { "link over a dir", TREE, "d n 0700;f n/x 0644 x", "a.txt", "/n", .link = true, .expect = "f n 0644 0:0 A\n" },
    { "link does not follow", TREE, "d r 0755;l n r", "a.txt", "/n/", .link = true,
      .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\nd r 0755 0:0\n" },
    { "link dir over file", TREE, "f n 0644 x", "d/sub", "/n/m", .link = true,
      .expect = "d n 0755 0:0\nd n/m 0755 0:0\nf n/m/two 0755 0:0 2\n" },
    { "link two into one", TREE, "", "d/sub|a.txt", "/n", .link = true,
      .expect = "d n 0755 0:0\nf n/a.txt 0644 0:0 A\nf n/two 0755 0:0 2\n" },
    { "link nested over file", TREE, "d n 0755;f n/sub 0644 x;d n/one 0755", "d", "/n", .link = true,
      .expect = "d n 0755 0:0\nd n/empty 0711 0:0\nf n/one 0644 0:0 1\nd n/sub 0700 0:0\nf n/sub/two 0755 0:0 2\n" },
    { "link with chmod is none", TREE, "d n 0700", "a.txt", "/n", .link = true, .chmod = "0600",
      .expect = "d n 0700 0:0\nf n/a.txt 0600 0:0 A\n" },
};

static struct ignore *patterns_of(const char *words)
{
    AUTO(strs_release) struct strs l = { 0 };
    struct ignore *g = NULL;

    if (!words)
        return NULL;
    add_words(&l, words);
    assert_null(ignore_from_patterns(&l, &g));
    return g;
}

static void check_result(const struct row *row, struct run *r, struct err *e)
{
    AUTO_FREE char *text = e ? message(e) : dump(r, false);
    bool right = e && row->expect[0] == '!' ? strstr(text, row->expect + 1) != NULL && err_kind(e) == ERR_DOCKERFILE
                                            : !e && strcmp(text, row->expect) == 0;

    err_free(e);
    if (!right)
        fail_msg("'%s' (owners %d) gave:\n%s", row->name, r->owners, text);
}

static void run_row(const struct row *row, enum owner_mode owners)
{
    struct run r;
    AUTO(ignore_free) struct ignore *ignore = NULL, *exclude = patterns_of(row->exclude);
    struct owner chown = { 0 };
    struct copy_stats stats;

    run_start(&r, owners);
    make_tree(r.src, row->src, SRC_TIME);
    make_tree(r.dst, row->dst, DST_TIME);
    struct owner root = { 0 };
    owner_table_set(r.table, "l", &root); /* the one symlink that some rows have before */
    struct copy_spec s = spec_of(&r, row->dest);
    if (row->ignore)
        assert_null(ignore_parse(row->ignore, strlen(row->ignore), &ignore));
    add_words(&s.sources, row->sources);
    s.ignore = ignore;
    s.exclude = exclude;
    s.chmod = row->chmod;
    s.from_image = row->image;
    s.parents = row->parents;
    s.link = row->link;
    if (row->chown && sscanf(row->chown, "%u:%u", &chown.uid, &chown.gid) == 2)
        s.chown = &chown;
    check_result(row, &r, copy_into(r.dst, &s, &stats));
    strs_release(&s.sources);
    run_end(&r);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (geteuid() == 0)
            run_row(&rows[i], OWNER_REAL);
        else if (strstr(rows[i].src, " 0500"))
            continue; /* only root can fill a directory without write permission */
        run_row(&rows[i], OWNER_RECORDED);
    }
}

/* Each kind of time: of files, new and existing directories, the destination, and directories on the way. */
static void test_times(void **state)
{
    struct run r;
    struct copy_stats stats;

    (void)state;
    run_start(&r, OWNER_RECORDED);
    make_tree(r.src, "d d 0755;f d/f 0644 F;d d/s 0755;f d/s/g 0644 G;d d/t 0755;l d/l x", SRC_TIME);
    make_tree(r.dst, "d n 0755;d n/s 0755;f n/s/old 0644 O", DST_TIME);
    struct copy_spec s = spec_of(&r, "/n");
    set_time(r.src, "d/s", SRC_TIME);
    set_time(r.src, "d", SRC_TIME);
    strs_add(&s.sources, "d");
    assert_null(copy_into(r.dst, &s, &stats));
    s.dest = "/way/";
    assert_null(copy_into(r.dst, &s, &stats));
    assert_int_equal(stats.files, 3);
    assert_int_equal(stats.bytes, 2);
    AUTO_FREE char *text = dump(&r, true);
    assert_string_equal(text, "d n 0755 0:0 src\nf n/f 0644 0:0 F src\nl n/l 0:0 -> x src\nd n/s 0755 0:0 src\n"
                              "f n/s/g 0644 0:0 G src\nf n/s/old 0644 0:0 O dst\nd n/t 0755 0:0 src\n"
                              "d way 0755 0:0 src\nf way/f 0644 0:0 F src\nl way/l 0:0 -> x src\nd way/s 0755 0:0 src\n"
                              "f way/s/g 0644 0:0 G src\nd way/t 0755 0:0 src\n");
    strs_release(&s.sources);
    run_end(&r);
}

static void set_owner(struct run *r, const char *path, uint32_t uid, uint32_t gid, mode_t device)
{
    struct owner o = { uid, gid, device, device ? makedev(1, 3) : 0 };
    AUTO_CLOSE int fd = -1;
    struct stat st;
    bool stored;

    assert_null(path_open(r->src, path, O_PATH | O_NOFOLLOW, 0, &fd));
    assert_int_equal(fstat(fd, &st), 0);
    assert_null(owner_set(r->owners, fd, &st, &o, &stored));
    if (!stored)
        owner_table_set(r->src_table, path, &o);
}

/* An image's owners go with its files; the context's do not. */
static void check_owners(enum owner_mode owners, bool image, const char *expect)
{
    struct run r;
    struct copy_stats stats;

    run_start(&r, owners);
    make_tree(r.src, "d d 0755;f d/f 4755 F;d d/s 0755;l d/l x;f d/null 0666", SRC_TIME);
    set_owner(&r, "d/f", 10, 11, 0);
    set_owner(&r, "d/s", 12, 13, 0);
    set_owner(&r, "d/l", 14, 15, 0);
    if (image)
        set_owner(&r, "d/null", 0, 6, S_IFCHR);
    assert_int_equal(fchmodat(r.src, "d/f", 04755, 0), 0);
    struct copy_spec s = spec_of(&r, "/n");
    s.from_image = image;
    strs_add(&s.sources, "d");
    assert_null(copy_into(r.dst, &s, &stats));
    strs_release(&s.sources);
    AUTO_FREE char *text = dump(&r, false);
    assert_string_equal(text, expect);
    run_end(&r);
}

static void test_owners(void **state)
{
    static const char *const plain =
        "d n 0755 0:0\nf n/f 4755 0:0 F\nl n/l 0:0 -> x\nf n/null 0666 0:0\nd n/s 0755 0:0\n";
    static const char *const kept =
        "d n 0755 0:0\nf n/f 4755 10:11 F\nl n/l 14:15 -> x\nc n/null 0666 0:6\nd n/s 0755 12:13\n";

    (void)state;
    if (geteuid() != 0)
        skip();
    check_owners(OWNER_REAL, false, plain);
    check_owners(OWNER_REAL, true, kept);
    check_owners(OWNER_RECORDED, false, plain);
    check_owners(OWNER_RECORDED, true, kept);
}

static void test_xattrs(void **state)
{
    struct run r;
    struct copy_stats stats;
    char value[64];

    (void)state;
    run_start(&r, OWNER_RECORDED);
    make_tree(r.src, "d d 0755;f d/f 0644 F;d d/s 0755", SRC_TIME);
    AUTO_FREE char *f = xasprintf("%s/src/d/f", r.dir), *copy = xasprintf("%s/dst/n/f", r.dir);
    AUTO_FREE char *dir = xasprintf("%s/src/d/s", r.dir), *dir_copy = xasprintf("%s/dst/n/s", r.dir);
    assert_int_equal(setxattr(f, "user.mine", "value", 5, 0), 0);
    assert_int_equal(setxattr(dir, "user.mine", "dir", 3, 0), 0);
    assert_int_equal(setxattr(f, OWNER_XATTR, "66:66:c:1:1", 11, 0), 0);
    assert_int_equal(setxattr(dir, "user.overlay.opaque", "y", 1, 0), 0);
    struct copy_spec s = spec_of(&r, "/n");
    strs_add(&s.sources, "d");
    assert_null(copy_into(r.dst, &s, &stats));
    strs_release(&s.sources);
    assert_int_equal(getxattr(copy, "user.mine", value, sizeof(value)), 5);
    assert_int_equal(getxattr(dir_copy, "user.mine", value, sizeof(value)), 3);
    assert_int_equal(getxattr(copy, OWNER_XATTR, value, sizeof(value)), -1); /* it is root's without a record */
    assert_int_equal(getxattr(dir_copy, "user.overlay.opaque", value, sizeof(value)), -1);
    run_end(&r);
}

static void test_sparse_and_large(void **state)
{
    struct run r;
    struct copy_stats stats;
    struct stat st;
    char byte = 0;

    (void)state;
    run_start(&r, OWNER_RECORDED);
    AUTO_CLOSE int big = openat(r.src, "big", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(pwrite(big, "x", 1, 64 << 20), 1);
    struct copy_spec s = spec_of(&r, "/big");
    strs_add(&s.sources, "big");
    assert_null(copy_into(r.dst, &s, &stats));
    strs_release(&s.sources);
    assert_int_equal(stats.bytes, (64 << 20) + 1);
    AUTO_CLOSE int fd = openat(r.dst, "big", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, (64 << 20) + 1);
    assert_true(st.st_blocks < 2048);
    assert_int_equal(pread(fd, &byte, 1, 64 << 20), 1);
    assert_int_equal(byte, 'x');
    run_end(&r);
}

static void test_here_document(void **state)
{
    static const struct {
        const char *name, *dest, *chmod, *expect;
    } docs[] = {
        { "EOF", "/n", NULL, "f n 0644 0:0 text src\n" },
        { "EOF", "/n/", NULL, "d n 0755 0:0 now\nf n/EOF 0644 0:0 text src\n" },
        { "EOF", "/x/n", "0700", "d x 0700 0:0 now\nf x/n 0700 0:0 text src\n" },
        { "a/b", "/n", NULL, NULL },
        { "..", "/n/", NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(docs) / sizeof(docs[0]); i++) {
        struct run r;
        struct copy_stats stats;

        run_start(&r, OWNER_RECORDED);
        struct copy_spec s = spec_of(&r, docs[i].dest);
        s.inline_name = docs[i].name;
        s.inline_data = "text";
        s.inline_len = 4;
        s.inline_mtime_s = SRC_TIME;
        s.chmod = docs[i].chmod;
        struct err *e = copy_into(r.dst, &s, &stats);
        assert_true(!e == !!docs[i].expect);
        err_free(e);
        AUTO_FREE char *text = dump(&r, true);
        assert_string_equal(text, docs[i].expect ? docs[i].expect : "");
        run_end(&r);
    }
}

/* The root that is being built is below the source: without a check the copy would never end. */
static void test_root_in_source(void **state)
{
    struct run r;
    struct copy_stats stats;

    (void)state;
    run_start(&r, OWNER_RECORDED);
    struct copy_spec s = spec_of(&r, "/n");
    s.from_fd = open(r.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    strs_add(&s.sources, ".");
    struct err *e = copy_into(r.dst, &s, &stats);
    AUTO_FREE char *text = message(e);
    assert_non_null(strstr(text, "is the root that is being built"));
    err_free(e);
    close((int)s.from_fd);
    strs_release(&s.sources);
    run_end(&r);
}

static void test_cancel(void **state)
{
    struct run r;
    struct copy_stats stats;
    struct cancel *c = NULL;

    (void)state;
    run_start(&r, OWNER_RECORDED);
    make_tree(r.src, TREE, SRC_TIME);
    assert_null(cancel_new(&c));
    cancel_raise(c, CANCEL_SIGNAL);
    struct copy_spec s = spec_of(&r, "/n");
    s.cancel = c;
    strs_add(&s.sources, "d");
    struct err *e = copy_into(r.dst, &s, &stats);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_TERMINATED);
    err_free(e);
    cancel_free(c);
    strs_release(&s.sources);
    run_end(&r);
}

/* ---- archives ---- */

static void put_octal(char *at, int digits, uint64_t v)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%0*" PRIo64, digits, v);
    memcpy(at, text, (size_t)digits);
}

/* One file "in" with content "data", owner 7:8, mode 0640. */
static void make_tar(char block[2048])
{
    unsigned sum = 0;

    memset(block, 0, 2048);
    memcpy(block, "in", 2);
    put_octal(block + 100, 7, 0640);
    put_octal(block + 108, 7, 7);
    put_octal(block + 116, 7, 8);
    put_octal(block + 124, 11, 4);
    put_octal(block + 136, 11, SRC_TIME);
    memset(block + 148, ' ', 8);
    block[156] = '0';
    memcpy(block + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    put_octal(block + 148, 6, sum);
    block[154] = '\0';
    memcpy(block + 512, "data", 4);
}

static void check_archive(bool add, int unpack, size_t len, int damage, const char *chown, const char *expect)
{
    struct run r;
    struct copy_stats stats;
    struct owner o = { 0 };
    char tar[2048];

    make_tar(tar);
    if (damage)
        tar[damage] ^= 1;
    run_start(&r, OWNER_RECORDED);
    AUTO_CLOSE int fd = openat(r.src, "t.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_null(file_write_all(fd, tar, len));
    struct copy_spec s = spec_of(&r, "/n/m/");
    s.add = add;
    s.unpack = unpack;
    if (chown && sscanf(chown, "%u:%u", &o.uid, &o.gid) == 2)
        s.chown = &o;
    strs_add(&s.sources, "t.tar");
    assert_null(copy_into(r.dst, &s, &stats));
    strs_release(&s.sources);
    AUTO_FREE char *text = dump(&r, false);
    if (!strstr(text, expect))
        fail_msg("archive add=%d unpack=%d len=%zu: %s", add, unpack, len, text);
    run_end(&r);
}

static void test_archive(void **state)
{
    (void)state;
    check_archive(true, -1, 2048, 0, NULL, "f n/m/in 0640 7:8 data\n");
    check_archive(true, 1, 2048, 0, NULL, "f n/m/in 0640 7:8 data\n");
    check_archive(true, 0, 2048, 0, NULL, "f n/m/t.tar 0644 0:0");
    check_archive(false, -1, 2048, 0, NULL, "f n/m/t.tar 0644 0:0");
    check_archive(true, -1, 2048, 0, "3:4", "d n 0755 3:4\nd n/m 0755 3:4\nf n/m/in 0640 3:4 data\n");
    check_archive(true, -1, 2048, 1, NULL, "f n/m/t.tar 0644 0:0"); /* a wrong checksum */
    check_archive(true, -1, 100, 0, NULL, "f n/m/t.tar 0644 0:0");
    check_archive(true, -1, 0, 0, NULL, "f n/m/t.tar 0644 0:0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),           cmocka_unit_test(test_times),
        cmocka_unit_test(test_owners),         cmocka_unit_test(test_xattrs),
        cmocka_unit_test(test_here_document),  cmocka_unit_test(test_sparse_and_large),
        cmocka_unit_test(test_root_in_source), cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_archive),
    };

    return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
