#include "ssh/ssh.h"

#include "base/buf.h"
#include "base/limits.h"
#include "ssh/ssh_priv.h"
#include "sys/net.h"
#include "sys/proc.h"

#include <libssh/libssh.h>
#include <pthread.h>
#include <string.h>

#define CONNECT_SECONDS 20L
#define POLL_MS         200   /* between looks at `cancel` */
#define STALL_MS        60000 /* no byte for that long: the server is gone */

struct ssh_run {
    struct ssh_opts o;
    ssh_session session;
    ssh_channel channel;
    char *host;
    struct buf stderr_text; /* what the command says when it fails */
};

static void init(void)
{
    ssh_without_gssapi();
    (void)ssh_init();
}

static const char *reason(const struct ssh_run *r)
{
    const char *text = ssh_get_error(r->session);

    return text && *text ? text : "no reason is given";
}

void ssh_run_close(struct ssh_run *r)
{
    if (!r)
        return;
    if (r->channel)
        ssh_channel_free(r->channel);
    if (r->session) {
        ssh_disconnect(r->session);
        ssh_free(r->session);
    }
    buf_release(&r->stderr_text);
    free(r->host);
    free(r);
}

/* ---- the connection ---- */

static bool set_options(struct ssh_run *r, const char *host, const char *port, const char *user)
{
    const char *known = r->o.known_hosts ? r->o.known_hosts : "/dev/null";
    ssh_session s = r->session;
    long seconds = CONNECT_SECONDS;
    int no = 0;

    return ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no) == 0 &&
           ssh_options_set(s, SSH_OPTIONS_HOST, host) == 0 &&
           ssh_options_set(s, SSH_OPTIONS_PORT_STR, *port ? port : "22") == 0 &&
           ssh_options_set(s, SSH_OPTIONS_USER, user) == 0 &&
           ssh_options_set(s, SSH_OPTIONS_SSH_DIR, "/nonexistent") == 0 &&
           ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, known) == 0 &&
           ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null") == 0 &&
           ssh_options_set(s, SSH_OPTIONS_TIMEOUT, &seconds) == 0 &&
           (!r->o.agent_socket || ssh_options_set(s, SSH_OPTIONS_IDENTITY_AGENT, r->o.agent_socket) == 0);
}

static struct err *connect_to(struct ssh_run *r, const char *user)
{
    AUTO_FREE char *host = NULL, *port = NULL;

    net_split(r->host, &host, &port);
    if (!set_options(r, host, port, user))
        return err_new(ERR_DOCKERFILE, "'%s@%s' cannot be used for SSH: %s", user, r->host, reason(r));
    if (ssh_connect(r->session) != SSH_OK)
        return err_hint(err_new(ERR_NETWORK, "cannot connect to '%s' by SSH: %s", r->host, reason(r)),
                        "Check the host's name, and that the pod's network policy or firewall allows SSH; https URLs "
                        "need less.");
    return cancel_check(r->o.cancel);
}

/* "SHA256:..." as ssh-keygen prints it. The caller frees by ssh_string_free_char. */
static char *fingerprint(const struct ssh_run *r)
{
    unsigned char *hash = NULL;
    ssh_key key = NULL;
    size_t len = 0;
    char *text = NULL;

    if (ssh_get_server_publickey(r->session, &key) == SSH_OK &&
        ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &len) == 0)
        text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, len);
    ssh_clean_pubkey_hash(&hash);
    ssh_key_free(key);
    return text;
}

static struct err *check_host(struct ssh_run *r)
{
    enum ssh_known_hosts_e state = ssh_session_is_known_server(r->session);
    char *print = state == SSH_KNOWN_HOSTS_OK ? NULL : fingerprint(r);
    struct err *e = NULL;

    if (state == SSH_KNOWN_HOSTS_CHANGED || state == SSH_KNOWN_HOSTS_OTHER)
        e = err_hint(
            err_new(ERR_AUTH, "the host key of '%s' is not the known one (it is %s)", r->host, print ? print : "?"),
            "If the host really has a new key, replace its line in the known hosts.");
    else if (state != SSH_KNOWN_HOSTS_OK)
        e = err_hint(
            err_new(ERR_AUTH, "the host key of '%s' is not known (it is %s)", r->host, print ? print : "?"),
            "Give the line that 'ssh-keyscan %s' prints as known host, after comparing its fingerprint with what "
            "the host's owner publishes.",
            r->host);
    ssh_string_free_char(print);
    return e;
}

/* ---- logging in ---- */

/* Tried first: it was given for this. */
static struct err *login_by_key(struct ssh_run *r, bool *ret_done)
{
    ssh_key key = NULL;

