/* dockerfile.h - Dockerfile text to instructions with places. The grammar of dockerfile/1.26 (BuildKit 0.32):
 * directives, escapes, continuation, comments, here-documents, JSON and shell forms, flags. Pure: no files, no images,
 * no network; bounded by LIMIT_DOCKERFILE_BYTES. Nothing is expanded here: values hold $variables as written;
 * dockerfile/words.h expands. The tree is immutable after parsing. */
#ifndef DOCKERFILE_DOCKERFILE_H
#define DOCKERFILE_DOCKERFILE_H

#include "base/err.h"
#include "base/mem.h"
#include "base/strs.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum df_kind {
    DF_ADD,
    DF_ARG,
    DF_CMD,
    DF_COPY,
    DF_ENTRYPOINT,
    DF_ENV,
    DF_EXPOSE,
    DF_FROM,
    DF_HEALTHCHECK,
    DF_LABEL,
    DF_MAINTAINER,
    DF_ONBUILD,
    DF_RUN,
    DF_SHELL,
    DF_STOPSIGNAL,
    DF_USER,
    DF_VOLUME,
    DF_WORKDIR,
    DF_KIND_COUNT
};

struct df_pair { /* ARG, ENV, LABEL: as written, quotes included */
    char *name;
    char *value;    /* NULL: ARG without a default */
    bool separator; /* true: "name=value", false: legacy "name value" */
};

struct df_heredoc {
    char *name;    /* delimiter without quotes */
    char *content; /* with the final newline; tabs already stripped for <<- */
    char *raw;     /* as in the file: what a shell must get behind "cat <<-EOF"; differs from content only for <<- */
    bool expand;   /* delimiter was not quoted */
    bool chomp;    /* <<- */
    char *fd;      /* digits before <<, "" if none */
    int line;      /* of the first content line */
};

struct df_flag { /* --name[=value], in order, as written */
    char *name, *value;
    bool has_value;
};

/* A command of RUN, CMD, ENTRYPOINT, HEALTHCHECK CMD. */
struct df_command {
    bool exec; /* JSON form: args is argv; else args has the one command line */
    struct strs args;
};

struct df_instr {
    enum df_kind kind;
    int line, end_line; /* first and last line in the file, 1-based; for an ONBUILD trigger: of the ONBUILD */
    char *text; /* the whole instruction on one line, continuations joined, comments gone, without here-documents */
    struct df_flag *flags;
    size_t n_flags;
    struct df_heredoc *heredocs; /* of ONBUILD: the trigger has them */
    size_t n_heredocs;
    int empty_line; /* the first empty line inside a continued instruction; 0 = none */
    char *check;    /* of a comment "# check=..." above it: what it says; NULL = there is none */
    char *comment;  /* the last other comment above it, NULL = none, or an empty comment came behind it */
    int check_line, comment_line;
    bool takes_heredocs; /* they may follow: ADD, COPY, RUN not in JSON form, and ONBUILD of these */

    /* by kind; what does not apply is empty */
    struct df_command command; /* RUN, CMD, ENTRYPOINT, HEALTHCHECK CMD */
    struct strs words;     /* EXPOSE, VOLUME, SHELL; ADD/COPY sources (here-document sources as written: "<<NAME") */
    char *arg;             /* USER, WORKDIR, STOPSIGNAL, MAINTAINER; ADD/COPY destination; FROM image;
                            * ONBUILD: the text for the image's configuration, here-documents included */
    struct df_pair *pairs; /* ARG, ENV, LABEL */
    size_t n_pairs;
    char *stage_name;         /* FROM ... AS name (lower-cased), else NULL */
    struct df_instr *trigger; /* ONBUILD: the instruction inside; NULL if it is wrong: BuildKit notices that only when
                               * a build starts from the image, and dockerfile_parse_trigger(arg) says what it is */
    bool health_none;         /* HEALTHCHECK NONE */
};

struct dockerfile {
    char *name;           /* for messages, as given */
    char *syntax, *check; /* directives, NULL if absent */
    int syntax_line, check_line;
    char escape; /* '\\' or '`' */
    struct df_instr *instrs;
    size_t n_instrs;
    VEC(size_t) froms; /* which of them are FROM */
    struct strs lines; /* the source lines, for excerpts */
};

/* Parses the whole text; the first mistake is ERR_DOCKERFILE with place, excerpt and, where a keyword or flag is nearly
 * right, a "did you mean" hint. Unknown instructions and unknown flags are errors that name them. Each instruction is
 * checked as BuildKit's instructions.Parse does (argument counts, flags, names, durations), so that no later stage
 * meets a malformed one. */
