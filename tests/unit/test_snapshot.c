#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/strs.h"
#include "snapshot/snapshot.h"
#include "sys/file.h"
#include "sys/path.h"
#include "tar/tar.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

/* A layer as text, one entry a line:  TYPE MODE UID:GID PATH [ARG]
 *   d directory   f file, ARG = content   l symlink, h hard link, ARG = target   p fifo   c, b device, ARG =
 * MAJOR:MINOR x NAME VALUE  extended attribute of the entry before All times are LAYER_TIME. Layers that are read are
 * written down in the same form. */
#define LAYER_TIME 1000000000
#define MAX_LAYERS 4

struct layer_case {
    const char *name;
    const char *base[MAX_LAYERS];
    const char *script; /* /bin/sh in the root directory */
    const char *own;    /* then: "PATH UID:GID" lines, as a chown that the sandbox saw */
    const char *want;   /* the layer of that step */
    const char *copy;   /* what it is with the copy back end, where that differs */
    enum snapshot_mode mode;
    const char *ignore;
};

#define BASE                                                                                                           \
    "d 755 0:0 d\nf 644 0:0 d/x one\nf 644 5:6 d/y two\nd 755 0:0 d/sub\nf 600 0:0 d/sub/z three\nf 644 0:0 f four\n"  \
    "l 777 7:8 s d/x\nf 644 0:0 h1 link\nh 644 0:0 h2 h1\n"

