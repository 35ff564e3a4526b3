#include "push_only.h"

#include "export/image_file.h"

struct push_ctx {
    struct publish p;
    char *state_dir;
};

static struct err *open_image(const struct push_ctx *c, struct store *store, const struct limits *limits,
                              struct cancel *cancel, struct image_file **ret)
{
    struct image_file_opts o = { .place = c->p.s->source_tar_path,
                                 .scratch = store_build_dir(store),
                                 .cancel = cancel };

    wire_image_format(c->p.s, limits, cancel, &o.compress, &o.format);
    return image_file_open(&o, ret);
}

static struct err *push_image(const struct push_ctx *c, const struct image_file *f, const struct limits *limits,
                              struct cancel *cancel)
{
    const struct progress progress = progress_make(c->p.printer);
    const struct image_document *top = image_file_document(f, image_file_n_documents(f) - 1);
    AUTO(strs_release) struct strs tags = { 0 };
    struct push_stats stats = { 0 };

    TRY(publish_tags(&c->p, &tags));
    const struct push_target to = { wire_registry(c->p.net), c->p.repo, &tags, limits, &progress, cancel };
    if (tags.n)
        TRY(image_file_push(f, &to, &stats));
    TRY(publish_outputs(&c->p, &top->digest, &tags, NULL));
    progress_line(c->p.printer, "image: %s", top->digest.text);
    publish_show_pushed(&c->p, &tags, &stats);
    publish_show_done(&c->p);
    return NULL;
}

static struct err *in_child(const struct sandbox *sb, void *ctx)
{
    struct push_ctx *c = ctx;
    AUTO(wire_net_free) struct wire_net *net = NULL;
    AUTO(store_close) struct store *store = NULL;
    AUTO(image_file_free) struct image_file *f = NULL;
    struct limits limits;

    limits_read("", &limits);
    TRY(wire_net(c->p.s, sb->cancel, &net));
    c->p.net = net;
    TRY(wire_store(c->state_dir, &store));
    TRY(publish_check(&c->p));
    struct err *e = open_image(c, store, &limits, sb->cancel, &f);
    if (!e)
        e = push_image(c, f, &limits, sb->cancel);
    registry_end_push(wire_registry(net));
    return e;
}

/* In a process of its own for signals and the deadline; it needs no namespace. */
struct err *push_only(const struct publish *p, int64_t deadline_ms)
{
    const struct sandbox_opts opts = { .rung = "none", .deadline_ms = deadline_ms };
    struct push_ctx c = { .p = *p };

    TRY(wire_state_dir(p->s, &c.state_dir));
    struct err *e = sandbox_enter(&opts, in_child, &c);
    free(c.state_dir);
    return e;
}
