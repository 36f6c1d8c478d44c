"""A ledger that was restored without its key: another key goes on, nobody vouches
for it, and what the old one signed still holds.  Both verifiers say the same."""
import base64
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import os
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402
import tamper as t  # noqa: E402


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """One that has had two keys, and 80 lines."""
    folder = tmp_path_factory.mktemp("restored") / "store"
    t.make(folder, 80)
    return folder


@pytest.fixture
def copy(before, tmp_path):
    shutil.copytree(before, tmp_path / "copy")
    return tmp_path / "copy"


def lines(folder):
    return (folder / t.LEDGER).read_bytes().splitlines(True)


def put(folder, text):
    (folder / t.LEDGER).unlink()
    (folder / t.LEDGER).write_bytes(b"".join(text))


def signed(folder):
    """audit takes it up as it is, and signs; its log."""
    audit = w.Audit(folder)
    audit.stop()
    return audit.read_log()


def new_key(folder):
    """(its public text), with its secret in place, as doc/LEDGER.md has it."""
    der = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519",
                          "-outform", "DER"], capture_output=True,
                         check=True).stdout
    pub = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout",
                          "-outform", "DER"], input=der, capture_output=True,
                         check=True).stdout[-32:]
    name = (folder / t.CHECKPOINT).read_text().split("\n")[0]
    ident = hashlib.sha256(
        name.encode() + b"\n\1" + pub).hexdigest()[:8]
    key = folder / "ledger/key"
    key.unlink(missing_ok=True)
    key.write_text(f"PRIVATE+KEY+{name}+{ident}+" + base64.b64encode(
        b"\1" + der[-32:]).decode() + "\n")
    key.chmod(0o600)
    return f"{name}+{ident}+" + base64.b64encode(b"\1" + pub).decode()


def restored(folder, note=None, at=None):
    """The line that `postern restore` writes.  (line's number, key)"""
    text = lines(folder)[:at]
    key = new_key(folder)
    text.append(json.dumps({
        "number": len(text) + 1, "time": "2199-01-01T00:00:00.000Z",
        "event": "ledger.key", "key": key,
        "checkpoint": note or (folder / t.CHECKPOINT).read_text(),
        "reason": "restored"}, separators=(",", ":")).encode() + b"\n")
    put(folder, text)
    return len(text), key


def keys(folder):
    s = t.verify.Store(str(folder), None, [])
    s.verify_ledger()
    return s.keys


def test_it_is_said_and_all_else_is_well(before, copy):
    old = keys(before)
    n, key = restored(copy)
    assert "ALARM" not in signed(copy)
    got = t.both(copy)
    assert (got["verdict"], got["file"], got["line"]) == \
        ("restored", t.LEDGER, n)
    assert t.both(copy, key)["verdict"] == "ok"
    for k in old:       # who knows these knows nothing of the new one
        assert t.both(copy, k)["verdict"] == "restored"
    # a checkpoint from before holds it, as it did
    assert t.both(copy, key, [before / t.CHECKPOINT])["verdict"] == "ok"


def test_the_next_key_is_vouched_for(copy):
    n, key = restored(copy)
    signed(copy)
    old = time.time() - 91 * 86400
    os.utime(copy / "ledger/key", (old, old))
    audit = w.Audit(copy)
    audit.event("login.refused", user="web-1", reason="old key")
    end = time.monotonic() + 30
    while "signed by another key" not in audit.read_log():
        assert time.monotonic() < end
        time.sleep(0.05)
    audit.stop()
    assert len(keys(copy)) == 4
    assert t.both(copy, key)["verdict"] == "ok"
    assert t.both(copy, keys(copy)[3])["verdict"] == "ok"
    assert t.both(copy)["line"] == n


def test_twice(copy):
    _, first = restored(copy)
    signed(copy)
    n, second = restored(copy)
    signed(copy)
    assert (t.both(copy)["verdict"], t.both(copy)["line"]) == ("restored", n)
    assert t.both(copy, first)["verdict"] == "restored"
    assert t.both(copy, second)["verdict"] == "ok"


def test_the_past_is_not_rewritten_on_the_way(before, copy):
    """By who restores, with the new key: what the old one signed says so."""
    text = lines(copy)
    at = ledger_key(text) + 2       # no old key's word for the next tells
    text[at] = text[at].replace(b"web-1", b"web-2")
    assert text != lines(before)
    put(copy, text)
    n, key = restored(copy)
    shutil.rmtree(copy / t.TREE)
    signed(copy)
    for k in (None, key):
        got = t.both(copy, k)
        assert (got["verdict"], got["line"]) == ("key", n), got


def ledger_key(text):
    return next(i for i, x in enumerate(text, 1) if b'"ledger.key"' in x)


@pytest.mark.parametrize("what", ["unsigned", "later", "next-key", "junk"])
def test_what_vouches_for_the_past_must(before, copy, what):
    note = (before / t.CHECKPOINT).read_text()
    if what == "unsigned":
        head, tail = note.rsplit(" ", 1)
        note = head + " " + tail[:8] + ("B" if tail[8] != "B" else "C") + \
            tail[9:]
    elif what == "later":
        at = int(note.split("\n")[1]) - 5
        n, key = restored(copy, at=at)      # of lines that are gone
    elif what == "next-key":
        note = next(json.loads(x)["checkpoint"] for x in lines(before)
                    if b'"ledger.key"' in x)
    else:
        note = "x"
    if what != "later":
        n, key = restored(copy, note)
    shutil.rmtree(copy / t.TREE)
    signed(copy)
    for k in (None, key):
        got = t.both(copy, k)
        assert (got["verdict"], got["line"]) == ("key", n), got


def test_a_restoration_that_none_was(before, copy):
    """Who has today's key alone, and wants another past since an older
    checkpoint, cannot hide that it is another key."""
    old = keys(before)
    audit = w.Audit(copy)
    audit.event("login.refused", user="web-1", reason="to be forgotten")
    audit.stop()
    assert len(lines(copy)) > len(lines(before))
    n, key = restored(copy, (before / t.CHECKPOINT).read_text(),
                      len(lines(before)))
    shutil.rmtree(copy / t.TREE)
    signed(copy)
    for k in (None, *old):
        got = t.both(copy, k)
        assert (got["verdict"], got["line"]) == ("restored", n), got
