#include "sandbox/record_calls_priv.h"

#include <errno.h>
#include <sys/stat.h>

#define PENDING_MAX 64 /* the oldest goes: its process never asked again */

void record_later(struct recorder *r, const struct pending *p)
{
    if (r->pending.n == PENDING_MAX) {
        close_fd(&r->pending.items[0].dir_fd);
        r->pending.items[0] = r->pending.items[--r->pending.n];
    }
    vec_push(&r->pending, *p);
}

/* execve failed: the program that asked goes on, with what it was. */
static void finish_program(struct call *c, const struct pending *p)
{
    if (task_program(c->r, c->tid) == p->program)
        (void)task_set_mark(c->r, c->tid, p->mark);
}

static void finish_socket(struct call *c, struct pending *p)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    struct place at = { .dir.fd = p->dir_fd };
    struct owner o = { 0 };
    int fd = openat(p->dir_fd, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && target_look(c, fd, &t) == 0 && S_ISSOCK(t.st.st_mode) && !t.recorded) {
        AUTO_TARGET struct target dir = { .fd = -1 };

        c->cred = record_cred(c->r, p->mark);
        if (target_look(c, fcntl(at.dir.fd, F_DUPFD_CLOEXEC, 3), &dir) == 0)
            o = record_new_owner(c, &dir);
        (void)target_give(c, &t, &o);
    }
    close_fd(&p->dir_fd);
}

void record_do_pending(struct call *c)
{
    for (size_t i = 0; i < c->r->pending.n;) {
        struct pending *p = &c->r->pending.items[i];

        if (p->tid != c->tid) {
            i++;
            continue;
        }
        if (p->kind == PENDING_PROGRAM)
            finish_program(c, p);
        else
            finish_socket(c, p);
        c->r->pending.items[i] = c->r->pending.items[--c->r->pending.n];
    }
}
