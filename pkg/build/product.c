/* product.c - what a run makes: an image for each platform, and an index over them where there are several. */
#include "build/build_priv.h"
#include "export/export.h"

#include <string.h>

/* ---- making it ---- */

/* Docker's if all images are, so that a base's format is kept; what one tool cannot read in the other family is rare.
 */
static enum image_format choose_format(const struct product *p)
{
    if (p->o.format >= 0)
        return (enum image_format)p->o.format;
    for (size_t i = 0; i < p->n_plans; i++)
        if (build_target(p->builds[i])->format == IMAGE_FORMAT_OCI)
            return IMAGE_FORMAT_OCI;
    return IMAGE_FORMAT_DOCKER;
}

static struct index_entry entry_of(const struct build *b)
{
    struct index_entry e = { .platform = b->o.plan->opts.target_platform };

    e.desc = (struct descriptor){ .digest = b->digest, .size_bytes = strlen(b->manifest_text) };
    (void)snprintf(e.desc.media_type, sizeof(e.desc.media_type), "%s", image_media(b));
    return e;
}

static struct err *assemble(struct product *p)
{
    const enum image_format format = choose_format(p);
    struct image_index index = { .format = format };

    for (size_t i = 0; i < p->n_plans; i++)
        TRY(image_assemble(p->builds[i], format));
    p->digest = p->builds[0]->digest;
    if (p->n_plans == 1)
        return NULL;
    index.entries = xcalloc(p->n_plans, sizeof(*index.entries));
    for (size_t i = 0; i < p->n_plans; i++)
        index.entries[index.n_entries++] = entry_of(p->builds[i]);
    p->index_text = index_write(&index);
    p->index_format = format;
    p->digest = digest_bytes(p->index_text, strlen(p->index_text));
    index_release(&index);
    return NULL;
}

/* Before anything is fetched: can the pod do what the Dockerfile asks for? A base image's triggers show later. */
static struct err *check_runs(const struct sandbox *sb, const struct plan *p)
{
    for (size_t i = 0; !sb->can_run && i < p->n_stages; i++) {
        for (size_t k = p->stages[i].first; p->stages[i].needed && k < p->stages[i].last; k++) {
            const struct srcpos pos = df_place(p->df, p->df->instrs[k].line);

            if (p->df->instrs[k].kind == DF_RUN)
                return err_at(sandbox_no_run(sb), &pos);
        }
    }
    return NULL;
}

static void add_declared(const struct build *b, struct strs *declared)
{
    for (size_t i = 0; i < b->o.plan->n_stages; i++)
        if (b->stages[i])
            strs_copy(declared, &b->stages[i]->plan.args);
}

/* A file that is not in the context need not wait for the steps before it. */
static struct err *check_context(struct build *b)
{
    const struct plan *p = b->o.plan;
    struct err *e = NULL;

    for (size_t k = 0; k < p->n_stages; k++) {
        const struct stage_plan *sp = &b->stages[k]->plan;

        for (size_t i = 0; p->stages[k].needed && i < sp->n_steps; i++)
            e = err_join(e, step_check_context(b, &sp->steps[i]));
    }
    return e;
}

static struct err *plan_stages(struct product *p)
{
    TRY(bases_fetch(p));
    for (size_t i = 0; i < p->n_plans; i++)
        TRY(build_about(p->builds[i], stages_plan(p->builds[i])));
    for (size_t i = 0; i < p->n_plans; i++)
        build_adopt_stages(p->builds[i]);
    return NULL;
}

static struct err *plan_all(struct product *p)
{
    TRY(plan_stages(p));
    for (size_t i = 0; i < p->n_plans; i++)
        TRY(build_about(p->builds[i], check_context(p->builds[i])));
    if (!p->o.planned)
        return NULL;
    AUTO(strs_release) struct strs declared = { 0 };
    for (size_t i = 0; i < p->n_plans; i++)
        add_declared(p->builds[i], &declared);
    return p->o.planned(p->o.planned_ctx, &declared);
}

static struct err *look_up_all(struct product *p)
{
    TRY(bases_fetch_sources(p));
    for (size_t i = 0; i < p->n_plans; i++)
        TRY(keys_make(p->builds[i]));
    if (p->o.cache)
        look_up_by_definition(p);
    return NULL;
}

static struct err *build_all(struct product *p)
{
    if (p->o.cache)
        TRY(look_up_all(p));
    if (p->o.cache && !p->asked && p->o.before_steps && !explain_all_found(p)) {
        p->asked = true;
        TRY(p->o.before_steps(p->o.before_steps_ctx));
    }
    if (p->o.cache && !p->explained)
        explain_misses(p);
    p->explained = true;
    return stages_build(p);
}

