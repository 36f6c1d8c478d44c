"""A small store, and everything that could be done to it: both verifiers must
find it, agree, and name the place.

    tamper.py [STEP]    each STEP-th byte of each file (default: every one)

Run by ./dev tamper; test_tamper.py takes a sample."""
import collections
import functools
import importlib.util
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import audit_wire as w  # noqa: E402

spec = importlib.util.spec_from_file_location(
    "verify", HERE.parents[1] / "doc/verify.py")
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)
# A program is started for each: once for each question is enough.
verify.ed25519 = functools.lru_cache(maxsize=None)(verify.ed25519)

LEDGER, TREE = "ledger/ledger.jsonl", "ledger/tree"
CHECKPOINT = TREE + "/checkpoint"
TALLY = collections.Counter()
HEADER = b'{"version":2,"width":80,"height":24}\n'
SHELL = 30      # a broker shell; its lines are those behind it
SHELL_HEADER = HEADER[:-2] + \
    b',"postern":{"operation":"%s","pty":true,"shell":true}}\n'


def sign_soon(audit):
    path = audit.folder / CHECKPOINT
    end = time.monotonic() + 30
    while int(path.read_text().split("\n")[1]) < len(audit.ledger()):
        assert time.monotonic() < end, "it is not signed"
        time.sleep(0.05)


# What a hop writes into a sidecar before its last words: of nothing but a
# command, of a session of files, of one with a repository.
MANIFESTS = (
    b"",
    b'{"kind":"file","verb":"put","path":"/srv/a","result":"done","rule":"r",'
    b'"bytes":3,"sha256":"' + b"ab" * 32 + b'"}\n'
    b'{"kind":"file","verb":"get","path":"/srv/b","result":"cut","bytes":2,'
    b'"ranges":[[0,1]]}\n'
    b'{"kind":"file","verb":"put","path":"/srv/c","result":"begun","begun":1}'
    b'\n',
    b'{"kind":"ref","verb":"update","ref":"refs/heads/main","old":"' +
    b"1" * 40 + b'","new":"' + b"2" * 40 + b'","result":"done"}\n')


def record(audit, op, text, manifest=b"", session=0, **more):
    fds = audit.open(op, session=w.ulid(session), **more)
    os.write(fds[0], HEADER + b'[0.1,"o","%s"]\n' % text)
    os.write(fds[1], manifest)
    hop = w.Hop(*fds)
    audit.started(op, hop.pid)
    hop.end(b"w")
    end = audit.wait_end(op)
    assert ("manifest_sha256" in end) == (manifest != b"")


def record_shell(audit, shell, lines):
    """A broker shell with its own recording, as postern-shell writes it, and
    an operation for each line while it is open; one line is denied."""
    cast, side = audit.open(shell, by="shell", shell=shell)
    os.write(cast, SHELL_HEADER % shell.encode() + b'[0.1,"o","web-1> "]\n')
    person = w.Hop(os.dup(cast), os.dup(side))
    audit.started(shell, person.pid)
    for n, (op, text) in enumerate(lines.items(), 1):
        os.write(cast, b'[%d,"o","%s\\r\\n"]\n[%d,"m","line %d: %s"]\n' % (
            n, text, n, n, text))
        record(audit, op, b"of %s" % text, shell=shell, line=n)
    audit.event("operation.decide", operation=w.ulid(39), session=w.ulid(0),
                verdict="deny", target="web-1", shell=shell, line=n + 1)
    os.write(cast, b'[9,"x","0"]\n')
    os.close(cast)
    os.close(side)
    person.end(b"w")
    audit.wait_end(shell)


