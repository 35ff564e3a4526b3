#include "step.h"

#include "base/limits.h"
#include "base/log.h"
#include "build/build.h"
#include "build/mount_stash.h"
#include "epoch.h"
#include "inputs.h"
#include "lint.h"
#include "plan_command.h"
#include "push_only.h"

#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define FINISH_CACHE_MS 5000 /* of the 8 s that the sandbox gives after a signal */

/* What is known before the sandbox is entered, and what the build then needs. */
struct step_ctx {
    const struct settings *s;
    struct dockerfile *df;
    struct lint *lint;
    bool lint_shown;
    struct plan **plans; /* one a platform */
    size_t n_plans;
    struct context *context;
    struct remote_tree fetched; /* the context, if it lies elsewhere; dir NULL: a directory here */
    struct wire_run *run;
    struct limits limits;
    struct progress_printer printer;
    struct ref repo;
    char *state_dir;
    struct wire_net *net; /* inside the sandbox */
    struct cancel *grace; /* of what is done after the build was told to stop */
    int64_t started_s;
    bool only_plan;
};

/* ---- before the sandbox: what the user wrote ---- */

/* As docker build has it: the setting, which may come from the step's own environment, is a build argument. */
static void add_epoch(const struct settings *s, struct strs *args)
{
    if (s->source_date_epoch >= 0 && !env_get(args, "SOURCE_DATE_EPOCH"))
        strs_take(args, xasprintf("SOURCE_DATE_EPOCH=%lld", (long long)s->source_date_epoch));
}

/* Warnings are of the file, not of a platform: they are for the first one, as with BuildKit. */
static struct err *start_lint(struct step_ctx *c, struct plan_opts *opts)
{
    opts->watch = NULL;
    if (c->lint)
        return NULL;
    TRY(lint_new(c->df, opts, &c->lint));
    lint_set_ignore(c->lint, context_ignore(c->context));
    lint_dockerfile(c->lint);
    opts->watch = lint_watch(c->lint);
    return NULL;
}

/* Once. When they are errors they are shown however quiet we are. */
static void show_lint(struct step_ctx *c)
{
    bool strict = c->lint && lint_is_strict(c->lint);

    if (!c->lint || c->lint_shown || (c->printer.quiet && !strict))
        return;
    c->lint_shown = true;
    fflush(stdout);
    lint_show(strict ? stderr : stdout, c->lint);
    fflush(stdout);
}

static void show_notes(struct step_ctx *c, const struct strs *declared)
{
    AUTO(strs_release) struct strs notes = { 0 };

    plan_notes(c->plans[0], declared, &notes);
    for (size_t i = 0; i < notes.n; i++)
        progress_line(&c->printer, "note: %s", notes.items[i]);
}

static struct err *planned(void *ctx, const struct strs *declared)
{
    struct step_ctx *c = ctx;

    show_lint(c);
    show_notes(c, declared);
    return lint_verdict(c->lint);
}

/* The plan for one platform; NULL: for what the base image is for. */
static struct err *add_plan(struct step_ctx *c, struct plan_opts *opts, const char *platform)
{
    opts->build_platform = platform_host();
    opts->target_platform = opts->build_platform;
    opts->target_given = platform != NULL;
    if (platform)
        TRY(platform_parse(platform, &opts->target_platform));
    platform_normalize(&opts->target_platform);
    TRY(start_lint(c, opts));
    TRY(plan_new(c->df, opts, &c->plans[c->n_plans]));
    c->n_plans++;
    return plan_rehearse(c->plans[c->n_plans - 1], false, NULL); /* before anything is fetched */
}

/* What is to be done, once the Dockerfile is read. */
static struct err *make_plans(struct step_ctx *c)
{
    AUTO(strs_release) struct strs args = { 0 };
    const struct strs *platforms = &c->s->platforms;

    wire_build_args(c->s, &args);
    add_epoch(c->s, &args);
    struct plan_opts opts = {
        .build_args = args,
        .contexts = c->s->build_contexts,
        .allow = c->s->allow,
        .target = c->s->target,
        .no_network = strcmp(c->s->run_network, "none") == 0,
    };

