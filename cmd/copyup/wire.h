/* wire.h - settings to the options of each module. */
#ifndef COPYUP_WIRE_H
#define COPYUP_WIRE_H

#include "build/build.h"
#include "progress.h"
#include "settings/settings.h"

/* HTTP client, credentials and registry client, which live and die together. */
struct wire_net;
MUST_USE struct err *wire_net(const struct settings *s, const struct cancel *cancel, struct wire_net **ret);
MUST_USE struct err *wire_auth(const struct settings *s, struct http *http, struct auth **ret); /* http is borrowed */
void wire_net_set_cancel(struct wire_net *n, const struct cancel *cancel);                      /* http_set_cancel() */
struct registry *wire_registry(const struct wire_net *n);                                       /* borrowed */
void wire_net_free(struct wire_net *n);
DEFINE_CLEANUP(struct wire_net *, wire_net_free);

/* The state directory: the one that was asked for, or the first usable one. Call it outside the sandbox, where our user
 * id is the pod's. The caller frees. */
MUST_USE struct err *wire_state_dir(const struct settings *s, char **ret_dir);
MUST_USE struct err *wire_store(const char *state_dir, struct store **ret);
/* Removes from a state directory that is kept what is too old or too much; until the usual reserve is free; or all that
 * nobody uses. Says so. False: there was nothing. */
enum clean { CLEAN_AT_START, CLEAN_FOR_STEP, CLEAN_ALL };
bool wire_clean(const struct settings *s, const struct sandbox *sb, struct store *store, enum clean when, int64_t now_s,
                struct progress_printer *pp);
MUST_USE struct err *wire_snapshotter(const struct settings *s, const struct sandbox *sb, const struct store *store,
                                      struct snapshotter **ret);
/* Fills what comes from the settings; the rest of o is set. now_s: the time to use where no epoch is given. */
MUST_USE struct err *wire_build(const struct settings *s, int64_t now_s, struct build_opts *o);
/* How new layers are compressed, and the image's format (-1: what it is made of decides). */
void wire_image_format(const struct settings *s, const struct limits *limits, struct cancel *cancel,
                       struct compress_opts *ret_compress, int *ret_format);
/* What RUN's mounts may ask for, checked: ERR_SETTING. s must outlive it. */
struct wire_run;
MUST_USE struct err *wire_run_new(const struct settings *s, struct wire_run **ret);
void wire_run_opts(struct wire_run *r, struct build_opts *o);
void wire_run_free(struct wire_run *r);
DEFINE_CLEANUP(struct wire_run *, wire_run_free);
/* A secret by its id, NULL if there is none; ctx is a struct wire_run. */
const void *wire_find_secret(void *ctx, const char *id, size_t *ret_len);
/* Sources that lie elsewhere, below the build's own directory: a client of its own, because what the settings allow a
 * registry (no TLS check, a client certificate) is not for them. `progress` is told what was fetched. */
struct wire_remote;
MUST_USE struct err *wire_remote(const struct settings *s, const struct wire_run *run, const struct sandbox *sb,
                                 const struct store *store, const struct progress *progress, struct wire_remote **ret);
struct remote *wire_remote_get(const struct wire_remote *r); /* borrowed */
void wire_remote_free(struct wire_remote *r);
DEFINE_CLEANUP(struct wire_remote *, wire_remote_free);

/* The layer cache; *ret NULL: none is used. progress must outlive it. */
MUST_USE struct err *wire_cache(const struct settings *s, struct registry *registry, const struct progress *progress,
                                int64_t now_s, struct cache **ret);
/* scope: as build_opts has it; borrowed, as is the cache. */
void wire_cache_opts(const struct settings *s, struct cache *c, const char *scope, struct build_opts *o);

/* What keeps cache mounts in the cache's repository; *ret NULL: nothing does. All but s must outlive it. */
struct wire_mounts;
MUST_USE struct err *wire_mounts(const struct settings *s, struct registry *registry, const struct build_opts *o,
                                 int64_t now_s, struct wire_mounts **ret);
struct mount_stash *wire_mounts_get(const struct wire_mounts *m); /* borrowed; NULL for NULL */
void wire_mounts_free(struct wire_mounts *m);
DEFINE_CLEANUP(struct wire_mounts *, wire_mounts_free);

/* Where the Azure portal shows the registry, if the settings ask for it; else NULL. The caller frees. */
MUST_USE struct err *wire_portal_url(const struct wire_net *n, const struct settings *s, char **ret_url);
/* Digest files, artifact file, output variables. changed: as struct report has it. */
MUST_USE struct err *wire_outputs(const struct settings *s, const struct digest *d, const struct strs *tags,
                                  const char *portal_url, const char *changed);

/* How the network is reached; the strings are of the settings. retries < 0: the usual number. */
struct http_opts wire_http(const struct settings *s, int retries, const struct cancel *cancel);
/* Of a download that is not a registry's. */
int wire_retries(const struct settings *s);
/* Build arguments as NAME=VALUE. A bare NAME takes its value from our environment, as with docker build; without one it
 * is as if it was not given. */
void wire_build_arg(const char *entry, struct strs *args);
void wire_build_args(const struct settings *s, struct strs *ret_args);
/* The log level for PLUGIN_VERBOSITY. */
int wire_log_level(const struct settings *s);

#endif
