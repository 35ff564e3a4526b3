/* Every setting, once. Order: as a user reads it. Adding one: a row here, a member in settings.h. */
#include "settings/settings_priv.h"

#define PLACE(member) .place = offsetof(struct settings, member)
#define NO_PLACE      .place = SETTING_NO_PLACE
#define NAMES(...)    .names = { __VA_ARGS__ }
#define TEXT          .type = SETTING_TEXT
#define LIST          .type = SETTING_LIST
#define SEMICOLONS    .type = SETTING_SEMICOLONS
#define BOOL          .type = SETTING_BOOL
#define DURATION      .type = SETTING_DURATION
#define SIZE          .type = SETTING_SIZE
#define SECRET        .type = SETTING_SECRET
#define INT(lo, hi)   .type = SETTING_INT, .min = (lo), .max = (hi)
#define CHOICE(words) .type = SETTING_CHOICE, .choices = (words)
#define REFUSED(text) .effect = SETTING_REFUSED, .why = (text)
#define NOTHING(text) .effect = SETTING_NOTHING, .why = (text)
#define DEFAULT(text) .fallback = (text)
#define HELP(text)    .help = (text)

#define WHY_CACHE_DIR "base images are kept in the state directory (PLUGIN_STATE_DIR), on a volume between builds"
#define WHY_LAYERS    "a layer is what its step changed, whatever else is there"
#define WHY_OWN_ROOT  "each step has a root of its own; nothing of this container is touched or left behind"
#define WHY_ECR       "it belongs to another registry product"
#define WHY_DAEMON    "there is no build daemon"
#define WHY_SIGN      "signing is not supported by this version"

