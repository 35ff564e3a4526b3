#include "../fixtures/settings_env.h"
#include "base/limits.h"
#include "sys/file.h"

#include <fcntl.h>
#include <sys/stat.h>

static char dir[64]; /* of files that settings name; also the working directory */

/* Each must be refused, with all of these in the message. */
static const struct {
    const char *name;
    const char *env[MAX_ENV];
    const char *says[3];
} mistakes[] = {
    { "bool", { REPO, "PLUGIN_NO_PUSH=yes" }, { "PLUGIN_NO_PUSH", "'yes'", "true or false" } },
    { "bool by its alias", { REPO, "PLUGIN_DRY_RUN=on" }, { "PLUGIN_DRY_RUN", "'on'" } },
    { "bool without effect", { REPO, "PLUGIN_CLEANUP=maybe" }, { "PLUGIN_CLEANUP", "'maybe'" } },
    { "number", { REPO, "PLUGIN_CACHE_TTL=24h" }, { "PLUGIN_CACHE_TTL", "'24h'", "whole number" } },
    { "negative", { REPO, "PLUGIN_PUSH_RETRY=-1" }, { "PLUGIN_PUSH_RETRY", "0 to 100" } },
    { "epoch", { REPO, "SOURCE_DATE_EPOCH=now" }, { "SOURCE_DATE_EPOCH", "'now'" } },
    { "time", { REPO, "PLUGIN_TIMEOUT=1y" }, { "PLUGIN_TIMEOUT", "'1y'", "1h30m" } },
    { "choice", { REPO, "PLUGIN_SNAPSHOT_MODE=fast" }, { "PLUGIN_SNAPSHOT_MODE", "'fast'", "full redo time" } },
    { "half a choice", { REPO, "PLUGIN_LOG_FORMAT=te" }, { "PLUGIN_LOG_FORMAT", "text color json" } },
    { "label", { REPO, "PLUGIN_CUSTOM_LABELS=a=b,c" }, { "PLUGIN_CUSTOM_LABELS", "'c'", "comma" } },
    { "label without name", { REPO, "PLUGIN_CUSTOM_LABELS==b" }, { "'=b'" } },
    { "build arg without name", { REPO, "PLUGIN_BUILD_ARGS==secret" }, { "PLUGIN_BUILD_ARGS" } },
    { "platform", { REPO, "PLUGIN_PLATFORM=linux/amd64/x/y" }, { "PLUGIN_PLATFORM", "linux/amd64/x/y" } },
    { "unknown architecture", { REPO, "PLUGIN_PLATFORM=linux/amd46" }, { "PLUGIN_PLATFORM", "'linux/amd64'?" } },
    { "unknown system", { REPO, "PLUGIN_PLATFORM=linus/amd64" }, { "PLUGIN_PLATFORM", "'linux'?" } },
    { "unknown word", { REPO, "PLUGIN_PLATFORM=arm46" }, { "PLUGIN_PLATFORM", "'arm64'?" } },
    { "windows", { REPO, "PLUGIN_PLATFORM=windows/amd64" }, { "PLUGIN_PLATFORM", "Windows" } },
    { "a platform twice",
      { REPO, "PLUGIN_PLATFORM=linux/arm64,linux/amd64,linux/aarch64/v8" },
      { "PLUGIN_PLATFORM", "'linux/arm64' and 'linux/aarch64/v8'" } },
    { "two mistakes in one list", { REPO, "PLUGIN_PLATFORM=linux/amd46,linux/arm64,windows" }, { "amd46", "Windows" } },
    { "an archive of several platforms",
      { REPO, "PLUGIN_PLATFORM=linux/amd64,linux/arm64", "PLUGIN_TAR_PATH=x.tar" },
      { "PLUGIN_TAR_PATH", "PLUGIN_OCI_LAYOUT_PATH" } },
    { "context of a bucket",
      { REPO, "PLUGIN_CONTEXT=s3://x/y" },
      { "PLUGIN_CONTEXT", "s3://x/y", "cannot be fetched" } },
    { "wrong query", { REPO, "PLUGIN_CONTEXT=https://h/r.git?x=1" }, { "PLUGIN_CONTEXT", "unknown key 'x'" } },
    { "password of a context",
      { REPO, "PLUGIN_CONTEXT=ftp://u:hidden@h/r" },
      { "PLUGIN_CONTEXT", "ftp://u:xxxxx@h/r" } },
    { "sub path leaves", { REPO, "PLUGIN_CONTEXT_SUB_PATH=a/../../b" }, { "PLUGIN_CONTEXT_SUB_PATH", "inside" } },
    { "zstd in Docker's format",
      { REPO, "PLUGIN_COMPRESSION=zstd", "PLUGIN_IMAGE_FORMAT=docker" },
      { "PLUGIN_COMPRESSION", "gzip" } },
    { "level", { REPO, "PLUGIN_COMPRESSION_LEVEL=15" }, { "PLUGIN_COMPRESSION_LEVEL", "1 to 12" } },

    { "no destination", { "PLUGIN_TAGS=1" }, { "PLUGIN_REPO is not set", "PLUGIN_NO_PUSH=true" } },
    { "no registry", { "PLUGIN_REPO=app" }, { "names no registry", "PLUGIN_REGISTRY" } },
    { "repository with tag", { "PLUGIN_REPO=x.io/app:1" }, { "neither tag nor digest", "PLUGIN_TAGS" } },
    { "repository as URL", { "PLUGIN_REPO=https://x.io/app" }, { "PLUGIN_REPO", "scheme" } },
    { "repository in capitals", { "PLUGIN_REPO=x.io/App" }, { "PLUGIN_REPO", "lower case" } },
    { "credentials for another registry",
      { REPO, "PLUGIN_REGISTRY=y.io", "PLUGIN_USERNAME=u", "PLUGIN_PASSWORD=p" },
      { "PLUGIN_REGISTRY", "'y.io'", "'shop.azurecr.io'" } },

    { "tag", { REPO, "PLUGIN_TAGS=ok,1.0+x" }, { "PLUGIN_TAGS", "'1.0+x'" } },
    { "expanded tag", { REPO, "PLUGIN_TAGS=1.2.3+b", "PLUGIN_EXPAND_TAG=true" }, { "'1+b'", "'1.2+b'", "'1.2.3+b'" } },
    { "automatic and given tags",
      { REPO, "PLUGIN_AUTO_TAG=true", "PLUGIN_TAGS=a" },
      { "PLUGIN_AUTO_TAG", "PLUGIN_TAGS" } },
    { "automatic and expanded",
      { REPO, "PLUGIN_AUTO_TAG=1", "PLUGIN_EXPAND_TAG=1" },
      { "PLUGIN_AUTO_TAG", "PLUGIN_EXPAND_TAG" } },
    { "other branch",
      { REPO, "PLUGIN_AUTO_TAG=1", "DRONE_COMMIT_REF=refs/heads/x", "DRONE_REPO_BRANCH=main" },
      { "refs/heads/x", "PLUGIN_AUTO_TAG_SKIP" } },
    { "no version",
      { REPO, "PLUGIN_AUTO_TAG=1", "DRONE_COMMIT_REF=refs/tags/release-1" },
      { "refs/tags/release-1", "semantic version" } },

    { "user name alone", { REPO, "PLUGIN_USERNAME=u" }, { "PLUGIN_USERNAME is set, but PLUGIN_PASSWORD is not" } },
    { "password alone", { REPO, "PLUGIN_PASSWORD=geheim" }, { "PLUGIN_PASSWORD is set, but PLUGIN_USERNAME is not" } },
    { "secret alone", { REPO, "CLIENT_SECRET=geheim" }, { "CLIENT_SECRET is set, but CLIENT_ID is not" } },
    { "certificate without a tenant",
      { REPO, "CLIENT_ID=c", "CLIENT_CERTIFICATE=QUJD" },
      { "CLIENT_CERTIFICATE is set, but TENANT_ID is not" } },
    { "certificate that is none",
      { REPO, "CLIENT_ID=c", "TENANT_ID=t", "CLIENT_CERTIFICATE=geheim!" },
      { "CLIENT_CERTIFICATE is '***'" } },
    { "OIDC without ids",
      { REPO, "PLUGIN_OIDC_TOKEN_ID=geheim" },
      { "PLUGIN_OIDC_TOKEN_ID is set, but CLIENT_ID and TENANT_ID are not" } },
    { "tenant that leads elsewhere", { REPO, "TENANT_ID=x/../y" }, { "TENANT_ID is 'x/../y'" } },
    { "client that leads elsewhere", { REPO, "AZURE_CLIENT_ID=a&b" }, { "AZURE_CLIENT_ID is 'a&b'" } },
    { "base image registry alone", { REPO, "PLUGIN_DOCKER_REGISTRY=r" }, { "PLUGIN_DOCKER_REGISTRY is set" } },
    { "base image without password",
      { REPO, "PLUGIN_BASE_IMAGE_REGISTRY=r", "PLUGIN_BASE_IMAGE_USERNAME=u" },
      { "PLUGIN_BASE_IMAGE_PASSWORD is not" } },
    { "base image without registry",
      { REPO, "PLUGIN_BASE_IMAGE_PASSWORD=geheim", "PLUGIN_BASE_IMAGE_USERNAME=u" },
      { "PLUGIN_BASE_IMAGE_USERNAME is set", "PLUGIN_BASE_IMAGE_REGISTRY" } },
    { "docker document", { REPO, "DOCKER_AUTH_CONFIG={\"geheim" }, { "DOCKER_AUTH_CONFIG", "'***'" } },
    { "docker document of another type", { REPO, "DOCKER_AUTH_CONFIG=[]" }, { "DOCKER_AUTH_CONFIG" } },
    { "docker document as path",
      { REPO, "PLUGIN_DOCKER_CONFIG={\"auths\":\"geheim\"}" },
      { "PLUGIN_DOCKER_CONFIG", "DOCKER_AUTH_CONFIG" } },
    { "docker configuration is not there",
      { REPO, "PLUGIN_DOCKER_CONFIG=/nowhere/x" },
      { "PLUGIN_DOCKER_CONFIG", "'/nowhere/x'" } },
    { "certificate of a registry",
      { REPO, "PLUGIN_REGISTRY_CERTIFICATE=x.io" },
      { "PLUGIN_REGISTRY_CERTIFICATE", "HOST=FILE" } },
    { "client certificate",
      { REPO, "PLUGIN_REGISTRY_CLIENT_CERT=x.io=/nowhere,/nowhere" },
      { "'x.io=/nowhere,/nowhere'" } },
    { "secret file is not there",
      { REPO, "PLUGIN_USERNAME=u", "PLUGIN_PASSWORD_FILE=/nowhere/p" },
      { "PLUGIN_PASSWORD", "/nowhere/p" } },
    { "secret and its file",
      { REPO, "CLIENT_SECRET=geheim", "CLIENT_SECRET_FILE=/x" },
      { "CLIENT_SECRET and CLIENT_SECRET_FILE" } },

    { "secrets directory is not there",
      { REPO, "PLUGIN_SECRETS_DIR=/nowhere" },
      { "PLUGIN_SECRETS_DIR", "'/nowhere'" } },

    { "push only", { REPO, "PLUGIN_PUSH_ONLY=true" }, { "PLUGIN_PUSH_ONLY needs PLUGIN_SOURCE_TAR_PATH" } },
    { "a level without compression",
      { REPO, "PLUGIN_COMPRESSION=none", "PLUGIN_COMPRESSION_LEVEL=3" },
      { "PLUGIN_COMPRESSION_LEVEL is 3, but PLUGIN_COMPRESSION is none" } },
    { "push only and not",
      { REPO, "PLUGIN_PUSH_ONLY=true", "PLUGIN_NO_PUSH=true", "PLUGIN_SOURCE_TAR_PATH=/x" },
      { "PLUGIN_PUSH_ONLY and PLUGIN_NO_PUSH" } },
    { "no host's name", { REPO, "PLUGIN_ADD_HOST=:192.0.2.1" }, { "PLUGIN_ADD_HOST has ':192.0.2.1'" } },
    { "no host's address", { REPO, "PLUGIN_ADD_HOST=a:" }, { "PLUGIN_ADD_HOST has 'a:'" } },
    { "half an address", { REPO, "PLUGIN_ADD_HOST=a:[::1" }, { "PLUGIN_ADD_HOST has 'a:[::1'" } },
    { "secrets from files", { REPO, "PLUGIN_SECRETS_FROM_FILE=a=/b" }, { "secret 'a'", "/b", "No such file" } },
    { "secrets from variables", { REPO, "PLUGIN_SECRETS_FROM_ENV=a=B" }, { "secret 'a'", "variable B" } },
    { "a secret twice",
      { REPO, "V=geheim", "PLUGIN_SECRETS_FROM_ENV=a=V,a=V" },
      { "the secret 'a' for RUN is given twice" } },
    { "a secret without an id", { REPO, "PLUGIN_SECRET=src=/b" }, { "without id=" } },
    { "a secret's odd option", { REPO, "V=geheim", "PLUGIN_SECRET=id=a,of=V" }, { "'of'", "id, src, env" } },
    { "contexts", { REPO, "PLUGIN_BUILD_CONTEXTS=a=/no/such/b" }, { "'a=/no/such/b'", "no such directory" } },
    { "a context without a name", { REPO, "PLUGIN_BUILD_CONTEXTS=/tmp" }, { "NAME=PLACE" } },
    { "several at once",
      { "PLUGIN_REPO=x.io/App", "PLUGIN_NO_PUSH=7", "PLUGIN_TAGS=.", "PLUGIN_TIMEOUT=x" },
      { "PLUGIN_NO_PUSH", "'.'", "PLUGIN_TIMEOUT" } },
};

