"""The pods in which an image is built, and what a container runtime makes of each: user, capabilities, seccomp profile, user namespace.

The names are those of the usual choices in a pod's YAML. Every one has the kubelet's masked and read-only paths, a read-only root
and the limits of deploy/pod.yaml, unless it says otherwise."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
# containerd's and Docker's default set for root
DEFAULT_CAPS = ["CAP_" + c for c in """AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP
    SETUID SYS_CHROOT""".split()]
# what the runtime's default profile allows beside its list to a container with CAP_SYS_ADMIN, or with CAP_SYS_CHROOT
OF_SYS_ADMIN = """bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree perf_event_open quotactl
    setdomainname sethostname setns syslog umount umount2 unshare""".split()
OF_SYS_CHROOT = ["chroot"]
HOST_IDS = 200000  # where hostUsers: false puts a pod's ids


class Pod:
    """sandbox: what copyup must find, and, for one that is not the best, a word of the reason that `copyup check` gives for `full`.
    state: the file system of the state directory. env: settings of the step. uidmap: its image has that package.
    landlock: false is as on a kernel that has none. cases: names of tests/e2e/cases that are built there, too."""

    def __init__(self, name, sandbox, uid=0, caps=(), profile="unconfined", host_users=True, escalation=False, masked=True, why=None, state=None,
                 env=(), uidmap=False, landlock=True, cases=()):
        self.state, self.env, self.uidmap, self.landlock, self.cases = state, dict(env), uidmap, landlock, cases
        self.name, self.sandbox, self.uid, self.caps, self.profile = name, sandbox, uid, list(caps), profile
        self.host_users, self.escalation, self.masked, self.why = host_users, escalation, masked, why

    def own(self, uid):
        """The node's number for an id of the pod."""
        return uid if self.host_users else HOST_IDS + uid

    def seccomp(self):
        """None: unconfined; "shipped": deploy's profile; "default": the runtime's, which is the same without our additions."""
        if self.profile == "unconfined":
            return None
        with open(TOP + "/deploy/seccomp-copyup.json") as f:
            found = json.load(f)
        if self.profile == "default":
            ours = [s for s in found["syscalls"] if "unshare" in s["names"]]
            assert len(ours) == 1, "the additions of the shipped profile stand in one entry"
            found["syscalls"].remove(ours[0])
            # processes and threads, but no namespaces; a C library falls back to clone if there is no clone3
            found["syscalls"] += [
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]
            names = (OF_SYS_ADMIN if "CAP_SYS_ADMIN" in self.caps else []) + (OF_SYS_CHROOT if "CAP_SYS_CHROOT" in self.caps else [])
            if "CAP_SYS_ADMIN" in self.caps:
                del found["syscalls"][-2:]
            if names:
                found["syscalls"].append({"names": names, "action": "SCMP_ACT_ALLOW"})
        if not self.landlock:
            for s in found["syscalls"]:
                s["names"] = [n for n in s["names"] if not n.startswith("landlock_")]
        return found

    def apply(self, spec):
        process, linux = spec["process"], spec["linux"]
        sets = ("bounding", "effective", "permitted") if self.uid == 0 else ("bounding",)
        process["capabilities"] = {s: self.caps for s in sets}
        process["noNewPrivileges"] = not self.escalation
        process["user"] = {"uid": self.uid, "gid": self.uid, "additionalGids": [2000]}
        profile = self.seccomp()
        process["env"] += ["%s=%s" % e for e in self.env.items()]
        linux.pop("seccomp", None)
        if profile:
            linux["seccomp"] = profile
        if not self.masked:
            linux["maskedPaths"], linux["readonlyPaths"] = [], []
        if not self.host_users:
            linux["namespaces"].append({"type": "user"})
            linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": HOST_IDS, "size": 65536}]


# cases of tests/e2e that are about the sandbox; each takes a second or two, the last one ten
CASES = ["run-i386", "run-chown", "run-user", "setuid", "capabilities", "xattrs", "whiteouts", "hard-links", "debian-user-rules", "hostile"]
SOME = ["run-i386", "setuid", "capabilities", "debian-user-rules"]

PODS = [
    Pod("user 1000, no capabilities, unconfined", "single", 1000, why="SETUID", cases=CASES),
    Pod("user 123456 without a passwd entry", "single", 123456, profile="shipped", why="SETUID"),
    Pod("user 1000, the shipped profile", "single", 1000, profile="shipped", why="SETUID"),
    Pod("root with the default capabilities, unconfined", "full", caps=DEFAULT_CAPS, escalation=True),
    Pod("root with the default capabilities, the shipped profile", "full", caps=DEFAULT_CAPS, profile="shipped", cases=CASES),
    Pod("user 1000, without Landlock", "single", 1000, profile="shipped", why="SETUID", landlock=False, cases=["hostile"]),
    Pod("root with the default capabilities, without Landlock", "full", caps=DEFAULT_CAPS, profile="shipped", landlock=False, cases=["hostile"]),
    Pod("user 1000 who may gain privileges", "single", 1000, caps=DEFAULT_CAPS, escalation=True, why="SETUID"),
    Pod("hostUsers: false, root", "full", caps=DEFAULT_CAPS, host_users=False, escalation=True),
    Pod("hostUsers: false, root, RuntimeDefault, SYS_ADMIN", "full", caps=DEFAULT_CAPS + ["CAP_SYS_ADMIN"], profile="default", host_users=False,
        escalation=True),
    Pod("hostUsers: false, user 1000, no capabilities", "single", 1000, host_users=False, why="SETUID", cases=SOME),
    Pod("hostUsers: false, root, an unmasked /proc", "full", caps=DEFAULT_CAPS, host_users=False, escalation=True, masked=False),
    Pod("root with SYS_ADMIN, an unmasked /proc", "full", caps=DEFAULT_CAPS + ["CAP_SYS_ADMIN"], escalation=True, masked=False),
    Pod("root with SYS_ADMIN, no user namespaces", "privileged", caps=DEFAULT_CAPS + ["CAP_SYS_ADMIN"], escalation=True, masked=False,
        env={"COPYUP_SANDBOX": "privileged"}, cases=SOME + ["hostile"]),
    Pod("user 1000, subordinate ids", "helper", 1000, caps=DEFAULT_CAPS, escalation=True, uidmap=True, why="SETUID", cases=SOME),
    Pod("user 1000, an unmasked /proc", "single", 1000, masked=False, why="SETUID", cases=["hostile"]),
    Pod("user 1000, the state directory on xfs", "single", 1000, profile="shipped", why="SETUID", state="xfs"),
    Pod("user 1000, the state directory on tmpfs", "single", 1000, profile="shipped", why="SETUID", state="tmpfs"),
    Pod("user 1000, the state directory on an overlay", "single", 1000, profile="shipped", why="SETUID", state="overlay"),
    Pod("root, the state directory on an overlay", "full", caps=DEFAULT_CAPS, profile="shipped", state="overlay"),
    Pod("user 1000, RuntimeDefault", "none", 1000, profile="default", why="SETUID"),
    Pod("root with the default capabilities, RuntimeDefault", "none", caps=DEFAULT_CAPS, profile="default", why="namespaces"),
    Pod("root without any capability", "none", profile="shipped", why="SETUID"),
]
