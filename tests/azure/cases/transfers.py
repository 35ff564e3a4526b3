"""Pushes and pulls when things go wrong on the way, what is looked at before the build, and what is not sent at all."""
import json
import os
import random
import subprocess
import threading

from azure.acr import READER

from . import images
from .identities import SYSTEM, managed
from .common import CLIENT, IDS, SECRET, TENANT, application, count, judge, oidc, read_back, wait

AUTH, NETWORK = 77, 69
REPO = "team/app"
TESTREG = "testreg.azurecr.io"
MB = 1 << 20
COPY = "FROM scratch\nCOPY big /big\n"
BASE = "FROM testreg.azurecr.io/base/tools\nCOPY f /f\n"


def with_secret(change=None, **env):
    def setup(world, runner):
        application(world)
        if change:
            change(world)
        return dict(IDS, CLIENT_SECRET=SECRET, **env)
    return setup


def registry(world):
    return world.registries[TESTREG]


def change(**attributes):
    return lambda w: registry(w).__dict__.update(attributes)


def big(megabytes, seed=1):
    return {"big": random.Random(seed).randbytes(megabytes * MB)}


def sent(world):
    """Bytes that the registry was sent, also by requests that broke."""
    return sum(e["taken"] for e in world.log) + world.lost_bytes


def uploads(world, n):
    """Each blob once, and so many in all."""
    def check(w, result):
        digests = [(repo, digest) for _, repo, digest, _ in w.uploaded]
        bad = ["a blob was uploaded twice: %s" % d for d in set(digests) if digests.count(d) > 1]
        return bad + ([] if len(digests) == n else ["%d blobs were uploaded, not %d" % (len(digests), n)])
    return check


def put_tag(world):
    """The tag t is there."""
    registry(world).forget(REPO)
    images.small(world, TESTREG, REPO)
    registry(world).retag(REPO, "latest", "t")


def given_up(world, result):
    begun = count(world, method="POST", path="/v2/team/app/blobs/uploads/", status=202)
    ended = sum(e["method"] == "DELETE" and "/uploads/" in e["path"] for e in world.log)
    return [] if begun == ended == 1 else ["%d uploads begun, %d ended" % (begun, ended)]


def before_the_build(suite):
    def untouched(world, result):
        bad = ["a step was executed"] if "COPY" in result.stdout else []
        return bad + (["%d blobs were uploaded" % len(world.uploaded)] if world.uploaded else [])

    def lock_tag(world):
        registry(world).locked_tags.add((REPO, "t"))

    def lock_both(world):
        lock_tag(world)
        registry(world).forbid_metadata = True

    def known(lock):
        """The tag must be there to be locked, or the repository."""
        def setup(world, runner):
            env = with_secret(lock)(world, runner)
            put_tag(world)
            return env
        return setup

    tag, repo = "the tag 't' of 'testreg.azurecr.io/team/app' is locked", "the repository 'team/app' of registry 'testreg.azurecr.io' is locked"
    judge(suite, "before: a locked tag", known(lock_tag), AUTH, [tag, "az acr repository update --name testreg --image team/app:t --write-enabled true"],
          pushed=True, check=untouched, keep=True)
    judge(suite, "before: a locked repository", known(lambda w: registry(w).locked_repos.add(REPO)), AUTH,
          [repo, "az acr repository update --name testreg --repository team/app"], pushed=True, check=untouched, keep=True)
    judge(suite, "before: no right to push", with_secret(change(roles={CLIENT: {"*": READER}})), AUTH, ["refused push on repository 'team/app'"], check=untouched)
    judge(suite, "before: not looked at", with_secret(change(roles={CLIENT: {"*": READER}}), PLUGIN_SKIP_PUSH_PERMISSION_CHECK="true"), AUTH,
          ["refused push on repository 'team/app'"], stdout=["COPY f /f"])
    judge(suite, "before: a lock that we may not see shows at the push", known(lock_both), NETWORK,
          ["status 405: DENIED: The operation is disallowed", "hint: The repository or tag may be locked"], pushed=True, keep=True)


