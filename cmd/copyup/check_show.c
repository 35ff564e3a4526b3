/* check_show.c - the report of `copyup check`, as text and as JSON. */
#include "check.h"

#include "progress.h"
#include "json/json.h"

#include <inttypes.h>
#include <string.h>

#define LOW_DISK_BYTES (2ULL << 30)
#define YAML_PROC                                                                                                      \
    "A RUN sees the pod's process numbers. In the container's securityContext 'procMount: Unmasked' (with "            \
    "'hostUsers: false')."
#define YAML_DISK                                                                                                      \
    "Give the volume of the state directory more space ('sizeLimit' of the emptyDir, the step's 'ephemeral-storage')."

/* ---- what it cannot do ---- */

static const struct sandbox_trial *find_trial(const struct check_report *r, const char *name)
{
    for (size_t i = 0; i < r->n_trials; i++)
        if (strcmp(r->trials[i].name, name) == 0)
            return &r->trials[i];
    return NULL;
}

static const char *remedy_of(const struct check_report *r, const char *rung)
{
    const struct sandbox_trial *t = find_trial(r, rung);

    return t && t->refusal ? err_remedy(t->refusal) : NULL;
}

size_t check_lacks(const struct check_report *r, struct check_lack out[CHECK_LACKS_MAX])
{
    const struct check_inside *in = r->inside;
    size_t n = 0;

    if (!in->entered)
        return 0;
    if (!in->can_run)
        out[n++] = (struct check_lack){ "no RUN, and nothing else that needs a root file system to be mounted",
                                        remedy_of(r, "single") };
    if (in->can_run && in->recorded)
        out[n++] = (struct check_lack){
            "no real owners: they are recorded by a supervisor, which is no wall between the users of one RUN",
            remedy_of(r, "full")
        };
    if (in->can_run && !in->fresh_proc)
        out[n++] = (struct check_lack){ "no /proc and no pid namespace of a RUN's own", YAML_PROC };
    if (in->can_run && !in->fresh_proc && !in->scoped)
        out[n++] = (struct check_lack){
            "no Landlock scopes (Linux 6.12): a supervisor, not the kernel, refuses a RUN signals to other processes",
            NULL
        };
    if (in->opened && strncmp(in->snapshots, "overlay", strlen("overlay")) != 0)
        out[n++] = (struct check_lack){ "no overlayfs: every step searches the whole root for what it changed", NULL };
    if (in->opened && in->free_bytes < LOW_DISK_BYTES)
        out[n++] = (struct check_lack){ "little space for images", YAML_DISK };
    return n;
}

/* ---- text ---- */

static void show_pod(FILE *out, const struct check_pod *p)
{
    fprintf(out, "pod: user %u:%u", p->uid, p->gid);
    for (size_t i = 0; i < p->groups.n; i++)
        fprintf(out, "%s%u", i ? "," : ", groups ", p->groups.items[i]);
    fprintf(out, "; capabilities:");
    for (size_t i = 0; i < p->capabilities.n; i++)
        fprintf(out, " %s", p->capabilities.items[i]);
    fprintf(out, "%s%s%s%s\n", p->capabilities.n ? "" : " none", p->no_new_privs ? "; no new privileges" : "",
            p->seccomp_filter ? "; a seccomp profile" : "",
            p->user_namespace ? "; a user namespace (hostUsers: false)" : "");
}

/* Why not something better, and what would give it. */
static void show_trials(FILE *out, const struct check_report *r)
{
    for (size_t i = 0; i < r->n_trials; i++) {
        const struct sandbox_trial *t = &r->trials[i];

        if (r->inside->entered && strcmp(t->name, r->inside->rung) == 0)
            return;
        if (!t->refusal) {
            fprintf(out, "  also possible: %s (%s)\n", t->name, t->what);
            continue;
        }
        AUTO_FREE char *why = err_line(t->refusal);
        fprintf(out, "  not %s (%s): %s\n", t->name, t->what, why);
        if (err_remedy(t->refusal))
            fprintf(out, "    grant it: %s\n", err_remedy(t->refusal));
    }
}

/* What keeps a RUN from signalling other processes than its own; NULL: there is no RUN. */
static const char *signals_wall(const struct check_inside *in)
{
    if (!in->can_run)
        return NULL;
    return in->fresh_proc ? "pid namespace" : in->scoped ? "Landlock" : "supervisor";
}

