#include "json/json.h"

#include "base/limits.h"
#include "json/json_priv.h"

#include <string.h>
#include <yajl/yajl_parse.h>

/* What the callbacks build: the open arrays and objects, outermost first. */
struct reader {
    struct json *root;
    struct json *open[LIMIT_JSON_DEPTH];
    size_t depth, values;
    char *key;       /* of the member whose value comes next */
    const char *why; /* set when a callback refused */
};

static void value_release(struct json *v)
{
    switch (v->type) {
    case JSON_NUMBER:
    case JSON_STRING:
        free(v->text);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        for (size_t i = 0; i < v->n; i++) {
            value_release(&v->items[i]);
            if (v->keys)
                free(v->keys[i]);
        }
        free(v->items);
        free(v->keys);
        break;
    case JSON_NULL:
    case JSON_BOOL:
        break;
    }
}

void json_free(struct json *tree)
{
    if (!tree)
        return;
    value_release(tree);
    free(tree);
}

/* The place for the next value, or NULL when a limit was hit. */
static struct json *reader_place(struct reader *r, enum json_type type)
{
    if (++r->values > LIMIT_JSON_VALUES) {
        r->why = "it has more values than " LIMIT_TEXT(LIMIT_JSON_VALUES);
        return NULL;
    }
    struct json *v;
    if (r->depth == 0) {
        v = r->root = xcalloc(1, sizeof(*v));
    } else {
        struct json *in = r->open[r->depth - 1];
        if ((in->n & (in->n - 1)) == 0) { /* full at every power of two */
            size_t cap = in->n ? in->n * 2 : 1;
            in->items = xreallocarray(in->items, cap, sizeof(*in->items));
            if (in->type == JSON_OBJECT)
                in->keys = xreallocarray(in->keys, cap, sizeof(*in->keys));
        }
        if (in->type == JSON_OBJECT)
            in->keys[in->n] = steal(&r->key);
        v = &in->items[in->n++];
        memset(v, 0, sizeof(*v));
    }
    v->type = type;
    return v;
}

static int on_null(void *ctx)
{
    return reader_place(ctx, JSON_NULL) != NULL;
}

static int on_bool(void *ctx, int b)
{
    struct json *v = reader_place(ctx, JSON_BOOL);

    if (!v)
        return 0;
    v->boolean = b != 0;
    return 1;
}

static int on_number(void *ctx, const char *s, size_t len)
{
    struct json *v = reader_place(ctx, JSON_NUMBER);

    if (!v)
        return 0;
    v->text = xstrndup(s, len);
    return 1;
}

/* Our strings end at a NUL: a text that contains one would not be what others see in it. */
static int refuse_nul(struct reader *r, const unsigned char *s, size_t len)
{
    if (len == 0 || !memchr(s, 0, len))
        return 1;
    r->why = "a string contains a NUL character";
    return 0;
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
    if (!refuse_nul(ctx, s, len))
        return 0;
    struct json *v = reader_place(ctx, JSON_STRING);
    if (!v)
        return 0;
    v->text = xstrndup((const char *)s, len);
    return 1;
}

static int on_key(void *ctx, const unsigned char *s, size_t len)
{
    struct reader *r = ctx;

    if (!refuse_nul(r, s, len))
        return 0;
    free(r->key);
    r->key = xstrndup((const char *)s, len);
    return 1;
}

static int on_begin(struct reader *r, enum json_type type)
{
    if (r->depth == LIMIT_JSON_DEPTH) {
        r->why = "it is nested deeper than " LIMIT_TEXT(LIMIT_JSON_DEPTH);
        return 0;
    }
    struct json *v = reader_place(r, type);
    if (!v)
        return 0;
    /* An open value stays where it is: its parent grows only after it was closed. */
    r->open[r->depth++] = v;
    return 1;
}

static int on_map(void *ctx)
{
    return on_begin(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
    return on_begin(ctx, JSON_ARRAY);
}

static int on_end(void *ctx)
{
    struct reader *r = ctx;

    r->depth--;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_end,
};

/* yajl's reason without its prefix and line end. */
static struct err *syntax_error(yajl_handle h, size_t offset)
{
    unsigned char *text = yajl_get_error(h, 0, NULL, 0);
    const char *why = text ? (const char *)text : "unknown error";
    const char *colon = strstr(why, ": ");

    if (colon)
        why = colon + 2;
    struct err *e =
        err_new(ERR_REGISTRY, "it is not valid JSON at byte %zu: %.*s", offset, (int)strcspn(why, "\n"), why);
    if (text)
        yajl_free_error(h, text);
    return e;
}

static struct err *reader_run(struct reader *r, yajl_handle h, const char *text, size_t len)
{
    yajl_status status = yajl_parse(h, (const unsigned char *)text, len);
    size_t offset = status == yajl_status_ok ? len : yajl_get_bytes_consumed(h);

    if (status == yajl_status_ok)
        status = yajl_complete_parse(h);
    if (status == yajl_status_client_canceled)
        return err_new(ERR_REGISTRY, "it is not a JSON document that we read: %s", r->why);
    if (status != yajl_status_ok)
        return syntax_error(h, offset);
    if (!r->root)
        return err_new(ERR_REGISTRY, "it is not valid JSON: it is empty");
    return NULL;
}

struct err *json_parse(const char *text, size_t len, struct json **ret_tree)
{
    struct reader r = { 0 };

    if (len > LIMIT_JSON_BYTES)
        return err_new(ERR_REGISTRY, "the JSON document has %zu bytes, more than %d", len, LIMIT_JSON_BYTES);
    yajl_handle h = yajl_alloc(&callbacks, NULL, &r);
    if (!h)
        abort(); /* only for want of memory */
    struct err *e = reader_run(&r, h, text, len);
    yajl_free(h);
    free(r.key);
    if (e) {
        json_free(r.root);
        return e;
    }
    *ret_tree = r.root;
    return NULL;
}
