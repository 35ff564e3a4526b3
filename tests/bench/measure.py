"""How the workloads are measured: a fresh disk, a registry that counts, a cgroup that counts and can limit, processes watched."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/e2e"))
sys.dont_write_bytecode = True
from lib import registry  # noqa: E402

DISK_BYTES = 12 << 30
CGROUPS = "/sys/fs/cgroup"


class Disk:
    """A fresh ext4 on a loop device: on an old one, from which many files were removed, making files is several times slower."""

    def __init__(self, folder):
        self.image = os.path.join(folder, "disk")
        self.path = tempfile.mkdtemp(prefix="disk-", dir=folder)
        with open(self.image, "wb") as f:
            f.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-qF", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image], check=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)
        os.chmod(self.path, 0o755)

    def __enter__(self):
        return self.path

    def mounts(self):
        """All that is mounted there, the last first: other builders leave some."""
        with open("/proc/self/mounts") as f:
            places = [line.split()[1] for line in f]
        return [p for p in reversed(places) if p == self.path or p.startswith(self.path + "/")]

    def __exit__(self, *_):
        for place in self.mounts():
            subprocess.run(["umount", place], check=True)
        os.rmdir(self.path)
        os.unlink(self.image)


class Folder:
    """In its place, where hardly a file is made: the first use of a fresh disk takes longer than a small build."""

    def __init__(self, folder):
        self.path = tempfile.mkdtemp(prefix="state-", dir=folder)
        os.chmod(self.path, 0o755)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path)


def memory_folder(least_bytes):
    """A new folder in memory, if there is that much room: a registry's own disk is not what is measured. None: there is not."""
    try:
        space = os.statvfs("/dev/shm")
    except OSError:
        return None
    return tempfile.mkdtemp(prefix="copyup-bench-", dir="/dev/shm") if space.f_bavail * space.f_frsize >= least_bytes else None


class Registry(registry.Registry):
    """Knows how many requests came, and how many bytes went either way."""

    def __init__(self, folder):
        self.log = os.path.join(folder, "log")
        super().__init__(folder)

    def more(self, config):
        config["log"] = {"level": "info", "formatter": "json", "accesslog": {"disabled": True}}

    def stored(self):
        """Bytes of all blobs. (A blob that is being uploaded lies elsewhere.)"""
        top = os.path.join(self.storage, "docker/registry/v2/blobs")
        return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(top) for f in files)

    def forget(self, name):
        """All of a repository and the blobs that only it had: so the next push is one of new blobs."""
        shutil.rmtree(os.path.join(self.storage, "docker/registry/v2/repositories", name), ignore_errors=True)
        kept = {os.path.basename(d) for d, _, files in os.walk(os.path.join(self.storage, "docker/registry/v2/repositories")) if "link" in files}
        blobs = os.path.join(self.storage, "docker/registry/v2/blobs/sha256")
        for d in os.listdir(blobs):
            for digest in os.listdir(os.path.join(blobs, d)):
                if digest not in kept:
                    shutil.rmtree(os.path.join(blobs, d, digest))

    def answers(self, begin, end):
        """Of the log's part: how many requests, how many bytes were sent."""
        with open(self.log) as f:
            f.seek(begin)
            lines = f.read(end - begin).splitlines()
        done = [json.loads(line) for line in lines if line.startswith("{") and '"msg":"response completed' in line]
        return len(done), sum(d.get("http.response.written", 0) for d in done)