/* Every way to give a secret; its bytes stay as they are. */
static void test_run_secrets(void **state)
{
    char place[] = "/tmp/copyup-secrets.XXXXXX";
    struct settings *s = NULL;

    (void)state;
    assert_non_null(mkdtemp(place));
    AUTO_FREE char *file = xasprintf("%s/of-dir", place);
    AUTO_FREE char *hidden = xasprintf("%s/..data", place);
    AUTO_FREE char *from_file = xasprintf("PLUGIN_SECRETS_FROM_FILE=named=%s,%s", file, place);
    AUTO_FREE char *option = xasprintf("PLUGIN_SECRET=id=one,src=%s;id=two,env=V;id=V", file);
    assert_null(file_write_atomic(file, "a\0b\n", 4, 0600));
    assert_null(file_write_atomic(hidden, "x", 1, 0600));
    const char *env[16] = { REPO, "V=text", "PLUGIN_SECRETS_FROM_ENV=env=V", from_file, option };
    static const struct {
        const char *id;
        size_t len;
        const char *data;
    } wanted[] = { { "env", 4, "text" },   { "named", 4, "a\0b\n" }, { "of-dir", 4, "a\0b\n" },
                   { "one", 4, "a\0b\n" }, { "two", 4, "text" },     { "V", 4, "text" } };
    assert_null(read_env(env, &s));
    assert_int_equal(s->n_run_secrets, COUNT(wanted));
    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_string_equal(s->run_secrets[i].id, wanted[i].id);
        assert_int_equal(s->run_secrets[i].len, wanted[i].len);
        assert_memory_equal(s->run_secrets[i].data, wanted[i].data, wanted[i].len);
    }
    settings_free(s);
    err_free(file_remove_tree(AT_FDCWD, place));
}

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct settings *s = NULL;
        struct err *e = read_env(mistakes[i].env, &s);

        if (!e)
            fail_msg("'%s' is accepted", mistakes[i].name);
        AUTO_FREE char *text = printed(e);
        for (size_t k = 0; k < 3 && mistakes[i].says[k]; k++)
            if (!strstr(text, mistakes[i].says[k]))
                fail_msg("'%s' says: %s", mistakes[i].name, text);
        if (strstr(text, "geheim"))
            fail_msg("'%s' tells a secret: %s", mistakes[i].name, text);
        if (err_kind(e) != ERR_SETTING || err_exit_code(e) != 64)
            fail_msg("'%s' is of another kind", mistakes[i].name);
        err_free(e);
    }
}

