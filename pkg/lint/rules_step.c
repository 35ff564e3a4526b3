/* rules_step.c - rules about the instructions of a stage, at the moment when they are planned. */
#include "address/address.h"
#include "base/suggest.h"
#include "lint/lint_priv.h"
#include "oci/config.h"
#include "sys/path.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- variables ---- */

/* The variable that was probably meant: one that is visible. */
static const char *near_variable(const struct plan_moment *m, const char *name, struct strs *all)
{
    vars_list(m->env, vars_now(m->env), all);
    for (size_t k = 0; k < all->n; k++)
        all->items[k][strcspn(all->items[k], "=")] = '\0';
    return suggest(name, (const char *const *)all->items, all->n);
}

/* How the instruction writes it. The caller frees. */
static char *use_of(const struct df_instr *i, const char *name)
{
    char *use = xasprintf("${%s", name);

    if (strstr(i->text, use))
        return use;
    free(use);
    return xasprintf("$%s", name);
}

/* What an unknown base image sets is not known: then only what it cannot set, or a likely slip, is worth a warning. */
void rule_undefined_var(struct lint *l, const struct lint_at *at)
{
    AUTO(strs_release) struct strs all = { 0 };
    AUTO_FREE char *use = use_of(at->instr, at->name);
    const char *near = near_variable(at->m, at->name, &all);
    bool global = vars_get(&l->globals, at->name) || map_get(l->global_args, at->name);

    if (global)
        lint_report(l, LINT_UNDEFINED_VAR, at->instr->line, use,
                    "the variable '%s' is not set in this stage: it takes an 'ARG %s' of its own", at->name, at->name);
    else if (near)
        lint_report(l, LINT_UNDEFINED_VAR, at->instr->line, use, "the variable '%s' is not set; did you mean '%s'?",
                    at->name, near);
    else if (at->m->base_known)
        lint_report(l, LINT_UNDEFINED_VAR, at->instr->line, use, "the variable '%s' is not set", at->name);
}

/* ---- secrets ---- */

/* Is one of the words between the name's underscores in the list? */
static bool has_word(const char *name, const char *const *words, size_t n)
{
    for (const char *p = name;; p++) {
        size_t len = strcspn(p, "_");

        for (size_t k = 0; k < n; k++)
            if (strlen(words[k]) == len && strncasecmp(words[k], p, len) == 0)
                return true;
        p += len;
        if (!*p)
            return false;
    }
}

static bool sounds_secret(const char *name)
{
    static const char *const secret[] = { "apikey",   "auth",  "credential", "credentials", "key",
                                          "password", "pword", "passwd",     "secret",      "token" };
    static const char *const harmless[] = { "public", "file", "version" };

    return has_word(name, secret, sizeof(secret) / sizeof(secret[0])) &&
           !has_word(name, harmless, sizeof(harmless) / sizeof(harmless[0]));
}

void rule_secrets_used_in_arg_or_env(struct lint *l, const struct lint_at *at)
{
    const struct df_instr *i = at->instr;

    if (i->kind != DF_ENV && i->kind != DF_ARG)
        return;
    for (size_t k = 0; k < i->n_pairs; k++) {
        AUTO_FREE char *name = NULL;

        if (i->kind == DF_ARG || !lint_expand(at->m, i->pairs[k].name, &name))
            name = xstrdup(i->pairs[k].name);
        if (sounds_secret(name))
            lint_report(l, LINT_SECRETS_USED_IN_ARG_OR_ENV, i->line, i->pairs[k].name,
                        "%s '%s' sounds like a secret, and stays in the image's configuration or history",
                        df_keyword(i->kind), name);
    }
}

/* ---- forms ---- */

void rule_legacy_key_value_format(struct lint *l, const struct lint_at *at)
{
    const struct df_instr *i = at->instr;

    for (size_t k = 0; (i->kind == DF_ENV || i->kind == DF_LABEL) && k < i->n_pairs; k++)
        if (!i->pairs[k].separator)
            lint_report(l, LINT_LEGACY_KEY_VALUE_FORMAT, i->line, i->pairs[k].name,
                        "%s with a blank instead of '=' between name and value", df_keyword(i->kind));
}

void rule_json_args_recommended(struct lint *l, const struct lint_at *at)
{
    const struct df_instr *i = at->instr;

    if ((i->kind != DF_CMD && i->kind != DF_ENTRYPOINT) || i->command.exec || at->m->config->shell.n)
        return;
    AUTO_FREE char *keyword = lint_keyword(i);

    lint_report(l, LINT_JSON_ARGS_RECOMMENDED, i->line, keyword,
                "%s in shell form: signals reach the shell, not the command", df_keyword(i->kind));
}

static bool single_of(enum df_kind kind, enum lint_single *ret)
{
    if (kind != DF_CMD && kind != DF_ENTRYPOINT && kind != DF_HEALTHCHECK)
        return false;
    *ret = kind == DF_CMD ? LINT_CMD : kind == DF_ENTRYPOINT ? LINT_ENTRYPOINT : LINT_HEALTHCHECK;
    return true;
}

