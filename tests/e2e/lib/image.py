"""Images from both sides: layers and images written for the tests, and built images read and judged. Nothing here knows
how copyup works: it reads tar streams, digests and JSON only."""
import functools
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFESTS = [OCI + "index.v1+json", OCI + "manifest.v1+json", DOCKER + "distribution.manifest.list.v2+json",
             DOCKER + "distribution.manifest.v2+json"]
TYPES = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink", tarfile.CHRTYPE: "char",
         tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo"}


SHORT = 200  # bytes of a file that are kept to be compared


class Bad(Exception):
    """The image is not what it must be."""


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# ---- writing ----

class Layer:
    """A layer as a tar stream: entries in the order in which they were added, times fixed."""

    def __init__(self):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, data=None, kind=None, mode=None, uid=0, gid=0, target="", xattrs=None, device=(0, 0), mtime=1600000000):
        m = tarfile.TarInfo(name)
        types = {v: k for k, v in TYPES.items()}
        kind = kind or ("file" if data is not None else "dir")
        m.type = types.get(kind, tarfile.REGTYPE)
        m.mode = mode if mode is not None else (0o755 if kind == "dir" else 0o644)
        m.uid, m.gid, m.linkname, m.mtime = uid, gid, target, mtime
        m.devmajor, m.devminor = device
        m.size = len(data or b"")
        for key, value in (xattrs or {}).items():
            m.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        self.tar.addfile(m, io.BytesIO(data or b""))
        return self

    def bytes(self):
        self.tar.close()
        return self.out.getvalue()


class Image:
    """An image to be pushed as a base: `layers` are uncompressed tar streams."""

    def __init__(self, layers, config=None, oci=True, platform="amd64"):
        """platform: ARCHITECTURE[/VARIANT]"""
        self.blobs, self.tars = {}, list(layers)
        self.platform = dict(zip(("architecture", "variant"), platform.split("/")), os="linux")
        family = OCI if oci else DOCKER
        layer_type = OCI + "layer.v1.tar+gzip" if oci else DOCKER + "image.rootfs.diff.tar.gzip"
        packed = [gzip.compress(t, 1, mtime=0) for t in layers]
        doc = {"created": "2020-09-13T12:26:40Z", "config": config or {}, **self.platform,
               "rootfs": {"type": "layers", "diff_ids": [sha256(t) for t in layers]},
               "history": [{"created": "2020-09-13T12:26:40Z", "created_by": "layer %d" % i} for i in range(len(layers))]}
        self.document = doc
        raw = json.dumps(doc).encode()
        self.layers = [self.descriptor(layer_type, p) for p in packed]
        config_type = OCI + "config.v1+json" if oci else DOCKER + "container.image.v1+json"
        self.media_type = family + ("manifest.v1+json" if oci else "distribution.manifest.v2+json")
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": self.media_type,
                                    "config": self.descriptor(config_type, raw), "layers": self.layers}).encode()

    def descriptor(self, media_type, data):
        digest = sha256(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "size": len(data), "digest": digest}

    def tree(self):
        return flatten(self.tars)

    def push(self, registry, name, tag="latest"):
        for digest, data in self.blobs.items():
            registry.push_blob(name, digest, data)
        registry.push_manifest(name, tag, self.media_type, self.manifest)


