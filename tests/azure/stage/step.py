"""One run of the program as an ordinary user, and what it left."""
import os
import shutil
import subprocess
import tempfile
import time

UID = 1000
STRICT = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all",
          "--no-new-privs"]
REPO = "testreg.azurecr.io/team/app"
SECONDS = 120


class Result:
    def __init__(self, code, stdout, stderr, seconds, out):
        self.code, self.stdout, self.stderr, self.seconds, self.out = code, stdout, stderr, seconds, out

    @property
    def text(self):
        return self.stdout + self.stderr

    def digest(self):
        for line in self.stdout.splitlines():
            if line.startswith("image: sha256:"):
                return line.split()[1].rstrip(",")
        return None


class Runner:
    def __init__(self, folder, program, ca):
        self.folder, self.ca = folder, ca
        self.program = shutil.copy(program, os.path.join(folder, "copyup"))
        self.all_output = []

    def own(self, path, data, mode=0o600):
        """A file that the step's user may read."""
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(path, mode)
        os.chown(path, UID, UID)
        return path

    def disown(self, path):
        os.unlink(os.path.join(self.folder, path))

    def run(self, env, dockerfile="FROM scratch\nCOPY f /f\n", files=None, after=None, seconds=SECONDS, keep=None):
        """after(process): called once it runs. keep: a file of `out` whose bytes are in self.kept afterwards."""
        home = tempfile.mkdtemp(dir=self.folder)
        for d in ("context", "state", "out"):
            os.mkdir(os.path.join(home, d))
        for name, data in dict({"f": b"content\n", "Dockerfile": dockerfile.encode()}, **(files or {})).items():
            with open(os.path.join(home, "context", name), "wb") as f:
                f.write(data)
            os.utime(f.name, (1600000000, 1600000000))
        subprocess.run(["chown", "-R", "%d:%d" % (UID, UID), home], check=True)
        base = {"PATH": "/usr/bin:/bin", "HOME": os.path.join(home, "out"), "PLUGIN_REPO": REPO, "PLUGIN_REGISTRY": "testreg.azurecr.io",
                "PLUGIN_TAGS": "t", "PLUGIN_CONTEXT": os.path.join(home, "context"), "PLUGIN_DOCKERFILE": os.path.join(home, "context/Dockerfile"),
                "PLUGIN_STATE_DIR": os.path.join(home, "state"), "SSL_CERT_FILE": self.ca, "PLUGIN_REPRODUCIBLE": "true",
                "PLUGIN_ARTIFACT_FILE": os.path.join(home, "out/artifact.json"), "DRONE_OUTPUT": os.path.join(home, "out/output.env")}
        base.update(env)
        env = {k: v.replace("@HOME@", home) for k, v in base.items() if v is not None}
        start = time.monotonic()
        p = subprocess.Popen(STRICT + [self.program], env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, errors="replace")
        if after:
            after(p)
        try:
            out, err = p.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            err += "\nstill running after %d s\n" % seconds
        left = {}
        for name in os.listdir(os.path.join(home, "out")):
            if name == keep:
                with open(os.path.join(home, "out", name), "rb") as f:
                    self.kept = f.read()
                continue
            with open(os.path.join(home, "out", name), errors="replace") as f:
                left[name] = f.read()
        shutil.rmtree(home, ignore_errors=True)
        self.all_output.append(out + err + "".join(left.values()))
        return Result(p.returncode, out, err, time.monotonic() - start, left)
