"""postern-audit alone, on socket pairs: what it writes, what it refuses, and
what is left of it after it was killed.  The numbers of promises are those of
doc/PROMISES.md."""
import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import random
import resource
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402

HEADER = b'{"version":2,"width":80,"height":24}\n'
OP = w.ulid(1)


@pytest.fixture
def audit(tmp_path):
    it = w.Audit(tmp_path)
    yield it
    if it.proc.poll() is None:
        it.kill()


def opened(audit, op=OP, cast=HEADER + b'[0.1,"o","hi"]\n'):
    fds = audit.open(op)
    os.write(fds[0], cast)
    return w.Hop(*fds)


# -- events ---------------------------------------------------------------


def test_events_are_numbered_lines(audit):
    assert audit.event("session.open", session=w.ulid(0), user="web-1",
                       commit="1f0c") == 2
    assert audit.event("login.refused", user="web-1",
                       reason="\x1b]0;evil\x07") == 3
    first, second, third = audit.ledger()
    assert first["event"] == "start"
    assert second["commit"] == "1f0c" and second["user"] == "web-1"
    assert third["reason"] == "\x1b]0;evil\x07"
    raw = (audit.folder / "ledger/ledger.jsonl").read_bytes()
    assert b"\x1b" not in raw and b"\x07" not in raw


@pytest.mark.parametrize("kind, fields", [
    ("start", {}), ("view", {"viewer": "uid:0"}),
    ("retention.delete", {"operation": OP}), ("hold.add", {"commit": "1f0c"}),
    ("hold.remove", {"commit": "1f0c"}),
    ("alarm", {"reason": "died"}), ("session.open", {"process": "policy"}),
    ("ledger.key", {"key": "x"}), ("session.open", {"checkpoint": "x"}),
    ("operation.end", {"operation": OP, "state": "complete"}),
    ("operation.decide", {"operation": OP, "recording": "x"}),
    ("operation.decide", {"operation": OP, "exit": 0}),
    ("session.open", {"user": b"\xff"}),
    ("session.open", {"user": b"a\0b"}),
    (99, {}),
])
def test_what_audit_alone_may_say_is_refused(audit, kind, fields):
    with pytest.raises(w.Refused):
        audit.event(kind, **fields)
    assert len(audit.ledger()) == 1
    assert audit.event("session.open", session=w.ulid(0)) == 2


@pytest.mark.parametrize("kind, fields", [
    ("session.open", {"session": w.ulid(0)}), ("policy.load", {}),
    ("session.close", {"session": w.ulid(0)}), ("question", {}),
    ("operation.decide", {"operation": OP, "verdict": "deny"}),
    ("certificate.issue", {}), ("certificate.login", {}), ("kill", {}),
    ("lock", {}), ("unlock", {}), ("control.refused", {}),
])
def test_oidc_speaks_of_refusals_alone(audit, kind, fields):
    audit.link("oidc")
    with pytest.raises(w.Refused):
        audit.event(kind, **fields)
    assert audit.event("login.refused", user="web-1", reason="expired") == 2


def test_the_parents_alarm(audit):
    """Written, and said to be; what cannot be written is said, too."""
    body = w.text("policy") + w.text("died (signal 9); started again")
    w.send(audit.parent, w.MSG["ALARM"], body, 5)
    assert w.receive(audit.parent)[:3] == (w.MSG["ALARM_DONE"], 5, w.u32(0))
    last = audit.ledger()[-1]
    assert (last["event"], last["process"], last["reason"]) == \
        ("alarm", "policy", "died (signal 9); started again")
    w.send(audit.parent, w.MSG["ALARM"], w.text(b"\xff") + w.text("x"), 6)
    got = w.receive(audit.parent)
    assert got[:2] == (w.MSG["ALARM_DONE"], 6) and got[2] != w.u32(0)
    assert audit.ledger()[-1] == last
    w.send(audit.parent, w.MSG["ALARM"], body + b"x")
    assert audit.proc.wait(10) != 0


def test_a_field_twice_is_refused(audit):
    got = audit.call(w.EVENT, w.event("session.open", user="a") +
                     w.event("session.open", user="b")[4:])
    assert got[2][:4] != bytes(4)
    assert len(audit.ledger()) == 1


def test_a_broken_message_ends_the_process(audit):
    w.send(audit.policy, w.OP_STARTED, b"\xff", fds=[0])
    assert audit.proc.wait(10) != 0


def test_10_who_does_not_listen_is_asked_nothing_more(audit):
    """As many questions as there is room for, and no answer read: audit
    writes what it has read, waits, and goes on where it stopped."""
    body, sent, heard, n = w.event("session.open", user="a"), 0, 0, 1500
    audit.link(narrow=True)
    sock, listens = audit.policy, False
    sock.setblocking(False)
    end = time.monotonic() + 60
    while heard < n:
        assert time.monotonic() < end and audit.proc.poll() is None
        got = select.select([sock] * listens, [sock] * (sent < n), [], 0.3)
        listens = listens or not got[1]
        with contextlib.suppress(BlockingIOError):
            if got[0]:
                kind, ident, answer, _ = w.receive(sock)
                heard += 1
                assert (kind, ident, answer[:4]) == (w.EVENT_DONE, heard,
                                                     w.u32(0))
            if got[1]:
                w.send(sock, w.EVENT, body, sent + 1)
                sent += 1
    assert sent == n and listens
    assert [e["number"] for e in audit.ledger()] == list(
        range(1, n + 2))