def existing(suite):
    def setup(lock):
        def make(world, runner):
            env = with_secret(PLUGIN_SKIP_PUSH_IF_TAG_EXISTS="true", PLUGIN_TAGS="t,u")(world, runner)
            put_tag(world)
            if lock:
                registry(world).locked_tags.add((REPO, "t"))
            suite.before = registry(world).manifest(REPO, "t")[0]
            return env
        return make

    def left_alone(world, result):
        bad = [] if registry(world).manifest(REPO, "t")[0] == suite.before else ["the tag was pushed over"]
        new = registry(world).manifest(REPO, "u")
        bad += [] if new and new[0] == result.digest() else ["the other tag was not pushed"]
        artifact = json.loads(result.out["artifact.json"])["data"]["images"]
        return bad + ([] if [i["image"] for i in artifact] == [TESTREG + "/team/app:u"] else ["the artifact file names %s" % artifact])

    def nothing(world, result):
        return ["something was pushed"] if world.uploaded or count(world, method="PUT") else []

    said = "note: testreg.azurecr.io/team/app:t is there already and is left alone"
    judge(suite, "existing tags: left alone", setup(False), stdout=[said, "pushed: testreg.azurecr.io/team/app:u"], tag="u", keep=True, check=left_alone)
    judge(suite, "existing tags: a locked one too", setup(True), stdout=[said], tag="u", keep=True, check=left_alone)

    def all_there(world, runner):
        return dict(setup(False)(world, runner), PLUGIN_TAGS="t")

    judge(suite, "existing tags: all of them", all_there, stdout=[said], tag="no", pushed=False, keep=True, check=nothing)


def mounts(suite):
    def base(world):
        images.small(world, TESTREG, "base/tools", (1000, 50000))
        world.uploaded.clear()

    judge(suite, "mount: a base's layers are not sent", with_secret(base), dockerfile=BASE, stdout=["2 mounted"], check=uploads(suite.world, 2))
    judge(suite, "mount: refused", with_secret(lambda w: base(w) or change(mount=False)(w)), dockerfile=BASE, stdout=["4 uploaded"], check=uploads(suite.world, 4))

    def no_right(world):
        base(world)
        registry(world).roles[CLIENT] = {"team/*": {"pull", "push", "metadata_read"}}
        registry(world).anonymous = True

    judge(suite, "mount: no right on the base's repository", with_secret(no_right), dockerfile=BASE, stdout=["4 uploaded"], check=uploads(suite.world, 4))


def repository_permissions(suite):
    """A registry that gives rights by repository (ABAC): what one lacks is not fatal where it can be done without."""
    def only(**rights):
        def set_up(world):
            images.small(world, TESTREG, "base/tools", (1000, 50000))
            world.uploaded.clear()
            registry(world).roles[CLIENT] = {name.replace("_", "/"): set(r.split()) for name, r in rights.items()}
        return set_up

    writer = "pull push"
    cache = {"PLUGIN_CACHE_REPO": "cache", "PLUGIN_ENABLE_CACHE": "true"}
    judge(suite, "by repository: a writer of one alone", with_secret(only(team_app=writer)))
    judge(suite, "by repository: no right on the cache", with_secret(only(team_app=writer), **cache), stdout=["cache"])
    judge(suite, "by repository: a reader of the cache", with_secret(only(team_app=writer, cache="pull"), **cache), stdout=["cache"])
    judge(suite, "by repository: a reader of the base", with_secret(only(team_app=writer, base_tools="pull")), dockerfile=BASE, stdout=["2 mounted"])
    judge(suite, "by repository: no right on the base", with_secret(only(team_app=writer)), AUTH, ["refused pull on repository 'base/tools'", "Container Registry Repository Reader"],
          dockerfile=BASE)
    judge(suite, "by repository: pull but not push", with_secret(only(team_app="pull", cache=writer), **cache), AUTH, ["refused push on repository 'team/app'"])


