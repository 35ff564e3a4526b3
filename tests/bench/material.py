"""What the workloads are made of: a base image of many files, the same in every run, kept in build/cache."""
import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
import tempfile

from lib import bases, image

FILES, BYTES = 98000, 1260 * 1000 * 1000
FILES_PER_DIR = 11
POOL = 24 << 20  # contents are cut out of that many bytes: more than a compressor remembers
MIDDLE, SPREAD = 2600, 1.78  # sizes are log-normal, as in a distribution's packages
VERSION = "2"  # another one: another base


def pool(rng):
    """Text-like, table-like and incompressible pieces in turn: gzip makes about a third of it."""
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(rng.choices(letters, weights=range(len(letters), 0, -1), k=rng.randint(2, 11))) for _ in range(6000)]
    weights = [1 / (i + 3) for i in range(len(words))]
    out = io.BytesIO()
    while out.tell() < POOL:
        kind = rng.random()
        if kind < 0.72:
            out.write(" ".join(rng.choices(words, weights, k=1500)).encode() + b"\n")
        elif kind < 0.97:  # like a program: fields that repeat, numbers that do not
            out.write(b"".join(rng.choice((b"\x48\x8b\x05", b"\xe8", b"\x0f\x1f\x40\x00", b"\x48\x89\xe5\x41")) + rng.randbytes(3) + b"\x00\x00"
                               for _ in range(900)))
        else:
            out.write(rng.randbytes(3000))
    return out.getvalue()[:POOL]


def sizes(rng, n, total):
    drawn = [rng.lognormvariate(0, SPREAD) * MIDDLE for _ in range(n)]
    scale = total / sum(drawn)
    return [int(s * scale) for s in drawn]


def write_tar(out, files, total):
    """The archive of one layer: usr/share/bench/..., with links as packages have them."""
    rng = random.Random(files)
    source = pool(random.Random(7))
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        for i, size in enumerate(sizes(rng, files, total)):
            folder = "usr/share/bench/p%d/d%d" % (i // (FILES_PER_DIR * 20), i // FILES_PER_DIR)
            if i % FILES_PER_DIR == 0:
                add(tar, folder, tarfile.DIRTYPE, 0o755)
                previous = None
            name = "%s/file-%d.%s" % (folder, i, ("so", "h", "py", "txt")[i % 4])
            if previous and i % 33 == 0:
                add(tar, name, tarfile.SYMTYPE, 0o777, link=os.path.basename(previous))
            elif previous and i % 97 == 0:
                add(tar, name, tarfile.LNKTYPE, 0o644, link=previous)
            else:
                at = rng.randrange(POOL - 1)
                add(tar, name, tarfile.REGTYPE, (0o644, 0o755)[i % 7 == 0], data=cut(source, at, size))
                previous = name


def cut(source, at, size):
    data = source[at:at + size]
    while len(data) < size:
        data += source[:size - len(data)]
    return data


def add(tar, name, kind, mode, link="", data=b""):
    m = tarfile.TarInfo(name)
    m.type, m.mode, m.linkname, m.size, m.mtime = kind, mode, link, len(data), 1600000000
    tar.addfile(m, io.BytesIO(data))


class Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, f):
        self.f, self.sha, self.size = f, hashlib.sha256(), 0

    def write(self, data):
        self.sha.update(data)
        self.size += len(data)
        return self.f.write(data)

    def digest(self):
        return "sha256:" + self.sha.hexdigest()


def make_layer(cache, files, total):
    """(path of the gzip file, what is known of it): one member, as Docker and BuildKit write it."""
    path = os.path.join(cache, "bench-layer-%s-%d.tar.gz" % (VERSION, files))
    if not os.path.exists(path + ".json"):
        with open(path, "wb") as f:
            gzip = subprocess.Popen(["gzip", "-6n"], stdin=subprocess.PIPE, stdout=f)
            tar = Hashed(gzip.stdin)
            write_tar(tar, files, total)
            gzip.stdin.close()
            if gzip.wait() != 0:
                raise OSError("gzip failed")
        with open(path, "rb") as f:
            packed = hashlib.file_digest(f, "sha256").hexdigest()
        with open(path + ".json", "w") as f:
            json.dump({"diff_id": tar.digest(), "tar_bytes": tar.size, "digest": "sha256:" + packed, "size": os.path.getsize(path)}, f)
    with open(path + ".json") as f:
        return path, json.load(f)


def push_base(server, name, layer):
    """busybox, and a layer of make_layer above it, as an image of Docker's formats."""
    path, known = layer
    base = image.Image([bases.BUSYBOX], {"Env": [bases.PATH]}, oci=False)
    base.push(server, name)
    with open(path, "rb") as f:
        server.push_blob(name, known["digest"], f.read())
    manifest = json.loads(base.manifest)
    diff_ids, history = base.document["rootfs"]["diff_ids"], base.document["history"]
    config = dict(base.document, rootfs={"type": "layers", "diff_ids": diff_ids + [known["diff_id"]]}, history=history + history)
    raw = json.dumps(config).encode()
    server.push_blob(name, image.sha256(raw), raw)
    manifest["config"].update(digest=image.sha256(raw), size=len(raw))
    manifest["layers"].append(dict(manifest["layers"][0], digest=known["digest"], size=known["size"]))
    server.push_manifest(name, "latest", base.media_type, json.dumps(manifest).encode())
    return [d["digest"] for d in manifest["layers"]]


def make_files(folder):
    """30,000 small files."""
    for d in range(300):
        os.makedirs("%s/d%d" % (folder, d))
        for f in range(100):
            with open("%s/d%d/f%d" % (folder, d, f), "w") as out:
                out.write("file %d of %d\n" % (f, d) * (1 + (f * d) % 60))


# git, nginx-light, less, man-db, dbus and iproute2 with what they need beyond a minimal Debian: 44
PACKAGES = """libdbus-1-3 dbus-bin dbus-session-bus-common libapparmor1 libexpat1 dbus-daemon dbus-system-bus-common dbus libelf1
    libbpf1 libbsd0 libmnl0 libkrb5support0 libk5crypto3 libkeyutils1 libssl3 libkrb5-3 libgssapi-krb5-2 libtirpc-common
    libtirpc3 libxtables12 iproute2 less libuchardet0 groff-base bsdextrautils libpipeline1 man-db libbrotli1
    libsasl2-modules-db libsasl2-2 libldap-2.5-0 libnghttp2-14 libpsl5 librtmp1 libssh2-1 libcurl3-gnutls liberror-perl git-man
    git nginx-common nginx libnginx-mod-http-echo nginx-light""".split()


def fetch_debs(cache):
    """A folder of Debian's packages, kept."""
    kept = os.path.join(cache, "bench-debs-%d" % len(PACKAGES))
    if not os.path.isdir(kept):
        part = tempfile.mkdtemp(dir=cache)
        subprocess.run(["apt-get", "-q", "download"] + PACKAGES, cwd=part, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.chmod(part, 0o755)
        os.rename(part, kept)
    return kept


def debian_layer(server, cache):
    base = bases.debian(cache)
    base.push(server, "base/debian")
    return [d["digest"] for d in base.layers]
