/* Pretended credentials: the kernel's rules as tables. */
#include "sandbox/cred_priv.h"

#include "base/mem.h"
#include "sandbox/caps_priv.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define NO CRED_NO_ID

static struct cred root_cred(void)
{
    uint64_t all = caps_docker_default();

    return (struct cred){ .caps = { .effective = all, .permitted = all, .bounding = all } };
}

static struct cred user_cred(uint32_t uid, uint32_t gid)
{
    return (struct cred){ .uid = { uid, uid, uid, uid },
                          .gid = { gid, gid, gid, gid },
                          .caps = { .bounding = caps_docker_default() } };
}

enum call { SETUID, SETGID, SETREUID, SETREGID, SETRESUID, SETRESGID };

static int do_call(struct cred *c, enum call call, const uint32_t *a)
{
    switch (call) {
    case SETUID:
        return cred_setuid(c, a[0]);
    case SETGID:
        return cred_setgid(c, a[0]);
    case SETREUID:
        return cred_setreuid(c, a[0], a[1]);
    case SETREGID:
        return cred_setregid(c, a[0], a[1]);
    case SETRESUID:
        return cred_setresuid(c, a[0], a[1], a[2]);
    case SETRESGID:
        return cred_setresgid(c, a[0], a[1], a[2]);
    }
    return -1;
}

