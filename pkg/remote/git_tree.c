/* git_tree.c - a git repository as a tree, with the credentials that BuildKit looks for. */
#include "base/base64.h"
#include "remote/remote_priv.h"
#include "repo/repo.h"
#include "sys/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

/* "basic ..." of a token, as GitHub and others take it. Wipes and frees the token. */
static char *token_header(char *token)
{
    AUTO_FREE char *pair = xasprintf("x-access-token:%s", token);
    AUTO_FREE char *encoded = base64_encode(pair, strlen(pair));
    char *value = xasprintf("basic %s", encoded);

    explicit_bzero(token, strlen(token));
    explicit_bzero(pair, strlen(pair));
    explicit_bzero(encoded, strlen(encoded));
    free(token);
    return value;
}

/* The first of the four secrets that was given. The caller wipes and frees; NULL = none. */
static char *authorization(const struct remote *r, const char *host)
{
    static const struct {
        const char *id;
        bool token, of_host;
    } ids[] = {
        { "GIT_AUTH_HEADER", false, true },
        { "GIT_AUTH_TOKEN", true, true },
        { "GIT_AUTH_HEADER", false, false },
        { "GIT_AUTH_TOKEN", true, false },
    };

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        AUTO_FREE char *id = ids[i].of_host ? xasprintf("%s.%s", ids[i].id, host) : xstrdup(ids[i].id);
        char *secret = remote_secret(r, id);

        if (secret)
            return ids[i].token ? token_header(secret) : secret;
    }
    return NULL;
}

/* A secret is for the repository alone; what is at GitHub shares one, as its own actions do it: submodules need it. */
static const char *scope_of(const struct git_address *a)
{
    static const char *const shared[] = { "https://github.com/", "https://www.github.com/" };

    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
        if (strncmp(a->remote, shared[i], strlen(shared[i])) == 0)
            return shared[i];
    return a->remote;
}

static struct err *fetch(struct remote *r, const struct git_address *a, bool keep_git_dir, const char *work,
                         struct fetched *f)
{
    char *secret = authorization(r, a->host);
    const struct repo_opts opts = { .http = r->o.http,
                                    .ssh = r->o.ssh,
                                    .work_dir = work,
                                    .authorization = secret,
                                    .scope = scope_of(a),
                                    .retries = r->o.retries,
                                    .now_s = time(NULL),
                                    .cancel = r->o.cancel };
    struct repo_result result;
    struct err *e = repo_fetch(&opts, a, keep_git_dir, f->dir, &result);

    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
    TRY(e);
    f->commit = xstrdup(result.commit);
    f->has_time = true;
    f->time_s = result.time_s;
    remote_tell(r, "fetched %s%s%s, commit %.12s, %" PRIu64 " bytes", a->remote, *a->ref ? "#" : "", a->ref,
                result.commit, result.bytes);
    return NULL;
}

struct err *remote_checkout(struct remote *r, const struct git_address *a, bool keep_git_dir, struct fetched *f)
{
    AUTO_FREE char *work = NULL;

    TRY(remote_make_dir(r, &work));
    struct err *e = fetch(r, a, keep_git_dir, work, f);
    struct err *gone = file_remove_tree(AT_FDCWD, work);
    if (e)
        err_free(gone);
    return e ? e : gone;
}