static const struct layer_case cases[] = {
    { .name = "nothing", .base = { BASE }, .script = ":", .want = "" },
    { .name = "from scratch",
      .script = "mkdir -p a/b; echo x > a/b/c",
      .want = "d 755 0:0 a\nd 755 0:0 a/b\nf 644 0:0 a/b/c x\n" },
    { .name = "new file has its directories before it",
      .base = { BASE },
      .script = "echo n > d/sub/n",
      .want = "d 755 0:0 d\nd 755 0:0 d/sub\nf 644 0:0 d/sub/n n\n" },
    { .name = "changed content keeps the owner",
      .base = { BASE },
      .script = "echo 2 > d/y",
      .want = "d 755 0:0 d\nf 644 5:6 d/y 2\n" },
    { .name = "mode", .base = { BASE }, .script = "chmod 4755 f", .want = "f 4755 0:0 f four\n" },
    { .name = "directory mode alone", .base = { BASE }, .script = "chmod 1777 d", .want = "d 1777 0:0 d\n" },
    { .name = "owner alone", .base = { BASE }, .script = ":", .own = "f 9:10", .want = "f 644 9:10 f four\n" },
    { .name = "owner of a directory", .base = { BASE }, .script = ":", .own = "d 3:3", .want = "d 755 3:3 d\n" },
    { .name = "owner of a symlink", .base = { BASE }, .script = ":", .own = "s 9:9", .want = "l 777 9:9 s d/x\n" },
    { .name = "touched symlink keeps its owner",
      .base = { BASE },
      .script = "touch -h s",
      .want = "l 777 7:8 s d/x\n" },
    { .name = "same mode again",
      .base = { BASE },
      .script = "chmod 644 f; chmod 755 d",
      .want = "",
      .copy = "f 644 0:0 f four\n" },
    { .name = "opened for writing only", .base = { BASE }, .script = ": >> f", .want = "" },
    { .name = "same owner again",
      .base = { BASE },
      .script = ":",
      .own = "d/y 5:6",
      .want = "",
      .copy = "d 755 0:0 d\nf 644 5:6 d/y two\n" },
    { .name = "temporary file leaves nothing", .base = { BASE }, .script = "echo > d/tmp; rm d/tmp", .want = "" },
    { .name = "same size and time, other content: full",
      .base = { BASE },
      .script = "echo FOUR | tr -d '\\n' > f; touch -d @1000000000 f",
      .want = "f 644 0:0 f FOUR\n" },
    { .name = "same size and time, other content: redo",
      .base = { BASE },
      .script = "printf FOUR > f; touch -d @1000000000 f",
      .want = "f 644 0:0 f FOUR\n",
      .mode = SNAPSHOT_REDO },
    { .name = "rewritten with the same: full",
      .base = { BASE },
      .script = "printf four > f; touch -d @1000000000 f",
      .want = "",
      .copy = "f 644 0:0 f four\n" },
    { .name = "touched: redo",
      .base = { BASE },
      .script = "touch f",
      .want = "f 644 0:0 f four\n",
      .mode = SNAPSHOT_REDO },
    { .name = "time sees the time alone",
      .base = { BASE },
      .script = "chmod 600 f; echo 1 > d/x",
      .want = "d 755 0:0 d\nf 644 0:0 d/x 1\n",
      .mode = SNAPSHOT_TIME },
    { .name = "replaced by rename is new",
      .base = { BASE },
      .script = "echo r > d/y.new; mv d/y.new d/y",
      .want = "d 755 0:0 d\nf 644 0:0 d/y r\n" },
    { .name = "removed", .base = { BASE }, .script = "rm f", .want = "f 0 0:0 .wh.f\n" },
    { .name = "whiteouts stand before their siblings",
      .base = { BASE },
      .script = "rm d/y; echo a > d/a",
      .want = "d 755 0:0 d\nf 0 0:0 d/.wh.y\nf 644 0:0 d/a a\n" },
    { .name = "whiteouts are no hard links",
      .base = { BASE },
      .script = "rm d/x d/y f",
      .want = "f 0 0:0 .wh.f\nd 755 0:0 d\nf 0 0:0 d/.wh.x\nf 0 0:0 d/.wh.y\n" },
    { .name = "removed tree", .base = { BASE }, .script = "rm -r d", .want = "f 0 0:0 .wh.d\n" },
    { .name = "emptied and made again is opaque",
      .base = { BASE },
      .script = "rm -r d; mkdir d; echo 1 > d/new",
      .want = "d 755 0:0 d\nf 0 0:0 d/.wh..wh..opq\nf 644 0:0 d/new 1\n",
      .copy = "d 755 0:0 d\nf 0 0:0 d/.wh.sub\nf 0 0:0 d/.wh.x\nf 0 0:0 d/.wh.y\nf 644 0:0 d/new 1\n" },
    { .name = "new directory is not opaque",
      .base = { BASE },
      .script = "mkdir -p n/m",
      .want = "d 755 0:0 n\nd 755 0:0 n/m\n" },
    { .name = "made and removed", .base = { BASE }, .script = "mkdir n; echo 1 > n/a; rm -r n", .want = "" },
    { .name = "file becomes directory",
      .base = { BASE },
      .script = "rm f; mkdir f; echo 1 > f/a",
      .want = "d 755 0:0 f\nf 644 0:0 f/a 1\n" },
    { .name = "directory becomes file", .base = { BASE }, .script = "rm -r d; echo 1 > d", .want = "f 644 0:0 d 1\n" },
    { .name = "directory becomes symlink",
      .base = { BASE },
      .script = "rm -r d; ln -s f d",
      .want = "l 777 0:0 d f\n" },
    { .name = "hard links made by the step",
      .base = { BASE },
      .script = "echo 1 > a; ln a b; ln a d/c",
      .want = "f 644 0:0 a 1\nh 644 0:0 b a\nd 755 0:0 d\nh 644 0:0 d/c a\n" },
    { .name = "link to an unchanged file",
      .base = { BASE },
      .script = "ln f g",
      .want = "f 644 0:0 f four\nh 644 0:0 g f\n" },
    { .name = "one name of a lower group",
      .base = { BASE },
      .script = "printf 2 > h1",
      .want = "f 644 0:0 h1 2\n",
      .copy = "f 644 0:0 h1 2\nh 644 0:0 h2 h1\n" },
    {
        .name = "renamed directory",
        .base = { BASE },
        .script = "mv d e",
        .want =
            "f 0 0:0 .wh.d\nd 755 0:0 e\nd 755 0:0 e/sub\nf 600 0:0 e/sub/z three\nf 644 0:0 e/x one\nf 644 5:6 e/y "
            "two\n",
    },
    { .name = "renamed file keeps its owner",
      .base = { BASE },
      .script = "mv d/y y",
      .want = "d 755 0:0 d\nf 0 0:0 d/.wh.y\nf 644 5:6 y two\n" },
    { .name = "fifo is kept, socket is not",
      .base = { BASE },
      .script = "mkfifo -m 640 p; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"so\")'",
      .want = "p 640 0:0 p\n" },
    { .name = "device of a layer",
      .base = { "d 755 0:0 dev\nc 666 0:4 dev/null 1:3\nb 660 0:6 dev/sda 8:0\n" },
      .script = "chmod 600 dev/null",
      .want = "d 755 0:0 dev\nc 600 0:4 dev/null 1:3\n" },
    { .name = "device untouched",
      .base = { "c 666 0:4 null 1:3\n" },
      .script = "chmod 666 null",
      .want = "",
      .copy = "c 666 0:4 null 1:3\n" },
    { .name = "attributes that no layer holds",
      .base = { BASE "f 644 0:0 g g\nx user.a 1\n" },
      .script =
          "python3 -c 'import os; os.setxattr(\"f\", \"user.k\", b\"v\"); os.setxattr(\"g\", \"user.a\", b\"2\")'",
      .want = "",
      .copy = "f 644 0:0 f four\nf 644 0:0 g g\n" },
    { .name = "attribute removed",
      .base = { "f 644 0:0 g g\nx user.a 1\n" },
      .script = "python3 -c 'import os; os.removexattr(\"g\", \"user.a\")'",
      .want = "",
      .copy = "f 644 0:0 g g\n" },
    {
        .name = "owner of new files",
        .base = { BASE },
        .script = "echo 1 > n; ln -s n l; mkdir m; echo 2 > d/y; touch -h s; chmod 700 d/sub",
        .want = "d 755 0:0 d\nd 700 0:0 d/sub\nf 644 5:6 d/y 2\nl 777 0:0 l n\nd 755 0:0 m\nf 644 0:0 n 1\n"
                "l 777 7:8 s d/x\n",
    },
    { .name = "owner of a name of a lower group",
      .base = { BASE },
      .script = "echo 3 > h1",
      .want = "f 644 0:0 h1 3\n",
      .copy = "f 644 0:0 h1 3\nh 644 0:0 h2 h1\n" },
    { .name = "ignored paths",
      .base = { BASE },
      .script = "echo 1 > d/secret; rm f; mkdir -p t/u; echo 2 > t/u/v; echo 3 > e",
      .ignore = "/d/secret f /t/u/",
      .want = "f 644 0:0 e 3\nd 755 0:0 t\n" },
    { .name = "odd modes",
      .script = "echo 1 > a; chmod 0000 a; mkdir b; echo 2 > b/c; chmod 0 b; umask 077; echo > 'a b'; chmod 7777 'a b'",
      .want = "f 0 0:0 a 1\nf 7777 0:0 a b \nd 0 0:0 b\nf 644 0:0 b/c 2\n" },
    { .name = "layers hide layers",
      .base = { BASE, "d 755 0:0 d\nf 0 0:0 d/.wh.x\nf 0 0:0 .wh.f\n", "d 700 1:1 d\nf 0 0:0 d/.wh..wh..opq\n" },
      .script = "ls d d/x d/sub f >/dev/null 2>&1 && exit 1; test \"$(ls -A d)\" = ''; echo 1 > d/n",
      .want = "d 700 1:1 d\nf 644 0:0 d/n 1\n" },
    { .name = "a layer's own file beside its whiteout stays",
      .base = { BASE, "f 644 0:0 f new\nf 0 0:0 .wh.f\nf 0 0:0 .wh.d\nd 755 0:0 d\nf 644 0:0 d/q q\n" },
      .script = "test \"$(cat f)\" = new && test \"$(ls d)\" = q",
      .want = "" },
    { .name = "a directory that a layer does not name keeps what a lower one says",
      .base = { "d 1777 3:4 tmp\nd 750 1:2 a\nd 711 0:9 a/b\n", "f 644 0:0 a/b/c/x 1\nf 644 0:0 tmp/y 2\n" },
      .script = "test \"$(stat -c %a tmp a a/b a/b/c | tr '\\n' ' ')\" = '1777 750 711 755 ' && echo 1 > a/b/n",
      .want = "d 750 1:2 a\nd 711 0:9 a/b\nf 644 0:0 a/b/n 1\n" },
    { .name = "and a removed one stays away",
      .base = { "d 1777 3:4 tmp\nd 700 1:1 tmp/k\n", "f 0 0:0 .wh.tmp\n", "f 644 0:0 tmp/y 2\n" },
      .script = "test \"$(stat -c %a tmp)\" = 755 && test \"$(ls tmp)\" = y",
      .want = "" },
};

/* ---- hostile and odd archives: what a layer or archive leaves on disk ---- */

