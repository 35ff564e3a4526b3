"""Debian's docker-registry on a free loopback port, and the few requests that the tests make to it."""
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

from lib import image


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Registry:
    """users: {name: password} makes it ask for basic authentication."""

    def __init__(self, folder, users=None):
        os.makedirs(folder)
        self.storage = os.path.join(folder, "storage")
        self.host = "127.0.0.1:%d" % free_port()
        self.auth = next(iter((users or {}).items()), None)
        config = {"version": "0.1", "log": {"level": "warn", "accesslog": {"disabled": True}},
                  "storage": {"filesystem": {"rootdirectory": self.storage}, "delete": {"enabled": True}},
                  "http": {"addr": self.host}}
        if users:
            htpasswd = os.path.join(folder, "htpasswd")
            for i, (user, password) in enumerate(users.items()):
                subprocess.run(["htpasswd", "-iB" + ("c" if i == 0 else ""), htpasswd, user], input=password.encode(), check=True,
                               stderr=subprocess.DEVNULL)
            config["auth"] = {"htpasswd": {"realm": "test", "path": htpasswd}}
        self.more(config)
        path = os.path.join(folder, "config.yml")  # JSON is YAML
        with open(path, "w") as f:
            json.dump(config, f)
        with open(os.path.join(folder, "log"), "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    def more(self, config):
        """For those who want another configuration."""

    def wait(self):
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", int(self.host.split(":")[1]))) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("docker-registry does not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def call(self, method, path, data=None, headers=None):
        url = path if path.startswith("http") else "http://" + self.host + path
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        if self.auth:
            import base64
            request.add_header("Authorization", "Basic " + base64.b64encode(":".join(self.auth).encode()).decode())
        with urllib.request.urlopen(request, timeout=60) as f:
            return f.headers, f.read()

    def push_blob(self, name, digest, data):
        headers, _ = self.call("POST", "/v2/%s/blobs/uploads/" % name, b"")
        place = headers["Location"]
        self.call("PUT", "%s%sdigest=%s" % (place, "&" if "?" in place else "?", digest), data,
                  {"Content-Type": "application/octet-stream"})

    def push_manifest(self, name, tag, media_type, data):
        self.call("PUT", "/v2/%s/manifests/%s" % (name, tag), data, {"Content-Type": media_type})

    def manifest(self, name, tag):
        """(digest, parsed manifest), or None if there is no such tag."""
        try:
            headers, data = self.call("GET", "/v2/%s/manifests/%s" % (name, tag), headers={"Accept": ", ".join(image.MANIFESTS)})
        except urllib.error.HTTPError as e:
            if e.code == 404:
                return None
            raise
        digest = image.sha256(data)
        if headers["Docker-Content-Digest"] != digest:
            raise image.Bad("the registry's digest of %s:%s is not that of the bytes" % (name, tag))
        return digest, json.loads(data)

    def tags(self, name):
        try:
            return json.loads(self.call("GET", "/v2/%s/tags/list" % name)[1])["tags"] or []
        except urllib.error.HTTPError as e:
            if e.code == 404:
                return []
            raise

    def spoil(self, digest):
        """Changes one byte of a stored blob, so that it lies about its digest."""
        path = os.path.join(self.storage, "docker/registry/v2/blobs/sha256", digest[7:9], digest[7:], "data")
        with open(path, "r+b") as f:
            f.seek(-1, os.SEEK_END)
            last = f.read(1)
            f.seek(-1, os.SEEK_END)
            f.write(bytes([last[0] ^ 1]))
