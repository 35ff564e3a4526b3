"""Other builders of the same Dockerfiles, as far as the environment says where they are: BENCH_KANIKO, BENCH_BUILDKITD with
BENCH_BUILDCTL, BENCH_BUILDAH. Each runs as root with its state on the fresh disk, and pushes to the same registry."""
import os
import shutil
import subprocess
import time


class Kaniko:
    """It builds in its own root file system, which it empties: a chroot on the disk."""
    name, wants = "kaniko", ["BENCH_KANIKO"]

    def __init__(self, host, disk, enter):
        del host, enter
        self.root = os.path.join(disk, "kaniko")
        for d in ("kaniko", "workspace", "proc", "dev", "etc", "tmp"):
            os.makedirs(os.path.join(self.root, d))
        shutil.copy(os.environ["BENCH_KANIKO"], self.root + "/kaniko/executor")
        for name in ("resolv.conf", "hosts", "nsswitch.conf"):
            if os.path.exists("/etc/" + name):
                shutil.copy("/etc/" + name, self.root + "/etc/" + name)

    def argv(self, context, image):
        script = ("mount --bind %s workspace && mount -t proc proc proc && mount --rbind /dev dev && exec chroot . /kaniko/executor "
                  "--context dir:///workspace --dockerfile /workspace/Dockerfile --destination %s --snapshot-mode=redo "
                  "--insecure --insecure-pull --force") % (context, image)
        return ["unshare", "-m", "--propagation", "private", "env", "-C", self.root, "sh", "-c", script]

    def programs(self):
        return [self.root + "/kaniko/executor"]

    def stop(self):
        pass


class Buildkit:
    name, wants = "buildkit", ["BENCH_BUILDKITD", "BENCH_BUILDCTL"]

    def __init__(self, host, disk, enter):
        self.socket = "unix://%s/buildkit.sock" % disk
        config = os.path.join(disk, "buildkitd.toml")
        with open(config, "w") as f:
            f.write('[worker.oci]\n  snapshotter = "overlayfs"\n[worker.containerd]\n  enabled = false\n[registry."%s"]\n  http = true\n' % host)
        with open(os.path.join(disk, "buildkitd.log"), "w") as log:
            self.daemon = subprocess.Popen([os.environ["BENCH_BUILDKITD"], "--root", disk + "/buildkit", "--addr", self.socket, "--config", config],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=enter)
        for _ in range(200):
            if os.path.exists(self.socket[len("unix://"):]):
                break
            time.sleep(0.05)

    def argv(self, context, image):
        return [os.environ["BENCH_BUILDCTL"], "--addr", self.socket, "build", "--progress=plain", "--frontend", "dockerfile.v0",
                "--local", "context=" + context, "--local", "dockerfile=" + context,
                "--output", "type=image,name=%s,push=true,registry.insecure=true" % image]

    def programs(self):
        return [os.environ[w] for w in self.wants]

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()


class Buildah:
    name, wants = "buildah", ["BENCH_BUILDAH"]

    def __init__(self, host, disk, enter):
        del host, enter
        self.disk = disk

    def argv(self, context, image):
        buildah = "%s --root %s/buildah --runroot %s/run --storage-driver overlay " % (os.environ["BENCH_BUILDAH"], self.disk, self.disk)
        script = "%s bud --layers --isolation chroot --tls-verify=false -t %s %s && %s push --tls-verify=false %s" % (
            buildah, image, context, buildah, image)
        return ["sh", "-c", script]

    def programs(self):
        return [os.environ["BENCH_BUILDAH"]]

    def stop(self):
        pass


def given():
    return [p for p in (Kaniko, Buildkit, Buildah) if all(os.environ.get(w) for w in p.wants)]
