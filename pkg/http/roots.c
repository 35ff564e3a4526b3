#include "http/http_priv.h"

#include "base/limits.h"

#include <limits.h>
#include <string.h>

/* The static program has no built-in path: every family of distributions keeps its bundle elsewhere. */
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, distroless */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL 7 and later */
    "/etc/ssl/ca-bundle.pem",                            /* SUSE */
    "/etc/ssl/cert.pem",                                 /* Alpine, BSD */
};

const char *roots_find(void)
{
    const char *own = getenv("SSL_CERT_FILE");

    if (own && *own && access(own, R_OK) == 0)
        return own;
    for (size_t i = 0; i < sizeof(bundles) / sizeof(bundles[0]); i++)
        if (access(bundles[i], R_OK) == 0)
            return bundles[i];
    return NULL;
}

char *roots_beside(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    AUTO_FREE char *own = slash ? xasprintf("%.*s/" ROOTS_BESIDE, (int)(slash - path), path) : NULL;
    return own && access(own, R_OK) == 0 ? steal(&own) : NULL;
}

static struct err *read_whole(FILE *f, const char *path, struct buf *out)
{
    char chunk[16384];
    size_t n;

    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        if (out->len + n > LIMIT_CA_FILE_BYTES)
            return err_new(ERR_SETTING, "the CA file '%s' is larger than %d bytes", path, LIMIT_CA_FILE_BYTES);
        buf_add(out, chunk, n);
    }
    if (ferror(f))
        return err_set_kind(err_sys(errno, "cannot read the CA file '%s'", path), ERR_SETTING);
    return NULL;
}

struct err *roots_add_file(const char *path, struct buf *out)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    FILE *f = fopen(path, "re");

    if (!f)
        return err_set_kind(err_sys(errno, "cannot open the CA file '%s'", path), ERR_SETTING);
    struct err *e = read_whole(f, path, &text);
    fclose(f);
    TRY(e);
    if (!strstr(buf_str(&text), "-----BEGIN CERTIFICATE-----") &&
        !strstr(text.data, "-----BEGIN TRUSTED CERTIFICATE-----"))
        return err_hint(
            err_new(ERR_SETTING, "the CA file '%s' holds no certificate in PEM form", path),
            "It must have a line -----BEGIN CERTIFICATE-----; convert DER files with 'openssl x509 -inform der'.");
    buf_add(out, text.data, text.len);
    buf_putc(out, '\n'); /* a bundle may lack its last newline, and the next one begins with dashes */
    return NULL;
}
