/* What the user should know although nothing is wrong: settings without effect, names that may be misspelt. */
#include "base/buf.h"
#include "base/suggest.h"
#include "settings/settings_priv.h"

#include <string.h>

#define PREFIX "PLUGIN_"

static bool said_before(const struct reading *r, size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (settings_table[i].effect == SETTING_NOTHING &&
            strcmp(settings_table[i].why, settings_table[row].why) == 0 && reading_asks(r, &settings_table[i]))
            return true;
    return false;
}

/* One line per reason, with all the settings that it is for. */
void settings_note_effects(struct reading *r)
{
    for (size_t i = 0; i < settings_table_len; i++) {
        const struct setting *row = &settings_table[i];
        if (row->effect != SETTING_NOTHING || !reading_asks(r, row) || said_before(r, i))
            continue;
        struct buf names = BUF_INIT;
        size_t n = 0;
        for (size_t k = i; k < settings_table_len; k++) {
            const struct setting *other = &settings_table[k];
            if (other->effect == SETTING_NOTHING && strcmp(other->why, row->why) == 0 && reading_asks(r, other))
                buf_printf(&names, "%s%s", n++ > 0 ? ", " : "", r->origins[k]);
        }
        strs_take(&r->s->notes, xasprintf("%s %s no effect: %s", buf_str(&names), n > 1 ? "have" : "has", row->why));
        buf_release(&names);
    }
}

/* Is it one of ours? If not, *nearest is the one that it is likely to mean, or stays NULL. */
static bool name_known(const char *name, const char **nearest)
{
    const size_t most = 2;
    size_t best = most + 1;

    for (size_t i = 0; i < settings_table_len; i++) {
        const struct setting *row = &settings_table[i];
        for (size_t k = 0; k < SETTING_NAMES && row->names[k]; k++) {
            size_t len = strlen(row->names[k]);
            if (strcmp(row->names[k], name) == 0)
                return true;
            if (row->type == SETTING_SECRET && strncmp(row->names[k], name, len) == 0 &&
                strcmp(name + len, "_FILE") == 0)
                return true;
            bool ours = strncmp(row->names[k], PREFIX, strlen(PREFIX)) == 0;
            size_t d = ours ? suggest_distance(name, row->names[k], most) : best;
            if (d < best) {
                best = d;
                *nearest = row->names[k];
            }
        }
    }
    return false;
}

/* What looks like a setting and is none: nothing that somebody asked for is ignored without a word. */
void settings_note_unknown(struct reading *r)
{
    AUTO(buf_release) struct buf others = BUF_INIT;
    size_t n = 0;

    for (char *const *e = r->environ_entries; *e; e++) {
        const char *eq = strchr(*e, '='), *nearest = NULL;
        if (strncmp(*e, PREFIX, strlen(PREFIX)) != 0 || !eq || eq[1] == '\0')
            continue;
        AUTO_FREE char *name = xstrndup(*e, (size_t)(eq - *e));
        if (name_known(name, &nearest))
            continue;
        if (nearest)
            strs_take(&r->s->notes,
                      xasprintf("%s is not a setting of this step and is ignored; did you mean %s?", name, nearest));
        else
            buf_printf(&others, "%s%s", n++ > 0 ? ", " : "", name);
    }
    if (n > 0)
        strs_take(&r->s->notes, xasprintf("%s %s of this step and %s ignored", buf_str(&others),
                                          n > 1 ? "are no settings" : "is not a setting", n > 1 ? "are" : "is"));
}
