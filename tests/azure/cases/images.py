"""Base images for the tests."""
import gzip
import hashlib
import io
import json
import random
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def layer(name, size, seed):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime = size, 1600000000
        tar.addfile(entry, io.BytesIO(random.Random(seed).randbytes(size)))
    return out.getvalue()


def small(world, host, repo, sizes=(100,)):
    """An image with a layer of so many random bytes each."""
    blobs, layers, diffs = {}, [], []

    def add(kind, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": "application/vnd.oci.image." + kind, "size": len(data), "digest": digest}

    for i, size in enumerate(sizes):
        plain = layer("layer%d" % i, size, i)
        diffs.append("sha256:" + hashlib.sha256(plain).hexdigest())
        layers.append(add("layer.v1.tar+gzip", gzip.compress(plain, 1, mtime=0)))
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": add("config.v1+json", config), "layers": layers}).encode()
    world.registries[host].push(repo, "latest", MANIFEST, manifest, blobs)
    return [d for d in blobs]