static void test_ids(void **state)
{
    static const struct {
        const char *what;
        struct cred_ids before;
        bool privileged;
        enum call call;
        uint32_t a[3];
        int rc;
        struct cred_ids after;
    } rows[] = {
        { "root gives itself up", { 0, 0, 0, 0 }, true, SETUID, { 7 }, 0, { 7, 7, 7, 7 } },
        { "not to -1", { 0, 0, 0, 0 }, true, SETUID, { NO }, -EINVAL, { 0, 0, 0, 0 } },
        { "user to itself", { 7, 7, 7, 7 }, false, SETUID, { 7 }, 0, { 7, 7, 7, 7 } },
        { "user to root", { 7, 7, 7, 7 }, false, SETUID, { 0 }, -EPERM, { 7, 7, 7, 7 } },
        { "back to the saved id", { 7, 7, 0, 7 }, false, SETUID, { 0 }, 0, { 7, 0, 0, 0 } },
        { "setgid", { 0, 0, 0, 0 }, true, SETGID, { 9 }, 0, { 9, 9, 9, 9 } },
        { "setgid of another", { 7, 7, 7, 7 }, false, SETGID, { 9 }, -EPERM, { 7, 7, 7, 7 } },
        { "seteuid", { 0, 0, 0, 0 }, true, SETRESUID, { NO, 7, NO }, 0, { 0, 7, 0, 7 } },
        { "and back", { 0, 7, 0, 7 }, false, SETRESUID, { NO, 0, NO }, 0, { 0, 0, 0, 0 } },
        { "nothing changes", { 1, 2, 3, 4 }, false, SETRESUID, { NO, NO, NO }, 0, { 1, 2, 3, 2 } },
        { "a foreign id", { 1, 2, 3, 2 }, false, SETRESUID, { 1, 2, 4 }, -EPERM, { 1, 2, 3, 2 } },
        { "rotated", { 1, 2, 3, 2 }, false, SETRESUID, { 3, 1, 2 }, 0, { 3, 1, 2, 1 } },
        { "swapped", { 1, 2, 2, 2 }, false, SETREUID, { 2, 1 }, 0, { 2, 1, 1, 1 } },
        { "real to saved is refused", { 1, 2, 3, 2 }, false, SETREUID, { 3, NO }, -EPERM, { 1, 2, 3, 2 } },
        { "effective to saved", { 1, 2, 3, 2 }, false, SETREUID, { NO, 3 }, 0, { 1, 3, 3, 3 } },
        { "effective to real keeps the saved", { 1, 2, 3, 2 }, false, SETREUID, { NO, 1 }, 0, { 1, 1, 3, 1 } },
        { "groups the same", { 0, 0, 0, 0 }, true, SETREGID, { 5, 6 }, 0, { 5, 6, 6, 6 } },
        { "three groups", { 0, 0, 0, 0 }, true, SETRESGID, { 5, 6, 7 }, 0, { 5, 6, 7, 6 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_gid = rows[i].call == SETGID || rows[i].call == SETREGID || rows[i].call == SETRESGID;
        struct cred c = rows[i].privileged ? root_cred() : user_cred(1, 1);
        struct cred_ids *ids = is_gid ? &c.gid : &c.uid;

        *ids = rows[i].before;
        int rc = do_call(&c, rows[i].call, rows[i].a);
        if (rc != rows[i].rc || memcmp(ids, &rows[i].after, sizeof(*ids)) != 0)
            fail_msg("%s: %d, %u %u %u %u", rows[i].what, rc, ids->real, ids->effective, ids->saved, ids->file);
    }
}

/* What a daemon does: as root it takes a user's id for a while, then for good. */
static void test_caps_follow(void **state)
{
    struct cred c = root_cred();

    (void)state;
    assert_int_equal(cred_setresuid(&c, NO, 7, NO), 0);
    assert_false(cred_has(&c, CAP_CHOWN));
    assert_int_equal(c.caps.permitted, caps_docker_default());
    assert_int_equal(cred_setresuid(&c, NO, 0, NO), 0);
    assert_true(cred_has(&c, CAP_CHOWN));
    assert_int_equal(cred_setfsuid(&c, 7), 0);
    assert_false(cred_has(&c, CAP_CHOWN));
    assert_true(cred_has(&c, CAP_SETUID));
    assert_int_equal(cred_setfsuid(&c, 0), 7);
    assert_true(cred_has(&c, CAP_CHOWN));
    assert_int_equal(cred_setuid(&c, 7), 0);
    assert_int_equal(c.caps.permitted | c.caps.effective, 0);
    assert_int_equal(cred_setuid(&c, 0), -EPERM);
    assert_int_equal(cred_setfsuid(&c, 0), 7);
    assert_int_equal(c.uid.file, 7);
}

static void test_keep_caps(void **state)
{
    struct cred c = root_cred();
    const uint64_t chown = CAP_BIT(CAP_CHOWN);

    (void)state;
    assert_int_equal(cred_set_keepcaps(&c, 2), -EINVAL);
    assert_int_equal(cred_set_keepcaps(&c, 1), 0);
    assert_int_equal(cred_setuid(&c, 7), 0);
    assert_int_equal(c.caps.effective, 0);
    assert_int_equal(cred_capset(&c, chown, chown, chown), 0);
    assert_true(cred_has(&c, CAP_CHOWN));
    assert_int_equal(cred_capset(&c, chown, chown | CAP_BIT(CAP_KILL), 0), -EPERM);
    assert_int_equal(cred_ambient(&c, PR_CAP_AMBIENT_RAISE, CAP_CHOWN), 0);
    assert_int_equal(cred_ambient(&c, PR_CAP_AMBIENT_RAISE, CAP_KILL), -EPERM);
    assert_int_equal(cred_ambient(&c, PR_CAP_AMBIENT_RAISE, 99), -EINVAL);
    const struct cred_program plain = { .mode = 0755 };
    assert_int_equal(cred_exec(&c, &plain), 0);
    assert_int_equal(c.caps.effective, chown); /* ambient ones stay */
    assert_int_equal(c.securebits & issecure_mask(SECURE_KEEP_CAPS), 0);
    assert_int_equal(cred_ambient(&c, PR_CAP_AMBIENT_CLEAR_ALL, 0), 0);
    assert_int_equal(cred_exec(&c, &plain), 0);
    assert_int_equal(c.caps.effective, 0);
}

static void test_processes(void **state)
{
    static const struct {
        const char *what;
        struct cred_ids own, its;
        uint64_t own_caps, its_caps;
        bool signal, trace, limit;
    } rows[] = {
        { "root", { 0, 0, 0, 0 }, { 7, 7, 7, 7 }, CAP_BIT(CAP_KILL), 0, true, false, false },
        { "a tracer", { 8, 8, 8, 8 }, { 7, 7, 7, 7 }, CAP_BIT(CAP_SYS_PTRACE), 0, false, true, false },
        { "the same", { 7, 7, 7, 7 }, { 7, 7, 7, 7 }, 0, 0, true, true, true },
        { "another", { 8, 8, 8, 8 }, { 7, 7, 7, 7 }, 0, 0, false, false, false },
        { "root's", { 7, 7, 7, 7 }, { 0, 0, 0, 0 }, 0, CAP_BIT(CAP_KILL), false, false, false },
        { "the same with capabilities", { 7, 7, 7, 7 }, { 7, 7, 7, 7 }, 0, CAP_BIT(CAP_KILL), true, false, true },
        { "a setuid program of one's own", { 7, 7, 7, 7 }, { 7, 0, 0, 0 }, 0, 0, true, false, false },
        { "a setuid program to its user", { 8, 7, 7, 7 }, { 7, 7, 7, 7 }, 0, 0, true, false, false },
        { "who may set limits", { 8, 8, 8, 8 }, { 7, 7, 7, 7 }, CAP_BIT(CAP_SYS_RESOURCE), 0, false, false, true },
        { "its effective id alone", { 7, 7, 7, 7 }, { 8, 7, 8, 7 }, 0, 0, false, false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct cred c = { .uid = rows[i].own,
                                .caps = { .effective = rows[i].own_caps, .permitted = rows[i].own_caps } };
        const struct cred target = { .uid = rows[i].its, .caps = { .permitted = rows[i].its_caps } };

        if (cred_may_signal(&c, &target) != rows[i].signal || cred_may_trace(&c, &target) != rows[i].trace ||
            cred_may_limit(&c, &target) != rows[i].limit)
            fail_msg("%s: signal %d, trace %d, limit %d", rows[i].what, cred_may_signal(&c, &target),
                     cred_may_trace(&c, &target), cred_may_limit(&c, &target));
    }
}

static void test_exec(void **state)
{
    static const struct {
        const char *what;
        struct cred_ids before;
        struct cred_program p;
        bool no_new_privs;
        uint32_t euid, egid;
        bool chown; /* has CAP_CHOWN afterwards */
    } rows[] = {
        { "plain", { 7, 7, 7, 7 }, { .mode = 0755 }, false, 7, 7, false },
        { "setuid root", { 7, 7, 7, 7 }, { .mode = 04755 }, false, 0, 7, true },
        { "no new privileges", { 7, 7, 7, 7 }, { .mode = 04755 }, true, 7, 7, false },
        { "setuid other", { 7, 7, 7, 7 }, { .mode = 04755, .uid = 9 }, false, 9, 7, false },
        { "setgid", { 7, 7, 7, 7 }, { .mode = 02755, .gid = 42 }, false, 7, 42, false },
        { "setgid without execution is a lock", { 7, 7, 7, 7 }, { .mode = 02745, .gid = 42 }, false, 7, 7, false },
        { "root runs setuid other", { 0, 0, 0, 0 }, { .mode = 04755, .uid = 9 }, false, 9, 7, false },
        { "file capabilities",
          { 7, 7, 7, 7 },
          { .mode = 0755, .has_caps = true, .caps_effective = true, .caps_permitted = CAP_BIT(CAP_CHOWN) },
          false,
          7,
          7,
          true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cred c = rows[i].before.real ? user_cred(7, 7) : root_cred();

        c.gid = (struct cred_ids){ 7, 7, 7, 7 };
        c.no_new_privs = rows[i].no_new_privs;
        int rc = cred_exec(&c, &rows[i].p);
        if (rc != 0 || c.uid.effective != rows[i].euid || c.uid.saved != rows[i].euid || c.uid.file != rows[i].euid ||
            c.gid.effective != rows[i].egid || cred_has(&c, CAP_CHOWN) != rows[i].chown)
            fail_msg("%s: %d, %u:%u, %llx", rows[i].what, rc, c.uid.effective, c.gid.effective,
                     (unsigned long long)c.caps.effective);
    }
    struct cred c = user_cred(7, 7);
    const struct cred_program beyond = {
        .mode = 0755, .has_caps = true, .caps_effective = true, .caps_permitted = CAP_BIT(CAP_SYS_ADMIN)
    };
    assert_int_equal(cred_exec(&c, &beyond), -EPERM);
}

static void test_groups(void **state)
{
    struct cred c = root_cred(), copy;
    uint32_t *list = xcalloc(3, sizeof(*list));

    (void)state;
    list[0] = 30;
    list[1] = 10;
    list[2] = 20;
    assert_int_equal(cred_setgroups(&c, list, 3), 0);
    assert_int_equal(c.groups[0], 10);
    assert_true(cred_in_group(&c, 20) && cred_in_group(&c, 0) && !cred_in_group(&c, 5));
    cred_copy(&copy, &c);
    assert_true(cred_equal(&copy, &c));
    assert_int_equal(cred_setuid(&copy, 7), 0);
    assert_false(cred_equal(&copy, &c));
    assert_int_equal(cred_setgroups(&copy, xcalloc(1, 4), 0), -EPERM);
    list = xcalloc(1, sizeof(*list));
    list[0] = NO;
    assert_int_equal(cred_setgroups(&c, list, 1), -EINVAL);
    assert_int_equal(c.n_groups, 3);
    cred_release(&c);
    cred_release(&copy);
}

static void test_securebits(void **state)
{
    struct cred c = root_cred();
    const uint32_t noroot = issecure_mask(SECURE_NOROOT), locked = issecure_mask(SECURE_NOROOT_LOCKED);

    (void)state;
    assert_int_equal(cred_set_securebits(&c, noroot | locked), 0);
    assert_int_equal(cred_set_securebits(&c, locked), -EPERM);
    assert_int_equal(cred_set_securebits(&c, noroot), -EPERM);
    const struct cred_program plain = { .mode = 0755 };
    assert_int_equal(cred_exec(&c, &plain), 0);
    assert_int_equal(c.caps.effective, 0);
    assert_int_equal(cred_set_securebits(&c, noroot | locked), -EPERM);
    c = root_cred();
    assert_int_equal(cred_set_securebits(&c, 1 << 20), -EPERM);
    assert_int_equal(cred_in_bounding(&c, CAP_CHOWN), 1);
    assert_int_equal(cred_drop_bounding(&c, CAP_CHOWN), 0);
    assert_int_equal(cred_in_bounding(&c, CAP_CHOWN), 0);
    assert_int_equal(cred_drop_bounding(&c, 64), -EINVAL);
    assert_int_equal(cred_exec(&c, &plain), 0);
    assert_false(cred_has(&c, CAP_CHOWN));
}

static void test_files(void **state)
{
    static const struct {
        uint32_t uid, gid; /* 0:0 = root with its capabilities */
        struct cred_file f;
        int want;
        bool may;
    } rows[] = {
        { 7, 7, { S_IFREG | 0600, 0, 0 }, R_OK, false },       { 7, 7, { S_IFREG | 0604, 0, 0 }, R_OK, true },
        { 7, 7, { S_IFREG | 0640, 0, 7 }, R_OK, true },        { 7, 7, { S_IFREG | 0604, 0, 7 }, R_OK, false },
        { 7, 7, { S_IFREG | 0477, 7, 7 }, W_OK, false },       { 7, 7, { S_IFREG | 0600, 7, 0 }, R_OK | W_OK, true },
        { 0, 0, { S_IFREG | 0000, 7, 7 }, R_OK | W_OK, true }, { 0, 0, { S_IFREG | 0644, 7, 7 }, X_OK, false },
        { 0, 0, { S_IFREG | 0100, 7, 7 }, X_OK, true },        { 0, 0, { S_IFDIR | 0000, 7, 7 }, X_OK, true },
        { 7, 7, { S_IFDIR | 0711, 0, 0 }, X_OK, true },        { 7, 7, { S_IFDIR | 0711, 0, 0 }, R_OK, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cred c = rows[i].uid ? user_cred(rows[i].uid, rows[i].gid) : root_cred();

        if (cred_may(&c, &rows[i].f, rows[i].want) != rows[i].may)
            fail_msg("row %zu: user %u, mode %o of %u:%u, %d", i, rows[i].uid, rows[i].f.mode, rows[i].f.uid,
                     rows[i].f.gid, rows[i].want);
    }
}

static void test_changes_of_files(void **state)
{
    struct cred root = root_cred(), user = user_cred(7, 8);
    const struct cred_file own = { S_IFREG | 0644, 7, 8 }, roots = { S_IFREG | 0644, 0, 0 };
    const struct cred_file tmp = { S_IFDIR | 01777, 0, 0 }, shared = { S_IFDIR | 0777, 0, 0 };

    (void)state;
    assert_true(cred_may_chown(&root, &own, 1, 2));
    assert_false(cred_may_chown(&user, &own, 0, NO));
    assert_false(cred_may_chown(&user, &own, NO, 0));
    assert_true(cred_may_chown(&user, &own, 7, 8));
    assert_true(cred_may_chown(&user, &own, NO, 8));
    assert_false(cred_may_chown(&user, &roots, NO, 8));
    assert_false(cred_may_chown(&user, &roots, 7, NO));
    assert_true(cred_may_chown(&user, &roots, NO, NO));
    assert_true(cred_owns(&user, &own) && !cred_owns(&user, &roots) && cred_owns(&root, &own));
    assert_false(cred_may_remove(&user, &tmp, &roots));
    assert_true(cred_may_remove(&user, &tmp, &own));
    assert_true(cred_may_remove(&user, &shared, &roots));
    assert_true(cred_may_remove(&root, &tmp, &own));
    assert_int_equal(cred_chmod_mode(&user, &own, 02755), 02755);
    assert_int_equal(cred_chmod_mode(&user, &(struct cred_file){ S_IFREG, 7, 9 }, 06755), 04755);
    assert_int_equal(cred_chmod_mode(&root, &own, 06755), 06755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),        cmocka_unit_test(test_caps_follow), cmocka_unit_test(test_keep_caps),
        cmocka_unit_test(test_processes),  cmocka_unit_test(test_exec),        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_securebits), cmocka_unit_test(test_files),       cmocka_unit_test(test_changes_of_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
