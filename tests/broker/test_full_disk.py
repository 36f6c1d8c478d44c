"""postern-audit on a disk without room: what becomes of each write, who may look
meanwhile, and how it goes on.  A disk that is full for real, and one on which
the n-th call that wants room finds none (full.c)."""
import mmap
import os
import pathlib
import struct
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402
import tamper as t  # noqa: E402
from test_audit_process import small_disk  # noqa: E402, F401


@pytest.fixture
def disk(small_disk, tmp_path_factory):  # noqa: F811
    """Where the log is elsewhere, and has room."""
    (small_disk / "log").symlink_to(tmp_path_factory.mktemp("log") / "log")
    return small_disk


def fill(disk):
    """Not one byte more, beside what is in the last page of each file."""
    with open(disk / "filler", "ab", buffering=0) as f:
        for n in 4096, 1:
            try:
                while True:
                    f.write(b"x" * n)
            except OSError:
                pass


def full(audit):
    """And the ledger has no room in its last page, either."""
    fill(audit.folder)
    for size in 1000, 1:
        for _ in range(400):
            try:
                audit.event("login.refused", user="x" * size)
            except w.Refused:
                break
        else:
            raise AssertionError("it is not full")


def until(what, audit, seconds=30):
    end = time.monotonic() + seconds
    while not (got := what()):
        assert time.monotonic() < end, audit.read_log()
        time.sleep(0.05)
    return got


def views(audit):
    return [x for x in audit.ledger() if x["event"] == "view"]


def test_an_admin_may_look_and_an_auditor_not(disk):
    audit = w.Audit(disk, "disk-reserve 4KiB\n")
    op = w.ulid(5)
    audit.event("session.open", session=w.ulid(0), identity="shop")
    t.record(audit, op, b"hi")
    full(audit)
    rows, _ = audit.query("sessions")
    assert [r["kind"] for r in rows] == ["session", "operation"]
    (row,), _ = audit.query("show", id=op)
    assert row["state"] == "complete"
    assert not views(audit)
    said = [x for x in audit.read_log().splitlines() if "uid:0 looks" in x]
    assert len(said) == 2 and all(
        "ALARM" in x and "No space left on device" in x for x in said)
    # Contents are handed to nobody, nor anything to an auditor.
    for admin, what, keys in ((0, "sessions", {}), (0, "show", {"id": op}),
                              (1, "recording", {"id": op}),
                              (1, "recording", {"id": op, "as": "export"}),
                              (1, "manifest", {"id": op}),
                              (1, "files", {})):
        with pytest.raises(w.Refused, match="the ledger cannot be written"):
            audit.answer(audit.ask(what, admin=admin, **keys))
    (disk / "filler").unlink()
    audit.query("sessions")
    first, second, third = views(audit)
    assert "reason" not in third
    assert (first["what"], second["what"]) == ("sessions", "show")
    assert second["operation"] == op
    for e in first, second:
        assert e["viewer"] == "uid:0"
        assert e["reason"].startswith("shown at 2")
        assert "No space left on device" in e["reason"]
    audit.stop()


def test_as_many_views_may_be_owed_as_are_kept(disk):
    """64; the last of them are written when audit is told to end."""
    audit = w.Audit(disk, "disk-reserve 4KiB\n")
    audit.event("session.open", session=w.ulid(0), identity="shop")
    full(audit)
    for _ in range(64):
        audit.query("sessions")
    with pytest.raises(w.Refused, match="the ledger cannot be written"):
        audit.query("sessions")
    (disk / "filler").unlink()
    audit.stop()
    assert len([x for x in audit.ledger() if "reason" in x and
                x["event"] == "view"]) == 64


def test_an_index_that_cannot_follow_is_read_as_it_is(disk):
    """By who looks; retention, which would not see what is held, waits."""
    audit = w.Audit(disk, "disk-reserve 4KiB\n")
    audit.event("session.open", session=w.ulid(0), identity="shop")
    op, hop = w.ulid(5), None
    fds = audit.open(op)
    os.write(fds[0], t.HEADER)
    hop = w.Hop(*fds)
    audit.started(op, hop.pid)
    audit.query("sessions")
    fill(disk)
    hop.kill()
    # Out of the reserve, whose room somebody else takes at once.
    until(lambda: audit.ends(op), audit)
    full(audit)
    rows, _ = audit.query("sessions")
    assert rows[0]["session"] == w.ulid(0)
    (disk / "filler").unlink()
    until(lambda: audit.query("show", id=op)[0][0]["state"] == "interrupted",
          audit)
    audit.stop()


def test_a_tree_without_room_is_signed_later(disk):
    audit = w.Audit(disk, "disk-reserve 4KiB\n")
    op = w.ulid(5)
    fds = audit.open(op)
    os.write(fds[0], t.HEADER)
    hop = w.Hop(*fds)
    audit.started(op, hop.pid)
    t.sign_soon(audit)
    fill(disk)
    hop.kill()
    until(lambda: audit.ends(op), audit)    # out of the reserve
    fill(disk)
    until(lambda: "ALARM: the ledger is not signed any more" in
          audit.read_log(), audit)
    (disk / "filler").unlink()
    t.sign_soon(audit)
    until(lambda: [x["reason"] for x in audit.ledger()
                   if x["event"] == "alarm"][-1:] ==
          ["the ledger is signed again"], audit)
    t.sign_soon(audit)
    audit.stop()


