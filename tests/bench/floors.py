"""What no builder can do without: the same bytes by the plainest tools, as root, on a fresh disk."""
import os
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

