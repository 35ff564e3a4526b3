#include "sys/owner.h"

#include "base/buf.h"
#include "base/limits.h"
#include "sys/file.h"
#include "sys/path.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* A file capability of version 2 (linux/capability.h): version, then two words for each half of the set. The words hold
 * uid, gid, this mark and 0. */
#define SPECIAL_WORDS 5
#define SPECIAL_MARK  0x70755963U

static char device_letter(mode_t device)
{
    return device == S_IFCHR ? 'c' : 'b';
}

static void format_record(const struct owner *o, char out[OWNER_RECORD_BYTES])
{
    int n = snprintf(out, OWNER_RECORD_BYTES, "%u:%u", o->uid, o->gid);

    if (o->device)
        (void)snprintf(out + n, OWNER_RECORD_BYTES - (size_t)n, ":%c:%u:%u", device_letter(o->device), major(o->rdev),
                       minor(o->rdev));
}

static bool parse_record(const char *text, struct owner *ret)
{
    unsigned uid, gid, maj = 0, min = 0;
    char type = 0;
    int n = sscanf(text, "%u:%u:%c:%u:%u", &uid, &gid, &type, &maj, &min); // NOLINT(cert-err34-c)

    if (n != 2 && !(n == 5 && (type == 'c' || type == 'b')))
        return false;
    *ret = (struct owner){ .uid = uid, .gid = gid };
    if (n == 5) {
        ret->device = type == 'c' ? S_IFCHR : S_IFBLK;
        ret->rdev = makedev(maj, min);
    }
    return true;
}

const char *owner_xattr_name(mode_t mode)
{
    return owner_in_user_xattr(mode) ? OWNER_XATTR : "security.capability";
}

size_t owner_encode(mode_t mode, const struct owner *o, char out[OWNER_RECORD_BYTES])
{
    const uint32_t words[SPECIAL_WORDS] = { htole32(VFS_CAP_REVISION_2), htole32(o->uid), htole32(o->gid),
                                            htole32(SPECIAL_MARK), 0 };

    if (owner_in_user_xattr(mode)) {
        format_record(o, out);
        return strlen(out);
    }
    memcpy(out, words, sizeof(words));
    return sizeof(words);
}

bool owner_decode(mode_t mode, const char *value, size_t len, struct owner *ret_owner)
{
    char text[OWNER_RECORD_BYTES];
    uint32_t words[SPECIAL_WORDS];

    if (owner_in_user_xattr(mode)) {
        if (len >= sizeof(text))
            return false;
        memcpy(text, value, len);
        text[len] = '\0';
        return parse_record(text, ret_owner);
    }
    if (len != sizeof(words))
        return false;
    memcpy(words, value, len);
    if (le32toh(words[0]) != VFS_CAP_REVISION_2 || le32toh(words[3]) != SPECIAL_MARK || words[4] != 0)
        return false;
    *ret_owner = (struct owner){ .uid = le32toh(words[1]), .gid = le32toh(words[2]) };
    return true;
}

static bool read_record(int fd, mode_t mode, struct owner *ret)
{
    char value[OWNER_RECORD_BYTES];
    ssize_t n = fd_getxattr(fd, owner_xattr_name(mode), value, sizeof(value));

    return n > 0 && owner_decode(mode, value, (size_t)n, ret);
}

struct err *owner_get(enum owner_mode mode, int fd, const struct stat *st, struct owner *ret_owner, bool *ret_known)
{
    struct owner o = { 0 };
    bool recorded = false;

    /* in OWNER_REAL only an empty regular file can be a recorded device: spare all others the call */
    if (mode == OWNER_RECORDED || (S_ISREG(st->st_mode) && st->st_size == 0))
        recorded = read_record(fd, st->st_mode, &o);
    if (mode == OWNER_REAL) {
        o.uid = st->st_uid;
        o.gid = st->st_gid;
    }
    *ret_owner = o;
    *ret_known = recorded || mode == OWNER_REAL;
    return NULL;
}

struct err *owner_group_inside(enum owner_mode mode, int dir_fd, uint32_t *ret_gid)
{
    struct owner o = { 0 };
    struct stat st;
    bool known;

    if (fstat(dir_fd, &st) < 0)
        return err_sys(errno, "cannot read the mode of a directory");
    if (st.st_mode & S_ISGID)
        TRY(owner_get(mode, dir_fd, &st, &o, &known));
    *ret_gid = o.gid;
    return NULL;
}

struct err *owner_set(enum owner_mode mode, int fd, const struct stat *st, const struct owner *o, bool *ret_stored)
{
    char record[OWNER_RECORD_BYTES];
    bool store = mode == OWNER_RECORDED || o->device;

    if (mode == OWNER_REAL && fchownat(fd, "", o->uid, o->gid, AT_EMPTY_PATH) < 0)
        return err_hint(err_sys(errno, "cannot give a file to %u:%u", o->uid, o->gid),
                        "Ids above the pod's range cannot be used here.");
    *ret_stored = true;
    if (!store)
        return NULL;
    size_t n = owner_encode(st->st_mode, o, record);
    if (fd_setxattr(fd, owner_xattr_name(st->st_mode), record, n) == 0)
        return NULL;
    if (!owner_in_user_xattr(st->st_mode)) {
        *ret_stored = false;
        return NULL;
    }
    return err_hint(err_sys(errno, "cannot record the owner of a file"),
                    "The state directory needs a file system with user.* extended attributes (ext4, xfs, tmpfs of "
                    "Linux 6.6 or newer).");
}

/* ---- by path ---- */

struct owner_table {
    struct map *by_path;
};

struct owner_table *owner_table_new(void)
{
    struct owner_table *t = xcalloc(1, sizeof(*t));

    t->by_path = map_new(free);
    return t;
}

void owner_table_set(struct owner_table *t, const char *path, const struct owner *o)
{
    struct owner *copy = xcalloc(1, sizeof(*copy));

    *copy = *o;
    map_set(t->by_path, path, copy);
}

bool owner_table_get(const struct owner_table *t, const char *path, struct owner *ret_owner)
{
    const struct owner *o = map_get(t->by_path, path);

    if (o)
        *ret_owner = *o;
    return o != NULL;
}

/* "RECORD PATH\0" each */
static void save_one(void *ctx, const char *path, void *value)
{
    char text[OWNER_RECORD_BYTES];

    format_record(value, text);
    buf_printf(ctx, "%s %s", text, path);
    buf_putc(ctx, '\0');
}

struct err *owner_table_save(const struct owner_table *t, int dirfd, const char *name)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    map_each(t->by_path, save_one, &out);
    AUTO_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", name), ERR_DISK);
    return err_wrap(file_write_all(fd, out.data, out.len), "cannot write '%s'", name);
}

struct err *owner_table_load(struct owner_table *t, int dirfd, const char *name)
{
    AUTO(buf_release) struct buf in = BUF_INIT;
    AUTO_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "cannot open '%s'", name);
    TRY(file_read_fd(fd, name, LIMIT_OWNER_TABLE_BYTES, &in));
    for (size_t at = 0; at < in.len; at += strlen(in.data + at) + 1) {
        char *space = strchr(in.data + at, ' ');
        struct owner o;

        if (!space || !parse_record(in.data + at, &o))
            return err_new(ERR_DISK, "'%s' is damaged", name);
        owner_table_set(t, space + 1, &o);
    }
    return NULL;
}

void owner_table_free(struct owner_table *t)
{
    if (!t)
        return;
    map_free(t->by_path);
    free(t);
}