def manifests(suite):
    judge(suite, "manifest: blobs are not known yet", with_secret(change(unknown_blobs=2)))
    judge(suite, "manifest: a blob was lost", with_secret(change(lose_blobs=1)))
    judge(suite, "manifest: blobs are never known", with_secret(change(unknown_blobs=1000)), NETWORK, ["MANIFEST_BLOB_UNKNOWN: blob unknown to registry"])


def breaks(suite):
    """What is sent again after a break is what the registry did not get."""
    def broken(**fault):
        def add(world):
            world.rules.append(dict({"match": "PATCH .*uploads"}, **fault))
        return with_secret(add)

    def at_most(megabytes):
        return lambda w, r: [] if sent(w) < megabytes * MB else ["%d bytes were sent" % sent(w)]

    judge(suite, "break: an upload goes on", broken(eat=20 * MB), dockerfile=COPY, files=big(30), check=at_most(31))
    judge(suite, "break: an upload goes on again and again", broken(eat=6 * MB, times=4), dockerfile=COPY, files=big(30), check=at_most(33))
    judge(suite, "break: a registry that forgets", with_secret(lambda w: w.rules.append({"match": "PATCH .*uploads", "eat": 20 * MB}) or change(keep_partial=False)(w)),
          dockerfile=COPY, files=big(30), check=at_most(51))
    judge(suite, "break: the session is lost", broken(lost=True, times=1), dockerfile=COPY, files=big(30), check=at_most(62))

    def base(world):
        images.small(world, "other.azurecr.io", "base/large", (30 * MB,))
        world.registries["other.azurecr.io"].roles[CLIENT] = {"*": READER}
        world.rules.append({"match": "blob.core.windows.net", "cut": 20 * MB, "skip": 1})
        world.rules.append({"match": "blob.core.windows.net", "reset_answer": 5 * MB, "skip": 1})

    def received(world, result):
        n = sum(e.get("given", 0) for e in world.log if "blob.core" in e["host"])
        ranges = [e["range"] for e in world.log if e["range"] and "blob.core" in e["host"]]
        return ([] if n < 36 * MB else ["%d bytes were received" % n]) + ([] if len(ranges) == 2 else ["ranges: %s" % ranges])

    def stalled(world):
        other = world.registries["other.azurecr.io"]
        other.roles[CLIENT] = {"*": READER}
        tools = images.small(world, other.host, "base/tools")[0][7:]
        world.rules.append({"match": "blob.core.*" + tools, "delay": 3})  # the other download begins before that part fails
        suite.stalled = images.small(world, other.host, "base/large", (2 * MB,))[0][7:]
        world.rules.append({"match": "blob.core.*" + suite.stalled, "stall": 1000, "seconds": 200, "times": -1})

    def had_begun(world, result):
        return [] if any(suite.stalled in e["path"] and "blob.core" in e["host"] for e in world.log) else ["the download had not begun"]

    judge(suite, "break: a download that stands still ends when another part of the build fails", with_secret(stalled, COPYUP_STALL_TIMEOUT="600"), 65,
          ["/none"], dockerfile="FROM scratch AS bad\nCOPY --from=other.azurecr.io/base/tools /none /x\n"
          "FROM scratch\nCOPY --from=other.azurecr.io/base/large /layer0 /x\nCOPY --from=bad /x /y\n", check=had_begun)
    judge(suite, "break: a download goes on", with_secret(base), dockerfile="FROM scratch\nCOPY --from=other.azurecr.io/base/large /layer0 /x\n", check=received)


