#include "remote/remote.h"

#include "base/limits.h"
#include "remote/remote_priv.h"
#include "sys/file.h"
#include "tar/tar.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CONTEXT_FILE "context" /* what BuildKit calls the file of an http(s) context */

static void fetched_free(void *p)
{
    struct fetched *f = p;

    if (!f)
        return;
    owner_table_free(f->owners);
    free(f->dir);
    free(f->file);
    free(f->commit);
    free(f);
}
DEFINE_CLEANUP(struct fetched *, fetched_free);

struct err *remote_new(const struct remote_opts *opts, struct remote **ret)
{
    AUTO(remote_free) struct remote *r = xcalloc(1, sizeof(*r));

    r->o = *opts;
    pthread_mutex_init(&r->lock, NULL);
    r->done = map_new(fetched_free);
    r->dir = xasprintf("%s/remote", opts->dir);
    TRY(file_mkdirs(r->dir, 0755));
    *ret = steal(&r);
    return NULL;
}

void remote_free(struct remote *r)
{
    if (!r)
        return;
    map_free(r->done);
    pthread_mutex_destroy(&r->lock);
    free(r->dir);
    free(r);
}

struct err *remote_make_dir(struct remote *r, char **ret_dir)
{
    AUTO_FREE char *dir = xasprintf("%s/%u", r->dir, r->next_id++);

    TRY(file_mkdirs(dir, 0755));
    *ret_dir = steal(&dir);
    return NULL;
}

void remote_tell(const struct remote *r, const char *fmt, ...)
{
    va_list ap;

    if (!r->o.note)
        return;
    va_start(ap, fmt);
    AUTO_FREE char *text = xvasprintf(fmt, ap);
    va_end(ap);
    r->o.note(r->o.note_ctx, text);
}

char *remote_secret(const struct remote *r, const char *id)
{
    size_t n = 0;
    const char *value = r->o.secret ? r->o.secret(r->o.secret_ctx, id, &n) : NULL;

    while (n > 0 && strchr("\r\n", value[n - 1]))
        n--;
    return value ? xstrndup(value, n) : NULL;
}

/* ---- once per build ---- */

static void give(const struct fetched *f, struct remote_tree *ret)
{
    *ret = (struct remote_tree){ .dir = f->dir,
                                 .file = f->file,
                                 .commit = f->commit,
                                 .has_time = f->has_time,
                                 .time_s = f->time_s,
                                 .owners = f->owners };
}

/* Calls fetch(r, ctx, f) unless `key` is here already. */
static struct err *once(struct remote *r, const char *key,
                        struct err *(*fetch)(struct remote *, const void *, struct fetched *), const void *ctx,
                        struct remote_tree *ret)
{
    AUTO(fetched_free) struct fetched *made = NULL;
    struct err *e = NULL;

    pthread_mutex_lock(&r->lock);
    struct fetched *f = map_get(r->done, key);
    if (!f) {
        f = made = xcalloc(1, sizeof(*made));
        e = remote_make_dir(r, &f->dir);
        if (!e)
            e = fetch(r, ctx, f);
    }
    if (!e)
        give(f, ret);
    if (!e && made)
        map_set(r->done, key, steal(&made));
    pthread_mutex_unlock(&r->lock);
    return e;
}

/* ---- files ---- */

struct file_order {
    const char *url, *checksum;
    const char *name; /* NULL: as the URL says */
};

static struct err *fetch_file(struct remote *r, const void *ctx, struct fetched *f)
{
    const struct file_order *o = ctx;
    AUTO(address_release) struct address a = { 0 };
    AUTO_FREE char *shown = http_redact(o->url);

    if (strlen(o->url) > LIMIT_URL_BYTES || !address_split(o->url, &a))
        return err_new(ERR_DOCKERFILE, "'%.200s' is not a valid URL", shown);
    AUTO_FREE char *request = address_request(&a), *plain = http_redact(request);
    f->file = o->name ? xstrdup(o->name) : remote_file_name(&a);
    const struct download d = {
        .address = &a, .shown = plain, .dir = f->dir, .name = f->file, .checksum = o->checksum
    };
    return remote_download(r, &d, f);
}