void rule_multiple_instructions_disallowed(struct lint *l, const struct lint_at *at)
{
    enum lint_single single = LINT_CMD;

    if (!single_of(at->instr->kind, &single))
        return;
    if (l->last_line[single])
        lint_report(l, LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED, l->last_line[single], NULL,
                    "this %s has no effect: the one in line %d replaces it", df_keyword(at->instr->kind),
                    at->instr->line);
    l->last_line[single] = at->instr->line;
}

void rule_workdir_relative_path(struct lint *l, const struct lint_at *at)
{
    AUTO_FREE char *path = NULL;

    if (at->instr->kind != DF_WORKDIR || l->workdir_set[at->m->stage])
        return;
    l->workdir_set[at->m->stage] = true;
    if (lint_expand(at->m, at->instr->arg, &path) && path[0] != '/')
        lint_report(l, LINT_WORKDIR_RELATIVE_PATH, at->instr->line, at->instr->arg,
                    "where the relative path '%s' begins depends on the base image", path);
}

/* ---- EXPOSE ---- */

static void expose_words(const struct lint_at *at, struct strs *ret_words)
{
    AUTO(strs_release) struct strs unset = { 0 };
    const struct words_opts opts = { .env = at->m->env, .escape = at->m->plan->df->escape, .unmatched = &unset };

    for (size_t k = 0; at->instr->kind == DF_EXPOSE && k < at->instr->words.n; k++)
        err_free(words_split(at->instr->words.items[k], &opts, ret_words));
}

/* What stands before the container's port, "127.0.0.1:80:"; its length, 0 if there is none. */
static size_t host_part(const char *word)
{
    const char *colon = strrchr(word, ':');

    return colon ? (size_t)(colon - word) + 1 : 0;
}

void rule_expose_invalid_format(struct lint *l, const struct lint_at *at)
{
    AUTO(strs_release) struct strs words = { 0 };

    expose_words(at, &words);
    for (size_t k = 0; k < words.n; k++) {
        const char *word = words.items[k];
        size_t n = host_part(word);

        if (strspn(word, ":") < n)
            lint_report(l, LINT_EXPOSE_INVALID_FORMAT, at->instr->line, word,
                        "'%s' maps a port of the host, which EXPOSE cannot: only '%s' counts", word, word + n);
    }
}

void rule_expose_proto_casing(struct lint *l, const struct lint_at *at)
{
    AUTO(strs_release) struct strs words = { 0 };

    expose_words(at, &words);
    for (size_t k = 0; k < words.n; k++) {
        const char *slash = strchr(words.items[k] + host_part(words.items[k]), '/');

        for (const char *c = slash; c && *c; c++) {
            if (!isupper((unsigned char)*c))
                continue;
            lint_report(l, LINT_EXPOSE_PROTO_CASING, at->instr->line, words.items[k],
                        "the protocol of '%s' is not in small letters", words.items[k]);
            break;
        }
    }
}

/* ---- the context ---- */

/* A "!" can bring back a part of what is excluded, so nothing can be said; as in BuildKit. */
static bool brings_back(const struct ignore *ignore)
{
    const struct strs *patterns = ignore_patterns(ignore);

    for (size_t k = 0; k < patterns->n; k++)
        if (patterns->items[k][0] == '!')
            return true;
    return false;
}

static bool excludes_all(const struct ignore *ignore)
{
    const struct strs *patterns = ignore_patterns(ignore);

    for (size_t k = 0; k < patterns->n; k++)
        if (strcmp(patterns->items[k], "*") == 0 || strcmp(patterns->items[k], "**") == 0 ||
            strcmp(patterns->items[k], "**/*") == 0)
            return true;
    return false;
}

static bool is_elsewhere(const char *source)
{
    enum address_kind kind = ADDRESS_PATH;

    err_free(address_kind_of(source, &kind));
    return kind != ADDRESS_PATH;
}

static void check_source(struct lint *l, const struct lint_at *at, const char *written)
{
    AUTO_FREE char *source = NULL, *clean = NULL;

    if (!lint_expand(at->m, written, &source) || is_elsewhere(source))
        return;
    clean = path_clean(source);
    const char *path = clean + strspn(clean, "/");
    bool whole = !*path || strcmp(path, ".") == 0;

    if (whole ? excludes_all(l->ignore) : ignore_excludes(l->ignore, path))
        lint_report(l, LINT_COPY_IGNORED_FILE, at->instr->line, written,
                    "%s '%s': .dockerignore excludes it from the context", df_keyword(at->instr->kind), source);
}

void rule_copy_ignored_file(struct lint *l, const struct lint_at *at)
{
    const struct df_instr *i = at->instr;
    const char *from = i->kind == DF_COPY ? df_flag(i, "from") : NULL;

    if ((i->kind != DF_COPY && i->kind != DF_ADD) || (from && *from) || !l->ignore || brings_back(l->ignore))
        return;
    for (size_t k = 0; k < i->words.n; k++)
        if (!(i->n_heredocs && df_is_heredoc(i->words.items[k])))
            check_source(l, at, i->words.items[k]);
}
