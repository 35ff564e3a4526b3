#include "report.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "sys/file.h"
#include "json/json.h"

#include <string.h>
#include <sys/stat.h>

/* A string as Go's encoder writes it by default: also without the characters that mean something in HTML. */
static void put_quoted(struct buf *out, const char *text)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_put_string(w, text);
    AUTO_FREE char *quoted = json_writer_steal(w);
    for (const char *s = quoted; *s; s++) {
        if (strchr("&<>", *s))
            buf_printf(out, "\\u%04x", (unsigned char)*s);
        else
            buf_putc(out, *s);
    }
}

static void put_images(struct buf *out, const struct report *r)
{
    if (!r->repo || r->tags.n == 0) {
        buf_puts(out, "null");
        return;
    }
    buf_puts(out, "[\n");
    for (size_t i = 0; i < r->tags.n; i++) {
        AUTO_FREE char *image = xasprintf("%s:%s", r->repo, r->tags.items[i]);
        buf_puts(out, "\t\t\t{\n\t\t\t\t\"image\": ");
        put_quoted(out, image);
        buf_puts(out, ",\n\t\t\t\t\"digest\": ");
        put_quoted(out, r->digest);
        buf_printf(out, "\n\t\t\t}%s\n", i + 1 < r->tags.n ? "," : "");
    }
    buf_puts(out, "\t\t]");
}

char *report_artifact(const struct report *r)
{
    struct buf out = BUF_INIT;

    buf_puts(&out, "{\n\t\"kind\": \"docker/v1\",\n\t\"data\": {\n\t\t\"registryType\": \"Docker\",\n"
                   "\t\t\"registryUrl\": ");
    put_quoted(&out, r->portal_url ? r->portal_url : "");
    buf_puts(&out, ",\n\t\t\"images\": ");
    put_images(&out, r);
    buf_puts(&out, "\n\t}\n}");
    return buf_steal(&out);
}

/* Does the value look like a whole number? Those stand without quotes. */
static bool is_number(const char *value)
{
    const char *digits = value + (*value == '-' || *value == '+');
    size_t n = strspn(digits, "0123456789");

    return n > 0 && n < 19 && digits[n] == '\0';
}

static void put_variable(struct buf *out, const char *name, const char *value)
{
    if (is_number(value)) {
        buf_printf(out, "%s=%lld\n", name, strtoll(value, NULL, 10));
        return;
    }
    buf_printf(out, "%s=\"", name);
    for (const char *s = value; *s; s++) {
        if (*s == '\n' || *s == '\r') {
            buf_puts(out, *s == '\n' ? "\\n" : "\\r");
            continue;
        }
        if (strchr("\\\"!$`", *s))
            buf_putc(out, '\\');
        buf_putc(out, *s);
    }
    buf_puts(out, "\"\n");
}

/* Does this line of the file set that variable? */
static bool line_sets(const char *line, const char *name)
{
    const char *s = line + strspn(line, " \t");
    size_t len = strlen(name);

    if (strncmp(s, "export ", 7) == 0)
        s += 7 + strspn(s + 7, " \t");
    if (strncmp(s, name, len) != 0)
        return false;
    s += len;
    s += strspn(s, " \t");
    return *s == '=' || *s == ':';
}

char *report_outputs(const struct report *r, const char *existing)
{
    const struct {
        const char *name, *value;
        bool may_be_others; /* a line of that name is only replaced, not removed */
    } ours[] = { { "IMAGE_TAR_PATH", r->tar_path, false },
                 { "changed", r->changed, true },
                 { "digest", r->digest, false } }; /* in byte order */
    struct buf out = BUF_INIT;

    for (const char *line = existing; *line;) {
        size_t n = strcspn(line, "\n");
        bool replaced = false;
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
            replaced = replaced || ((ours[i].value || !ours[i].may_be_others) && line_sets(line, ours[i].name));
        if (!replaced) {
            buf_add(&out, line, n);
            buf_putc(&out, '\n');
        }
        line += n + (line[n] == '\n');
    }
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (ours[i].value)
            put_variable(&out, ours[i].name, ours[i].value);
    return buf_steal(&out);
}

char *report_image_digest(const struct report *r)
{
    return r->repo ? xasprintf("%s@%s\n", r->repo, r->digest) : xstrdup("");
}

char *report_image_tag_digests(const struct report *r)
{
    struct buf out = BUF_INIT;

    for (size_t i = 0; r->repo && i < r->tags.n; i++)
        buf_printf(&out, "%s:%s@%s\n", r->repo, r->tags.items[i], r->digest);
    return buf_steal(&out);
}

static struct err *write_text(const char *setting, const char *path, const char *text)
{
    if (!path)
        return NULL;
    return err_wrap(file_write_atomic(path, text, strlen(text), 0644), "cannot write the file that %s names", setting);
}

static struct err *write_all(const char *setting, const struct strs *paths, const char *text)
{
    struct err *e = NULL;

    for (size_t i = 0; i < paths->n; i++)
        e = err_join(e, write_text(setting, paths->items[i], text));
    return e;
}

/* Other steps' variables may be in the file already. A pipe or terminal has nothing to keep. */
static struct err *write_outputs(const struct report *r, const char *path)
{
    struct stat st;
    struct buf existing = BUF_INIT;

    if (!path)
        return NULL;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        struct err *e = file_read(path, LIMIT_SETTING_FILE_BYTES, &existing);
        if (e) {
            buf_release(&existing);
            return err_wrap(e, "cannot read the file that DRONE_OUTPUT names");
        }
    }
    AUTO_FREE char *text = report_outputs(r, buf_str(&existing));
    buf_release(&existing);
    return write_text("DRONE_OUTPUT", path, text);
}

struct err *report_write(const struct report *r, const struct settings *s)
{
    AUTO_FREE char *artifact = report_artifact(r);
    AUTO_FREE char *image = report_image_digest(r);
    AUTO_FREE char *images = report_image_tag_digests(r);
    struct err *e = write_text("PLUGIN_DIGEST_FILE", s->digest_file, r->digest);

    e = err_join(e, write_text("PLUGIN_ARTIFACT_FILE", s->artifact_file, artifact));
    e = err_join(e, write_all("PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE", &s->image_digest_files, image));
    e = err_join(e, write_all("PLUGIN_IMAGE_NAME_TAG_WITH_DIGEST_FILE", &s->image_tag_digest_files, images));
    return err_join(e, write_outputs(r, s->output_file));
}