static const struct {
    const char *name, *layer;
    const char *want;  /* the tree; NULL: must fail ... */
    const char *error; /* ... with this in the printed error */
} unpack_cases[] = {
    { "dot dot", "f 644 0:0 ../../x 1\n", NULL, "leads outside" },
    { "dot dot inside", "f 644 0:0 a/../../b 1\n", NULL, "leads outside" },
    { "absolute", "f 644 0:0 /etc/x 1\n", "d 755 0:0 etc\nf 644 0:0 etc/x 1\n", NULL },
    { "root entry", "d 700 5:5 .\nd 711 5:5 ./\nf 644 0:0 ./a 1\n", "f 644 0:0 a 1\n", NULL },
    { "through a symlink to outside", "l 777 0:0 out ../../../..\nf 644 0:0 out/made 1\n",
      "f 644 0:0 made 1\nl 777 0:0 out ../../../..\n", NULL },
    { "through an absolute symlink", "d 755 0:0 tgt\nl 777 0:0 out /tgt\nf 644 0:0 out/made 1\n",
      "l 777 0:0 out /tgt\nd 755 0:0 tgt\nf 644 0:0 tgt/made 1\n", NULL },
    { "through a symlink to nothing", "l 777 0:0 var/run /run\nf 644 0:0 var/run/x 1\n",
      "d 755 0:0 run\nf 644 0:0 run/x 1\nd 755 0:0 var\nl 777 0:0 var/run /run\n", NULL },
    { "symlinks in a circle", "l 777 0:0 a b\nl 777 0:0 b a\nf 644 0:0 a/x 1\n", NULL, "too many symlinks" },
    { "over a symlink, not through it", "f 644 0:0 t 1\nl 777 0:0 a t\nf 644 0:0 a 2\n",
      "f 644 0:0 a 2\nf 644 0:0 t 1\n", NULL },
    { "below a file", "f 644 0:0 a 1\nf 644 0:0 a/b 2\n", NULL, "not a directory" },
    { "hard link to outside", "h 644 0:0 a ../../../../etc/passwd\n", NULL, "not in the archive" },
    { "hard link through a symlink", "l 777 0:0 out /etc\nh 644 0:0 a out/hostname\n", NULL, "not in the archive" },
    { "hard link to a directory", "d 755 0:0 d\nh 644 0:0 a d\n", NULL, "not a file" },
    { "hard link to itself", "f 644 0:0 a 1\nh 644 0:0 a a\n", "f 644 0:0 a 1\n", NULL },
    { "hard link to the root", "h 644 0:0 a /\n", NULL, "the root" },
    { "hard link over something", "f 644 0:0 a 1\nd 755 0:0 b\nf 644 0:0 b/c 2\nh 644 0:0 b a\n",
      "f 644 0:0 a 1\nh 644 0:0 b a\n", NULL },
    { "hard link to a symlink", "l 777 3:4 a x\nh 777 3:4 b a\n", "l 777 3:4 a x\nh 777 3:4 b a\n", NULL },
    { "twice", "f 644 0:0 a 1\nf 600 1:1 a 22\n", "f 600 1:1 a 22\n", NULL },
    { "a link is cut, not written through", "f 644 0:0 a 1\nh 644 0:0 b a\nf 644 0:0 b 2\n",
      "f 644 0:0 a 1\nf 644 0:0 b 2\n", NULL },
    { "directory twice", "d 700 1:1 a\nf 644 0:0 a/b 1\nd 755 2:2 a\n", "d 755 2:2 a\nf 644 0:0 a/b 1\n", NULL },
    { "file over directory", "d 755 0:0 a\nf 644 0:0 a/b 1\nf 644 0:0 a 2\n", "f 644 0:0 a 2\n", NULL },
    { "directory over file", "f 644 0:0 a 1\nd 755 0:0 a\nf 644 0:0 a/b 2\n", "d 755 0:0 a\nf 644 0:0 a/b 2\n", NULL },
    { "directory over symlink", "d 755 0:0 t\nl 777 0:0 a t\nf 644 0:0 a/x 1\nd 700 0:0 a\nf 644 0:0 a/y 2\n",
      "d 700 0:0 a\nf 644 0:0 a/y 2\nd 755 0:0 t\nf 644 0:0 t/x 1\n", NULL },
    { "missing parents", "f 644 9:9 a/b/c 1\n", "d 755 0:0 a\nd 755 0:0 a/b\nf 644 9:9 a/b/c 1\n", NULL },
    { "modes",
      "f 4755 3:3 a 1\nd 2775 0:7 b\nf 644 0:0 b/c 1\nd 755 0:0 b/d\nf 0 0:0 e \nd 0 1:1 g\nf 2711 0:9 g/h 2\n",
      "f 4755 3:3 a 1\nd 2775 0:7 b\nf 644 0:0 b/c 1\nd 755 0:0 b/d\nf 0 0:0 e \nd 0 1:1 g\nf 2711 0:9 g/h 2\n", NULL },
    { "attributes",
      "f 755 4:4 a 1\nx user.k v\nx trusted.no 1\nx security.selinux 1\nx com.apple.x 1\nx user.overlay.opaque y\n"
      "x user.copyup.owner 77:77\nd 755 0:0 d\nx user.overlay.opaque y\nx user.j w\n",
      "f 755 4:4 a 1\nx user.k v\nd 755 0:0 d\nx user.j w\n", NULL },
    { "devices and fifos", "c 666 0:5 a 1:3\nb 600 0:0 b 8:1\np 640 1:2 p\nc 0 0:0 z 0:0\n",
      "c 666 0:5 a 1:3\nb 600 0:0 b 8:1\np 640 1:2 p\nc 0 0:0 z 0:0\n", NULL },
    { "whiteout of a bad name", "f 0 0:0 a/.wh...\n", NULL, "not a name" },
    { "whiteout of nothing", "f 0 0:0 .wh.\n", NULL, "not a name" },
    { "whiteout that climbs", "f 0 0:0 .wh..wh..opq/../../x/.wh...\n", NULL, "leads outside" },
    { "files of aufs", "d 700 0:0 .wh..wh.plnk\nf 600 0:0 .wh..wh.plnk/1 1\nf 600 0:0 .wh..wh.aufs \n", "", NULL },
    { "whiteout, then the thing itself", "f 0 0:0 .wh.a\nd 755 0:0 a\nf 0 0:0 .wh.b\nf 644 0:0 b/c 1\n",
      "d 755 0:0 a\nd 755 0:0 b\nf 644 0:0 b/c 1\n", NULL },
};

/* ---- running below a user namespace ---- */

static const char *now; /* the case that runs, for messages */

static _Noreturn void die(const char *fmt, ...) PRINTF(1, 2);
static _Noreturn void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "case '%s': ", now ? now : "set-up");
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    fflush(stderr);
    _exit(1);
}

static void must(struct err *e)
{
    if (e) {
        err_print(stderr, e);
        die("failed");
    }
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        die("cannot write '%s': %s", path, strerror(errno));
    close(fd);
}

#define REFUSED 77

static void unshare_or_leave(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
        fprintf(stderr, "unshare: %s\n", strerror(errno));
        _exit(REFUSED);
    }
}

/* As an ordinary user with one id. */
static void enter_single(void)
{
    char map[64];

    if (geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0))
        die("cannot become an ordinary user: %s", strerror(errno));
    unsigned uid = geteuid(), gid = getegid();
    (void)prctl(PR_SET_DUMPABLE, 1);
    unshare_or_leave();
    write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %u 1", uid);
    write_text("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "0 %u 1", gid);
    write_text("/proc/self/gid_map", map);
}

