#include "wire.h"
#include "store/gc.h"

#include "base/limits.h"
#include "base/log.h"
#include "report.h"
#include "sys/file.h"
#include "version.h"

#include <limits.h>
#include <string.h>

struct wire_net {
    struct http *http;
    struct auth *auth;
    struct registry *registry;
};

/* ---- HTTP ---- */

/* Splits "host=rest"; the caller frees *ret_host. */
static const char *split_host(const char *entry, char **ret_host)
{
    const char *eq = strchr(entry, '=');

    *ret_host = eq ? xstrndup(entry, (size_t)(eq - entry)) : xstrdup(entry);
    return eq ? eq + 1 : "";
}

static bool host_skips_tls(const struct settings *s, const char *host)
{
    return strs_has(&s->skip_tls_registries, host) ||
           (s->skip_tls_verify && s->registry && strcmp(host, s->registry) == 0);
}

static void set_host(const struct settings *s, struct http *http, const char *host)
{
    struct http_host_opts o = { .skip_tls_verify = host_skips_tls(s, host) };
    AUTO_FREE char *cert = NULL;

    for (size_t i = 0; i < s->registry_certificates.n; i++) {
        AUTO_FREE char *name = NULL;
        const char *path = split_host(s->registry_certificates.items[i], &name);

        if (strcmp(name, host) == 0)
            o.ca_file = path;
    }
    for (size_t i = 0; i < s->registry_client_certs.n; i++) {
        AUTO_FREE char *name = NULL;
        const char *pair = split_host(s->registry_client_certs.items[i], &name);
        const char *comma = strchr(pair, ',');

        if (strcmp(name, host) != 0 || !comma)
            continue;
        free(cert);
        cert = xstrndup(pair, (size_t)(comma - pair));
        o.client_cert = cert;
        o.client_key = comma + 1;
    }
    http_set_host(http, host, &o);
}

static void set_hosts(const struct settings *s, struct http *http)
{
    AUTO(strs_release) struct strs hosts = { 0 };
    const struct strs *const lists[] = { &s->registry_certificates, &s->registry_client_certs,
                                         &s->skip_tls_registries };

    if (s->skip_tls_verify_pull) /* hosts that have rows of their own keep them */
        http_set_host(http, "*", &(struct http_host_opts){ .skip_tls_verify = true });
    if (s->registry && !s->skip_tls_verify_pull)
        strs_add(&hosts, s->registry);
    for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++) {
        for (size_t i = 0; i < lists[l]->n; i++) {
            AUTO_FREE char *host = NULL;

            (void)split_host(lists[l]->items[i], &host);
            if (!strs_has(&hosts, host))
                strs_add(&hosts, host);
        }
    }
    for (size_t i = 0; i < hosts.n; i++)
        set_host(s, http, hosts.items[i]);
}

static int stall_timeout_ms(const struct settings *s)
{
    bool never = s->stall_timeout_ms == 0 || s->stall_timeout_ms > INT_MAX;

    return never ? INT_MAX : (int)s->stall_timeout_ms;
}

struct http_opts wire_http(const struct settings *s, int retries, const struct cancel *cancel)
{
    return (struct http_opts){ .user_agent = "copyup/" COPYUP_VERSION,
                               .ca_file = s->ca_file,
                               .stall_timeout_ms = stall_timeout_ms(s),
                               .retries = retries,
                               .cancel = cancel };
}

static struct err *make_http(const struct settings *s, const struct cancel *cancel, struct http **ret)
{
    const struct http_opts opts = wire_http(s, -1, cancel);

    TRY(http_new(&opts, ret));
    set_hosts(s, *ret);
    return NULL;
}

/* ---- registry ---- */

static int more_tries(int64_t setting)
{
    return setting > 0 ? (int)setting : 0;
}

/* Mirrors of Docker Hub, and for other registries what a map says. */
static void add_mirrors(const struct settings *s, struct strs *out)
{
    for (size_t i = 0; i < s->mirrors.n; i++)
        strs_take(out, xasprintf("docker.io=%s", s->mirrors.items[i]));
    for (size_t i = 0; i < s->registry_map.n; i++)
        strs_add(out, s->registry_map.items[i]);
}