def make(folder, lines=262):
    """A store with recordings of all kinds, a broker shell's among them, one
    that retention deleted, what is held, who looked, two keys, and a full
    tile."""
    folder.mkdir()
    audit = w.Audit(folder)
    record(audit, w.ulid(9), b"x" * 3000, session=1)
    audit.event("session.open", session=w.ulid(0), identity="shop")
    audit.query("hold-add", session=w.ulid(0), reason="case 7")
    audit.event("session.open", session=w.ulid(1), identity="shop")
    for i, manifest in enumerate(MANIFESTS):
        record(audit, w.ulid(10 + i), b"hi %d" % i, manifest)
    record_shell(audit, w.ulid(SHELL), {w.ulid(SHELL + 1): b"true",
                                        w.ulid(SHELL + 2): b"restart web"})
    audit.query("recording", id=w.ulid(10))
    for i in range(20):
        audit.event("login.refused", user="web-1", reason=f"{i}")
    sign_soon(audit)
    audit.stop()
    audit.settings += "retention-size 1KiB\n"
    audit.start()
    end = time.monotonic() + 30
    while list(folder.glob(f"recordings/*/{w.ulid(9)}.cast")):
        assert time.monotonic() < end, "retention deletes nothing"
        time.sleep(0.05)
    for i in range(3):
        audit.event("login.refused", user="web-1", reason=f"more {i}")
    old = time.time() - 91 * 86400
    os.utime(folder / "ledger/key", (old, old))
    audit.stop()
    audit.start()
    audit.event("login.refused", user="web-1", reason="old key")
    end = time.monotonic() + 30
    while "ledger.key" not in [x["event"] for x in audit.ledger()]:
        assert time.monotonic() < end, "the key does not change"
        time.sleep(0.05)
    while len(audit.ledger()) < lines:
        audit.event("login.refused", user="web-1",
                    reason=f"{len(audit.ledger())}")
        if len(audit.ledger()) > lines - 4:
            sign_soon(audit)        # narrower tiles of the edge, too
    audit.stop()


def make_both(folder, older):
    """A store, and a copy of what it was a while before."""
    make(folder)
    shutil.copytree(folder, older)
    audit = w.Audit(folder)
    record(audit, w.ulid(40), b"later")
    for i in range(5):
        audit.event("login.refused", user="web-1", reason=f"later {i}")
    audit.stop()


def ours(folder, key=None, files=()):
    out = subprocess.run(
        [os.path.join(os.environ["POSTERN_BUILD"], "cli/postern"), "verify",
         "--json", *(["--key", key] if key else []),
         *[x for f in files for x in ("--checkpoint", str(f))], str(folder)],
        stdout=subprocess.PIPE, check=False)
    got = json.loads(out.stdout)
    assert out.returncode == {"ok": 0, "unknown": 69}.get(got["verdict"], 1)
    return got


def theirs(folder, key=None, files=()):
    try:
        s = verify.Store(str(folder), key, [str(f) for f in files])
        s.verify_ledger()
        n = s.verify_files()
        s.verify_restored()
        return {"verdict": "ok", "lines": s.size, "signed": s.at[1],
                "recordings": n, "key": s.keys[-1]}
    except verify.Wrong as e:
        return e.found


def both(folder, key=None, files=()):
    """What both say; they must say the same."""
    a, b = ours(folder, key, files), theirs(folder, key, files)
    same = ("verdict", "file", "line", "lines", "signed", "recordings", "key")
    assert {k: a.get(k) for k in same} == {k: b.get(k) for k in same}, (a, b)
    return a


