"""Mounts in a mount namespace of one's own."""
import ctypes
import os

CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x10000000, 4096, 16384, 1 << 18, 2
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


def become_node(emulates):
    """A user namespace that has binfmt_misc with the emulator of an architecture registered, as an administrator does it
    for a node: from what Debian's qemu-user-static says. Every id is the same as outside."""
    ready, mapped = os.pipe(), os.pipe()
    node = os.getpid()
    helper = os.fork()
    if helper == 0:  # outside of the namespace: the map has more than one id
        os.read(ready[0], 1)
        for name in ("uid_map", "gid_map"):
            with open("/proc/%d/%s" % (node, name), "w") as f:
                f.write("0 0 4294967295")
        os.write(mapped[1], b"x")
        os._exit(0)
    check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    os.write(ready[1], b"x")
    os.waitpid(helper, 0)
    if not os.read(mapped[0], 1):
        raise OSError("the ids of the node were not mapped")
    for fd in ready + mapped:
        os.close(fd)
    mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
    with open("/usr/lib/binfmt.d/qemu-%s.conf" % emulates) as f, open("/proc/sys/fs/binfmt_misc/register", "w") as register:
        register.write(f.read().strip())


def on_overlay(path):
    """An overlay cannot be the upper layer of another."""
    buf = (ctypes.c_long * 32)()
    check(libc.statfs(path.encode(), buf), "statfs " + path)
    return buf[0] == OVERLAY_MAGIC


def small_disk(path, size, uid):
    mount("tmpfs", path, "tmpfs", 0, "size=%s,mode=0755,uid=%d,gid=%d" % (size, uid, uid))


def pretend_memory(limit):
    """What the program sees as its cgroup says that it has no more memory than that."""
    mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=0755")
    for name, text in (("cgroup.controllers", "cpu memory"), ("memory.max", str(limit))):
        with open("/sys/fs/cgroup/" + name, "w") as f:
            f.write(text + "\n")


def state_folder(path, uid):
    """Makes a state directory, on a file system that overlayfs can use; own_namespace() comes first."""
    os.makedirs(path)
    os.chown(path, uid, uid)
    if on_overlay(path):
        small_disk(path, "4G", uid)


def let_go(path):
    libc.umount2(path.encode(), MNT_DETACH)
