#include "sys/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

/* FNV-1a: any byte will do that is always the same. */
static off_t byte_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325ULL;

    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        h = (h ^ *p) * 0x100000001b3ULL;
    return (off_t)(h >> 2);
}

static bool lock(int fd, const char *name, short type, int command)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte_of(name), .l_len = 1 };
    int result;

    do
        result = fcntl(fd, command, &l);
    while (result < 0 && errno == EINTR);
    return result == 0;
}

struct err *hold_open(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot open '%s'", path), ERR_DISK);
    *ret_fd = fd;
    return NULL;
}

void hold_use(int fd, const char *name)
{
    (void)lock(fd, name, F_RDLCK, F_OFD_SETLKW);
}

bool hold_alone(int fd, const char *name)
{
    return lock(fd, name, F_WRLCK, F_OFD_SETLK);
}

void hold_end(int fd, const char *name)
{
    (void)lock(fd, name, F_UNLCK, F_OFD_SETLK);
}