const struct setting settings_table[] = {
    { .group = "What is built",
      NAMES("PLUGIN_DOCKERFILE"),
      TEXT,
      PLACE(dockerfile),
      DEFAULT("Dockerfile"),
      HELP("The Dockerfile's path, seen from the working directory.") },
    { NAMES("PLUGIN_CONTEXT"), TEXT, PLACE(context), DEFAULT("."),
      HELP("The build context: a directory, a git repository, the URL of an archive or a Dockerfile, or "
           "tar://ARCHIVE.") },
    { NAMES("GIT_PULL_METHOD"), CHOICE("https http"), NO_PLACE,
      HELP("How a context that begins with git:// is fetched, as kaniko has it.") },
    { NAMES("PLUGIN_CONTEXT_SUB_PATH"), TEXT, PLACE(context_sub_path),
      HELP("A directory inside the context that is used as the context.") },
    { NAMES("PLUGIN_TARGET"), TEXT, PLACE(target), HELP("The stage to build. Default: the last one.") },
    { NAMES("PLUGIN_BUILD_ARGS"), LIST, PLACE(build_args),
      HELP("Values for ARG: NAME=VALUE, or NAME to take the value from the step's environment.") },
    { NAMES("PLUGIN_BUILD_ARGS_NEW"), SEMICOLONS, PLACE(build_args_new),
      HELP("The same, split at ';' so that values may have commas. Used if PLUGIN_BUILD_ARGS is not set or says the "
           "same, "
           "else as PLUGIN_MULTIPLE_BUILD_ARGS says.") },
    { NAMES("PLUGIN_MULTIPLE_BUILD_ARGS"), BOOL, PLACE(multiple_build_args), DEFAULT("false"),
      HELP("Use PLUGIN_BUILD_ARGS_NEW instead of PLUGIN_BUILD_ARGS.") },
    { NAMES("PLUGIN_BUILD_ARGS_FROM_ENV"), LIST, PLACE(build_args_from_env),
      HELP("Names of environment variables that become build arguments.") },
    { NAMES("PLUGIN_CUSTOM_LABELS", "PLUGIN_LABEL"), LIST, PLACE(labels), HELP("Labels of the image: NAME=VALUE.") },
    { NAMES("PLUGIN_PLATFORM", "PLUGIN_CUSTOM_PLATFORM"), LIST, PLACE(platforms),
      HELP("The platforms to build for: OS/ARCHITECTURE[/VARIANT]. Several give an image index (in Docker's format a "
           "manifest "
           "list) of one image each. Default: what the base image is for; images are chosen for this machine's.") },
    { NAMES("PLUGIN_EMULATORS"), TEXT, PLACE(emulators),
      HELP("A directory with static emulators of qemu (qemu-aarch64-static and so on), in which RUN executes programs "
           "of "
           "other architectures. Needs Linux 6.7 on the node. Default: what the node has registered.") },
    { NAMES("PLUGIN_BUILD_CONTEXTS"), LIST, PLACE(build_contexts),
      HELP("Named contexts for FROM, --from and from=: NAME=PLACE. A place is a directory, docker-image://REFERENCE, "
           "oci-layout://DIRECTORY[:TAG][@DIGEST], a Git repository or the https address of an archive.") },
    { NAMES("PLUGIN_SECRETS_FROM_ENV"), LIST, PLACE(secrets_from_env),
      HELP("Secrets for RUN --mount=type=secret: ID=VARIABLE of the step's environment.") },
    { NAMES("PLUGIN_SECRETS_FROM_FILE"), LIST, PLACE(secrets_from_file),
      HELP("The same from files: ID=FILE, or a mounted directory whose files are secrets by their names.") },
    { NAMES("PLUGIN_SECRETS", "PLUGIN_SECRET"), SEMICOLONS, PLACE(secret_options),
      HELP("The same as docker build --secret has it: id=ID[,src=FILE] or id=ID[,env=VARIABLE].") },
    { NAMES("PLUGIN_SSH_AGENT_KEY"), SECRET, PLACE(ssh_key),
      HELP("A private key without a passphrase for RUN --mount=type=ssh and for git by SSH; without it the agent at "
           "SSH_AUTH_SOCK serves.") },
    { NAMES("PLUGIN_SSH_KNOWN_HOSTS"), TEXT, PLACE(ssh_known_hosts),
      HELP("Host keys for git by SSH, as ssh-keyscan prints them: the lines, or the path of a file. Without it "
           "/etc/ssh/ssh_known_hosts or ~/.ssh/known_hosts.") },
    { NAMES("PLUGIN_ADD_HOST"), LIST, PLACE(add_hosts),
      HELP("Further hosts for RUN, in its /etc/hosts: NAME:ADDRESS, as docker build --add-host has it.") },
    { NAMES("PLUGIN_ENV_FILE"), TEXT, NO_PLACE,
      HELP("A file of NAME=VALUE lines: the step's environment where that does not have the name. Values may stand in "
           "'...' or \"...\".") },

    { .group = "How it is built",
      NAMES("PLUGIN_SNAPSHOT_MODE"),
      CHOICE("full redo time"),
      PLACE(snapshot_mode),
      DEFAULT("full"),
      HELP("How a file that a step may have changed is compared: full looks at its content, redo at its metadata, time "
           "at its "
           "modification time.") },
    { NAMES("PLUGIN_SINGLE_SNAPSHOT"), BOOL, PLACE(single_snapshot), DEFAULT("false"),
      HELP("The steps of a stage make one layer together, when the last one has ended. The remote layer cache is not "
           "used then.") },
    { NAMES("PLUGIN_SQUASH"), BOOL, PLACE(squash), DEFAULT("false"),
      HELP("The same as PLUGIN_SINGLE_SNAPSHOT: the layers of the base image stay apart.") },
    { NAMES("PLUGIN_IMAGE_FORMAT"), CHOICE("docker oci"), PLACE(image_format),
      HELP("Media types of the image. Default: the base image's; oci with zstd.") },
    { NAMES("PLUGIN_COMPRESSION"), CHOICE("gzip zstd none"), PLACE(compression), DEFAULT("gzip"),
      HELP("Compression of new layers. zstd makes an image in OCI's format.") },
    { NAMES("PLUGIN_COMPRESSION_LEVEL"), INT(-1, 19), PLACE(compression_level), DEFAULT("0"),
      HELP("1 to 12 with gzip, 1 to 19 with zstd; 0 or -1 is the default of each. none has no levels.") },
    { NAMES("PLUGIN_REPRODUCIBLE"), BOOL, PLACE(reproducible), DEFAULT("false"),
      HELP("No time in the image is later than SOURCE_DATE_EPOCH, or than 1970 without it: also not those of files.") },
    { NAMES("SOURCE_DATE_EPOCH", "PLUGIN_TIMESTAMP"), INT(0, 253402300799), PLACE(source_date_epoch), DEFAULT("-1"),
      HELP(
          "The time of the image and of its history, in seconds since 1970; the build argument of the same name. Files "
          "keep their times unless PLUGIN_REPRODUCIBLE is set.") },
    { NAMES("PLUGIN_IGNORE_PATHS", "PLUGIN_IGNORE_PATH"), LIST, PLACE(ignore_paths),
      HELP("Paths in the image whose changes are left out of its layers.") },
    { NAMES("PLUGIN_ALLOW"), LIST, PLACE(allow),
      HELP("What a Dockerfile may ask for beyond the usual, as buildx --allow has it: network.host lets "
           "RUN --network=host run, in the pod's network as any other RUN.") },
    { NAMES("PLUGIN_RUN_NETWORK"), CHOICE("default none"), PLACE(run_network), DEFAULT("default"),
      HELP("The network of RUN: default is the pod's; none gives every RUN a loopback of its own and nothing else, so "
           "that "
           "neither the pod's network nor a cloud's metadata service can be reached.") },
    { NAMES("PLUGIN_TIMEOUT"), DURATION, PLACE(timeout_ms), DEFAULT("0"),
      HELP("When to stop: 1h30m, 90s, 2d; a plain number is seconds; 0 is never.") },
    { NAMES("PLUGIN_STATE_DIR"), TEXT, PLACE(state_dir), HELP("Where layers and roots are kept while building.") },
    { NAMES("PLUGIN_STATE_SIZE"), SIZE, PLACE(state_bytes), DEFAULT("0"),
      HELP("How much of layers and cache mounts is kept there when a build begins: bytes, or a number with K, M, G or "
           "T. 0: "
           "as much as leaves a tenth of the volume free, at most 10 GiB. What was not used for the longest time "
           "goes.") },
    { NAMES("PLUGIN_STATE_MAX_AGE"), DURATION, PLACE(state_age_ms), DEFAULT("2w"),
      HELP("What was not used there for so long is removed: 2w, 12h, a number of seconds; 0 keeps it.") },
    { NAMES("COPYUP_SNAPSHOTTER"), TEXT, PLACE(snapshotter), DEFAULT("auto"), HELP("The snapshotter to use.") },
    { NAMES("COPYUP_SANDBOX"), TEXT, PLACE(sandbox), DEFAULT("auto"), HELP("The sandbox to use.") },

    { .group = "Names",
      NAMES("PLUGIN_REPO"),
      TEXT,
      PLACE(repo),
      HELP("The image's repository. PLUGIN_REGISTRY is put in front if it names no registry.") },
    { NAMES("PLUGIN_REGISTRY"), TEXT, PLACE(registry), HELP("The registry's host[:port]. Default: the repository's.") },
    { NAMES("PLUGIN_TAGS", "PLUGIN_TAG"), LIST, PLACE(tags),
      HELP("The image's tags. Default: those in the file .tags of the working directory, else latest.") },
    { NAMES("PLUGIN_EXPAND_TAG"), BOOL, PLACE(expand_tag), DEFAULT("false"),
      HELP("Tags that are versions get the shorter ones as well: 1.2.3 also 1.2 and 1.") },
    { NAMES("PLUGIN_AUTO_TAG"), BOOL, PLACE(auto_tag), DEFAULT("false"),
      HELP("Tags from the commit: its version, or latest on the default branch.") },
    { NAMES("PLUGIN_AUTO_TAG_SUFFIX"), TEXT, PLACE(auto_tag_suffix), HELP("Appended to automatic tags after a '-'.") },
    { NAMES("PLUGIN_AUTO_TAG_SKIP"), CHOICE("fail ok"), PLACE(auto_tag_skip), DEFAULT("fail"),
      HELP("What becomes of the step when a commit gets no automatic tag.") },
    { NAMES("DRONE_COMMIT_REF"), TEXT, PLACE(commit_ref), HELP("The commit's ref, for automatic tags.") },
    { NAMES("DRONE_REPO_BRANCH"), TEXT, PLACE(default_branch), HELP("The default branch, for automatic tags.") },
    { NAMES("PLUGIN_AUTO_LABEL"), BOOL, NO_PLACE, HELP("Labels from the commit."),
      NOTHING("labels from the commit are not supported by this version; PLUGIN_CUSTOM_LABELS sets any") },
    { NAMES("PLUGIN_LABEL_SCHEMA"), LIST, NO_PLACE, HELP("Labels of the label-schema kind."),
      REFUSED("PLUGIN_CUSTOM_LABELS sets any label") },

    { .group = "Credentials",
      NAMES("PLUGIN_USERNAME"),
      TEXT,
      PLACE(username),
      HELP("User name at the image's registry.") },
    { NAMES("PLUGIN_PASSWORD"), SECRET, PLACE(password), HELP("Its password or token.") },
    { NAMES("CLIENT_ID", "AZURE_CLIENT_ID", "PLUGIN_CLIENT_ID", "AZURE_APP_ID", "SERVICE_PRINCIPAL_CLIENT_ID"), TEXT,
      PLACE(client_id),
      HELP("The id of the application (service principal) or of the managed identity that is used at Azure. "
           "docs/azure.md says which credentials are used when several are there.") },
    { NAMES("TENANT_ID", "AZURE_TENANT_ID", "PLUGIN_TENANT_ID"), TEXT, PLACE(tenant_id),
      HELP("Its tenant at Entra ID. Without it CLIENT_ID and CLIENT_SECRET are user name and password at the registry "
           "itself.") },
    { NAMES("PLUGIN_OIDC_TOKEN_ID"), SECRET, PLACE(oidc_token),
      HELP("An OIDC token that the application trusts, with CLIENT_ID and TENANT_ID.") },
    { NAMES("CLIENT_SECRET", "PLUGIN_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "SERVICE_PRINCIPAL_CLIENT_SECRET"), SECRET,
      PLACE(client_secret), HELP("The application's secret.") },
    { NAMES("CLIENT_CERTIFICATE", "PLUGIN_CLIENT_CERTIFICATE"), SECRET, PLACE(client_certificate),
      HELP("The application's certificate with its private key: PEM, or base64 of PEM or PKCS#12. A file "
           "(CLIENT_CERTIFICATE_FILE) may hold PKCS#12 as it is.") },
    { NAMES("CLIENT_CERTIFICATE_PASSWORD", "PLUGIN_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CLIENT_CERTIFICATE_PASSWORD"),
      SECRET, PLACE(client_certificate_password), HELP("The password of its private key.") },
    { NAMES("AZURE_CLIENT_CERTIFICATE_PATH"), TEXT, PLACE(certificate_path),
      HELP("The same as CLIENT_CERTIFICATE_FILE.") },
    { NAMES("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"), BOOL, PLACE(send_certificate_chain), DEFAULT("false"),
      HELP("Send the certificates along, for applications that trust their issuer.") },
    { NAMES("AZURE_FEDERATED_TOKEN_FILE"), TEXT, PLACE(federated_token_file),
      HELP("Workload identity: the token that the cluster mounts, with CLIENT_ID and TENANT_ID. It is read at each "
           "use.") },
    { NAMES("PLUGIN_MANAGED_IDENTITY_OBJECT_ID"), TEXT, PLACE(identity_object_id),
      HELP("The machine's managed identity by its object id, instead of CLIENT_ID.") },
    { NAMES("PLUGIN_MANAGED_IDENTITY_RESOURCE_ID"), TEXT, PLACE(identity_resource_id),
      HELP("The same by its resource id.") },
    { NAMES("IDENTITY_ENDPOINT"), TEXT, PLACE(identity_endpoint),
      HELP("Set by App Service and Arc: who gives tokens for the managed identity.") },
    { NAMES("IDENTITY_HEADER"), SECRET, PLACE(identity_header), HELP("Set by App Service.") },
    { NAMES("IMDS_ENDPOINT"), TEXT, PLACE(imds_endpoint), HELP("Set by Arc.") },
    { NAMES("AZURE_AUTHORITY_HOST", "PLUGIN_AZURE_AUTHORITY_HOST"), TEXT, PLACE(authority_host),
      HELP("The Azure login service: https://HOST. Default: that of the registry's cloud.") },
    { NAMES("SUBSCRIPTION_ID", "PLUGIN_SUBSCRIPTION_ID"), TEXT, PLACE(subscription_id),
      HELP("The id of the registry's subscription: the artifact file then has the registry's address in the Azure "
           "portal.") },
    { NAMES("PLUGIN_BASE_IMAGE_REGISTRY", "PLUGIN_DOCKER_REGISTRY", "DOCKER_REGISTRY"), TEXT, PLACE(base_registry),
      HELP("The registry of base images that needs credentials; they are used for pulls.") },
    { NAMES("PLUGIN_BASE_IMAGE_USERNAME", "PLUGIN_DOCKER_USERNAME", "DOCKER_USERNAME"), TEXT, PLACE(base_username),
      HELP("User name there.") },
    { NAMES("PLUGIN_BASE_IMAGE_PASSWORD", "PLUGIN_DOCKER_PASSWORD", "DOCKER_PASSWORD"), SECRET, PLACE(base_password),
      HELP("Its password or token.") },
    { NAMES("PLUGIN_DOCKER_CONFIG"), TEXT, NO_PLACE,
      HELP("A mounted config.json or .dockerconfigjson, or a directory with one. Read as well, if they exist: "
           "config.json in "
           "DOCKER_CONFIG, in ~/.docker and in /kaniko/.docker.") },
    { NAMES("DOCKER_CONFIG"), TEXT, NO_PLACE, HELP("A directory with a config.json.") },
    { NAMES("DOCKER_AUTH_CONFIG"), SECRET, PLACE(docker_auth_config), HELP("The text of a config.json.") },
    { NAMES("PLUGIN_SECRETS_DIR"), TEXT, NO_PLACE,
      HELP("A mounted directory with secrets, each in a file named as its setting.") },

    { .group = "Registries",
      NAMES("PLUGIN_REGISTRY_MIRRORS", "PLUGIN_REGISTRY_MIRROR", "KANIKO_REGISTRY_MIRROR"),
      LIST,
      PLACE(mirrors),
      HELP("Mirrors of Docker Hub, tried in this order.") },
    { NAMES("PLUGIN_REGISTRY_MAP", "KANIKO_REGISTRY_MAP"), SEMICOLONS, PLACE(registry_map),
      HELP("Mirrors of other registries: HOST=MIRROR[/PREFIX], split at ';'; tried in this order.") },
    { NAMES("PLUGIN_SKIP_DEFAULT_REGISTRY_FALLBACK"), BOOL, PLACE(no_mirror_fallback), DEFAULT("false"),
      HELP("Do not ask the registry itself when no mirror has the image.") },
    { NAMES("PLUGIN_INSECURE"), BOOL, PLACE(insecure), DEFAULT("false"),
      HELP("Push by plain HTTP where there is no HTTPS. Never to Azure's registries.") },
    { NAMES("PLUGIN_INSECURE_PULL"), BOOL, PLACE(insecure_pull), DEFAULT("false"),
      HELP("Pull by plain HTTP where there is no HTTPS. Never from Docker Hub and Azure's registries.") },
    { NAMES("PLUGIN_INSECURE_REGISTRY", "PLUGIN_INSECURE_REGISTRIES"), LIST, PLACE(insecure_registries),
      HELP("Registries that are reached by plain HTTP where they have no HTTPS.") },
    { NAMES("PLUGIN_SKIP_TLS_VERIFY"), BOOL, PLACE(skip_tls_verify), DEFAULT("false"),
      HELP("Do not check the certificate of the registry that is pushed to.") },
    { NAMES("PLUGIN_SKIP_TLS_VERIFY_PULL"), BOOL, PLACE(skip_tls_verify_pull), DEFAULT("false"),
      HELP("Do not check certificates when pulling.") },
    { NAMES("PLUGIN_SKIP_TLS_VERIFY_REGISTRY"), LIST, PLACE(skip_tls_registries),
      HELP("Registries whose certificate is not checked; true means the image's.") },
    { NAMES("PLUGIN_REGISTRY_CERTIFICATE"), LIST, PLACE(registry_certificates),
      HELP("Certificate authorities: HOST=FILE.") },
    { NAMES("PLUGIN_REGISTRY_CLIENT_CERT"), LIST, PLACE(registry_client_certs),
      HELP("Client certificates: HOST=CERTIFICATE,KEY.") },
    { NAMES("HARNESS_CA_PATH", "SSL_CERT_FILE"), TEXT, PLACE(ca_file),
      HELP("A file with further certificate authorities.") },
    { NAMES("PLUGIN_PUSH_RETRY"), INT(0, 100), PLACE(push_retry), DEFAULT("-1"),
      HELP("How much more often a failed request of a push is repeated than the four times of every one.") },
    { NAMES("PLUGIN_IMAGE_DOWNLOAD_RETRY"), INT(0, 100), PLACE(pull_retry), DEFAULT("-1"),
      HELP("The same for pulls and downloads.") },
    { NAMES("COPYUP_STALL_TIMEOUT"), DURATION, PLACE(stall_timeout_ms), DEFAULT("30s"),
      HELP("How long a transfer may stand still before it is broken off and tried again; ten times as long for the "
           "answer to an upload; 0 is for ever.") },
    { NAMES("PLUGIN_IMAGE_FS_EXTRACT_RETRY"), INT(0, 100), NO_PLACE, HELP("How often unpacking is repeated."),
      NOTHING("a download that breaks is resumed; unpacking itself is not repeated") },
    { NAMES("PLUGIN_SKIP_PUSH_PERMISSION_CHECK"), BOOL, PLACE(skip_push_check), DEFAULT("false"),
      HELP("Do not check before the build whether the image may be pushed.") },

    { .group = "Cache",
      NAMES("PLUGIN_ENABLE_CACHE"),
      BOOL,
      PLACE(enable_cache),
      DEFAULT("false"),
      HELP("Keep the layers of all steps in a repository, and use what is there: docs/cache.md. Default: true if "
           "another "
           "setting names a cache to read or to write.") },
    { NAMES("PLUGIN_CACHE_REPO"), TEXT, PLACE(cache_repo),
      HELP("The cache's repository, with the registry or without. Default: PLUGIN_REPO/cache.") },
    { NAMES("PLUGIN_CACHE_TTL"), INT(0, 1000000), PLACE(cache_ttl_h), DEFAULT("336"),
      HELP("How old an entry may be to be used, in hours; 0 is the default.") },
    { NAMES("PLUGIN_CACHE_FROM"), LIST, PLACE(cache_from),
      HELP("Further repositories whose entries are used, in this order: NAME, or type=registry,ref=NAME as buildx has "
           "it.") },
    { NAMES("PLUGIN_IMPORT_CACHE"), SEMICOLONS, PLACE(import_cache), HELP("The same, split at ';'.") },
    { NAMES("PLUGIN_CACHE_TO"), TEXT, PLACE(cache_to),
      HELP("The repository that entries are written to, if PLUGIN_CACHE_REPO is not set; as PLUGIN_CACHE_FROM.") },
    { NAMES("PLUGIN_EXPORT_CACHE"), SEMICOLONS, PLACE(export_cache), HELP("The same, split at ';'.") },
    { NAMES("PLUGIN_CACHE_RUN_LAYERS"), BOOL, PLACE(cache_runs), DEFAULT("true"),
      HELP("Use the cache for the layers of RUN.") },
    { NAMES("PLUGIN_CACHE_COPY_LAYERS"), BOOL, PLACE(cache_copies), DEFAULT("true"),
      HELP("Use the cache for the layers of COPY, ADD and WORKDIR.") },
    { NAMES("PLUGIN_NO_CACHE"), BOOL, PLACE(no_cache), DEFAULT("false"),
      HELP("Execute every step; the cache is written anew.") },
    { NAMES("PLUGIN_CACHE_MOUNTS"), CHOICE("local registry"), PLACE(cache_mounts), DEFAULT("local"),
      HELP(
          "Where RUN --mount=type=cache keeps its files: in the state directory alone, or in the cache's repository as "
          "well, so that they survive the pod.") },
    { NAMES("PLUGIN_CACHE_MOUNTS_SIZE"), SIZE, PLACE(cache_mount_bytes), DEFAULT("5G"),
      HELP("How much of one such mount is kept in the repository: bytes, or a number with K, M, G or T. What was not "
           "used for the longest time is left out.") },
    { NAMES("PLUGIN_CACHE_DIR"), TEXT, NO_PLACE, HELP("A directory with base images."), NOTHING(WHY_CACHE_DIR) },
    { NAMES("PLUGIN_COMPRESSED_CACHING"), BOOL, NO_PLACE, HELP("Compress cached layers in memory."),
      NOTHING("no layer is ever held in memory") },

    { .group = "Outputs",
      NAMES("PLUGIN_NO_PUSH", "PLUGIN_DRY_RUN", "KANIKO_NO_PUSH"),
      BOOL,
      PLACE(no_push),
      DEFAULT("false"),
      HELP("Build, but push nothing.") },
    { NAMES("PLUGIN_TAR_PATH", "PLUGIN_DESTINATION_TAR_PATH"), TEXT, PLACE(tar_path),
      HELP("Write the image as an archive for docker load.") },
    { NAMES("PLUGIN_OCI_LAYOUT_PATH"), TEXT, PLACE(oci_layout_path),
      HELP("Write the image as an OCI layout into this directory.") },
    { NAMES("PLUGIN_DIGEST_FILE"), TEXT, PLACE(digest_file), HELP("Write the image's digest to this file.") },
    { NAMES("PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE"), LIST, PLACE(image_digest_files),
      HELP("Write REPO@DIGEST to these files.") },
    { NAMES("PLUGIN_IMAGE_NAME_TAG_WITH_DIGEST_FILE"), LIST, PLACE(image_tag_digest_files),
      HELP("Write REPO:TAG@DIGEST to these files.") },
    { NAMES("PLUGIN_ARTIFACT_FILE"), TEXT, PLACE(artifact_file),
      HELP("Write what was pushed, as JSON, to this file.") },
    { NAMES("DRONE_OUTPUT"), TEXT, PLACE(output_file), HELP("The file of the step's output variables.") },
    { NAMES("PLUGIN_PUSH_ONLY"), BOOL, PLACE(push_only), DEFAULT("false"),
      HELP("Build nothing: push an image that lies on disk.") },
    { NAMES("PLUGIN_SOURCE_TAR_PATH"), TEXT, PLACE(source_tar_path),
      HELP("What PLUGIN_PUSH_ONLY pushes: an archive of docker save, or an OCI layout as a directory or an archive; "
           "compressed or not. With several images inside, PATH:NAME or PATH@DIGEST.") },
    { NAMES("PLUGIN_SKIP_PUSH_IF_TAG_EXISTS"), BOOL, PLACE(skip_existing_tags), DEFAULT("false"),
      HELP("Leave tags alone that are there already; the image is built all the same.") },
    { NAMES("PLUGIN_SIGN"), BOOL, NO_PLACE, HELP("Sign the image."), REFUSED(WHY_SIGN) },
    { NAMES("PLUGIN_COSIGN_PRIVATE_KEY", "PLUGIN_COSIGN_KEY"), SECRET, NO_PLACE, HELP("The key to sign with."),
      REFUSED(WHY_SIGN) },
    { NAMES("PLUGIN_COSIGN_PASSWORD"), SECRET, NO_PLACE, HELP("Its password."), REFUSED(WHY_SIGN) },
    { NAMES("PLUGIN_COSIGN_PARAMS", "PLUGIN_COSIGN_PASSWORD_ENV"), TEXT, NO_PLACE, HELP("How it is signed."),
      REFUSED(WHY_SIGN) },
    { NAMES("PLUGIN_ATTESTATION", "PLUGIN_ATTEST"), TEXT, NO_PLACE, HELP("Provenance and lists of packages."),
      REFUSED("attestations are not made by this version; those of a layout are pushed as they are") },
    { NAMES("PLUGIN_DESTINATIONS"), SEMICOLONS, NO_PLACE, HELP("Several names of the image."),
      REFUSED("PLUGIN_REPO and PLUGIN_TAGS say what is pushed, to one repository") },

    { .group = "Messages",
      NAMES("PLUGIN_VERBOSITY"),
      CHOICE("panic fatal error warn warning info debug trace"),
      PLACE(verbosity),
      DEFAULT("info"),
      HELP("How much is told.") },
    { NAMES("PLUGIN_LOG_FORMAT"), CHOICE("text color json"), PLACE(log_format), DEFAULT("text"),
      HELP("How it looks.") },
    { NAMES("PLUGIN_LOG_TIMESTAMP"), BOOL, PLACE(log_timestamp), DEFAULT("false"), HELP("With the time of day.") },

    { .group = "Accepted, without effect",
      NAMES("PLUGIN_FORCE"),
      BOOL,
      PLACE(force),
      HELP("Build outside of a container."),
      NOTHING(WHY_OWN_ROOT) },
    { NAMES("PLUGIN_CLEANUP", "KANIKO_CLEANUP"), BOOL, NO_PLACE, HELP("Remove the image's files afterwards."),
      NOTHING(WHY_OWN_ROOT) },
    { NAMES("KANIKO_PRE_CLEANUP"), BOOL, NO_PLACE, HELP("Remove files before the build."), NOTHING(WHY_OWN_ROOT) },
    { NAMES("KANIKO_PRESERVE_CONTEXT"), BOOL, NO_PLACE, HELP("Keep the context's files."), NOTHING(WHY_OWN_ROOT) },
    { NAMES("KANIKO_DIR"), TEXT, NO_PLACE, HELP("kaniko's own directory."),
      NOTHING("PLUGIN_STATE_DIR says where layers and roots are kept") },
    { NAMES("PLUGIN_QUIET"), BOOL, NO_PLACE, HELP("Tell less."), NOTHING("PLUGIN_VERBOSITY=error tells errors alone") },
    { NAMES("PLUGIN_IGNORE_VAR_RUN"), BOOL, NO_PLACE, HELP("Leave /var/run out of layers."), NOTHING(WHY_LAYERS) },
    { NAMES("PLUGIN_USE_NEW_RUN"), BOOL, NO_PLACE, HELP("Another way to find changes."), NOTHING(WHY_LAYERS) },
    { NAMES("PLUGIN_SKIP_UNUSED_STAGES"), BOOL, NO_PLACE, HELP("Build only the stages that the target needs."),
      NOTHING("stages that the target does not need are never built") },
    { NAMES("PLUGIN_PULL_IMAGE"), BOOL, NO_PLACE, HELP("Ask for newer base images."),
      NOTHING("base images are always asked for") },
    { NAMES("PLUGIN_CREATE_REPOSITORY"), BOOL, NO_PLACE, HELP("Make the repository."), NOTHING(WHY_ECR) },
    { NAMES("PLUGIN_LIFECYCLE_POLICY"), TEXT, NO_PLACE, HELP("The repository's life cycle."), NOTHING(WHY_ECR) },
    { NAMES("PLUGIN_REPOSITORY_POLICY"), TEXT, NO_PLACE, HELP("The repository's policy."), NOTHING(WHY_ECR) },
    { NAMES("PLUGIN_DAEMON_OFF"), BOOL, NO_PLACE, HELP("Start no Docker daemon."), NOTHING(WHY_DAEMON) },
    { NAMES("PLUGIN_BUILDER_DRIVER_OPTS", "PLUGIN_BUILDER_DRIVER_OPTS_NEW"), TEXT, NO_PLACE,
      HELP("Options of the build daemon."), NOTHING(WHY_DAEMON) },
};

const size_t settings_table_len = sizeof(settings_table) / sizeof(settings_table[0]);
