#include "repo/gitdir.h"

#include "address/address.h"
#include "sys/file.h"

#include <string.h>

static struct err *write_text(const struct repo_gitdir *g, const char *name, const char *text, size_t len)
{
    AUTO_FREE char *path = xasprintf("%s/%s", g->dir, name);

    return file_write_atomic(path, text, len, 0644);
}

static struct err *write_line(const struct repo_gitdir *g, const char *name, const char *line)
{
    AUTO_FREE char *text = xasprintf("%s\n", line);

    return write_text(g, name, text, strlen(text));
}

/* A value of git-config(5), in quotes. */
static void put_value(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "\t%s = \"", key);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_putc(out, '\\');
        if (*value == '\n')
            buf_puts(out, "\\n");
        else
            buf_putc(out, *value);
    }
    buf_puts(out, "\"\n");
}

static bool is_checked_out(const struct repo_gitdir *g, const struct repo_module *m)
{
    for (size_t i = 0; i < g->submodules->n; i++)
        if (m->path && m->url && strcmp(g->submodules->items[i].path, m->path) == 0)
            return true;
    return false;
}

static void put_modules(const struct repo_gitdir *g, struct buf *out)
{
    for (size_t i = 0; i < g->modules->n; i++) {
        const struct repo_module *m = &g->modules->items[i];
        AUTO_FREE char *url = is_checked_out(g, m) ? address_redact(m->url) : NULL;

        if (!url)
            continue;
        buf_printf(out, "[submodule \"%s\"]\n\tactive = true\n", m->name);
        put_value(out, "url", url);
    }
}

static struct err *write_config(const struct repo_gitdir *g)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    buf_puts(&out,
             "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n");
    if (g->worktree)
        put_value(&out, "worktree", g->worktree);
    buf_puts(&out, "[remote \"origin\"]\n");
    put_value(&out, "url", g->address->remote);
    buf_puts(&out, "\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
    put_modules(g, &out);
    return write_text(g, "config", out.data, out.len);
}

/* The name comes from the server or from the user, and becomes a path. */
static bool is_safe_ref(const char *ref)
{
    if (strncmp(ref, "refs/", 5) != 0 || strstr(ref, "..") || strstr(ref, "//") || ref[strlen(ref) - 1] == '/' ||
        strstr(ref, "/."))
        return false;
    for (const char *p = ref; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("~^:?*[\\", *p))
            return false;
    return true;
}

static struct err *write_refs(const struct repo_gitdir *g)
{
    static const char *const dirs[] = { "refs/heads", "refs/tags", "objects/info" };

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", g->dir, dirs[i]);

        TRY(file_mkdirs(path, 0755));
    }
    if (g->ref && is_safe_ref(g->ref))
        TRY(write_line(g, g->ref, g->ref_hash.hex));
    if (g->shallow)
        TRY(write_line(g, "shallow", g->head.hex));
    return write_line(g, "HEAD", g->head.hex); /* detached, as a checkout of what was fetched is */
}

static struct err *write_index(const struct repo_gitdir *g)
{
    struct repo_index_entry *entries = xcalloc(g->files->n + 1, sizeof(*entries));
    AUTO_FREE char *path = xasprintf("%s/index", g->dir);

    for (size_t i = 0; i < g->files->n; i++) {
        const struct repo_file *f = &g->files->items[i];

        entries[i] = (struct repo_index_entry){ f->path, f->hash, f->mode, f->size_bytes };
    }
    struct err *e = repo_index_write(path, entries, g->files->n);
    free(entries);
    return e;
}

struct err *repo_gitdir_write(const struct repo_gitdir *g)
{
    AUTO_FREE char *from = xasprintf("%s/objects", g->objects), *to = xasprintf("%s/objects", g->dir);

    TRY(file_mkdirs(g->dir, 0755));
    if (rename(from, to) < 0)
        return err_sys(errno, "cannot move git's objects to '%s'", to);
    TRY(write_refs(g));
    TRY(write_config(g));
    return write_index(g);
}