/* All notes together, joined by '|'. */
static const struct {
    const char *name;
    const char *env[MAX_ENV];
    const char *want;
} notes[] = {
    { "none", { REPO, "PLUGIN_SNAPSHOT_MODE=redo", "PLUGIN_CLEANUP=false", "PLUGIN_ENABLE_CACHE=false" }, "" },
    { "foreign names", { REPO, "GARBAGE=yoyo", "DRONE_X=1", "KANIKO_X=/x", "FF_KANIKO_Y=1" }, "" },
    { "no setting", { REPO, "PLUGIN_GARBAGE=yoyo" }, "PLUGIN_GARBAGE is not a setting of this step and is ignored" },
    { "no settings",
      { REPO, "PLUGIN_GARBAGE=yoyo", "PLUGIN_RUBBISH=1" },
      "PLUGIN_GARBAGE, PLUGIN_RUBBISH are no settings of this step and are ignored" },
    { "kaniko's directory",
      { REPO, "KANIKO_DIR=/x" },
      "KANIKO_DIR has no effect: PLUGIN_STATE_DIR says where layers and roots are kept" },
    { "misspelt",
      { REPO, "PLUGIN_TAGZ=1" },
      "PLUGIN_TAGZ is not a setting of this step and is ignored; did you mean PLUGIN_TAGS?" },
    { "swapped letters",
      { REPO, "PLUGIN_CONTXET=x" },
      "PLUGIN_CONTXET is not a setting of this step and is ignored; did you mean PLUGIN_CONTEXT?" },
    { "misspelt but empty", { REPO, "PLUGIN_TAGZ=" }, "" },
    { "secret's file is known", { REPO, "PLUGIN_PASSWORD_FILE=" }, "" },
    { "cache", { REPO, "PLUGIN_ENABLE_CACHE=true", "PLUGIN_CACHE_REPO=c", "PLUGIN_CACHE_TTL=5" }, "" },
    { "a cache that is not used",
      { REPO, "PLUGIN_CACHE_REPO=c" },
      "PLUGIN_CACHE_REPO is not used: PLUGIN_ENABLE_CACHE is not true" },
    { "a cache of another kind",
      { REPO, "PLUGIN_CACHE_FROM=type=gha" },
      "PLUGIN_CACHE_FROM has type=gha, which is not used: layers are kept in registries" },
    { "a cache without a repository",
      { "PLUGIN_OCI_LAYOUT_PATH=/x", "PLUGIN_ENABLE_CACHE=true" },
      "PLUGIN_REPO is not set: nothing is pushed|PLUGIN_ENABLE_CACHE has no effect: neither PLUGIN_CACHE_REPO nor "
      "PLUGIN_REPO is set" },
    { "one of two reasons",
      { REPO, "PLUGIN_SKIP_UNUSED_STAGES=true", "PLUGIN_FORCE=true" },
      "PLUGIN_FORCE has no effect: each step has a root of its own; nothing of this container is touched or left "
      "behind|"
      "PLUGIN_SKIP_UNUSED_STAGES has no effect: stages that the target does not need are never built" },
    { "no CA file",
      { REPO, "HARNESS_CA_PATH=/nowhere/ca" },
      "HARNESS_CA_PATH is not used: there is no file '/nowhere/ca'" },
    { "no repository", { "PLUGIN_OCI_LAYOUT_PATH=/x" }, "PLUGIN_REPO is not set: nothing is pushed" },
    { "another registry",
      { REPO, "PLUGIN_REGISTRY=y.io" },
      "PLUGIN_REGISTRY 'y.io' is not used: PLUGIN_REPO is at 'shop.azurecr.io'" },
    { "base image user name of somebody else",
      { REPO, "DOCKER_USERNAME=u", "DOCKER_PASSWORD=geheim" },
      "DOCKER_USERNAME is not used: no PLUGIN_BASE_IMAGE_REGISTRY says what it is for" },
    { "two kinds of build args",
      { REPO, "PLUGIN_BUILD_ARGS=A=1", "PLUGIN_BUILD_ARGS_NEW=B=2" },
      "PLUGIN_BUILD_ARGS_NEW is not used: PLUGIN_BUILD_ARGS says something else, and PLUGIN_MULTIPLE_BUILD_ARGS is not "
      "true" },
};

