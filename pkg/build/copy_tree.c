#include "base/limits.h"
#include "build/copy_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

/* What the patterns said of a directory, for what is below it. */
struct states {
    unsigned char *ignore, *include, *exclude;
    unsigned char *memory; /* of all three */
};

/* A source directory on the way down. */
struct dir {
    struct dir *up;
    const char *name;
    int src_fd, dst_fd; /* dst_fd -1: not made, as nothing below it was taken yet */
    int depth;
    struct stat st;
    bool taken;   /* by the patterns: its copy gets all that it has, even if it was there before */
    bool created; /* its copy is new */
    struct states states;
};

static void states_init(const struct copier *c, struct states *s)
{
    size_t ignore = c->spec->ignore ? ignore_state_size(c->spec->ignore) : 0;
    size_t include = c->include ? ignore_state_size(c->include) : 0;
    size_t exclude = c->spec->exclude ? ignore_state_size(c->spec->exclude) : 0;

    *s = (struct states){ 0 };
    if (!c->spec->ignore && !c->include && !c->spec->exclude)
        return;
    s->memory = xcalloc(1, ignore + include + exclude + 1);
    s->ignore = s->memory;
    s->include = s->memory + ignore;
    s->exclude = s->memory + ignore + include;
}

static void dir_release(struct dir *d)
{
    close_fd(&d->src_fd);
    close_fd(&d->dst_fd);
    free(d->states.memory);
}

/* ---- which entries ---- */

enum verdict { SKIP, TAKE, LOOK_BELOW };

/* c->src is the entry's path; the patterns of the instruction see it from the source's root on. */
struct question {
    const char *path, *rel;
    bool top; /* directly in the source's root */
    bool is_dir;
};

static enum verdict judge(struct copier *c, const struct dir *d, const struct question *q, struct states *own)
{
    const struct copy_spec *s = c->spec;
    const struct states *up = &d->states;
    bool ignored =
        s->ignore && ignore_excludes_in(s->ignore, q->path, strchr(q->path, '/') ? up->ignore : NULL, own->ignore);
    bool wanted = !c->include || ignore_excludes_in(c->include, q->rel, q->top ? NULL : up->include, own->include);
    bool excluded = s->exclude && ignore_excludes_in(s->exclude, q->rel, q->top ? NULL : up->exclude, own->exclude);

    if (!ignored && wanted && !excluded)
        return TAKE;
    if (!q->is_dir || (ignored && ignore_can_skip_below(s->ignore, q->path)) ||
        (excluded && ignore_can_skip_below(s->exclude, q->rel)) || (!wanted && ignore_none_below(c->include, q->rel)))
        return SKIP;
    return LOOK_BELOW;
}

/* An ignored directory with something included below is there, and is judged by the instruction's patterns alone. */
static bool taken_if_there(const struct copier *c, const struct question *q, const struct dir *d)
{
    const struct states *up = &d->states;

    return (!c->include || ignore_excludes_in(c->include, q->rel, q->top ? NULL : up->include, NULL)) &&
           (!c->spec->exclude || !ignore_excludes_in(c->spec->exclude, q->rel, q->top ? NULL : up->exclude, NULL));
}

/* ---- making directories ---- */

static struct err *not_a_directory(const struct copier *c)
{
    return err_new(ERR_DOCKERFILE, "cannot copy the directory '%s' to '/%s', which is not a directory", c->src.data,
                   c->dst.data);
}

static struct err *open_existing(const struct copier *c, struct dir *d)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

    d->dst_fd = openat(d->up->dst_fd, d->name, flags);
    if (d->dst_fd >= 0)
        return NULL;
    if (errno != ENOTDIR && errno != ELOOP)
        return err_sys(errno, "cannot open '/%s'", c->dst.data);
    if (!c->link)
        return not_a_directory(c);
    TRY(copy_clear(c, d->up->dst_fd, d->name));
    if (mkdirat(d->up->dst_fd, d->name, 0700) < 0)
        return err_sys(errno, "cannot make directory '/%s'", c->dst.data);
    d->created = true;
    d->dst_fd = openat(d->up->dst_fd, d->name, flags);
    return d->dst_fd < 0 ? err_sys(errno, "cannot open '/%s'", c->dst.data) : NULL;
}

/* Makes the copy of d, and of what is above it, if it is not there yet. */
static struct err *make_dir(const struct copier *c, struct dir *d)
{
    if (d->dst_fd >= 0 || !d->up)
        return NULL;
    TRY(make_dir(c, d->up));
    if (c->spec->sum) {
        d->created = true;
        return NULL;
    }
    if (mkdirat(d->up->dst_fd, d->name, 0700) == 0)
        d->created = true;
    else if (errno != EEXIST)
        return copy_blame(err_sys(errno, "cannot make directory '/%s'", c->dst.data));
    return open_existing(c, d);
}

/* After its content, so that neither times nor a mode without write permission are in the way. */
static struct err *finish_dir(struct copier *c, struct dir *d)
{
    mode_t mode;

    if (c->spec->sum && d->created)
        return copy_sum_dir(c, d->src_fd, &d->st);
    if (d->dst_fd < 0)
        return NULL;
    if (!d->up)
        return copy_times(c, &d->st, d->dst_fd);
    if (d->taken || d->created)
        return copy_dir_info(c, d->src_fd, &d->st, d->dst_fd);
    mode = d->st.st_mode & 07777;
    return fchmod(d->dst_fd, mode) < 0 ? err_sys(errno, "cannot change the mode of '/%s'", c->dst.data) : NULL;
}

