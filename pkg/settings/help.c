/* The table as text. */
#include "settings/settings_priv.h"

#include <string.h>

static const char *type_text(const struct setting *row)
{
    switch (row->type) {
    case SETTING_TEXT:
        return "text";
    case SETTING_LIST:
        return "list, split at ','";
    case SETTING_SEMICOLONS:
        return "list, split at ';'";
    case SETTING_BOOL:
        return "true or false";
    case SETTING_INT:
        return "number";
    case SETTING_DURATION:
        return "time";
    case SETTING_SIZE:
        return "size";
    case SETTING_SECRET:
        return "secret";
    case SETTING_CHOICE:
        return row->choices;
    }
    return "";
}

/* A default that means "not set" is not shown: the help says what happens then. */
static const char *default_text(const struct setting *row)
{
    return row->fallback && strcmp(row->fallback, "-1") != 0 ? row->fallback : NULL;
}

static const char *effect_text(const struct setting *row)
{
    switch (row->effect) {
    case SETTING_WORKS:
        return NULL;
    case SETTING_REFUSED:
        return "An error";
    case SETTING_NOTHING:
        return "No effect";
    }
    return NULL;
}

static void print_wrapped(FILE *out, const char *text)
{
    const size_t width = 92;

    while (*text) {
        size_t n = strlen(text);
        if (n > width) {
            n = width;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0)
                n = strcspn(text, " ");
        }
        fprintf(out, "      %.*s\n", (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
}

static void print_row(FILE *out, const struct setting *row)
{
    fprintf(out, "  %s", row->names[0]);
    for (size_t i = 1; i < SETTING_NAMES && row->names[i]; i++)
        fprintf(out, ", %s", row->names[i]);
    fprintf(out, "  (%s", type_text(row));
    if (default_text(row))
        fprintf(out, "; default %s", default_text(row));
    fputs(")\n", out);
    print_wrapped(out, row->help);
    if (effect_text(row)) {
        AUTO_FREE char *text = xasprintf("%s: %s.", effect_text(row), row->why);
        print_wrapped(out, text);
    }
}

void settings_print_help(FILE *out)
{
    fputs("Settings are environment variables; one that is empty counts as not set, and of several names the first one "
          "that "
          "is set counts.\nEvery secret NAME may also come from the file that NAME_FILE names, or from the file NAME "
          "in the "
          "directory PLUGIN_SECRETS_DIR.\n",
          out);
    for (size_t i = 0; i < settings_table_len; i++) {
        if (settings_table[i].group)
            fprintf(out, "\n%s\n", settings_table[i].group);
        print_row(out, &settings_table[i]);
    }
}

/* A cell of a table: '|' would end it. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void markdown_row(FILE *out, const struct setting *row)
{
    fprintf(out, "| `%s`", row->names[0]);
    for (size_t i = 1; i < SETTING_NAMES && row->names[i]; i++)
        fprintf(out, "<br>`%s`", row->names[i]);
    fputs(" | ", out);
    print_cell(out, type_text(row));
    if (default_text(row))
        fprintf(out, " | `%s` | ", default_text(row));
    else
        fputs(" | | ", out);
    print_cell(out, row->help);
    if (effect_text(row)) {
        fprintf(out, " **%s:** ", effect_text(row));
        print_cell(out, row->why);
        fputc('.', out);
    }
    fputs(" |\n", out);
}

void settings_print_markdown(FILE *out)
{
    fputs("# Settings\n\n"
          "Made from the table in `pkg/settings/table.c`: change it there.\n\n"
          "Settings are environment variables. One that is empty counts as not set; of several names the first one "
          "that is\n"
          "set counts. Every secret `NAME` may also come from the file that `NAME_FILE` names, or from the file `NAME` "
          "in the\n"
          "directory `PLUGIN_SECRETS_DIR`. All mistakes are told at once, before anything is done.\n",
          out);
    for (size_t i = 0; i < settings_table_len; i++) {
        if (settings_table[i].group)
            fprintf(out, "\n## %s\n\n| Name | Value | Default | Meaning |\n|---|---|---|---|\n",
                    settings_table[i].group);
        markdown_row(out, &settings_table[i]);
    }
}
