#!/usr/bin/env python3
"""Verifies what a Postern keeps, from doc/LEDGER.md alone: Python's standard
library and the program `openssl`.

    verify.py [--key KEY] [--anchor FILE]... STATE

Prints one JSON object and ends with 0 (well), 1 (something is wrong: the first
thing that is) or 2 (it cannot be told)."""
import argparse
import base64
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

LEDGER, CHECKPOINT = "ledger/ledger.jsonl", "ledger/tree/checkpoint"
LINE_MAX, UNSIGNED_MS = 1024 * 1024, 60000
DASH = "\u2014 "


class Wrong(Exception):
    def __init__(self, verdict, file, line=0, text=""):
        super().__init__(text)
        self.found = {"verdict": verdict, "file": file, "line": line,
                      "text": text}


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def over(h):
    """RFC 6962, section 2.1, over the hashes of subtrees."""
    if len(h) == 1:
        return h[0]
    k = 1 << (len(h) - 1).bit_length() - 1
    return sha(b"\1", over(h[:k]), over(h[k:]))


def root(levels):
    rest = []
    for h in levels:
        rest = [over(h + rest)] if h + rest else []
    return rest[0] if rest else sha()


def unb64(s):
    raw = base64.b64decode(s, validate=True)
    if base64.b64encode(raw).decode() != s:
        raise ValueError(s)
    return raw


def key_parse(text):
    """(name, id, public key) of NAME+ID+BASE64."""
    name, ident, rest = text.split("+", 2)
    raw = unb64(rest)
    if len(raw) != 33 or raw[0] != 1 or not re.fullmatch("[!-~]{1,63}", name):
        raise ValueError(text)
    if sha(name.encode(), b"\n", raw)[:4].hex() != ident:
        raise ValueError(text)
    return name, bytes.fromhex(ident), raw[1:]


def ed25519(pub, sig, text):
    der = bytes.fromhex("302a300506032b6570032100") + pub
    with tempfile.TemporaryDirectory() as d:
        for name, data in (("k", der), ("s", sig), ("t", text)):
            with open(os.path.join(d, name), "wb") as f:
                f.write(data)
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER",
             "-inkey", d + "/k", "-rawin", "-in", d + "/t", "-sigfile",
             d + "/s"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, check=False).returncode == 0


def signed_by(note, key):
    """True, False (a wrong one), None (it has no signature of this key)."""
    text, signatures = note.rsplit("\n\n", 1)
    name, ident, pub = key_parse(key)
    found = None
    for line in signatures.split("\n")[:-1]:
        if not line.startswith(DASH):
            raise ValueError(line)
        who, sig = line[2:].split(" ")
        raw = unb64(sig)
        if len(raw) != 68:
            raise ValueError(line)
        if who == name and raw[:4] == ident:
            if not ed25519(pub, raw[4:], (text + "\n").encode()):
                return False
            found = True
    return found


def checkpoint_parse(note):
    """(origin, size, root, further lines)"""
    if not note.endswith("\n") or re.search("[\0-\t\x0b-\x1f]", note):
        raise ValueError(note)
    origin, size, top, *more = note.rsplit("\n\n", 1)[0].split("\n")
    if not re.fullmatch("0|[1-9][0-9]{0,19}", size) or len(unb64(top)) != 32:
        raise ValueError(note)
    return origin, int(size), unb64(top), more


def notes(text):
    """One after the other, with any empty lines between them."""
    while text:
        head, gap, rest = text.partition("\n\n")
        signed = re.match(f"({DASH}.*\n)*", rest)[0]
        yield head + gap + signed
        text = rest[len(signed):].lstrip("\n")


def anchors(path):
    """The notes of a file, as they are or as the `anchor` lines of a log."""
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()
    found = re.findall(r"anchor (\S+) (\d+) (\S+) (\S+)$", text, re.M)
    return [f"{o}\n{n}\n{r}\n\n{DASH}{o} {s}\n" for o, n, r, s in found] \
        or list(notes(text)) or [""]


