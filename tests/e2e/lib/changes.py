"""What a build changed in its base image, whole: every path and every member of the configuration that differs, as text.
A case tells all of it, so that nothing else may change."""
import fnmatch
import json

from lib import expect, image

ROOT = {"type": "dir", "mode": "0755", "uid": "0", "gid": "0"}
SCRATCH = {"architecture": "amd64", "os": "linux",
           "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "WorkingDir": "/"}}
LINE = 80  # bytes of content that are shown as text
OPTIONAL = ("mtime", "size", "sha256", "text")  # compared where the case tells them


class Base:
    """A base image: what built images are compared with."""

    def __init__(self, made=None):
        self.document = made.document if made else SCRATCH
        self.ids = made.document["rootfs"]["diff_ids"] if made else []
        self.tree = made.tree() if made else {}
        self.tree.setdefault("", ROOT)

    def is_below(self, config):
        return config["rootfs"]["diff_ids"][:len(self.ids)] == self.ids


# ---- files ----

def hard_links(tree):
    """path -> the sorted names of the same file."""
    groups = {}
    for path in sorted(tree):
        groups.setdefault(id(tree[path]), []).append(path)
    return {path: groups[id(tree[path])] for path in tree}


def same(have, had):
    """A directory's time does not count: it changes with what is in it."""
    if have is had:
        return True
    skip = ("mtime",) if have["type"] == "dir" else ()
    return {k: v for k, v in have.items() if k not in skip} == {k: v for k, v in (had or {}).items() if k not in skip}


def of_files(tree, base):
    """(path -> description of what is new or different, paths that are gone). Files are different, too, if they were linked
    or are linked no more; that another name of them is new, replaced or gone does not count."""
    links, before = hard_links(tree), hard_links(base)
    kept = {path for path, info in tree.items() if same(info, base.get(path))}
    relinked = {path for path in kept if kept & set(links[path]) != kept & set(before[path])}
    found = {}
    for path in (set(tree) - kept) | relinked:
        found[path] = dict(tree[path])
        if links[path][0] != path:
            found[path]["link"] = "/" + links[path][0]
    return found, {p for p in base if p not in tree}


def read_files(path):
    """The lines of files.txt: (path -> description, paths that must be gone)"""
    want, gone = {}, set()
    for line in expect.read(path):
        words = line.split()
        name = expect.unquote(words[0].lstrip("!")).strip("/")
        if words[0].startswith("!"):
            gone.add(name)
            continue
        want[name] = dict(zip(("type", "mode", "uid", "gid"), words[1:5]))
        want[name].update(w.split("=", 1) for w in words[5:])
        if want[name]["mode"] == "-":
            del want[name]["mode"]
    return want, gone


def differences(name, want, have):
    bad = []
    for key in sorted((set(want) | set(have)) - set(OPTIONAL)) + [k for k in OPTIONAL if k in want]:
        value = want.get(key, "~")
        pattern = expect.literal(expect.unquote(value))
        if value != "-" and not fnmatch.fnmatchcase(have.get(key, "~"), pattern):
            bad.append("/%s: %s is %s, not %s" % (name, key, quote(have.get(key, "~")), value))
    if want.get("type") == "file" and not set(want) & {"text", "sha256", "size", "link"}:
        bad.append("/%s: the case does not tell its content" % name)
    return bad


def below(path, tops):
    return any(path == top or path.startswith(top + "/") for top in tops)


def judge_files(path, tree, base):
    """Complaints about what differs from the base, and what does not, against files.txt (an absent one: nothing differs)."""
    want, gone_wanted = read_files(path) if path else ({}, set())
    have, gone = of_files(tree, base)
    bad = []
    for name, description in sorted(want.items()):
        if name not in tree:
            bad.append("/%s is missing" % name)
        elif name not in have:  # as in the base, which the case may say
            bad += differences(name, description, tree[name])
        else:
            bad += differences(name, description, have[name])
    bad += ["/%s was changed: %s" % (p, line_of(p, have[p])) for p in sorted(set(have) - set(want))]
    bad += ["/%s is there" % p for p in sorted(gone_wanted) if p in tree]
    replaced = {p for p, w in want.items() if w["type"] != "dir"}
    bad += ["/%s is gone" % p for p in sorted(gone) if not below(p, gone_wanted | replaced)]
    return bad


# ---- writing ----

def quote(text):
    """For a word of files.txt: no blanks, no bytes that an editor would spoil."""
    out = []
    for c in text:
        if c == "\n":
            out.append("\\n")
        elif c == "\\":
            out.append("\\\\")
        elif c.isprintable() and not c.isspace():
            out.append(c)
        else:
            out += ["\\x%02x" % b for b in c.encode("utf-8", "surrogateescape")]
    return "".join(out)


def quote_path(path):
    return quote("/" + path)


def line_of(path, info):
    words = [quote_path(path), info["type"], info.get("mode", "-"), info["uid"], info["gid"]]
    if "link" in info:
        return " ".join(words + ["link=" + quote_path(info["link"].lstrip("/"))])
    if info["type"] == "file":
        words.append("text=" + quote(info["text"]) if is_text(info.get("text")) else "size=%s sha256=%s" % (info["size"], info["sha256"]))
    more = sorted(k for k in info if k not in OPTIONAL + ("type", "mode", "uid", "gid", "link"))
    return " ".join(words + ["%s=%s" % (k, quote(info[k])) for k in more])


def is_text(text):
    return text is not None and len(text) <= LINE and all(c.isprintable() or c == "\n" or c == "\t" for c in text)


def write_files(path, tree, base):
    """What is different as the expectation, to be reviewed; comments at the top stay."""
    have, gone = of_files(tree, base)
    tops = {p for p in gone if not any(p.startswith(g + "/") for g in gone)}
    replaced = {p for p in have if have[p]["type"] != "dir"}
    lines = ["!" + quote_path(p) for p in sorted(tops) if not below(p, replaced)]
    lines += [line_of(p, have[p]) for p in sorted(have)]
    write(path, "".join(line + "\n" for line in lines))


def write(path, text):
    """No file where there is nothing to tell."""
    head = []
    try:
        with open(path) as f:
            for line in f:
                if not line.startswith("#"):
                    break
                head.append(line)
    except FileNotFoundError:
        if not text:
            return
    with open(path, "w") as f:
        f.write("".join(head) + text)


# ---- the configuration ----

def of_config(config, base):
    """The members that differ: those of "config", and those beside it; null is one that is gone."""
    def differing(have, had):
        return {k: have.get(k) for k in sorted(set(have) | set(had)) if (have.get(k) or None) != (had.get(k) or None)}

    out = differing({k: v for k, v in config.items() if k not in ("config", "created", "history", "rootfs")},
                    {k: v for k, v in base.items() if k not in ("config", "created", "history", "rootfs")})
    inner = differing(config.get("config") or {}, base.get("config") or {})
    if inner:
        out["config"] = inner
    return out


def new_history(config, base):
    return (config.get("history") or [])[len(base.get("history") or []):]


def judge_config(text, config, base):
    """image.json: what differs from the base's configuration, all of it; "created" and "history" are compared where told:
    history are the entries after the base's, each compared in the members that are told."""
    want = json.loads(text) if text else {}
    history = want.pop("history", None)
    bad = []
    if "created" in want:
        bad += expect.subset(want.pop("created"), config.get("created"), "/created")
    have = of_config(config, base)
    for where, a, b in (("", dict(want, config=None), dict(have, config=None)),
                        ("config.", want.get("config", {}), have.get("config", {}))):
        for key in sorted(set(a) | set(b)):
            if (key in a) != (key in b):
                bad.append("%s%s is %s, %s" % (where, key, json.dumps(b[key]) if key in b else "as in the base",
                                               "and the case does not tell it" if key in b else "not " + json.dumps(a[key])))
            else:
                bad += expect.subset(a[key], b[key], where + key)
                bad += ["%s%s has %s besides" % (where, key, json.dumps(k)) for k in extra(a[key], b[key])]
    if history is not None:
        found = new_history(config, base)
        if len(found) != len(history):
            bad.append("history has %d new entries, not %d" % (len(found), len(history)))
        for i, (a, b) in enumerate(zip(history, found)):
            bad += expect.subset(a, b, "history[%d]" % i)
    return bad


def extra(want, have):
    return sorted(set(have) - set(want)) if isinstance(want, dict) and isinstance(have, dict) else []


def write_config(path, text, config, base):
    out = of_config(config, base)
    before = json.loads(text) if text else {}
    if "created" in before:
        out["created"] = config["created"]
    if "history" in before:
        out["history"] = [{k: e[k] for k in ("created_by", "empty_layer") if k in e} for e in new_history(config, base)]
    write(path, json.dumps(out, indent=2, ensure_ascii=False) + "\n" if out else "")


def find_base(known, config):
    """The base image with most layers below this one, of those the first; none: scratch."""
    fitting = [b for b in known if b.ids and b.is_below(config)]
    return max(fitting, key=lambda b: len(b.ids), default=Base())


def tree_of(layers, base):
    return image.flatten(layers[len(base.ids):], base.tree)
