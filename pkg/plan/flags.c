#include "plan/plan_priv.h"

#include <string.h>

/* What this program executes of each instruction's flags. The grammar knows more. */
static const struct {
    enum df_kind kind;
    const char *flags[8];
} executed[] = {
    { DF_FROM, { "platform" } },
    { DF_RUN, { "mount", "network", "security" } },
    { DF_COPY, { "from", "chown", "chmod", "exclude", "parents", "link" } },
    { DF_ADD, { "chown", "chmod", "exclude", "link", "unpack", "checksum", "keep-git-dir" } },
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

/* As in BuildKit host must be allowed; here it is then the same as default, since a RUN shares the pod's network. */
static struct err *check_network(const struct plan *p, const struct df_instr *i)
{
    const char *network = df_flag(i, "network");

    if (!network || strcmp(network, "host") != 0)
        return NULL;
    if (p->opts.no_network)
        return err_hint(
            err_blame(err_new(ERR_DOCKERFILE, "RUN --network=host: no RUN of this build has a network"), "--network"),
            "It was asked for with PLUGIN_RUN_NETWORK=none. Leave the flag out, or the setting.");
    if (strs_has(&p->opts.allow, "network.host"))
        return NULL;
    return err_hint(err_blame(err_new(ERR_DOCKERFILE, "RUN --network=host is not allowed"), "--network"),
                    "Leave the flag out: a RUN has the pod's network by default. Or allow it, as with buildx: "
                    "PLUGIN_ALLOW=network.host.");
}

static struct err *check_security(const struct df_instr *i)
{
    const char *security = df_flag(i, "security");

    if (!security || strcmp(security, "insecure") != 0)
        return NULL;
    return err_hint(err_blame(err_new(ERR_DOCKERFILE, "RUN --security=insecure cannot be granted"), "--security"),
                    "This builder has no privileges that it could give to a command.");
}

static struct err *not_executed(const struct df_instr *i, const struct df_flag *flag)
{
    AUTO_FREE char *token = xasprintf("--%s", flag->name);
    struct err *e;

    if (i->kind == DF_RUN && strcmp(flag->name, "device") == 0)
        e = err_hint(err_new(ERR_DOCKERFILE, "RUN --device is not supported"),
                     "It is no part of the stable Dockerfile syntax, and a build has no devices of the node's.");
    else
        e = err_hint(
            err_new(ERR_DOCKERFILE, "%s --%s is not supported by this version", df_keyword(i->kind), flag->name),
            "Nothing is ignored silently: remove the flag, or build with a version that has it.");
    return err_blame(e, token);
}

struct err *flags_check(const struct plan *p, const struct df_instr *i)
{
    for (size_t f = 0; f < i->n_flags; f++)
        if (!is_executed(i->kind, i->flags[f].name))
            return not_executed(i, &i->flags[f]);
    if (i->kind == DF_RUN) {
        TRY(check_network(p, i));
        return check_security(i);
    }
    return remote_check_words(i);
}
