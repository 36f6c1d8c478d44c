"""KILL and LOCK on ctl.sock: what policy does at once, what audit writes, and
what the next policy process makes of it."""
import contextlib
import os
import signal
import time

import pytest

import test_policy_process as pp
import test_takeover as tt
import wire as w
from test_policy_process import DENIED, TEMPFAIL, message, refused, run_body

pytestmark = pp.pytestmark
program, policy = pp.program, pp.policy
dummies, dummy, lives = pp.dummies, pp.dummy, tt.lives
ALLOWED = "systemctl restart web"
SESSION, IDENTITY, ALL = 0, 1, 2
DONE, NOTHING, UNWRITTEN, REFUSED = 0, 1, 2, 3
OTHER = "f" * 64


def ask(policy, name, body, ident=3):
    s = w.connect(policy.path / "ctl.sock")
    w.send(s, name, body, ident=ident)
    return s


def killed(s):
    with contextlib.closing(s):
        m = w.expect(s, "KILLED")
        out = m.u32(), m.u32(), m.u32(), m.text()
        m.end()
        return out


def kill(policy, what, name=""):
    """The line that audit hears, and the answer that waits for it."""
    s = ask(policy, "KILL", w.u8(what) + w.text(name))
    return s


def locked(s):
    with contextlib.closing(s):
        m = w.expect(s, "LOCKED")
        out = m.u32(), m.u8(), m.text(), m.u64(), m.text(), m.text()
        m.end()
        return out


def lock(policy, on=1, reason=""):
    s = ask(policy, "LOCK", w.u8(on) + w.text(reason))
    e = policy.heard("lock" if on else "unlock")
    assert e["asker"] == "uid:0" and e.get("reason", "") == reason
    return locked(s)


def events(policy, n):
    """The next n, in any order, by their names."""
    got = {}
    for _ in range(n):
        m = w.expect(policy.audit, "EVENT")
        w.send(policy.audit, "EVENT_DONE", w.u32(0) + w.u64(7), ident=m.id)
        e = m.event()
        got[e["event"]] = e
    return got


def session_of(policy, m, handle):
    return tt.denied(policy, m, handle)["session"]


def test_a_session_is_ended(policy):
    m, handle = policy.login()
    other, its = policy.login("web-1", token=OTHER)
    session = session_of(policy, m, handle)
    s = kill(policy, SESSION, session)
    e = events(policy, 2)
    assert e["kill"]["asker"] == "uid:0" and e["kill"]["session"] == session
    assert e["kill"]["reason"] == "session: 1 sessions ended, 0 operations " \
        "told to end"
    assert e["session.close"]["session"] == session
    assert e["session.close"]["reason"] == "ended by an admin"
    assert killed(s) == (DONE, 1, 0, "")
    # It is over, and its token is; the other one is not touched.
    assert "ended by the bastion's admin" in refused(
        m.shell(message("RUN", run_body(handle, ALLOWED))), DENIED)
    assert "the token is spent" in policy.new(opened=1)[2]
    session_of(policy, other, its)
    assert policy.status()["sessions"] == 1
    # A connection that PAM has not opened yet is none any more.
    handle = policy.new(token="e" * 64)[1]
    s = kill(policy, ALL)
    policy.heard("session.close")
    policy.heard("kill")
    assert killed(s)[:2] == (DONE, 2)
    assert policy.monitor().open(handle) == (1, "")
    assert policy.status()["sessions"] == 0


def test_of_an_identity_or_of_nobody(policy):
    policy.login()
    for what, name in ((SESSION, "0" * 26), (IDENTITY, "nobody")):
        result, n, _, why = killed(kill(policy, what, name))
        assert (result, n) == (NOTHING, 0) and "no live session" in why
    s = kill(policy, IDENTITY, "shop")
    assert events(policy, 2)["kill"]["identity"] == "shop"
    assert killed(s) == (DONE, 1, 0, "")
    assert killed(kill(policy, ALL))[0] == NOTHING


@pytest.mark.parametrize("body", [
    w.u8(3) + w.text(""), w.u8(ALL) + w.text("x"), w.u8(SESSION) + w.text(""),
    w.u8(SESSION) + w.text("x" * 32)])
def test_a_malformed_kill(policy, body):
    policy.login()
    with ask(policy, "KILL", body) as s:
        assert w.receive(s) is None
    assert policy.status()["sessions"] == 1


