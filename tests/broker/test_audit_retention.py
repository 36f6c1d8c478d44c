"""Retention, holds and quotas: postern-audit alone, on socket pairs."""
import hashlib
import json
import os
import pathlib
import random
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402
from clock import Clock  # noqa: E402

HEADER = b'{"version":2,"width":80,"height":24}\n'
RESERVE = "disk-reserve 1MiB\n"
COMMIT = "1f0c7a2e9b3d4c5f60718293a4b5c6d7e8f90a1b"


@pytest.fixture
def audit(tmp_path):
    it = w.Audit(tmp_path)
    yield it
    if it.proc.poll() is None:
        it.kill()


def ran(audit, n, size=1000, **fields):
    """An operation from its beginning to its end; its id."""
    op = w.ulid(n)
    fds = audit.open(op, **fields)
    os.write(fds[0], HEADER + b'[0.1,"o","' + b"x" * size + b'"]\n')
    hop = w.Hop(*fds)
    audit.started(op, hop.pid)
    hop.end(b"w")
    audit.wait_end(op)
    return op


def again(audit, settings):
    """The same folder, with other settings."""
    audit.kill()
    audit.settings = RESERVE + settings
    audit.start()


def there(audit):
    return sorted(p.stem for p in
                  (audit.folder / "recordings").glob("*/*.cast"))


def wait_gone(audit, ops, seconds=20):
    end = time.monotonic() + seconds
    while set(ops) & set(there(audit)):
        assert time.monotonic() < end, (there(audit), audit.read_log())
        time.sleep(0.02)


def logged(audit, words, times):
    end = time.monotonic() + 20
    while audit.read_log().count(words) < times:
        assert time.monotonic() < end, audit.read_log()
        time.sleep(0.02)


def deletions(audit):
    return [e for e in audit.ledger() if e["event"] == "retention.delete"]


def test_size_oldest_first_hashes_stay(audit):
    ops = [ran(audit, n) for n in range(1, 6)]
    sums = {op: hashlib.sha256(audit.recording(op).read_bytes()).hexdigest()
            for op in ops}
    one = audit.recording(ops[0]).stat().st_size
    ends = {e["operation"]: e for e in audit.ledger()
            if e["event"] == "operation.end"}
    assert all(e["recording_bytes"] == one for e in ends.values())
    sidecar = audit.sidecar(ops[0])
    side = audit.recording(ops[0]).with_suffix(".json")
    again(audit, f"retention-size {2 * one + 10}B\n")
    wait_gone(audit, ops[:3])
    assert there(audit) == sorted(ops[3:])
    got = deletions(audit)
    assert [e["operation"] for e in got] == ops[:3]
    for e in got:
        assert e["retention"] == "size" and e["recording_bytes"] == one
        assert e["recording_sha256"] == sums[e["operation"]]
        assert e["recording"] == ends[e["operation"]]["recording"]
    assert [json.loads(x) for x in side.read_text().splitlines()] == sidecar
    (row,), fds = audit.query("show", id=ops[0])
    assert row["deleted"] == got[0]["time"] and row["retention"] == "size"
    assert row["state"] == "complete" and row["exit"] == 3 and not fds
    with pytest.raises(w.Refused, match="deleted by retention on " +
                       got[0]["time"]):
        audit.query("recording", id=ops[0])
    audit.query("recording", id=ops[4])