static void test_notes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(notes); i++) {
        AUTO(settings_free) struct settings *s = NULL;
        struct err *e = read_env(notes[i].env, &s);

        if (e)
            fail_msg("'%s' is refused: %s", notes[i].name, err_message(e));
        AUTO_FREE char *have = joined(&s->notes);
        if (strcmp(have, notes[i].want) != 0)
            fail_msg("'%s' notes: %s", notes[i].name, have);
    }
}

static char *put_file(const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static char *setting(const char *name, const char *value)
{
    return xasprintf("%s=%s", name, value);
}

static void test_secret_files(void **state)
{
    (void)state;
    AUTO_FREE char *path = put_file("pw", "geheim\r\n\n");
    AUTO_FREE char *mounted = put_file("CLIENT_SECRET", "from mount\n");
    AUTO_FREE char *empty = put_file("empty", "\n");
    AUTO_FREE char *by_file = setting("PLUGIN_PASSWORD_FILE", path);
    AUTO_FREE char *by_dir = setting("PLUGIN_SECRETS_DIR", dir);
    AUTO_FREE char *by_empty = setting("PLUGIN_PASSWORD_FILE", empty);
    AUTO_FREE char *by_wrong = setting("PLUGIN_PASSWORD_FILE", dir);
    const char *const files[] = { REPO, "PLUGIN_USERNAME=u", by_file, NULL };
    const char *const dirs[] = { REPO, "CLIENT_ID=c", by_dir, NULL };
    const char *const empties[] = { REPO, "PLUGIN_USERNAME=u", by_empty, NULL };
    const char *const wrongs[] = { REPO, "PLUGIN_USERNAME=u", by_wrong, NULL };
    struct settings *s = NULL;

    assert_null(read_env(files, &s));
    assert_string_equal(secret_reveal(&s->password), "geheim");
    settings_free(s);
    assert_null(read_env(dirs, &s));
    assert_string_equal(secret_reveal(&s->client_secret), "from mount");
    assert_string_equal(secret_reveal(&s->password), "from mount");
    settings_free(s);
    struct err *e = read_env(empties, &s);
    assert_non_null(e);
    assert_non_null(strstr(err_message(e), "empty"));
    err_free(e);
    e = read_env(wrongs, &s);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_SETTING);
    err_free(e);
    unlink(mounted);
}

