"""What the tests share: an application with every kind of proof, and the judgement of one run."""
import base64
import json
import os
import shutil
import subprocess
import time

from azure import jwt, pki
from azure.acr import READER, WRITER
from azure.world import TENANT

CLIENT = "cccccccc-0000-4000-8000-00000000000c"
OTHER_TENANT = "aaaaaaaa-0000-4000-8000-00000000ffff"
SECRET = "s3cr~t./+=&%value-of-the-application"
ISSUER, SUBJECT, AUDIENCE = "https://oidc.example/cluster", "system:serviceaccount:ci:builder", "api://AzureADTokenExchange"
IDS = {"CLIENT_ID": CLIENT, "TENANT_ID": TENANT}
TRACE = {"PLUGIN_VERBOSITY": "trace"}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def application(world, **rights):
    """An application that may push to testreg, unless told otherwise; its keys are made once."""
    world.reset()
    world.secrets.add(SECRET)
    app = world.entra.application(TENANT, CLIENT)
    app.secrets[SECRET] = True
    if not getattr(world, "keys_made", False):
        world.pki.application("app")
        world.pki.application("issuer")
        world.pki.application("stranger")
        world.keys_made = True
    thumb, _ = pki.thumbprint(world.pki.path("app.crt"))
    app.certificates[thumb] = world.pki.read("app.crt")
    app.federated.append((ISSUER, SUBJECT, AUDIENCE))
    world.entra.issuers[ISSUER] = world.pki.read("issuer.crt")
    for host, r in world.registries.items():
        r.roles[CLIENT] = rights.get("roles", {"*": WRITER} if host == "testreg.azurecr.io" else {})
        if not r.roles[CLIENT]:
            del r.roles[CLIENT]
    return app


def oidc(world, key="issuer", lifetime=600, **more):
    claims = dict({"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE}, **more)
    token = jwt.sign({"alg": "RS256", "typ": "JWT", "kid": "1"}, jwt.claims_of(lifetime, **claims), world.pki.path(key + ".key"))
    world.secrets.add(token)
    world.secrets.add(token.split(".")[2])
    return token


def docker_config(runner, world, entry, key="testreg.azurecr.io", name="config.json", **more):
    world.secrets |= {v for k, v in entry.items() if k != "username"}
    return runner.own("configs/" + name, json.dumps(dict({"auths": {key: entry}}, **more)))


def judge(suite, name, env, code=0, stderr=(), stdout=(), pushed=None, check=None, absent=(), tag=None, keep=False,
          **run):
    """Runs the step once and judges code, texts and that a tag is there exactly after success. keep: what the repository had stays."""
    if not suite.wanted(name):
        return None
    world = suite.world
    if callable(env):
        env = env(world, suite.runner)
    env = dict(TRACE, **env)
    repo = env.get("PLUGIN_REPO", "testreg.azurecr.io/team/app")
    host, path = repo.split("/", 1)
    tag = tag or env.get("PLUGIN_TAGS", "t")
    known = world.registries.get(world_alias(host))
    if known and not keep:
        known.forget(path)
    started = len(suite.runner.all_output)
    result = suite.runner.run(env, **run)
    bad = []
    if result.code != code:
        bad.append("exit code %d, not %d" % (result.code, code))
    for text in stderr:
        if text not in result.stderr:
            bad.append("stderr lacks '%s'" % text)
    for text in stdout:
        if text not in result.stdout:
            bad.append("stdout lacks '%s'" % text)
    for text in absent:
        if text in result.text:
            bad.append("output holds '%s'" % text)
    there = known.manifest(path, tag) if known else None
    if pushed is None:
        pushed = code == 0
    if known and pushed != bool(there):
        bad.append("the tag is there" if there else "there is no tag")
    if pushed and code == 0 and there and result.digest() != there[0]:
        bad.append("the registry has %s, the step says %s" % (there[0], result.digest()))
    bad += world.leaks + ["an attacker got %s" % (e,) for e in world.evil if any(s in repr(e) for s in world.secrets)]
    text = "".join(suite.runner.all_output[started:])
    bad += ["the secret %s... is in the output" % s[:12] for s in list(world.secrets) if s in text]
    bad += twice_uploaded(world)
    if check and not bad:
        bad += check(world, result) or []
    if known and there and code == 0 and not bad and suite.reachable and (suite.args.full or suite.count % 8 == 0):
        bad += read_back(suite, host, path, tag, there)
    suite.say(name, bad, result)
    return result


def twice_uploaded(world):
    """No blob is sent whole twice, but for those that the registry loses."""
    seen = [(host, repo, digest) for host, repo, digest, _ in world.uploaded]
    return ["%s was uploaded twice to %s" % (d, r) for _, r, d in {s for s in seen if seen.count(s) > 1}] if not world.lost_blobs else []


def read_back(suite, host, path, tag, there):
    """Other clients read what was pushed, and find it whole: skopeo pulls it, umoci unpacks it."""
    world, out = suite.world, os.path.join(suite.runner.folder, "read-back")
    registry = world.registries[world_alias(host)]
    before, rules = registry.__dict__.copy(), world.rules
    world.rules, world.upload_rate = [], 0
    registry.admin, registry.firewall = ("reader", "reader-password"), False
    env = dict(os.environ, SSL_CERT_FILE=world.pki.ca)
    shutil.rmtree(out, ignore_errors=True)
    bad = []
    for argv in (["skopeo", "copy", "--quiet", "--src-creds", "reader:reader-password", "docker://%s/%s:%s" % (host.lower(), path, tag), "dir:%s/dir" % out],
                 ["skopeo", "copy", "--quiet", "dir:%s/dir" % out, "oci:%s/oci:t" % out],
                 ["umoci", "unpack", "--rootless", "--image", "%s/oci:t" % out, out + "/bundle"]):
        os.makedirs(out, exist_ok=True)
        p = subprocess.run(argv, env=env, capture_output=True, text=True)
        if p.returncode:
            bad.append("%s: %s" % (" ".join(argv[:2]), p.stderr[-400:]))
            break
    if not bad and read(out + "/dir/manifest.json") != there[1]:
        bad.append("skopeo read another manifest")
    registry.__dict__.update(before)
    world.rules = rules
    shutil.rmtree(out, ignore_errors=True)
    suite.read_back += 1
    return bad


def world_alias(host):
    from azure.world import ALIASES
    return ALIASES.get(host, host)


def count(world, **want):
    """Requests in the log whose members are these."""
    return sum(all(e[k] == v for k, v in want.items()) for e in world.log)


def wait(seconds):
    time.sleep(seconds)
