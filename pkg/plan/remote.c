/* remote.c - sources of ADD that lie elsewhere: which of them are, and the flags that only they have. */
#include "plan/plan_priv.h"

#include "address/address.h"
#include "address/git_address.h"

#include <string.h>
#include <strings.h>

#define SHA256_PREFIX "sha256:"

struct err *remote_check_source(enum df_kind instruction, const char *source, enum address_kind *ret_kind)
{
    AUTO_FREE char *shown = address_redact(source);
    enum address_kind kind;

    TRY(address_kind_of(source, &kind));
    if (kind != ADDRESS_PATH && instruction != DF_ADD)
        return err_hint(err_new(ERR_DOCKERFILE, "COPY cannot fetch '%s'", shown), "ADD takes sources from elsewhere.");
    *ret_kind = kind;
    return NULL;
}

static struct err *check_sha256(const char *checksum)
{
    const char *hex = checksum + strlen(SHA256_PREFIX);

    if (strncmp(checksum, SHA256_PREFIX, strlen(SHA256_PREFIX)) == 0 && strlen(hex) == 64 &&
        strspn(hex, "0123456789abcdef") == 64)
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "--checksum=%.200s cannot be compared with a file", checksum),
                    "For http and https it is sha256: and 64 digits in lower case, as sha256sum prints them.");
}

static struct err *check_commit(const char *checksum)
{
    if (strspn(checksum, "0123456789abcdefABCDEF") == strlen(checksum))
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "--checksum=%.200s is no commit hash", checksum),
                    "For a git repository it is the hash of the commit, or the begin of it.");
}

static struct err *check_checksum(const struct step *st, enum address_kind kind)
{
    if (!st->checksum)
        return NULL;
    if (st->sources.n + st->n_files != 1)
        return err_new(ERR_DOCKERFILE, "ADD --checksum needs a single source");
    if (kind == ADDRESS_PATH)
        return err_new(ERR_DOCKERFILE, "ADD --checksum needs a source of http, https or git");
    return kind == ADDRESS_HTTP ? check_sha256(st->checksum) : check_commit(st->checksum);
}

/* What both a flag and the URL say must be the same. */
static struct err *check_git(const struct step *st, const char *source)
{
    AUTO(git_address_release) struct git_address a = { 0 };
    bool is_git;

    TRY(git_address_parse(source, &a, &is_git));
    if (st->keep_git_dir >= 0 && a.keep_git_dir >= 0 && st->keep_git_dir != a.keep_git_dir)
        return err_new(ERR_DOCKERFILE, "--keep-git-dir and keep-git-dir of the URL contradict each other");
    if (st->checksum && *a.checksum && strcasecmp(st->checksum, a.checksum) != 0)
        return err_new(ERR_DOCKERFILE, "--checksum and the URL name different commits");
    return NULL;
}

struct err *remote_sources(struct step *st)
{
    enum address_kind kind = ADDRESS_PATH;

    for (size_t i = 0; i < st->sources.n; i++) {
        TRY(remote_check_source(st->add ? DF_ADD : DF_COPY, st->sources.items[i], &kind));
        st->remote = st->remote || kind != ADDRESS_PATH;
        if (kind == ADDRESS_GIT)
            TRY(check_git(st, st->sources.items[i]));
    }
    return check_checksum(st, kind);
}

struct err *remote_check_words(const struct df_instr *i)
{
    enum address_kind kind;

    if (i->kind != DF_ADD && i->kind != DF_COPY)
        return NULL;
    for (size_t k = 0; k < i->words.n; k++)
        if (!strchr(i->words.items[k], '$'))
            TRY(remote_check_source(i->kind, i->words.items[k], &kind));
    return NULL;
}