MUST_USE struct err *dockerfile_parse(const char *name, const char *text, size_t len, struct dockerfile **ret);
/* The directive `# syntax=` alone, to be looked at before the text is parsed; NULL if there is none. The caller frees.
 */
char *dockerfile_syntax(const char *text, size_t len, int *ret_line);
/* Adds a place of a text that is not parsed (yet), with what the error blames. NULL stays NULL. */
MUST_USE struct err *dockerfile_at_line(const char *name, const char *text, size_t len, int line, struct err *e);
/* Parses one instruction of an ONBUILD trigger found in a base image; place is for messages. Forbidden inside: ONBUILD,
 * FROM, MAINTAINER. The caller frees with df_instr_free. */
MUST_USE struct err *dockerfile_parse_trigger(const char *text, const struct srcpos *place, struct df_instr **ret);
void dockerfile_free(struct dockerfile *df);
DEFINE_CLEANUP(struct dockerfile *, dockerfile_free);
void df_instr_free(struct df_instr *i);

/* "RUN" */
const char *df_keyword(enum df_kind kind);
/* The place of a line of that file, for err_at(), with its stage and the lines around it. Borrowed from df. It looks
 * for the stage: ask for it when there is something to say, not before. */
struct srcpos df_place(const struct dockerfile *df, int line);
/* The place of a token within the instruction's lines, as it is written there; token NULL or not found: its first line.
 */
struct srcpos df_find(const struct dockerfile *df, const struct df_instr *i, const char *token);
/* Adds the place of the instruction: what the error blames (err_blame) within its lines, else its first line. NULL
 * stays NULL. */
MUST_USE struct err *df_at(const struct dockerfile *df, const struct df_instr *i, struct err *e);
/* The same for the instruction that begins in that line. */
MUST_USE struct err *df_at_line(const struct dockerfile *df, int line, struct err *e);
/* The flag's value ("" for a bare one), or NULL if it was not given. For flags given several times see flags. */
const char *df_flag(const struct df_instr *i, const char *name);
/* A true or false flag: false if it was not given. */
bool df_flag_bool(const struct df_instr *i, const char *name);
/* Is this word of ADD, COPY or RUN as a whole a here-document ("<<EOF", "3<<-'EOF'")? A RUN whose command line is one
 * is its body run as a script; else the shell gets the line with all bodies (raw) behind it. */
bool df_is_heredoc(const char *word);

/* ---- pieces of instructions, parsed after expansion ---- */

enum df_mount_type { DF_MOUNT_BIND, DF_MOUNT_CACHE, DF_MOUNT_TMPFS, DF_MOUNT_SECRET, DF_MOUNT_SSH };
enum df_sharing { DF_SHARING_SHARED, DF_SHARING_PRIVATE, DF_SHARING_LOCKED };
struct df_mount {
    enum df_mount_type type;
    char *from, *source, *target, *id, *env; /* NULL = not given */
    bool readonly; /* as BuildKit: true for a bind without rw, false for a cache and a tmpfs without ro */
    bool required;
    enum df_sharing sharing;
    uint64_t size_bytes;    /* tmpfs; 0 = none given */
    int64_t mode, uid, gid; /* -1 = not given */
};
/* RUN --mount's value, already expanded. */
MUST_USE struct err *df_parse_mount(const char *text, struct df_mount *ret_mount);
/* The same, as BuildKit expands: each field's value for itself, so that a variable's commas split nothing. */
struct words_opts;
MUST_USE struct err *df_expand_mount(const char *text, const struct words_opts *opts, struct df_mount *ret_mount);
void df_mount_release(struct df_mount *m);
/* What `from=` of RUN --mount's value says, which takes no variables; NULL if it is not given. The caller frees. */
MUST_USE struct err *df_mount_from(const char *text, char **ret_from);

struct df_health {
    int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns, retries; /* 0 = not given */
};
/* The flags of a HEALTHCHECK; nothing for NONE. */
MUST_USE struct err *df_parse_health(const struct df_instr *i, struct df_health *ret_health);
/* A Go duration ("1h30m", "1.5s") in nanoseconds. */
MUST_USE struct err *df_parse_duration(const char *text, int64_t *ret_ns);
/* --chmod text: octal or symbolic, applied to a file of mode `mode` (permission bits and S_IF type). */
MUST_USE struct err *df_chmod(const char *text, mode_t mode, mode_t *ret_mode);

#endif
