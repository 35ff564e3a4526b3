#include "sys/user.h"

#include "base/limits.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>

#define ID_MAX 4294967294U /* (uint32_t)-1 means "no change" to the kernel */

/* The fields of one line that we use; text points into the file's content. */
struct entry {
    char *name;
    uint32_t id; /* uid of passwd, gid of group */
    char *third; /* gid of passwd, members of group */
    char *home;  /* passwd only */
};

struct database {
    char *text;
    VEC(struct entry) entries;
};

static void database_release(struct database *d)
{
    free(d->text);
    vec_free(&d->entries);
}

static bool parse_id(const char *s, uint32_t *ret)
{
    uint64_t v = 0;

    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
        if (v > ID_MAX)
            return false;
    }
    *ret = (uint32_t)v;
    return true;
}

/* A field that should be a number; 0 if it is not, as Docker's parser has it. */
static uint32_t id_or_zero(const char *s)
{
    uint32_t id = 0;

    return s && parse_id(s, &id) ? id : 0;
}

/* "name:password:id:third:gecos:home:shell", or the beginning of it. */
static void parse_line(char *line, struct database *d)
{
    char *field[6] = { NULL };

    line += strspn(line, " \t\r");
    for (size_t n = strlen(line); n > 0 && strchr(" \t\r", line[n - 1]);)
        line[--n] = '\0';
    if (!*line)
        return;
    for (int i = 0; i < 6 && line; i++)
        field[i] = strsep(&line, ":");
    vec_push(&d->entries, ((struct entry){ field[0], id_or_zero(field[2]), field[3], field[5] }));
}

/* A missing file is an empty one. */
static struct err *read_database(int root_fd, const char *path, struct database *ret)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO_CLOSE int fd = -1;
    struct stat st;

    TRY(path_open_if_exists(root_fd, path, O_RDONLY | O_NONBLOCK, &fd));
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_new(ERR_DOCKERFILE, "'%s' of the image is not a regular file", path);
    TRY(err_set_kind(file_read_fd(fd, path, LIMIT_PASSWD_BYTES, &text), ERR_DOCKERFILE));
    ret->text = buf_steal(&text);
    char *rest = ret->text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        parse_line(line, ret);
    return NULL;
}

/* By number if text is one, else by name; "root" exists without any file (an image from scratch). NULL: none. */
static const struct entry *find_entry(const struct database *d, const char *text)
{
    static char root[] = "root", zero[] = "0", home[] = "/root";
    static const struct entry root_entry = { .name = root, .id = 0, .third = zero, .home = home };
    uint32_t id;
    bool numeric = parse_id(text, &id);

    for (size_t i = 0; i < d->entries.n; i++) {
        const struct entry *e = &d->entries.items[i];

        if (numeric ? e->id == id : strcmp(e->name, text) == 0)
            return e;
    }
    return strcmp(text, "root") == 0 ? &root_entry : NULL;
}

static struct err *unknown(const char *what, const char *name, const char *file)
{
    struct err *e = err_new(ERR_DOCKERFILE, "%s '%s' is not in the image's %s", what, name, file);

    return err_hint(e, "Add it with RUN before this instruction, or give its number.");
}

static bool is_member(const struct entry *group, const char *name)
{
    size_t n = strlen(name);

    for (const char *s = group->third; s && *s; s += *s == ',') {
        size_t len = strcspn(s, ",");

        if (len == n && memcmp(s, name, n) == 0)
            return true;
        s += len;
    }
    return false;
}

static void add_groups(const struct database *groups, const char *name, struct user_ids *ids)
{
    VEC(uint32_t) found = { 0 };

    for (size_t i = 0; i < groups->entries.n; i++) {
        if (is_member(&groups->entries.items[i], name))
            vec_push(&found, groups->entries.items[i].id);
    }
    ids->groups = found.items;
    ids->n_groups = found.n;
}

/* "user:group" -> user, group ("" if not given) in one allocation; the caller frees *ret_user. */
static void split_spec(const char *spec, char **ret_user, const char **ret_group)
{
    char *user = xstrdup(spec), *colon = strchr(user, ':');

    if (colon)
        *colon = '\0';
    *ret_user = user;
    *ret_group = colon ? colon + 1 : user + strlen(user);
}

static struct err *resolve_group(const struct database *groups, const char *group, uint32_t *ret_gid)
{
    const struct entry *e = find_entry(groups, group);

    if (!e && !parse_id(group, ret_gid))
        return unknown("group", group, "/etc/group");
    if (e)
        *ret_gid = e->id;
    return NULL;
}

struct err *user_lookup(int root_fd, const char *spec, struct user_ids *ret_ids)
{
    __attribute__((cleanup(database_release))) struct database users = { 0 }, groups = { 0 };
    AUTO_FREE char *user = NULL;
    const char *group;
    struct user_ids ids = { 0 };

    split_spec(spec, &user, &group);
    TRY(read_database(root_fd, "/etc/passwd", &users));
    TRY(read_database(root_fd, "/etc/group", &groups));
    const struct entry *e = find_entry(&users, *user ? user : "0");
    if (!e && *user && !parse_id(user, &ids.uid))
        return unknown("user", user, "/etc/passwd");
    if (ids.uid > INT32_MAX)
        return err_new(ERR_DOCKERFILE, "user '%s' is not in the range 0 to %d", user, INT32_MAX);
    if (e) {
        ids.uid = e->id;
        ids.gid = id_or_zero(e->third);
    }
    if (*group)
        TRY(resolve_group(&groups, group, &ids.gid));
    else if (e)
        add_groups(&groups, e->name, &ids);
    ids.home = xstrdup(e && e->home && *e->home ? e->home : "/");
    *ret_ids = ids;
    return NULL;
}

/* Docker's --chown takes a name for a name only, never a number that happens to be in the file. */
static struct err *chown_user(int root_fd, const char *user, uint32_t *ret_uid, uint32_t *ret_gid)
{
    __attribute__((cleanup(database_release))) struct database users = { 0 };

    if (!*user)
        user = "0";
    if (parse_id(user, ret_uid)) {
        *ret_gid = *ret_uid;
        return NULL;
    }
    if (root_fd >= 0)
        TRY(read_database(root_fd, "/etc/passwd", &users));
    const struct entry *e = find_entry(&users, user);
    if (!e)
        return unknown("user", user, "/etc/passwd");
    *ret_uid = e->id;
    *ret_gid = id_or_zero(e->third);
    return NULL;
}

struct err *user_lookup_chown(int root_fd, const char *spec, uint32_t *ret_uid, uint32_t *ret_gid)
{
    __attribute__((cleanup(database_release))) struct database groups = { 0 };
    AUTO_FREE char *user = NULL;
    const char *group;
    uint32_t uid = 0, gid = 0;

    split_spec(spec, &user, &group);
    TRY(chown_user(root_fd, user, &uid, &gid));
    if (!*group && strchr(spec, ':'))
        gid = 0; /* "name:": an empty group is root's */
    if (*group && !parse_id(group, &gid)) {
        if (root_fd >= 0)
            TRY(read_database(root_fd, "/etc/group", &groups));
        TRY(resolve_group(&groups, group, &gid));
    }
    *ret_uid = uid;
    *ret_gid = gid;
    return NULL;
}

void user_ids_release(struct user_ids *ids)
{
    free(ids->groups);
    free(ids->home);
    *ids = (struct user_ids){ 0 };
}