/* With a range of ids: a process outside has to write the map. */
static void enter_full(void)
{
    int ready[2], done[2], status;
    char c, path[64];
    pid_t self = getpid();

    if (geteuid() != 0)
        _exit(REFUSED);
    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
        die("pipe: %s", strerror(errno));
    pid_t helper = fork();
    if (helper == 0) {
        if (read(ready[0], &c, 1) != 1)
            _exit(1);
        snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)self);
        write_text(path, "0 0 65536");
        snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)self);
        write_text(path, "0 0 65536");
        _exit(0);
    }
    unshare_or_leave();
    if (write(ready[1], "x", 1) != 1 || waitpid(helper, &status, 0) != helper || status != 0)
        _exit(REFUSED);
}

struct place {
    const char *tmp;
    enum owner_mode owners;
    const char *backend;
    char *state;
};

/* Runs fn in a process below a user namespace, with a state directory of its own. */
static void run_below(struct place *p, void (*fn)(const struct place *))
{
    int status;

    p->state = xasprintf("%s/copyup-test-snapshot-XXXXXX", p->tmp);
    if (!mkdtemp(p->state) || (geteuid() == 0 && p->owners == OWNER_RECORDED && chown(p->state, 1000, 1000) < 0))
        fail_msg("cannot make '%s'", p->state);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        umask(022);
        for (int sig = 1; sig < 32; sig++) /* cmocka's handlers are for its own process */
            (void)signal(sig, SIG_DFL);
        p->owners == OWNER_RECORDED ? enter_single() : enter_full();
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            die("mount: %s", strerror(errno));
        fn(p);
        fflush(NULL);
        exit(0); /* for the leak checker */
    }
    if (waitpid(pid, &status, 0) != pid)
        fail_msg("waitpid");
    err_free(file_remove_tree(AT_FDCWD, p->state));
    free(p->state);
    if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED) {
        print_message("user namespaces (or this id map) are refused here\n");
        skip();
    }
    if (status != 0)
        fail_msg("%s, %s, %s: failed", p->owners == OWNER_REAL ? "full" : "single", p->backend, p->tmp);
}

/* ---- layers from text and back ---- */

static struct err *to_buf(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

struct bytes {
    const struct buf *b;
    size_t at;
};

static struct err *from_bytes(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct bytes *b = ctx;

    if (n > b->b->len - b->at)
        n = b->b->len - b->at;
    if (n)
        memcpy(p, b->b->data + b->at, n);
    b->at += n;
    *ret_len = n;
    return NULL;
}

static mode_t type_of(char c)
{
    static const struct {
        char c;
        mode_t mode;
    } types[] = { { 'd', S_IFDIR }, { 'f', S_IFREG }, { 'l', S_IFLNK }, { 'h', S_IFREG },
                  { 'p', S_IFIFO }, { 'c', S_IFCHR }, { 'b', S_IFBLK } };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].c == c)
            return types[i].mode;
    die("no such type '%c'", c);
}

static void write_one(struct tar_writer *w, struct tar_entry *e, const char *content)
{
    if (!e->path)
        return;
    must(tar_write_entry(w, e));
    if (e->size_bytes)
        must(tar_write_data(w, content, e->size_bytes));
    tar_entry_release(e);
    memset(e, 0, sizeof(*e));
}

static void add_xattr(struct tar_entry *e, const char *line)
{
    char name[64], value[64];

    if (sscanf(line, "x %63s %63s", name, value) != 2)
        die("bad line '%s'", line);
    e->xattrs = xreallocarray(e->xattrs, e->n_xattrs + 1, sizeof(*e->xattrs));
    e->xattrs[e->n_xattrs++] = (struct tar_xattr){ xstrdup(name), xstrdup(value), strlen(value) };
}

static void parse_line(const char *line, struct tar_entry *e, char content[256])
{
    char type, path[256];
    unsigned mode, uid, gid;

    content[0] = '\0';
    if (sscanf(line, "%c %o %u:%u %255s %255s", &type, &mode, &uid, &gid, path, content) < 5)
        die("bad line '%s'", line);
    *e = (struct tar_entry){ .path = xstrdup(path), .mode = type_of(type) | mode, .uid = uid, .gid = gid };
    e->mtime.tv_sec = LAYER_TIME;
    e->hardlink = type == 'h';
    if (type == 'l' || type == 'h')
        e->link = xstrdup(content);
    else if (type == 'f')
        e->size_bytes = strlen(content);
    else if (type == 'c' || type == 'b')
        sscanf(content, "%u:%u", &e->major, &e->minor);
}

static void make_tar(const char *text, struct buf *out)
{
    struct tar_writer *w = tar_writer_new((struct sink){ to_buf, out });
    struct tar_entry e = { 0 };
    char content[256] = "";

    while (*text) {
        AUTO_FREE char *line = xstrndup(text, strcspn(text, "\n"));

        text += strlen(line) + 1;
        if (*line == 'x') {
            add_xattr(&e, line);
            continue;
        }
        write_one(w, &e, content);
        parse_line(line, &e, content);
    }
    write_one(w, &e, content);
    must(tar_writer_end(w));
    tar_writer_free(w);
}

static void print_content(struct tar_reader *r, struct buf *out)
{
    for (;;) {
        const void *p;
        size_t n;
        uint64_t at;

        must(tar_read_data(r, &p, &n, &at));
        if (n == 0)
            break;
        buf_add(out, p, n);
    }
    while (out->len && out->data[out->len - 1] == '\n')
        out->len--;
}

static char type_letter(const struct tar_entry *e)
{
    if (e->hardlink)
        return 'h';
    return "?pc?d?b?f?l?s?w"[(e->mode & S_IFMT) >> 12];
}

static void print_entry(struct tar_reader *r, const struct tar_entry *e, struct buf *out)
{
    buf_printf(out, "%c %o %u:%u %s", type_letter(e), (unsigned)e->mode & 07777, e->uid, e->gid, e->path);
    if (e->link)
        buf_printf(out, " %s", e->link);
    if (S_ISCHR(e->mode) || S_ISBLK(e->mode))
        buf_printf(out, " %u:%u", e->major, e->minor);
    bool plain = S_ISREG(e->mode) && !e->hardlink;
    const char *base = strrchr(e->path, '/');
    if (plain && strncmp(base ? base + 1 : e->path, ".wh.", 4) != 0) {
        buf_putc(out, ' ');
        print_content(r, out);
    }
    buf_putc(out, '\n');
    for (size_t i = 0; i < e->n_xattrs; i++)
        buf_printf(out, "x %s %.*s\n", e->xattrs[i].name, (int)e->xattrs[i].len, (const char *)e->xattrs[i].value);
}

static void print_tar(const struct buf *tar, struct buf *out)
{
    struct bytes b = { tar, 0 };
    struct tar_reader *r = NULL;
    bool found = true;

    must(tar_reader_new((struct source){ from_bytes, &b }, &r));
    while (found) {
        struct tar_entry e = { 0 };

        must(tar_read_entry(r, &e, &found));
        if (found)
            print_entry(r, &e, out);
        tar_entry_release(&e);
    }
    tar_reader_free(r);
}

