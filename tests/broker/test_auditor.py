"""audit.sock: an auditor looks at what there is, and changes nothing; who asks for
more is told so, and is in the ledger."""
import contextlib
import os

import pytest

import test_policy_process as pp
import wire as w

pytestmark = pp.pytestmark
program, policy = pp.program, pp.policy
DENIED = 4      # of KILLED and LOCKED; 5 of POLICY_RELOADED
ALL = 2


def ask(policy, name, body=b"", ident=3):
    s = w.connect(policy.path / "audit.sock")
    w.send(s, name, body, ident=ident)
    return s


def words(s, answer, *before):
    """How it is refused; `before` are the fields in front of the words."""
    with contextlib.closing(s):
        m = w.expect(s, answer)
        assert m.id == 3
        got = [getattr(m, kind)() for kind in before]
        text = m.text()
        m.end()
        assert "only members of postern-admin" in text and "ledger" in text
        return got


def line(policy, name):
    e = policy.heard("control.refused")
    assert e["asker"] == "uid:0"
    assert e["reason"].startswith(name + " is for postern-admin")


def hold(what):
    return w.text(what) + w.u32(1) + w.text("session") + w.text("0" * 26)


def test_nothing_is_ended_locked_or_loaded(policy):
    policy.login()
    s = ask(policy, "KILL", w.u8(ALL) + w.text(""))
    line(policy, "kill")
    assert words(s, "KILLED", "u32", "u32", "u32") == [DENIED, 0, 0]
    for on in (1, 0):
        s = ask(policy, "LOCK", w.u8(on) + w.text("x"))
        line(policy, "lock")
        assert words(s, "LOCKED", "u32", "u8", "text", "u64", "text") == \
            [DENIED, 0, "", 0, ""]
    s = ask(policy, "RELOAD_POLICY")
    line(policy, "reload")
    outcome, digest, *_ = words(s, "POLICY_RELOADED", "u32", "text", "u32",
                                "u32")
    assert outcome == 5 and len(digest) == 64
    assert w.silent(policy.control)     # the parent was not asked
    got = policy.status()
    assert got["sessions"] == 1 and not got["locked"]


@pytest.mark.parametrize("what", ["hold-add", "hold-remove", "no-such", ""])
def test_no_question_but_those_that_read(policy, what):
    """What is added one day is not an auditor's by itself."""
    s = ask(policy, "QUERY", hold(what))
    line(policy, "a question that changes something")
    assert words(s, "ROWS_END", "u32")[0] != 0
    assert w.silent(policy.audit)


@pytest.mark.parametrize("body", [b"", b"\xff" * 8, w.u32(40) + b"x" * 40])
def test_what_cannot_be_read_is_refused(policy, body):
    s = ask(policy, "QUERY", body)
    line(policy, "a question that changes something")
    words(s, "ROWS_END", "u32")
    assert policy.alive()


def test_refused_even_if_it_cannot_be_written(policy):
    policy.audit.close()
    policy.wait_status(audit=False)
    words(ask(policy, "KILL", w.u8(ALL) + w.text("")), "KILLED", "u32", "u32",
          "u32")
    policy.logs("ALARM: what an auditor was refused is not in the ledger")


def test_p10_refusals_wait_in_a_bounded_number(policy):
    """Their lines take no room of what has begun; who makes more of them than
    audit writes is hung up on."""
    asked = [ask(policy, "KILL", w.u8(ALL) + w.text("")) for _ in range(30)]
    answered = 0
    for s in asked:
        with contextlib.closing(s):
            answered += w.receive(s) is not None
    assert answered == 16
    for _ in range(16):
        line(policy, "kill")
    assert w.silent(policy.audit)
    words(ask(policy, "KILL", w.u8(ALL) + w.text("")), "KILLED", "u32", "u32",
          "u32")
    line(policy, "kill")


@pytest.mark.parametrize("what", [
    "sessions", "show", "recording", "manifest", "holds", "files", "anchor"])
def test_what_reads_goes_to_audit(policy, what):
    s = ask(policy, "QUERY", w.text(what) + w.u32(0))
    m = w.expect(policy.audit, "AUDIT_QUERY")
    assert (m.text(), m.u8(), m.text()) == ("uid:0", 0, what)
    m.close()
    assert w.receive(s) is None
    with contextlib.closing(ask(policy, "STATUS")) as s:
        assert w.expect(s, "STATUS_IS").id == 3


def test_auditors_do_not_keep_admins_out(policy):
    mute = [w.connect(policy.path / "audit.sock") for _ in range(70)]
    policy.logs("audit.sock")
    assert policy.status()["sessions"] == 0     # on ctl.sock
    for s in mute:
        s.close()


@pytest.mark.parametrize("name", ["RUN", "SESSION_NEW", "AUDIT_QUERY", "STOP"])
def test_it_takes_nothing_else(policy, name):
    null = os.open("/dev/null", os.O_RDWR)
    s = w.connect(policy.path / "audit.sock")
    w.send(s, name, fds=[null] * {"RUN": 3, "AUDIT_QUERY": 1}.get(name, 0))
    os.close(null)
    assert w.receive(s) is None
    assert policy.alive()