def streams(suite):
    """A large layer with something of this build in it is sent while it is being compressed; one of old files is asked for first."""
    fresh = "FROM scratch\nCOPY big /new/big\n"  # the directory is of now

    def early(change=None, rate=0, **fault):
        def setup(world):
            world.upload_rate = rate
            if fault:
                world.rules.append(dict({"match": "PATCH .*uploads"}, **fault))
            if change:
                change(world)
        return with_secret(setup, PLUGIN_REPRODUCIBLE=None)

    def patches(world):
        return [e["content_range"] for e in world.log if e["method"] == "PATCH"]

    def in_pieces(world, result):
        ranges = [tuple(map(int, r.split("-"))) for r in patches(world) if r]
        good = len(ranges) >= 2 and ranges[0][0] == 0 and all(b[0] == a[1] + 1 for a, b in zip(ranges, ranges[1:]))
        asked = sum(e["method"] == "HEAD" and "/blobs/" in e["path"] for e in world.log)
        return ([] if good else ["pieces: %s" % ranges]) + ([] if asked == 1 else ["%d blobs were asked for" % asked]) + uploads(world, 2)(world, result)

    def at_most(megabytes):
        return lambda w, r: ([] if sent(w) < megabytes * MB else ["%d bytes were sent" % sent(w)]) + uploads(w, 2)(w, r)

    def whole(world, result):
        return [] if [r for r in patches(world) if r] == [] else ["it was sent in pieces"]

    judge(suite, "stream: in pieces", early(), dockerfile=fresh, files=big(40), check=in_pieces)
    judge(suite, "stream: old files are asked for", early(), dockerfile=COPY, files=big(40), check=whole)
    judge(suite, "stream: a piece breaks", early(eat=5 * MB, skip=1), dockerfile=fresh, files=big(40), check=at_most(41))
    judge(suite, "stream: the session is lost", early(lost=True, skip=1, times=1), dockerfile=fresh, files=big(40), check=at_most(80))
    for name, fault in (("throttled", {"status": 429, "headers": {"Retry-After": "1"}}), ("an error", {"status": 500}), ("reset", {"reset": True}),
                        ("expired", {"expire": True})):
        judge(suite, "stream: " + name, early(skip=1, **fault), dockerfile=fresh, files=big(40), check=at_most(81))
    judge(suite, "stream: refused once, and pushed at the end", early(skip=1, status=400), dockerfile=fresh, files=big(40), check=at_most(81))
    judge(suite, "stream: never allowed", early(status=403, times=-1), AUTH, ["refused push on repository 'team/app'"], dockerfile=fresh, files=big(40))

    judge(suite, "stream: the build fails meanwhile", early(rate=4 * MB), 65,
          ["/none", "debug: build: a layer is left to the push: stopped because another part of the build failed"], files=big(40), check=given_up,
          dockerfile="FROM scratch AS a\nCOPY big /new/big\nFROM a\nCOPY --from=a /none /x\n")

    def stop_under_way(process):
        before = set(registry(suite.world).uploads)

        def work():
            while process.poll() is None and not any(u["size"] for uid, u in list(registry(suite.world).uploads.items()) if uid not in before):
                wait(0.02)
            process.terminate()
        threading.Thread(target=work, daemon=True).start()

    judge(suite, "stream: told to stop meanwhile", early(rate=4 * MB), 143, ["debug: build: a layer is left to the push: the step was told to stop"],
          dockerfile=fresh, files=big(40), after=stop_under_way, check=given_up)