    c->plans = xcalloc(platforms->n + 1, sizeof(struct plan *));
    if (platforms->n == 0)
        TRY(add_plan(c, &opts, NULL));
    for (size_t i = 0; i < platforms->n; i++)
        TRY(add_plan(c, &opts, platforms->items[i]));
    return NULL;
}

static struct err *prepare(struct step_ctx *c)
{
    TRY(inputs_open(c->s, &c->df, &c->context));
    struct err *e = make_plans(c);
    if (e)
        show_lint(c);
    return e;
}

/* ---- inside the sandbox ---- */

static void show_start(struct step_ctx *c, const struct sandbox *sb, const struct snapshotter *sn,
                       const struct store *store)
{
    AUTO_FREE char *memory = c->limits.memory_bytes == UINT64_MAX
                                 ? xstrdup("no memory limit")
                                 : xasprintf("%llu MiB memory", (unsigned long long)(c->limits.memory_bytes >> 20));
    int threads = limits_threads(&c->limits);

    progress_line(&c->printer, "limits: %um CPU%s, %s; %d worker thread%s", c->limits.cpu_milli,
                  c->limits.cpu_limited ? "" : " (no limit)", memory, threads, threads == 1 ? "" : "s");
    progress_line(&c->printer, "sandbox: %s", sb->describe);
    progress_line(&c->printer, "snapshots: %s in %s, mode %s", snapshotter_describe(sn), store_dir(store),
                  c->s->snapshot_mode);
}

static void show_images(struct step_ctx *c, const struct product *p)
{
    const struct digest d = product_digest(p);
    size_t n = product_n_images(p);

    for (size_t i = 0; i < n; i++) {
        struct product_image image;
        char size[32], platform[256];

        product_get_image(p, i, &image);
        progress_size(image.bytes, size);
        platform_format(&image.platform, platform, sizeof(platform));
        progress_line(&c->printer, "image: %s%s%s, %zu layers (%zu new), %s", n > 1 ? platform : "", n > 1 ? " " : "",
                      image.digest.text, image.layers, image.own_layers, size);
    }
    if (n > 1)
        progress_line(&c->printer, "index: %s of %zu images", d.text, n);
}

static struct publish publishing(struct step_ctx *c)
{
    return (struct publish){ c->s, &c->repo, c->net, &c->printer, c->started_s };
}

/* The output variable that says whether the image is new: without a cache nobody looks. */
static const char *changed_text(const struct settings *s, const struct strs *tags, const struct push_stats *stats)
{
    if (!s->enable_cache || !tags->n)
        return NULL;
    return stats->unchanged ? "false" : "true";
}

static struct err *deliver(struct step_ctx *c, struct product *p)
{
    const struct settings *s = c->s;
    const struct publish out = publishing(c);
    AUTO(strs_release) struct strs names = { 0 };
    AUTO(strs_release) struct strs tags = { 0 };
    struct push_stats stats;
    bool push = !s->no_push && s->repo;

    for (size_t i = 0; s->repo && i < s->tags.n; i++)
        strs_take(&names, xasprintf("%s/%s:%s", c->repo.domain, c->repo.path, s->tags.items[i]));
    TRY(product_export(p, s->tar_path, s->oci_layout_path, &names));
    if (push)
        TRY(publish_tags(&out, &tags));
    if (tags.n)
        TRY(product_push(p, &c->repo, &tags));
    product_get_pushed(p, &stats);
    const struct digest d = product_digest(p);
    TRY(publish_outputs(&out, &d, push ? &tags : &s->tags, changed_text(s, &tags, &stats)));
    show_images(c, p);
    if (push)
        publish_show_pushed(&out, &tags, &stats);
    return NULL;
}

/* Before anything is built for it. */
static struct err *check_target(void *ctx)
{
    struct step_ctx *c = ctx;
    const struct publish out = publishing(c);

    return c->s->repo && !c->s->no_push ? publish_check(&out) : NULL;
}

/* What is built, among all that shares a cache. */
static char *cache_scope(const struct settings *s)
{
    return xasprintf("%s %s", s->repo ? s->repo : s->dockerfile ? s->dockerfile : "", s->target ? s->target : "");
}

/* What could not be read before. */
static struct err *fetch_inputs(struct step_ctx *c, struct remote *remote)
{
    if (c->plans)
        return NULL;
    TRY(inputs_fetch(c->s, remote, &c->df, &c->context, &c->fetched));
    return make_plans(c);
}

