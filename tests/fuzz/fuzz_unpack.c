/* An archive of any bytes is unpacked as a layer: nothing appears beside the root, whatever its names and links are. */
#include "snapshot/unpack.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

struct input {
    const uint8_t *data;
    size_t left;
};

static struct err *read_input(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct input *in = ctx;

    if (n > in->left)
        n = in->left;
    if (n)
        memcpy(p, in->data, n);
    in->data += n;
    in->left -= n;
    *ret_len = n;
    return NULL;
}

/* BASE/outside stays as it is, and BASE holds it and the root alone. */
static void check_outside(const char *base, const char *outside, const struct stat *before)
{
    struct stat st;
    int names = 0;
    DIR *d = opendir(base);

    if (!d || stat(outside, &st) < 0 || st.st_ctim.tv_sec != before->st_ctim.tv_sec ||
        st.st_ctim.tv_nsec != before->st_ctim.tv_nsec || st.st_nlink != before->st_nlink)
        abort();
    while (readdir(d))
        names++;
    closedir(d);
    if (names != 4)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char base[] = "/tmp/copyup-fuzz-unpack-XXXXXX";
    struct input in = { data, size };
    struct stat before;

    if (!mkdtemp(base))
        return 0;
    AUTO_FREE char *root = xasprintf("%s/root", base);
    AUTO_FREE char *outside = xasprintf("%s/outside", base);
    AUTO_CLOSE int out = open(outside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (out < 0 || mkdir(root, 0700) < 0 || stat(outside, &before) < 0)
        abort();
    AUTO_CLOSE int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err_free(unpack_tar((struct source){ read_input, &in }, fd, "/",
                        &(struct unpack_opts){ .owners = OWNER_RECORDED, .whiteouts = true, .chmod = -1 }));
    check_outside(base, outside, &before);
    err_free(file_remove_tree(AT_FDCWD, base));
    return 0;
}