static void test_huge_secret_file(void **state)
{
    (void)state;
    AUTO_FREE char *path = put_file("huge", "");
    AUTO_FREE char *by_file = setting("PLUGIN_PASSWORD_FILE", path);
    const char *const env[] = { REPO, "PLUGIN_USERNAME=u", by_file, NULL };
    struct settings *s = NULL;

    assert_int_equal(truncate(path, 64 << 20), 0);
    struct err *e = read_env(env, &s);
    assert_non_null(e);
    AUTO_FREE char *text = printed(e);
    assert_non_null(strstr(text, path));
    err_free(e);
}

static void test_docker_configs(void **state)
{
    (void)state;
    AUTO_FREE char *home = xasprintf("%s/home", dir);
    AUTO_FREE char *docker = xasprintf("%s/.docker", home);
    assert_int_equal(mkdir(home, 0700), 0);
    assert_int_equal(mkdir(docker, 0700), 0);
    AUTO_FREE char *in_home = put_file("home/.docker/config.json", "{}");
    AUTO_FREE char *mounted = put_file(".dockerconfigjson", "{}");
    AUTO_FREE char *set_home = setting("HOME", home);
    AUTO_FREE char *set_named = setting("PLUGIN_DOCKER_CONFIG", mounted);
    AUTO_FREE char *set_named_dir = setting("PLUGIN_DOCKER_CONFIG", dir);
    AUTO_FREE char *set_dir = setting("DOCKER_CONFIG", docker);
    AUTO_FREE char *want = xasprintf("%s|%s", mounted, in_home);
    const char *const env[] = { REPO, set_home, set_named, set_dir, NULL };
    const char *const env_dir[] = { REPO, set_named_dir, NULL };
    struct settings *s = NULL;

    assert_null(read_env(env, &s));
    AUTO_FREE char *have = joined(&s->docker_configs);
    assert_string_equal(have, want);
    settings_free(s);
    assert_null(read_env(env_dir, &s));
    assert_string_equal(s->docker_configs.items[0], mounted);
    settings_free(s);
}