class Index:
    """Images for several platforms and, as BuildKit leaves them there, an attestation of the first."""

    def __init__(self, images):
        self.images, self.attestation = images, Image([])
        statement = self.attestation.descriptor("application/vnd.in-toto+json", b"{}")
        self.attestation.manifest = json.dumps(dict(json.loads(self.attestation.manifest), layers=[statement])).encode()

    def push(self, registry, name, tag="latest"):
        entries = []
        for image in [self.attestation] + self.images:
            data = image.manifest
            image.push(registry, name, sha256(data))
            unknown = image is self.attestation
            entries.append({"mediaType": image.media_type, "digest": sha256(data), "size": len(data),
                            "platform": {"architecture": "unknown", "os": "unknown"} if unknown else image.platform})
        entries[0]["annotations"] = {"vnd.docker.reference.type": "attestation-manifest",
                                     "vnd.docker.reference.digest": entries[1]["digest"]}
        media_type = OCI + "index.v1+json"
        registry.push_manifest(name, tag, media_type, json.dumps(
            {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode())


# ---- reading ----

def read_layout(folder):
    """(config, [layer tar bytes]) of an OCI layout with one image; every digest and size is checked."""
    def blob(desc):
        with open(os.path.join(folder, "blobs", *desc["digest"].split(":")), "rb") as f:
            data = f.read()
        if sha256(data) != desc["digest"] or len(data) != desc["size"]:
            raise Bad("blob %s does not match its descriptor" % desc["digest"])
        return data

    with open(os.path.join(folder, "index.json")) as f:
        index = json.load(f)
    if len(index["manifests"]) != 1:
        raise Bad("the layout holds %d images" % len(index["manifests"]))
    manifest = json.loads(blob(index["manifests"][0]))
    config = json.loads(blob(manifest["config"]))
    layers = [unpack(blob(d)) for d in manifest["layers"]]
    check_config(config, layers)
    return config, layers


def read_archive(path):
    """The same of a docker archive."""
    with tarfile.open(path) as tar:
        def member(name):
            f = tar.extractfile(name)
            if f is None:
                raise Bad("docker archive lacks " + name)
            return f.read()

        entry, = json.loads(member("manifest.json"))
        config = json.loads(member(entry["Config"]))
        layers = [unpack(member(n)) for n in entry["Layers"]]
    check_config(config, layers)
    return config, layers, entry["RepoTags"]


def check_config(config, layers):
    ids = config["rootfs"]["diff_ids"]
    if ids != [sha256(t) for t in layers]:
        raise Bad("diff_ids do not match the layers")
    history = config.get("history") or []
    filled = sum(1 for h in history if not h.get("empty_layer"))
    if history and filled != len(layers):
        raise Bad("history tells of %d layers, there are %d" % (filled, len(layers)))


@functools.lru_cache(maxsize=8)
def unpack(data):
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dcq"], input=data, check=True, capture_output=True).stdout
    return data


def members(layer):
    with tarfile.open(fileobj=io.BytesIO(layer), errors="surrogateescape") as tar:
        for m in tar:
            yield tar, m


def names(layer):
    """What a layer holds, sorted; directories end in a slash."""
    return sorted(clean(m.name) + ("/" if m.isdir() else "") for _, m in members(layer))


def clean(name):
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if ".." in parts:
        raise Bad("a layer holds the name '%s'" % name)
    return "/".join(parts)


def describe(tar, m):
    info = {"type": TYPES.get(m.type, "file"), "mode": "%04o" % (m.mode & 0o7777), "uid": str(m.uid), "gid": str(m.gid),
            "mtime": m.pax_headers.get("mtime", str(int(m.mtime)))}
    if m.uname or m.gname:
        info["name"] = m.uname + ":" + m.gname
    if info["type"] == "symlink":
        info["target"] = m.linkname
        del info["mode"]
    if info["type"] in ("char", "block"):
        info["dev"] = "%d:%d" % (m.devmajor, m.devminor)
    if info["type"] == "file":
        data = tar.extractfile(m).read()
        info["size"] = str(len(data))
        info["sha256"] = hashlib.sha256(data).hexdigest()
        if len(data) <= SHORT:
            info["text"] = data.decode("utf-8", "surrogateescape")
    for key, value in m.pax_headers.items():
        if key.startswith("SCHILY.xattr."):
            info["xattr." + key[len("SCHILY.xattr."):]] = value.encode("utf-8", "surrogateescape").hex()
    return info


def below(tree, path):
    prefix = path + "/" if path else ""
    return [p for p in tree if p.startswith(prefix) and p != path]


def drop(tree, path):
    for p in below(tree, path):
        del tree[p]


def flatten(layers, below_them=None):
    """path -> description (the same object for hard links), as a container engine would lay the layers over each other,
    and over the tree below them, which stays as it is."""
    tree = dict(below_them or {})
    for layer in layers:
        entries = [(clean(m.name), m, describe(tar, m)) for tar, m in members(layer)]
        seen = set()
        for path, m, _ in entries:
            if path in seen:
                raise Bad("/%s stands twice in one layer" % path)
            seen.add(path)
            head, base = os.path.split(path)
            if base == ".wh..wh..opq":
                drop(tree, head)
            elif base.startswith(".wh."):
                gone = os.path.join(head, base[4:])
                if gone not in tree:
                    raise Bad("a whiteout hides /%s, which is not there" % gone)
                drop(tree, gone)
                del tree[gone]
        for path, m, info in entries:
            if os.path.basename(path).startswith(".wh."):
                continue
            if info["type"] == "hardlink":
                if clean(m.linkname) not in tree:
                    raise Bad("hard link /%s to absent /%s" % (path, m.linkname))
                info = tree[clean(m.linkname)]
            if path in tree and tree[path]["type"] == "dir" and info["type"] != "dir":
                drop(tree, path)
            parent = os.path.dirname(path)
            if parent and (parent not in tree or tree[parent]["type"] != "dir"):
                raise Bad("/%s has no directory above it" % path)
            tree[path] = info
    return tree
