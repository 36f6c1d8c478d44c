"""postern verify and doc/verify.py on stores that somebody has changed."""
import os
import pathlib
import random
import shutil
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402
import tamper as t  # noqa: E402


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """The store, as it was a while before."""
    return tmp_path_factory.mktemp("tamper") / "older"


@pytest.fixture(scope="module")
def store(older):
    t.make_both(older.parent / "store", older)
    return older.parent / "store"


@pytest.fixture
def copy(store, tmp_path):
    shutil.copytree(store, tmp_path / "copy")
    return tmp_path / "copy"


def keys(folder):
    s = t.verify.Store(str(folder), None, [])
    s.verify_ledger()
    return s.keys


def test_a_sample_of_everything(store):
    assert t.run(store, 499, random.Random(8), all_lines=False) > 300


def test_a_line_of_a_file_that_was_begun(store, copy):
    """Nobody takes it away, or makes an end of it."""
    side = next(p for p in copy.glob("recordings/*/*.json")
                if '"begun"' in p.read_text())
    was = side.read_text()
    (begun,) = (x for x in was.splitlines(True) if '"begun"' in x)
    for now in ("", begun.replace('"begun"', '"done"', 1), begun * 2):
        side.write_text(was.replace(begun, now))
        found = t.both(copy)
        assert found["verdict"] == "changed"
        assert found["file"].endswith(side.name)
    side.write_text(was)
    assert t.both(copy)["verdict"] == "ok"


def test_rolled_back_or_forged_with_the_key_of_today(store, older, tmp_path):
    """Found where the design says so, and at the same place by both."""
    told = []
    n = t.Other(store, older, tmp_path).run(lambda *x: told.append(x))
    assert n == len(told) == 13
    # what nobody can see without an anchor is what LEDGER.md says
    assert [x[0] for x in told if x[1] == "ok" and x[2] != "ok"] == [
        "all of it, to an older copy", "ledger and what signs it",
        *(f"a line since the last change of keys {x}" for x in (
            "changed", "dropped", "doubled", "swapped")),
        "cut since it, and signed anew"]


def test_the_last_tile_is_full_by_now(store, copy):
    """A copy of what runs may have an older checkpoint than tiles, and those
    that were not full go when they are: the full one has their hashes."""
    n = (copy / t.LEDGER).read_bytes().count(b"\n")
    assert 0 < n % 256 and n > 256
    for name in "0", "entries":
        part = copy / t.TREE / f"tile/{name}/{n // 256:03}.p"
        full, raw = part.with_suffix(""), (part / str(n % 256)).read_bytes()
        shutil.rmtree(part)
        full.write_bytes(raw + os.urandom(len(raw) // (n % 256) *
                                          (256 - n % 256)))
        if name == "entries":
            d = bytearray(full.read_bytes())
            for i in range(n % 256, 256):
                d[34 * i:34 * i + 2] = b"\0\x20"
            full.write_bytes(d)
    assert t.both(copy)["verdict"] == "ok"
    good = full.read_bytes()
    full.write_bytes(good[:2] + b"x" + good[3:])
    got = t.both(copy)
    assert got["verdict"] == "tile" and got["file"].endswith(
        f"/entries/{n // 256:03}"), got
    full.write_bytes(good[:-34])
    assert t.both(copy)["verdict"] == "tile"
    full.unlink()
    assert t.both(copy)["verdict"] == "tile"
    lines = (copy / t.LEDGER).read_bytes().splitlines(True)
    (copy / t.LEDGER).unlink()
    (copy / t.LEDGER).write_bytes(b"".join(lines[:-1]))
    full.write_bytes(good)
    assert t.both(copy)["verdict"] == "cut"


def test_which_key(store):
    first, second = keys(store)
    assert t.both(store, first)["verdict"] == "ok"
    assert t.both(store, second)["verdict"] == "ok"
    other = "PeterNeumann+c74f20a3+" \
        "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert t.both(store, other)["verdict"] == "key"


