/* csv.c - the fields of RUN --mount and --device. */
#include "dockerfile/parse.h"

#include <string.h>

/* A field in quotes; *p is behind the opening one and ends up behind the closing one. */
static struct err *quoted_field(const char **p, struct buf *field)
{
    const char *s = *p;

    for (;; s++) {
        if (*s == '\0')
            return err_new(ERR_DOCKERFILE, "missing end of double quotes");
        if (*s == '"' && s[1] == '"')
            s++;
        else if (*s == '"')
            break;
        buf_putc(field, *s);
    }
    *p = s + 1;
    if (**p && **p != ',')
        return err_new(ERR_DOCKERFILE, "text behind the end of double quotes");
    return NULL;
}

static struct err *plain_field(const char **p, struct buf *field)
{
    size_t n = strcspn(*p, ",");

    if (memchr(*p, '"', n))
        return err_new(ERR_DOCKERFILE, "double quotes inside an unquoted field");
    buf_add(field, *p, n);
    *p += n;
    return NULL;
}

struct err *csv_fields(const char *text, struct strs *ret_fields)
{
    AUTO(buf_release) struct buf field = BUF_INIT;
    const char *p = text;

    if (!*p)
        return err_new(ERR_DOCKERFILE, "an empty list of fields");
    for (;; p++) {
        buf_clear(&field);
        if (*p == '"') {
            p++;
            TRY(quoted_field(&p, &field));
        } else {
            TRY(plain_field(&p, &field));
        }
        strs_add(ret_fields, buf_str(&field));
        if (!*p)
            return NULL;
    }
}