static void show_sandbox(FILE *out, const struct check_report *r)
{
    const struct check_inside *in = r->inside;

    if (in->entered) {
        const struct sandbox_trial *t = find_trial(r, in->rung);

        fprintf(out, "sandbox: %s (%s)\n", in->rung, t ? t->what : "");
        fprintf(out, "  %s; %u id%s mapped; owners are %s; a RUN has %s /proc\n", in->can_run ? "RUN works" : "no RUN",
                in->n_ids, in->n_ids == 1 ? "" : "s", in->recorded ? "recorded" : "real",
                !in->can_run     ? "no"
                : in->fresh_proc ? "its own"
                                 : "the pod's");
        if (in->can_run)
            fprintf(out, "  signals of a RUN are kept to its own processes by: %s\n", signals_wall(in));
    } else {
        fprintf(out, "sandbox: none works\n");
    }
    show_trials(out, r);
}

static const char *size_text(uint64_t bytes, char text[32])
{
    progress_size(bytes, text);
    return text;
}

static void show_rlimit(FILE *out, const char *name, const struct rlimit *l)
{
    if (l->rlim_cur != RLIM_INFINITY)
        fprintf(out, ", %s %" PRIu64, name, (uint64_t)l->rlim_cur);
}

static void show_limits(FILE *out, const struct check_report *r)
{
    const struct limits *l = &r->limits;
    char size[32];

    fprintf(out, "limits (cgroup %s): CPU %um%s, memory ",
            l->version == 2   ? "v2"
            : l->version == 1 ? "v1"
                              : "not visible",
            l->cpu_milli, l->cpu_limited ? "" : " (no limit: what the node has)");
    fprintf(out, "%s, ", l->memory_bytes == UINT64_MAX ? "no limit" : size_text(l->memory_bytes, size));
    if (l->pids_max == UINT64_MAX)
        fprintf(out, "processes no limit");
    else
        fprintf(out, "processes %" PRIu64, l->pids_max);
    show_rlimit(out, "open files", &r->open_files);
    show_rlimit(out, "processes of the user", &r->processes);
    show_rlimit(out, "bytes of a file", &r->file_size);
    show_rlimit(out, "bytes of a process's data", &r->memory);
    fprintf(out, "\n");
}

static void show_use(FILE *out, const struct check_report *r)
{
    int threads = limits_threads(&r->limits);
    char own[32], left[32];

    fprintf(out, "use: %d worker%s to unpack and compress; at most %s of memory for the builder itself", threads,
            threads == 1 ? "" : "s", size_text(CHECK_BUILDER_BYTES, own));
    if (r->limits.memory_bytes != UINT64_MAX && r->limits.memory_bytes > CHECK_BUILDER_BYTES)
        fprintf(out, ", %s are left to a RUN", size_text(r->limits.memory_bytes - CHECK_BUILDER_BYTES, left));
    fprintf(out, "\n");
}

void check_show_text(FILE *out, const struct check_report *r)
{
    struct check_lack lacks[CHECK_LACKS_MAX];
    size_t n = check_lacks(r, lacks);
    char size[32];

    show_pod(out, &r->pod);
    show_sandbox(out, r);
    if (r->inside->opened)
        fprintf(out, "snapshots: %s, in %s: %s and %" PRIu64 " files free\n", r->inside->snapshots,
                r->inside->state_dir, size_text(r->inside->free_bytes, size), r->inside->free_inodes);
    show_limits(out, r);
    show_use(out, r);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "lacks: %s\n", lacks[i].what);
        if (lacks[i].remedy)
            fprintf(out, "    grant it: %s\n", lacks[i].remedy);
    }
    fprintf(out, "%s\n",
            r->error             ? "this pod cannot build"
            : r->inside->can_run ? "this pod can build"
                                 : "this pod can build what has no RUN");
}

/* ---- JSON ---- */

static void put_text(struct json_writer *w, const char *name, const char *value)
{
    json_key(w, name);
    json_put_string(w, value);
}

static void put_bool(struct json_writer *w, const char *name, bool value)
{
    json_key(w, name);
    json_put_bool(w, value);
}

