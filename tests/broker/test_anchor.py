"""Anchors of postern-audit by a command: the test is posternd."""
import pathlib
import select
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402
import tamper as t  # noqa: E402
from clock import Clock  # noqa: E402

SETTINGS = "disk-reserve 1MiB\nanchor-command /bin/x\nanchor-interval 1s\n"


@pytest.fixture
def audit(tmp_path):
    it = w.Audit(tmp_path, SETTINGS)
    yield it
    if it.proc.poll() is None:
        it.kill()


def asked(audit, seconds=30):
    """(id, checkpoint) of the next one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([audit.parent], [], [], 0.2)[0]:
            write(audit)        # there is something new to anchor
            continue
        kind, ident, body, fds = w.receive(audit.parent)
        assert kind == w.MSG["ANCHOR"] and not fds
        assert len(body) < 2048
        return ident, body[4:].decode()
    raise AssertionError("no anchor\n" + audit.read_log())


def answer(audit, ident, why=""):
    w.send(audit.parent, w.MSG["ANCHOR_DONE"], w.u32(why != "") + w.text(why),
           ident)


def write(audit):
    audit.event("login.refused", user="web-1", reason="x")


def alarms(audit):
    return [x["reason"] for x in audit.ledger() if x["event"] == "alarm"]


def until(what, audit):
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end, audit.read_log()
        time.sleep(0.05)


def state(audit):
    (row,), _ = audit.query("anchor")
    return row


def test_what_it_hands_over_holds_the_ledger(audit, tmp_path):
    """Kept elsewhere, one after the other in a file, they prove the past."""
    kept = tmp_path / "kept"
    for _ in range(3):
        ident, note = asked(audit)
        answer(audit, ident)
        with open(kept, "a", encoding="utf-8") as f:
            f.write(note)
    row = state(audit)
    assert row["anchor_command"] and not row["anchor_failing"]
    assert row["anchor_age_s"] < 30
    audit.stop()
    got = t.both(audit.folder, None, [kept])
    assert got["verdict"] == "ok"
    assert t.ours(audit.folder, None, [kept])["checkpoints"] == 3
    assert alarms(audit) == []


def test_one_at_a_time_and_not_too_often(audit):
    ident, _ = asked(audit)
    for _ in range(20):
        write(audit)
        time.sleep(0.1)
    assert not select.select([audit.parent], [], [], 0)[0]
    answer(audit, ident)
    begun = time.monotonic()
    answer(audit, asked(audit)[0])
    answer(audit, asked(audit)[0])
    assert time.monotonic() - begun > 0.9


def test_a_command_that_fails_is_one_alarm(audit):
    for _ in range(3):
        answer(audit, asked(audit)[0], "the command ended with exit code 3")
    until(lambda: alarms(audit), audit)
    assert alarms(audit) == ["the ledger is not anchored any more: the command "
                             "ended with exit code 3"]
    assert audit.read_log().count("ALARM: the ledger is not anchored") == 1
    assert state(audit)["anchor_failing"] is True
    assert "exit code 3" in state(audit)["anchor_trouble"]
    answer(audit, asked(audit)[0])
    until(lambda: len(alarms(audit)) == 2, audit)
    assert alarms(audit)[1] == "the ledger is anchored again"
    assert state(audit)["anchor_failing"] is False
    answer(audit, asked(audit)[0], "again")
    until(lambda: len(alarms(audit)) == 3, audit)


def test_words_of_others_are_escaped_and_bounded(audit):
    ident, _ = asked(audit)
    answer(audit, ident, "\x1b[2Jx\n")
    until(lambda: alarms(audit), audit)
    assert "\x1b" not in audit.read_log() and "\x1b" not in alarms(audit)[0]


def test_an_answer_to_another_question_is_none(audit):
    ident, _ = asked(audit)
    answer(audit, ident + 7, "no")
    answer(audit, ident)
    answer(audit, ident, "twice")
    asked(audit)
    assert alarms(audit) == []


def test_nothing_waits_for_it(audit):
    """posternd says nothing: the ledger is written and signed all the same."""
    asked(audit)
    write(audit)
    until(lambda: t.ours(audit.folder).get("signed") == len(audit.ledger()),
          audit)
    audit.stop()


@pytest.fixture
def later(tmp_path):
    """An audit whose clock goes on when it is told to."""
    clock = Clock(tmp_path / "clock")
    folder = tmp_path / "later"
    folder.mkdir()
    it = w.Audit(folder, SETTINGS, env=clock.env)
    it.passes = lambda seconds: clock(0, seconds)
    yield it
    if it.proc.poll() is None:
        it.kill()


def test_silence_is_an_alarm(later):
    """posternd hangs: its answer is not waited for, and another is asked."""
    ident, _ = asked(later)
    later.passes(75)        # 30 s for the command, 30 s for posternd
    write(later)
    until(lambda: alarms(later), later)
    assert "posternd does not say how the command ended" in alarms(later)[0]
    again, _ = asked(later)
    assert again != ident
    answer(later, ident)    # too late, and of another one
    answer(later, again)
    until(lambda: len(alarms(later)) == 2, later)
    assert "anchored again" in alarms(later)[1]


def test_nothing_to_anchor_is_an_alarm_in_time(later):
    """Signing has stopped, so nothing is handed over and nothing fails."""
    answer(later, asked(later)[0])
    later.stop()
    (later.folder / "ledger/key").unlink()
    later.start()
    until(lambda: [x for x in alarms(later) if "not signed" in x], later)
    later.passes(40)
    time.sleep(0.5)
    assert not [x for x in alarms(later) if "not anchored" in x]
    later.passes(40 + 200)
    until(lambda: [x for x in alarms(later) if "not anchored" in x], later)
    assert "no checkpoint has left this host for" in alarms(later)[-1]


def test_none_without_a_command(tmp_path):
    audit = w.Audit(tmp_path, "disk-reserve 1MiB\nanchor-interval 1s\n")
    write(audit)
    until(lambda: "anchor postern-ledger" in audit.read_log(), audit)
    assert not select.select([audit.parent], [], [], 1.5)[0]
    audit.stop()
