"""The small cases of conformance/: what one build changes, told whole. They share a state directory for each snapshotter,
push nothing and start no other program than `prepare` and copyup, so that there can be hundreds."""
import os
import shutil
import signal
import subprocess

from lib import cached, case, changes, expect, image

SECONDS = 60
OUTPUTS = {"layout": "PLUGIN_OCI_LAYOUT_PATH", "archive": "PLUGIN_TAR_PATH"}
# name: the snapshotter, which kind of file the image becomes, the user
CONTEXTS = {"overlay": ("overlay", "layout", 1000), "copy": ("copy", "archive", 1000),
            "root-overlay": ("overlay", "archive", 0), "root-copy": ("copy", "layout", 0)}
USUAL = ["overlay", "copy"]


class Case(case.Folder):
    """setpriv: how a process becomes a user: {uid: arguments}. update: expectations are written, not compared."""

    def __init__(self, world, name, context, setpriv, update=False):
        super().__init__(os.path.join(world.here, "conformance"), name, world.words)
        self.world, self.context, self.update = world, context, update
        self.snapshotter, self.output, self.uid = CONTEXTS[context]
        self.setpriv = setpriv[self.uid]
        self.home = os.path.join(world.seen_folder, "%s-%s" % (name.replace("/", "-"), context))
        self.words["@CONTEXT@"] = os.path.join(self.home, "context")
        self.image = os.path.join(self.home, "out", "image")
        self.bad = []
        self.cached = world.args.cached and not self.exit_code() and not update
        self.more_env = {}

    def environment(self):
        context = self.words["@CONTEXT@"]
        env = {"PATH": "/usr/bin:/bin", "HOME": self.home + "/empty", "TMPDIR": self.home + "/empty", "PLUGIN_REPO": "conformance/case",
               "PLUGIN_NO_PUSH": "true", "PLUGIN_INSECURE_PULL": "true", "PLUGIN_CONTEXT": context,
               "PLUGIN_DOCKERFILE": context + "/Dockerfile", "PLUGIN_STATE_DIR": self.world.state(self.context),
               "COPYUP_SNAPSHOTTER": self.snapshotter, OUTPUTS[self.output]: self.image}
        env.update((key, self.fill(value)) for key, value in self.pairs("env").items())
        env.update(self.more_env)
        return {k: v for k, v in env.items() if v != "@UNSET@"}

    def launch(self):
        """(exit code, stdout, stderr)"""
        argv = ["/usr/bin/setpriv"] + self.setpriv + [self.world.program]
        p = subprocess.Popen(argv, cwd=self.home + "/empty", env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        try:
            stdout, stderr = p.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
            raise
        return p.returncode, stdout, stderr

    def run(self):
        for d in ("empty", "out"):
            os.makedirs(os.path.join(self.home, d))
            os.chown(os.path.join(self.home, d), self.uid, self.uid)
        self.make_context(self.words["@CONTEXT@"], self.uid, as_user=True)
        if self.cached:
            self.use_cache()
        code, stdout, stderr = self.launch()
        for name, text in (("stdout", stdout), ("stderr", stderr)):
            with open(os.path.join(self.home, name), "w") as f:
                f.write(text)
            if self.has(name + ".glob") and not self.cached:
                self.bad += expect.globs(self.path(name + ".glob"), text, name, self.fill)
        self.judge_end(code, stderr)
        if code == 0 and not self.bad:
            self.judge_image()
        if self.cached and not self.bad:
            self.judge_again()
        return self.bad

    def use_cache(self):
        """A repository of its own for the layers of all steps."""
        repo = "cached/" + self.name.lower().replace("/", "-") + "-" + self.context
        self.more_env = {"PLUGIN_ENABLE_CACHE": "true", "PLUGIN_CACHE_REPO": self.world.registries["open"].host + "/" + repo,
                         "PLUGIN_INSECURE_REGISTRY": self.world.registries["open"].host}

    def judge_again(self):
        """From an empty state directory and a full cache: no step is executed, and the image is what it should be."""
        state = os.path.join(self.home, "state")
        os.makedirs(state)
        os.chown(state, self.uid, self.uid)
        shutil.rmtree(self.image) if os.path.isdir(self.image) else os.unlink(self.image)
        self.more_env["PLUGIN_STATE_DIR"] = state
        code, stdout, stderr = self.launch()
        self.judge_end(code, stderr)
        if not self.bad:
            self.judge_image()
        self.bad += cached.judge_executed(stdout, self)
        self.bad += left_in_state(state)
        self.bad = ["with a full cache: " + b for b in self.bad]
        shutil.rmtree(state)

    def judge_end(self, code, stderr):
        if code != self.exit_code():
            self.bad.append("exit code %d, not %d" % (code, self.exit_code()))
        if self.exit_code() and "error: " not in stderr:
            self.bad.append("it failed without an error message")
        if self.exit_code() and os.path.exists(self.image):
            self.bad.append("it failed and left an image")
        if os.listdir(self.home + "/empty"):
            self.bad.append("left behind: %s" % os.listdir(self.home + "/empty"))

    def judge_image(self):
        reader = {"layout": image.read_layout, "archive": image.read_archive}[self.output]
        config, layers = reader(self.image)[:2]
        base = changes.find_base([self.world.known[b] for b in self.bases()], config)
        tree = changes.tree_of(layers, base)
        text = self.fill(self.read("image.json")) if self.has("image.json") else None
        if self.update:
            changes.write_files(self.path("files.txt"), tree, base.tree)
            changes.write_config(self.path("image.json"), text, config, base.document)
            return
        self.bad += changes.judge_files(self.path("files.txt") if self.has("files.txt") else None, tree, base.tree)
        self.bad += changes.judge_config(text, config, base.document)
        if self.has("layers.txt"):
            self.bad += expect.layers(self.path("layers.txt"), layers)


def left_in_state(folder):
    """What the builds left of themselves in a state directory."""
    builds = os.path.join(folder, "builds")
    return ["the state directory still has builds/%s" % n for n in os.listdir(builds)] if os.path.isdir(builds) else []

