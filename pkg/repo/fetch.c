#include "repo/fetch.h"

#include "base/limits.h"
#include "repo/files.h"
#include "repo/pkt.h"

#include <string.h>

#define AGENT "copyup"

static void chop(char *line)
{
    size_t n = strlen(line);

    if (n > 0 && line[n - 1] == '\n')
        line[n - 1] = '\0';
}

/* What the server wants to be shown: one line, nothing that could do things to a terminal. */
static struct err *server_says(const char *text)
{
    AUTO_FREE char *shown = xstrndup(text, 300);

    chop(shown);
    for (char *p = shown; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return err_new(ERR_DOCKERFILE, "the git server says: %s", shown);
}

/* ---- refs ---- */

/* The greeting of a server, or its answer to ls-refs. */
struct listing {
    struct repo_refs *refs;
    struct pkt_reader packets;
    struct buf line; /* of a server with files only: one that is not whole yet */
    bool lines;      /* the answer is lines of a file, not packets */
    bool begun, service, answer, done;
};

static struct err *add_capability(struct listing *l, const char *line)
{
    if (l->refs->capabilities.n >= LIMIT_GIT_CAPABILITIES)
        return err_new(ERR_REGISTRY, "the git server has more than %d capabilities", LIMIT_GIT_CAPABILITIES);
    strs_add(&l->refs->capabilities, line);
    return NULL;
}

static struct err *greeting_line(struct listing *l, const char *line, size_t len)
{
    if (l->answer)
        return repo_refs_line_v2(l->refs, line);
    if (l->refs->v2)
        return add_capability(l, line);
    if (strncmp(line, "version 2", 9) == 0)
        l->refs->v2 = true;
    else if (strncmp(line, "version ", 8) != 0)
        return repo_refs_line_v0(l->refs, line, len);
    return NULL;
}

static struct err *on_listing_packet(void *ctx, enum pkt_kind kind, const char *data, size_t len)
{
    struct listing *l = ctx;
    AUTO_FREE char *line = xcalloc(1, len + 1);

    if (kind == PKT_FLUSH && l->service) { /* the one after "# service=" */
        l->service = false;
        return NULL;
    }
    l->done = l->done || kind == PKT_FLUSH;
    if (kind != PKT_DATA)
        return NULL;
    memcpy(line, data, len);
    if (len > 0 && line[len - 1] == '\n')
        line[--len] = '\0';
    if (strncmp(line, "ERR ", 4) == 0)
        return server_says(line + 4);
    if (!l->begun && strncmp(line, "# service=", 10) == 0) {
        l->begun = l->service = true;
        return NULL;
    }
    l->begun = true;
    return greeting_line(l, line, len);
}

static struct err *feed_lines(struct listing *l, const char *p, size_t n)
{
    for (; n > 0; p++, n--) {
        if (*p != '\n') {
            if (l->line.len >= LIMIT_GIT_PACKET_BYTES)
                return err_new(ERR_REGISTRY, "a line of info/refs is longer than %d bytes", LIMIT_GIT_PACKET_BYTES);
            buf_putc(&l->line, *p);
            continue;
        }
        TRY(repo_refs_line_file(l->refs, buf_str(&l->line)));
        buf_clear(&l->line);
    }
    return NULL;
}

static struct err *on_listing(void *ctx, const void *p, size_t n)
{
    struct listing *l = ctx;

    if (!l->begun && !l->lines && n > REPO_HASH_LEN && ((const char *)p)[REPO_HASH_LEN] == '\t')
        l->lines = true;
    return l->lines ? feed_lines(l, p, n) : pkt_feed(&l->packets, p, n);
}

static struct err *run_listing(struct listing *l, struct repo_conn *c, const struct buf *request)
{
    const struct sink out = { on_listing, l };

