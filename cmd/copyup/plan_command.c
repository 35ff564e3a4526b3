#include "plan_command.h"

#include <string.h>

#define SHOWN_KEY  12 /* digits */
#define SHOWN_TEXT 70 /* characters of an instruction */

struct shown {
    char *stage; /* whose steps are being shown */
    size_t found, executed, not_needed;
};

static void show_text(const char *text)
{
    size_t len = strcspn(text, "\n");
    bool cut = len > SHOWN_TEXT || text[len];

    printf("%.*s%s", (int)(len > SHOWN_TEXT ? SHOWN_TEXT : len), text, cut ? "..." : "");
}

static void show_fate(struct shown *shown, const struct product_step *s)
{
    AUTO_FREE char *repo = s->repo ? ref_familiar(s->repo) : NULL;

    switch (s->fate) {
    case STEP_IS_FOUND:
        shown->found++;
        printf("      found in %s\n", repo ? repo : "this build");
        break;
    case STEP_IS_EXECUTED:
        shown->executed++;
        printf("      is executed: %s\n", s->why ? s->why : "it is not in the cache");
        break;
    case STEP_IS_NOT_NEEDED:
        shown->not_needed++;
        puts("      not needed: all that takes from its stage is found");
        break;
    }
}

static void show_step(void *ctx, const struct product_step *s)
{
    struct shown *shown = ctx;

    if (!shown->stage || strcmp(shown->stage, s->stage) != 0) {
        free(shown->stage);
        shown->stage = xstrdup(s->stage);
        printf("stage %s\n", s->stage);
    }
    printf("  %zu/%zu  %.*s  ", s->number, s->total, SHOWN_KEY, s->key.text[0] ? digest_hex(&s->key) : "------------");
    show_text(s->text);
    putchar('\n');
    show_fate(shown, s);
}

struct err *plan_show(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans)
{
    struct shown shown = { 0 };
    struct err *e = product_plan(opts, plans, n_plans, show_step, &shown);

    free(shown.stage);
    TRY(e);
    printf("plan: %zu found, %zu to execute, %zu not needed\n", shown.found, shown.executed, shown.not_needed);
    return NULL;
}