/* ---- steps ---- */

static struct snapshotter *open_snapshotter(const struct place *p)
{
    AUTO_FREE char *build = xasprintf("%s/build.%d", p->state, (int)getpid());
    struct snapshotter *s = NULL;
    const struct snapshotter_opts o = {
        .state_dir = p->state,
        .build_dir = build,
        .layer_space = p->owners == OWNER_REAL ? "full" : "single",
        .backend = p->backend,
        .owners = p->owners,
    };

    must(snapshotter_open(&o, &s));
    return s;
}

static struct digest unpack(struct snapshotter *s, const struct buf *tar)
{
    struct digest d = digest_bytes(tar->data, tar->len);
    struct bytes b = { tar, 0 };

    if (!snapshotter_has_layer(s, &d))
        must(snapshotter_unpack(s, &d, (struct source){ from_bytes, &b }));
    if (!snapshotter_has_layer(s, &d))
        die("the layer is not there after it was unpacked");
    return d;
}

static struct digest unpack_text(struct snapshotter *s, const char *text)
{
    AUTO(buf_release) struct buf tar = BUF_INIT;

    make_tar(text, &tar);
    return unpack(s, &tar);
}

static void shell(const char *root, const char *script)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (chdir(root) < 0)
            _exit(2);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("script ended with %#x: %s", (unsigned)status, script);
}

