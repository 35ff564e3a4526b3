"""The entries of a case's cache, for programs that change them: HOST and REPO are set."""
import json
import os
import urllib.error
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def call(method, path, data=None, headers=None):
    url = "http://%s/v2/%s/cache/%s" % (os.environ["HOST"], os.environ["REPO"], path)
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=headers or {}), timeout=60) as f:
        return json.loads(f.read() or b"null")


def all():
    """(tag, manifest) of each entry."""
    for tag in call("GET", "tags/list")["tags"]:
        if len(tag) == 64:
            yield tag, call("GET", "manifests/" + tag, headers={"Accept": MANIFEST})


def put(tag, manifest):
    """An entry whose layer is gone is refused (400): it is of no use anyway."""
    try:
        call("PUT", "manifests/" + tag, json.dumps(manifest).encode(), {"Content-Type": MANIFEST})
    except urllib.error.HTTPError as e:
        if e.code != 400:
            raise