static struct err *make_registry(const struct settings *s, struct wire_net *n)
{
    struct registry_opts o = { .http = n->http,
                               .auth = n->auth,
                               .insecure_pull = s->insecure_pull,
                               .no_mirror_fallback = s->no_mirror_fallback,
                               .more_pull_tries = more_tries(s->pull_retry),
                               .more_push_tries = more_tries(s->push_retry) };

    add_mirrors(s, &o.mirrors);
    strs_copy(&o.insecure, &s->insecure_registries);
    if (s->insecure && s->registry)
        strs_add(&o.insecure, s->registry);
    struct err *e = registry_new(&o, &n->registry);
    strs_release(&o.insecure);
    strs_release(&o.mirrors);
    return e;
}

struct err *wire_net(const struct settings *s, const struct cancel *cancel, struct wire_net **ret)
{
    AUTO(wire_net_free) struct wire_net *n = xcalloc(1, sizeof(*n));

    TRY(make_http(s, cancel, &n->http));
    TRY(wire_auth(s, n->http, &n->auth));
    TRY(make_registry(s, n));
    *ret = steal(&n);
    return NULL;
}

void wire_net_set_cancel(struct wire_net *n, const struct cancel *cancel)
{
    http_set_cancel(n->http, cancel);
}

struct registry *wire_registry(const struct wire_net *n)
{
    return n->registry;
}

void wire_net_free(struct wire_net *n)
{
    if (!n)
        return;
    registry_free(n->registry);
    auth_free(n->auth);
    http_free(n->http);
    free(n);
}

/* ---- state and snapshots ---- */

struct err *wire_state_dir(const struct settings *s, char **ret_dir)
{
    if (s->state_dir) {
        *ret_dir = xstrdup(s->state_dir);
        return NULL;
    }
    return err_hint(store_default_dir(getenv("TMPDIR"), ret_dir), // NOLINT(concurrency-mt-unsafe)
                    "Mount an emptyDir volume and name it with PLUGIN_STATE_DIR.");
}

struct err *wire_store(const char *state_dir, struct store **ret)
{
    return err_hint(err_wrap(store_open(state_dir, ret), "cannot use the state directory '%s'", state_dir),
                    "Mount an emptyDir volume that the step's user can write, and name it with PLUGIN_STATE_DIR.");
}

static struct gc_opts clean_opts(const struct settings *s, const struct store *store, enum clean when)
{
    struct gc_opts o = { .max_age_s = INT64_MAX, .max_bytes = UINT64_MAX, .free_bytes = UINT64_MAX };

    if (when != CLEAN_ALL)
        o.free_bytes = store_usual_free(store);
    if (when != CLEAN_AT_START)
        return o;
    o.measure = true;
    o.max_age_s = s->state_age_ms ? s->state_age_ms / 1000 : INT64_MAX;
    if (s->state_bytes) {
        o.max_bytes = (uint64_t)s->state_bytes;
        o.free_bytes = 0;
    }
    return o;
}

bool wire_clean(const struct settings *s, const struct sandbox *sb, struct store *store, enum clean when, int64_t now_s,
                struct progress_printer *pp)
{
    static const char *const why[] = { [CLEAN_AT_START] = "",
                                       [CLEAN_FOR_STEP] = ": little of its volume was free",
                                       [CLEAN_ALL] = ": its volume was full" };
    struct gc_opts o = clean_opts(s, store, when);
    struct gc_stats stats;
    char size[32];

    o.space = sb->rung;
    o.now_s = now_s;
    store_gc(store, &o, &stats);
    if (stats.not_ours && when == CLEAN_AT_START) {
        progress_size(stats.not_ours_bytes, size);
        progress_line(
            pp,
            "state directory: %zu layers and cache mounts (%s) belong to another kind of sandbox, and stay until "
            "a build of that kind removes them",
            stats.not_ours, size);
    }
    if (!stats.removed)
        return false;
    progress_size(stats.freed_bytes, size);
    progress_line(pp, "state directory: %zu layers and cache mounts removed, %s%s", stats.removed, size, why[when]);
    return true;
}

struct err *wire_snapshotter(const struct settings *s, const struct sandbox *sb, const struct store *store,
                             struct snapshotter **ret)
{
    const struct snapshotter_opts o = { .state_dir = store_dir(store),
                                        .build_dir = store_build_dir(store),
                                        .layer_space = sb->rung,
                                        .backend = s->snapshotter ? s->snapshotter : "auto",
                                        .owners = sb->owners,
                                        .cancel = sb->cancel };