# -- one operation --------------------------------------------------------


def test_an_operation_from_decision_to_end(audit):
    hop = opened(audit)
    audit.started(OP, hop.pid)
    decide = audit.ledger()[-1]
    assert decide["event"] == "operation.decide"
    assert decide["recording"].endswith(OP + ".cast")
    hop.end(b"w")
    end = audit.wait_end(OP)
    data = audit.recording(OP).read_bytes()
    assert end["state"] == "complete" and end["exit"] == 3
    assert end["recording_sha256"] == hashlib.sha256(data).hexdigest()
    assert audit.sealed(OP)
    first, said, closed = audit.sidecar(OP)
    assert first["kind"] == "open" and first["number"] == decide["number"]
    assert first["command"] == "'true'"
    assert said["kind"] == "hop"
    assert closed["kind"] == "closed" and closed["state"] == "complete"
    assert closed["recording_sha256"] == end["recording_sha256"]
    (row,), _ = audit.query("show", id=OP)
    assert row["state"] == "complete" and row["exit"] == 3


def test_promise_9_a_killed_hop_loses_nothing_that_was_written(audit):
    for i in range(10):
        op = w.ulid(100 + i)
        hop = opened(audit, op, HEADER)
        audit.started(op, hop.pid)
        os.write(hop.go, b"b")
        time.sleep(random.uniform(0.002, 0.02))
        hop.kill()
        end = audit.wait_end(op)
        data = audit.recording(op).read_bytes()
        assert end["state"] == "interrupted" and end["reason"]
        assert data.endswith(b"\n") and data.startswith(HEADER)
        assert end["recording_sha256"] == hashlib.sha256(data).hexdigest()


def test_a_hop_that_lies_in_its_sidecar_is_not_believed(audit):
    cast, side = audit.open(OP)
    os.write(cast, HEADER)
    os.write(side, b'{"kind":"hop","exit":0}\n{"kind":"hop","exit":1}\n'
             b'{"kind":"closed","state":"complete"}\n')
    hop = w.Hop(cast, side)
    audit.started(OP, hop.pid)
    hop.end()
    end = audit.wait_end(OP)
    assert end["state"] == "interrupted" and "exit" not in end
    assert audit.sidecar(OP)[-1]["state"] == "interrupted"


# -- files ----------------------------------------------------------------


def line(verb="put", path="/srv/a", result="done", **more):
    return json.dumps({"kind": "file", "verb": verb, "path": path,
                       "result": result} | more,
                      separators=(",", ":")).encode() + b"\n"


HOP_LINE = b'{"kind":"hop","exit":0,"duration_ms":5}\n'
SUMS = ("files", "files_refused", "bytes_read", "bytes_written",
        "manifest_sha256")


def ended(audit, side_bytes, op=OP):
    """operation.end of a hop that wrote that and died."""
    cast, side = audit.open(op)
    os.write(cast, HEADER)
    for i in range(0, len(side_bytes), 1 << 16):
        os.write(side, side_bytes[i:i + (1 << 16)])
    hop = w.Hop(cast, side)
    audit.started(op, hop.pid)
    hop.end()
    return audit.wait_end(op)


def test_a_manifest_is_added_up(audit):
    lines = [line(bytes=7, sha256="a" * 64, rule="ship"),
             line("get", "/var/log/a", bytes=30, ranges=[[0, 10], [20, 40]],
                  more=True),
             line("put", "/etc/x", "refused", rule="keys"),
             line("rename", "/srv/a", to="/srv/b"),
             line("put", "/srv/\u00e9 \\x0a", "cut", bytes=1)]
    end = ended(audit, b"".join(lines) + HOP_LINE)
    assert (end["state"], end["exit"]) == ("complete", 0)
    assert [end[k] for k in SUMS] == [
        5, 1, 30, 8, hashlib.sha256(b"".join(lines)).hexdigest()]
    (row,), (fd,) = audit.query("manifest", id=OP)
    assert row["files"] == 5
    with open(fd, "rb") as f:
        assert [x for x in f if x.startswith(b'{"kind":"file",')] == lines
        with pytest.raises(OSError):
            os.write(f.fileno(), b"x")
    assert audit.ledger()[-1]["event"] == "view"
    assert audit.sealed(OP)


def test_a_long_manifest_is_read_in_pieces(audit):
    lines = b"".join(line(path=f"/srv/{i}/" + "x" * 2000, bytes=1)
                     for i in range(6000))
    assert len(lines) > 11 << 20
    end = ended(audit, lines + HOP_LINE)
    assert [end[k] for k in SUMS] == [
        6000, 0, 0, 6000, hashlib.sha256(lines).hexdigest()]