struct err *remote_file(struct remote *r, const char *url, const char *checksum, struct remote_tree *ret)
{
    const struct file_order o = { .url = url, .checksum = checksum && *checksum ? checksum : NULL };
    AUTO_FREE char *key = xasprintf("file %s %s", o.checksum ? o.checksum : "", url);

    return once(r, key, fetch_file, &o, ret);
}

/* ---- repositories ---- */

struct git_order {
    const struct git_address *address;
    bool keep_git_dir;
};

static struct err *fetch_git(struct remote *r, const void *ctx, struct fetched *f)
{
    const struct git_order *o = ctx;

    return remote_checkout(r, o->address, o->keep_git_dir, f);
}

struct err *remote_git(struct remote *r, const struct git_address *a, bool keep_git_dir, struct remote_tree *ret)
{
    const struct git_order o = { a, keep_git_dir };
    AUTO_FREE char *key = xasprintf("git %s #%s :%s %s %d%d%d%d", a->remote, a->ref, a->subdir, a->checksum,
                                    keep_git_dir, a->submodules, a->mtime, a->fetch_by_commit);

    return once(r, key, fetch_git, &o, ret);
}

/* ---- sources of ADD ---- */

/* What the flags say counts as if the URL said it. */
static struct err *add_git(struct remote *r, const char *source, const char *checksum, bool keep_git_dir,
                           struct remote_tree *ret)
{
    AUTO(git_address_release) struct git_address a = { 0 };
    bool is_git;

    TRY(git_address_parse(source, &a, &is_git));
    if (checksum && *checksum) {
        free(a.checksum);
        a.checksum = xstrdup(checksum);
    }
    return remote_git(r, &a, keep_git_dir || a.keep_git_dir == 1, ret);
}

struct err *remote_add(struct remote *r, const char *source, const char *checksum, bool keep_git_dir,
                       struct remote_tree *ret)
{
    enum address_kind kind;

    TRY(address_kind_of(source, &kind));
    if (kind == ADDRESS_GIT)
        return add_git(r, source, checksum, keep_git_dir, ret);
    return remote_file(r, source, checksum, ret);
}

/* ---- contexts ---- */

bool remote_is_context(const char *text)
{
    AUTO(git_address_release) struct git_address git = { 0 };
    bool is_git = false;
    struct stat st;

    if (stat(text, &st) == 0)
        return false;
    struct err *e = git_address_parse(text, &git, &is_git);
    bool wrong = e != NULL; /* it is one, or nearly */

    err_free(e);
    return wrong || is_git || strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

static struct err *fetch_context(struct remote *r, const void *ctx, struct fetched *f)
{
    const struct file_order *o = ctx;
    AUTO_FREE char *path = xasprintf("%s/" CONTEXT_FILE, f->dir), *shown = http_redact(o->url);
    AUTO_CLOSE int fd = -1;

    TRY(fetch_file(r, ctx, f));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", path);
    if (!tar_probe(fd))
        return NULL;
    if (lseek(fd, 0, SEEK_SET) < 0 || unlink(path) < 0)
        return err_sys(errno, "cannot read '%s'", path);
    free(f->file);
    f->file = NULL;
    return remote_extract(r, fd, shown, f);
}

struct err *remote_context(struct remote *r, const char *text, bool keep_git_dir, struct remote_tree *ret)
{
    AUTO(git_address_release) struct git_address git = { 0 };
    AUTO_FREE char *key = xasprintf("context %s", text);
    const struct file_order o = { .url = text, .name = CONTEXT_FILE };
    bool is_git;

    TRY(git_address_parse(text, &git, &is_git));
    if (is_git)
        return remote_git(r, &git, keep_git_dir || git.keep_git_dir == 1, ret);
    return once(r, key, fetch_context, &o, ret);
}

struct archive_order {
    int fd;
    const char *name;
};

static struct err *fetch_archive(struct remote *r, const void *ctx, struct fetched *f)
{
    const struct archive_order *o = ctx;

    return remote_extract(r, o->fd, o->name, f);
}

struct err *remote_unpack(struct remote *r, int fd, const char *name, struct remote_tree *ret)
{
    const struct archive_order o = { fd, name };
    AUTO_FREE char *key = xasprintf("archive %s", name);

    return once(r, key, fetch_archive, &o, ret);
}