    l->packets.fn = on_listing_packet;
    l->packets.ctx = l;
    struct err *e = request ? c->ops->ask(c, request, &out, &l->done) : c->ops->greet(c, &out, &l->done);
    if (!e)
        e = pkt_feed_end(&l->packets);
    pkt_reader_release(&l->packets);
    buf_release(&l->line);
    return e;
}

static void common_words(struct buf *request)
{
    pkt_add(request, "agent=" AGENT "\n");
    pkt_add(request, "object-format=sha1\n");
}

/* Version 2 only says what it can do; the refs are asked for. */
static struct err *list_refs(struct repo_conn *c, struct repo_refs *refs)
{
    AUTO(buf_release) struct buf request = BUF_INIT;
    struct listing l = { .refs = refs, .answer = true };

    pkt_add(&request, "command=ls-refs\n");
    common_words(&request);
    pkt_delim(&request);
    pkt_add(&request, "peel\n");
    pkt_add(&request, "symrefs\n");
    for (size_t i = 0; i < refs->wanted.n; i++)
        pkt_add(&request, "ref-prefix %s\n", refs->wanted.items[i]);
    if (refs->all) {
        pkt_add(&request, "ref-prefix refs/heads/\n");
        pkt_add(&request, "ref-prefix refs/tags/\n");
    }
    pkt_flush(&request);
    return run_listing(&l, c, &request);
}

static struct err *check_format(const struct repo_refs *refs)
{
    const char *format = repo_refs_value(refs, "object-format");

    if (!format || strcmp(format, "sha1") == 0)
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "the repository names its objects by %.20s", format),
                    "Only repositories in the usual SHA-1 format can be fetched.");
}

/* A list in a file has no HEAD: that is a file of its own, with the name of a branch. */
static struct err *find_head(struct repo_conn *c, struct repo_refs *refs)
{
    struct listing again = { .refs = refs };
    char *name = NULL;

    if (!strs_has(&refs->wanted, "HEAD"))
        return NULL;
    TRY(repo_files_head(c, &name));
    strs_add(&refs->wanted, name);
    free(refs->head);
    refs->head = name;
    TRY(run_listing(&again, c, NULL));
    for (size_t i = 0; i < refs->n; i++) {
        struct repo_ref *ref = &refs->items[i];

        if (ref->name && strcmp(ref->name, name) == 0) {
            free(ref->name);
            ref->name = xstrdup("HEAD");
        }
    }
    return NULL;
}

struct err *repo_fetch_refs(struct repo_conn *c, struct repo_refs *refs)
{
    struct listing l = { .refs = refs };

    TRY(run_listing(&l, c, NULL));
    if (c->files)
        return find_head(c, refs);
    TRY(check_format(refs));
    return refs->v2 && (refs->wanted.n || refs->all) ? list_refs(c, refs) : NULL;
}

/* ---- packs ---- */

/* The lines before the pack. */
static struct err *answer_line(struct repo_answer *a, const char *line)
{
    if (strncmp(line, "ERR ", 4) == 0) {
        a->unknown = strstr(line, "not our ref") || strstr(line, "unadvertised object");
        a->done = a->unknown;
        return a->unknown ? NULL : server_says(line + 4);
    }
    if (strncmp(line, "shallow ", 8) == 0)
        a->shallow = true;
    else if (a->v2 ? strncmp(line, "packfile", 8) == 0 : strncmp(line, "NAK", 3) == 0 || strncmp(line, "ACK ", 4) == 0)
        a->state = ANSWER_PACK;
    return NULL;
}

/* One band of three: the pack, what goes on (not shown), or what went wrong. */
static struct err *answer_band(struct repo_answer *a, const char *data, size_t len)
{
    if (len == 0)
        return NULL;
    a->any = true;
    switch (data[0]) {
    case 1:
        return len > 1 ? sink_write(a->pack, data + 1, len - 1) : NULL;
    case 2:
        return NULL;
    case 3:
        a->unknown = strstr(data + 1, "not our ref") != NULL;
        a->done = a->unknown;
        return a->unknown ? NULL : server_says(data + 1);
    default:
        if (strncmp(data, "ERR ", 4) == 0)
            return server_says(data + 4);
        return err_new(ERR_REGISTRY, "the git server sent a packet on the unknown band %d", (unsigned char)data[0]);
    }
}