def test_a_file_that_was_begun_counts_once(audit):
    """Whether or not another line ends it; the hop was killed in the third."""
    lines = [line(result="begun", begun=1),
             line("get", "/srv/b", "begun", begun=2),
             line("get", "/srv/b", "failed", bytes=5, begun=2),
             line(bytes=7, begun=1), line("mkdir", "/srv/d"),
             line(path="/srv/c", result="begun", begun=3)]
    end = ended(audit, b"".join(lines))
    assert end["state"] == "interrupted"
    assert [end[k] for k in SUMS] == [
        4, 0, 5, 7, hashlib.sha256(b"".join(lines)).hexdigest()]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_half_a_line_of_a_hop_that_died(audit, cut):
    end = ended(audit, line(bytes=7) + line(path="/srv/b", bytes=9)[:cut])
    assert end["state"] == "interrupted"
    assert "without its last words" in end["reason"]
    assert (end["files"], end["bytes_written"]) == (1, 7)
    assert end["manifest_sha256"] == hashlib.sha256(line(bytes=7)).hexdigest()


@pytest.mark.parametrize("bad", [
    b'{"kind":"file",}\n', b'{"kind":"file","verb":"put","path":"/a"}\n',
    line(colour="red"), line(bytes=-1), line(bytes="7"), line(sha256="x"),
    line(ranges=[[2, 1]]), line(ranges=[1]), line(more=False), line(path=1),
    line(bytes=2**62) + line(bytes=2**62), line(path="x" * 70000),
    line()[:-2] + b',"path":"/b"}\n', b'{"kind":"file","x\n',
    line(result="begun"), line(result="begun", begun=2), line(begun=1),
    line(result="begun", begun="1"), line(result="begun", begun=1) * 2,
    line(result="begun", begun=1) + line(begun=2),
    line(result="begun", begun=1) + line(begun=1) * 2,
    line(result="begun", begun=1) + line(begun=0)])
def test_a_malformed_manifest_has_no_sums(audit, bad):
    end = ended(audit, line() + bad + HOP_LINE)
    assert end["state"] == "interrupted" and "malformed" in end["reason"]
    assert not set(SUMS) & set(end)


def test_nothing_of_a_manifest_comes_behind_the_hops_line(audit):
    end = ended(audit, line() + HOP_LINE + line())
    assert end["state"] == "interrupted" and "malformed" in end["reason"]


def test_a_cut_last_line_is_removed(audit):
    hop = opened(audit, OP, HEADER + b'[0.1,"o","hi"]\n[0.2,"o","cu')
    audit.started(OP, hop.pid)
    hop.kill()
    audit.wait_end(OP)
    assert audit.recording(OP).read_bytes() == HEADER + b'[0.1,"o","hi"]\n'


def test_abort(audit):
    cast, side = audit.open(OP)
    os.close(cast)
    os.close(side)
    audit.abort(OP, "the hop could not be started")
    end = audit.wait_end(OP)
    assert end["state"] == "aborted"
    assert end["reason"] == "the hop could not be started"
    assert audit.sidecar(OP)[-1]["state"] == "aborted"


def test_abort_waits_for_a_writer(audit):
    hop = opened(audit)
    audit.abort(OP, "its shell has left")
    time.sleep(1.5)
    assert not audit.ends(OP)
    hop.end()
    assert audit.wait_end(OP)["state"] == "aborted"


def test_an_operation_that_nobody_starts_is_closed(audit):
    for fd in audit.open(OP):
        os.close(fd)
    assert audit.wait_end(OP)["state"] == "interrupted"


@pytest.mark.parametrize("op, fields", [
    ("../../../../etc/passwd", {}),
    (OP.lower(), {}),
    (OP, {"verdict": "deny"}),
    (OP, {"operation": w.ulid(2)}),
])
def test_a_wrong_opening_ends_the_process(audit, op, fields):
    with pytest.raises((w.Refused, ConnectionError)):
        audit.open(op, **fields)
    assert audit.proc.wait(10) != 0
    assert not list((audit.folder / "recordings").iterdir())


def test_a_policy_process_that_starts_again_cuts_nothing(audit):
    hop = opened(audit)
    audit.started(OP, hop.pid)
    audit.policy.close()
    audit.link()
    assert audit.event("session.open", session=w.ulid(0)) == 3
    hop.end(b"w")
    assert audit.wait_end(OP)["state"] == "complete"


# -- owned ----------------------------------------------------------------


def files_of(audit, op):
    cast = audit.recording(op)
    return cast.read_bytes(), cast.with_suffix(".json").read_bytes()


def passed_on(fds):
    """As an owned hop does with its descriptors before it dies: they are in a
    message that nobody has read yet."""
    a, b = socket.socketpair()
    socket.send_fds(a, [b"x"], fds)
    return a, b


