"""The base images: small ones written here from Debian's busybox-static, and a Debian one by mmdebstrap (kept in build/cache)."""
import os
import shutil
import subprocess
import struct

from lib import program
from lib.image import Image, Index, Layer

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\napp:x:1001:1002:app:/home/app:/bin/sh\n"
GROUP = b"root:x:0:\ndaemon:x:1:\napp:x:1002:\nextra:x:1500:app\n"
DEBIAN_PACKAGES = "libcap2-bin,attr"
# cap_net_bind_service+ep as stored in a security.capability attribute, version 2 (linux/capability.h)
FILE_CAPS = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


def busybox_layer():
    with open("/bin/busybox", "rb") as f:
        program = f.read()
    applets = subprocess.run(["/bin/busybox", "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    layer = Layer()
    for path, mode in (("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("proc", 0o555), ("root", 0o700),
                       ("sbin", 0o755), ("sys", 0o555), ("tmp", 0o1777), ("usr", 0o755), ("usr/bin", 0o755), ("var", 0o755)):
        layer.add(path, kind="dir", mode=mode)
    layer.add("home/app", kind="dir", uid=1001, gid=1002)
    layer.add("etc/passwd", PASSWD).add("etc/group", GROUP)
    layer.add("bin/busybox", program, mode=0o755)
    for applet in applets:
        if applet != "busybox":
            layer.add("bin/" + applet, kind="symlink", target="busybox")
    return layer.bytes()


def busybox(layers=(), config=None, oci=True, platform="amd64"):
    merged = {"Env": [PATH], "Cmd": ["sh"]}
    merged.update(config or {})
    return Image([BUSYBOX] + list(layers), merged, oci, platform)


def multi_arch():
    """/arch tells them apart. All have the programs of this machine, so that a RUN works in each."""
    return Index([busybox([Layer().add("arch", (p + "\n").encode()).bytes()], platform=p) for p in ("amd64", "arm64", "arm/v7")])


def foreign():
    """All programs are for s390, which no node is and nobody emulates: whatever is registered here, they cannot run."""
    layer = Layer().add("bin", kind="dir").add("bin/sh", program.s390(), mode=0o755)
    return Image([layer.add("script", b"#!/bin/sh\n", mode=0o755).bytes()], {"Env": [PATH]}, platform="s390")


def emulated():
    """The only program is for arm64; where it can be run."""
    if not shutil.which("qemu-aarch64-static"):
        raise OSError("there is no qemu-aarch64-static (package qemu-user-static)")
    if tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) < (6, 7):
        raise OSError("emulators for one user namespace need Linux 6.7")
    layer = Layer().add("bin", kind="dir").add("bin/sh", program.arm64(), mode=0o755)
    return Image([layer.bytes()], {"Env": [PATH]}, platform="arm64")


def odd_layer():
    """Everything that a layer can hold and that a builder tends to lose."""
    layer = Layer()
    layer.add("odd", kind="dir", uid=7, gid=8, mode=0o2775)
    layer.add("odd/plain", b"plain\n", uid=1234, gid=5678, mode=0o640, mtime=1234567890)
    layer.add("odd/one", b"shared\n").add("odd/two", kind="hardlink", target="odd/one").add("odd/three", kind="hardlink", target="odd/one")
    layer.add("odd/setuid", b"#!/bin/sh\n", mode=0o4755).add("odd/setgid", b"#!/bin/sh\n", mode=0o2711, gid=42)
    layer.add("odd/caps", b"#!/bin/sh\n", mode=0o755, xattrs={"security.capability": FILE_CAPS})
    layer.add("odd/xattr", b"x\n", xattrs={"user.note": b"kept"})
    layer.add("odd/link", kind="symlink", target="plain", uid=11, gid=12)
    layer.add("odd/fifo", kind="fifo", mode=0o600, uid=3)
    layer.add("odd/null", kind="char", device=(1, 3), mode=0o666)
    layer.add("odd/" + "n" * 255, b"long name\n")
    layer.add("odd/\u00e4\u6f22 blank", b"utf-8\n")
    layer.add("odd/dir", kind="dir", uid=20, gid=21, mode=0o750)
    layer.add("odd/dir/a", b"a\n", uid=22).add("odd/dir/sub", kind="dir").add("odd/dir/sub/b", b"b\n")
    layer.add("odd/gone", b"gone\n").add("odd/tree", kind="dir").add("odd/tree/x", b"x\n").add("odd/tree/y", b"y\n")
    return layer.bytes()


def layered():
    """What layers do to each other: whiteouts, an opaque directory, types that change, a name that comes back."""
    first = Layer().add("w", kind="dir").add("w/keep", b"keep\n").add("w/gone", b"gone\n").add("w/back", b"old\n")
    first.add("w/tree", kind="dir").add("w/tree/x", b"x\n").add("w/tree/sub", kind="dir").add("w/tree/sub/y", b"y\n")
    first.add("w/opaque", kind="dir", mode=0o711).add("w/opaque/old", b"old\n").add("w/opaque/both", b"old\n")
    first.add("w/dir-file", kind="dir").add("w/dir-file/f", b"f\n").add("w/file-dir", b"file\n").add("w/link-file", kind="symlink", target="keep")
    second = Layer().add("w", kind="dir").add("w/.wh.gone", b"").add("w/.wh.tree", b"").add("w/.wh.back", b"")
    second.add("w/opaque", kind="dir", mode=0o711).add("w/opaque/.wh..wh..opq", b"").add("w/opaque/both", b"new\n")
    second.add("w/dir-file", b"file\n").add("w/file-dir", kind="dir").add("w/file-dir/f", b"f\n").add("w/link-file", b"file\n")
    third = Layer().add("w", kind="dir").add("w/back", b"back\n")
    return [first.bytes(), second.bytes(), third.bytes()]


def repeated():
    """Layers that come back: what was removed between them is there again, and what was added stays."""
    one = Layer().add("r", kind="dir").add("r/one", b"one\n").bytes()
    between = Layer().add("r", kind="dir").add("r/.wh.one", b"").add("r/stays", b"stays\n").bytes()
    return [one, between, Layer().bytes(), one, Layer().bytes()]


def merged_layer():
    """/bin and /lib lead into /usr, as distributions have it, and some links lead out."""
    layer = Layer().add("usr/lib", kind="dir").add("usr/sbin", kind="dir").add("lib", kind="symlink", target="usr/lib")
    layer.add("opt", kind="dir").add("opt/real", kind="dir", mode=0o711, uid=9).add("opt/abs", kind="symlink", target="/opt/real")
    layer.add("opt/up", kind="symlink", target="../../../../opt/real").add("opt/dangling", kind="symlink", target="nowhere/at/all")
    return layer.bytes()


def many_layers():
    layers = [Layer().add("many", kind="dir").bytes()]
    for i in range(1, 128):
        layers.append(Layer().add("many", kind="dir").add("many/%03d" % i, b"%d\n" % i).add("many/last", b"%d\n" % i).bytes())
    layers.append(Layer().add("many", kind="dir").add("many/.wh.001", b"").bytes())
    return layers


def evil_parent():
    return [Layer().add("../../../../../../../tmp/escaped-parent", b"out\n").bytes()]


def evil_symlink():
    """A link to the root, and to a place above, then files through them: they must land inside the image's root."""
    layer = Layer().add("abs", kind="symlink", target="/").add("up", kind="symlink", target="../../../../../../..")
    layer.add("abs/tmp/escaped-abs", b"in\n").add("up/tmp/escaped-up", b"in\n")
    return [layer.bytes()]


def evil_hardlink():
    return [Layer().add("stolen", kind="hardlink", target="../../../../../../../etc/shadow").bytes()]


def debian(cache, archives=""):
    """The tar of a Debian root, made once. archives: packages that it has not, but that apt-get can install from its cache."""
    path = os.path.join(cache, "debian-%s.tar" % (DEBIAN_PACKAGES + "," + archives).strip(",").replace(",", "-"))
    fetch = ["--skip=cleanup/apt", "--customize-hook=chroot \"$1\" apt-get install -y --no-install-recommends --download-only "
             + archives.replace(",", " ")] if archives else []
    if not os.path.exists(path):
        os.makedirs(cache, exist_ok=True)
        part = "%s.%d" % (path, os.getpid())
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + DEBIAN_PACKAGES, "--dpkgopt=path-exclude=/usr/share/man/*",
                        "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/doc/*"] + fetch + ["bookworm", part + ".tar"],
                       stdin=subprocess.DEVNULL, check=True)
        os.rename(part + ".tar", path)
    with open(path, "rb") as f:
        return Image([f.read()], {"Env": [PATH], "Cmd": ["bash"]}, oci=False)