# -- the n-th call ---------------------------------------------------------


LIB = pathlib.Path(os.environ["POSTERN_BUILD"]) / "tests/broker/.libs/full.so"
needs_lib = pytest.mark.skipif(not LIB.exists(),
                               reason="tests/broker/full.la is not built")


class Room:
    """The page of full.c."""

    def __init__(self, path):
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)
        self.env = {"LD_PRELOAD": str(LIB), "FULL_PAGE": str(path),
                    "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}

    def none_at(self, n, stays=False, text=b""):
        self.map[24:88] = text.ljust(64, b"\0")
        self.map[:24] = struct.pack("=qQQ", n, 0, stays)

    def again(self):
        """Whether there was none."""
        hits = self.hits()
        self.map[:8] = bytes(8)
        return hits > 0

    def hits(self):
        return struct.unpack_from("=Q", self.map, 8)[0]


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path / "page")


def verified(folder):
    """By both, which share nothing."""
    for argv in ([f"{os.environ['POSTERN_BUILD']}/cli/postern", "verify"],
                 ["/usr/bin/python3", str(pathlib.Path(
                     t.__file__).parents[2] / "doc/verify.py")]):
        p = subprocess.run([*argv, str(folder)], capture_output=True,
                           text=True)
        assert p.returncode == 0, p.stdout + p.stderr


def one(audit, op):
    """An operation with a recording; what it came to."""
    try:
        fds = audit.open(op)
    except w.Refused as e:
        assert "cannot be written" in str(e), e
        return None
    os.write(fds[0], t.HEADER + b'[0.1,"o","hi"]\n')
    hop = w.Hop(*fds)
    audit.started(op, hop.pid)
    hop.end(b"w")
    return audit.wait_end(op)


@needs_lib
def test_promise_2_disk_full_at_each_call(tmp_path, room):
    """Ledger, files, index and tree: an operation is refused and leaves
    nothing, or it has its recording and its end; and the next one goes
    through."""
    (tmp_path / "state").mkdir()
    audit = w.Audit(tmp_path / "state", env=room.env)
    recordings, n, refused = audit.folder / "recordings", 0, 0
    one(audit, w.ulid(1))
    while True:
        n += 1
        op = w.ulid(100 + n)
        room.none_at(n)
        end = one(audit, op)
        hit = room.again()
        there = list(recordings.glob(f"*/{op}.*"))
        if end is None:
            refused += 1
            assert not there, (n, there)
        else:
            assert len(there) == 2 and "recording_sha256" in end, (n, end)
        assert audit.proc.poll() is None, (n, audit.read_log())
        # A ledger whose disk said no to fdatasync is opened again, within a
        # second.
        until(lambda: one(audit, w.ulid(10000 + n * 50 + len(audit.ledger())
                                        % 50)), audit)
        if not hit:
            break
    assert refused > 3 and n > 15, (refused, n)
    t.sign_soon(audit)
    rows, _ = audit.query("sessions")
    audit.stop()
    verified(audit.folder)


@needs_lib
def test_a_checkpoint_finds_no_room(tmp_path, room):
    """Said, and all is signed when there is room."""
    (tmp_path / "state").mkdir()
    audit = w.Audit(tmp_path / "state", env=room.env)
    t.sign_soon(audit)
    room.none_at(1, stays=True, text=b"postern-ledger/1/")
    audit.event("login.refused", user="web-1")
    until(room.hits, audit)
    assert audit.event("login.refused", user="web-2")
    until(lambda: "ALARM: the ledger is not signed any more: No space" in
          audit.read_log(), audit)
    room.again()
    t.sign_soon(audit)
    audit.stop()
    assert any("not signed any more" in x.get("reason", "")
               for x in audit.ledger())
    verified(audit.folder)


@needs_lib
def test_retention_makes_room_where_there_is_none(tmp_path, room):
    """Its line comes out of the reserve."""
    (tmp_path / "state").mkdir()
    audit = w.Audit(tmp_path / "state", env=room.env)
    t.record(audit, w.ulid(5), b"x" * 3000)
    audit.stop()
    audit.settings = "disk-reserve 1MiB\nretention-size 1KiB\n"
    kept = tmp_path / "reserve"
    os.link(audit.folder / "ledger/reserve", kept)
    room.none_at(1, text=b'"event":"retention.delete"')
    audit.start()
    (line,) = until(lambda: [x for x in audit.ledger()
                             if x["event"] == "retention.delete"], audit)
    assert room.hits() == 1 and line["operation"] == w.ulid(5)
    assert kept.stat().st_nlink == 1    # spent
    until(lambda: not list(audit.folder.glob("recordings/*/*.cast")), audit)
    audit.stop()
    verified(audit.folder)
