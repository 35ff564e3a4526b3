/* Calls by the numbers of a 32-bit x86: from a 32-bit program, and from a 64-bit one, which has them by "int $0x80", too. What is
 * refused to other programs, and what is recorded for them, must be so for these. Without a library. Argument: "root" or "user". */
enum { READ_ONLY = 0, NR_OPEN = 5, NR_EXIT = 1, NR_WRITE = 4, NR_MKNOD = 14, NR_MOUNT = 21, NR_KILL = 37, NR_CHOWN16 = 182,
       NR_STAT64 = 195, NR_GETUID32 = 199, NR_CHOWN32 = 212, NR_UNSHARE = 310 };

static int call(int nr, long a, long b, long c, long d, long e)
{
    int result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
    return result;
}

static void expect(const char *what, int is, int want)
{
    unsigned n = 0;

    if (is == want)
        return;
    while (what[n])
        n++;
    call(NR_WRITE, 1, (long)what, n, 0, 0);
    call(NR_WRITE, 1, (long)"\n", 1, 0, 0);
    call(NR_EXIT, 1, 0, 0, 0, 0);
}

static unsigned owner_of(const char *path, unsigned *group)
{
    static unsigned st[24]; /* struct stat64: the owner is word 6, the group word 7 */

    expect("stat64", call(NR_STAT64, (long)path, (long)st, 0, 0, 0), 0);
    *group = st[7];
    return st[6];
}

static void as_root(void)
{
    unsigned group;

    expect("chown32", call(NR_CHOWN32, (long)"/made/wide", 60000, 6, 0, 0), 0);
    expect("the owner", (int)owner_of("/made/wide", &group), 60000);
    expect("the group", (int)group, 6);
    expect("chown of 16 bits", call(NR_CHOWN16, (long)"/made/narrow", 7, 8, 0, 0), 0);
    expect("a device", call(NR_MKNOD, (long)"/made/device", 0020600, 0x0103, 0, 0), 0);
    expect("the user", call(NR_GETUID32, 0, 0, 0, 0, 0), 0);
}

static void as_user(void)
{
    expect("the user 1234", call(NR_GETUID32, 0, 0, 0, 0, 0), 1234);
    expect("root's file is opened", call(NR_OPEN, (long)"/secret", READ_ONLY, 0, 0, 0), -13);
    expect("root's file is given away", call(NR_CHOWN32, (long)"/secret", 1234, 1234, 0, 0), -1);
    expect("root's first process is signalled", call(NR_KILL, 1, 0, 0, 0, 0), -1);
}

static void with_arguments(const long *stack)
{
    const char *who = (const char *)stack[2];

    expect("mount", call(NR_MOUNT, (long)"none", (long)"/made", (long)"tmpfs", 0, 0), -1);
    expect("unshare", call(NR_UNSHARE, 0x10000000, 0, 0, 0, 0), -1);
#ifdef __x86_64__
    long result;
    /* the third way in: x32's numbers; ENOSYS */
    __asm__ volatile("syscall" : "=a"(result) : "a"(0x40000000L | 92), "D"("/secret"), "S"(1234L), "d"(1234L) : "rcx", "r11", "memory");
    expect("x32", (int)result, -38);
#endif
    if (*who == 'r')
        as_root();
    else
        as_user();
    call(NR_EXIT, 0, 0, 0, 0, 0);
}

__attribute__((naked, used)) void _start(void)
{
#ifdef __x86_64__
    __asm__("mov %rsp, %rdi\n\tand $-16, %rsp\n\tcall enter");
#else
    __asm__("mov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall enter");
#endif
}

__attribute__((used)) void enter(const long *stack)
{
    with_arguments(stack);
}