/* ---- walking ---- */

struct linux_dirent {
    uint64_t ino;
    int64_t off;
    unsigned short len;
    unsigned char type;
    char name[];
};

/* All names of the directory as "TYPE NAME NUL" each: read before any is copied, as copying may add to it. */
static struct err *list(const struct copier *c, int fd, struct buf *out)
{
    for (;;) {
        long n = syscall(SYS_getdents64, fd, c->io, COPY_IO_BYTES);

        if (n < 0)
            return err_sys(errno, "cannot read directory '%s'", c->src.data);
        if (n == 0)
            return NULL;
        for (long at = 0; at < n;) {
            const struct linux_dirent *e = (const void *)(c->io + at);

            if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0) {
                buf_putc(out, (char)e->type);
                buf_add(out, e->name, strlen(e->name) + 1);
            }
            at += e->len;
        }
    }
}

static struct err *walk(struct copier *c, struct dir *d);

static struct err *walk_child(struct copier *c, struct dir *up, const char *name, const struct question *q,
                              enum verdict verdict, struct states *states)
{
    __attribute__((cleanup(dir_release))) struct dir d = { .up = up, .name = name, .src_fd = -1, .dst_fd = -1 };

    d.states = *states;
    *states = (struct states){ 0 };
    d.depth = up->depth + 1;
    d.taken = verdict == TAKE || taken_if_there(c, q, up);
    if (d.depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_DOCKERFILE, "'%s' is more than %d directories deep", c->src.data, LIMIT_WALK_DEPTH);
    d.src_fd = openat(up->src_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (d.src_fd < 0 || fstat(d.src_fd, &d.st) < 0)
        return err_sys(errno, "cannot open directory '%s'", c->src.data);
    if (d.st.st_dev == c->to_st.st_dev && d.st.st_ino == c->to_st.st_ino)
        return err_hint(err_new(ERR_DOCKERFILE, "'%s' is the root that is being built", c->src.data),
                        "Move the state directory out of the build context, or exclude it in .dockerignore.");
    if (verdict == TAKE)
        TRY(make_dir(c, &d));
    TRY(walk(c, &d));
    return finish_dir(c, &d);
}

static bool is_directory(const struct dir *d, const char *name, unsigned char type)
{
    struct stat st;

    if (type != DT_UNKNOWN)
        return type == DT_DIR;
    return fstatat(d->src_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static struct err *walk_entry(struct copier *c, struct dir *d, const char *name, unsigned char type)
{
    struct question q = { .path = c->src.data,
                          .rel = c->src.data + (c->root_len ? c->root_len + 1 : 0),
                          .top = d->up == NULL,
                          .is_dir = is_directory(d, name, type) };
    struct states own = { 0 };
    enum verdict verdict;
    struct err *e = NULL;

    TRY(cancel_check(c->spec->cancel));
    if (q.is_dir)
        states_init(c, &own);
    verdict = judge(c, d, &q, &own);
    if (verdict == TAKE)
        c->included++;
    if (q.is_dir && verdict != SKIP) {
        e = walk_child(c, d, name, &q, verdict, &own);
    } else if (verdict == TAKE) {
        e = make_dir(c, d);
        if (!e)
            e = copy_entry(c, d->src_fd, name, type, d->dst_fd, name);
    }
    free(own.memory);
    return e;
}

static struct err *walk(struct copier *c, struct dir *d)
{
    AUTO(buf_release) struct buf names = BUF_INIT;

    TRY(list(c, d->src_fd, &names));
    for (size_t at = 0; at < names.len;) {
        unsigned char type = (unsigned char)names.data[at];
        const char *name = names.data + at + 1;
        size_t src = copy_push(&c->src, name), dst = copy_push(&c->dst, name);

        TRY(walk_entry(c, d, name, type));
        copy_pop(&c->src, src);
        copy_pop(&c->dst, dst);
        at += strlen(name) + 2;
    }
    return NULL;
}

/* The patterns' answers for the root of the walk, as if we had walked to it. */
static void walk_to_root(const struct copier *c, struct states *s)
{
    AUTO_FREE char *path = xstrdup(c->src.data);

    states_init(c, s);
    if (!c->spec->ignore)
        return;
    size_t size = ignore_state_size(c->spec->ignore);
    AUTO_FREE unsigned char *up = xcalloc(1, size + 1);
    for (char *at = path; *at;) {
        char *end = at + strcspn(at, "/"), c0 = *end;

        *end = '\0';
        (void)ignore_excludes_in(c->spec->ignore, path, at == path ? NULL : up, s->ignore);
        memcpy(up, s->ignore, size);
        *end = c0;
        at = end + (c0 == '/');
    }
}

struct err *copy_tree(struct copier *c, int src_fd, int dst_fd)
{
    __attribute__((cleanup(dir_release))) struct dir d = { .src_fd = -1, .dst_fd = -1 };

    d.src_fd = openat(src_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!c->spec->sum)
        d.dst_fd = openat(dst_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.src_fd < 0 || (!c->spec->sum && d.dst_fd < 0) || fstat(d.src_fd, &d.st) < 0)
        return err_sys(errno, "cannot open directory '%s'", c->src.data);
    walk_to_root(c, &d.states);
    c->root_len = c->src.len;
    TRY(walk(c, &d));
    return finish_dir(c, &d);
}
