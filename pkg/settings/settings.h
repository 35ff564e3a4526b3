/* settings.h - the step's settings: PLUGIN_* variables and secret files to one checked struct. A table with one row a
 * setting (name, aliases, type, default, secret or not, help) feeds the reader, `copyup --help` and docs/settings.md.
 * Knows what each value must look like, not how anything is done. Contract: kaniko-acr's (first present name wins,
 * empty = not set). Immutable once read. */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include "base/err.h"
#include "base/mem.h"
#include "base/strs.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A secret text: the only way out is secret_reveal(). Nothing prints it: messages show ***. */
struct secret {
    char *value_; /* do not touch: secret_reveal() */
};
const char *secret_reveal(const struct secret *s); /* NULL if not set */

struct run_secret { /* for RUN --mount=type=secret */
    char *id;
    char *data; /* may hold NULs; wiped when freed */
    size_t len;
};

struct settings {
    /* what to build */
    char *dockerfile, *target;
    char *context;              /* a directory, the sub path already applied; unless one of the next two is set */
    char *context_url;          /* a context elsewhere: a git repository, or a file of http(s). May hold a password */
    char *context_archive;      /* a context in an archive: its path, or "stdin" */
    char *context_sub_path;     /* as given */
    struct strs build_args;     /* NAME=VALUE, or NAME alone (then the value of our environment) */
    struct strs labels;         /* NAME=VALUE */
    char *emulators;            /* a directory, or NULL */
    struct strs platforms;      /* valid, no duplicates */
    struct strs build_contexts; /* NAME=PLACE: a directory that exists, or a scheme and more */
    struct run_secret *run_secrets;
    size_t n_run_secrets;
    char *ssh_known_hosts; /* lines, or a path */
    struct secret ssh_key;
    struct strs secrets_from_env, secrets_from_file, secret_options; /* what they were read from */
    /* names */
    char *repo;       /* as given, with the registry's host in front if it had none */
    char *registry;   /* host[:port] */
    struct strs tags; /* expanded, automatic tags applied, valid, no duplicates */
    char *skip_build; /* not NULL: the commit gets no automatic tag and PLUGIN_AUTO_TAG_SKIP=ok: say this and end with
                         success */
    /* how */
    char *snapshot_mode;       /* "full", "redo", "time" */
    char *run_network;         /* "default", "none" */
    char *image_format;        /* "", "docker", "oci" */
    char *compression;         /* "gzip", "zstd", "none" */
    int64_t compression_level; /* 0 = default */
    bool reproducible, single_snapshot, squash, force;
    int64_t source_date_epoch;   /* -1 = not set */
    int64_t timeout_ms;          /* 0 = none */
    char *state_dir;             /* NULL = default */
    struct strs add_hosts;       /* lines of /etc/hosts */
    struct strs allow;           /* entitlements: "network.host" */
    char *snapshotter, *sandbox; /* COPYUP_SNAPSHOTTER, COPYUP_SANDBOX: "auto" or a name */
    struct strs ignore_paths;
    /* registry access */
    char *username; /* for `registry`; a service principal's id if it has a secret but no tenant is given */
    struct secret password;
    char *base_registry, *base_username;
    struct secret base_password;
    char *client_id, *tenant_id, *subscription_id, *authority_host;
    struct secret client_secret, oidc_token;
    struct secret client_certificate; /* PEM, or base64 of PEM or PKCS#12 */
    struct secret client_certificate_password;
    char *certificate_path; /* what it was read from, if at all */
    bool send_certificate_chain;
    char *federated_token_file;                      /* set only if it can be used */
    char *identity_object_id, *identity_resource_id; /* of a managed identity */
    char *identity_endpoint, *imds_endpoint;         /* of the service that gives its tokens */
    struct secret identity_header;
    struct strs docker_configs;        /* paths of config.json / .dockerconfigjson files that exist */
    struct secret docker_auth_config;  /* DOCKER_AUTH_CONFIG: the document itself */
    struct strs mirrors, registry_map; /* of Docker Hub; HOST=MIRROR */
    bool no_mirror_fallback, insecure, insecure_pull, skip_tls_verify, skip_tls_verify_pull;
    struct strs insecure_registries, skip_tls_registries; /* hosts */
    struct strs registry_certificates;                    /* host=path */
    struct strs registry_client_certs;                    /* host=cert,key */
    char *ca_file;
    int64_t push_retry, pull_retry; /* -1 = not set */
    int64_t stall_timeout_ms;
    bool skip_push_check;
    /* cache */
    bool enable_cache;      /* also because another setting names a cache */
    char *cache_repo;       /* to write and read: with the registry's host, without tag; NULL: nothing is written */
    struct strs cache_from; /* to read: the same, without those that are cache_repo */
    int64_t cache_ttl_h;
    bool no_cache, cache_copies, cache_runs;
    char *cache_mounts;        /* "local" or "registry" */
    int64_t state_bytes;       /* of the state directory; 0: what the volume has room for */
    int64_t state_age_ms;      /* what was not used for so long is removed from it; 0: for ever */
    int64_t cache_mount_bytes; /* of each that is kept in the registry */
    /* outputs */
    bool skip_existing_tags;
    bool no_push, push_only; /* no_push also when no repository is named */
    char *source_tar_path, *tar_path, *oci_layout_path, *artifact_file, *output_file;
    char *digest_file;
    struct strs image_digest_files, image_tag_digest_files;
    char *verbosity; /* "error", "warn", "info", "debug", "trace" ... */
    char *log_format;
    bool log_timestamp;
    /* what to tell the user: ignored or misspelt names, settings that have no effect; one line each, no secrets */
    struct strs notes;
    /* what `tags` and `build_args` were made of */
    bool expand_tag, auto_tag, multiple_build_args;
    char *auto_tag_suffix, *auto_tag_skip, *commit_ref, *default_branch;
    struct strs build_args_new, build_args_from_env;
    char *cache_to;
    struct strs import_cache, export_cache;
};

/* Puts what the file holds that PLUGIN_ENV_FILE names, if one, into the program's environment, where that has no value
 * of its own. Before there are threads, and before settings_read(). */
MUST_USE struct err *settings_load_env_file(void);
/* Reads environ-like NAME=VALUE entries (and the files they name). All mistakes are found before it returns, joined
 * into one error list of kind ERR_SETTING, each naming the variable, the value (*** for secrets) and what is allowed.
 */
MUST_USE struct err *settings_read(char *const *environ_entries, struct settings **ret);
void settings_free(struct settings *s); /* wipes secrets */
DEFINE_CLEANUP(struct settings *, settings_free);

/* The table as text for --help, and as the Markdown of docs/settings.md. */
void settings_print_help(FILE *out);
void settings_print_markdown(FILE *out);

#endif