BUSYBOX = busybox_layer()
MAKERS = {
    "busybox": busybox,
    "busybox-docker": lambda: busybox(oci=False),
    "odd": lambda: busybox([odd_layer()]),
    "layered": lambda: busybox(layered()),
    "repeated": lambda: busybox(repeated()),
    "merged": lambda: busybox([merged_layer()]),
    "nobody": lambda: Image([Layer().add("f", b"f\n").bytes()], {}),
    "many": lambda: busybox(many_layers()),
    "multi-arch": multi_arch,
    "foreign": foreign,
    "emulated": emulated,
    "onbuild": lambda: busybox(config={"OnBuild": ["RUN echo triggered > /triggered", "LABEL from=parent"]}),
    "onbuild-arch": lambda: busybox(config={"OnBuild": ["ARG TARGETARCH", "RUN echo $TARGETARCH > /for"]}),
    # three triggers: their order, the variables of the image, an argument
    "onbuild-order": lambda: busybox(config={"Env": [PATH, "P=a"], "OnBuild": ["RUN echo 1 $P > /out", "ARG V='b c'", "RUN echo 2 ${V% c} >> /out",
                                                                              "ENV FROM_PARENT=$V", "RUN echo 3 $FROM_PARENT >> /out"]}),
    "onbuild-sources": lambda: busybox(config={"OnBuild": ["COPY --from=tools /tool /copied",
                                                           "RUN --mount=from=tools,source=/tool,target=/t cat /t > /mounted"]}),
    "onbuild-here-document": lambda: busybox(config={"OnBuild": ["RUN <<EOF\necho 1 > /one\nEOF", "COPY <<E /two\n2\nE"]}),
    "onbuild-unknown": lambda: busybox(config={"OnBuild": ["NOPE x"]}),
    # one of each that an image can set
    "settings": lambda: busybox([Layer().add("srv", kind="dir").bytes()], config={"Env": [PATH, "KIND=base", "EXTRA=e e"], "WorkingDir": "/srv", "Entrypoint": ["/e"], "Cmd": ["c"],
                                        "Shell": ["/bin/sh", "-e", "-c"], "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}},
                                        "Labels": {"kept": "yes"}, "StopSignal": "SIGINT",
                                        "Healthcheck": {"Test": ["CMD", "check"], "Interval": 5000000000, "Retries": 2}}),
    "config": lambda: busybox(config={"User": "app", "WorkingDir": "/home/app", "Entrypoint": ["/bin/echo"], "Cmd": ["base"],
                                      "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"a": "base", "b": "base"}}),
    "evil-parent": lambda: busybox(evil_parent()),
    "evil-symlink": lambda: busybox(evil_symlink()),
    "evil-hardlink": lambda: busybox(evil_hardlink()),
    "wrong-digest": lambda: busybox([Layer().add("f", b"content\n").bytes()]),
}


DEBIANS = {"debian": "", "debian-software": "postgresql,nginx,openssh-server,rsync"}  # with what apt-get finds in its cache


def provide(registry, names, cache):
    """Pushes the named images as base/NAME; returns {name: Image} and {name: why not} for those that cannot be made here."""
    found, missing = {}, {}
    for name in sorted(names):
        try:
            made = debian(cache, DEBIANS[name]) if name in DEBIANS else MAKERS[name]()
        except (OSError, subprocess.CalledProcessError) as e:
            missing[name] = "no base image %s: %s" % (name, e)
            continue
        made.push(registry, "base/" + name)
        found[name] = made
        if name == "wrong-digest":
            registry.spoil(made.layers[-1]["digest"])
    return found, missing
