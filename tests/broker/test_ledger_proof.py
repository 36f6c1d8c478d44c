"""What postern-audit signs: tree, checkpoints, keys, anchors; and what it does
when it cannot.  The judge is doc/verify.py, which knows the format's page
alone."""
import importlib.util
import os
import pathlib
import re
import shutil
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import audit_wire as w  # noqa: E402

spec = importlib.util.spec_from_file_location(
    "verify", HERE.parents[1] / "doc/verify.py")
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)


@pytest.fixture
def audit(tmp_path):
    it = w.Audit(tmp_path)
    yield it
    if it.proc.poll() is None:
        it.kill()


def judge(folder, key=None, *files):
    """What is wrong, or {"verdict": "ok"}."""
    try:
        s = verify.Store(folder, key, files)
        s.verify_ledger()
        s.verify_files()
        s.verify_restored()
        return {"verdict": "ok", "lines": s.size, "signed": s.at[1],
                "keys": s.keys}
    except verify.Wrong as e:
        return e.found


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def write(audit, n):
    for i in range(n):
        audit.event("login.refused", user="web-1", reason=f"{i}")


def signed(audit, n):
    until(lambda: judge(audit.folder).get("signed") == n)


def key_is_old(audit):
    old = time.time() - 91 * 86400
    os.utime(audit.folder / "ledger/key", (old, old))


def test_every_line_is_signed_soon_and_at_the_end(audit):
    write(audit, 3)
    signed(audit, 4)
    write(audit, 300)
    audit.stop()
    got = judge(audit.folder)
    assert (got["verdict"], got["lines"], got["signed"]) == ("ok", 304, 304)
    assert got["keys"] == [audit.ledger()[0]["key"]]
    tile = audit.folder / "ledger/tree/tile"
    assert (tile / "0/000").stat().st_size == 8192
    assert (tile / "entries/000").stat().st_size == 256 * 34
    assert not os.listdir(tile / "0/000.p")
    assert (tile / "1/000.p/1").stat().st_size == 32
    assert (audit.folder / "ledger/key").stat().st_mode & 0o777 == 0o600


def test_nothing_secret_or_said_is_in_the_tree(audit):
    """The folder tree/ can be published: hashes and a name, no key."""
    write(audit, 2)
    audit.stop()
    secret = (audit.folder / "ledger/key").read_text().split("+", 4)[-1]
    for path in (audit.folder / "ledger/tree").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"web-1" not in data and secret.encode() not in data


def test_a_store_without_a_tree_is_taken_up(audit):
    write(audit, 600)
    audit.kill()
    shutil.rmtree(audit.folder / "ledger/tree")
    (audit.folder / "ledger/key").unlink()
    lines = (audit.folder / "ledger/ledger.jsonl").read_bytes().splitlines()
    lines[0] = re.sub(rb',"key":"[^"]*"', b"", lines[0])
    (audit.folder / "ledger/ledger.jsonl").write_bytes(
        b"\n".join(lines) + b"\n")
    audit.start()
    signed(audit, 602)
    assert "ALARM" not in audit.read_log()


def test_killed_at_any_moment_it_goes_on(audit):
    for i in range(6):
        write(audit, 90)
        time.sleep(0.11 * (i % 4))
        audit.kill()
        audit.start()
        assert judge(audit.folder)["verdict"] == "ok"
    signed(audit, 6 * 91 + 1)
    assert "ALARM" not in audit.read_log()


@pytest.mark.parametrize("gone", [
    "tile", "tile/0", "tile/0/000", "tile/1", "tile/entries/001"])
def test_lost_tiles_are_made_anew(audit, gone):
    write(audit, 599)
    audit.stop()
    path = audit.folder / "ledger/tree" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    audit.start()
    audit.stop()
    got = judge(audit.folder)
    if gone == "tile/entries/001":      # no edge needs it: verify names it
        assert (got["verdict"], got["file"]) == (
            "tile", "ledger/tree/tile/entries/001")
    else:
        assert got["verdict"] == "ok"


def test_another_key_is_named_by_the_one_before(audit):
    write(audit, 3)
    first = audit.ledger()[0]["key"]
    key_is_old(audit)
    audit.kill()
    audit.start()           # reads how old it is
    write(audit, 1)
    until(lambda: "signed by another key" in audit.read_log())
    signed(audit, len(audit.ledger()))
    got = judge(audit.folder, first)
    assert got["verdict"] == "ok" and len(got["keys"]) == 2
    line = [x for x in audit.ledger() if x["event"] == "ledger.key"][0]
    assert line["key"] == got["keys"][1]
    assert not (audit.folder / "ledger/key.next").exists()
    audit.stop()
    audit.start()
    assert judge(audit.folder)["keys"] == got["keys"]