struct err *repo_answer_packet(struct repo_answer *a, int kind, const char *data, size_t len)
{
    if (a->done)
        return NULL;
    if (kind == PKT_FLUSH) {
        a->done = a->state == ANSWER_PACK || a->v2; /* of the old version one ends the lines about shallow commits */
        return NULL;
    }
    if (kind != PKT_DATA)
        return NULL;
    return a->state == ANSWER_PACK ? answer_band(a, data, len) : answer_line(a, data);
}

static struct err *on_answer_packet(void *ctx, enum pkt_kind kind, const char *data, size_t len)
{
    return repo_answer_packet(ctx, (int)kind, data, len);
}

static struct err *on_answer(void *ctx, const void *p, size_t n)
{
    return pkt_feed(ctx, p, n);
}

static bool can_shallow(const struct repo_refs *refs)
{
    const char *fetch = repo_refs_value(refs, "fetch");

    return refs->v2 ? fetch && strstr(fetch, "shallow") : repo_refs_can(refs, "shallow");
}

static void request_v2(const struct repo_want *want, bool shallow, struct buf *out)
{
    pkt_add(out, "command=fetch\n");
    common_words(out);
    pkt_delim(out);
    pkt_add(out, "no-progress\n");
    pkt_add(out, "ofs-delta\n");
    if (shallow)
        pkt_add(out, "deepen 1\n");
    for (size_t i = 0; i < want->n; i++)
        pkt_add(out, "want %s\n", want->hashes[i].hex);
    pkt_add(out, "done\n");
    pkt_flush(out);
}

static struct err *request_v0(const struct repo_refs *refs, const struct repo_want *want, bool shallow, struct buf *out)
{
    const char *band = repo_refs_can(refs, "side-band-64k") ? "side-band-64k" : "side-band";

    if (!repo_refs_can(refs, band))
        return err_new(ERR_REGISTRY, "the git server is too old: it cannot say what goes wrong (no side-band)");
    for (size_t i = 0; i < want->n; i++) {
        if (i == 0)
            pkt_add(out, "want %s %s%s%s agent=" AGENT "\n", want->hashes[i].hex, band,
                    repo_refs_can(refs, "ofs-delta") ? " ofs-delta" : "",
                    repo_refs_can(refs, "no-progress") ? " no-progress" : "");
        else
            pkt_add(out, "want %s\n", want->hashes[i].hex);
    }
    if (shallow)
        pkt_add(out, "deepen 1\n");
    pkt_flush(out);
    pkt_add(out, "done\n");
    return NULL;
}

struct err *repo_fetch_pack(struct repo_conn *c, const struct repo_refs *refs, const struct repo_want *want,
                            const struct sink *pack, bool *ret_shallow, bool *ret_unknown)
{
    AUTO(buf_release) struct buf request = BUF_INIT;
    struct repo_answer a = { .pack = pack, .v2 = refs->v2 };
    struct pkt_reader packets = { .fn = on_answer_packet, .ctx = &a };
    const struct sink out = { on_answer, &packets };
    bool shallow = !want->whole && can_shallow(refs);

    if (refs->v2)
        request_v2(want, shallow, &request);
    else
        TRY(request_v0(refs, want, shallow, &request));
    struct err *e = c->ops->ask(c, &request, &out, &a.done);
    if (!e && !a.done)
        e = pkt_feed_end(&packets);
    pkt_reader_release(&packets);
    TRY(e);
    if (!a.unknown && (!a.any || !a.done))
        return err_new(ERR_NETWORK, "the git server's answer ends before the pack does");
    *ret_shallow = a.shallow;
    *ret_unknown = a.unknown;
    return NULL;
}
