/* download.c - one file of an http(s) server, streamed to disk and hashed on the way. Names, times and credentials as
 * BuildKit's http source has them. */
#include "base/base64.h"
#include "base/limits.h"
#include "digest/digest.h"
#include "remote/remote_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FILE_MODE 0600

/* Where the bytes go. */
struct target {
    int fd;
    struct hasher *hasher;
    uint64_t bytes;
    const char *shown;
};

static struct err *take(void *ctx, const void *p, size_t n)
{
    struct target *t = ctx;

    if (n > LIMIT_REMOTE_FILE_BYTES - t->bytes)
        return err_new(ERR_DOCKERFILE, "'%s' is larger than %lld bytes", t->shown, (long long)LIMIT_REMOTE_FILE_BYTES);
    t->bytes += n;
    hasher_add(t->hasher, p, n);
    return file_write_all(t->fd, p, n);
}

/* ---- names ---- */

char *remote_file_name(const struct address *a)
{
    AUTO_FREE char *name = address_file_name(a);
    char *start = name + strspn(name, " \t\r\n\v\f");
    size_t n = strlen(start);

    while (n > 0 && strchr(" \t\r\n\v\f", start[n - 1]))
        n--;
    start[n] = '\0';
    for (const char *p = start; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return xstrdup("download");
    if (strcmp(start, ".") == 0 || strcmp(start, "..") == 0)
        return xstrdup("download");
    return xstrdup(*start ? start : "__unnamed__");
}

/* ---- times ---- */

/* The three forms of RFC 9110. */
static bool parse_date(const char *text, int64_t *ret_s)
{
    static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                         "%a %b %d %H:%M:%S %Y" };

    for (size_t i = 0; text && i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = { 0 };
        const char *end = strptime(text, forms[i], &tm);

        if (!end || *end)
            continue;
        *ret_s = timegm(&tm);
        return true;
    }
    return false;
}

/* ---- credentials ---- */

static char *basic(const struct address *a)
{
    AUTO_FREE char *pair = xasprintf("%s:%s", a->user, a->password ? a->password : "");
    AUTO_FREE char *encoded = base64_encode(pair, strlen(pair));
    char *value = xasprintf("Basic %s", encoded);

    explicit_bzero(pair, strlen(pair));
    explicit_bzero(encoded, strlen(encoded));
    return value;
}

/* The value of Authorization, NULL if there is none. */
static char *authorization(const struct remote *r, const struct address *a)
{
    AUTO_FREE char *host = address_host_name(a);
    AUTO_FREE char *token_id = xasprintf("HTTP_AUTH_TOKEN_%s", host),
                   *header_id = xasprintf("HTTP_AUTH_HEADER_%s", host);
    char *token = remote_secret(r, token_id);

    if (token) {
        char *value = xasprintf("Bearer %s", token);

        explicit_bzero(token, strlen(token));
        free(token);
        return value;
    }
    char *header = remote_secret(r, header_id);
    return header || !a->user ? header : basic(a);
}

/* ---- the answer ---- */

static struct err *refused(const struct download *d, const struct http_response *answer)
{
    AUTO_FREE char *host = address_host_name(d->address);
    int status = answer->status;

    if (status == 401 || status == 403)
        return err_hint(err_new(ERR_AUTH, "the server refuses '%s' (status %d)", d->shown, status),
                        "Give its credentials as the build secret HTTP_AUTH_TOKEN_%s or HTTP_AUTH_HEADER_%s.", host,
                        host);
    if (status >= 500 || status == 408 || status == 429)
        return err_new(ERR_NETWORK, "the server cannot give '%s' (status %d)", d->shown, status);
    return err_new(ERR_DOCKERFILE, "the server has no '%s' (status %d)", d->shown, status);
}

static struct err *check(const struct download *d, struct target *t)
{
    struct digest got = hasher_end(t->hasher);

    if (!d->checksum || strcmp(got.text, d->checksum) == 0)
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "the checksum of '%s' is %s, not %s", d->shown, got.text, d->checksum),
                    "Either the file changed, or it is not the one that was meant: nothing of it was used.");
}

/* The file of a server that says no time is of 1970. */
static struct err *finish(const struct download *d, struct target *t, const struct http_response *answer,
                          struct fetched *f)
{
    f->has_time = parse_date(http_header(answer, "last-modified"), &f->time_s);
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = f->has_time ? f->time_s : 0 } };

    TRY(check(d, t));
    if (fchmod(t->fd, FILE_MODE) < 0 || futimens(t->fd, times) < 0)
        return err_sys(errno, "cannot set mode and time of '%s'", d->name);
    return NULL;
}

static struct err *fetch(struct remote *r, const struct download *d, struct target *t, struct fetched *f)
{
    AUTO(http_response_release) struct http_response answer = { 0 };
    const struct sink out = { take, t };
    AUTO_FREE char *url = address_request(d->address);
    char *secret = authorization(r, d->address);
    const struct http_request rq = { .method = "GET", .url = url, .authorization = secret, .body_fd = -1, .out = &out };
    struct err *e = http_perform(r->o.http, &rq, &answer);

    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
    TRY(e);
    if (answer.status < 200 || answer.status >= 300)
        return refused(d, &answer);
    TRY(finish(d, t, &answer, f));
    remote_tell(r, "fetched %s, %" PRIu64 " bytes", d->shown, t->bytes);
    return NULL;
}

struct err *remote_download(struct remote *r, const struct download *d, struct fetched *f)
{
    AUTO_FREE char *path = xasprintf("%s/%s", d->dir, d->name);
    AUTO(hasher_free) struct hasher *hasher = hasher_new();
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    struct target t = { .fd = fd, .hasher = hasher, .shown = d->shown };

    if (fd < 0 && errno == ENAMETOOLONG)
        return err_new(ERR_DOCKERFILE, "the name of '%s' is too long for a file", d->shown);
    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot make the file '%s'", path), ERR_DISK);
    struct err *e = fetch(r, d, &t, f);
    if (e)
        (void)unlink(path);
    return e;
}