/* The time that SOURCE_DATE_EPOCH asks for where it is no number. */
static struct err *settle_epochs(struct step_ctx *c, struct remote *remote)
{
    bool known = true;

    for (size_t i = 0; i < c->n_plans; i++)
        TRY(epoch_settle(c->plans[i], c->fetched.dir ? &c->fetched : NULL, remote, &known));
    if (!known)
        progress_line(&c->printer,
                      "note: SOURCE_DATE_EPOCH is as if it was not set: what it names has no time (a directory, an "
                      "image, or a file that its server gives no time)");
    return NULL;
}

/* What the steps so far have made is worth a part of the time that is left until we are killed. */
static void finish_cache(struct step_ctx *c, struct cache *cache)
{
    struct err *e = cancel_new(&c->grace);

    if (e) {
        err_free(e);
        return;
    }
    wire_net_set_cancel(c->net, c->grace);
    cache_finish(cache, FINISH_CACHE_MS);
    cancel_raise(c->grace, CANCEL_SIGNAL);
}

/* Where the image will go. */
static void set_destination(const struct step_ctx *c, struct build_opts *o)
{
    o->push_repo = c->s->repo && !c->s->no_push ? &c->repo : NULL;
    o->push_early = o->push_repo && !c->s->skip_existing_tags; /* else there may be nothing to push */
    o->exports = c->s->tar_path || c->s->oci_layout_path;
}

/* For a build whose volume is full. */
struct room {
    struct step_ctx *c;
    const struct sandbox *sb;
    struct store *store;
};

static bool make_room(void *ctx, bool all)
{
    const struct room *r = ctx;

    return wire_clean(r->c->s, r->sb, r->store, all ? CLEAN_ALL : CLEAN_FOR_STEP, r->c->started_s, &r->c->printer);
}

static struct err *make_and_deliver(struct step_ctx *c, const struct build_opts *o)
{
    AUTO(product_free) struct product *p = NULL;

    if (!o->cache) /* with one there may be nothing to build: that is known after the look-ups */
        TRY(check_target(c));
    struct err *e = product_make(o, (const struct plan *const *)c->plans, c->n_plans, &p);
    if (e && o->cache && (err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT))
        finish_cache(c, o->cache);
    return e ? e : deliver(c, p);
}

static struct err *run_build(struct step_ctx *c, const struct sandbox *sb, struct store *store,
                             struct registry *registry, struct snapshotter *sn)
{
    const struct progress progress = progress_make(&c->printer);
    AUTO(wire_remote_free) struct wire_remote *remote = NULL;
    AUTO(cache_free) struct cache *cache = NULL;
    AUTO(wire_mounts_free) struct wire_mounts *mounts = NULL;
    AUTO_FREE char *scope = cache_scope(c->s);
    struct room room = { c, sb, store };

    show_start(c, sb, sn, store);
    TRY(wire_remote(c->s, c->run, sb, store, &progress, &remote));
    TRY(fetch_inputs(c, wire_remote_get(remote)));
    TRY(settle_epochs(c, wire_remote_get(remote)));
    struct build_opts o = { .plan = c->plans[0],
                            .context = c->context,
                            .registry = registry,
                            .remote = wire_remote_get(remote),
                            .store = store,
                            .snapshotter = sn,
                            .sandbox = sb,
                            .progress = &progress,
                            .limits = &c->limits,
                            .planned = planned,
                            .planned_ctx = c,
                            .before_steps = check_target,
                            .before_steps_ctx = c,
                            .make_room = make_room,
                            .make_room_ctx = &room,
                            .cancel = sb->cancel };

    TRY(wire_build(c->s, c->started_s, &o));
    set_destination(c, &o);
    wire_run_opts(c->run, &o);
    TRY(wire_cache(c->s, registry, &progress, c->started_s, &cache));
    wire_cache_opts(c->s, cache, scope, &o);
    if (cache && c->s->repo && !c->s->no_push && !c->only_plan)
        registry_expect(registry, &c->repo, true);
    TRY(wire_mounts(c->s, registry, &o, c->started_s, &mounts));
    o.mounts = wire_mounts_get(mounts);
    if (c->only_plan)
        return plan_show(&o, (const struct plan *const *)c->plans, c->n_plans);
    struct err *e = make_and_deliver(c, &o);
    registry_end_push(registry);
    mount_stash_save(o.mounts); /* also of a build that failed: of the RUNs that ended well */
    const struct publish out = publishing(c);
    if (!e)
        publish_show_done(&out);
    return e;
}

