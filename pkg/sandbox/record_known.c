/* Absolute paths that were looked at and lead to files without a record: programs ask for some of them again and again
 * ("/etc/localtime" with each date that is printed), and the kernel answers those without a second look.
 *
 * What can make such a path lead to a file with a record is supervised: a record that is given, a name that is moved,
 * linked, or made a symlink. Any of them empties the table. (A file that is made anew has no record, or is given one; a
 * path that leads nowhere is the kernel's to answer, too.) The kernel does what it is left to do with names after we
 * answered: until that caller asks again, or is gone, nothing counts as known. */
#include "sandbox/record_calls_priv.h"

#include "base/mem.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KNOWN_SLOTS   64
#define KNOWN_BYTES   120 /* of a path, with its end; longer ones are not kept */
#define CHANGERS_KEPT 4   /* more at once: nothing is known any more */

struct record_known {
    struct {
        bool follow;
        char path[KNOWN_BYTES]; /* "": empty */
    } slots[KNOWN_SLOTS];
    bool any;
    bool off;                      /* others may change files that this RUN sees */
    pid_t changers[CHANGERS_KEPT]; /* callers whose names the kernel may not have changed yet; 0: none */
};

void record_known_init(struct recorder *r, bool shared)
{
    r->known = xcalloc(1, sizeof(*r->known));
    r->known->off = shared;
}

void record_known_forget(struct recorder *r)
{
    if (r->known->any)
        memset(r->known->slots, 0, sizeof(r->known->slots));
    r->known->any = false;
}

/* Has the kernel done all that it was left to do? The caller's own call before this one is over. */
static bool is_settled(struct record_known *k, pid_t caller)
{
    bool settled = true;

    for (size_t i = 0; i < CHANGERS_KEPT; i++) {
        if (k->changers[i] && (k->changers[i] == caller || syscall(SYS_tkill, k->changers[i], 0) < 0))
            k->changers[i] = 0;
        settled = settled && !k->changers[i];
    }
    return settled;
}

void record_known_change(struct call *c)
{
    struct record_known *k = c->r->known;

    record_known_forget(c->r);
    (void)is_settled(k, c->tid);
    for (size_t i = 0; i < CHANGERS_KEPT; i++)
        if (!k->changers[i]) {
            k->changers[i] = c->tid;
            return;
        }
    k->off = true;
}

/* Where the path has its slot; KNOWN_SLOTS: nowhere. What lies below /proc is another thing for each caller. */
static size_t slot_of(const struct call *c)
{
    size_t n = strnlen(c->path, KNOWN_BYTES), hash = 5381;

    if (c->path[0] != '/' || n == KNOWN_BYTES || c->r->elsewhere || strncmp(c->path, "/proc/", 6) == 0)
        return KNOWN_SLOTS;
    for (size_t i = 0; i < n; i++)
        hash = hash * 33 + (unsigned char)c->path[i];
    return hash % KNOWN_SLOTS;
}

bool record_known_plain(const struct call *c, bool follow)
{
    struct record_known *k = c->r->known;
    size_t i = k->any ? slot_of(c) : KNOWN_SLOTS;

    return i < KNOWN_SLOTS && k->slots[i].follow == follow && strcmp(k->slots[i].path, c->path) == 0 &&
           is_settled(k, c->tid);
}

void record_known_add(const struct call *c, bool follow)
{
    struct record_known *k = c->r->known;
    size_t i = slot_of(c);

    if (k->off || i == KNOWN_SLOTS || !is_settled(k, c->tid))
        return;
    k->slots[i].follow = follow;
    memcpy(k->slots[i].path, c->path, strlen(c->path) + 1);
    k->any = true;
}