    return snapshotter_open(&o, ret);
}

/* ---- the build ---- */

static enum snapshot_mode snapshot_mode_of(const char *name)
{
    if (name && strcmp(name, "redo") == 0)
        return SNAPSHOT_REDO;
    return name && strcmp(name, "time") == 0 ? SNAPSHOT_TIME : SNAPSHOT_FULL;
}

static enum compression compression_of(const char *name)
{
    if (name && strcmp(name, "zstd") == 0)
        return COMPRESSION_ZSTD;
    return name && strcmp(name, "none") == 0 ? COMPRESSION_NONE : COMPRESSION_GZIP;
}

static int format_of(const char *name)
{
    if (!name || !*name)
        return -1;
    return strcmp(name, "oci") == 0 ? IMAGE_FORMAT_OCI : IMAGE_FORMAT_DOCKER;
}

void wire_image_format(const struct settings *s, const struct limits *limits, struct cancel *cancel,
                       struct compress_opts *ret_compress, int *ret_format)
{
    *ret_compress = (struct compress_opts){
        .kind = compression_of(s->compression),
        .level = (int)s->compression_level,
        .threads = limits_threads(limits),
        .cancel = cancel,
    };
    *ret_format = format_of(s->image_format);
}

struct err *wire_build(const struct settings *s, int64_t now_s, struct build_opts *o)
{
    const struct plan_epoch *epoch = &o->plan->epoch;

    o->snapshot_mode = snapshot_mode_of(s->snapshot_mode);
    wire_image_format(s, o->limits, o->cancel, &o->compress, &o->format);
    bool layout_alone = s->oci_layout_path && (s->no_push || !s->repo) && !s->tar_path;
    if (o->format < 0 && (o->compress.kind == COMPRESSION_ZSTD || layout_alone))
        o->format = IMAGE_FORMAT_OCI; /* Docker's format has no zstd layers; few tools read it in an OCI layout */
    o->labels = &s->labels;
    o->ignore_paths = &s->ignore_paths;
    o->hosts = &s->add_hosts;
    o->single_layer = s->single_snapshot;
    o->epoch_set = epoch->kind == PLAN_EPOCH_TIME || s->reproducible;
    o->created_s = epoch->kind == PLAN_EPOCH_TIME ? epoch->seconds : s->reproducible ? 0 : now_s;
    o->clamp_mtime_s = s->reproducible ? o->created_s : INT64_MAX;
    return NULL;
}

int wire_retries(const struct settings *s)
{
    return HTTP_DEFAULT_RETRIES + more_tries(s->pull_retry);
}

struct err *wire_portal_url(const struct wire_net *n, const struct settings *s, char **ret_url)
{
    *ret_url = NULL;
    if (!s->subscription_id || !s->artifact_file || !s->repo || s->no_push)
        return NULL;
    return err_hint(auth_portal_url(n->auth, s->registry, s->subscription_id, ret_url),
                    "It is only for the artifact file; SUBSCRIPTION_ID asks for it.");
}

struct err *wire_outputs(const struct settings *s, const struct digest *d, const struct strs *tags,
                         const char *portal_url, const char *changed)
{
    const struct report r = { .repo = s->repo,
                              .tags = *tags,
                              .digest = d->text,
                              .tar_path = s->push_only ? NULL : s->tar_path,
                              .portal_url = portal_url,
                              .changed = changed };

    return report_write(&r, s);
}

void wire_build_arg(const char *entry, struct strs *args)
{
    const char *value = strchr(entry, '=') ? NULL : getenv(entry); // NOLINT(concurrency-mt-unsafe)

    if (strchr(entry, '='))
        strs_add(args, entry);
    else if (value)
        strs_take(args, xasprintf("%s=%s", entry, value));
}

void wire_build_args(const struct settings *s, struct strs *ret_args)
{
    for (size_t i = 0; i < s->build_args.n; i++)
        wire_build_arg(s->build_args.items[i], ret_args);
}

int wire_log_level(const struct settings *s)
{
    const char *v = s->verbosity ? s->verbosity : "info";

    if (strcmp(v, "debug") == 0)
        return LOG_LEVEL_DEBUG;
    if (strcmp(v, "trace") == 0)
        return LOG_LEVEL_TRACE;
    return strcmp(v, "info") == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_QUIET;
}
