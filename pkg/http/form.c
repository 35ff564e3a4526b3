/* form.c - application/x-www-form-urlencoded, the way to the token services. */
#include "http/http.h"

#include "base/limits.h"

#include <string.h>

void http_form_add(struct buf *form, const char *name, const char *value)
{
    char *code = http_escape(value);

    if (form->len)
        buf_putc(form, '&');
    buf_puts(form, name);
    buf_putc(form, '=');
    buf_puts(form, code); /* not buf_printf, which would leave a copy behind */
    explicit_bzero(code, strlen(code));
    free(code);
}

struct err *http_post_form(struct http *h, const char *url, struct buf *form, bool always_verify,
                           struct http_response *ret)
{
    struct http_request rq = { .method = "POST",
                               .url = url,
                               .body = buf_str(form),
                               .body_len = form->len,
                               .body_fd = -1,
                               .own_origin = true,
                               .always_verify = always_verify,
                               .max_body = LIMIT_TOKEN_BYTES };

    strs_add(&rq.headers, "Content-Type: application/x-www-form-urlencoded");
    struct err *e = http_perform(h, &rq, ret);
    strs_release(&rq.headers);
    explicit_bzero(form->data, form->cap);
    buf_release(form);
    return e;
}
