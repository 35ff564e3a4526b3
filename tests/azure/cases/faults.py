"""A fault at each request of one build. It ends with the same image as without, or it says why and no tag is there."""
import random
import re

from azure.acr import READER, WRITER
from azure.world import TENANT

from . import images
from .common import CLIENT, IDS, SECRET, application, twice_uploaded

BIG = random.Random(7).randbytes(3 << 20)
DOCKERFILE = ("FROM testreg.azurecr.io/base/tools\n"
              "COPY big /big\n"
              "COPY --from=other.azurecr.io/base/two /layer0 /from\n")
# What must change nothing.
MILD = {
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "500": {"status": 500},
    "503 with a page": {"status": 503, "body": "<html>busy", "headers": {"Content-Type": "text/html"}},
    "reset": {"reset": True},
    "reset in the request": {"eat": 10},
    "reset far into the request": {"eat": 1000000},
    "reset in the answer": {"reset_answer": 5},
    "reset far into the answer": {"reset_answer": 200000},
    "answer cut": {"cut": 5},
    "answer cut far into it": {"cut": 200000},
    "slow": {"slow": 1000000, "delay": 1},
    "redirected": {"redirect": True},
    "expired": {"expire": True},
}
# The connection stays open, and nothing moves on it any more. STALL_S: what the step takes for too long; ten times that for
# the answer to a body that was sent.
STALL_S, SILENCE_S = 1, 15
STALLED = {
    "no answer": {"hang": SILENCE_S},
    "stalled in the request": {"stop": 10, "seconds": SILENCE_S},
    "stalled far into the request": {"stop": 1000000, "seconds": SILENCE_S},
    "stalled in the answer": {"stall": 5, "seconds": SILENCE_S},
    "stalled far into the answer": {"stall": 200000, "seconds": SILENCE_S},
}
# What nobody can tell from the truth at once may end the build, but not where a digest tells.
LIES = {
    "answer shorter than it was": {"short": 20},
    "corrupted": {"corrupt": True},
}
CODES = (69, 77)
RETRIED = 1 << 20  # what a broken upload may send again beside what was on its way


def prepare(world):
    application(world)
    world.registries["other.azurecr.io"].roles[CLIENT] = {"*": READER}


def env(fault):
    patience = {"COPYUP_STALL_TIMEOUT": str(STALL_S)} if fault and {"hang", "stop", "stall"} & set(fault) else {}
    return dict(IDS, CLIENT_SECRET=SECRET, PLUGIN_TAGS="t,u", PLUGIN_VERBOSITY="trace", **patience)


def one_build(suite, fault=None):
    """(result, manifests of both tags, bytes sent to the registry, blobs that were uploaded twice)"""
    world = suite.world
    prepare(world)
    registry = world.registries["testreg.azurecr.io"]
    registry.forget("team/app")
    if fault:
        world.rules.append(dict(fault))
    result = suite.runner.run(env(fault), dockerfile=DOCKERFILE, files={"big": BIG})
    tags = [registry.manifest("team/app", tag) for tag in ("t", "u")]
    sent = sum(e["taken"] for e in world.log) + world.lost_bytes
    return result, tags, sent, twice_uploaded(world)


def judge_run(name, run, clean, mild):
    result, tags, sent, twice = run
    want, _, sent_clean, _ = clean
    bad = ["%s: %s" % (name, t) for t in twice]
    if result.code == 0:
        if result.digest() != want.digest():
            bad.append("%s: the image is %s, not %s" % (name, result.digest(), want.digest()))
        if any(t is None or t[0] != want.digest() for t in tags):
            bad.append("%s: a tag is missing or another image's" % name)
        if sent > sent_clean + 2 * RETRIED:
            bad.append("%s: %d bytes were sent, %d without the fault" % (name, sent, sent_clean))
        return bad
    if mild or result.code not in CODES:
        bad.append("%s: exit code %d" % (name, result.code))
    if not re.search(r"^error: .{20}", result.stderr, re.M):
        bad.append("%s: it does not say why" % name)
    if tags[0] and tags[0][0] != want.digest():
        bad.append("%s: another image was pushed" % name)
    if bad:
        bad.append(result.text[-3000:])
    return bad


def has_digest(request):
    """Is what it gets checked against a digest?"""
    return ".blob.core" in request or ("GET" in request and "/manifests/" in request)


def plan(suite, requests):
    """(position, name, fault, mild): all of them at the positions of this part, or one kind a position."""
    kinds = [(k, f, True) for k, f in MILD.items()] + [(k, f, True) for k, f in STALLED.items()] + [(k, f, False) for k, f in LIES.items()]
    first, step = suite.args.part if suite.args.full else (0, 1)
    for i, request in list(enumerate(requests))[first::step]:
        for kind, fault, mild in kinds if suite.args.full else [kinds[i % len(kinds)]]:
            yield i, kind, fault, mild or has_digest(request)


def run(suite):
    if not suite.wanted("fault at each request"):
        return
    world = suite.world
    application(world)
    images.small(world, "testreg.azurecr.io", "base/tools", (1000, 300000))
    images.small(world, "other.azurecr.io", "base/two", (400000,))
    clean = one_build(suite)
    if clean[0].code or None in clean[1]:
        return suite.say("fault at each request", ["without a fault: exit code %d" % clean[0].code], clean[0])
    known = {e["number"]: "%s %s %s" % (e["method"], e["host"], e["path"][:60]) for e in world.log}
    requests = [known.get(i, "?") for i in range(world.requests)]
    bad, failed, count, kinds = [], 0, 0, set()
    for i, kind, fault, mild in plan(suite, requests):
        trouble = judge_run("%s at request %d (%s)" % (kind, i, requests[i]), one_build(suite, dict(fault, at=i)), clean, mild)
        bad += trouble
        failed += bool(trouble)
        count += 1
        kinds.add(kind)
        if failed >= 8:
            break
    if len(requests) < 25 or len(kinds) < len(MILD) + len(STALLED) + len(LIES):
        bad.append("only %d requests, %d kinds of faults" % (len(requests), len(kinds)))
    suite.say("fault at each request: %d builds of %d requests, %d kinds" % (count, len(requests), len(kinds)), bad)
