#include "base/base64.h"
#include "base/limits.h"
#include "settings/settings_priv.h"
#include "sys/file.h"

#include <string.h>
#include <sys/stat.h>

const char *secret_reveal(const struct secret *s)
{
    return s->value_;
}

void secret_wipe(char *text)
{
    if (!text)
        return;
    explicit_bzero(text, strlen(text));
    free(text);
}

void secret_take(struct secret *s, char *text)
{
    secret_wipe(s->value_);
    s->value_ = text;
}

/* Reads a mounted secret; the buffer's memory is wiped. NULL in *ret_text for an empty file. */
struct err *secret_from_file(const char *name, const char *path, bool binary, char **ret_text)
{
    struct buf b = BUF_INIT;
    struct err *e = file_read(path, LIMIT_SETTING_FILE_BYTES, &b);

    bool text = b.len == 0 || !memchr(b.data, '\0', b.len);

    if (!e && !text && !binary)
        e = err_new(ERR_SETTING, "the file '%s' is no text", path);
    if (!e && !text && binary)
        *ret_text = base64_encode(b.data, b.len);
    if (!e && text) {
        size_t len = b.len;
        while (len > 0 && (b.data[len - 1] == '\n' || b.data[len - 1] == '\r'))
            len--;
        if (len > 0)
            *ret_text = xstrndup(b.data, len);
    }
    if (b.data)
        explicit_bzero(b.data, b.cap);
    buf_release(&b);
    return err_set_kind(err_wrap(e, "cannot read the secret %s", name), ERR_SETTING);
}

static struct err *secret_from_dir(const struct reading *r, const char *name, bool binary, char **ret_text)
{
    const char *dir = reading_env(r, "PLUGIN_SECRETS_DIR");
    struct stat st;

    if (!dir)
        return NULL;
    AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
    if (stat(path, &st) != 0 && errno == ENOENT)
        return NULL;
    return secret_from_file(name, path, binary, ret_text);
}

struct err *secret_find(const struct reading *r, const char *name, bool binary, char **ret_text)
{
    AUTO_FREE char *file_name = xasprintf("%s_FILE", name);
    const char *value = reading_env(r, name), *file = reading_env(r, file_name);

    if (value && file)
        return err_new(ERR_SETTING, "%s and %s are both set: only one of them can be meant", name, file_name);
    if (value) {
        *ret_text = xstrdup(value);
        return NULL;
    }
    if (!file)
        return secret_from_dir(r, name, binary, ret_text);
    TRY(secret_from_file(name, file, binary, ret_text));
    if (!*ret_text)
        return err_new(ERR_SETTING, "%s names the file '%s', which is empty", file_name, file);
    return NULL;
}