class Cgroup:
    """A group of processes, whose processor time is counted, and that may have a pod's limits; of either version of cgroups."""

    def __init__(self, memory_mib=None, cpu_milli=None):
        name = "/copyup-bench-%d" % os.getpid()
        self.v2 = os.path.exists(CGROUPS + "/cgroup.controllers")
        self.dirs = [CGROUPS + name] if self.v2 else [CGROUPS + "/" + c + name for c in ("cpuacct", "memory", "cpu")]
        for d in self.dirs:
            os.makedirs(d, exist_ok=True)
        if memory_mib:
            self.set("memory.max" if self.v2 else "memory.limit_in_bytes", memory_mib << 20)
        if cpu_milli:
            self.set("cpu.max" if self.v2 else "cpu.cfs_quota_us", "%d 100000" % (cpu_milli * 100) if self.v2 else cpu_milli * 100)

    def set(self, file, value):
        path = next(os.path.join(d, file) for d in self.dirs if os.path.exists(os.path.join(d, file)))
        with open(path, "w") as f:
            f.write(str(value))

    def enter(self):
        """For the child, before it becomes another program."""
        for d in self.dirs:
            with open(d + "/cgroup.procs", "w") as f:
                f.write(str(os.getpid()))

    def cpu_s(self):
        if not self.v2:
            with open(self.dirs[0] + "/cpuacct.usage") as f:
                return int(f.read()) / 1e9
        with open(self.dirs[0] + "/cpu.stat") as f:
            return int(dict(line.split() for line in f)["usage_usec"]) / 1e6

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for d in self.dirs:
            for _ in range(100):  # the last process may still be on its way out
                try:
                    os.rmdir(d)
                    break
                except OSError:
                    time.sleep(0.05)


class Watch(threading.Thread):
    """The largest sum of the memory of the processes that run these programs, sampled: often at first, for builds that are short."""
    FIRST_S, LAST_S, SLOWER = 0.005, 0.05, 1.3

    def __init__(self, programs):
        super().__init__(daemon=True)
        self.programs = {os.stat(p)[1:3] for p in programs}  # inode and device: their paths may be those of another root
        self.peak, self.on = 0, True

    def sample(self):
        total = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat("/proc/%s/exe" % pid)[1:3] not in self.programs:
                    continue
                with open("/proc/%s/smaps_rollup" % pid) as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except OSError:
                continue
        self.peak = max(self.peak, total / 1024)

    def run(self):
        wait = self.FIRST_S
        while self.on and self.programs:
            time.sleep(wait)
            wait = min(wait * self.SLOWER, self.LAST_S)
            self.sample()

    def stop(self):
        self.on = False
        self.join()
        return self.peak


class Phase:
    """wall and cpu in seconds, bytes down and up, requests."""

    def __init__(self, wall, cpu, requests, down, up):
        self.wall, self.cpu, self.requests, self.down, self.up = wall, cpu, requests, down, up

    def best(self, other):
        return self if not other or self.wall <= other.wall else other


class Meter:
    """Runs a command of a build and cuts what it costs into phases: the first ends when a line "...BENCH-1" is printed, and so on."""

    def __init__(self, server, cgroup, programs):
        """programs: whose memory is watched."""
        self.server, self.cgroup, self.programs = server, cgroup, programs

    def point(self):
        return time.monotonic(), self.cgroup.cpu_s(), os.path.getsize(self.server.log), self.server.stored()

    def phase(self, a, b):
        requests, down = self.server.answers(a[2], b[2])
        return Phase(b[0] - a[0], b[1] - a[1], requests, down, b[3] - a[3])

    def start(self, argv, **more):
        """(process, point): when it becomes the command. To enter a group of processes alone can take longer than a small build."""
        before = self.point()
        out, into = os.pipe()

        def begin():
            self.cgroup.enter()
            os.write(into, b"%.6f" % time.monotonic())

        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
                             preexec_fn=begin, **more)
        at = float(os.read(out, 64))
        os.close(out)
        os.close(into)
        return p, (at,) + before[1:]

    def run(self, argv, **more):
        """(phases, MiB at the most, exit code, output)"""
        watch, output = Watch(self.programs), []
        watch.start()
        p, first = self.start(argv, **more)
        points = [first]
        for line in p.stdout:
            output.append(line)
            if line.rstrip().endswith("BENCH-%d" % len(points)):
                points.append(self.point())
        code = p.wait()
        points.append(self.point())
        return [self.phase(a, b) for a, b in zip(points, points[1:])], watch.stop(), code, "".join(output)
