"""Mounts in a mount namespace of one's own."""
import ctypes
import os

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 4096, 16384, 1 << 18, 2
OVERLAY_MAGIC = 0x794C7630
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def mount(source, target, kind=None, flags=0, options=None):
    check(libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags),
                     options and options.encode()), "mount " + target)


def own_namespace():
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def on_overlay(path):
    """An overlay cannot be the upper layer of another."""
    buf = (ctypes.c_long * 32)()
    check(libc.statfs(path.encode(), buf), "statfs " + path)
    return buf[0] == OVERLAY_MAGIC


def small_disk(path, size, uid):
    mount("tmpfs", path, "tmpfs", 0, "size=%s,mode=0755,uid=%d,gid=%d" % (size, uid, uid))


def state_folder(path, uid):
    """Makes a state directory, on a file system that overlayfs can use; own_namespace() comes first."""
    os.makedirs(path)
    os.chown(path, uid, uid)
    if on_overlay(path):
        small_disk(path, "4G", uid)


def let_go(path):
    libc.umount2(path.encode(), MNT_DETACH)
