#include "inputs.h"

#include "base/limits.h"
#include "plan/plan.h"
#include "sys/file.h"
#include "sys/path.h"
#include "wire.h"

#include <fcntl.h>
#include <string.h>

bool inputs_are_here(const struct settings *s)
{
    return !s->context_url && !s->context_archive;
}

static struct err *parse(const struct settings *s, struct buf *text, struct dockerfile **ret_df)
{
    AUTO(strs_release) struct strs args = { 0 };

    wire_build_args(s, &args);
    TRY(plan_check_syntax(s->dockerfile, buf_str(text), text->len, &args));
    return dockerfile_parse(s->dockerfile, buf_str(text), text->len, ret_df);
}

static struct err *unreadable(struct err *e, const char *where)
{
    return err_hint(err_set_kind(err_wrap(e, "cannot read the Dockerfile"), ERR_DOCKERFILE),
                    "PLUGIN_DOCKERFILE is a path relative to the step's working directory or to %s.", where);
}

static struct err *open_context(const char *dir, const char *dockerfile_path, struct context **ret)
{
    AUTO(buf_release) struct buf ignore = BUF_INIT;
    bool found;

    TRY(context_find_ignore(dir, dockerfile_path, &ignore, &found));
    return err_hint(context_open(dir, found ? buf_str(&ignore) : NULL, ignore.len, ret),
                    "PLUGIN_CONTEXT is the directory that COPY and ADD read from.");
}

/* ---- a directory here ---- */

char *inputs_dockerfile_path(const char *context, const char *dockerfile)
{
    AUTO_FREE char *inside = path_join(context, dockerfile);

    if (access(dockerfile, F_OK) != 0 && access(inside, F_OK) == 0)
        return steal(&inside);
    return xstrdup(dockerfile);
}

struct err *inputs_open(const struct settings *s, struct dockerfile **ret_df, struct context **ret_context)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO_FREE char *path = inputs_dockerfile_path(s->context, s->dockerfile);
    struct err *e = file_read(path, LIMIT_DOCKERFILE_BYTES, &text);

    if (e)
        return unreadable(e, "PLUGIN_CONTEXT");
    TRY(parse(s, &text, ret_df));
    return open_context(s->context, path, ret_context);
}

/* ---- elsewhere ---- */

static struct err *open_archive(const char *path, int *ret_fd)
{
    int fd = strcmp(path, "stdin") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_hint(err_set_kind(err_sys(errno, "cannot open the context's archive '%s'", path), ERR_SETTING),
                        "PLUGIN_CONTEXT is tar:// and the path of an archive, or tar://stdin.");
    *ret_fd = fd;
    return NULL;
}

/* The build argument BUILDKIT_CONTEXT_KEEP_GIT_DIR. */
static bool keeps_git_dir(const struct settings *s)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    const char *value = env_get(&s->build_args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");

    for (size_t i = 0; value && i < sizeof(yes) / sizeof(yes[0]); i++)
        if (strcmp(value, yes[i]) == 0)
            return true;
    return false;
}

static struct err *fetch(const struct settings *s, struct remote *r, struct remote_tree *ret)
{
    AUTO_CLOSE int fd = -1;

    if (s->context_url)
        return err_hint(err_wrap(remote_context(r, s->context_url, keeps_git_dir(s), ret), "cannot fetch the context"),
                        "PLUGIN_CONTEXT says where the context is.");
    TRY(open_archive(s->context_archive, &fd));
    return remote_unpack(r, fd, s->context_archive, ret);
}

/* The sub path without symlinks, "." without one: what was fetched may be hostile, nothing leads out of it. */
static struct err *find_sub_path(const struct settings *s, const char *dir, char **ret_real)
{
    AUTO_CLOSE int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
    AUTO_FREE char *real = NULL;

    if (root < 0)
        return err_sys(errno, "cannot open '%s'", dir);
    TRY(context_find(root, s->context_sub_path ? s->context_sub_path : ".", NULL, &real));
    struct err *e = real ? context_open_real(root, real, O_RDONLY | O_DIRECTORY, &fd) : NULL;
    if (e || !real) {
        err_free(e);
        return err_new(ERR_SETTING, "PLUGIN_CONTEXT_SUB_PATH is '%s', but there is no such directory in the context",
                       s->context_sub_path);
    }
    *ret_real = steal(&real);
    return NULL;
}

/* In the context, else here. *ret_path: where it was. */
static struct err *read_fetched(const char *name, const char *dir, struct buf *text, char **ret_path)
{
    AUTO_CLOSE int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
    struct stat st;

    if (root < 0)
        return err_sys(errno, "cannot open '%s'", dir);
    TRY(path_open_if_exists(root, name, O_RDONLY | O_NONBLOCK, &fd));
    if (fd < 0) {
        *ret_path = xstrdup(name);
        return file_read(name, LIMIT_DOCKERFILE_BYTES, text);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_new(ERR_DOCKERFILE, "'%s' is not a regular file", name);
    *ret_path = path_join(dir, name);
    return file_read_fd(fd, name, LIMIT_DOCKERFILE_BYTES, text);
}

struct err *inputs_fetch(const struct settings *s, struct remote *r, struct dockerfile **ret_df,
                         struct context **ret_context, struct remote_tree *ret_tree)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO_FREE char *below = NULL, *path = NULL;

    TRY(fetch(s, r, ret_tree));
    TRY(find_sub_path(s, ret_tree->dir, &below));
    AUTO_FREE char *dir = path_join(ret_tree->dir, below);
    struct err *e = read_fetched(ret_tree->file ? ret_tree->file : s->dockerfile, dir, &text, &path);
    if (e)
        return unreadable(e, "the context that PLUGIN_CONTEXT names");
    TRY(parse(s, &text, ret_df));
    TRY(open_context(dir, path, ret_context));
    context_set_owners(*ret_context, ret_tree->owners, below);
    return NULL;
}