static struct err *build_once(struct product *p)
{
    TRY(build_all(p));
    return assemble(p);
}

/* A stage may be a fork of one that an earlier build made. */
static void free_builds(struct product *p)
{
    for (size_t i = p->n_plans; i-- > 0;) {
        build_free(p->builds[i]);
        p->builds[i] = NULL;
    }
    map_free(steal(&p->looked_up));
    schedule_free(steal(&p->schedule));
    if (p->stop)
        cancel_raise(p->stop, CANCEL_FAILURE); /* what is still being sent */
    uploads_free(steal(&p->uploads));
    if (p->o.registry != p->registry)
        registry_free(p->o.registry);
    p->o.registry = p->registry;
    cancel_free(steal(&p->stop));
    free(steal(&p->index_text));
}

static struct uploads *new_uploads(const struct product *p)
{
    const struct uploads_opts o = { p->o.registry, p->o.push_repo, p->o.store, p->o.progress,
                                    transfer_threads(p->o.limits) };

    return p->o.push_repo && p->o.push_early ? uploads_new(&o) : NULL;
}

/* With what is stopped when a stage fails. They are there also after an error. */
static struct err *new_builds(struct product *p)
{
    struct err *e = cancel_new_below(p->outer, &p->stop);

    p->o.registry = registry_with_cancel(p->registry, p->stop);
    p->uploads = new_uploads(p);
    p->sandbox.cancel = p->stop;
    p->o.cancel = p->stop;
    p->o.compress.cancel = p->stop;
    p->looked_up = map_new(NULL);
    for (size_t i = 0; i < p->n_plans; i++)
        p->builds[i] = build_new(p, p->plans[i]);
    return e;
}

/* All again from the plans on: what was executed so far is known by its keys. */
static struct err *build_anew(struct product *p)
{
    free_builds(p);
    TRY(new_builds(p));
    TRY(plan_stages(p));
    return build_once(p);
}

/* A layer of the cache that cannot be had shows when it is wanted. Each time one less is used. */
static struct err *whole_or_anew(struct product *p, struct err *e)
{
    while (e && cached_again(p)) {
        err_free(e);
        e = build_anew(p);
    }
    return e;
}

static bool is_full(const struct err *e)
{
    return err_errno(e) == ENOSPC || err_errno(e) == EDQUOT;
}

/* A volume that is full is tried once more if something could be removed from it. */
static struct err *build_until_whole(struct product *p)
{
    struct err *e = whole_or_anew(p, build_once(p));

    if (!e || !is_full(e) || !p->o.make_room || !p->o.make_room(p->o.make_room_ctx, true))
        return e;
    err_free(e);
    return whole_or_anew(p, build_anew(p));
}

static struct product *product_alloc(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans)
{
    struct product *p = xcalloc(1, sizeof(*p));

    p->o = *opts;
    p->outer = opts->cancel;
    p->registry = opts->registry;
    clock_gettime(CLOCK_REALTIME, &p->began);
    p->sandbox = *opts->sandbox;
    p->o.sandbox = &p->sandbox;
    p->plans = plans;
    p->n_plans = n_plans;
    p->bases = map_new(base_free);
    p->documents = map_new(document_free);
    p->fetching = map_new(NULL);
    p->builds = xcalloc(n_plans, sizeof(struct build *));
    p->made = map_new(free);
    p->executing = map_new(NULL);
    p->unpacking = map_new(NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    pthread_mutex_init(&p->fetch_lock, NULL);
    pthread_mutex_init(&p->finish_lock, NULL);
    pthread_mutex_init(&p->room_lock, NULL);
    gate_init(&p->compressors, compress_room(opts->compress.threads));
    gate_init(&p->transfers, transfer_threads(opts->limits));
    keys_settings(opts, &p->settings);
    return p;
}

static struct err *product_new(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans,
                               struct product **ret)
{
    AUTO(product_free) struct product *p = product_alloc(opts, plans, n_plans);

    TRY(new_builds(p));
    *ret = steal(&p);
    return NULL;
}

struct err *product_make(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans,
                         struct product **ret)
{
    AUTO(product_free) struct product *p = NULL;

