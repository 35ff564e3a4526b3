/* scrub.c - an error's text may repeat what the request carried (whole header lines, the signed URL, the form), and
 * ends up in messages: secrets are taken out of it here, whoever reads it. */
#include "http/http_priv.h"

#include "base/base64.h"

#include <string.h>
#include <strings.h>

/* Shorter ones would take ordinary words out of the text. */
#define SECRET_MIN_BYTES 4
/* A parameter of a URL that is as long may be a signature. */
#define SIGNATURE_MIN_BYTES 16

/* What a URL has behind a NUL, a text does not show: only as it was sent. */
static void add(struct strs *secrets, const char *s, size_t n)
{
    n = strnlen(s, n);
    if (n >= SECRET_MIN_BYTES)
        secret_spell(s, n, secrets);
}

/* The value of a field, as it was sent and decoded. */
static void add_encoded(struct strs *secrets, const char *s, size_t n)
{
    int len = 0;
    char *plain = curl_easy_unescape(NULL, s, (int)n, &len);

    add(secrets, s, n);
    if (plain) {
        add(secrets, plain, (size_t)len);
        explicit_bzero(plain, (size_t)len);
    }
    curl_free(plain);
}

/* "Bearer TOKEN", "Basic BASE64": also the password in it. */
static void add_authorization(struct strs *secrets, const char *value)
{
    const char *blank = strchr(value, ' ');
    const char *text = blank ? blank + 1 : value;
    AUTO(buf_release) struct buf plain = BUF_INIT;

    add(secrets, text, strlen(text));
    if (strncasecmp(value, "Basic ", 6) != 0 || !base64_decode(text, strlen(text), &plain))
        return;
    const char *colon = memchr(buf_str(&plain), ':', plain.len);
    if (colon)
        add(secrets, colon + 1, plain.len - (size_t)(colon + 1 - plain.data));
    explicit_bzero(plain.data, plain.len);
}

/* Headers that hold nothing of interest; all others are somebody's key. */
static bool is_plain_header(const char *line, size_t n)
{
    static const char *const names[] = { "Accept",         "Content-Type", "Content-Range",
                                         "Content-Length", "Range",        "Metadata" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == n && strncasecmp(line, names[i], n) == 0)
            return true;
    return false;
}

static void add_headers(struct strs *secrets, const struct strs *headers)
{
    for (size_t i = 0; i < headers->n; i++) {
        const char *line = headers->items[i], *colon = strchr(line, ':');

        if (colon && !is_plain_header(line, (size_t)(colon - line)))
            add(secrets, colon + 1 + strspn(colon + 1, " "), strlen(colon + 1 + strspn(colon + 1, " ")));
    }
}

/* Fields that tell nothing, and that a message may well repeat. */
static bool is_plain_field(const char *s, size_t n)
{
    static const char *const names[] = { "grant_type", "service", "scope",    "client_id", "client_assertion_type",
                                         "tenant",     "account", "resource", "username",  "digest",
                                         "mount",      "from",    "object_id" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == n && strncmp(s, names[i], n) == 0)
            return true;
    return false;
}

/* NAME=VALUE&...: values that are at least so long. */
static void add_fields(struct strs *secrets, const char *s, size_t n, size_t at_least)
{
    for (const char *end = s + n; s < end;) {
        const char *amp = memchr(s, '&', (size_t)(end - s));
        const char *stop = amp ? amp : end;
        const char *eq = memchr(s, '=', (size_t)(stop - s));

        if (eq && !is_plain_field(s, (size_t)(eq - s)) && (size_t)(stop - eq) > at_least)
            add_encoded(secrets, eq + 1, (size_t)(stop - eq - 1));
        s = stop + 1;
    }
}

static void add_url(struct strs *secrets, const char *url)
{
    const char *query = strchr(url, '?');

    if (query)
        add_fields(secrets, query + 1, strcspn(query + 1, "#"), SIGNATURE_MIN_BYTES);
}

static bool is_form(const struct http_request *rq)
{
    for (size_t i = 0; i < rq->headers.n; i++)
        if (strcasecmp(rq->headers.items[i], "Content-Type: application/x-www-form-urlencoded") == 0)
            return rq->body != NULL;
    return false;
}

static void replace(struct buf *text, const char *secret)
{
    size_t n = strlen(secret);
    struct buf out = BUF_INIT;
    const char *p = buf_str(text), *end = p + text->len, *at;

    while ((at = memmem(p, (size_t)(end - p), secret, n))) {
        buf_add(&out, p, (size_t)(at - p));
        buf_puts(&out, "***");
        p = at + n;
    }
    buf_add(&out, p, (size_t)(end - p));
    explicit_bzero(text->data, text->len);
    buf_release(text);
    *text = out;
}

/* The text may have been cut in the middle of a secret. */
static void cut_begun(struct buf *text, const char *secret)
{
    size_t n = strlen(secret) - 1;

    for (n = n < text->len ? n : text->len; n >= SECRET_MIN_BYTES; n--) {
        char *at = text->data + text->len - n;

        if (memcmp(at, secret, n) != 0)
            continue;
        explicit_bzero(at, n);
        text->len -= n;
        buf_puts(text, "***");
        return;
    }
}

static int longer_first(const void *a, const void *b)
{
    size_t n = strlen(*(char *const *)a), m = strlen(*(char *const *)b);

    return n < m ? 1 : n > m ? -1 : 0;
}

static void find_secrets(const struct transfer *t, struct strs *secrets)
{
    const struct http_request *rq = t->rq;

    if (rq->authorization)
        add_authorization(secrets, rq->authorization);
    add_headers(secrets, &rq->headers);
    add_url(secrets, rq->url);
    add_url(secrets, t->url);
    if (is_form(rq))
        add_fields(secrets, rq->body, rq->body_len, 0);
    if (secrets->n) /* one may be a piece of another: the rest of that would stay */
        qsort(secrets->items, secrets->n, sizeof(*secrets->items), longer_first);
}

void scrub_answer(struct transfer *t)
{
    struct strs secrets = { 0 };

    if (!t->r.body.len)
        return;
    find_secrets(t, &secrets);
    for (size_t i = 0; i < secrets.n; i++) {
        if (memmem(t->r.body.data, t->r.body.len, secrets.items[i], strlen(secrets.items[i])))
            replace(&t->r.body, secrets.items[i]);
        if (t->truncated)
            cut_begun(&t->r.body, secrets.items[i]);
        explicit_bzero(secrets.items[i], strlen(secrets.items[i]));
    }
    strs_release(&secrets);
}