static void test_certificates(void **state)
{
    (void)state;
    AUTO_FREE char *a = put_file("a.pem", "x");
    AUTO_FREE char *b = put_file("b.pem", "x");
    AUTO_FREE char *ca = xasprintf("PLUGIN_REGISTRY_CERTIFICATE=x.io=%s,y.io=%s", a, b);
    AUTO_FREE char *client = xasprintf("PLUGIN_REGISTRY_CLIENT_CERT=x.io=%s,%s,y.io=%s,%s", a, b, b, a);
    AUTO_FREE char *own = setting("SSL_CERT_FILE", a);
    AUTO_FREE char *want = xasprintf("x.io=%s,%s|y.io=%s,%s", a, b, b, a);
    const char *const env[] = { REPO, ca, client, own, NULL };
    struct settings *s = NULL;

    assert_null(read_env(env, &s));
    assert_int_equal(s->registry_certificates.n, 2);
    AUTO_FREE char *have = joined(&s->registry_client_certs);
    assert_string_equal(have, want);
    assert_string_equal(s->ca_file, a);
    settings_free(s);
}

static void test_tags_file(void **state)
{
    (void)state;
    AUTO_FREE char *path = put_file(".tags", "7, v1.2.3\nlatest\n");
    const char *const plain[] = { REPO, NULL }, *const given[] = { REPO, "PLUGIN_TAGS=e", NULL };
    const char *const expand[] = { REPO, "PLUGIN_EXPAND_TAG=true", NULL };
    struct settings *s = NULL;

    assert_null(read_env(plain, &s));
    AUTO_FREE char *tags = joined(&s->tags);
    assert_string_equal(tags, "7|v1.2.3|latest");
    settings_free(s);
    assert_null(read_env(given, &s));
    assert_int_equal(s->tags.n, 1);
    settings_free(s);
    assert_null(read_env(expand, &s));
    AUTO_FREE char *expanded = joined(&s->tags);
    assert_string_equal(expanded, "7|7.0|7.0.0|1|1.2|1.2.3|latest");
    settings_free(s);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* somebody else's directory of that name */
    assert_null(read_env(plain, &s));
    assert_string_equal(s->tags.items[0], "latest");
    settings_free(s);
    assert_int_equal(rmdir(path), 0);
}