@pytest.mark.parametrize("size", [40, 9 << 20])
@pytest.mark.parametrize("how", ["kept", "passed on"])
def test_promise_2_what_is_sealed_stays_though_a_hop_passed_it_on(
        audit, how, size):
    line = b'[0.1,"o","' + b"x" * 3000 + b'"]\n'
    cast, side = audit.open(OP)
    os.write(cast, HEADER + line * (size // len(line)))
    kept = [os.dup(cast), os.dup(side)]
    if how == "passed on":
        way = passed_on(kept)
        for fd in kept:
            os.close(fd)
    hop = w.Hop(cast, side)
    audit.started(OP, hop.pid)
    hop.end(b"w")
    if how == "kept":  # while it is being closed, too
        os.write(kept[0], b'[9,"o","forged"]\n')
    end = audit.wait_end(OP)
    assert end["state"] == "complete" and audit.sealed(OP)
    before = files_of(audit, OP)
    if how == "passed on":
        _, kept, _, _ = socket.recv_fds(way[1], 10, 2)
        for s in way:
            s.close()
    for fd in kept:
        os.ftruncate(fd, 0)
        os.write(fd, b"forged\n")
        os.close(fd)
    assert files_of(audit, OP) == before
    assert hashlib.sha256(before[0]).hexdigest() == end["recording_sha256"]
    assert b"forged\n" not in before[0] + before[1]
    assert not list(audit.recording(OP).parent.glob("*.copy"))
    assert "still open somewhere" in audit.read_log()
    audit.started(OP, os.getpid())  # it is as alive as it was
    assert audit.event("session.open", session=w.ulid(0))


def test_promise_2_cut_while_it_is_copied(audit):
    """Whatever an owner does meanwhile: what is sealed is what was hashed."""
    for i in range(8):
        op = w.ulid(300 + i)
        cast, side = audit.open(op)
        os.write(cast, HEADER + b'[0.1,"o","xxxxxxxx"]\n' * 200000)
        kept = os.dup(cast)
        hop = w.Hop(cast, side)
        audit.started(op, hop.pid)
        hop.end(b"w")
        while not audit.ends(op):
            os.ftruncate(kept, random.randrange(1 << 22))
            os.write(kept, b"forged" * 1000)
        os.close(kept)
        end = audit.wait_end(op)
        data = audit.recording(op).read_bytes()
        assert audit.sealed(op)
        assert data.startswith(HEADER) and data.endswith(b"\n")
        assert end["recording_sha256"] == hashlib.sha256(data).hexdigest()


def test_nothing_is_copied_when_nobody_has_it(audit):
    hop = opened(audit)
    inode = audit.recording(OP).stat().st_ino
    audit.started(OP, hop.pid)
    hop.end(b"w")
    audit.wait_end(OP)
    assert audit.sealed(OP) and audit.recording(OP).stat().st_ino == inode
    assert "still open" not in audit.read_log()


# -- killed, restarted ----------------------------------------------------


def test_promise_9_a_restart_cuts_no_running_operation(audit):
    hop = opened(audit)
    audit.started(OP, hop.pid)
    audit.kill()
    audit.start()
    time.sleep(1.5)
    assert not audit.ends(OP), "closed under a living hop"
    (row,), _ = audit.query("show", id=OP)
    assert row["state"] == "running"
    hop.end(b"w")
    assert audit.wait_end(OP)["state"] == "complete"


def test_a_hop_that_died_meanwhile_is_closed_at_the_start(audit):
    hop = opened(audit)
    audit.started(OP, hop.pid)
    audit.kill()
    hop.kill()
    audit.start()
    end = audit.wait_end(OP)
    assert end["state"] == "interrupted"
    assert audit.sealed(OP)


def test_a_recording_that_is_gone_is_said(audit):
    hop = opened(audit)
    audit.kill()
    hop.kill()
    shutil.rmtree(audit.folder / "recordings")
    (audit.folder / "recordings").mkdir()
    audit.start()
    end = audit.wait_end(OP)
    assert end["state"] == "interrupted" and "recording_sha256" not in end


def test_numbers_have_no_gap_after_kills_at_any_moment(audit):
    answered, ids = 1, itertools.count(2000)
    for i in range(15):
        limit = time.monotonic() + random.uniform(0, 0.05)
        try:
            while time.monotonic() < limit:
                n = audit.event("session.open", session=w.ulid(next(ids)))
                assert n > answered
                answered = n
            if i % 3 == 0:
                for fd in audit.open(w.ulid(1000 + i)):
                    os.close(fd)
            # One more is under way when the blow falls.
            w.send(audit.policy, w.EVENT, w.event("session.close",
                                                  session=w.ulid(i)))
        finally:
            audit.kill()
        rows = audit.ledger() if (audit.folder / "ledger/ledger.jsonl") \
            .read_bytes().endswith(b"\n") else None
        assert rows is None or len(rows) >= answered
        audit.start()
        rows = audit.ledger()
        assert len(rows) >= answered
        answered = len(rows)
    # The index has followed through all of it.
    opens = [r["session"] for r in rows if r["event"] == "session.open"]
    found, _ = audit.query("sessions", limit="1000")
    assert {r["session"] for r in found if r["kind"] == "session"} >= \
        set(opens[-500:])


def keep(audit, key, value, until=2**40):
    got = audit.call(w.MSG["KEEP"], w.text(key) + w.u64(until) + w.text(value))
    assert got[0] == w.MSG["KEPT"]
    return struct.unpack(">I", got[2])[0]


def recall(audit, after=""):
    """[(key, until, value)] of one page, and whether there are more."""
    got = audit.call(w.MSG["RECALL"], w.text(after))
    assert got[0] == w.MSG["RECALLED"]
    result, more, n = struct.unpack(">IBI", got[2][:9])
    assert result == 0
    rows, b = [], got[2][9:]
    for _ in range(n):
        (k,) = struct.unpack(">I", b[:4])
        key, b = b[4:4 + k].decode(), b[4 + k:]
        until, k = struct.unpack(">QI", b[:12])
        rows.append((key, until, b[12:12 + k]))
        b = b[12 + k:]
    assert b == b""
    return rows, more


def test_p9_what_is_kept_comes_back(audit):
    assert keep(audit, "1/a", b"\0one") == 0
    assert keep(audit, "2/b", "two") == 0
    assert keep(audit, "3/c", "gone", until=1) == 0
    w.send(audit.policy, w.MSG["FORGET"], w.text("2/b"))
    assert len(recall(audit)[0]) == 1
    audit.kill()
    audit.start()
    assert recall(audit) == ([("1/a", 2**40, b"\0one")], 0)
    # oidc has rows of its own, and says less.
    policy = audit.policy
    audit.link("oidc")
    assert recall(audit) == ([], 0)
    assert keep(audit, "1/a", "mine") == 0
    audit.policy = policy
    assert recall(audit) == ([("1/a", 2**40, b"\0one")], 0)


def test_p9_pages(audit):
    for i in range(7):
        assert keep(audit, f"1/{i}", b"x" * 50000) == 0
    after, got = "", []
    while True:
        rows, more = recall(audit, after)
        got += rows
        if not more:
            break
        after = rows[-1][0]
    assert [k for k, _, _ in got] == [f"1/{i}" for i in range(7)]


def test_p9_a_session_nobody_has_is_closed_once(audit):
    """Open in the ledger, and kept by no one."""
    for i in range(3):
        audit.event("session.open", session=w.ulid(i), identity="shop")
    audit.event("session.close", session=w.ulid(0))
    assert keep(audit, "1/" + w.ulid(1), "alive") == 0
    for _ in range(2):
        w.send(audit.policy, w.MSG["SETTLED"])
        recall(audit)   # in order: it has been read
    closes = [e for e in audit.ledger() if e["event"] == "session.close"]
    assert [e["session"] for e in closes] == [w.ulid(0), w.ulid(2)]
    assert "away" in closes[1]["reason"]
    found, _ = audit.query("sessions", limit="10")
    assert {r["session"] for r in found if r["kind"] == "session" and
            "closed" not in r} == {w.ulid(1)}


def test_p9_a_sessions_lines_are_written_once(audit):
    """policy asks again when audit died before it answered."""
    n = audit.event("session.open", session=w.ulid(5))
    assert n > 0 and audit.event("session.open", session=w.ulid(5)) == 0
    audit.kill()
    audit.start()
    assert audit.event("session.open", session=w.ulid(5)) == 0
    assert audit.event("session.close", session=w.ulid(5)) > n
    assert audit.event("session.close", session=w.ulid(5)) == 0
    assert [e["event"] for e in audit.ledger() if e.get("session") ==
            w.ulid(5)] == ["session.open", "session.close"]


def test_p9_the_old_links_last_words_come_first(audit):
    """A new policy asks when the old one's messages are not read yet."""
    os.kill(audit.proc.pid, signal.SIGSTOP)
    for i in range(20):
        w.send(audit.policy, w.MSG["KEEP"], w.text(f"1/{i:02}") +
               w.u64(2**40) + w.text("x"), i)
    old = audit.policy
    audit.link()
    w.send(audit.policy, w.MSG["RECALL"], w.text(""), 900)
    os.kill(audit.proc.pid, signal.SIGCONT)
    got = w.receive(audit.policy)
    assert struct.unpack(">IBI", got[2][:9]) == (0, 0, 20)
    old.close()


def test_p9_stop_reads_what_was_said(audit):
    os.kill(audit.proc.pid, signal.SIGSTOP)
    for i in range(20):
        w.send(audit.policy, w.EVENT, w.event("session.open",
                                              session=w.ulid(i)), i + 1)
    w.send(audit.parent, w.STOP)
    audit.parent.close()
    audit.policy.shutdown(socket.SHUT_WR)
    os.kill(audit.proc.pid, signal.SIGCONT)
    assert audit.proc.wait(20) == 0
    assert len([e for e in audit.ledger() if e["event"] ==
                "session.open"]) == 20


@pytest.mark.parametrize("how", ["stop", "orphan"])
def test_p9_what_is_said_late_is_read(audit, how):
    """A sibling may be slow, and so may the disk: it is the end of its link
    that ends audit, and no silence."""
    if how == "stop":
        w.send(audit.parent, w.STOP)
    else:
        audit.parent.shutdown(socket.SHUT_RDWR)
    for i in range(3):
        time.sleep(0.5)
        w.send(audit.policy, w.EVENT, w.event("session.open",
                                              session=w.ulid(i)), i + 1)
    assert w.receive(audit.policy)[1] == 1
    audit.policy.shutdown(socket.SHUT_WR)
    assert audit.proc.wait(5) == 0
    assert [e["session"] for e in audit.ledger() if e["event"] ==
            "session.open"] == [w.ulid(i) for i in range(3)]


def test_p9_rows_wait_for_the_audit_before(audit):
    """While it has the ledger it still reads what is to be kept."""
    audit.kill()
    fd = os.open(audit.folder / "ledger/ledger.jsonl", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    audit.start()
    w.send(audit.policy, w.MSG["RECALL"], w.text(""), 900)
    result, _, n = struct.unpack(">IBI", w.receive(audit.policy)[2][:9])
    assert result != 0 and n == 0
    os.close(fd)
    end = time.monotonic() + 10
    while result != 0:
        assert time.monotonic() < end
        time.sleep(0.2)
        w.send(audit.policy, w.MSG["RECALL"], w.text(""), 901)
        result = struct.unpack(">I", w.receive(audit.policy)[2][:4])[0]


@pytest.mark.parametrize("sibling, name, body", [
    ("policy", "KEEP", w.text("") + w.u64(1) + w.text("x")),
    ("policy", "KEEP", w.text("1/a") + w.u64(1) + w.text("")),
    ("policy", "KEEP", w.text("1" * 81) + w.u64(1) + w.text("x")),
    ("policy", "RECALL", w.text("1/a") + b"x"),
    ("policy", "SETTLED", b""), ("oidc", "SETTLED", b""),
    ("oidc", "FORGET", w.text("1/a")),
    ("policy", "KEPT", w.u32(0)), ("policy", "RECALLED", b"\0" * 9)])
def test_kept_rows_by_the_rules(audit, sibling, name, body):
    """What breaks one ends audit, which is started again; SETTLED is right."""
    audit.link(sibling)
    w.send(audit.policy, w.MSG[name], body)
    if (sibling, name) == ("policy", "SETTLED"):
        recall(audit)
        return
    assert w.receive(audit.policy) is None
    audit.proc.wait(20)
    audit.kill()
    audit.start()


def test_a_cut_ledger_is_repaired_and_said(audit):
    audit.event("session.open", session=w.ulid(0))
    audit.kill()
    path = audit.folder / "ledger/ledger.jsonl"
    with path.open("ab") as f:
        f.write(b'{"number":3,"time":"20')
    audit.start()
    start = audit.ledger()[-1]
    assert start["event"] == "start" and start["number"] == 3
    (cut,) = (audit.folder / "ledger").glob("ledger.cut.*")
    assert cut.name in start["reason"]
    assert cut.read_bytes() == b'{"number":3,"time":"20'


def test_a_damaged_ledger_refuses_with_a_reason(audit):
    audit.kill()
    path = audit.folder / "ledger/ledger.jsonl"
    good = path.read_bytes()
    path.write_bytes(good + b"garbage\n")
    audit.start()
    with pytest.raises(w.Refused, match="the ledger cannot be written"):
        audit.open(OP)
    assert path.read_bytes() == good + b"garbage\n"
    path.write_bytes(good)
    time.sleep(1.1)
    for fd in audit.open(OP):
        os.close(fd)
    said = [x for x in audit.read_log().splitlines() if "refused" not in x]
    assert len(said) == 2, said     # once each, however often it is tried
    assert "ALARM: ledger/ledger.jsonl cannot be opened" in said[0]
    assert "put a good copy in its place" in said[0]
    assert "the ledger is open again" in said[1]


def test_the_index_may_be_deleted(audit):
    hop = opened(audit)
    audit.started(OP, hop.pid)
    hop.end(b"w")
    audit.wait_end(OP)
    before, _ = audit.query("show", id=OP)
    for damage in ("gone", "garbage"):
        audit.kill()
        for f in (audit.folder / "store").iterdir():
            f.unlink()
        if damage == "garbage":
            (audit.folder / "store/postern.db").write_bytes(b"x" * 5000)
        audit.start()
        again, _ = audit.query("show", id=OP)
        assert again == before


def foreign(path):
    """Somebody else's database."""
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE sessions(x); CREATE TABLE kept(y);"
                         "INSERT INTO kept VALUES(1)")


def scramble(path, begin=0):
    """What a disk that forgets makes of it."""
    n = path.stat().st_size
    with path.open("r+b") as f:
        f.seek(begin)
        f.write(random.Random(7).randbytes(n - begin))


DAMAGES = {
    "empty": lambda p: os.truncate(p, 0),
    "half": lambda p: os.truncate(p, p.stat().st_size // 2),
    "cut in a page": lambda p: os.truncate(p, 5000),
    "header": lambda p: p.write_bytes(b"garbage!" * 12 + p.read_bytes()[96:]),
    "pages": lambda p: scramble(p, 4096),
    "all of it": scramble,
    "foreign": foreign,
    "gone": lambda p: p.unlink(),
}


def closed_store(audit):
    """The folder of a process that is gone, without SQLite's other files."""
    audit.kill()
    folder = audit.folder / "store"
    for name in ("postern.db", "kept.db"):
        with contextlib.closing(sqlite3.connect(folder / name)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for end in ("-wal", "-shm"):
            (folder / f"{name}{end}").unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_made_anew(audit, damage):
    """The index from the ledger, whole; of what was kept, it is said that it
    is lost.  Both take what comes next."""
    hop = opened(audit)
    audit.started(OP, hop.pid)
    hop.end(b"w")
    audit.wait_end(OP)
    before, _ = audit.query("show", id=OP)
    assert keep(audit, "1/a", "x") == 0
    folder = closed_store(audit)
    for name in ("postern.db", "kept.db"):
        DAMAGES[damage](folder / name)
    audit.start()
    again, _ = audit.query("show", id=OP)
    assert again == before
    assert keep(audit, "1/b", "y") == 0
    rows = recall(audit)
    assert rows == ([("1/b", 2**40, b"y")], 0)
    log = audit.read_log()
    assert "ALARM: what was kept for a restart" in log, log
    assert "jobs must log in again" in log
    # It is good again.
    audit.kill()
    audit.start()
    assert recall(audit) == rows


def test_an_index_that_breaks_under_way_is_made_anew(audit):
    hop = opened(audit)
    audit.started(OP, hop.pid)
    hop.end(b"w")
    audit.wait_end(OP)
    before, _ = audit.query("show", id=OP)
    folder = closed_store(audit)
    audit.start()
    scramble(folder / "postern.db", 4096)   # what it has not read yet
    audit.ask("show", id=OP)            # one question may find the damage
    for i in range(3):
        audit.event("session.open", session=w.ulid(50 + i))
    assert audit.query("show", id=OP)[0] == before
    assert len(audit.query("sessions")[0]) >= 3
    assert "made anew from the ledger" in audit.read_log()


def test_a_ledger_that_lost_its_end_is_an_alarm(audit):
    for i in range(5):
        audit.event("session.open", session=w.ulid(i))
    audit.kill()
    path = audit.folder / "ledger/ledger.jsonl"
    lines = path.read_bytes().splitlines(True)
    path.write_bytes(b"".join(lines[:-3]))
    audit.start()
    audit.query("sessions")
    assert "ALARM: the index knows 6 lines of the ledger" in audit.read_log()


# -- disks that are full --------------------------------------------------


def test_promise_2_below_the_reserve_nothing_starts(tmp_path):
    audit = w.Audit(tmp_path, "disk-reserve 400000GiB\n")
    with pytest.raises(w.Refused, match="the recording cannot be written"):
        audit.open(OP)
    decide, end = audit.ledger()[-2:]
    assert decide["event"] == "operation.decide"
    assert "recording" not in decide
    assert end["state"] == "aborted" and "MiB are free" in end["reason"]
    assert not list((tmp_path / "recordings").iterdir())
    (row,), _ = audit.query("show", id=OP)
    assert row["state"] == "aborted"
    audit.stop()


@pytest.fixture
def small_disk(tmp_path):
    """3 MiB in a mount namespace of this test process."""
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) != 0:
        pytest.skip("no mount namespace")
    if subprocess.run(["mount", "--make-rprivate", "/"]).returncode or \
       subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3M", "tmpfs",
                       str(tmp_path)]).returncode:
        pytest.skip("no mount")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_promise_2_a_full_disk_refuses_and_last_words_fit(small_disk):
    audit = w.Audit(small_disk, "disk-reserve 4KiB\n")
    hop = opened(audit)
    audit.started(OP, hop.pid)
    with open(small_disk / "filler", "wb", buffering=0) as f:
        with pytest.raises(OSError):
            while True:
                f.write(b"x" * 4096)
    with pytest.raises(w.Refused, match="cannot be written"):
        audit.open(w.ulid(2))
    # The running one still ends in the ledger, out of the reserve.
    assert (small_disk / "ledger/reserve").exists()
    hop.kill()
    deadline = time.monotonic() + 15
    while not audit.ends(OP) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert audit.ends(OP), audit.read_log()
    # Room again: everything goes on, without a gap.
    (small_disk / "filler").unlink()
    time.sleep(1.1)
    for fd in audit.open(w.ulid(3)):
        os.close(fd)
    assert audit.wait_end(w.ulid(3))
    audit.ledger()
    audit.stop()


def test_promise_2_full_at_every_byte_of_the_ledger(audit):
    """The process may not write files larger than a limit, which moves."""
    size = (audit.folder / "ledger/ledger.jsonl").stat().st_size
    pid, most = audit.proc.pid, resource.RLIM_INFINITY
    for n in range(0, 420, 13):
        op = w.ulid(5000 + n)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + n, most))
        try:
            fds = audit.open(op)
        except w.Refused:
            fds = []
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        for fd in fds:
            os.close(fd)
        decided = [r for r in audit.ledger() if r.get("operation") == op and
                   r["event"] == "operation.decide"]
        if fds:
            assert decided, "an operation without its decision"
    assert audit.proc.poll() is None


