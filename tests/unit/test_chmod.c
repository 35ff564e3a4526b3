#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "dockerfile/dockerfile.h"

#include <sys/stat.h>

/* Octal or symbolic modes, as --chmod takes them, on files and directories. */
static const struct {
    const char *text;
    mode_t from;
    int want; /* -1: must fail */
} modes[] = {
    { "755", S_IFREG | 0600, 0755 },
    { "0", S_IFREG | 0600, 0 },
    { "04711", S_IFREG | 0600, 04711 },
    { "00000644", S_IFREG | 0600, 0644 },
    { "10000", S_IFREG | 0600, -1 },
    { "778", S_IFREG | 0600, -1 },
    { "", S_IFREG | 0600, -1 },
    { "+x", S_IFREG | 0644, 0755 },
    { "a-w", S_IFREG | 0666, 0444 },
    { "u=rwX,go=rX", S_IFREG | 0600, 0644 },
    { "u=rwX,go=rX", S_IFREG | 0700, 0755 },
    { "u=rwX,go=rX", S_IFDIR | 0600, 0755 },
    { "a-x,a+X", S_IFREG | 0755, 0755 }, /* X looks at the mode as it was */
    { "-X", S_IFREG | 0755, 0644 },
    { "u+s", S_IFREG | 0755, 04755 },
    { "g+s", S_IFREG | 0755, 02755 },
    { "o+s", S_IFREG | 0755, 0755 },
    { "+s", S_IFREG | 0755, 06755 },
    { "+t", S_IFDIR | 0777, 01777 },
    { "o+t", S_IFDIR | 0777, 0777 },
    { "=r", S_IFREG | 07777, 01444 },
    { "u=", S_IFREG | 04755, 0055 },
    { "g=u", S_IFREG | 0640, 0660 },
    { "o=g,g=", S_IFREG | 0640, 0604 },
    { "go-u", S_IFREG | 0467, 0423 },
    { "u=g=o", S_IFREG | 0124, 0424 },
    { "u+r-w", S_IFREG | 0200, 0400 },
    { "u", S_IFREG | 0644, -1 },
    { "u=rw,", S_IFREG | 0644, -1 },
    { ",u=r", S_IFREG | 0644, -1 },
    { "u*x", S_IFREG | 0644, -1 },
    { "u+q", S_IFREG | 0644, -1 },
    { "+644", S_IFREG | 0644, -1 },
    { "+r", S_IFREG | 0, 0444 },
    { "+w", S_IFREG | 0, 0222 },
    { "+rwx", S_IFREG | 0, 0777 },
    { "-rwx", S_IFREG | 07777, 07000 },
    { "=", S_IFREG | 07777, 01000 },
    { "=rw", S_IFREG | 0111, 0666 },
    { "a=rw", S_IFREG | 0111, 0666 },
    { "u+x", S_IFREG | 0644, 0744 },
    { "g+x", S_IFREG | 0644, 0654 },
    { "o+x", S_IFREG | 0644, 0645 },
    { "u-r", S_IFREG | 0777, 0377 },
    { "g-w", S_IFREG | 0777, 0757 },
    { "o-rwx", S_IFREG | 0777, 0770 },
    { "u=x", S_IFREG | 0777, 0177 },
    { "g=w", S_IFREG | 0777, 0727 },
    { "o=r", S_IFREG | 0777, 0774 },
    { "ug+w", S_IFREG | 0444, 0664 },
    { "go-rwx", S_IFREG | 0777, 0700 },
    { "uo=x", S_IFREG | 0, 0101 },
    { "ugo=r", S_IFREG | 0777, 0444 },
    { "ua+x", S_IFREG | 0, 0111 },
    { "au-x", S_IFREG | 0777, 0666 },
    { "uu+x", S_IFREG | 0600, 0700 },
    { "+X", S_IFREG | 0644, 0644 },
    { "+X", S_IFREG | 0654, 0755 },
    { "+X", S_IFREG | 0645, 0755 },
    { "+X", S_IFREG | 0744, 0755 },
    { "+X", S_IFDIR | 0600, 0711 },
    { "u+X", S_IFREG | 0601, 0701 },
    { "go+X", S_IFREG | 0700, 0711 },
    { "a=X", S_IFREG | 0711, 0111 },
    { "a=rX", S_IFREG | 0600, 0444 },
    { "a=rX", S_IFREG | 0100, 0555 },
    { "a=rX", S_IFDIR | 0, 0555 },
    { "-X", S_IFDIR | 0755, 0644 },
    { "u=rwX,go=rX", S_IFREG | 0755, 0755 },
    { "u=rwX,go=", S_IFDIR | 0755, 0700 },
    { "+x,+X", S_IFREG | 0644, 0755 },
    { "u+x,g+X", S_IFREG | 0600, 0700 },
    { "a-x,u+X", S_IFREG | 0755, 0744 },
    { "g=X", S_IFREG | 010, 010 },
    { "=X", S_IFREG | 01, 0111 },
    { "u-s", S_IFREG | 06755, 02755 },
    { "g-s", S_IFREG | 06755, 04755 },
    { "-s", S_IFREG | 06755, 0755 },
    { "ug+s", S_IFREG | 0755, 06755 },
    { "ug=s", S_IFREG | 0755, 06005 },
    { "u=s", S_IFREG | 0755, 04055 },
    { "g=xs", S_IFREG | 0700, 02710 },
    { "a+s", S_IFREG | 0755, 06755 },
    { "go+s", S_IFREG | 0755, 02755 },
    { "u+st", S_IFREG | 0755, 05755 },
    { "u=rwxs,g=rxs,o=t", S_IFREG | 0, 06750 },
    { "+t", S_IFREG | 0755, 01755 },
    { "-t", S_IFREG | 01755, 0755 },
    { "u+t", S_IFREG | 0755, 01755 },
    { "g+t", S_IFREG | 0755, 01755 },
    { "a+t", S_IFREG | 0755, 01755 },
    { "=t", S_IFREG | 0777, 01777 },
    { "+st", S_IFDIR | 0755, 01755 },
    { "u=rwx", S_IFREG | 04755, 0755 },
    { "g=rx", S_IFREG | 02755, 0755 },
    { "o=rx", S_IFREG | 01755, 01755 },
    { "a=rx", S_IFREG | 07777, 01555 },
    { "u-x", S_IFREG | 04755, 04655 },
    { "g-x", S_IFREG | 02755, 02745 },
    { "u=g", S_IFREG | 0640, 0440 },
    { "u=o", S_IFREG | 0641, 0141 },
    { "g=o", S_IFREG | 0641, 0611 },
    { "o=u", S_IFREG | 0740, 0747 },
    { "g=u", S_IFREG | 04750, 04770 },
    { "u=g", S_IFREG | 02750, 02550 },
    { "u+g", S_IFREG | 0451, 0551 },
    { "g+u", S_IFREG | 0700, 0770 },
    { "o+g", S_IFREG | 0750, 0755 },
    { "g-o", S_IFREG | 0757, 0707 },
    { "a=u", S_IFREG | 0400, 0444 },
    { "=u", S_IFREG | 0640, 0666 },
    { "+u", S_IFREG | 0700, 0777 },
    { "-g", S_IFREG | 0777, 0 },
    { "g=ug", S_IFREG | 0640, 0660 },
    { "u=rg", S_IFREG | 0640, 0440 },
    { "u+w+x", S_IFREG | 0400, 0700 },
    { "u=r+x", S_IFREG | 0200, 0500 },
    { "u+x-r+w", S_IFREG | 0400, 0300 },
    { "g=r=w", S_IFREG | 0770, 0720 },
    { "a=,u=rwx", S_IFREG | 0777, 0700 },
    { "u=rw,g=r,o=", S_IFREG | 0777, 0640 },
    { "u=rwx,g=rx,o=r", S_IFREG | 0, 0754 },
    { "a+r,u+w,o-r", S_IFREG | 0, 0640 },
    { "u+x,u-x", S_IFREG | 0644, 0644 },
    { "u-x,u+x", S_IFREG | 0755, 0755 },
    { "g=u,u=o", S_IFREG | 0701, 0171 },
    { "u=g,g=u", S_IFREG | 0640, 0440 },
    { "o=g,g-w,u+s", S_IFREG | 0760, 04746 },
    { "+x-w", S_IFREG | 0666, 0555 },
    { "u+", S_IFREG | 0644, 0644 },
    { "u=", S_IFREG | 0644, 044 },
    { "g-,o+w", S_IFREG | 0660, 0662 },
    { "=,+r", S_IFREG | 0777, 0444 },
    { "x", S_IFREG | 0644, -1 },
    { "rwx", S_IFREG | 0644, -1 },
    { "u+r,", S_IFREG | 0644, -1 },
    { ",u+r", S_IFREG | 0644, -1 },
    { "u+r,,g+r", S_IFREG | 0644, -1 },
    { "u+r g+r", S_IFREG | 0644, -1 },
    { "u+rq", S_IFREG | 0644, -1 },
    { "z+r", S_IFREG | 0644, -1 },
    { "u++r", S_IFREG | 0644, 0644 },
    { "u+-r", S_IFREG | 0644, 0244 },
    { "U+r", S_IFREG | 0644, -1 },
    { "u+R", S_IFREG | 0644, -1 },
    { "+7", S_IFREG | 0644, -1 },
    { "u=7", S_IFREG | 0644, -1 },
    { "u+ug", S_IFREG | 0644, 0644 },
    { "g=xu", S_IFREG | 0644, 0664 },
    { "u!r", S_IFREG | 0644, -1 },
};

static void test_chmod(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        mode_t got = 0;
        struct err *e = df_chmod(modes[i].text, modes[i].from, &got);
        mode_t want = (modes[i].from & S_IFMT) | (mode_t)modes[i].want;

        if (e ? modes[i].want != -1 : modes[i].want == -1 || got != want)
            fail_msg("'%s' on %o gave %o", modes[i].text, modes[i].from, e ? 0 : got);
        err_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_chmod) };

    return cmocka_run_group_tests_name("chmod", tests, NULL, NULL);
}