static char *text_of(void (*print)(FILE *out))
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    print(f);
    fclose(f);
    return out;
}

static void test_help(void **state)
{
    (void)state;
    AUTO_FREE char *help = text_of(settings_print_help);
    AUTO_FREE char *markdown = text_of(settings_print_markdown);

    assert_non_null(strstr(help, "PLUGIN_TAR_PATH, PLUGIN_DESTINATION_TAR_PATH  (text)"));
    assert_non_null(strstr(help, "PLUGIN_DOCKERFILE  (text; default Dockerfile)"));
    assert_non_null(strstr(help, "PLUGIN_PASSWORD  (secret)"));
    assert_non_null(strstr(markdown, "| `PLUGIN_SNAPSHOT_MODE` | full redo time | `full` | "));
    assert_non_null(strstr(markdown, "| `PLUGIN_PUSH_RETRY` | number | | "));
    assert_non_null(strstr(markdown, "**An error:** "));
}

static struct buf docs = BUF_INIT; /* docs/settings.md, if the tests run where it is */

static void test_docs(void **state)
{
    (void)state;
    AUTO_FREE char *markdown = text_of(settings_print_markdown);

    if (docs.len == 0)
        skip();
    if (strcmp(buf_str(&docs), markdown) != 0)
        fail_msg(
            "docs/settings.md is not what the table says: UPDATE_DOCS=1 build/tests/test_settings writes it again");
}

