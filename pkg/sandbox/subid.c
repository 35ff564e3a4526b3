#include "sandbox/subid_priv.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/strs.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define UID_PROGRAM "newuidmap"
#define GID_PROGRAM "newgidmap"
#define YAML                                                                                                           \
    "An image with the package uidmap, a line for the user in /etc/passwd, 'USER:100000:65536' in /etc/subuid and "    \
    "/etc/subgid, and in the container's securityContext 'allowPrivilegeEscalation: true' and 'capabilities: {add: "   \
    "[SETUID, SETGID]}'."
#define SAID_BYTES 1024 /* of what a program printed */

/* ---- files ---- */

/* "a:b:c": the n-th field of the line at `line`; false if there is none. */
static bool field(const char *line, int n, const char **ret, size_t *ret_len)
{
    const char *end = line + strcspn(line, "\n");

    for (; n > 0; n--) {
        line = memchr(line, ':', (size_t)(end - line));
        if (!line)
            return false;
        line++;
    }
    *ret = line;
    *ret_len = strcspn(line, ":\n");
    return true;
}

static bool number_field(const char *line, int n, uint32_t *ret)
{
    const char *p;
    size_t len;
    uint64_t v = 0;

    if (!field(line, n, &p, &len) || len == 0 || len > 10)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(p[i] - '0');
    }
    if (v > UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool is_users(const char *line, const char *name, uint32_t uid)
{
    const char *p;
    size_t len;
    uint32_t number;

    if (number_field(line, 0, &number))
        return number == uid;
    return name && field(line, 0, &p, &len) && strlen(name) == len && memcmp(p, name, len) == 0;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

void subid_map(const char *text, const char *name, uint32_t uid, uint32_t own, struct id_map *ret_map)
{
    struct id_map map;

    id_map_single(own, &map);
    for (const char *line = text; *line; line = next_line(line)) {
        uint32_t first, count, room = ID_RANGE - map.ids;

        if (!is_users(line, name, uid) || !number_field(line, 1, &first) || !number_field(line, 2, &count))
            continue;
        count = count < room ? count : room;
        if (count == 0 || map.n == ID_EXTENTS_MAX || first > UINT32_MAX - count)
            continue;
        map.items[map.n++] = (struct id_extent){ map.ids, first, count };
        map.ids += count;
    }
    *ret_map = map;
}

char *subid_user_name(const char *passwd, uint32_t uid)
{
    for (const char *line = passwd; *line; line = next_line(line)) {
        const char *p;
        size_t len;
        uint32_t number;

        if (number_field(line, 2, &number) && number == uid && field(line, 0, &p, &len) && len)
            return xstrndup(p, len);
    }
    return NULL;
}

/* ---- what there is ---- */

/* NULL: it is nowhere. */
static char *find_program(const char *name)
{
    static const char *const dirs[] = { "/usr/bin", "/usr/local/bin", "/bin" };

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char *path = xasprintf("%s/%s", dirs[i], name);

        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static struct err *missing(const char *what)
{
    return err_hint(err_new(ERR_POD, "no subordinate ids: %s", what), "%s", YAML);
}

/* The pod's own file. *ret stays empty if there is none. */
static void read_own(const char *path, struct buf *ret)
{
    err_free(file_read(path, LIMIT_SETTING_FILE_BYTES, ret));
}

struct err *subid_find(struct id_map *ret_uids, struct id_map *ret_gids)
{
    AUTO(buf_release) struct buf passwd = BUF_INIT;
    AUTO(buf_release) struct buf uids = BUF_INIT;
    AUTO(buf_release) struct buf gids = BUF_INIT;
    AUTO_FREE char *uid_program = find_program(UID_PROGRAM);
    AUTO_FREE char *gid_program = find_program(GID_PROGRAM);

    if (!uid_program || !gid_program)
        return missing("the image has no " UID_PROGRAM " and " GID_PROGRAM);
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return missing("no_new_privs is set, so " UID_PROGRAM " gains no privilege");
    read_own("/etc/passwd", &passwd);
    read_own("/etc/subuid", &uids);
    read_own("/etc/subgid", &gids);
    AUTO_FREE char *name = subid_user_name(buf_str(&passwd), getuid());
    if (!name)
        return missing("the user has no line in /etc/passwd");
    subid_map(buf_str(&uids), name, getuid(), geteuid(), ret_uids);
    subid_map(buf_str(&gids), name, getuid(), getegid(), ret_gids);
    if (ret_uids->n < 2 || ret_gids->n < 2)
        return missing("/etc/subuid and /etc/subgid grant none to the user");
    return NULL;
}

/* ---- the programs ---- */

static void add_extents(const struct id_map *map, struct strs *argv)
{
    for (size_t i = 0; i < map->n; i++) {
        strs_take(argv, xasprintf("%u", map->items[i].inside));
        strs_take(argv, xasprintf("%u", map->items[i].outside));
        strs_take(argv, xasprintf("%u", map->items[i].count));
    }
}

/* Starts it with its output in a pipe. */
static struct err *start(const char *program, struct strs *argv, int *ret_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    char *env[] = { NULL };
    int said[2];

    if (pipe2(said, O_CLOEXEC) < 0)
        return err_sys(errno, "cannot make a pipe");
    AUTO_CLOSE int end = said[1];
    *ret_fd = said[0];
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, end, STDOUT_FILENO);
        if (rc == 0)
            rc = posix_spawn_file_actions_adddup2(&actions, end, STDERR_FILENO);
        if (rc == 0)
            rc = posix_spawn(ret_pid, program, &actions, NULL, strs_argv(argv), env);
        posix_spawn_file_actions_destroy(&actions);
    }
    return rc ? err_sys(rc, "cannot start '%s'", program) : NULL;
}

static void read_said(int fd, char text[SAID_BYTES])
{
    size_t n = 0;

    for (ssize_t got; n < SAID_BYTES - 1 && (got = read(fd, text + n, SAID_BYTES - 1 - n)) != 0;) {
        if (got < 0 && errno != EINTR)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

static struct err *run_program(const char *name, pid_t child, const struct id_map *map)
{
    AUTO(strs_release) struct strs argv = { 0 };
    AUTO_FREE char *program = find_program(name);
    AUTO_CLOSE int fd = -1;
    char said[SAID_BYTES];
    pid_t pid = -1;
    int status = 0;

    if (!program)
        return missing("the program is gone");
    strs_add(&argv, name);
    strs_take(&argv, xasprintf("%d", (int)child));
    add_extents(map, &argv);
    TRY(start(program, &argv, &fd, &pid));
    read_said(fd, said);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    return err_hint(
        err_new(ERR_POD, "the pod does not let '%s' map ids: %s", program, said[0] ? said : "no reason given"), "%s",
        YAML);
}

struct err *subid_write_maps(pid_t child, const struct id_map *uids, const struct id_map *gids)
{
    TRY(run_program(UID_PROGRAM, child, uids));
    return run_program(GID_PROGRAM, child, gids);
}
