"""The expectations of a case, as text, against what came out. Each function returns a list of complaints."""
import fnmatch
import json

from lib import image


def read(path):
    with open(path) as f:
        return [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]


def globs(path, text, what, fill):
    """Each line must match a line of the text, the same or a later one; after "~" any line; after "!" it must match none."""
    lines = text.splitlines()
    bad, at = [], 0
    for pattern in map(fill, read(path)):
        if pattern.startswith("!"):
            hit = [line for line in lines if fnmatch.fnmatchcase(line, pattern[1:])]
            if hit:
                bad.append("%s has '%s', which '%s' forbids" % (what, hit[0], pattern))
            continue
        if pattern.startswith("~"):
            if not any(fnmatch.fnmatchcase(line, pattern[1:]) for line in lines):
                bad.append("%s has no line like '%s'" % (what, pattern[1:]))
            continue
        found = next((i for i in range(at, len(lines)) if fnmatch.fnmatchcase(lines[i], pattern)), None)
        if found is None:
            bad.append("%s has no (further) line like '%s'" % (what, pattern))
        else:
            at = found
    return bad


def subset(want, have, where=""):
    """JSON: every member of want must be in have; lists and values must be equal; null = must be absent or empty."""
    if isinstance(want, dict):
        if not isinstance(have, dict):
            return ["%s is %s, not an object" % (where or "/", json.dumps(have))]
        return [c for k, v in want.items() for c in subset(v, have.get(k), where + "/" + k)]
    if want is None and not have:
        return []
    if isinstance(want, str) and isinstance(have, str) and fnmatch.fnmatchcase(have, want):
        return []
    return [] if want == have else ["%s is %s, not %s" % (where, json.dumps(have), json.dumps(want))]


def config(path, have, fill):
    with open(path) as f:
        return subset(json.loads(fill(f.read())), have)


def unquote(path):
    return path.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")


def literal(text):
    """A pattern in which only * is special."""
    return text.replace("[", "[[]").replace("?", "[?]")


def files(path, tree):
    """Lines: PATH TYPE MODE UID GID [KEY=VALUE...], "-" = any; "!PATH" = must not be there; link=PATH: the same inode.
    KEY=~ means: no such attribute. Blanks and other odd bytes in PATH are written \\xNN."""
    bad = []
    for line in read(path):
        words = line.split()
        name = unquote(words[0].lstrip("!")).lstrip("/")
        have = tree.get(name)
        if words[0].startswith("!"):
            bad += ["/%s is there" % name] if have is not None else []
            continue
        if have is None:
            bad.append("/%s is missing" % name)
            continue
        want = dict(zip(("type", "mode", "uid", "gid"), words[1:5]))
        for key, value in [w.split("=", 1) for w in words[5:]] + list(want.items()):
            if key == "link":
                good = tree.get(value.lstrip("/")) is have
            elif value == "~":
                good = key not in have
            else:
                good = value == "-" or fnmatch.fnmatchcase(have.get(key, "~"), literal(unquote(value)))
            if not good:
                bad.append("/%s: %s is %s, not %s" % (name, key, have.get(key), value))
    return bad


def layers(path, built):
    """Lines: "count N", or INDEX NAME...: all that this layer holds (-1 = the last one); directories may stand or not."""
    bad = []
    for line in read(path):
        words = line.split()
        if words[0] == "count":
            if len(built) != int(words[1]):
                bad.append("there are %d layers, not %s" % (len(built), words[1]))
            continue
        if not -len(built) <= int(words[0]) < len(built):
            bad.append("there are only %d layers" % len(built))
            continue
        have, want = set(image.names(built[int(words[0])])), {unquote(w) for w in words[1:]}
        more = {n for n in have - want if not n.endswith("/")}
        if want - have or more:
            bad.append("layer %s lacks %s and has %s besides" % (words[0], sorted(want - have), sorted(more)))
    return bad