/* Is the file NAME_FILE looked at? For what is refused whatever it is, the refusal will do. */
static void check_file_of(const char *name)
{
    AUTO_FREE char *by_file = xasprintf("%s_FILE=/nowhere/secret", name);
    const char *const env[] = { REPO, by_file, NULL };
    struct settings *s = NULL;
    struct err *e = read_env(env, &s);

    if (!e)
        fail_msg("%s_FILE is not looked at", name);
    AUTO_FREE char *text = printed(e);
    if (!strstr(text, name) || (!strstr(text, "/nowhere/secret") && !strstr(text, "not supported")))
        fail_msg("%s_FILE: %s", name, text);
    err_free(e);
}

/* The names stand in backquotes, in the first column. Returns how many there were. */
static int check_row(char *names)
{
    int n = 0;

    for (char *at = strtok_r(names, "`", &names); (at = strtok_r(NULL, "`", &names)); n++) {
        check_file_of(at);
        at = strtok_r(NULL, "`", &names);
    }
    return n;
}

static void test_file_of_each_secret(void **state)
{
    AUTO_FREE char *text = text_of(settings_print_markdown);
    int n = 0;

    (void)state;
    for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));) {
        char *type = strstr(line, " | secret |");

        if (!type)
            continue;
        *type = '\0';
        n += check_row(line);
    }
    assert_true(n >= 15);
}

static void read_docs(void)
{
    static const char path[] = "docs/settings.md";

    if (getenv("UPDATE_DOCS")) {
        AUTO_FREE char *markdown = text_of(settings_print_markdown);
        assert_null(file_write_atomic(path, markdown, strlen(markdown), 0644));
    }
    if (access(path, R_OK) == 0)
        assert_null(file_read(path, LIMIT_SETTING_FILE_BYTES, &docs));
}

static int set_up(void **state)
{
    (void)state;
    read_docs();
    snprintf(dir, sizeof(dir), "/tmp/test_settings.XXXXXX");
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = { "pw",    "empty", "huge", "home/.docker/config.json", ".dockerconfigjson",
                                         "a.pem", "b.pem" };
    static const char *const dirs[] = { "home/.docker", "home" };

    buf_release(&docs);
    for (size_t i = 0; i < COUNT(names); i++)
        unlink(names[i]);
    for (size_t i = 0; i < COUNT(dirs); i++)
        rmdir(dirs[i]);
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_secrets),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_secret_files),
        cmocka_unit_test(test_file_of_each_secret),
        cmocka_unit_test(test_huge_secret_file),
        cmocka_unit_test(test_docker_configs),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_docs),
        cmocka_unit_test(test_tags_file),
        cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests_name("settings", tests, set_up, tear_down);
}