    if (ssh_pki_import_privkey_base64(r->o.key, NULL, NULL, NULL, &key) != SSH_OK)
        return err_hint(err_new(ERR_SETTING, "the private key for SSH cannot be read"),
                        "It must be a private key in PEM or OpenSSH form, without a passphrase.");
    *ret_done = ssh_userauth_publickey(r->session, NULL, key) == SSH_AUTH_SUCCESS;
    ssh_key_free(key);
    return NULL;
}

static struct err *login(struct ssh_run *r, const char *user)
{
    bool done = ssh_userauth_none(r->session, NULL) == SSH_AUTH_SUCCESS;

    if (!done && r->o.key)
        TRY(login_by_key(r, &done));
    if (!done && r->o.agent_socket)
        done = ssh_userauth_agent(r->session, NULL) == SSH_AUTH_SUCCESS;
    if (done)
        return cancel_check(r->o.cancel);
    if (!r->o.key && !r->o.agent_socket)
        return err_hint(err_new(ERR_AUTH, "there is no key to log in as '%s@%s'", user, r->host),
                        "Give a private key, or the socket of an agent, to the step; or use an https URL.");
    return err_hint(err_new(ERR_AUTH, "'%s' takes none of the keys for '%s'", r->host, user),
                    "Check that the key's public half is known there, and that it may read the repository.");
}

static struct err *start(struct ssh_run *r, const char *command)
{
    r->channel = ssh_channel_new(r->session);
    if (r->channel && ssh_channel_open_session(r->channel) == SSH_OK &&
        ssh_channel_request_exec(r->channel, command) == SSH_OK)
        return NULL;
    return err_new(ERR_REGISTRY, "'%s' does not run git's command: %s", r->host, reason(r));
}

struct err *ssh_run_open(const struct ssh_opts *opts, const char *host, const char *user, const char *command,
                         struct ssh_run **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    AUTO(ssh_run_close) struct ssh_run *r = xcalloc(1, sizeof(*r));

    pthread_once(&once, init);
    r->o = *opts;
    r->host = xstrdup(host);
    r->session = ssh_new();
    if (!r->session)
        return err_new(ERR_POD, "out of memory");
    TRY(connect_to(r, user));
    TRY(check_host(r));
    TRY(login(r, user));
    TRY(start(r, command));
    *ret = steal(&r);
    return NULL;
}

/* ---- the stream ---- */

static void read_stderr(struct ssh_run *r)
{
    char text[1024];
    int n;

    while ((n = ssh_channel_read_nonblocking(r->channel, text, sizeof(text), 1)) > 0)
        if (r->stderr_text.len < LIMIT_HTTP_ERROR_BODY_BYTES)
            buf_add(&r->stderr_text, text, (size_t)n);
}

/* One line of it, fit for a message. */
static char *said(struct ssh_run *r)
{
    char *text = xstrdup(buf_str(&r->stderr_text));
    size_t n = strlen(text);

    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        text[--n] = '\0';
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    if (n > 300)
        text[300] = '\0';
    return text;
}

static struct err *ended(struct ssh_run *r)
{
    int status;

    read_stderr(r);
    status = ssh_channel_get_exit_status(r->channel);
    AUTO_FREE char *text = said(r);
    if (status <= 0 && !*text)
        return NULL;
    return err_new(ERR_DOCKERFILE, "'%s' says: %s", r->host, *text ? text : "the command failed");
}

struct err *ssh_run_read(struct ssh_run *r, void *p, size_t n, size_t *ret_len)
{
    int64_t end = proc_now_ms() + STALL_MS;

    for (;;) {
        TRY(cancel_check(r->o.cancel));
        int got = ssh_channel_read_timeout(r->channel, p, n > 65536 ? 65536 : (uint32_t)n, 0, POLL_MS);
        read_stderr(r);
        if (got > 0) {
            *ret_len = (size_t)got;
            return NULL;
        }
        if (got == SSH_ERROR)
            return err_new(ERR_NETWORK, "the SSH connection to '%s' broke: %s", r->host, reason(r));
        if (ssh_channel_is_eof(r->channel)) {
            *ret_len = 0;
            return ended(r);
        }
        if (proc_now_ms() > end)
            return err_new(ERR_NETWORK, "'%s' has sent no byte for %d s", r->host, STALL_MS / 1000);
    }
}

struct err *ssh_run_write(struct ssh_run *r, const void *p, size_t n)
{
    while (n > 0) {
        int put = ssh_channel_write(r->channel, p, n > 65536 ? 65536 : (uint32_t)n);

        TRY(cancel_check(r->o.cancel));
        if (put <= 0)
            return err_new(ERR_NETWORK, "the SSH connection to '%s' broke: %s", r->host, reason(r));
        p = (const char *)p + put;
        n -= (size_t)put;
    }
    return NULL;
}
