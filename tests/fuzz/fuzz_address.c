/* What names a repository is written so that it names the same one again, and no password survives redaction. */
#include "address/address.h"
#include "address/git_address.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_git(const char *text)
{
    AUTO(git_address_release) struct git_address a = { 0 }, again = { 0 }, sub = { 0 };
    bool is_git = false, is_again = false;
    struct err *e = git_address_parse(text, &a, &is_git);

    err_free(e);
    if (e || !is_git)
        return;
    e = git_address_parse(a.remote, &again, &is_again);
    if (e || (!is_again && !a.ambiguous) || (is_again && strcmp(a.remote, again.remote) != 0))
        abort();
    e = git_address_submodule(&a, "../x/./y", &sub);
    if (e) /* only too long */
        err_free(e);
    else if (strcmp(sub.host, a.host) != 0 || sub.transport != a.transport)
        abort();
}

static bool is_token(const struct address *a)
{
    return a->user && *a->user && !a->password && (strcmp(a->scheme, "http") == 0 || strcmp(a->scheme, "https") == 0);
}

static void check_url(const char *text)
{
    AUTO(address_release) struct address a = { 0 };

    if (!address_split(text, &a))
        return;
    AUTO_FREE char *name = address_file_name(&a), *request = address_request(&a), *host = address_host_name(&a);
    AUTO_FREE char *shown = address_redact(text);
    AUTO(address_release) struct address redacted = { 0 }, again = { 0 };

    if (strchr(name, '/') || strlen(host) > strlen(request))
        abort();
    if (strpbrk(text, " \"'")) /* these may end a URL in a text */
        return;
    if (a.password && address_split(shown, &redacted) && redacted.password && strcmp(redacted.password, "xxxxx") != 0)
        abort();
    if (is_token(&a) && address_split(shown, &again) && (!again.user || strcmp(again.user, "xxxxx") != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)data, size);

    check_url(text);
    check_git(text);
    return 0;
}