def aged(audit, days):
    """As if all that is there had happened earlier."""
    audit.kill()
    path = audit.folder / "ledger/ledger.jsonl"
    then = time.time() - days * 86400
    day = time.strftime("%Y-%m-%dT", time.gmtime(then))
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    for line in lines:
        line["time"] = day + line["time"][11:]
    path.write_text("".join(
        json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    for f in (audit.folder / "store").glob("postern.db*"):
        f.unlink()


def test_age_and_not_before(audit):
    old = [ran(audit, n) for n in (1, 2)]
    aged(audit, 40)
    audit.start()
    young = ran(audit, 3)
    again(audit, "retention-age 50d\n")
    time.sleep(0.3)
    assert len(there(audit)) == 3 and not deletions(audit)
    again(audit, "retention-age 30d\n")
    wait_gone(audit, old)
    assert there(audit) == [young]
    assert {e["retention"] for e in deletions(audit)} == {"age"}


def test_a_clock_that_was_set_ages_nothing(tmp_path):
    """A month that came in one step is none; a month that passed is."""
    clock = Clock(tmp_path / "clock")
    audit = w.Audit(tmp_path, RESERVE + "retention-age 30d\n", clock.env)
    try:
        op = ran(audit, 1)
        for n, ahead in enumerate((40 * 86400, 4000 * 86400, -10**9)):
            clock(ahead, passed=62 * n + 31)  # beyond a round
            audit.query("holds")  # wakes it
            logged(audit, "ALARM: the clock was set", n + 1)
            clock(0, passed=62 * n + 62)
            audit.query("holds")
            logged(audit, "as it was, and is believed", n + 1)
        assert there(audit) == [op] and not deletions(audit)
        clock(0, passed=40 * 86400)
        audit.query("holds")
        wait_gone(audit, [op])
    finally:
        audit.kill()


def test_without_a_setting_all_is_kept(audit):
    ops = [ran(audit, 1)]
    aged(audit, 4000)
    audit.start()
    time.sleep(0.3)
    assert there(audit) == ops and not deletions(audit)


def test_holds(audit):
    """By session and by the beginning of a commit; each is a line."""
    session = w.ulid(9)
    audit.event("session.open", session=session, user="web-1")
    a = ran(audit, 1, session=session)
    b = ran(audit, 2, commit=COMMIT)
    c = ran(audit, 3)
    audit.query("hold-add", session=session, reason="case 7")
    audit.query("hold-add", commit=COMMIT[:9])
    for what, keys, why in [
            ("hold-add", {"session": session}, "held already"),
            ("hold-add", {"session": w.ulid(8)}, "no session"),
            ("hold-add", {"commit": "1f0c"}, "7 digits"),
            ("hold-add", {"commit": "; DROP TABLE"}, "7 digits"),
            ("hold-add", {}, "a session or on a commit"),
            ("hold-add", {"commit": COMMIT, "session": session}, "or on a"),
            ("hold-remove", {"commit": COMMIT}, "not held")]:
        with pytest.raises(w.Refused, match=why):
            audit.query(what, **keys)
    lines = [e for e in audit.ledger() if e["event"].startswith("hold.")]
    assert [(e["event"], e.get("session"), e.get("commit"), e["asker"],
             e.get("reason")) for e in lines] == [
        ("hold.add", session, None, "uid:0", "case 7"),
        ("hold.add", None, COMMIT[:9], "uid:0", None)]
    again(audit, "retention-size 1B\n")
    wait_gone(audit, [c])
    # An index that is made anew knows them, too.
    audit.kill()
    for f in (audit.folder / "store").glob("postern.db*"):
        f.unlink()
    audit.start()
    time.sleep(0.3)
    assert there(audit) == sorted([a, b])
    rows, _ = audit.query("holds")
    assert [(r["kind"], r.get("session"), r.get("commit")) for r in rows] == [
        ("hold", session, None), ("hold", None, COMMIT[:9])]
    assert rows[0]["reason"] == "case 7" and rows[0]["asker"] == "uid:0"
    audit.query("hold-remove", commit=COMMIT[:9], reason="over")
    again(audit, "retention-size 1B\n")
    wait_gone(audit, [b])
    assert there(audit) == [a]


def test_holds_have_a_bound(audit):
    for n in range(1000):
        audit.query("hold-add", commit="%07x" % n)
    with pytest.raises(w.Refused, match="1000 holds"):
        audit.query("hold-add", commit="fffffff")
    assert len(audit.query("holds")[0]) == 1000


def test_what_has_its_line_goes_after_a_start(audit):
    op = ran(audit, 1)
    path = audit.recording(op)
    data = path.read_bytes()
    again(audit, "retention-size 1B\n")
    wait_gone(audit, [op])
    audit.kill()
    path.write_bytes(data)      # as if it had died in between
    audit.settings = RESERVE    # nothing is to be deleted any more
    audit.start()
    wait_gone(audit, [op])
    assert len(deletions(audit)) == 1


def test_a_kill_at_any_moment_leaves_line_or_recording(audit):
    ops = [ran(audit, n, 10) for n in range(1, 61)]
    for _ in range(12):
        again(audit, "retention-size 1B\n")
        time.sleep(random.uniform(0, 0.02))
        audit.kill()
        text = (audit.folder / "ledger/ledger.jsonl").read_text()
        lines = [json.loads(x) for x in text.splitlines(True)
                 if x.endswith("\n")]
        gone = [e["operation"] for e in lines
                if e["event"] == "retention.delete"]
        assert len(gone) == len(set(gone))
        assert set(ops) - set(there(audit)) <= set(gone)
        assert len(set(there(audit)) & set(gone)) <= 1
        audit.start()
    wait_gone(audit, ops)
    assert sorted(e["operation"] for e in deletions(audit)) == sorted(ops)


def test_a_ledger_that_cannot_be_written_deletes_nothing(audit):
    op = ran(audit, 1)
    audit.kill()
    audit.settings = RESERVE + "retention-size 1B\n"
    ledger = audit.folder / "ledger"
    ledger.rename(audit.folder / "away")
    ledger.mkdir()
    (ledger / "ledger.jsonl").mkdir()   # cannot be opened
    audit.start()
    time.sleep(0.5)
    assert there(audit) == [op]


def test_a_quota_counts_what_ended_and_what_runs(audit):
    again(audit, "recording-quota 4KiB\n")
    ran(audit, 1, 3000, identity="shop")
    fds = audit.open(w.ulid(2), identity="shop")
    os.write(fds[0], HEADER + b'[0.1,"o","' + b"x" * 2000 + b'"]\n')
    with pytest.raises(w.Refused, match="identity shop has recorded .* quota"):
        audit.open(w.ulid(3), identity="shop")
    assert audit.wait_end(w.ulid(3))["state"] == "aborted"
    ran(audit, 4, identity="other")
    for fd in fds:
        os.close(fd)
    audit.wait_end(w.ulid(2))
    with pytest.raises(w.Refused, match="recording-quota"):
        audit.open(w.ulid(5), identity="shop")
    # Yesterday's does not count.
    aged(audit, 1)
    audit.start()
    ran(audit, 6, identity="shop")
