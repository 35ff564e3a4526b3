"""What a pod needs beside its spec: a state directory on another file system, the package uidmap in its image."""
import os
import re
import shutil
import struct
import subprocess

# cap_setuid+ep and cap_setgid+ep as the attribute security.capability, version 2 (linux/capability.h)
SETUID, SETGID = 7, 6


def file_caps(number):
    return struct.pack("<IIIII", 0x02000001, 1 << number, 0, 0, 0)


def run(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class State:
    """The state volume on a file system of its own; `kind`: xfs, tmpfs, overlay."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.parts = folder + "." + kind

    def __enter__(self):
        os.makedirs(self.parts)
        if self.kind == "xfs":
            disk = os.path.join(self.parts, "disk")
            with open(disk, "wb") as f:
                f.truncate(512 << 20)
            run("mkfs.xfs", "-q", disk)
            run("mount", "-o", "loop", disk, self.folder)
        elif self.kind == "tmpfs":
            run("mount", "-t", "tmpfs", "tmpfs", self.folder)
        else:
            for d in ("lower", "upper", "work"):
                os.mkdir(os.path.join(self.parts, d))
            run("mount", "-t", "overlay", "overlay", "-o", "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work".format(self.parts), self.folder)
        return self

    def __exit__(self, *unused):
        run("umount", "-l", self.folder)
        shutil.rmtree(self.parts, ignore_errors=True)


class Plain:
    """The state volume as it is."""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass


def state(folder, kind):
    return State(folder, kind) if kind else Plain()


def add_uidmap(rootfs, uid):
    """newuidmap and newgidmap with file capabilities, their libraries, and the user's subordinate ids."""
    for name, number in (("newuidmap", SETUID), ("newgidmap", SETGID)):
        program = shutil.which(name, path="/usr/bin:/bin:/usr/sbin")
        if not program:
            raise OSError("there is no %s (package uidmap)" % name)
        copy = os.path.join(rootfs, "usr/bin", name)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy(program, copy)
        os.chmod(copy, 0o755)
        os.setxattr(copy, "security.capability", file_caps(number))
        said = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", said):
            at = rootfs + library
            os.makedirs(os.path.dirname(at), exist_ok=True)
            shutil.copy(os.path.realpath(library), at)
    for name, text in (("passwd", "builder:x:%d:%d::/:/bin/false\n" % (uid, uid)), ("subuid", "builder:100000:65536\n"),
                       ("subgid", "builder:100000:65536\n")):
        with open(os.path.join(rootfs, "etc", name), "w") as f:
            f.write(text)
