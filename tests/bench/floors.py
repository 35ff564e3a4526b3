"""What no builder can do without: the same bytes by the plainest tools, as root, on a fresh disk."""
import hashlib
import json
import os
import re
import socket
import subprocess
import time


def timed(argv, **more):
    start = time.monotonic()
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    return time.monotonic() - start


def unpack(bench, disk, name):
    """The base's layers, one after the other: curl -s | gunzip | tar x."""
    root = os.path.join(disk, "root")
    os.mkdir(root)
    return sum(timed(["sh", "-c", "curl -sf %s | gunzip | tar -C %s -xpf -" % (url, root)]) for url in bench.layer_urls(name))


def ten_runs(bench, disk, name):
    """fork and exec of the ten commands."""
    del name
    root = os.path.join(disk, "root")
    if not os.path.exists(root):
        unpack(bench, disk, "small")
    return sum(timed(["chroot", root, "/bin/sh", "-c", "echo %d > /f%d" % (i, i)]) for i in range(10))


def compress(bench, disk, name):
    """The library alone on what the RUN writes, with as many threads as there are processors."""
    del name
    data = os.path.join(disk, "data")
    with open(bench.pool, "rb") as f:
        piece = f.read()
    with open(data, "wb") as f:
        for _ in range(bench.pool_times):
            f.write(piece)
    tool = os.path.join(bench.tools, "library")
    return float(subprocess.run([tool, data, str(os.cpu_count())], check=True, capture_output=True, text=True).stdout)


def dpkg(bench, disk, name):
    """The same command in a chroot of the same files."""
    root = os.path.join(disk, "root")
    os.mkdir(root)
    unpack_into = "curl -sf %s | gunzip | tar -C " + root + " -xpf -"
    for url in bench.layer_urls(name):
        subprocess.run(["sh", "-c", unpack_into % url], check=True)
    subprocess.run(["cp", "-a", bench.debs, root + "/debs"], check=True)
    script = "mount -t proc proc %s/proc && mount --rbind /dev %s/dev && exec chroot %s sh -c \"$0\"" % (root, root, root)
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
    return timed(["unshare", "-m", "--propagation", "private", "sh", "-c", script, bench.DPKG], env=env)


def copy(bench, disk, name):
    """The files written once, and their archive compressed and hashed."""
    del name
    files = bench.files
    seconds = timed(["cp", "-a", files, disk + "/copied"])
    subprocess.run(["tar", "-C", disk + "/copied", "-cf", disk + "/archive.tar", "."], check=True)
    return seconds + timed(["sh", "-c", "gzip -6 < archive.tar | sha256sum"], cwd=disk)


class Plain:
    """One connection to a registry, and as little work as possible for each request."""

    def __init__(self, host):
        address, port = host.split(":")
        self.host, self.socket = host, socket.create_connection((address, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method, path, body=b"", media="application/octet-stream"):
        """(value of Location, body)"""
        head = "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (
            method, path, self.host, media, media, len(body))
        self.socket.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(65536)
        headers, _, data = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\ncontent-length: *(\d+)", headers)
        while method != "HEAD" and length and len(data) < int(length[1]):
            data += self.socket.recv(65536)
        place = re.search(rb"(?i)\nlocation: *(\S+)", headers)
        return place[1].decode().replace("http://" + self.host, "") if place else None, data


def requests(bench, disk, name):
    """What a build of one LABEL asks the registry for, one after the other on one connection: what the registry itself takes."""
    del disk
    base, repo, media = "/v2/base/" + name, "/v2/floor/trivial", "application/vnd.docker.distribution.manifest.v2+json"
    start = time.monotonic()
    line = Plain(bench.server.host)
    line.ask("GET", "/v2/")
    upload, _ = line.ask("POST", repo + "/blobs/uploads/")
    manifest = json.loads(line.ask("GET", base + "/manifests/latest", media=media)[1])
    config = line.ask("GET", base + "/blobs/" + manifest["config"]["digest"])[1].replace(b"{", b'{"a":"b",', 1)
    for layer in manifest["layers"]:
        line.ask("HEAD", repo + "/blobs/" + layer["digest"])
        line.ask("POST", "%s/blobs/uploads/?mount=%s&from=base%%2F%s" % (repo, layer["digest"], name))
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    line.ask("HEAD", repo + "/blobs/" + digest)
    line.ask("PUT", "%s%sdigest=%s" % (upload, "&" if "?" in upload else "?", digest), config)
    manifest["config"].update(digest=digest, size=len(config))
    line.ask("PUT", repo + "/manifests/latest", json.dumps(manifest).encode(), media)
    seconds = time.monotonic() - start
    bench.server.forget("floor/trivial")
    return seconds
