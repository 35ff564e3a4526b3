#include "plan/plan_priv.h"

#include <string.h>

/* What this program executes of each instruction's flags. The grammar knows more. */
static const struct {
    enum df_kind kind;
    const char *flags[8];
} executed[] = {
    { DF_FROM, { "platform" } },
    { DF_RUN, { "mount", "network" } },
    { DF_COPY, { "from", "chown", "chmod", "exclude", "parents", "link" } },
    { DF_ADD, { "chown", "chmod", "exclude", "link", "unpack", "checksum" } },
    { DF_HEALTHCHECK, { "interval", "timeout", "start-period", "start-interval", "retries" } },
};

static bool is_executed(enum df_kind kind, const char *flag)
{
    for (size_t k = 0; k < sizeof(executed) / sizeof(executed[0]); k++)
        for (size_t f = 0; executed[k].kind == kind && executed[k].flags[f]; f++)
            if (strcmp(executed[k].flags[f], flag) == 0)
                return true;
    return false;
}

static struct err *check_network(const struct df_instr *i)
{
    const char *network = df_flag(i, "network");

    if (!network || strcmp(network, "default") == 0 || strcmp(network, "none") == 0)
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "RUN --network=%s cannot be granted", network),
                    "A build in a pod has the pod's network: use --network=default or --network=none.");
}

static struct err *not_executed(const struct df_instr *i, const struct df_flag *flag)
{
    AUTO_FREE char *token = xasprintf("--%s", flag->name);
    struct err *e =
        err_new(ERR_DOCKERFILE, "%s --%s is not supported by this version", df_keyword(i->kind), flag->name);

    return err_blame(err_hint(e, "Nothing is ignored silently: remove the flag, or build with a version that has it."),
                     token);
}

struct err *flags_check(const struct df_instr *i)
{
    for (size_t f = 0; f < i->n_flags; f++)
        if (!is_executed(i->kind, i->flags[f].name))
            return not_executed(i, &i->flags[f]);
    if (i->kind == DF_RUN)
        return check_network(i);
    return remote_check_words(i);
}
