/* settings_priv.h - the table of settings and what its readers share. */
#ifndef SETTINGS_SETTINGS_PRIV_H
#define SETTINGS_SETTINGS_PRIV_H

#include "settings/settings.h"

#include <stddef.h>

enum setting_type {
    SETTING_TEXT,
    SETTING_LIST,       /* split at ',' */
    SETTING_SEMICOLONS, /* split at ';' */
    SETTING_BOOL,
    SETTING_INT,
    SETTING_DURATION,
    SETTING_SIZE, /* bytes */
    SETTING_SECRET,
    SETTING_CHOICE
};

enum setting_effect {
    SETTING_WORKS,
    SETTING_REFUSED, /* changes what is built, or where credentials come from, and this version cannot do it: a mistake
                      */
    SETTING_NOTHING  /* harmless: one line for the user says why it has no effect */
};

#define SETTING_NAMES    6
#define SETTING_NO_PLACE ((size_t)-1)

struct setting {
    const char *group;                /* NULL: the one of the row before */
    const char *names[SETTING_NAMES]; /* the first one is ours; then the others in order of precedence */
    enum setting_type type;
    size_t place;         /* in struct settings, or SETTING_NO_PLACE */
    const char *fallback; /* its default, as text, or NULL */
    const char *help;
    const char *choices; /* of a SETTING_CHOICE, split by blanks */
    int64_t min, max;    /* of a SETTING_INT */
    enum setting_effect effect;
    const char *why; /* it is refused or has no effect */
};

extern const struct setting settings_table[];
extern const size_t settings_table_len;

/* One reading of the environment. */
struct reading {
    char *const *environ_entries;
    struct settings *s;
    const char **origins; /* per row the name that gave the value, NULL = not set */
    struct err *mistakes;
};

/* The value of an environment variable, NULL if it is not there or empty. */
const char *reading_env(const struct reading *r, const char *name);
/* The name that gave a setting its value (by its first name), NULL if it has none. */
const char *reading_origin(const struct reading *r, const char *first_name);
/* Adds a mistake; NULL is none. */
void reading_mistake(struct reading *r, struct err *e);
/* Has this row a value that asks for something (a false switch does not)? */
bool reading_asks(const struct reading *r, const struct setting *row);

/* secret.c: takes text (malloc'ed; may be NULL). What was there is wiped. */
void secret_take(struct secret *s, char *text);
void secret_wipe(char *text);
/* From NAME, NAME_FILE or PLUGIN_SECRETS_DIR/NAME; *ret_text stays NULL if it is in none of them. A file that is no
 * text is taken as its base64 form where `binary` says that it may be one. */
struct err *secret_find(const struct reading *r, const char *name, bool binary, char **ret_text);
struct err *secret_from_file(const char *name, const char *path, bool binary, char **ret_text);

/* check.c, names.c, credentials.c: what must fit together, and what follows from it. Mistakes go to r. */
void settings_check(struct reading *r);
void settings_check_names(struct reading *r);
void settings_check_credentials(struct reading *r);
/* context.c */
void settings_check_context(struct reading *r);
/* azure.c */
void settings_check_azure(struct reading *r);
/* names.c: the registry in front of a repository that names none; NULL if there is none to put. The caller frees. */
char *settings_qualified(const char *repo, const char *registry);
/* cache.c */
void settings_check_cache(struct reading *r);
/* platforms.c */
void settings_check_platforms(struct reading *r);
/* run_secrets.c */
void settings_check_run_secrets(struct reading *r);
void settings_check_build_contexts(struct reading *r);
void run_secrets_free(struct settings *s);
/* notes.c */
void settings_note_effects(struct reading *r);
void settings_note_unknown(struct reading *r);

#endif
