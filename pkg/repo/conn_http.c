/* conn_http.c - git over http(s) (gitprotocol-http(5)): version 2 is asked for, the older one and servers that only
 * have files are taken too. */
#include "address/address.h"
#include "repo/conn.h"

#include <string.h>
#include <strings.h>

#define SERVICE "git-upload-pack"
#define REFS    "/info/refs"

/* What came first decides what the server is: a packet, or lines of a file. */
struct greeting {
    const struct sink *out;
    struct buf begin; /* the first bytes, until it is decided */
    bool decided, files;
};

#define DECIDE_BYTES 41 /* of "HASH\tNAME" the tab is the last one; packets of an advertisement are longer too */

static bool is_file(const struct buf *b)
{
    return b->len >= DECIDE_BYTES && strspn(b->data, "0123456789abcdef") == DECIDE_BYTES - 1 &&
           b->data[DECIDE_BYTES - 1] == '\t';
}

static struct err *decide(struct greeting *g)
{
    g->decided = true;
    g->files = is_file(&g->begin);
    return sink_write(g->out, buf_str(&g->begin), g->begin.len);
}

static struct err *on_greeting(void *ctx, const void *p, size_t n)
{
    struct greeting *g = ctx;

    if (g->decided)
        return sink_write(g->out, p, n);
    buf_add(&g->begin, p, n);
    (void)buf_str(&g->begin);
    return g->begin.len < DECIDE_BYTES ? NULL : decide(g);
}

/* ---- answers that are none ---- */

static struct err *refused(const struct repo_conn *c, const struct http_response *r)
{
    const char *remote = c->o.address->remote;
    int status = r->status;

    if (status == 401 || status == 403)
        return err_hint(err_new(ERR_AUTH, "the server refuses the git repository '%s' (status %d)%s", remote, status,
                                c->o.authorization ? "" : ": it is private, or it does not exist"),
                        "Give a token as the build secret GIT_AUTH_TOKEN, or a whole header as GIT_AUTH_HEADER; with "
                        "'.%s' at the end of the id for this host alone.",
                        c->o.address->host);
    if (status >= 500 || status == 408 || status == 429)
        return err_new(ERR_NETWORK, "the server cannot give the git repository '%s' (status %d)", remote, status);
    return err_new(ERR_DOCKERFILE, "there is no git repository '%s' (status %d)", remote, status);
}

static struct err *check(const struct repo_conn *c, const struct http_response *r)
{
    return r->status >= 200 && r->status < 300 ? NULL : refused(c, r);
}

/* ---- requests ---- */

static void add_headers(const struct repo_conn *c, struct http_request *rq)
{
    rq->authorization = c->o.authorization;
    rq->body_fd = -1;
    strs_add(&rq->headers, "Git-Protocol: version=2");
    strs_add(&rq->headers, "Pragma: no-cache");
}

static struct err *perform(struct repo_conn *c, struct http_request *rq, struct http_response *ret)
{
    struct err *e = http_perform(c->o.http, rq, ret);

    strs_release(&rq->headers);
    return e;
}

static bool same_place(const char *a, const char *b)
{
    AUTO(address_release) struct address x = { 0 }, y = { 0 };

    return address_split(a, &x) && address_split(b, &y) && strcmp(x.scheme, y.scheme) == 0 &&
           strcasecmp(x.host, y.host) == 0;
}

/* Where the first request was sent to counts for those that follow; credentials do not go there with them. */
static void follow(struct repo_conn *c, const char *url)
{
    const char *end = strstr(url, REFS "?");

    if (!end)
        return;
    if (!same_place(c->base, url))
        c->o.authorization = NULL;
    free(c->base);
    c->base = xstrndup(url, (size_t)(end - url));
}

static struct err *greet(struct repo_conn *c, const struct sink *out, const bool *done)
{
    AUTO(http_response_release) struct http_response r = { 0 };
    AUTO_FREE char *url = xasprintf("%s" REFS "?service=" SERVICE, c->base);
    struct greeting g = { .out = out };
    const struct sink into = { on_greeting, &g };
    struct http_request rq = { .method = "GET", .url = url, .out = &into };

    (void)done;
    add_headers(c, &rq);
    struct err *e = perform(c, &rq, &r);
    if (!e)
        e = check(c, &r);
    if (!e && !g.decided)
        e = decide(&g);
    buf_release(&g.begin);
    TRY(e);
    c->files = g.files;
    follow(c, r.url);
    return NULL;
}

/* The answer may be long and cannot be continued: the caller begins again. */
static struct err *ask(struct repo_conn *c, const struct buf *request, const struct sink *out, const bool *done)
{
    AUTO(http_response_release) struct http_response r = { 0 };
    AUTO_FREE char *url = xasprintf("%s/" SERVICE, c->base);
    struct http_request rq = {
        .method = "POST", .url = url, .body = request->data, .body_len = request->len, .out = out, .no_retry = true
    };

    (void)done;
    add_headers(c, &rq);
    strs_add(&rq.headers, "Content-Type: application/x-" SERVICE "-request");
    strs_add(&rq.headers, "Accept: application/x-" SERVICE "-result");
    TRY(perform(c, &rq, &r));
    return check(c, &r);
}

const struct repo_conn_ops repo_conn_http = { greet, ask };

struct err *repo_conn_file(struct repo_conn *c, const char *name, const struct sink *out, bool *ret_found)
{
    AUTO(http_response_release) struct http_response r = { 0 };
    AUTO_FREE char *url = xasprintf("%s/%s", c->base, name);
    struct http_request rq = { .method = "GET", .url = url, .out = out };

    add_headers(c, &rq);
    TRY(perform(c, &rq, &r));
    *ret_found = r.status != 404 && r.status != 410;
    return *ret_found ? check(c, &r) : NULL;
}
