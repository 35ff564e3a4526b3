/* What a git server sends before its pack, and what stands in its objects. The first byte says what the rest is. */
#include "repo/fetch.h"
#include "repo/parse.h"
#include "repo/pkt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *on_pack(void *ctx, const void *p, size_t n)
{
    (void)p;
    *(size_t *)ctx += n;
    return NULL;
}

static struct err *to_answer(void *ctx, enum pkt_kind kind, const char *data, size_t len)
{
    return repo_answer_packet(ctx, (int)kind, data, len);
}

static void check_answer(const char *p, size_t n, bool v2)
{
    size_t got = 0;
    const struct sink sink = { on_pack, &got };
    struct repo_answer a = { .pack = &sink, .v2 = v2 };
    struct pkt_reader r = { .fn = to_answer, .ctx = &a };
    struct err *e = NULL;

    for (size_t at = 0; at < n && !e; at += 7)
        e = pkt_feed(&r, p + at, n - at < 7 ? n - at : 7);
    err_free(e);
    pkt_reader_release(&r);
    if (got > n)
        abort();
}

static struct err *to_refs(void *ctx, enum pkt_kind kind, const char *data, size_t len)
{
    struct repo_refs *r = ctx;

    if (kind != PKT_DATA)
        return NULL;
    return r->v2 ? repo_refs_line_v2(r, data) : repo_refs_line_v0(r, data, len);
}

static void check_refs(const char *p, size_t n, bool v2)
{
    AUTO(repo_refs_release) struct repo_refs refs = { .v2 = v2, .all = true };
    struct pkt_reader r = { .fn = to_refs, .ctx = &refs };

    repo_ref_names("main", &refs.wanted);
    err_free(pkt_feed(&r, p, n));
    pkt_reader_release(&r);
    const struct repo_ref *found = repo_refs_find(&refs, "main");
    if (found && strlen(found->hash.hex) != REPO_HASH_LEN)
        abort();
}

static void check_tree(const char *p, size_t n)
{
    bool found = true;
    struct err *e = NULL;

    for (size_t pos = 0; found && !e;) {
        struct repo_entry entry;

        e = repo_parse_entry(p, n, &pos, &entry, &found);
        if (!e && found && (strchr(entry.name, '/') || strcmp(entry.name, "..") == 0 || pos > n))
            abort();
    }
    err_free(e);
}

static void check_objects(const char *p, size_t n)
{
    AUTO(repo_modules_release) struct repo_modules modules = { 0 };
    struct repo_commit commit;
    struct repo_hash hash;
    bool tag;

    err_free(repo_parse_commit(p, n, &commit));
    err_free(repo_parse_tag(p, n, &hash, &tag));
    err_free(repo_parse_modules(p, n, &modules));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xcalloc(1, size + 1);

    if (size == 0)
        return 0;
    memcpy(text, data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        check_answer(text, size - 1, data[0] & 4);
        break;
    case 1:
        check_refs(text, size - 1, data[0] & 4);
        break;
    case 2:
        check_tree(text, size - 1);
        break;
    default:
        check_objects(text, size - 1);
    }
    return 0;
}
