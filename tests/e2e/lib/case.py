"""The directory of a case: what is written in it, and the build context that is made of it."""
import os
import re
import shutil
import subprocess

from lib import bases, expect

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "fixtures")
NOT_CONTEXT = {"env", "exit", "case.conf", "prepare", "check", "stdout.glob", "stderr.glob", "image.json", "files.txt", "layers.txt",
               "crun.json", "README"}
CONTEXT_TIME = 1600000000


class Folder:
    """words: what is replaced in all texts of the case."""

    def __init__(self, folder, name, words):
        self.name, self.source, self.words = name, os.path.join(folder, name), dict(words)
        self.conf = self.pairs("case.conf")

    def path(self, name):
        return os.path.join(self.source, name)

    def has(self, name):
        return os.path.exists(self.path(name))

    def read(self, name):
        """Text as it stands there, whatever its line ends and bytes are."""
        with open(self.path(name), newline="", encoding="utf-8", errors="surrogateescape") as f:
            return f.read()

    def pairs(self, name):
        if not self.has(name):
            return {}
        return dict((s.strip() for s in line.split("=", 1)) for line in expect.read(self.path(name)))

    def exit_code(self):
        return int(self.read("exit")) if self.has("exit") else 0

    def fill(self, text):
        for key, value in self.words.items():
            text = text.replace(key, value)
        return text

    def bases(self):
        """The base images that the Dockerfile names, the last one first: it is likely to be that of the image."""
        found = re.findall(r"@(?:AUTH_)?REGISTRY@/base/([a-z-]+)", self.read("Dockerfile"))
        return [b for b in dict.fromkeys(reversed(found)) if b in bases.MAKERS or b in bases.DEBIANS]

    def mentions(self, words):
        return any(word in self.read(name) for word in words for name in os.listdir(self.source)
                   if os.path.isfile(self.path(name)))

    def make_context(self, context, uid, as_user=False):
        """The context belongs to the user, as a cloned repository does; `prepare` is root's, or the user's."""
        os.makedirs(context)
        if self.has("context"):
            shutil.copytree(self.path("context"), context, symlinks=True, dirs_exist_ok=True)
        for name in os.listdir(self.source):
            if name not in NOT_CONTEXT | {"context"} and not os.path.isdir(self.path(name)):
                with open(os.path.join(context, name), "w", newline="", encoding="utf-8", errors="surrogateescape") as out:
                    out.write(self.fill(self.read(name)))
        for top, _, names in os.walk(context, topdown=False):
            for path in [os.path.join(top, n) for n in names] + [top]:
                same_everywhere(path, uid)
        if self.has("prepare"):
            user = {"user": uid, "group": uid, "extra_groups": [], "umask": 0o022} if as_user else {}
            subprocess.run([self.path("prepare")], cwd=context, check=True, stdin=subprocess.DEVNULL,
                           env=dict(os.environ, FIXTURES=FIXTURES), **user)


def same_everywhere(path, uid):
    """The same owner, bits and time wherever and by whomever the repository was checked out."""
    os.chown(path, uid, uid, follow_symlinks=False)
    if not os.path.islink(path):
        os.chmod(path, 0o755 if os.path.isdir(path) or os.stat(path).st_mode & 0o100 else 0o644)
    os.utime(path, (CONTEXT_TIME, CONTEXT_TIME), follow_symlinks=False)