# -- questions ------------------------------------------------------------


def filled(audit):
    for i in range(3):
        audit.event("session.open", session=w.ulid(10 + i),
                    identity="deploy", commit="1f0c%d" % i, user="web-1")
        audit.event("operation.decide", operation=w.ulid(20 + i),
                    session=w.ulid(10 + i), target="web-%d" % i,
                    verdict="deny", command="'rm'")


def test_sessions(audit):
    filled(audit)
    rows, _ = audit.query("sessions")
    assert [r["kind"] for r in rows] == ["session", "operation"] * 3
    assert rows[0]["session"] == w.ulid(12)
    assert rows[1]["state"] == "denied"
    rows, _ = audit.query("sessions", commit="1f0c1")
    assert [r["session"] for r in rows] == [w.ulid(11)] * 2
    rows, _ = audit.query("sessions", target="web-2", limit="1")
    assert len(rows) == 2
    assert audit.query("sessions", since="2999-01-01")[0] == []
    assert len(audit.query("sessions", since="2020-01-01T00:00:00Z")[0]) == 6


def test_each_view_is_in_the_ledger_before_it_is_answered(audit):
    filled(audit)
    audit.query("sessions", target="web-2", commit="1f0c1")
    view = audit.ledger()[-1]
    assert view["event"] == "view" and view["viewer"] == "uid:0"
    assert (view["what"], view["target"], view["commit"]) == \
        ("sessions", "web-2", "1f0c1")
    audit.query("show", id=w.ulid(20))
    view = audit.ledger()[-1]
    assert view["event"] == "view" and view["viewer"] == "uid:0"
    assert (view["what"], view["operation"]) == ("show", w.ulid(20))
    audit.query("show", id=w.ulid(10))
    assert audit.ledger()[-1]["session"] == w.ulid(10)


