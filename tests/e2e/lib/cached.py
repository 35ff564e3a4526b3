"""The cases with a pod of their own, with a cache: an image that is built without a cache, with an empty one, and from an
empty state directory with a full one must be the same three times. Nothing that the build makes has a time of its own there
(PLUGIN_REPRODUCIBLE), so that the same means: the same digest."""
import fnmatch
import json
import os
import re

from lib import image

EXECUTED = re.compile(r"^\[.*\d+/\d+\] .*  \d+\.\ds(  layer .*)?$", re.M)
WITHOUT_CACHE = {"PLUGIN_SINGLE_SNAPSHOT", "PLUGIN_SQUASH"}
EPOCH = "SOURCE_DATE_EPOCH"


def why_not(case):
    """What a case is about that a build with a cache says nothing of; None: it is built with one. case: its directory, filled."""
    settings = case.pairs("env")
    reasons = [("it ends with an error", case.exit_code() != 0),
               ("it is about what is between builds, or is stopped",
                any(n.startswith("build-") for n in os.listdir(case.source)) or {"kills", "signal"} & set(case.conf)),
               ("it sets the cache itself", any(n.startswith(("PLUGIN_CACHE", "PLUGIN_ENABLE_CACHE")) for n in settings)),
               ("it builds nothing", "arguments" in case.conf or "PLUGIN_PUSH_ONLY" in settings)]
    return next((text for text, true in reasons if true), None)


def environment(case, tag):
    """The settings of one of the builds, besides the case's own."""
    own = case.read("Dockerfile") + (case.read("env") if case.has("env") else "")
    return {"PLUGIN_TAGS": tag, "PLUGIN_NO_PUSH": "false", "PLUGIN_REPRODUCIBLE": "true", **({} if EPOCH in own else {EPOCH: "1600000000"})}


def judge(case, build):
    """Complaints. build(settings): builds it from an empty state directory; its report."""
    cache = {"PLUGIN_ENABLE_CACHE": "true", "PLUGIN_CACHE_REPO": case.words["@REPO@"] + "/cache"}
    bad, found = [], {}
    for name, more in (("uncached", {}), ("cold", cache), ("full", cache)):
        report = build({**environment(case, name), **more})
        if report["code"] != 0:
            return ["%s: exit code %d: %s" % (name, report["code"], report["stderr"].strip()[-500:])]
        found[name] = case.registry.manifest(case.repo, name)
    bad += ["full: " + text for text in judge_executed(report["stdout"], case)]
    bad += compare(case, found, "uncached", "cold", case.conf.get("varies", "").split())
    return bad + compare(case, found, "cold", "full", [])


def judge_executed(stdout, case):
    """Complaints of a step that a full cache should have had."""
    executed = EXECUTED.search(stdout)
    return ["a step is executed again: %s" % executed.group()] if executed and not WITHOUT_CACHE & set(case.pairs("env")) else []


# ---- what differs ----

def compare(case, found, one, other, varies):
    """varies: patterns of paths whose content is another one in each build that executes the steps."""
    if found[one][0] == found[other][0]:
        return []
    out = differences(images(case, found[one]), images(case, found[other]), varies)
    if not out and not varies:
        out = ["other documents or compressed bytes"]
    return ["%s %s, %s %s: %s" % (one, found[one][0][:15], other, found[other][0][:15], text) for text in out[:10]]


def images(case, found):
    """The images of a tag: [(configuration, layers' bytes)]."""
    def blob(desc):
        return case.registry.call("GET", "/v2/%s/blobs/%s" % (case.repo, desc["digest"]))[1]

    entries = found[1].get("manifests")
    documents = [case.registry.manifest(case.repo, d["digest"])[1] for d in entries] if entries else [found[1]]
    return [(json.loads(blob(d["config"])), [image.unpack(blob(layer)) for layer in d["layers"]]) for d in documents]


def differences(one, other, varies):
    if [len(layers) for _, layers in one] != [len(layers) for _, layers in other]:
        return ["another number of layers or images"]
    out = []
    for (config, layers), (config_2, layers_2) in zip(one, other):
        out += ["%s is %s, was %s" % (k, json.dumps(config_2.get(k)), json.dumps(config.get(k)))
                for k in sorted(set(config) | set(config_2)) if k != "rootfs" and config.get(k) != config_2.get(k)]
        for i, (a, b) in enumerate(zip(layers, layers_2)):
            out += ["layer %d: %s" % (i, text) for text in layer_differences(a, b, varies)] if a != b else []
    return out


def layer_differences(a, b, varies):
    one, other = entries(a, varies), entries(b, varies)
    if one == other and not varies:
        return ["other bytes for the same entries"]
    return ["/%s is %s, was %s" % (n, other.get(n), one.get(n)) for n in sorted(set(one) | set(other)) if one.get(n) != other.get(n)]


def entries(layer, varies):
    out = {}
    for tar, m in image.members(layer):
        out[m.name] = image.describe(tar, m)
        if any(fnmatch.fnmatchcase("/" + image.clean(m.name), pattern) for pattern in varies):
            for key in ("size", "sha256", "text"):
                out[m.name].pop(key, None)
    return out