    TRY(product_new(opts, plans, n_plans, &p));
    for (size_t i = 0; !opts->cache && i < n_plans; i++) /* with a cache no RUN may be left; else it says the same */
        TRY(check_runs(opts->sandbox, plans[i]));
    TRY(plan_all(p));
    struct err *e = build_until_whole(p);
    if (!e || (err_kind(e) != ERR_TERMINATED && err_kind(e) != ERR_TIMEOUT))
        explain_save(p); /* also what a failed build has finished */
    TRY(e);
    *ret = steal(&p);
    return NULL;
}

struct err *product_plan(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans,
                         void (*tell)(void *ctx, const struct product_step *s), void *ctx)
{
    AUTO(product_free) struct product *p = NULL;

    TRY(product_new(opts, plans, n_plans, &p));
    TRY(plan_all(p));
    TRY(look_up_all(p));
    explain_steps(p, true, tell, ctx);
    return NULL;
}

void product_free(struct product *p)
{
    if (!p)
        return;
    free_builds(p);
    free(p->builds);
    map_free(p->made);
    map_free(p->executing);
    map_free(p->unpacking);
    strs_release(&p->settings);
    sources_release(p);
    map_free(p->bases);
    map_free(p->documents);
    map_free(p->fetching);
    gate_release(&p->transfers);
    gate_release(&p->compressors);
    pthread_mutex_destroy(&p->finish_lock);
    pthread_mutex_destroy(&p->room_lock);
    pthread_mutex_destroy(&p->fetch_lock);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- asking it ---- */

struct digest product_digest(const struct product *p)
{
    return p->digest;
}

size_t product_n_images(const struct product *p)
{
    return p->n_plans;
}

void product_get_image(const struct product *p, size_t i, struct product_image *ret)
{
    const struct build *b = p->builds[i];

    *ret = (struct product_image){ .digest = b->digest,
                                   .platform = b->config.platform,
                                   .layers = b->manifest.n_layers,
                                   .own_layers = b->own_layers,
                                   .bytes = b->image_bytes };
}

/* ---- writing it to disk ---- */

static struct err *open_for_export(void *ctx, const struct descriptor *blob, int *ret_fd)
{
    struct build *b = ctx;
    const struct layers *layers = &build_target(b)->layers;
    const struct layer config = { .desc = b->manifest.config };

    for (size_t i = 0; i < layers->n; i++)
        if (digest_equal(&layers->items[i].desc.digest, &blob->digest))
            return layer_open(b, &layers->items[i], ret_fd);
    return layer_open(b, &config, ret_fd);
}

static struct export_image exported(struct build *b)
{
    return (struct export_image){ .manifest = &b->manifest,
                                  .manifest_text = b->manifest_text,
                                  .config_text = b->config_text,
                                  .time_s = b->o.created_s,
                                  .open_blob = open_for_export,
                                  .ctx = b,
                                  .cancel = b->o.cancel };
}

static struct err *write_layout(struct product *p, const char *dir, const struct strs *names)
{
    AUTO_FREE struct export_image *images = xcalloc(p->n_plans, sizeof(*images));
    const struct export_index index = {
        .images = images, .n_images = p->n_plans, .text = p->index_text, .format = p->index_format, .names = *names
    };

    for (size_t i = 0; i < p->n_plans; i++)
        images[i] = exported(p->builds[i]);
    if (p->index_text)
        return export_oci_index(dir, &index);
    images[0].names = *names; /* borrowed */
    return export_oci_layout(dir, &images[0]);
}

static struct err *write_archive(struct product *p, const char *path, const struct strs *names)
{
    struct export_image image = exported(p->builds[0]);

    if (p->n_plans > 1)
        return err_new(ERR_SETTING, "a docker archive holds one image, not %zu", p->n_plans);
    image.names = *names; /* borrowed */
    return export_docker_tar(path, &image);
}

static struct err *export(struct product *p, const char *tar_path, const char *oci_path, const struct strs *names)
{
    if (tar_path)
        TRY(err_wrap(write_archive(p, tar_path, names), "cannot write the image to '%s'", tar_path));
    if (oci_path)
        TRY(err_wrap(write_layout(p, oci_path, names), "cannot write the image to '%s'", oci_path));
    return NULL;
}

struct err *product_export(struct product *p, const char *tar_path, const char *oci_path, const struct strs *names)
{
    struct err *e = export(p, tar_path, oci_path, names);

    while (e && cached_again(p)) {
        err_free(e);
        TRY(whole_or_anew(p, build_anew(p)));
        e = export(p, tar_path, oci_path, names);
    }
    return e;
}

struct err *product_push(struct product *p, const struct ref *repo, const struct strs *tags)
{
    if (p->o.cache)
        cache_flush(p->o.cache); /* what is there can be mounted */
    struct err *e = push_product(p, repo, tags);

    while (e && cached_again(p)) {
        err_free(e);
        TRY(whole_or_anew(p, build_anew(p)));
        cache_flush(p->o.cache);
        e = push_product(p, repo, tags);
    }
    return e;
}