def test_a_recording_is_handed_out_for_reading_alone(audit):
    hop = opened(audit)
    audit.started(OP, hop.pid)
    hop.end(b"w")
    audit.wait_end(OP)
    (row,), (fd,) = audit.query("recording", id=OP)
    assert row["operation"] == OP
    assert os.read(fd, 100).startswith(HEADER)
    with pytest.raises(OSError):
        os.write(fd, b"x")
    os.close(fd)
    view = audit.ledger()[-1]
    assert view["event"] == "view"
    assert view["recording"].endswith(OP + ".cast")


@pytest.mark.parametrize("what, keys, words", [
    ("secrets", {}, "no such question"),
    ("show", {"id": "nope"}, "no operation, session or shell"),
    ("show", {}, "no operation, session or shell"),
    ("recording", {"id": w.ulid(20)}, "no recording"),
    ("recording", {"id": "../../etc/passwd"}, "no recording"),
    ("sessions", {"limit": "0"}, "limit"),
    ("sessions", {"limit": "1001"}, "limit"),
    ("sessions", {"since": "yesterday"}, "since"),
    ("sessions", {"color": "red"}, "one of"),
    ("sessions", {"commit": "x" * 300}, "malformed"),
])
def test_wrong_questions_are_answered(audit, what, keys, words):
    filled(audit)
    with pytest.raises(w.Refused, match=words):
        audit.query(what, **keys)
    assert audit.ledger()[-1]["event"] != "view"


