#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "agent/agent.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char dir[] = "/tmp/copyup-agent.XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    err_free(file_remove_tree(AT_FDCWD, dir));
    return 0;
}

static int shell(const char *command)
{
    FILE *p = popen(command, "r"); // NOLINT(cert-env33-c): a test

    assert_non_null(p);
    return pclose(p);
}

/* ssh-keygen makes the keys: what it writes is what users have. */
static void make_key(const char *args, struct buf *ret_pem)
{
    AUTO_FREE char *path = xasprintf("%s/key", dir);
    AUTO_FREE char *command = xasprintf("rm -f %s %s.pub; ssh-keygen -q %s -f %s", path, path, args, path);

    assert_int_equal(shell(command), 0);
    assert_null(file_read(path, 65536, ret_pem));
}

/* OpenSSH's own programs are the judges: the key is listed as ssh-keygen wrote it, and what it signs is right. */
static void test_keys(void **state)
{
    static const char *const rows[] = {
        "-t ed25519 -N ''",
        "-t rsa -b 2048 -N ''",
        "-t rsa -b 2048 -N '' -m PEM",
        "-t rsa -b 2048 -N '' -m PKCS8",
        "-t ecdsa -b 256 -N ''",
        "-t ecdsa -b 384 -N ''",
        "-t ecdsa -b 521 -N ''",
        "-t ecdsa -b 256 -N '' -m PEM",
        "-t ecdsa -b 521 -N '' -m PKCS8",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_release) struct buf pem = BUF_INIT;
        AUTO(sign_key_free) struct sign_key *key = NULL;
        struct agent_server *server = NULL;

        make_key(rows[i], &pem);
        assert_null(sign_key_read(pem.data, pem.len, &key));
        assert_null(agent_start(dir, "judged", &(struct agent_upstream){ .key = key }, &server));
        AUTO_FREE char *command =
            xasprintf("cd %s && rm key && export SSH_AUTH_SOCK=%s && echo text > text && "
                      "ssh-add -L | cut -d' ' -f1,2 > listed && cut -d' ' -f1,2 key.pub | cmp - listed && "
                      "rm -f text.sig && ssh-keygen -q -Y sign -f key.pub -n file text 2> log && "
                      "ssh-keygen -q -Y check-novalidate -n file -s text.sig < text > log",
                      dir, agent_path(server));
        if (shell(command) != 0)
            fail_msg("a key of 'ssh-keygen %s' is not served right", rows[i]);
        agent_stop(server);
    }
}

static void test_bad_keys(void **state)
{
    static const char *const texts[] = {
        "",
        "geheim",
        "-----BEGIN PRIVATE KEY-----\ngeheim\n-----END PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    };
    AUTO(buf_release) struct buf pem = BUF_INIT;
    struct sign_key *key = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct err *e = sign_key_read(texts[i], strlen(texts[i]), &key);

        assert_non_null(e);
        assert_int_equal(err_exit_code(e), 64);
        assert_null(strstr(err_message(e), "geheim"));
        err_free(e);
    }
    make_key("-t ed25519 -N secret", &pem);
    struct err *e = sign_key_read(pem.data, pem.len, &key);
    assert_non_null(e);
    assert_non_null(strstr(err_message(e), "passphrase"));
    err_free(e);
    for (size_t len = 0; len < pem.len; len++) { /* no truncation is taken for a key */
        e = sign_key_read(pem.data, len, &key);
        assert_non_null(e);
        err_free(e);
    }
}

/* Requests that no client of good will sends. */
static void test_odd_requests(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = { { "", 0 },
                 { "\x0d", 1 },
                 { "\x0d\xff\xff\xff\xff", 5 },
                 { "\x0d\0\0\0\0\0\0\0\0\0\0\0\0", 13 },
                 { "\x11", 1 },
                 { "\x1b\0\0\0\0", 5 },
                 { "\xff", 1 } };
    AUTO(buf_release) struct buf pem = BUF_INIT;
    AUTO(sign_key_free) struct sign_key *key = NULL;

    (void)state;
    make_key("-t ed25519 -N ''", &pem);
    assert_null(sign_key_read(pem.data, pem.len, &key));
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_release) struct buf answer = BUF_INIT;

        agent_answer(key, rows[i].bytes, rows[i].len, &answer);
        assert_int_equal(answer.len, 5);
        assert_memory_equal(answer.data, "\0\0\0\1\5", 5);
    }
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void ask(int fd, char ret[9])
{
    size_t got = 0;

    assert_int_equal(write(fd, "\0\0\0\1\x0b", 5), 5);
    while (got < 9) {
        ssize_t n = read(fd, ret + got, 9 - got);

        assert_true(n > 0);
        got += (size_t)n;
    }
}

/* A server with a key, and one that leads to it; clients at once, one that sends in pieces, one that sends too much. */
static void test_servers(void **state)
{
    AUTO(buf_release) struct buf pem = BUF_INIT;
    AUTO(sign_key_free) struct sign_key *key = NULL;
    struct agent_server *first = NULL, *second = NULL;
    char answer[9];

    (void)state;
    make_key("-t ed25519 -N ''", &pem);
    assert_null(sign_key_read(pem.data, pem.len, &key));
    assert_null(agent_start(dir, "first", &(struct agent_upstream){ .key = key }, &first));
    assert_null(agent_start(dir, "second", &(struct agent_upstream){ .socket = agent_path(first) }, &second));
    int one = connect_to(agent_path(first)), two = connect_to(agent_path(second)),
        greedy = connect_to(agent_path(first));
    assert_int_equal(write(one, "\0\0", 2), 2);
    assert_int_equal(write(greedy, "\xff\xff\xff\xff", 4), 4);
    ask(two, answer);
    assert_int_equal(answer[4], 12);
    assert_int_equal(write(one, "\0\1\x0b", 3), 3);
    assert_true(read(one, answer, 4) > 0);
    assert_int_equal(read(greedy, answer, 1), 0);
    close(one);
    close(two);
    close(greedy);
    AUTO_FREE char *path = xstrdup(agent_path(second));
    agent_stop(second);
    agent_stop(first);
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_keys), cmocka_unit_test(test_bad_keys),
                                        cmocka_unit_test(test_odd_requests), cmocka_unit_test(test_servers) };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
