#!/usr/bin/python3
"""launch.py SPEC.json: runs one command as a pod would, and reports what it left behind.

The command gets a mount namespace of its own: the case's directory at /mnt, empty /tmp, /var/tmp and /dev/shm. This process
is the reaper of everything that the command starts, so what is still alive when it ends is seen. The report (JSON, spec
"report") has: code, signal, peak_kib, seconds, left_processes, left_files. Run as root."""
import json
import os
import signal
import sys
import time

import mounts

PR_SET_CHILD_SUBREAPER = 36
DYING_SECONDS = 5
EMPTY = ["/tmp", "/var/tmp", "/dev/shm"]


def enter(spec):
    mounts.own_namespace()
    mounts.mount(spec["home"], "/mnt", None, mounts.MS_BIND)  # first: it may lie in one of those that become empty
    if "state_from" in spec:
        mounts.mount(spec["state_from"], "/mnt/state", None, mounts.MS_BIND)
    for path in EMPTY:
        mounts.mount("tmpfs", path, "tmpfs", 0, "mode=1777")
    if "pretend_memory" in spec:
        mounts.pretend_memory(spec["pretend_memory"])
    size = spec.get("state_size")
    if not size and "state_from" not in spec and mounts.on_overlay("/mnt"):
        size = "4G"
    if size:
        mounts.small_disk("/mnt/state", size, spec["uid"])


def spawn(spec):
    pid = os.fork()
    if pid:
        return pid
    try:
        for fd, path, flags in ((0, "/dev/null", os.O_RDONLY), (1, spec["stdout"], os.O_WRONLY), (2, spec["stderr"], os.O_WRONLY)):
            os.dup2(os.open(path, flags), fd)
        if spec.get("node_emulates"):
            mounts.become_node(spec["node_emulates"])
        os.chdir(spec["cwd"])
        os.umask(0o022)
        os.execve(spec["argv"][0], spec["argv"], spec["env"])
    except OSError as e:
        os.write(2, ("launch: %s\n" % e).encode())
    os._exit(127)


def wait(pid, spec):
    """(status, rusage); sends the spec's signal once its text was printed, and kills after the time limit."""
    start = time.monotonic()
    wanted = spec.get("signal")
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage
        with open(spec["stdout"], errors="replace") as f:
            if wanted and wanted["after"] in f.read():
                os.kill(pid, getattr(signal, "SIG" + wanted["name"]))
                wanted = None
        if time.monotonic() - start > spec.get("kill_after", spec["seconds"]):
            os.kill(pid, signal.SIGKILL)
            wanted = None
        time.sleep(0.02)


def children():
    """Living children of ours: whatever lost its parent came to us."""
    out = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name, errors="replace") as f:
                head, tail = f.read().rsplit(")", 1)
        except OSError:
            continue
        if int(tail.split()[1]) == os.getpid() and tail.split()[0] not in "ZX":
            out.append((int(name), head.split("(", 1)[1]))
    return out


def main():
    with open(sys.argv[1]) as f:
        spec = json.load(f)
    enter(spec)
    mounts.check(mounts.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    start = time.monotonic()
    status, usage = wait(spawn(spec), spec)
    seconds = time.monotonic() - start
    left = children()
    end = time.monotonic() + (DYING_SECONDS if spec.get("kill_after") is not None else 0)
    while left and time.monotonic() < end:  # what was killed with its parent
        time.sleep(0.02)
        left = children()
    for pid, _ in left:
        os.kill(pid, signal.SIGKILL)
    files = [os.path.join(d, n) for top in EMPTY for d, dirs, names in os.walk(top) for n in dirs + names]
    with open(spec["report"], "w") as f:
        json.dump({"code": os.waitstatus_to_exitcode(status), "peak_kib": usage.ru_maxrss, "seconds": seconds,
                   "left_processes": ["%d %s" % p for p in left], "left_files": files}, f)


main()