/* UINT64_MAX: there is none. */
static void put_number(struct json_writer *w, const char *name, uint64_t value)
{
    json_key(w, name);
    if (value == UINT64_MAX)
        json_put_null(w);
    else
        json_put_int(w, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void put_rlimit(struct json_writer *w, const char *name, const struct rlimit *l)
{
    put_number(w, name, l->rlim_cur == RLIM_INFINITY ? UINT64_MAX : l->rlim_cur);
}

static void put_pod(struct json_writer *w, const struct check_pod *p)
{
    json_key(w, "pod");
    json_object_begin(w);
    put_number(w, "uid", p->uid);
    put_number(w, "gid", p->gid);
    json_key(w, "groups");
    json_array_begin(w);
    for (size_t i = 0; i < p->groups.n; i++)
        json_put_int(w, p->groups.items[i]);
    json_array_end(w);
    json_key(w, "capabilities");
    json_array_begin(w);
    for (size_t i = 0; i < p->capabilities.n; i++)
        json_put_string(w, p->capabilities.items[i]);
    json_array_end(w);
    put_bool(w, "noNewPrivileges", p->no_new_privs);
    put_bool(w, "seccompProfile", p->seccomp_filter);
    put_bool(w, "userNamespace", p->user_namespace);
    json_object_end(w);
}

static void put_trials(struct json_writer *w, const struct check_report *r)
{
    json_key(w, "sandboxes");
    json_array_begin(w);
    for (size_t i = 0; i < r->n_trials; i++) {
        const struct sandbox_trial *t = &r->trials[i];
        AUTO_FREE char *why = t->refusal ? err_line(t->refusal) : NULL;

        json_object_begin(w);
        put_text(w, "name", t->name);
        put_text(w, "what", t->what);
        put_bool(w, "works", !t->refusal);
        put_text(w, "why", why);
        put_text(w, "grant", t->refusal ? err_remedy(t->refusal) : NULL);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_inside(struct json_writer *w, const struct check_inside *in)
{
    put_text(w, "sandbox", in->entered ? in->rung : NULL);
    put_bool(w, "canRun", in->can_run);
    put_bool(w, "ownProc", in->can_run && in->fresh_proc);
    put_text(w, "signals", signals_wall(in));
    put_text(w, "owners", in->recorded ? "recorded" : "real");
    put_number(w, "ids", in->n_ids);
    put_text(w, "snapshots", in->opened ? in->snapshots : NULL);
    put_text(w, "stateDir", in->opened ? in->state_dir : NULL);
    put_number(w, "freeBytes", in->opened ? in->free_bytes : UINT64_MAX);
    put_number(w, "freeFiles", in->opened ? in->free_inodes : UINT64_MAX);
}

static void put_limits(struct json_writer *w, const struct check_report *r)
{
    json_key(w, "limits");
    json_object_begin(w);
    put_number(w, "cgroupVersion", (uint64_t)r->limits.version);
    put_number(w, "cpuMilli", r->limits.cpu_milli);
    put_bool(w, "cpuLimited", r->limits.cpu_limited);
    put_number(w, "memoryBytes", r->limits.memory_bytes);
    put_number(w, "processes", r->limits.pids_max);
    put_rlimit(w, "openFiles", &r->open_files);
    put_rlimit(w, "userProcesses", &r->processes);
    put_rlimit(w, "fileBytes", &r->file_size);
    put_rlimit(w, "dataBytes", &r->memory);
    json_object_end(w);
    json_key(w, "use");
    json_object_begin(w);
    put_number(w, "workers", (uint64_t)limits_threads(&r->limits));
    put_number(w, "builderBytes", CHECK_BUILDER_BYTES);
    json_object_end(w);
}

static void put_lacks(struct json_writer *w, const struct check_report *r)
{
    struct check_lack lacks[CHECK_LACKS_MAX];
    size_t n = check_lacks(r, lacks);

    json_key(w, "lacks");
    json_array_begin(w);
    for (size_t i = 0; i < n; i++) {
        json_object_begin(w);
        put_text(w, "what", lacks[i].what);
        put_text(w, "grant", lacks[i].remedy);
        json_object_end(w);
    }
    json_array_end(w);
}

void check_show_json(FILE *out, const struct check_report *r)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();
    AUTO_FREE char *why = r->error ? err_line(r->error) : NULL;

    json_object_begin(w);
    json_key(w, "version");
    json_put_int(w, 1);
    put_bool(w, "canBuild", !r->error);
    put_text(w, "why", why);
    put_text(w, "grant", r->error ? err_remedy(r->error) : NULL);
    put_inside(w, r->inside);
    put_pod(w, &r->pod);
    put_trials(w, r);
    put_limits(w, r);
    put_lacks(w, r);
    json_object_end(w);
    AUTO_FREE char *text = json_writer_steal(w);
    fprintf(out, "%s\n", text);
}