static void own(const struct place *p, struct rootfs *r, int root_fd, const char *text)
{
    while (text && *text) {
        char path[256];
        struct owner o = { 0 };
        struct stat st;
        bool stored;

        if (sscanf(text, "%255s %u:%u", path, &o.uid, &o.gid) != 3)
            die("bad owners '%s'", text);
        AUTO_CLOSE int fd = openat(root_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        /* what the supervisor of a RUN does: a chown that copies up */
        if (fd < 0 || fstat(fd, &st) < 0 || fchownat(fd, "", 0, 0, AT_EMPTY_PATH) < 0)
            die("cannot open '%s'", path);
        must(owner_set(p->owners, fd, &st, &o, &stored));
        if (!stored)
            rootfs_note_owner(r, path, &o);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

static void split(const char *text, struct strs *out)
{
    while (text && *text) {
        size_t n = strcspn(text, " ");

        strs_take(out, xstrndup(text, n));
        text += n + (text[n] == ' ');
    }
}

static void commit_to(struct rootfs *r, const struct layer_case *c, struct buf *out)
{
    AUTO(strs_release) struct strs ignore = { 0 };
    struct commit_stats stats;

    split(c->ignore, &ignore);
    const struct commit_opts o = { .mode = c->mode, .clamp_mtime_s = INT64_MAX, .ignore = &ignore };
    must(rootfs_commit(r, &o, (struct sink){ to_buf, out }, &stats));
}

/* The same, written only after the next step has changed all that it sees. */
static void freeze_to(struct rootfs *r, const struct layer_case *c, struct buf *out)
{
    AUTO(strs_release) struct strs ignore = { 0 };
    AUTO(frozen_free) struct frozen *f = NULL;
    struct commit_stats stats;
    const char *root;
    int root_fd;

    split(c->ignore, &ignore);
    const struct commit_opts o = { .mode = c->mode, .clamp_mtime_s = INT64_MAX, .ignore = &ignore };
    must(rootfs_freeze(r, &f));
    if (!f) { /* this back end cannot, and the step goes on */
        must(rootfs_commit(r, &o, (struct sink){ to_buf, out }, &stats));
        return;
    }
    must(rootfs_begin(r, &root_fd, &root));
    shell(root, "find . -type f -exec sh -c 'for f; do echo more >> \"$f\"; chmod 0600 \"$f\"; done' - {} + || true; "
                "find . -mindepth 1 -delete; echo > other");
    rootfs_abort(r);
    must(frozen_write(f, &o, (struct sink){ to_buf, out }, &stats));
}

/* ---- trees as text ---- */

static void print_file(const struct place *p, const struct rootfs *r, int dir, const char *name, const char *path,
                       struct buf *out)
{
    AUTO_CLOSE int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    struct owner o;
    bool known;
    char text[4096];

    if (fd < 0 || fstat(fd, &st) < 0)
        die("cannot look at '%s'", path);
    must(owner_get(p->owners, fd, &st, &o, &known));
    if (!known)
        (void)rootfs_find_owner(r, path, &o);
    struct tar_entry e = { .mode = o.device ? (st.st_mode & 07777) | o.device : st.st_mode };
    buf_printf(out, "%c %o %u:%u %s", type_letter(&e), (unsigned)st.st_mode & 07777, o.uid, o.gid, path);
    ssize_t n = -1;
    if (S_ISLNK(e.mode))
        n = readlinkat(dir, name, text, sizeof(text));
    AUTO_CLOSE int data = S_ISREG(e.mode) ? openat(dir, name, O_RDONLY | O_CLOEXEC) : -1;
    if (data >= 0)
        n = read(data, text, sizeof(text));
    if (n >= 0)
        buf_printf(out, " %.*s", (int)n - (n > 0 && text[n - 1] == '\n'), text);
    if (o.device)
        buf_printf(out, " %u:%u", major(o.rdev), minor(o.rdev));
    buf_putc(out, '\n');
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_tree(const struct place *p, const struct rootfs *r, int dir, const char *path, struct buf *out)
{
    AUTO(strs_release) struct strs names = { 0 };
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);

    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            strs_add(&names, e->d_name);
    closedir(d);
    if (names.n)
        qsort(names.items, names.n, sizeof(char *), by_name);
    for (size_t i = 0; i < names.n; i++) {
        AUTO_FREE char *sub = *path ? xasprintf("%s/%s", path, names.items[i]) : xstrdup(names.items[i]);

        print_file(p, r, dir, names.items[i], sub, out);
        AUTO_CLOSE int next = openat(dir, names.items[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next >= 0)
            print_tree(p, r, next, sub, out);
    }
}

static void print_rootfs(const struct place *p, struct rootfs *r, struct buf *out)
{
    int fd = -1;

    must(rootfs_view(r, &fd));
    print_tree(p, r, fd, "", out);
}

static void same(const char *what, const char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        die("%s is\n%s--- but should be\n%s---", what, got, want);
}

/* The layer on top of its base gives what the step left. */
static void check_again(const struct place *p, struct snapshotter *s, struct rootfs *live, struct digest *ids, size_t n,
                        const struct buf *tar)
{
    AUTO(rootfs_free) struct rootfs *again = NULL;
    AUTO(buf_release) struct buf a = BUF_INIT;
    AUTO(buf_release) struct buf b = BUF_INIT;

    ids[n] = unpack(s, tar);
    must(rootfs_new(s, ids, n + 1, &again));
    print_rootfs(p, live, &a);
    print_rootfs(p, again, &b);
    same("the root file system from the layers", buf_str(&b), buf_str(&a));
}

static const char *wanted(const struct place *p, const struct layer_case *c)
{
    if (c->copy && strcmp(p->backend, "copy") == 0)
        return c->copy;
    return c->want;
}

static void run_case(const struct place *p, struct snapshotter *s, const struct layer_case *c, bool freeze)
{
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf tar = BUF_INIT;
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct digest ids[MAX_LAYERS + 1];
    size_t n = 0;
    int root_fd;
    const char *root;

    now = c->name;
    for (; n < MAX_LAYERS && c->base[n]; n++)
        ids[n] = unpack_text(s, c->base[n]);
    must(rootfs_new(s, ids, n, &r));
    must(rootfs_begin(r, &root_fd, &root));
    shell(root, c->script);
    own(p, r, root_fd, c->own);
    if (freeze)
        freeze_to(r, c, &tar);
    else
        commit_to(r, c, &tar);
    print_tar(&tar, &text);
    same("the layer", buf_str(&text), wanted(p, c));
    if (c->mode != SNAPSHOT_TIME && !c->ignore && !strstr(c->script, "socket"))
        check_again(p, s, r, ids, n, &tar);
}

static void layer_cases(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(p, s, &cases[i], false);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(p, s, &cases[i], true);
}

/* ---- unpacking ---- */

static void must_fail(struct err *e, const char *text)
{
    AUTO_FREE char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    if (!e)
        die("did not fail");
    err_print(f, e);
    fclose(f);
    err_free(e);
    if (!strstr(out, text))
        die("printed: %s", out);
}

/* The tree as a step that makes a new name for everything would tell it: copied to a layer through a commit. */
static void unpack_row(const struct place *p, struct snapshotter *s, size_t i)
{
    AUTO(buf_release) struct buf tar = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf text = BUF_INIT;

    now = unpack_cases[i].name;
    make_tar(unpack_cases[i].layer, &tar);
    struct digest d = digest_bytes(tar.data, tar.len);
    struct bytes b = { &tar, 0 };
    struct err *e = snapshotter_unpack(s, &d, (struct source){ from_bytes, &b });
    if (!unpack_cases[i].want) {
        must_fail(e, unpack_cases[i].error);
        if (snapshotter_has_layer(s, &d))
            die("a layer that failed is there");
        return;
    }
    must(e);
    must(rootfs_new(s, &d, 1, &r));
    print_rootfs(p, r, &text);
    /* a tree does not tell links and attributes */
    AUTO(buf_release) struct buf want = BUF_INIT;
    for (const char *t = unpack_cases[i].want; *t; t += strcspn(t, "\n") + 1)
        if (*t != 'x' && *t != 'h')
            buf_add(&want, t, strcspn(t, "\n") + 1);
    AUTO(buf_release) struct buf got = BUF_INIT;
    for (const char *t = buf_str(&text); *t; t += strcspn(t, "\n") + 1) {
        AUTO_FREE char *line = xstrndup(t, strcspn(t, "\n"));
        char path[256], *h;

        sscanf(line, "%*c %*s %*s %255s", path);
        h = xasprintf("h %.*s %s ", (int)(strcspn(line + 2, " ") + 1 + strcspn(strchr(line + 2, ' ') + 1, " ")),
                      line + 2, path);
        if (!strstr(unpack_cases[i].want, h))
            buf_add(&got, t, strcspn(t, "\n") + 1);
        free(h);
    }
    same("the tree", buf_str(&got), buf_str(&want));
}

static void unpack_rows(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);

    for (size_t i = 0; i < sizeof(unpack_cases) / sizeof(unpack_cases[0]); i++)
        unpack_row(p, s, i);
}

/* ---- one by one ---- */

static void wrong_digest(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(buf_release) struct buf tar = BUF_INIT;
    struct digest d = digest_bytes("x", 1);

    now = "wrong digest";
    make_tar("f 644 0:0 a 1\n", &tar);
    struct bytes b = { &tar, 0 };
    struct err *e = snapshotter_unpack(s, &d, (struct source){ from_bytes, &b });
    if (!e || err_kind(e) != ERR_REGISTRY)
        die("a wrong digest is not ERR_REGISTRY");
    must_fail(e, d.text);
    if (snapshotter_has_layer(s, &d))
        die("a wrong layer is there");
}

static void many_layers(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *fork_of = NULL;
    AUTO(buf_release) struct buf tar = BUF_INIT;
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(buf_release) struct buf a = BUF_INIT;
    AUTO(buf_release) struct buf b = BUF_INIT;
    struct digest *ids = xcalloc(500, sizeof(*ids));
    int fd;
    const char *root;

    now = "500 layers";
    for (unsigned i = 0; i < 500; i++) {
        AUTO_FREE char *layer = xasprintf(
            "d 755 0:0 d\nf 644 0:0 d/same %u\nf 644 0:0 d/own%u %u\nf 0 0:0 d/.wh.own%u\nl 777 %u:1 d/s %u\n", i, i, i,
            i > 3 ? i - 3 : 9999, i, i);

        ids[i] = unpack_text(s, layer);
    }
    must(rootfs_new(s, ids, 500, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test $(cat d/same) = 499 && test $(ls d | wc -l) = 6 && echo 1 > d/own499 && rm d/own498");
    commit_to(r, &cases[0], &tar);
    print_tar(&tar, &text);
    same("the layer", buf_str(&text), "d 755 0:0 d\nf 0 0:0 d/.wh.own498\nf 644 0:0 d/own499 1\n");
    must(rootfs_fork(r, &fork_of));
    print_rootfs(p, r, &a);
    print_rootfs(p, fork_of, &b);
    same("the fork", buf_str(&b), buf_str(&a));
    if (!strstr(a.data, "l 777 499:1 d/s 499"))
        die("owner of a symlink lost: %s", a.data);
    free(ids);
}

static void many_steps(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest base;
    int fd;
    const char *root;

    now = "70 steps";
    base = unpack_text(s, BASE);
    must(rootfs_new(s, &base, 1, &r));
    for (int i = 0; i < 70; i++) {
        AUTO(buf_release) struct buf tar = BUF_INIT;
        AUTO_FREE char *script =
            xasprintf("echo %d > d/n%d; rm -f d/n%d; rm -rf e; mkdir e; echo > e/%d", i, i, i - 1, i);

        must(rootfs_begin(r, &fd, &root));
        shell(root, script);
        commit_to(r, &cases[0], &tar);
    }
    AUTO(buf_release) struct buf out = BUF_INIT;
    print_rootfs(p, r, &out);
    same("the root file system", buf_str(&out),
         "d 755 0:0 d\nf 644 0:0 d/n69 69\nd 755 0:0 d/sub\nf 600 0:0 d/sub/z three\nf 644 0:0 d/x one\nf 644 5:6 d/y "
         "two\n"
         "d 755 0:0 e\nf 644 0:0 e/69 \nf 644 0:0 f four\nf 644 0:0 h1 link\nf 644 0:0 h2 link\nl 777 7:8 s d/x\n");
}

static void steps_and_forks(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *f = NULL;
    AUTO(buf_release) struct buf one = BUF_INIT;
    AUTO(buf_release) struct buf two = BUF_INIT;
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct digest base;
    int fd;
    const char *root;

    now = "steps and forks";
    base = unpack_text(s, "f 644 0:0 a 1\n");
    must(rootfs_new(s, &base, 1, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "echo b > b; chmod 751 .");
    rootfs_abort(r);
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test ! -e b && echo c > c && chmod 751 .");
    commit_to(r, &cases[0], &one);
    must(rootfs_fork(r, &f));
    must(rootfs_begin(r, &fd, &root));
    /* the root directory's own mode lives on */
    shell(root, "test $(stat -c %a .) = 751 && rm c && echo d > d");
    commit_to(r, &cases[0], &two);
    print_tar(&two, &text);
    same("the second layer", buf_str(&text), "f 0 0:0 .wh.c\nf 644 0:0 d d\n");
    buf_clear(&text);
    print_rootfs(p, f, &text);
    same("the fork", buf_str(&text), "f 644 0:0 a 1\nf 644 0:0 c c\n");
    buf_clear(&text);
    must(rootfs_begin(f, &fd, &root));
    shell(root, "echo 2 > a");
    commit_to(f, &cases[0], &two);
    print_rootfs(p, r, &text);
    same("the origin", buf_str(&text), "f 644 0:0 a 1\nf 644 0:0 d d\n");
}

/* Layers that come from elsewhere between steps and before them, over what steps made and under it. */
static void pushed_layers(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *f = NULL;
    AUTO(buf_release) struct buf one = BUF_INIT, two = BUF_INIT, text = BUF_INIT;
    struct digest base, first, second;
    int fd;
    const char *root;

    now = "pushed layers";
    base = unpack_text(s, BASE);
    first = unpack_text(s, "f 644 0:0 d/x pushed\nf 0 0:0 d/.wh.y\nl 777 3:4 t f\n");
    second = unpack_text(s, "f 0 0:0 .wh.f\nf 644 0:0 d/made over\nf 644 0:0 d/sub/p new\n");
    must(rootfs_new(s, &base, 1, &r));
    must(rootfs_view(r, &fd));
    must(rootfs_push(r, &first));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test $(cat d/x) = pushed && test ! -e d/y && echo s > d/made && chmod 700 d");
    commit_to(r, &cases[0], &one);
    must(rootfs_push(r, &second));
    must(rootfs_fork(r, &f));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test $(cat d/made) = over && test ! -e f && rm d/made && echo l > last");
    commit_to(r, &cases[0], &two);
    print_tar(&two, &text);
    same("the step over a pushed layer", buf_str(&text), "d 700 0:0 d\nf 0 0:0 d/.wh.made\nf 644 0:0 last l\n");
    buf_clear(&text);
    print_rootfs(p, r, &text);
    same("the root file system", buf_str(&text),
         "d 700 0:0 d\nd 755 0:0 d/sub\nf 644 0:0 d/sub/p new\nf 600 0:0 d/sub/z three\nf 644 0:0 d/x pushed\n"
         "f 644 0:0 h1 link\nf 644 0:0 h2 link\nf 644 0:0 last l\nl 777 7:8 s d/x\nl 777 3:4 t f\n");
    buf_clear(&text);
    print_rootfs(p, f, &text);
    if (!strstr(buf_str(&text), "f 644 0:0 d/made over\n") || strstr(buf_str(&text), "last"))
        die("the fork has '%s'", buf_str(&text));
}

static struct err *full_disk(void *ctx, const void *q, size_t n)
{
    (void)ctx;
    (void)q;
    (void)n;
    return err_new(ERR_DISK, "no space");
}

static void failed_commit(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf text = BUF_INIT;
    const struct commit_opts o = { .clamp_mtime_s = INT64_MAX };
    struct commit_stats stats;
    int fd;
    const char *root;

    now = "failed commit";
    must(rootfs_new(s, NULL, 0, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "head -c 100000 /dev/zero > a");
    must_fail(rootfs_commit(r, &o, (struct sink){ full_disk, NULL }, &stats), "no space");
    print_rootfs(p, r, &text);
    same("what is left", buf_str(&text), "");
    must(rootfs_begin(r, &fd, &root));
    rootfs_abort(r);
}

/* Times, clamped; capabilities; a big sparse file. */
static void details(const struct place *p)
{
    static const unsigned char cap[20] = { 1, 0, 0, 2, 0, 4 }; /* VFS_CAP_REVISION_2, cap_net_bind_service */
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf tar = BUF_INIT;
    const struct commit_opts o = { .clamp_mtime_s = 1500000000 };
    struct commit_stats stats;
    int fd;
    const char *root;

    now = "details";
    must(rootfs_new(s, NULL, 0, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "truncate -s 3000000 a; printf x >> a; touch -d @1234567890.123456789 a; echo > b");
    AUTO_CLOSE int b = openat(fd, "b", O_RDONLY | O_CLOEXEC);
    if (b < 0 || fsetxattr(b, "security.capability", cap, sizeof(cap), 0) < 0)
        die("cannot set a capability: %s", strerror(errno));
    must(rootfs_commit(r, &o, (struct sink){ to_buf, &tar }, &stats));
    if (stats.entries != 2 || stats.file_bytes != 3000002 || stats.whiteouts || stats.dropped)
        die("statistics are wrong");
    struct bytes bytes = { &tar, 0 };
    AUTO(tar_reader_free) struct tar_reader *t = NULL;
    struct tar_entry ea = { 0 }, eb = { 0 };
    bool found;
    must(tar_reader_new((struct source){ from_bytes, &bytes }, &t));
    must(tar_read_entry(t, &ea, &found));
    must(tar_read_entry(t, &eb, &found));
    if (ea.mtime.tv_sec != 1234567890 || ea.mtime.tv_nsec != 123456789)
        die("time to the nanosecond is lost");
    if (eb.mtime.tv_sec != 1500000000 || eb.mtime.tv_nsec != 0)
        die("time is not clamped");
    if (eb.n_xattrs != 1 || eb.xattrs[0].len != sizeof(cap) || memcmp(eb.xattrs[0].value, cap, sizeof(cap)) != 0)
        die("capability is not as it was set");
    tar_entry_release(&ea);
    tar_entry_release(&eb);

    struct digest d = unpack(s, &tar);
    AUTO(rootfs_free) struct rootfs *again = NULL;
    struct stat st;
    unsigned char back[64];
    must(rootfs_new(s, &d, 1, &again));
    must(rootfs_view(again, &fd));
    if (fstatat(fd, "a", &st, 0) < 0 || st.st_size != 3000001 || st.st_mtim.tv_nsec != 123456789)
        die("unpacked file differs");
    AUTO_CLOSE int c = openat(fd, "b", O_RDONLY | O_CLOEXEC);
    if (fgetxattr(c, "security.capability", back, sizeof(back)) != sizeof(cap) || memcmp(back, cap, sizeof(cap)) != 0)
        die("unpacked capability differs");
}

/* A state directory on the container's own root file system, as it is in a pod without a volume. */
static void on_an_overlay(const struct place *p)
{
    static const char *const names[] = { "lower", "upper", "work", "root" };
    AUTO_FREE char *options =
        xasprintf("userxattr,lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", p->state, p->state, p->state);
    AUTO_FREE char *root = xasprintf("%s/root", p->state);
    struct place on = { .owners = p->owners, .backend = "auto", .state = root };
    struct snapshotter *forced = NULL;

    now = "on an overlay";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        AUTO_FREE char *dir = xasprintf("%s/%s", p->state, names[i]);

        must(file_mkdirs(dir, 0755));
    }
    if (mount("overlay", root, "overlay", 0, options) < 0)
        die("cannot mount an overlay: %s", strerror(errno));
    AUTO_FREE char *build = xasprintf("%s/forced", root);
    struct err *e = snapshotter_open(
        &(struct snapshotter_opts){
            .state_dir = root, .build_dir = build, .layer_space = "x", .backend = "overlay", .owners = p->owners },
        &forced);
    if (!e || err_kind(e) != ERR_POD)
        die("an overlay on an overlay is not ERR_POD");
    must_fail(e, "mount an emptyDir volume");
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(&on);
    if (strcmp(snapshotter_describe(s), "copy on overlay (overlayfs cannot be used on overlay: Invalid argument)") != 0)
        die("described as '%s'", snapshotter_describe(s));
    on.backend = "copy"; /* which expectations count */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (strncmp(cases[i].name, "layers hide", 11) == 0 || strncmp(cases[i].name, "a layer's own", 13) == 0)
            run_case(&on, s, &cases[i], false);
}

static void bad_backend(const struct place *p)
{
    struct snapshotter *s = NULL;
    AUTO_FREE char *build = xasprintf("%s/build", p->state);
    struct err *e = snapshotter_open(
        &(struct snapshotter_opts){
            .state_dir = p->state, .build_dir = build, .layer_space = "x", .backend = "zfs", .owners = p->owners },
        &s);

    now = "bad back end";
    if (!e || err_kind(e) != ERR_SETTING)
        die("an unknown back end is not ERR_SETTING");
    must_fail(e, "'zfs' is not a snapshotter");
}

struct racer {
    struct snapshotter *s;
    const struct buf *tar;
    struct digest id;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    struct bytes b = { r->tar, 0 };

    return snapshotter_unpack(r->s, &r->id, (struct source){ from_bytes, &b });
}

/* Several unpack the same layer: one wins, none fails. */
static void races(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(buf_release) struct buf tar = BUF_INIT;
    pthread_t threads[8];

    now = "races";
    make_tar(BASE, &tar);
    struct racer r = { s, &tar, digest_bytes(tar.data, tar.len) };
    for (size_t i = 0; i < 8; i++)
        if (pthread_create(&threads[i], NULL, race, &r) != 0)
            die("no thread");
    for (size_t i = 0; i < 8; i++) {
        void *e;

        pthread_join(threads[i], &e);
        must(e);
    }
    AUTO(rootfs_free) struct rootfs *root = NULL;
    AUTO(buf_release) struct buf text = BUF_INIT;
    must(rootfs_new(s, &r.id, 1, &root));
    print_rootfs(p, root, &text);
    if (!strstr(buf_str(&text), "f 644 5:6 d/y two\n"))
        die("the layer is %s", buf_str(&text));
    AUTO_FREE char *left = xasprintf("%s/build.%d", p->state, (int)getpid());
    DIR *d = opendir(left);
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, "unpack", 6) == 0)
            die("'%s' was left behind", e->d_name);
    closedir(d);
}

static void in_both_maps(const char *tmp, const char *backend, void (*fn)(const struct place *))
{
    struct place single = { .tmp = tmp, .owners = OWNER_RECORDED, .backend = backend };
    struct place full = { .tmp = tmp, .owners = OWNER_REAL, .backend = backend };

    run_below(&single, fn);
    if (geteuid() == 0)
        run_below(&full, fn);
}

/* A file system in memory is where the time goes into what is tested. */
#define IN_MEMORY "/dev/shm"

#define OVERLAY(fn)                                                                                                    \
    static void test_##fn(void **state)                                                                                \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        in_both_maps(IN_MEMORY, "overlay", fn);                                                                        \
    }
#define COPY(fn)                                                                                                       \
    static void test_##fn##_copy(void **state)                                                                         \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        in_both_maps(IN_MEMORY, "copy", fn);                                                                           \
    }
#define OVERLAY_ON_DISK(fn)                                                                                            \
    static void test_##fn##_on_disk(void **state)                                                                      \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        in_both_maps("/tmp", "overlay", fn);                                                                           \
    }
OVERLAY(layer_cases)
OVERLAY(unpack_rows)
OVERLAY(wrong_digest)
OVERLAY(many_layers)
OVERLAY(many_steps)
OVERLAY(steps_and_forks)
OVERLAY(pushed_layers)
OVERLAY(failed_commit)
OVERLAY(details)
OVERLAY(on_an_overlay)
OVERLAY(bad_backend)
OVERLAY(races)
COPY(layer_cases)
COPY(unpack_rows)
COPY(wrong_digest)
COPY(many_layers)
COPY(many_steps)
COPY(steps_and_forks)
COPY(pushed_layers)
COPY(details)
OVERLAY_ON_DISK(layer_cases)
OVERLAY_ON_DISK(details)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_cases),
        cmocka_unit_test(test_unpack_rows),
        cmocka_unit_test(test_wrong_digest),
        cmocka_unit_test(test_many_layers),
        cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_steps_and_forks),
        cmocka_unit_test(test_pushed_layers),
        cmocka_unit_test(test_failed_commit),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_on_an_overlay),
        cmocka_unit_test(test_bad_backend),
        cmocka_unit_test(test_races),
        cmocka_unit_test(test_layer_cases_on_disk),
        cmocka_unit_test(test_layer_cases_copy),
        cmocka_unit_test(test_unpack_rows_copy),
        cmocka_unit_test(test_wrong_digest_copy),
        cmocka_unit_test(test_many_layers_copy),
        cmocka_unit_test(test_many_steps_copy),
        cmocka_unit_test(test_steps_and_forks_copy),
        cmocka_unit_test(test_pushed_layers_copy),
        cmocka_unit_test(test_details_copy),
        cmocka_unit_test(test_details_on_disk),
    };

    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
