#include "../fixtures/settings_env.h"

#define TEXT(m) "text", offsetof(struct settings, m)
#define LIST(m) "list", offsetof(struct settings, m)
#define BOOL(m) "bool", offsetof(struct settings, m)
#define INT(m)  "int", offsetof(struct settings, m)
#define SEC(m)  "secret", offsetof(struct settings, m)

/* What one member of the struct becomes. NULL = not set. */
static const struct {
    const char *name;
    const char *env[MAX_ENV];
    const char *type;
    size_t place;
    const char *want;
} values[] = {
    { "defaults", { REPO }, TEXT(dockerfile), "Dockerfile" },
    { "default context", { REPO }, TEXT(context), "." },
    { "default snapshot mode", { REPO }, TEXT(snapshot_mode), "full" },
    { "default network", { REPO }, TEXT(run_network), "default" },
    { "no network", { REPO, "PLUGIN_RUN_NETWORK=none" }, TEXT(run_network), "none" },
    { "default compression", { REPO }, TEXT(compression), "gzip" },
    { "default format", { REPO }, TEXT(image_format), "" },
    { "default epoch", { REPO }, INT(source_date_epoch), "-1" },
    { "default retries", { REPO }, INT(push_retry), "-1" },
    { "default timeout", { REPO }, INT(timeout_ms), "0" },
    { "default snapshotter", { REPO }, TEXT(snapshotter), "auto" },
    { "default state", { REPO }, TEXT(state_dir), NULL },
    { "empty is not set", { REPO, "PLUGIN_DOCKERFILE=", "PLUGIN_PUSH_RETRY=" }, TEXT(dockerfile), "Dockerfile" },
    { "empty bool is not set", { REPO, "PLUGIN_NO_PUSH=" }, BOOL(no_push), "false" },
    { "Dockerfile", { REPO, "PLUGIN_DOCKERFILE=a/b" }, TEXT(dockerfile), "a/b" },
    { "kaniko's own switch", { REPO, "KANIKO_NO_PUSH=true" }, BOOL(no_push), "true" },
    { "labels by kaniko's name", { REPO, "PLUGIN_LABEL=a=b,c=d" }, LIST(labels), "a=b|c=d" },
    { "drone-docker's login service",
      { REPO, "PLUGIN_AZURE_AUTHORITY_HOST=https://login.microsoftonline.com" },
      TEXT(authority_host),
      "https://login.microsoftonline.com" },
    { "target", { REPO, "PLUGIN_TARGET=dev" }, TEXT(target), "dev" },
    { "context", { REPO, "PLUGIN_CONTEXT=src" }, TEXT(context), "src" },
    { "context as kaniko writes it", { REPO, "PLUGIN_CONTEXT=dir:///w/src" }, TEXT(context), "/w/src" },
    { "context of git", { REPO, "PLUGIN_CONTEXT=https://h/r.git#v1:d" }, TEXT(context_url), "https://h/r.git#v1:d" },
    { "context by ssh", { REPO, "PLUGIN_CONTEXT=git@h:o/r" }, TEXT(context_url), "git@h:o/r" },
    { "context of GitHub", { REPO, "PLUGIN_CONTEXT=github.com/o/r" }, TEXT(context_url), "github.com/o/r" },
    { "git as kaniko writes it",
      { REPO, "PLUGIN_CONTEXT=git://github.com/o/r#refs/heads/b" },
      TEXT(context_url),
      "https://github.com/o/r.git#refs/heads/b" },
    { "git as kaniko writes it, pinned",
      { REPO, "PLUGIN_CONTEXT=git://h/o/r.git#refs/heads/b#abc123", "GIT_PULL_METHOD=http" },
      TEXT(context_url),
      "http://h/o/r.git?checksum=abc123#refs/heads/b" },
    { "context by http", { REPO, "PLUGIN_CONTEXT=http://h/c.tgz?a=b" }, TEXT(context_url), "http://h/c.tgz?a=b" },
    { "archive", { REPO, "PLUGIN_CONTEXT=tar://a/b.tgz" }, TEXT(context_archive), "a/b.tgz" },
    { "archive from stdin", { REPO, "PLUGIN_CONTEXT=tar://stdin" }, TEXT(context_archive), "stdin" },
    { "no URL, no context elsewhere", { REPO }, TEXT(context_url), NULL },
    { "sub path", { REPO, "PLUGIN_CONTEXT=src", "PLUGIN_CONTEXT_SUB_PATH=/a/b/" }, TEXT(context), "src/a/b" },
    { "first alias", { REPO, "PLUGIN_DESTINATION_TAR_PATH=/b", "PLUGIN_TAR_PATH=/a" }, TEXT(tar_path), "/a" },
    { "empty first alias", { REPO, "PLUGIN_DESTINATION_TAR_PATH=/b", "PLUGIN_TAR_PATH=" }, TEXT(tar_path), "/b" },
    { "bool T", { REPO, "PLUGIN_REPRODUCIBLE=T" }, BOOL(reproducible), "true" },
    { "bool 0", { REPO, "PLUGIN_REPRODUCIBLE=0" }, BOOL(reproducible), "false" },
    { "hexadecimal", { REPO, "PLUGIN_PUSH_RETRY=0x3" }, INT(push_retry), "3" },
    { "octal", { REPO, "PLUGIN_IMAGE_DOWNLOAD_RETRY=010" }, INT(pull_retry), "8" },
    { "epoch", { REPO, "SOURCE_DATE_EPOCH=1700000000" }, INT(source_date_epoch), "1700000000" },
    { "timeout", { REPO, "PLUGIN_TIMEOUT=1h30m" }, INT(timeout_ms), "5400000" },
    { "timeout in seconds", { REPO, "PLUGIN_TIMEOUT=90" }, INT(timeout_ms), "90000" },
    { "list", { REPO, "PLUGIN_REGISTRY_MIRRORS= a , b,,c ," }, LIST(mirrors), "a|b|c" },
    { "list of nothing", { REPO, "PLUGIN_BUILD_ARGS=," }, LIST(build_args), "" },
    { "platform", { REPO, "PLUGIN_CUSTOM_PLATFORM=linux/arm64" }, LIST(platforms), "linux/arm64" },
    { "platforms",
      { REPO, "PLUGIN_PLATFORM=linux/amd64, linux/arm/v6,linux/arm/v7,wasi/wasm" },
      LIST(platforms),
      "linux/amd64|linux/arm/v6|linux/arm/v7|wasi/wasm" },
    { "labels", { REPO, "PLUGIN_CUSTOM_LABELS=a=b,c=d e,f=" }, LIST(labels), "a=b|c=d e|f=" },
    { "verbosity", { REPO, "PLUGIN_VERBOSITY=warning" }, TEXT(verbosity), "warn" },
    { "level -1", { REPO, "PLUGIN_COMPRESSION_LEVEL=-1" }, INT(compression_level), "0" },
    { "zstd means OCI", { REPO, "PLUGIN_COMPRESSION=zstd" }, TEXT(image_format), "oci" },
    { "OCI and an archive", { REPO, "PLUGIN_IMAGE_FORMAT=oci", "PLUGIN_TAR_PATH=/a" }, TEXT(image_format), "oci" },
    { "ignored paths", { REPO, "PLUGIN_IGNORE_PATH=/a,/b" }, LIST(ignore_paths), "/a|/b" },
    { "digest files", { REPO, "PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE=/a,/b" }, LIST(image_digest_files), "/a|/b" },
    { "the first of two entries counts", { REPO, "PLUGIN_TARGET=a", "PLUGIN_TARGET=b" }, TEXT(target), "a" },

    { "build args", { REPO, "PLUGIN_BUILD_ARGS=A=1,B=x,y" }, LIST(build_args), "A=1|B=x|y" },
    { "new build args without the switch",
      { REPO, "PLUGIN_BUILD_ARGS_NEW=A=1,2; B=x;" },
      LIST(build_args),
      "A=1,2|B=x" },
    { "new build args beside their twin",
      { REPO, "PLUGIN_BUILD_ARGS=A=1,2,B=x", "PLUGIN_BUILD_ARGS_NEW=A=1,2;B=x" },
      LIST(build_args),
      "A=1,2|B=x" },
    { "new build args beside others",
      { REPO, "PLUGIN_BUILD_ARGS=Z=9", "PLUGIN_BUILD_ARGS_NEW=A=1" },
      LIST(build_args),
      "Z=9" },
    { "new build args with the switch",
      { REPO, "PLUGIN_BUILD_ARGS=Z=9", "PLUGIN_BUILD_ARGS_NEW=A=1", "PLUGIN_MULTIPLE_BUILD_ARGS=true" },
      LIST(build_args),
      "A=1" },
    { "the switch alone",
      { REPO, "PLUGIN_BUILD_ARGS=Z=9", "PLUGIN_MULTIPLE_BUILD_ARGS=true" },
      LIST(build_args),
      "Z=9" },
    { "build args from the environment",
      { REPO, "PLUGIN_BUILD_ARGS=A=1", "PLUGIN_BUILD_ARGS_FROM_ENV=B,C" },
      LIST(build_args),
      "A=1|B|C" },

    { "repository with its host", { REPO }, TEXT(repo), "shop.azurecr.io/app" },
    { "registry from the repository", { REPO }, TEXT(registry), "shop.azurecr.io" },
    { "registry in front",
      { "PLUGIN_REPO=team/app", "PLUGIN_REGISTRY=shop.azurecr.io" },
      TEXT(repo),
      "shop.azurecr.io/team/app" },
    { "registry as URL",
      { "PLUGIN_REPO=app", "PLUGIN_REGISTRY=https://shop.azurecr.io/" },
      TEXT(repo),
      "shop.azurecr.io/app" },
    { "registry as URL, its host",
      { "PLUGIN_REPO=app", "PLUGIN_REGISTRY=https://shop.azurecr.io/" },
      TEXT(registry),
      "shop.azurecr.io" },
    { "registry with a path", { "PLUGIN_REPO=app", "PLUGIN_REGISTRY=x.io/team" }, TEXT(repo), "x.io/team/app" },
    { "the same registry twice", { REPO, "PLUGIN_REGISTRY=shop.azurecr.io" }, TEXT(repo), "shop.azurecr.io/app" },
    { "dotted name", { "PLUGIN_REPO=my.app", "PLUGIN_REGISTRY=x.io" }, TEXT(repo), "x.io/my.app" },
    { "localhost", { "PLUGIN_REPO=localhost/app" }, TEXT(registry), "localhost" },
    { "port", { "PLUGIN_REPO=reg:5000/app" }, TEXT(registry), "reg:5000" },
    { "another registry without credentials", { REPO, "PLUGIN_REGISTRY=y.io" }, TEXT(registry), "shop.azurecr.io" },
    { "no registry, not pushed", { "PLUGIN_REPO=app", "PLUGIN_NO_PUSH=true" }, TEXT(repo), "app" },
    { "no repository but an archive", { "PLUGIN_TAR_PATH=/a" }, BOOL(no_push), "true" },
    { "build only", { "PLUGIN_NO_PUSH=true" }, BOOL(no_push), "true" },

    { "default tag", { REPO }, LIST(tags), "latest" },
    { "empty tags", { REPO, "PLUGIN_TAGS=" }, LIST(tags), "latest" },
    { "tags once each", { REPO, "PLUGIN_TAGS=1.0, latest ,1.0,x" }, LIST(tags), "1.0|latest|x" },
    { "expanded", { REPO, "PLUGIN_TAGS=v1.2.3,latest", "PLUGIN_EXPAND_TAG=true" }, LIST(tags), "1|1.2|1.2.3|latest" },
    { "automatic", { REPO, "PLUGIN_AUTO_TAG=true", "DRONE_COMMIT_REF=refs/tags/v1.2.3" }, LIST(tags), "1|1.2|1.2.3" },
    { "automatic with suffix",
      { REPO, "PLUGIN_AUTO_TAG=true", "DRONE_COMMIT_REF=refs/heads/main", "DRONE_REPO_BRANCH=main",
        "PLUGIN_AUTO_TAG_SUFFIX=arm" },
      LIST(tags),
      "arm" },
    { "no automatic tag",
      { REPO, "PLUGIN_AUTO_TAG=true", "DRONE_COMMIT_REF=refs/heads/x", "DRONE_REPO_BRANCH=main",
        "PLUGIN_AUTO_TAG_SKIP=ok" },
      TEXT(skip_build),
      "the commit 'refs/heads/x' gets no automatic tag" },

    { "user name", { REPO, "PLUGIN_USERNAME=u", "PLUGIN_PASSWORD=p" }, SEC(password), "p" },
    { "service principal without a tenant", { REPO, "CLIENT_ID=c", "CLIENT_SECRET=s" }, TEXT(username), "c" },
    { "service principal's secret", { REPO, "CLIENT_ID=c", "CLIENT_SECRET=s" }, SEC(password), "s" },
    { "service principal with a tenant",
      { REPO, "CLIENT_ID=c", "CLIENT_SECRET=s", "TENANT_ID=t" },
      TEXT(username),
      NULL },
    { "secret by azidentity's name",
      { REPO, "AZURE_CLIENT_ID=c", "AZURE_CLIENT_SECRET=s", "AZURE_TENANT_ID=t" },
      SEC(client_secret),
      "s" },
    { "OIDC token", { REPO, "CLIENT_ID=c", "TENANT_ID=t", "PLUGIN_OIDC_TOKEN_ID=o" }, SEC(oidc_token), "o" },
    { "certificate",
      { REPO, "CLIENT_ID=c", "TENANT_ID=t", "CLIENT_CERTIFICATE=QUJD" },
      SEC(client_certificate),
      "QUJD" },
    { "certificate as PEM",
      { REPO, "CLIENT_ID=c", "TENANT_ID=t", "CLIENT_CERTIFICATE=-----BEGIN X-----\n" },
      SEC(client_certificate),
      "-----BEGIN X-----\n" },
    { "workload identity",
      { REPO, "AZURE_CLIENT_ID=c", "AZURE_TENANT_ID=t", "AZURE_FEDERATED_TOKEN_FILE=/t" },
      TEXT(federated_token_file),
      "/t" },
    { "workload identity without a client id",
      { REPO, "AZURE_TENANT_ID=t", "AZURE_FEDERATED_TOKEN_FILE=/t" },
      TEXT(federated_token_file),
      NULL },
    { "managed identity", { REPO, "AZURE_CLIENT_ID=c", "TENANT_ID=t" }, TEXT(client_id), "c" },
    { "certificate without a tenant, no push",
      { REPO, "CLIENT_ID=c", "CLIENT_CERTIFICATE=QUJD", "PLUGIN_NO_PUSH=true" },
      TEXT(client_id),
      "c" },
    { "user name before service principal",
      { REPO, "CLIENT_ID=c", "CLIENT_SECRET=s", "PLUGIN_USERNAME=u", "PLUGIN_PASSWORD=p" },
      SEC(password),
      "p" },
    { "identity is not needed with a user name",
      { REPO, "AZURE_CLIENT_ID=c", "AZURE_TENANT_ID=t", "PLUGIN_USERNAME=u", "PLUGIN_PASSWORD=p" },
      TEXT(username),
      "u" },
    { "identity is not needed without push",
      { REPO, "AZURE_CLIENT_ID=c", "PLUGIN_NO_PUSH=true" },
      TEXT(username),
      NULL },
    { "base image",
      { REPO, "PLUGIN_DOCKER_REGISTRY=https://index.docker.io/v1/", "PLUGIN_DOCKER_USERNAME=u",
        "PLUGIN_DOCKER_PASSWORD=p" },
      SEC(base_password),
      "p" },
    { "base image, all of another spelling",
      { REPO, "DOCKER_REGISTRY=r", "PLUGIN_BASE_IMAGE_USERNAME=u", "DOCKER_PASSWORD=p" },
      TEXT(base_registry),
      "r" },
    { "docker document", { REPO, "DOCKER_AUTH_CONFIG={\"auths\":{}}" }, SEC(docker_auth_config), "{\"auths\":{}}" },

    { "TLS of the registry",
      { REPO, "PLUGIN_SKIP_TLS_VERIFY_REGISTRY=true" },
      LIST(skip_tls_registries),
      "shop.azurecr.io" },
    { "TLS of no registry", { REPO, "PLUGIN_SKIP_TLS_VERIFY_REGISTRY=false" }, LIST(skip_tls_registries), "" },
    { "TLS of some", { REPO, "PLUGIN_SKIP_TLS_VERIFY_REGISTRY=a:1,https://b/" }, LIST(skip_tls_registries), "a:1|b" },
    { "insecure registries", { REPO, "PLUGIN_INSECURE_REGISTRY=a,http://b" }, LIST(insecure_registries), "a|b" },

    { "cache repository with host",
      { REPO, "PLUGIN_CACHE_REPO=shop.azurecr.io/cache" },
      TEXT(cache_repo),
      "shop.azurecr.io/cache" },
    { "cache repository with tag",
      { REPO, "PLUGIN_CACHE_REPO=shop.azurecr.io/cache:1" },
      TEXT(cache_repo),
      "shop.azurecr.io/cache" },
    { "cache repository without", { REPO, "PLUGIN_CACHE_REPO=cache" }, TEXT(cache_repo), "shop.azurecr.io/cache" },
    { "cache for mounts", { REPO, "PLUGIN_CACHE_MOUNTS=registry" }, TEXT(cache_repo), "shop.azurecr.io/app/cache" },
    { "cache beside the image", { REPO, "PLUGIN_ENABLE_CACHE=true" }, TEXT(cache_repo), "shop.azurecr.io/app/cache" },
    { "cache repository of buildx",
      { REPO, "PLUGIN_CACHE_TO=type=registry,ref=shop.azurecr.io/c:t,mode=max" },
      TEXT(cache_repo),
      "shop.azurecr.io/c" },
    { "cache repository of Kimia",
      { REPO, "PLUGIN_EXPORT_CACHE=type=registry,ref=c" },
      TEXT(cache_repo),
      "shop.azurecr.io/c" },
    { "a cache to read only", { REPO, "PLUGIN_CACHE_FROM=c" }, TEXT(cache_repo), NULL },
    { "a cache that is named is used", { REPO, "PLUGIN_CACHE_FROM=c" }, BOOL(enable_cache), "true" },
    { "unless it is switched off",
      { REPO, "PLUGIN_CACHE_FROM=c", "PLUGIN_ENABLE_CACHE=false" },
      BOOL(enable_cache),
      "false" },
    { "caches to read",
      { REPO, "PLUGIN_CACHE_FROM=a,type=registry,ref=b.io/x:t,type=gha,ref=g",
        "PLUGIN_IMPORT_CACHE=type=registry,ref=a;type=inline", "PLUGIN_CACHE_REPO=r" },
      LIST(cache_from),
      "shop.azurecr.io/a|b.io/x" },
    { "the cache's own repository is read anyway",
      { REPO, "PLUGIN_ENABLE_CACHE=true", "PLUGIN_CACHE_FROM=app/cache,b" },
      LIST(cache_from),
      "shop.azurecr.io/b" },
    { "copies are cached", { REPO }, BOOL(cache_copies), "true" },
    { "cache ttl", { REPO, "PLUGIN_CACHE_TTL=0b11" }, INT(cache_ttl_h), "3" },
    { "cache ttl of kaniko", { REPO, "PLUGIN_CACHE_TTL=0" }, INT(cache_ttl_h), "336" },
};

static char *member_text(const struct settings *s, const char *type, size_t place)
{
    const char *at = (const char *)s + place;

    if (strcmp(type, "text") == 0) {
        const char *text = *(char *const *)at;
        return text ? xstrdup(text) : NULL;
    }
    if (strcmp(type, "secret") == 0) {
        const char *text = secret_reveal((const struct secret *)at);
        return text ? xstrdup(text) : NULL;
    }
    if (strcmp(type, "bool") == 0)
        return xstrdup(*(const bool *)at ? "true" : "false");
    if (strcmp(type, "int") == 0)
        return xasprintf("%lld", (long long)*(const int64_t *)at);
    return joined((const struct strs *)at);
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        AUTO(settings_free) struct settings *s = NULL;
        struct err *e = read_env(values[i].env, &s);

        if (e)
            fail_msg("'%s' is refused: %s", values[i].name, err_message(e));
        AUTO_FREE char *have = member_text(s, values[i].type, values[i].place);
        if (!have != !values[i].want || (have && strcmp(have, values[i].want) != 0))
            fail_msg("'%s' gives %s", values[i].name, have ? have : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_values) };

    return cmocka_run_group_tests_name("settings_members", tests, NULL, NULL);
}