def rotation(folder, lines):
    """A checkpoint that was signed when it had so many lines: that of the
    change of keys, in the ledger."""
    import json
    for line in (folder / t.LEDGER).read_bytes().splitlines():
        e = json.loads(line)
        if e["event"] == "ledger.key":
            (lines / "older").write_text(e["checkpoint"])
            return lines / "older", e["number"]
    raise AssertionError("no ledger.key")


def test_checkpoints_from_elsewhere(store, copy, tmp_path):
    """Good ones; a newer one than an older copy; another ledger's."""
    old, number = rotation(store, tmp_path)
    now = store / t.CHECKPOINT
    assert t.both(store, None, [old, now])["verdict"] == "ok"
    # rolled back as a whole, to where the key changed: nothing of it is wrong
    lines = (copy / t.LEDGER).read_bytes().splitlines(True)
    (copy / t.LEDGER).unlink()
    (copy / t.LEDGER).write_bytes(b"".join(lines[:number - 1]))
    shutil.rmtree(copy / t.TREE)
    (copy / t.TREE).mkdir()
    (copy / t.CHECKPOINT).write_text(old.read_text())
    got = t.both(copy, None, [now])
    assert got["verdict"] in ("tile", "key"), got
    shutil.rmtree(copy / t.TREE)
    shutil.copytree(store / t.TREE, copy / t.TREE)
    assert t.both(copy)["verdict"] == "cut"
    got = t.both(store, None, [pathlib.Path(__file__)])
    assert (got["verdict"], got["file"]) == ("signature", __file__)


def test_all_of_it_by_another_key(store, tmp_path):
    """Who makes another ledger is found by who knows the key."""
    t.make(tmp_path / "other", 30)
    assert t.both(tmp_path / "other")["verdict"] == "ok"
    assert t.both(tmp_path / "other", keys(store)[0])["verdict"] == "key"
    got = t.both(tmp_path / "other", None, [store / t.CHECKPOINT])
    assert got["verdict"] == "key"


def test_unsigned_for_long(store, copy):
    text = (copy / t.LEDGER).read_bytes()
    n = text.count(b"\n")
    for i, day in ((1, b"30"), (2, b"31")):
        text += b'{"number":%d,"time":"2199-12-%sT00:00:00.000Z",' \
            b'"event":"alarm"}\n' % (n + i, day)
    (copy / t.LEDGER).unlink()
    (copy / t.LEDGER).write_bytes(text)
    got = t.both(copy)
    assert (got["verdict"], got["line"]) == ("unsigned", n + 1)


def test_one_operation_alone(store, copy):
    """--operation looks at the ledger, and at that operation's files."""
    import subprocess
    paths = sorted((copy / "recordings").rglob("*.cast"))
    paths[0].chmod(0o600)
    paths[0].write_bytes(b"changed")
    program = os.path.join(os.environ["POSTERN_BUILD"], "cli/postern")

    def code(*args):
        return subprocess.run([program, "verify", *args, str(copy)],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL,
                              check=False).returncode
    assert code("--operation", paths[1].stem) == 0
    assert code("--operation", paths[0].stem) == 1
    assert code("--session", w.ulid(0)) == 1
    assert code("--operation", w.ulid(4711)) == 69
    assert code("--operation", "x") == 64
    assert code("--key", "x") == 64


def test_what_retention_deleted(copy):
    """With its line a recording may be gone; its sidecar may not."""
    path = sorted((copy / "recordings").rglob("*.cast"))[1]
    audit = w.Audit(copy, "disk-reserve 1MiB\nretention-size 170B\n")
    end = time.monotonic() + 30
    while "retention.delete" not in [x["event"] for x in audit.ledger()]:
        assert time.monotonic() < end, "retention does nothing"
        time.sleep(0.1)
    audit.stop()
    assert t.both(copy)["verdict"] == "ok"
    gone = sorted((copy / "recordings").rglob("*.json"))[0]
    assert not gone.with_suffix(".cast").exists()
    gone.unlink()
    assert t.both(copy)["verdict"] == "missing"
    assert path.exists()
