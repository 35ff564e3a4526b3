/* What /proc says about the caller. Its numbers are the kernel's: one user, with capabilities that the caller gave up
 * long ago. Programs that look there get a text with the pretended ones. */
#include "sandbox/record_calls_priv.h"

#include "base/buf.h"
#include "sys/file.h"
#include "sys/path.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define VIEW_BYTES (256 * 1024) /* with 65,536 groups */

/* "self/status" -> "status", if it is the caller's own. */
static const char *own_file(const struct call *c)
{
    const char *p = c->path;

    if (strncmp(p, "/proc/", 6) != 0)
        return NULL;
    p += 6;
    const char *slash = strchr(p, '/');
    size_t n = slash ? (size_t)(slash - p) : 0;
    if ((n == 4 && memcmp(p, "self", 4) == 0) || (n == 11 && memcmp(p, "thread-self", 11) == 0))
        return slash + 1;
    if (n && n < 10 && strspn(p, "0123456789") == n && strtol(p, NULL, 10) == task_own_number(c, "\nNSpid:"))
        return slash + 1;
    return NULL;
}

/* The text of the caller's /proc/self/NAME. */
static bool read_own(const struct call *c, const char *name, struct buf *out)
{
    AUTO_FREE char *path = xasprintf("/proc/%ld/%s", task_own_number(c, "\nNSpid:"), name);
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
    AUTO_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return false;
    struct err *e = file_read_fd(fd, path, VIEW_BYTES, out);
    err_free(e);
    return !e;
}

static void put_ids(struct buf *out, const char *name, const struct cred_ids *i)
{
    buf_printf(out, "%s\t%u\t%u\t%u\t%u\n", name, i->real, i->effective, i->saved, i->file);
}

static bool put_line(struct buf *out, const struct cred *c, const char *line)
{
    const struct {
        const char *name;
        uint64_t set;
    } sets[] = { { "CapInh:", c->caps.inheritable },
                 { "CapPrm:", c->caps.permitted },
                 { "CapEff:", c->caps.effective },
                 { "CapBnd:", c->caps.bounding },
                 { "CapAmb:", c->caps.ambient } };

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (strncmp(line, sets[i].name, strlen(sets[i].name)) == 0) {
            buf_printf(out, "%s\t%016" PRIx64 "\n", sets[i].name, sets[i].set);
            return true;
        }
    if (strncmp(line, "Uid:", 4) == 0) {
        put_ids(out, "Uid:", &c->uid);
    } else if (strncmp(line, "Gid:", 4) == 0) {
        put_ids(out, "Gid:", &c->gid);
    } else if (strncmp(line, "Groups:", 7) == 0) {
        buf_puts(out, "Groups:\t");
        for (size_t i = 0; i < c->n_groups; i++)
            buf_printf(out, "%u ", c->groups[i]);
        buf_putc(out, '\n');
    } else if (strncmp(line, "NoNewPrivs:", 11) == 0) {
        buf_printf(out, "NoNewPrivs:\t%d\n", c->no_new_privs);
    } else {
        return false;
    }
    return true;
}

void record_status_text(const char *real, const struct cred *c, struct buf *out)
{
    for (const char *line = real; *line;) {
        size_t n = strcspn(line, "\n");

        n += line[n] == '\n';
        if (!put_line(out, c, line))
            buf_add(out, line, n);
        line += n;
    }
}

int record_proc_view(struct call *c)
{
    AUTO(buf_release) struct buf real = BUF_INIT;
    AUTO(buf_release) struct buf text = BUF_INIT;
    const char *name = own_file(c);

    if (!name)
        return -1;
    if (strcmp(name, "uid_map") == 0 || strcmp(name, "gid_map") == 0)
        buf_puts(&text, "         0          0 4294967295\n");
    else if (strcmp(name, "status") == 0 && read_own(c, name, &real))
        record_status_text(buf_str(&real), c->cred, &text);
    else
        return -1;
    AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC);
    struct err *e = fd < 0 ? NULL : file_write_all(fd, text.data, text.len);
    err_free(e);
    return fd < 0 || e || lseek(fd, 0, SEEK_SET) < 0 ? -1 : steal_fd(&fd);
}