@pytest.mark.parametrize("line", [True, False])
def test_a_crash_between_two_keys(audit, line):
    """key.next counts when the ledger has named it, and not else."""
    write(audit, 3)
    signed(audit, 4)
    keep = {n: (audit.folder / "ledger" / n).read_bytes()
            for n in ("key", "tree/checkpoint")}
    key_is_old(audit)
    audit.kill()
    lines = (audit.folder / "ledger/ledger.jsonl").read_bytes()
    audit.start()
    write(audit, 1)
    until(lambda: "signed by another key" in audit.read_log())
    audit.kill()
    # as it was when the line was written (or was not), and no more
    now = (audit.folder / "ledger/ledger.jsonl").read_bytes()
    at = now.index(b"ledger.key")
    now = now[:now.index(b"\n", at) + 1]
    folder = audit.folder / "ledger"
    (folder / "ledger.jsonl").write_bytes(now if line else lines)
    (folder / "key").rename(folder / "key.next")
    (folder / "key").write_bytes(keep["key"])
    (folder / "tree/checkpoint").unlink()
    (folder / "tree/checkpoint").write_bytes(keep["tree/checkpoint"])
    shutil.rmtree(audit.folder / "store")
    (audit.folder / "store").mkdir()
    audit.start()
    audit.stop()
    got = judge(audit.folder)
    assert got["verdict"] == "ok", got
    assert len(got["keys"]) == 1 + line
    assert not (folder / "key.next").exists()


# -- what stops it --------------------------------------------------------


def change(audit, number, old, new):
    path = audit.folder / "ledger/ledger.jsonl"
    lines = path.read_bytes().splitlines(True)
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new)
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("n, number", [(5, 3), (700, 3), (700, 690)])
def test_a_changed_line_is_not_signed_anew(audit, n, number):
    """Found at the start where it is in the last tile; else by verify.  What
    was signed stays, and so do the tiles, which say where."""
    write(audit, n)
    audit.stop()
    change(audit, number, b"web-1", b"web-2")
    audit.start()
    audit.event("session.open", session=w.ulid(999), user="x")
    time.sleep(1.5)
    got = judge(audit.folder)
    assert (got["verdict"], got["line"]) == ("changed", number)
    if number > n // 256 * 256:
        assert "ALARM: the ledger is not signed any more: its lines are " \
            "not those that were signed" in audit.read_log()
        alarm = [x for x in audit.ledger() if x["event"] == "alarm"]
        assert alarm[0]["process"] == "audit"


def test_signing_stops_and_goes_on(audit):
    """Lost lines: an alarm in log and ledger; put back, it signs again."""
    write(audit, 10)
    audit.stop()
    path = audit.folder / "ledger/ledger.jsonl"
    good = path.read_bytes()
    path.write_bytes(b"".join(good.splitlines(True)[:6]))
    audit.start()
    until(lambda: any(x["event"] == "alarm" for x in audit.ledger()))
    assert "lines are gone" in audit.ledger()[-1]["reason"]
    assert judge(audit.folder)["verdict"] == "cut"
    audit.stop()
    path.write_bytes(good)
    audit.start()
    audit.stop()
    assert judge(audit.folder)["verdict"] == "ok"


@pytest.mark.parametrize("what", ["key", "checkpoint", "other key"])
def test_a_key_that_is_not_the_ledgers(audit, what):
    write(audit, 10)
    audit.stop()
    folder = audit.folder / "ledger"
    if what == "key":
        (folder / "key").unlink()
    elif what == "checkpoint":
        (folder / "tree/checkpoint").unlink()
    else:
        (folder / "key").write_text("PRIVATE+KEY+x\n")
    audit.start()
    until(lambda: "ALARM" in audit.read_log())
    audit.event("session.open", session=w.ulid(999), user="x")
    audit.stop()
    # a checkpoint is made anew, which the log says; a key never is
    assert judge(audit.folder)["verdict"] == "ok"
    assert (folder / "key").exists() == (what != "key")


# -- anchors --------------------------------------------------------------


def test_anchors_in_the_log_hold_the_ledger(audit):
    audit.kill()
    audit.settings += "anchor-interval 1s\n"
    audit.start()
    write(audit, 5)
    until(lambda: len(re.findall("anchor postern", audit.read_log())) >= 1)
    audit.stop()
    log = str(audit.folder / "log")
    assert judge(audit.folder, None, log)["verdict"] == "ok"
    # all of it written anew by who has the key of today
    size = int(re.findall(r"anchor \S+ (\d+)", audit.read_log())[-1])
    assert size > 1
    path = audit.folder / "ledger/ledger.jsonl"
    change(audit, 2, b"web-1", b"web-2") if b"web-1" in \
        path.read_bytes().splitlines()[1] else \
        change(audit, 3, b"web-1", b"web-2")
    shutil.rmtree(audit.folder / "ledger/tree")
    audit.start()
    audit.stop()
    assert judge(audit.folder)["verdict"] == "ok"
    keep = audit.folder / "log.kept"
    keep.write_text("\n".join(
        x for x in open(log).read().splitlines()
        if re.search(rf"anchor \S+ {size} ", x)) + "\n")
    assert judge(audit.folder, None, str(keep))["verdict"] == "rollback"