class Store:
    def __init__(self, folder, key, files):
        self.folder, self.key = folder, key
        self.levels, self.entries, self.size = [[] for _ in range(8)], [], 0
        self.keys, self.line, self.tile, self.chain = [], None, None, None
        try:
            note = self.read(CHECKPOINT)
        except FileNotFoundError:
            raise Wrong("missing", CHECKPOINT, 0, "there is no checkpoint") \
                from None
        try:
            self.note = note.decode()
            self.at = checkpoint_parse(self.note)
        except ValueError:
            raise Wrong("signature", CHECKPOINT, 0, "not a checkpoint") \
                from None
        self.given = []
        for path in files:
            for text in anchors(path):
                try:
                    self.given.append((path, text, checkpoint_parse(text)))
                except ValueError:
                    raise Wrong("signature", path, 0, "not a checkpoint") \
                        from None
        self.restorations()
        self.given.sort(key=lambda g: g[2][1])

    def restorations(self):
        """What was signed before each: a checkpoint, given by the ledger."""
        self.restored = None
        try:
            found = [(n, x) for n, x in self.lines()
                     if b'"event":"ledger.key"' in x]
        except Wrong:
            return
        for number, line in found:
            try:
                note = json.loads(line)["checkpoint"]
                at = checkpoint_parse(note)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            if not at[3] and at[1] < number:
                self.given.append((number, note, at))

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as f:
            return f.read()

    # -- tiles -----------------------------------------------------------

    def path(self, level, index):
        path = f"{index % 1000:03}"
        while index >= 1000:
            index //= 1000
            path = f"x{index % 1000:03}/" + path
        name = "entries" if level is None else level
        return f"ledger/tree/tile/{name}/{path}"

    def has_edge(self):
        """There is a last tile of what the checkpoint says."""
        path, w = self.path(None, (self.at[1] - 1) // 256), self.at[1] % 256
        return any(os.path.isfile(os.path.join(self.folder, p))
                   for p in (path, f"{path}.p/{w}"))

    def tile_of(self, file):
        try:
            return self.read(file)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def hold(self, level, index, hashes):
        """Holds our hashes of a tile against its files."""
        path, w = self.path(level, index), len(hashes)
        head = b"\0\x20" if level is None else b""
        for width in [256] if w == 256 else range(1, w + 1):
            file = path if width == 256 else f"{path}.p/{width}"
            raw = self.tile_of(file)
            if raw is None and width < w:
                continue
            if raw is None and width < 256:     # full by now, perhaps
                raw = self.tile_of(path)
                if raw is not None:
                    file = path
                    raw = raw[:width * (32 + len(head))] \
                        if len(raw) == 256 * (32 + len(head)) else raw
            if raw != b"".join(head + h for h in hashes[:width]):
                self.tile = self.tile or file
                yield from differs(raw, head, hashes[:width])

    def hold_lowest(self, leaves):
        base = (self.size - 1) // 256 * 256
        at = [*self.hold(None, base // 256, self.entries),
              *self.hold(0, base // 256, leaves)]
        if at and self.line is None:
            self.line = base + min(at) + 1

    def append(self, entry):
        self.entries.append(entry)
        h, index, signed = sha(b"\0", entry), self.size, self.size < self.at[1]
        self.size += 1
        for level, hashes in enumerate(self.levels):
            hashes.append(h)
            index //= 256
            if len(hashes) < 256:
                break
            if signed and level == 0:
                self.hold_lowest(hashes)
            elif signed:
                list(self.hold(level, index, hashes))
            h = over(hashes)
            hashes.clear()
        if len(self.entries) == 256:
            self.entries = []

    def hold_edge(self):
        for level, hashes in enumerate(self.levels):
            if hashes and level == 0:
                self.hold_lowest(hashes)
            elif hashes:
                list(self.hold(level, self.size >> 8 * level + 8, hashes))

    # -- lines -----------------------------------------------------------

    def new_key(self, number, line):
        """A `start` or `ledger.key` names the key from here on."""
        try:
            e = json.loads(line)
            name, kind = e.get("key"), e["event"]
            if name is None and kind == "start":
                return
            key_parse(name)
            if self.keys and kind == "start":
                good = name == self.keys[-1]
            elif self.keys:
                note = e["checkpoint"]
                at = checkpoint_parse(note)
                good = at[1:] == (
                    number - 1, root(self.levels), ["next-key " + name]) \
                    and signed_by(note, self.keys[-1])
                if not good and not at[3] and at[1] < number and \
                        at[0] == key_parse(name)[0] and \
                        self.signature(note, self.keys):
                    good, self.restored = True, (number, len(self.keys))
            else:
                good = kind == "start"
        except (ValueError, KeyError, TypeError, AttributeError):
            good = False
        if good and (not self.keys or self.keys[-1] != name):
            self.keys.append(name)
        if not good and self.chain is None:
            self.chain = number

    def lines(self):
        try:
            f = open(os.path.join(self.folder, LEDGER), "rb")
        except FileNotFoundError:
            raise Wrong("missing", LEDGER, 0, "there is no ledger") from None
        with f:
            for number, line in enumerate(f, 1):
                if not line.endswith(b"\n"):
                    return
                yield number, line[:-1]

    def scan(self):
        given, first = list(self.given), None
        while given and given[0][2][1] == 0:
            given.pop(0)
        for number, line in self.lines():
            m = re.match(rb'\{"number":([1-9][0-9]{0,19}),', line)
            if not m or line[-1:] != b"}" or len(line) >= LINE_MAX \
                    or int(m[1]) > 2 ** 64 - 2:
                raise Wrong("changed", LEDGER, number, "not a ledger's line")
            if int(m[1]) != number:
                raise Wrong("gap" if int(m[1]) > number else "order", LEDGER,
                            number, f"it has the number {int(m[1])}")
            if re.match(rb'[^,]*,"time":".{24}","event":'
                        rb'"(start|ledger\.key)"', line, re.S):
                self.new_key(number, line)
            self.append(sha(line))
            if self.size == self.at[1]:
                self.hold_edge()
                self.top = root(self.levels)
            while given and given[0][2][1] == self.size:
                if first is None and root(self.levels) != given[0][2][2]:
                    first = given[0]
                given.pop(0)
        return first, given

    def signature(self, note, keys):
        try:
            said = [signed_by(note, k) for k in keys]
        except ValueError:
            return False
        return True in said and False not in said

    def verify_ledger(self):
        self.top = None
        if self.at[1] == 0:
            self.top = sha()
        differs_at, beyond = self.scan()
        good = bool(self.keys) and self.at[0] == key_parse(self.keys[0])[0] \
            and self.signature(self.note, self.keys[-1:])
        if self.size < self.at[1] and (good or self.has_edge()):
            raise Wrong("cut", LEDGER, self.size + 1,
                        f"it ends here, and {self.at[1]} lines were signed")
        if self.top != self.at[2] and self.line is not None:
            raise Wrong("changed", LEDGER, self.line,
                        "this line is not the one that was signed")
        if self.top != self.at[2] and good:
            raise Wrong("changed", LEDGER, 0,
                        "its lines are not those that were signed")
        if self.chain is not None:
            raise Wrong("key", LEDGER, self.chain, "the key that this line "
                        "names is not named by the one before")
        if not good:
            raise Wrong("signature", CHECKPOINT, 0,
                        "it is not signed by the ledger's key")
        if self.tile is not None:
            raise Wrong("tile", self.tile, 0, "it is not what the lines give")
        if self.key is not None and self.key not in self.keys:
            raise Wrong("key", LEDGER, 0, "another key signs it")
        for path, note, at in self.given:
            if isinstance(path, int):
                continue
            if at[0] != self.at[0] or not self.signature(note, self.keys):
                raise Wrong("key", path, 0, "it is of another ledger")
        if differs_at and isinstance(differs_at[0], int):
            raise Wrong("key", LEDGER, differs_at[0], "the ledger is another "
                        "one than was signed before it was restored")
        if differs_at:
            raise Wrong("rollback", differs_at[0], 0, "the ledger is another "
                        f"one than it was at line {differs_at[2][1]}")
        if beyond:
            raise Wrong("rollback", beyond[0][0], 0, "the ledger had "
                        f"{beyond[0][2][1]} lines, and has {self.size}")

    # -- recordings ------------------------------------------------------

    def file(self, name, digest, number, may_miss=False):
        try:
            is_it = hashlib.sha256(self.read("recordings/" + name)).hexdigest()
        except FileNotFoundError:
            if may_miss:
                return
            raise Wrong("missing", "recordings/" + name, number,
                        "it is not there") from None
        if is_it != digest:
            raise Wrong("changed", "recordings/" + name, number,
                        "it is not what it was when it was closed")

    def verify_files(self):
        gone, ended, n = set(), {}, 0
        unsigned = last = None
        for number, line in self.lines():
            try:
                e = json.loads(line)
                millis(e["time"])
            except (ValueError, KeyError, AttributeError):
                raise Wrong("changed", LEDGER, number,
                            "not a ledger's line") from None
            if number > self.at[1]:
                unsigned = unsigned or (number, e["time"])
                last = e["time"]
            if e["event"] == "retention.delete":
                gone.add(e.get("operation"))
            if e["event"] == "operation.end" and "recording" in e:
                ended[e["recording"]] = (number, e)
        if unsigned and millis(last) - millis(unsigned[1]) > UNSIGNED_MS:
            raise Wrong("unsigned", LEDGER, unsigned[0],
                        "from here on it is not signed")
        for name, (number, e) in ended.items():
            n += 1
            self.file(name, e["recording_sha256"], number,
                      e.get("operation") in gone)
            if "sidecar_sha256" in e:
                self.file(name[:-5] + ".json", e["sidecar_sha256"], number)
        return n

    def verify_restored(self):
        """Nobody but who restored it vouches for the key since."""
        if self.restored and self.key not in self.keys[self.restored[1]:]:
            raise Wrong("restored", LEDGER, self.restored[0],
                        "here it was restored without its key")


def millis(t):
    days = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z",
                        t)
    y, mo, d, h, mi, s, ms = map(int, days.groups())
    return int(datetime.datetime(
        y, mo, d, h, mi, s,
        tzinfo=datetime.timezone.utc).timestamp()) * 1000 + ms


def differs(raw, head, hashes):
    """Where a tile's file is another one than our hashes, if it can be told."""
    step = len(head) + 32
    if raw is None or len(raw) != step * len(hashes):
        return
    for i, h in enumerate(hashes):
        if raw[i * step:(i + 1) * step] != head + h:
            yield i
            return


def main():
    p = argparse.ArgumentParser(description="Is the ledger complete and "
                                "signed, and each recording what it was?")
    p.add_argument("--key", help="the ledger's key that you noted")
    p.add_argument("--anchor", "--checkpoint", action="append", default=[],
                   metavar="FILE", help="checkpoints that were kept elsewhere")
    p.add_argument("state", help="the folder of ledger/ and recordings/")
    a = p.parse_args()
    try:
        s = Store(a.state, a.key, a.anchor)
        s.verify_ledger()
        found = {"verdict": "ok", "recordings": s.verify_files(),
                 "lines": s.size, "signed": s.at[1], "key": s.keys[-1]}
        s.verify_restored()
    except Wrong as e:
        found = e.found
    except OSError as e:
        found = {"verdict": "unknown", "text": str(e)}
    print(json.dumps(found))
    return {"ok": 0, "unknown": 2}.get(found["verdict"], 1)


if __name__ == "__main__":
    sys.exit(main())