def test_what_runs_is_told_to_end_and_then_made_to(policy, dummy, tmp_path):
    m, handle = policy.login()
    conn, *_ = pp.launch(policy, m, handle, ALLOWED, dummy, tmp_path)
    s = kill(policy, ALL)
    stop = w.expect(policy.control, "HOP_STOP")
    assert len(stop.text()) == 26 and stop.u8() == 0
    with open(f"/proc/self/fdinfo/{stop.fds[0]}", encoding="ascii") as f:
        assert f"\nPid:\t{dummy}\n" in f.read()
    stop.end().close()
    assert policy.heard("kill")["reason"].startswith("all: 1 sessions ended, 1")
    assert killed(s)[:3] == (DONE, 1, 1)
    # Who asks a second time does not ask the hop a second time.
    s = kill(policy, ALL)
    policy.heard("kill")
    assert killed(s)[:3] == (DONE, 1, 1)
    # It does not end: it is killed.
    stop = w.expect(policy.control, "HOP_STOP")
    assert stop.text() and stop.u8() == 1
    stop.close()
    os.kill(dummy, signal.SIGKILL)
    policy.heard("session.close")
    policy.wait_status(operations=0, sessions=0)


def test_what_waits_is_not_begun(policy):
    m, handle = policy.login()
    conn = m.shell(message("RUN", run_body(handle, ALLOWED)))
    _, _, hop = pp.asked(policy, conn)
    s = kill(policy, ALL)
    abort = w.expect(policy.audit, "OP_ABORT")
    assert len(abort.text()) == 26 and "admin" in abort.text()
    assert "not run: this session was ended" in refused(conn, DENIED)
    assert w.receive(hop) is None
    events(policy, 2)
    assert killed(s)[:3] == (DONE, 1, 1)


def test_a_list_ends_with_it(policy, dummy, tmp_path):
    m, handle = policy.login()
    conn = m.shell(message("RUN", run_body(
        handle, f"{ALLOWED}; {ALLOWED}; {ALLOWED}")))
    for _ in range(3):
        policy.heard("operation.decide")
    opened, start, hop = pp.asked(policy, conn)
    pp.answer_open(policy, opened, pp.files(tmp_path))
    pp.answer_start(policy, start, dummy)
    w.expect(policy.audit, "OP_STARTED")
    w.expect(conn, "ACCEPTED").close()
    w.expect(hop, "HOP_RUN").close()
    s = kill(policy, ALL)
    for _ in range(2):
        abort = w.expect(policy.audit, "OP_ABORT")
        abort.text()
        assert "ended by the bastion's admin" in abort.text()
    policy.heard("kill")
    assert killed(s)[:3] == (DONE, 1, 1)
    os.kill(dummy, signal.SIGKILL)
    code, _, err = pp.answer(conn)
    assert code == DENIED and "ended by the bastion's admin" in err


def test_without_audit_it_is_done_and_said(policy):
    m, handle = policy.login()
    policy.audit.close()
    policy.wait_status(audit=False)
    result, n, _, why = killed(kill(policy, ALL))
    assert (result, n) == (UNWRITTEN, 1) and "audit" in why
    refused(m.shell(message("RUN", run_body(handle, ALLOWED))), DENIED)
    result, on, *_, why = locked(ask(policy, "LOCK", w.u8(1) + w.text("x")))
    assert (result, on) == (UNWRITTEN, 1) and "lock again" in why
    # It is not taken off where nobody can write that down.
    result, on, *_, why = locked(ask(policy, "LOCK", w.u8(0) + w.text("")))
    assert (result, on) == (REFUSED, 1) and "stays locked" in why


def test_p9_a_kill_outlives_policy(lives, dummy, tmp_path):
    """Dies after the rows are with audit and before anything else: the next
    one tells the hop, and takes neither connection nor token."""
    m, handle = lives.login()
    pp.launch(lives.now, m, handle, ALLOWED, dummy, tmp_path)
    lives.kept("3/")
    over = tt.session_times(lives.rows[lives.row("1/")][1][32:]) + 16
    s = kill(lives.now, ALL)
    end = time.monotonic() + 20
    while lives.rows[lives.row("1/")][1][32 + over] != 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    s.close()
    policy = lives.next()
    stop = w.expect(policy.control, "HOP_STOP")
    assert stop.text() and stop.u8() == 0
    stop.close()
    tt.nobody(m, handle)
    os.kill(dummy, signal.SIGKILL)
    assert policy.heard("session.close")["reason"] == "ended by an admin"
    policy.wait_status(sessions=0, operations=0)


