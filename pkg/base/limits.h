/* limits.h - every bound on data that comes from outside, in one place. A limit that is hit is an error that names it.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define LIMIT_ERROR_TEXT_BYTES      (1024 * 1024)      /* one string of an error report between processes */
#define LIMIT_ERROR_LINKS           10000              /* errors and reasons in one such report */
#define LIMIT_DOCKERFILE_BYTES      (16 * 1024 * 1024) /* as BuildKit's frontend */
#define LIMIT_DOCKERFILE_LINE_BYTES (64 * 1024)        /* one line with its end, as BuildKit's frontend */
#define LIMIT_STAGE_DEPTH           2000               /* stages that are made from one another in a row */
#define LIMIT_WORD_DEPTH            500                /* ${a:-${b:-...}} inside each other */
#define LIMIT_LINT_WARNINGS         1000               /* warnings about one Dockerfile that are kept */
#define LIMIT_UNSET_NAMES           100                /* variables of one word that are not set: those remembered */
#define LIMIT_IGNORE_FILE_BYTES     (4 * 1024 * 1024)  /* .dockerignore */
#define LIMIT_IGNORE_PATTERNS       20000              /* patterns in one .dockerignore */
#define LIMIT_PATTERN_NODES         65536              /* pieces of one pattern, repetitions counted */
#define LIMIT_JSON_BYTES            (16 * 1024 * 1024) /* any JSON document we read */
#define LIMIT_JSON_DEPTH            64                 /* nesting of a JSON document */
#define LIMIT_JSON_VALUES           200000             /* values in a JSON document: what its tree may cost */
#define LIMIT_MANIFEST_BYTES        (4 * 1024 * 1024)  /* distribution spec: registries accept 4 MiB */
#define LIMIT_CONFIG_BYTES          (8 * 1024 * 1024)  /* image configuration */
#define LIMIT_LAYERS                500                /* overlayfs: at most 500 lower directories */
#define LIMIT_IMAGE_MEMBERS         65536              /* files in an archive of images */
#define LIMIT_INDEX_ENTRIES         1000               /* manifests in an image index */
#define LIMIT_INDEX_DEPTH           4                  /* indexes inside each other */
#define LIMIT_HTTP_HEADER_BYTES     (64 * 1024)        /* one response header line */
#define LIMIT_HTTP_HEADERS_BYTES    (512 * 1024)       /* all header lines of one answer */
#define LIMIT_HTTP_WAIT_MS          60000             /* longest wait before a retry, also when Retry-After says more */
#define LIMIT_CA_FILE_BYTES         (8 * 1024 * 1024) /* a bundle of CA certificates */
#define LIMIT_HTTP_ERROR_BODY_BYTES (64 * 1024)       /* how much of an error answer is read */
#define LIMIT_TOKEN_BYTES           (1024 * 1024)     /* an answer of a token service */
#define LIMIT_URL_BYTES             (8 * 1024)        /* a URL in a Dockerfile or a setting */
#define LIMIT_REMOTE_FILE_BYTES     (64LL << 30)      /* a file that ADD or a context fetches */
#define LIMIT_HTTP_REDIRECTS        10                /* redirects of one request */
#define LIMIT_UPLOAD_RESTARTS       4                 /* how often a broken upload of one blob is begun again */
#define LIMIT_REGISTRY_TOKENS       1000              /* access tokens kept for one registry */
#define LIMIT_ARM_PAGES             1000              /* pages of a list of the Azure resource manager */
#define LIMIT_SETTING_FILE_BYTES    (1024 * 1024)     /* a secret or settings file */
#define LIMIT_PASSWD_BYTES          (16 * 1024 * 1024) /* /etc/passwd or /etc/group inside an image */
#define LIMIT_PATH_BYTES            4096               /* PATH_MAX: a path in a context or image */
#define LIMIT_XATTR_BYTES           (64 * 1024)        /* XATTR_SIZE_MAX: one extended attribute, or a list of names */
#define LIMIT_PAX_BYTES             (1024 * 1024)      /* extended header of one tar entry */
#define LIMIT_OWNER_TABLE_BYTES                                                                                        \
    (256 * 1024 * 1024)                            /* owners of a layer's symlinks and other files without attributes */
#define LIMIT_SPARSE_PARTS     262144              /* pieces of data of one sparse file in a tar archive */
#define LIMIT_XZ_MEMORY_BYTES  (128 * 1024 * 1024) /* what decompressing .xz may take (xz -9: 65 MiB) */
#define LIMIT_WALK_DEPTH       2048                /* nesting of directories in a tree that we walk */
#define LIMIT_RUN_ORDERS_BYTES (16 * 1024 * 1024)  /* orders of one RUN: arguments, environment, script */
#define LIMIT_RUN_TAIL_BYTES   (16 * 1024)         /* last output of a RUN, kept to show it again on failure */
#define LIMIT_SECRET_BYTES     (500 * 1024)        /* one secret of a RUN, as BuildKit */
#define LIMIT_AGENT_BYTES      (256 * 1024)        /* one message of an SSH agent, as OpenSSH */
#define LIMIT_SECRETS          1000                /* secrets of one build */
#define LIMIT_PRIVATE_CACHES   1000                /* private cache mounts of one id at once */

/* Cache mounts in a registry: the contents of one. */
#define LIMIT_STASH_ENTRIES     200000              /* files, directories and symlinks */
#define LIMIT_STASH_CHUNKS      400000              /* pieces of files */
#define LIMIT_STASH_NAMES_BYTES (16 * 1024 * 1024)  /* of all names */
#define LIMIT_STASH_INDEX_BYTES (64 * 1024 * 1024)  /* the list of all that, compressed */
#define LIMIT_STASH_PACK_BYTES  (128 * 1024 * 1024) /* many pieces in one blob, compressed: ours have about 40 MB */
#define LIMIT_STASH_TAR_BYTES   (512 * 1024 * 1024) /* the same, not compressed: with 1 KiB around each piece */

/* Git repositories. */
#define LIMIT_GIT_PACKET_BYTES  65520              /* one packet of git's protocol, with its length */
#define LIMIT_GIT_CAPABILITIES  200                /* what a git server says that it can do */
#define LIMIT_GIT_REFS          500000             /* branches and tags of one repository that are remembered */
#define LIMIT_GIT_PACK_BYTES    (64LL << 30)       /* a pack of objects, or one object */
#define LIMIT_GIT_OBJECTS       20000000           /* objects in one pack */
#define LIMIT_GIT_MEMORY_BYTES  (256 << 20)        /* libgit2 at once; half of it a file stored as a difference */
#define LIMIT_GIT_TREE_BYTES    (64 * 1024 * 1024) /* one directory, commit or tag */
#define LIMIT_GIT_FILES         5000000            /* files and directories of one checkout */
#define LIMIT_GIT_DEPTH         500                /* directories inside each other: each is open */
#define LIMIT_GIT_TAGS          10                 /* tags of tags */
#define LIMIT_GIT_MODULES_BYTES (1024 * 1024)      /* .gitmodules */
#define LIMIT_GIT_SUBMODULES    2000               /* submodules of a checkout */
#define LIMIT_GIT_NESTING       16                 /* submodules of submodules */
#define LIMIT_GIT_TIME_S        253402300799LL     /* the year 9999 */

#endif