def short_lives(suite):
    """Every token ends many times while one blob is sent."""
    seconds = 60 if suite.args.full else 15

    def short(world):
        world.token_lifetime = world.refresh_lifetime = world.entra_lifetime = 2
        world.upload_rate = 20 * MB / seconds

    def twice_as_fast(world):
        short(world)
        world.upload_rate *= 2

    def rotated(world, runner):
        """The kubelet replaces the token's file; each ends soon."""
        application(world)
        world.token_lifetime = world.refresh_lifetime = world.entra_lifetime = 2
        world.upload_rate = 20 * MB / 15
        path = runner.own("secrets/rotated", oidc(world, lifetime=3))
        suite.rotated = path
        return {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "AZURE_FEDERATED_TOKEN_FILE": path}

    def rotate(process):
        def work():
            while process.poll() is None:
                suite.runner.own("secrets/next", oidc(suite.world, lifetime=3))
                os.rename(os.path.join(suite.runner.folder, "secrets/next"), suite.rotated)
                wait(1)
        threading.Thread(target=work, daemon=True).start()

    judge(suite, "tokens: a federated token's file is read again", rotated, dockerfile=COPY, files=big(20), after=rotate,
          check=lambda w, r: [] if count(w, host="login.microsoftonline.com", status=200) > 1 else ["Entra ID was asked but once"])
    judge(suite, "tokens that live two seconds", with_secret(short), dockerfile=COPY, files=big(20), check=lambda w, r: [
    ] if r.seconds > seconds * 0.8 and count(w, path="/oauth2/token") > 1 else ["it took %.0f s, %d tokens" % (r.seconds, count(w, path="/oauth2/token"))])

    def machine_identity(world, runner):
        managed(world, SYSTEM)
        short(world)
        return {}

    def by_oidc(lifetime, refresh=2):
        """The token is given once; it may end long before the push does, if what it was exchanged for lives."""
        def setup(world, runner):
            application(world)
            short(world)
            world.refresh_lifetime = refresh
            return dict(IDS, PLUGIN_OIDC_TOKEN_ID=oidc(world, lifetime=lifetime))
        return setup

    def in_pieces(world):
        """After a break it goes on in pieces, with another token each time, of which one is refused in the middle."""
        twice_as_fast(world)
        world.rules += [{"match": "PATCH .*uploads", "eat": MB}, {"match": "PATCH .*uploads", "expire": True, "skip": 1}]

    def several(host, path, at_least=2):
        return lambda w, r: [] if count(w, host=host, path=path, status=200) >= at_least else ["%s%s was asked %d times" % (
            host, path, count(w, host=host, path=path, status=200))]

    def took_long(w, r):
        return [] if r.seconds > seconds * 0.8 else ["it took %.0f s" % r.seconds]

    judge(suite, "tokens that live two seconds: managed identity", machine_identity, dockerfile=COPY, files=big(20),
          check=lambda w, r: took_long(w, r) + several("imds", "/metadata/identity/oauth2/token")(w, r))
    judge(suite, "tokens that live two seconds: OIDC", by_oidc(600), dockerfile=COPY, files=big(20),
          check=lambda w, r: took_long(w, r) + several("login.microsoftonline.com", "/%s/oauth2/v2.0/token" % TENANT)(w, r))
    judge(suite, "tokens that live two seconds: OIDC's own ends, the registry's does not", by_oidc(5, 600), dockerfile=COPY, files=big(20), check=took_long)
    judge(suite, "tokens that live two seconds: OIDC's own ends, and the registry's too", by_oidc(5), AUTH, ["AADSTS700024", "It ended "],
          dockerfile=COPY, files=big(20))
    judge(suite, "tokens that live two seconds: an upload in pieces", with_secret(in_pieces), dockerfile=COPY, files=big(40),
          check=lambda w, r: several(TESTREG, "/oauth2/token", 3)(w, r) + ([] if sent(w) < 60 * MB else ["%d bytes were sent" % sent(w)]) +
          ([] if sum(e["method"] == "PATCH" and e["status"] == 202 for e in w.log) >= 3 else ["not in pieces"]))
    judge(suite, "tokens that live two seconds: an upload while it is compressed", with_secret(twice_as_fast, PLUGIN_REPRODUCIBLE=None), dockerfile="FROM scratch\nCOPY big /new/big\n",
          files=big(40), check=several(TESTREG, "/oauth2/token", 3))

    def unknown(times):
        return with_secret(lambda w: w.rules.append({"match": "POST /v2/.*uploads", "expire": True, "skip": 1, "times": times}))

    judge(suite, "tokens: a new one is not known at once", unknown(1))
    judge(suite, "tokens: no new one is ever known", unknown(-1), AUTH, ["status 401: UNAUTHORIZED"],
          check=lambda w, r: [] if count(w, path="/oauth2/token") <= 3 else ["%d tokens" % count(w, path="/oauth2/token")])


