/* Dockerfile text: parse it, then expand and parse what later stages would. */
#include "dockerfile/dockerfile.h"
#include "dockerfile/words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expand(const char *text, struct words_opts *o)
{
    struct strs words = { 0 };
    char *out = NULL;

    if (!text)
        return;
    err_free(words_expand(text, o, &out));
    free(out);
    err_free(words_split(text, o, &words));
    strs_release(&words);
}

static void expand_all(const struct strs *l, struct words_opts *o)
{
    for (size_t i = 0; i < l->n; i++)
        expand(l->items[i], o);
}

static void use_flag(const struct df_flag *flag, struct words_opts *o)
{
    struct df_mount mount;
    int64_t ns = 0;
    mode_t mode = 0;
    struct err *e = df_expand_mount(flag->value, o, &mount);

    if (!e)
        df_mount_release(&mount);
    err_free(e);
    err_free(df_parse_duration(flag->value, &ns));
    e = df_chmod(flag->value, S_IFDIR | 0644, &mode);
    if (!e && (mode & ~(mode_t)07777) != S_IFDIR)
        abort();
    err_free(e);
}

static void use(const struct df_instr *i, char escape)
{
    struct vars vars = { 0 };
    struct strs unmatched = { 0 };
    struct words_opts o = { .env = &vars, .escape = escape, .unmatched = &unmatched };

    if (!i->text || i->line < 1 || i->end_line < i->line)
        abort();
    vars_set(&vars, "a", "A");
    vars_set(&vars, "b", "");
    vars_set(&vars, "s", "foobarbaz\nqux");
    vars_set(&vars, "HOME", "/r o o t");
    expand(i->arg, &o);
    expand_all(&i->words, &o);
    expand_all(&i->command.args, &o);
    for (size_t k = 0; k < i->n_pairs; k++) {
        expand(i->pairs[k].name, &o);
        expand(i->pairs[k].value, &o);
    }
    for (size_t k = 0; k < i->n_flags; k++)
        use_flag(&i->flags[k], &o);
    o.plain_quotes = true;
    for (size_t k = 0; k < i->n_heredocs; k++)
        expand(i->heredocs[k].content, &o);
    strs_release(&unmatched);
    vars_release(&vars);
    if (i->trigger)
        use(i->trigger, '\\');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    struct df_instr *trigger = NULL;
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    err_free(dockerfile_parse("fuzz", text, size, &df));
    for (size_t k = 0; df && k < df->n_instrs; k++)
        use(&df->instrs[k], df->escape);
    err_free(dockerfile_parse_trigger(text, NULL, &trigger));
    df_instr_free(trigger);
    free(text);
    return 0;
}
