#include "check.h"

#include "base/limits.h"
#include "settings/settings.h"
#include "snapshot/snapshot.h"
#include "store/store.h"
#include "sys/file.h"
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char usage_text[] =
    "copyup check: says what this pod allows a build, and which line of its YAML would allow more.\n\n"
    "  copyup check [--json]\n\n"
    "Of the settings only PLUGIN_STATE_DIR, COPYUP_SANDBOX and COPYUP_SNAPSHOTTER count. Nothing is fetched or built.\n"
    "Exit codes: 0 the pod can build, 71 it cannot, 64 wrong arguments or settings.\n";

struct check_args {
    bool json, help;
};

static struct err *read_args(int argc, char **argv, struct check_args *a)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            a->json = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            a->help = true;
        else
            return err_hint(err_new(ERR_SETTING, "unknown argument '%s'", argv[i]), "See copyup check --help.");
    }
    return NULL;
}

/* A check says something about the pod, also before anybody wrote the other settings. */
static struct err *read_settings(struct settings **ret)
{
    static const char *const names[] = { "PLUGIN_STATE_DIR", "COPYUP_SANDBOX", "COPYUP_SNAPSHOTTER" };
    AUTO(strs_release) struct strs env = { 0 };

    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strncmp(*e, names[i], strlen(names[i])) == 0 && (*e)[strlen(names[i])] == '=')
                strs_add(&env, *e);
    strs_add(&env, "PLUGIN_NO_PUSH=true"); /* so that no repository is asked for */
    return settings_read(strs_argv(&env), ret);
}

/* ---- the pod ---- */

static const char *const capability_names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

/* The value of a line "NAME:\tVALUE" of /proc/self/status, "" if there is none. */
static const char *status_value(const char *status, const char *name)
{
    AUTO_FREE char *start = xasprintf("\n%s:\t", name);
    const char *line = strstr(status, start);

    return line ? line + strlen(start) : "";
}

static void look_at_capabilities(const char *status, struct strs *out)
{
    uint64_t set = strtoull(status_value(status, "CapPrm"), NULL, 16);

    for (size_t i = 0; i < sizeof(capability_names) / sizeof(capability_names[0]); i++)
        if (set & (UINT64_C(1) << i))
            strs_add(out, capability_names[i]);
}

static void look_at_groups(struct check_pod *p)
{
    int n = getgroups(0, NULL);
    AUTO_FREE gid_t *groups = xcalloc(n > 0 ? (size_t)n : 1, sizeof(*groups));

    n = getgroups(n, groups);
    for (int i = 0; i < n; i++)
        vec_push(&p->groups, (uint32_t)groups[i]);
}

/* The first user namespace maps all ids to themselves. */
static bool in_user_namespace(void)
{
    AUTO(buf_release) struct buf map = BUF_INIT;
    unsigned long long inside = 1, outside = 1, count = 0;
    char *at;

    struct err *e = file_read("/proc/self/uid_map", LIMIT_SETTING_FILE_BYTES, &map);
    if (e) {
        err_free(e);
        return false;
    }
    inside = strtoull(buf_str(&map), &at, 10);
    outside = strtoull(at, &at, 10);
    count = strtoull(at, NULL, 10);
    return inside != 0 || outside != 0 || count < UINT32_MAX;
}

static void look_at_pod(struct check_pod *p)
{
    AUTO(buf_release) struct buf status = BUF_INIT;

    err_free(file_read("/proc/self/status", LIMIT_SETTING_FILE_BYTES, &status));
    p->uid = geteuid();
    p->gid = getegid();
    look_at_groups(p);
    look_at_capabilities(buf_str(&status), &p->capabilities);
    p->no_new_privs = status_value(buf_str(&status), "NoNewPrivs")[0] == '1';
    p->seccomp_filter = status_value(buf_str(&status), "Seccomp")[0] == '2';
    p->user_namespace = in_user_namespace();
}

static void look_at_limits(struct check_report *r)
{
    limits_read("", &r->limits);
    (void)getrlimit(RLIMIT_NOFILE, &r->open_files);
    (void)getrlimit(RLIMIT_NPROC, &r->processes);
    (void)getrlimit(RLIMIT_FSIZE, &r->file_size);
    (void)getrlimit(RLIMIT_DATA, &r->memory);
}