def twice(suite):
    """A second push of the same image sends no blob; two pods may push it at once."""
    if not suite.wanted("push twice"):
        return
    world = suite.world
    env = dict(with_secret()(world, suite.runner), PLUGIN_VERBOSITY="trace")
    registry(world).forget(REPO)
    first = suite.runner.run(env, dockerfile=COPY, files=big(5))
    bad = uploads(world, 2)(world, first)
    world.uploaded.clear()
    world.log.clear()
    second = suite.runner.run(env, dockerfile=COPY, files=big(5))
    bad += uploads(world, 0)(world, second)
    bad += ["%s %s" % (e["method"], e["path"]) for e in world.log if e["method"] == "PATCH"]
    if first.digest() != second.digest() or first.code or second.code:
        bad.append("codes %d, %d; %s, then %s" % (first.code, second.code, first.digest(), second.digest()))
    suite.say("push twice: the second sends no blob", bad, second)
    registry(world).forget(REPO)
    results = []
    world.uploaded.clear()
    world.upload_rate = 2 * MB  # so that neither is done before the other has begun
    threads = [threading.Thread(target=lambda: results.append(suite.runner.run(env, dockerfile=COPY, files=big(5)))) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    bad = ["exit code %d" % r.code for r in results if r.code] + ([] if {r.digest() for r in results} == {first.digest()} else ["other digests"])
    there = registry(world).manifest(REPO, "t")
    bad += [] if there and there[0] == first.digest() else ["the tag is not right"]
    bad += [] if sum(size > MB for _, _, _, size in world.uploaded) == 2 else ["they did not push at once: %s" % world.uploaded]
    world.upload_rate = 0
    suite.say("push twice: at once", bad, results[0])
    suite.say("push twice: read back", read_back(suite, TESTREG, REPO, "t", there) if there else ["there is nothing"], first)


def push_only(suite):
    """What a build wrote is pushed by another step as the same image."""
    if not suite.wanted("push only"):
        return
    world, runner = suite.world, suite.runner
    for form in ("docker", "oci"):
        built = runner.run({"PLUGIN_NO_PUSH": "true", "PLUGIN_TAR_PATH": "@HOME@/out/image.tar", "PLUGIN_IMAGE_FORMAT": form}, keep="image.tar",
                           dockerfile=COPY, files=big(2))
        env = dict(PLUGIN_PUSH_ONLY="true", PLUGIN_SOURCE_TAR_PATH=runner.own("image-%s.tar" % form, runner.kept))
        judge(suite, "push only: what was built, format " + form, with_secret(**env), absent=["COPY"], check=lambda w, r: [
        ] if r.digest() == built.digest() and built.digest() else ["%s was built, %s pushed" % (built.digest(), r.digest())])
    judge(suite, "push only: an upload breaks", with_secret(lambda w: w.rules.append({"match": "PATCH .*uploads", "eat": MB}), **env))

    def locked(world, runner):
        made = with_secret(**env)(world, runner)
        put_tag(world)
        registry(world).locked_tags.add((REPO, "t"))
        return made

    judge(suite, "push only: a locked tag", locked, AUTH, ["the tag 't' of 'testreg.azurecr.io/team/app' is locked"], pushed=True, keep=True, check=given_up)
    judge(suite, "push only: tag exists", lambda w, r: dict(with_secret(**env)(w, r), PLUGIN_SKIP_PUSH_IF_TAG_EXISTS="true"))


def run(suite):
    for part in (before_the_build, existing, mounts, repository_permissions, manifests, breaks, streams, short_lives, twice, push_only):
        part(suite)