MALFORMED = {
    "empty": b"",
    "length": b"\xff" * 12,
    "no count": w.text("sessions"),
    "no keys": w.text("sessions") + w.u32(1),
    "leftover": w.text("sessions") + w.u32(0) + b"more",
    "17 keys": w.text("sessions") + w.u32(17) +
               (w.text("limit") + w.text("5")) * 17,
    "NUL": w.text("a\0b") + w.u32(0),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_question_is_no_reason_to_drop_policy(audit, body):
    with pytest.raises(w.Refused):
        audit.answer(audit.ask("", body=body))
    assert audit.event("session.open", session=w.ulid(0)) == 2


def test_an_asker_that_reads_nothing_blocks_nobody(audit):
    for i in range(60):
        audit.event("operation.decide", operation=w.ulid(3000 + i),
                    session=w.ulid(9), verdict="deny",
                    command="x" * 60000)
    audit.event("session.open", session=w.ulid(9))
    lazy = [audit.ask("show", id=w.ulid(9)) for _ in range(40)]
    began = time.monotonic()
    audit.event("session.close", session=w.ulid(9))
    assert time.monotonic() - began < 5
    # More than its bound are refused by closing, the others wait.
    closed = sum(1 for s in lazy if w.readable(s, 0) and
                 w.receive(s) is None)
    assert closed >= 8
    for s in lazy:
        s.close()
    time.sleep(0.3)
    rows, _ = audit.query("show", id=w.ulid(9))
    assert len(rows) == 61 and len(rows[1]["command"]) == 60000


# -- other readers --------------------------------------------------------


asciinema = pytest.mark.skipif(
    not shutil.which("asciinema") or not shutil.which("script"),
    reason="asciinema is not installed")


def asciinema_cat(path):
    """It wants a terminal, which script has."""
    done = subprocess.run(
        ["script", "-qec", "asciinema cat " + str(path), "/dev/null"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert b"Traceback" not in done.stdout
    return done.stdout


@asciinema
def test_asciinema_reads_what_the_unit_tests_wrote(tmp_path):
    program = os.path.join(os.environ["POSTERN_BUILD"],
                           "tests/unit/test_cast")
    if not os.path.exists(program):
        pytest.skip("no unit tests")
    subprocess.run([program], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL,
                   env={**os.environ, "POSTERN_KEEP_CASTS": str(tmp_path)})
    casts = list(tmp_path.glob("cast-*"))
    assert len(casts) > 20
    for path in casts:
        asciinema_cat(path)


@asciinema
def test_asciinema_reads_what_a_killed_hop_left(audit):
    cases = {w.ulid(1): HEADER + b'[0.1,"o","hi\\r\\n"]\n[0.2,"o","cu',
             w.ulid(2): b"", w.ulid(3): b'{"vers'}
    for op, data in cases.items():
        hop = opened(audit, op, data)
        audit.started(op, hop.pid)
        hop.kill()
        audit.wait_end(op)
        shown = asciinema_cat(audit.recording(op))
        assert (b"hi" in shown) == (op == w.ulid(1))


def test_a_stop_is_clean(audit):
    audit.event("session.open", session=w.ulid(0))
    audit.stop()
    assert audit.proc.returncode == 0
    assert not (audit.folder / "store/postern.db-wal").exists()
