"""What audit hands to whoever may ask, and the line that each of it has."""
import hashlib
import json
import os
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402
import tamper  # noqa: E402


@pytest.fixture
def audit(tmp_path):
    it = w.Audit(tmp_path)
    yield it
    if it.proc.poll() is None:
        it.kill()


def record(audit, *numbers):
    for n in numbers:
        tamper.record(audit, w.ulid(n), b"hi %d" % n)


def handed(sock):
    """{file: its bytes, None where there is none}"""
    got = {}
    with sock:
        while True:
            kind, _, body, fds = w.receive(sock)
            if kind == w.MSG["ROWS_END"]:
                if body[:4] != w.u32(0):
                    raise w.Refused(body[8:].decode())
                return got
            row = json.loads(body[4:])
            assert row["kind"] == "file" and row["file"] not in got
            got[row["file"]] = None
            for fd in fds:
                with pytest.raises(OSError):
                    os.write(fd, b"x")
                with os.fdopen(fd, "rb") as f:
                    got[row["file"]] = f.read()


def views(audit):
    return [x for x in audit.ledger() if x["event"] == "view"]


def test_all_files_have_one_line(audit):
    record(audit, *range(10, 30))
    got = handed(audit.ask("files"))
    (view,) = views(audit)
    assert (view["what"], view["viewer"]) == ("files", "uid:0")
    ends = audit.ends()
    assert len(ends) == 20 and len(got) == 40
    for e in ends:
        for name, digest in ((e["recording"], e["recording_sha256"]),
                             (e["recording"][:-5] + ".json",
                              e["sidecar_sha256"])):
            assert hashlib.sha256(got[name]).hexdigest() == digest


def test_those_of_one_operation(audit):
    record(audit, 10, 11)
    got = handed(audit.ask("files", id=w.ulid(11)))
    assert len(got) == 2 and all(w.ulid(11) in name for name in got)
    assert views(audit)[-1]["operation"] == w.ulid(11)
    with pytest.raises(w.Refused, match="no operation, session or shell"):
        audit.query("files", id=w.ulid(12))
    assert len(views(audit)) == 1


def test_what_is_gone_is_said(audit):
    record(audit, 10)
    audit.recording(w.ulid(10)).unlink()
    got = handed(audit.ask("files"))
    assert sorted(x is None for x in got.values()) == [False, True]


def test_a_slow_reader_holds_few_files(audit):
    """Descriptors on their way count against audit's own: of those that it
    hands out a handful at most wait for who does not take them."""
    record(audit, *range(10, 30))
    asked = [audit.ask("files", viewer=f"uid:{n // 2}") for n in range(5)]
    with pytest.raises(w.Refused, match="4 are verifying;"):
        audit.answer(asked[4])
    end = time.monotonic() + 20
    while len(views(audit)) < 4:
        assert time.monotonic() < end
    for sock in asked[:4]:
        time.sleep(0.1)
        n = 0
        sock.setblocking(False)
        try:
            while True:
                _, _, _, fds = w.receive(sock)
                n += len(fds)
                for fd in fds:
                    os.close(fd)
                if n > 20:
                    break
        except BlockingIOError:
            pass
        # each that was taken makes room for another one
        assert n <= 40
        sock.close()
    record(audit, 40)
    assert handed(audit.ask("files", id=w.ulid(40)))


def test_nobody_takes_all_the_answers(audit):
    """Whoever asks and takes nothing keeps no other from his answers."""
    for n in range(40):
        audit.event("session.open", session=w.ulid(n), user="web-1")
    asked = [audit.ask("sessions", viewer="uid:7", small=True)
             for _ in range(40)]
    asked += [audit.ask("files", viewer="uid:7", small=True)]
    assert len(audit.query("sessions", viewer="uid:8")[0]) == 40
    for sock in asked:
        sock.close()
    audit.event("session.open", session=w.ulid(40), user="web-1")  # a turn on
    assert audit.query("sessions", viewer="uid:7")[0]


def test_one_verifies_twice_at_a_time(audit):
    record(audit, *range(10, 30))
    asked = [audit.ask("files", viewer="uid:7") for _ in range(3)]
    with pytest.raises(w.Refused, match="2 are verifying for you"):
        audit.answer(asked[2])
    assert handed(audit.ask("files", viewer="uid:8"))


def test_an_export_is_called_one(audit):
    record(audit, 10)
    _, (fd,) = audit.query("recording", id=w.ulid(10), **{"as": "export"})
    os.close(fd)
    view = views(audit)[-1]
    assert (view["what"], view["operation"]) == ("export", w.ulid(10))
    _, (fd,) = audit.query("manifest", id=w.ulid(10))
    os.close(fd)
    assert views(audit)[-1]["what"] == "manifest"
    with pytest.raises(w.Refused, match="export"):
        audit.query("recording", id=w.ulid(10), **{"as": "view"})


def test_how_far_it_is_signed(audit):
    record(audit, 10)
    before = len(audit.ledger())
    end = time.monotonic() + 20
    while True:
        (row,), _ = audit.query("anchor")
        assert row["kind"] == "anchor" and row["ledger_signing"] is True
        if row["ledger_signed_lines"] == row["ledger_lines"] == before:
            break
        assert time.monotonic() < end, row
    assert row["anchor_command"] is False
    assert len(audit.ledger()) == before    # a state is nobody's recording


def test_of_a_shell_its_recording_alone(audit):
    """What was typed there is found by its id, too, and is not in it."""
    shell = w.ulid(1)
    hop = w.Hop(*audit.open(shell, by="shell", shell=shell))
    for n in (2, 3):
        audit.event("operation.decide", operation=w.ulid(n), session=w.ulid(0),
                    verdict="deny", target="web-1", shell=shell)
    assert len(audit.query("show", id=shell)[0]) == 3
    rows, fds = audit.query("recording", id=shell)
    for fd in fds:
        os.close(fd)
    assert [(r["operation"], r["by"]) for r in rows] == [(shell, "shell")]
    assert len(fds) == 1
    hop.end()