def test_the_lock(policy, dummy, tmp_path):
    m, handle = policy.login()
    pp.launch(policy, m, handle, ALLOWED, dummy, tmp_path)
    before = int(time.time())
    result, on, who, since, reason, why = lock(policy, 1, "a leak; ask sec@x")
    assert (result, on, who, why) == (DONE, 1, "uid:0", "")
    assert reason == "a leak; ask sec@x" and before <= since <= time.time()
    s = policy.status()
    assert s["locked"] is True and s["lock_reason"] == reason
    # What runs goes on; nothing begins, and it is written what was wanted.
    assert s["operations"] == 1
    w.silent(policy.control, 0.1)
    err = refused(m.shell(message("RUN", run_body(handle, ALLOWED))), TEMPFAIL)
    assert "locked" in err and "a leak; ask sec@x" in err
    e = policy.heard("operation.decide")
    assert (e["verdict"], e["reason"]) == ("deny", "locked")
    assert e["command"] == ALLOWED and e["rule"] == "default"
    # A new login is told the same, and gets no certificate.
    other, its = policy.login("postern", token=OTHER)
    for kind, command in ((1, "whoami"), (3, "ssh-ed25519 AAAA"), (0, "")):
        err = refused(other.shell(message("RUN", run_body(
            its, command, kind=kind))), TEMPFAIL)
        assert "locked" in err and "a leak" in err
    assert lock(policy, 1, "")[4] == ""
    result, on, *_ = lock(policy, 0)
    assert (result, on) == (DONE, 0)
    assert locked(ask(policy, "LOCK", w.u8(0) + w.text("")))[0] == NOTHING
    session_of(policy, m, handle)


def test_an_unlock_does_not_undo_a_later_lock(policy):
    lock(policy, 1, "one")
    first = ask(policy, "LOCK", w.u8(0) + w.text(""))
    m = w.expect(policy.audit, "EVENT")
    assert m.event()["event"] == "unlock"
    lock(policy, 1, "two")
    w.send(policy.audit, "EVENT_DONE", w.u32(0) + w.u64(7), ident=m.id)
    result, on, _, _, reason, why = locked(first)
    assert (result, on, reason) == (REFUSED, 1, "two") and "again" in why
    assert policy.status()["locked"] is True


def test_a_list_that_runs_is_not_gone_on_with(policy, dummy, tmp_path):
    m, handle = policy.login()
    conn = m.shell(message("RUN", run_body(handle, f"{ALLOWED}; {ALLOWED}")))
    for _ in range(2):
        policy.heard("operation.decide")
    opened, start, hop = pp.asked(policy, conn)
    pp.answer_open(policy, opened, pp.files(tmp_path))
    pp.answer_start(policy, start, dummy)
    w.expect(policy.audit, "OP_STARTED")
    w.expect(conn, "ACCEPTED").close()
    w.expect(hop, "HOP_RUN").close()
    s = ask(policy, "LOCK", w.u8(1) + w.text(""))
    w.expect(policy.audit, "OP_ABORT").close()
    policy.heard("lock")
    assert locked(s)[0] == DONE
    os.kill(dummy, signal.SIGKILL)
    code, _, err = pp.answer(conn)
    assert code == TEMPFAIL and "locked" in err


@pytest.mark.parametrize("how", ["as it was", "another boot", "nothing in it"])
def test_p9_the_lock_outlives_policy_and_boot(lives, how):
    lock(lives.now, 1, "a leak")
    assert list(lives.rows) == ["5/lock"]
    lives.end()
    if how == "another boot":
        (lives.folder / "key").write_bytes(os.urandom(32))
    elif how == "nothing in it":
        lives.rows["5/lock"] = (lives.rows["5/lock"][0], b"")
    policy = lives.start()
    m, handle = policy.login()
    err = refused(m.shell(message("RUN", run_body(handle, ALLOWED))), TEMPFAIL)
    assert "locked" in err and ("a leak" in err) == (how != "nothing in it")
    policy.heard("operation.decide")
    assert lock(policy, 0)[0] == DONE
    lives.kept("5/", 0)
    session_of(lives.next(), m, handle)


@pytest.mark.parametrize("body", [
    w.u8(2) + w.text(""), w.u8(1) + w.text("x" * 201),
    w.u8(1) + w.text(b"\xff")])
def test_a_malformed_lock(policy, body):
    with ask(policy, "LOCK", body) as s:
        assert w.receive(s) is None
    assert policy.status()["locked"] is False