/* ---- inside the sandbox ---- */

struct trial {
    const struct settings *s;
    const char *state_dir;       /* NULL: there is none */
    struct check_inside *inside; /* shared with the parent */
};

static void copy_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from);
}

static void look_at_sandbox(const struct sandbox *sb, struct check_inside *in)
{
    in->entered = true;
    in->can_run = sb->can_run;
    in->fresh_proc = sb->fresh_proc;
    in->scoped = sb->scoped;
    in->recorded = sb->owners == OWNER_RECORDED;
    in->n_ids = sb->n_ids;
    copy_text(in->rung, sizeof(in->rung), sb->rung);
    copy_text(in->describe, sizeof(in->describe), sb->describe);
}

static struct err *look_inside(const struct sandbox *sb, void *ctx)
{
    struct trial *t = ctx;
    AUTO(store_close) struct store *store = NULL;
    AUTO(snapshotter_free) struct snapshotter *sn = NULL;
    struct statvfs fs;

    look_at_sandbox(sb, t->inside);
    if (!t->state_dir)
        return NULL;
    TRY(wire_store(t->state_dir, &store));
    copy_text(t->inside->state_dir, sizeof(t->inside->state_dir), store_dir(store));
    if (statvfs(store_dir(store), &fs) == 0) {
        t->inside->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        t->inside->free_inodes = fs.f_favail;
    }
    TRY(wire_snapshotter(t->s, sb, store, &sn));
    copy_text(t->inside->snapshots, sizeof(t->inside->snapshots), snapshotter_describe(sn));
    t->inside->opened = true;
    return NULL;
}

static struct err *try_build(const struct settings *s, struct check_inside *inside)
{
    const struct sandbox_opts opts = { .rung = s->sandbox ? s->sandbox : "auto", .deadline_ms = INT64_MAX };
    AUTO_FREE char *dir = NULL;
    struct trial t = { .s = s, .inside = inside };

    struct err *no_dir = wire_state_dir(s, &dir);
    t.state_dir = dir;
    return err_join(sandbox_enter(&opts, look_inside, &t), no_dir);
}

/* ---- the command ---- */

static void release(struct check_report *r)
{
    vec_free(&r->pod.groups);
    strs_release(&r->pod.capabilities);
    sandbox_trials_free(r->trials, r->n_trials);
    if (r->inside)
        munmap(r->inside, sizeof(*r->inside));
}

static struct err *gather(struct check_report *r, struct err **ret_refusal)
{
    AUTO(settings_free) struct settings *s = NULL;

    TRY(read_settings(&s));
    void *shared = mmap(NULL, sizeof(*r->inside), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return err_sys(errno, "cannot get memory");
    r->inside = shared;
    look_at_pod(&r->pod);
    look_at_limits(r);
    sandbox_survey(&r->trials, &r->n_trials);
    *ret_refusal = try_build(s, r->inside);
    return NULL;
}

/* Whatever it is that fails here, it is the pod that lacks it; but a setting that names nothing is one. */
static int code_of(const struct err *e)
{
    if (!e)
        return 0;
    return err_kind(e) == ERR_SETTING ? err_exit_code(e) : 71;
}

static int check(const struct check_args *a)
{
    struct check_report r = { .inside = NULL };
    struct err *refusal = NULL;
    struct err *e = gather(&r, &refusal);

    if (e) {
        err_print(stderr, e);
    } else {
        r.error = refusal;
        (a->json ? check_show_json : check_show_text)(stdout, &r);
        fflush(stdout);
        if (refusal && !a->json)
            err_print(stderr, refusal);
    }
    int code = code_of(e ? e : refusal);
    err_free(e);
    err_free(refusal);
    release(&r);
    return code;
}

int check_main(int argc, char **argv)
{
    struct check_args a = { 0 };
    struct err *e = read_args(argc, argv, &a);

    if (e) {
        int code = err_exit_code(e);

        err_print(stderr, e);
        err_free(e);
        return code;
    }
    if (!a.help)
        return check(&a);
    fputs(usage_text, stdout);
    return 0;
}