def evidence(folder):
    """The files that are covered."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and (name.startswith(("recordings/", TREE)) or
                               name == LEDGER):
            yield name


class Changed:
    """A file of the store with other content (None: without it)."""

    def __init__(self, folder, **files):
        self.folder, self.files, self.old = folder, files, {}

    def __enter__(self):
        for name, data in self.files.items():
            path = self.folder / name
            self.old[name] = path.read_bytes()
            path.unlink()
            if data is not None:
                path.write_bytes(data)

    def __exit__(self, *_):
        for name, data in self.old.items():
            path = self.folder / name
            if path.exists():
                path.unlink()
            path.write_bytes(data)


def changed(folder, files):
    return Changed(folder, **files)


def place(name, data, at):
    """What may be named for a change of this byte: (file, lines)."""
    if name != LEDGER:
        return name, None
    line = data[:at].count(b"\n") + 1
    return name, {line, line + 1} if data[at:at + 1] == b"\n" else {line}


def flips(folder, step, rng):
    """(what was done, files, named)"""
    for name in evidence(folder):
        data = (folder / name).read_bytes()
        each = max(1, min(step, len(data) // 8))    # of a small one, too
        for at in range(rng.randrange(each), len(data), each):
            bad = bytearray(data)
            bad[at] ^= 1 << rng.randrange(8)
            yield f"{name}: byte {at} flipped", {name: bytes(bad)}, \
                place(name, data, at)


def narrower(folder, name):
    """A tile that need not be there."""
    if ".p/" not in name:
        return False
    size = int((folder / CHECKPOINT).read_text().split("\n")[1])
    level = name.split("/")[3]
    size >>= 8 * (0 if level == "entries" else int(level))
    return int(name.rsplit("/", 1)[1]) != size % 256


def others(folder, rng, all_lines):
    """Dropped, doubled, reordered, cut, swapped."""
    names = list(evidence(folder))
    for name in names:
        data = (folder / name).read_bytes()
        if not narrower(folder, name):
            yield f"{name} dropped", {name: None}, (name, None)
        for n in {0, 1, len(data) // 2, len(data) - 1}:
            if name != LEDGER:
                yield f"{name} cut at {n}", {name: data[:n]}, (name, None)
        if name != LEDGER:
            yield f"{name} grown", {name: data + b"\n"}, (name, None)
    for a, b in zip(names, names[1:]):
        x, y = (folder / a).read_bytes(), (folder / b).read_bytes()
        if x != y and LEDGER not in (a, b):
            yield f"{a} and {b} swapped", {a: y, b: x}, None
    lines = (folder / LEDGER).read_bytes().splitlines(True)
    which = range(len(lines)) if all_lines else \
        rng.sample(range(len(lines)), 25) + [0, len(lines) - 1]
    for i in which:
        yield f"line {i + 1} dropped", \
            {LEDGER: b"".join(lines[:i] + lines[i + 1:])}, (LEDGER, {i + 1})
        yield f"line {i + 1} doubled", \
            {LEDGER: b"".join(lines[:i + 1] + lines[i:])}, \
            (LEDGER, {i + 1, i + 2})
        yield f"cut behind line {i}", {LEDGER: b"".join(lines[:i])}, \
            (LEDGER, {i + 1})
        cut = b"".join(lines[:i]) + lines[i][:len(lines[i]) // 2]
        yield f"cut in line {i + 1}", {LEDGER: cut}, (LEDGER, {i + 1})
        j = rng.randrange(len(lines))
        if j != i:
            swapped = list(lines)
            swapped[i], swapped[j] = lines[j], lines[i]
            yield f"lines {i + 1} and {j + 1} swapped", \
                {LEDGER: b"".join(swapped)}, (LEDGER, {min(i, j) + 1})


# -- the whole of it ---------------------------------------------------------


class Other:
    """Copies of a store, each changed in its own way and given to both."""

    def __init__(self, store, older, work):
        self.store, self.older, self.work = store, older, work
        self.anchor = store / CHECKPOINT
        self.n = 0

    def copy(self, of=None):
        self.n += 1
        path = self.work / f"other-{self.n}"
        shutil.copytree(of or self.store, path)
        return path

    def swap(self, name, of):
        """A copy with one file or folder of another store."""
        path = self.copy()
        if (path / name).is_dir():
            shutil.rmtree(path / name)
            shutil.copytree(of / name, path / name)
        else:
            (path / name).unlink()
            shutil.copy2(of / name, path / name)
        return path

    def rolled_back(self):
        """(what, folder, verdict without an anchor, verdict and file with)"""
        back = ("rollback", str(self.anchor))
        yield "all of it, to an older copy", self.copy(self.older), "ok", back
        yield "the ledger alone", self.swap(LEDGER, self.older), "cut", \
            ("cut", LEDGER)
        # Lines that are not signed for a minute may be: nothing is lost.
        yield "what signs it alone", self.swap(TREE, self.older), "ok", \
            ("ok", None)
        yield "ledger and what signs it", self.half(), "ok", back

    def half(self):
        path = self.swap(LEDGER, self.older)
        shutil.rmtree(path / TREE)
        shutil.copytree(self.older / TREE, path / TREE)
        return path

    def forged(self):
        """By who has the key of today, and signs all of it anew.  The last
        line that the old key vouches for is the first ledger.key."""
        lines = (self.store / LEDGER).read_bytes().splitlines(True)
        at = next(i for i, x in enumerate(lines) if b'"ledger.key"' in x)
        old, back = ("key", LEDGER), ("rollback", str(self.anchor))

        def anew(text):
            path = self.copy()
            (path / LEDGER).unlink()
            (path / LEDGER).write_bytes(b"".join(
                b'{"number":%d,%s' % (i, x.split(b",", 1)[1])
                for i, x in enumerate(text, 1)))
            shutil.rmtree(path / TREE)
            w.Audit(path).stop()
            return path

        def other(i):
            assert b"web-1" in lines[i]
            return lines[:i] + [lines[i].replace(b"web-1", b"web-2")] + \
                lines[i + 1:]
        for where, i, plain, anchored in (("before", at - 3, old, old),
                                          ("since", at + 3, ("ok", None),
                                           back)):
            for what, text in (
                    ("changed", other(i)),
                    ("dropped", lines[:i] + lines[i + 1:]),
                    ("doubled", lines[:i + 1] + lines[i:]),
                    ("swapped", lines[:i] + [lines[i + 1], lines[i]] +
                     lines[i + 2:])):
                yield f"a line {where} the last change of keys {what}", \
                    anew(text), plain[0], anchored
        yield "cut since it, and signed anew", anew(lines[:at + 3]), "ok", back

    def run(self, tell):
        n = 0
        for what, folder, plain, anchored in (*self.rolled_back(),
                                              *self.forged()):
            got = both(folder)
            assert got["verdict"] == plain, (what, got)
            held = both(folder, None, [self.anchor])
            assert held["verdict"] == anchored[0], (what, held)
            assert anchored[1] in (None, held.get("file")), (what, held)
            for x in (got, held):   # there the old key's word ends
                assert x["verdict"] != "key" or x["line"] == next(
                    i for i, line in enumerate((folder / LEDGER).open("rb"), 1)
                    if b'"ledger.key"' in line), (what, x)
            tell(what, place_of(got), place_of(held))
            n += 1
        return n


def place_of(got):
    """A verdict and its place, in a few words."""
    if got["verdict"] == "ok":
        return "ok"
    name = got["file"] if not got["file"].startswith("/") else "the anchor"
    line = f", line {got['line']}" if got.get("line") else ""
    return f"{got['verdict']}: {name}{line}"


def check(folder, what, files, named):
    with changed(folder, files):
        got = both(folder)
    TALLY[kind_of(what), class_of(next(iter(files))), got["verdict"]] += 1
    assert got["verdict"] not in ("ok", "unknown"), (what, got)
    if named is None:
        assert got["file"] in files, (what, got)
        return
    assert got["file"] == named[0], (what, got)
    if named[1] is not None:
        assert got["line"] in named[1], (what, got)


def run(folder, step, rng, all_lines=True):
    """How many were found; what was not raises."""
    assert both(folder)["verdict"] == "ok"
    n = 0
    for what, files, named in (*others(folder, rng, all_lines),
                               *flips(folder, step, rng)):
        check(folder, what, files, named)
        n += 1
    assert both(folder)["verdict"] == "ok"
    return n


def kind_of(what):
    """Which of the things that are done to a store this is."""
    for word, kind in (("flipped", "a byte flipped"), ("dropped", "dropped"),
                       ("doubled", "duplicated"), ("swapped", "swapped"),
                       ("grown", "grown"), ("cut", "truncated")):
        if word in what:
            return kind
    raise AssertionError(what)


def class_of(name):
    if name == LEDGER:
        return "ledger lines"
    if name == CHECKPOINT:
        return "checkpoint"
    return "tiles" if name.startswith(TREE) else \
        "sidecars" if name.endswith(".json") else "recordings"


def print_tally():
    rows = collections.defaultdict(collections.Counter)
    for (kind, where, verdict), n in TALLY.items():
        rows[where, kind][verdict] += n
    for (where, kind), verdicts in sorted(rows.items()):
        said = ", ".join(f"{v} {n}" for v, n in verdicts.most_common())
        print(f"{where:13} {kind:15} {sum(verdicts.values()):6}  {said}")


def main():
    step = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    seed = random.randrange(1 << 32)
    with tempfile.TemporaryDirectory() as d:
        folder = pathlib.Path(d) / "store"
        older = pathlib.Path(d) / "older"
        make_both(folder, older)
        for name in list(evidence(folder)):
            print(f"{(folder / name).stat().st_size:8} {name}")
        begun = time.monotonic()
        n = run(folder, step, random.Random(seed))
        print(f"{n} changes, all found by both verifiers at their place, in "
              f"{time.monotonic() - begun:.0f} s (seed {seed})")
        print_tally()
        print("\nrolled back, or forged with the key of today: found without, "
              "and with, an anchor")
        Other(folder, older, pathlib.Path(d)).run(
            lambda what, got, held: print(f"{what:52} {got:38} {held}"))
    shutil.rmtree(d, ignore_errors=True)


if __name__ == "__main__":
    main()