/* Emulators of our own, as long as *ret_fd is open. */
static struct err *set_emulators(struct step_ctx *c, const struct sandbox *sb, int *ret_fd)
{
    AUTO_FREE char *archs = NULL;

    if (!c->s->emulators || !sb->can_run)
        return NULL;
    TRY(err_wrap(sandbox_emulate(c->s->emulators, &archs, ret_fd), "cannot use PLUGIN_EMULATORS"));
    progress_line(&c->printer, "emulators: %s, in %s", archs, c->s->emulators);
    return NULL;
}

static struct err *build_in(const struct sandbox *sb, struct step_ctx *c)
{
    AUTO(store_close) struct store *store = NULL;
    AUTO(wire_net_free) struct wire_net *net = NULL;
    AUTO(snapshotter_free) struct snapshotter *sn = NULL;
    AUTO_CLOSE int emulators_fd = -1;

    TRY(set_emulators(c, sb, &emulators_fd));
    TRY(wire_net(c->s, sb->cancel, &net));
    c->net = net;
    TRY(wire_store(c->state_dir, &store));
    if (!c->only_plan)
        (void)wire_clean(c->s, sb, store, CLEAN_AT_START, c->started_s, &c->printer);
    TRY(wire_snapshotter(c->s, sb, store, &sn));
    struct err *e = run_build(c, sb, store, wire_registry(net), sn);
    if (e)
        show_lint(c);
    return e;
}

static struct err *in_sandbox(const struct sandbox *sb, void *ctx)
{
    struct step_ctx *c = ctx;
    struct err *e = build_in(sb, c);

    cancel_free(c->grace); /* threads that made tokens ready may ask it until the net is gone */
    return e;
}

static int64_t deadline_of(const struct settings *s)
{
    struct timespec t;

    if (s->timeout_ms <= 0)
        return INT64_MAX;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + s->timeout_ms;
}

static struct err *step_in(struct step_ctx *c)
{
    const struct sandbox_opts opts = { .rung = c->s->sandbox ? c->s->sandbox : "auto",
                                       .deadline_ms = deadline_of(c->s) };

    if (c->s->repo) {
        TRY(err_set_kind(ref_parse(c->s->repo, &c->repo), ERR_SETTING));
        free(c->repo.tag);
        c->repo.tag = NULL;
    }
    for (size_t i = 0; i < c->s->notes.n; i++)
        progress_line(&c->printer, "note: %s", c->s->notes.items[i]);
    if (c->s->skip_build) {
        progress_line(&c->printer, "nothing to build: %s", c->s->skip_build);
        return NULL;
    }
    if (c->s->push_only) {
        const struct publish out = publishing(c);

        /* As the sandbox does it for a build: no core file, and nobody looks into this memory. */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        return push_only(&out, opts.deadline_ms);
    }
    TRY(wire_run_new(c->s, &c->run));
    if (inputs_are_here(c->s))
        TRY(prepare(c));
    TRY(wire_state_dir(c->s, &c->state_dir));
    limits_read("", &c->limits);
    return sandbox_enter(&opts, in_sandbox, c);
}

static struct err *step_run(const struct settings *s, bool only_plan)
{
    struct step_ctx c = { .s = s, .started_s = time(NULL), .only_plan = only_plan };

    progress_init(&c.printer, log_get_level() == LOG_LEVEL_QUIET, s->log_timestamp);
    struct err *e = step_in(&c);
    wire_run_free(c.run);
    context_free(c.context);
    for (size_t i = 0; i < c.n_plans; i++)
        plan_free(c.plans[i]);
    free(c.plans);
    lint_free(c.lint);
    dockerfile_free(c.df);
    ref_release(&c.repo);
    free(c.state_dir);
    return e;
}

struct err *step_main(const struct settings *s)
{
    return step_run(s, false);
}

struct err *step_plan(const struct settings *s)
{
    return step_run(s, true);
}
