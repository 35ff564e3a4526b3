#!/usr/bin/python3
"""enter.py ROOT UID NAME=VALUE... -- PROGRAM ARGUMENT...: runs PROGRAM with ROOT as its root, as a container engine would: a
mount namespace of its own (a chroot would forbid user namespaces), /proc and /dev/null, the user UID without capabilities and
without a way to new ones; user 0 gets the capabilities that engines give to root."""
import ctypes
import os
import sys

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 4096, 16384, 1 << 18, 2
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
ENGINE_CAPS = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}  # linux/capability.h
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        sys.exit("enter: %s: %s" % (what, os.strerror(ctypes.get_errno())))


def mount(source, target, kind, flags):
    check(libc.mount(source, target, kind, ctypes.c_ulong(flags), None), "mount " + target.decode())


def main():
    root, uid = os.path.realpath(sys.argv[1]), int(sys.argv[2])
    split = sys.argv.index("--")
    env = dict(w.split("=", 1) for w in sys.argv[3:split])
    argv = sys.argv[split + 1:]
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount(b"none", b"/", None, MS_REC | MS_PRIVATE)
    mount(root.encode(), root.encode(), None, MS_BIND)
    os.chdir(root)
    mount(b"proc", b"proc", b"proc", 0)
    mount(b"/dev/null", b"dev/null", None, MS_BIND)
    check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")
    for cap in range(64):
        if uid != 0 or cap not in ENGINE_CAPS:
            libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)
    if uid != 0:
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execve(argv[0], argv, env)


main()
