"""Every message of the table in the wrong state: unasked, twice, before what
opens, after what closes.  WRONG says for each row which tests below do that, or
why there is no such state; a row that is missing there is a failure.

What may come twice is tried, too: it changes nothing for anybody else.
"""
import contextlib
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as aw  # noqa: E402
import test_policy_process as tp  # noqa: E402
import test_protocol as p  # noqa: E402
import test_protocol_ends as e  # noqa: E402
import test_signer_agent as ta  # noqa: E402
import test_signer_process as ts  # noqa: E402
import wire as w  # noqa: E402
from table import ROWS  # noqa: E402

pytestmark = ts.pytestmark
program, policy, ca, signer = tp.program, p.policy, ts.ca, p.signer
shells, target, place, parent = e.shells, e.target, e.place, e.parent
oidc = p.oidc

WRONG = {
    "LISTEN": "twice_from_the_parent",
    "LINK": "may come again: it replaces the link before",
    "FOLDER": "twice_from_the_parent",
    "GO": "twice_from_the_parent",
    "RELOAD": "twice_from_the_parent",
    "RELOADED": "posternd",
    "RELOAD_WANTED": "may come at any time: the parent has one under way",
    "RELOAD_OVER": "twice_from_the_parent",
    "ALARM": "may come again: the parent asks until it has its line",
    "ALARM_DONE": "posternd",
    "ANCHOR": "may come at any time: one that comes too early is answered so",
    "ANCHOR_DONE": "audit_twice",
    "AGENT_WANTED": "may come at any time, and each is answered",
    "AGENT": "signer_agent",
    "AGENT_LOST": "may come at any time: many are one alarm",
    "STOP": "may come again: it is being done",
    "READY": "posternd",
    "HOP_START": "posternd",
    "HOP_STARTED": "policy_unasked",
    "HOP_STOP": "may come at any time: a hop that is dead cannot be ended",
    "LOGIN": "oidc_twice",
    "LOGIN_RESULT": "module",
    "ISSUERS": "oidc_unasked",
    "ISSUER_KEYS": "may come at any time: it waits for the ISSUERS after it",
    "SESSION_NEW": "policy_modules",
    "SESSION_MADE": "oidc_unasked",
    "SESSION_OPEN": "policy_modules",
    "SESSION_OPENED": "module",
    "SESSION_CLOSE": "policy_modules",
    "SESSION_CLOSED": "module",
    "RUN": "policy_shells",
    "ANSWER": "shell",
    "ACCEPTED": "shell",
    "RESIZED": "policy_shells",
    "SIGNAL": "policy_shells",
    "EXIT": "shell",
    "SHELL_RECORD": "shell",
    "PROMPT": "shell",
    "LINE": "policy_broker_shells",
    "BREAK": "policy_broker_shells",
    "LEAVE": "policy_broker_shells",
    "WORDS": "policy_broker_shells",
    "WORDS_ARE": "shell",
    "HOP_RUN": "hop",
    "HOP_ENDED": "is read once, from a hop that is dead: what else it said is "
                 "never looked at",
    "GRANT": "may come at any time, each with a socket of its own",
    "CERT_REQUEST": "signer",
    "CERT": "hop",
    "JOB_CERT": "may come at any time, and each is answered",
    "JOB_CERT_MADE": "policy_unasked",
    "CA_IS": "may come at any time: the last one counts",
    "EVENT": "audit_twice",
    "EVENT_DONE": "policy_unasked oidc_unasked",
    "OP_OPEN": "audit_operation_twice",
    "OP_OPENED": "policy_unasked",
    "OP_STARTED": "audit_twice",
    "OP_ABORT": "audit_twice",
    "KEEP": "audit_twice",
    "KEPT": "policy_unasked oidc_unasked",
    "FORGET": "audit_twice",
    "RECALL": "audit_twice",
    "RECALLED": "recalled_unasked",
    "SETTLED": "audit_twice",
    "STATUS": "policy_people",
    "STATUS_IS": "is the end of the command that asked: it reads no more",
    "RELOAD_POLICY": "may come again: each asker waits for the one under way",
    "POLICY_RELOADED": "is the end of the command that asked: it reads no more",
    "QUERY": "policy_people",
    "ROW": "is for a command of ours that asked, and that ends with the answer",
    "ROWS_END": "is for a command of ours that asked, and ends it",
    "KILL": "may come at any time, and each is answered",
    "KILLED": "is the end of the command that asked: it reads no more",
    "LOCK": "may come at any time, and each is answered",
    "LOCKED": "is the end of the command that asked: it reads no more",
    "AUDIT_QUERY": "may come at any time, each with a connection of its own",
}


def test_every_row_has_its_case():
    assert set(WRONG) == {r.name for r in ROWS}
    for row, what in WRONG.items():
        for name in [what] if "may" in what or "is " in what else what.split():
            assert " " in name or f"test_{name}" in globals(), row


def over(sock):
    with contextlib.suppress(ConnectionResetError):
        while (m := w.receive(sock, 60)):
            m.close()
    return True


# -- processes that go on ------------------------------------------------------------


def test_policy_unasked(policy):
    """Answers to nobody: whoever asked may have gone meanwhile."""
    m, handle = policy.login()
    n = policy.settled()
    null = os.open("/dev/null", os.O_RDWR)
    for _ in range(2):
        w.send(policy.control, "HOP_STARTED", w.u32(1), [null], 4711)
        link = policy.keeper.link
        w.send(link, "OP_OPENED", w.u32(0) + w.u64(1) + w.text(""),
               [null, null], 4711)
        w.send(link, "EVENT_DONE", w.u32(0) + w.u64(1), (), 4711)
        w.send(link, "KEPT", w.u32(9), (), 4711)
    os.close(null)
    w.send(policy.signer, "JOB_CERT_MADE", w.u32(0) + w.text("blob") + w.u8(0) +
           w.text(""), (), 4711)
    assert policy.status()["sessions"] == 1
    policy.settled(n)
    conn = m.shell(tp.message("RUN", tp.run_body(handle, "systemctl stop web")))
    policy.heard("operation.decide")
    assert tp.answer(conn)[0] == tp.DENIED and policy.alive()


def test_policy_modules(policy):
    m, handle = policy.login()
    result, pending, _ = policy.new()   # the same token, one more connection
    assert result == 0 and pending != handle
    other = policy.monitor()
    assert other.close(pending) == 1        # before it is open
    assert m.open(handle) == (1, "")        # it is open
    assert other.open(pending) == (0, pending)
    assert other.close(handle) == 1         # another's
    assert other.close(pending) == 0
    assert other.close(pending) == 1        # it is over
    assert other.open(pending) == (1, "")
    assert policy.status()["sessions"] == 1
    conn = m.shell(tp.message("RUN", tp.run_body(handle, "systemctl stop web")))
    policy.heard("operation.decide")
    assert tp.answer(conn)[0] == tp.DENIED


def test_policy_shells(policy):
    """RUN twice; what is a hop's, before there is one."""
    m, handle = policy.login()
    run = tp.message("RUN", tp.run_body(handle, "systemctl restart web"))
    good = m.shell(run)
    asked = w.expect(policy.audit, "OP_OPEN")
    for data, nfd in ((run, 3), (tp.message("RESIZED"), 0),
                      (tp.message("SIGNAL", w.u32(15)), 0)):
        bad = m.shell(run)
        w.expect(policy.audit, "OP_OPEN").close()
        e.send(bad, data, nfd)
        assert over(bad)
        w.expect(policy.audit, "OP_ABORT")
        with w.connect(policy.path / "shell.sock") as mute:
            if nfd == 0:
                e.send(mute, data, nfd)
                assert over(mute)
    w.send(policy.audit, "OP_OPENED", w.u32(9) + w.u64(0) + w.text("no"),
           ident=asked.id)
    assert tp.answer(good)[0] == tp.IOERR and policy.alive()


def test_policy_broker_shells(policy, tmp_path):
    """What is a broker shell's, without one, and two things at once in it."""
    m, handle = policy.login()
    ask = tp.message("RUN", tp.run_body(handle, "", kind=0, tty=1))
    line = tp.message("LINE", w.text("systemctl restart web") + w.u32(80) +
                      w.u32(24))
    words = tp.message("WORDS", w.text("system"))
    others = [line, words, tp.message("BREAK"), tp.message("LEAVE")]
    for data in others:
        with w.connect(policy.path / "shell.sock") as mute:
            e.send(mute, data, 0)
            assert over(mute)
        bad = m.shell(tp.message("RUN", tp.run_body(
            handle, "systemctl restart web")))
        w.expect(policy.audit, "OP_OPEN").close()
        e.send(bad, data, 0)
        assert over(bad)
        w.expect(policy.audit, "OP_ABORT").close()
    early = m.shell(ask)            # before its recording is there
    w.expect(policy.audit, "OP_OPEN").close()
    e.send(early, line, 0)
    assert over(early)
    w.expect(policy.audit, "OP_ABORT").close()
    good = m.shell(ask)
    assert tp.shell_opened(policy, good, tmp_path)[1].text()
    w.send(good, "BREAK")           # nothing is under way: nothing happens
    w.send(good, "WORDS", w.text("system"))
    a = w.expect(good, "WORDS_ARE")
    assert (a.u32(), a.u32(), a.text()) == (6, 1, "systemctl")
    with m.shell(ask) as bad:       # no target was entered
        tp.shell_opened(policy, bad, tmp_path)
        w.send(bad, "LEAVE")
        assert over(bad)
    for data, nfd in ((ask, 3), (line, 0), (words, 0),
                      (tp.message("LEAVE"), 0), (tp.message("RESIZED"), 0)):
        bad = m.shell(ask)
        tp.shell_opened(policy, bad, tmp_path)
        e.send(bad, line, 0)
        e.send(bad, data, nfd)
        assert over(bad)
    w.send(good, "LINE", w.text("systemctl stop web") + w.u32(80) + w.u32(24))
    assert w.expect(good, "ANSWER").u32() == tp.DENIED and policy.alive()


def test_policy_broker_shell_that_reads_nothing(policy, tmp_path):
    """What it cannot be told of, a prompt above all, closes it."""
    m, handle = policy.login()
    shell = m.shell(tp.message("RUN", tp.run_body(handle, "", kind=0, tty=1)))
    tp.shell_opened(policy, shell, tmp_path)
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 5000:
            sent += 1
            w.send(shell, "LINE", w.text(f"cd /{sent}") + w.u32(80) +
                   w.u32(24))
    said = {"PROMPT": 0, "ANSWER": 0}
    with contextlib.suppress(ConnectionResetError):
        while (a := w.receive(shell)):
            said[a.name] += 1
    assert said["PROMPT"] in (said["ANSWER"], said["ANSWER"] + 1), said
    assert 0 < said["PROMPT"] < sent < 5000 and policy.alive()


def test_policy_broker_shell_that_idles(tmp_path, program):
    tmp_path.chmod(0o755)
    policy = tp.Policy(program, tmp_path, settings="shell-idle 1s\n")
    m, handle = policy.login()
    shell = m.shell(tp.message("RUN", tp.run_body(handle, "", kind=0, tty=1)))
    tp.shell_opened(policy, shell, tmp_path)
    code, out, err = tp.answer(shell)
    assert code == tp.TEMPFAIL and "shell-idle" in err
    m.kill()
    policy.proc.kill()
    policy.proc.wait()
    policy.control.close()


def test_policy_people(policy):
    """Questions one after the other; behind a query nobody listens."""
    with w.connect(policy.path / "ctl.sock") as s:
        for i in range(3):
            w.send(s, "STATUS", ident=i)
            assert w.expect(s, "STATUS_IS").id == i
        w.send(s, "QUERY", w.text("sessions") + w.u32(0))
        m = w.expect(policy.audit, "AUDIT_QUERY")
        w.send(s, "QUERY", w.text("sessions") + w.u32(0))
        w.send(s, "STATUS")
        assert policy.status()["sessions"] == 0
        assert w.silent(policy.audit)
        m.close()
    assert policy.alive()


def test_signer(signer, ca):
    hop, other = signer.grant(), signer.grant()
    assert ts.signed(hop, ca)
    e.send(hop, p.raw(w.TYPES["CERT_REQUEST"], w.text(ts.KEY)), 0)
    assert over(hop) and ts.signed(other, ca) and signer.alive()


def test_oidc_twice(oidc):
    s = oidc.ask("x")
    e.send(s, p.raw(w.TYPES["LOGIN"], w.text("a") * 3 + w.u32(1) +
                    w.text("")), 0)
    assert p.closed(s)
    s.close()
    assert oidc.login("x") == (1, "") and oidc.alive()


def test_oidc_unasked(oidc):
    for _ in range(2):
        w.send(oidc.policy, "SESSION_MADE", w.u32(0) + w.text("ab" * 16) +
               w.text(""), (), 4711)
        w.send(oidc.policy, "ISSUERS", w.u32(0))
        w.send(oidc.audit, "KEPT", w.u32(0), (), 4711)
        w.send(oidc.audit, "EVENT_DONE", w.u32(0) + w.u64(1), (), 4711)
    assert oidc.login("x") == (1, "") and oidc.alive()


@pytest.fixture
def audit(tmp_path):
    it = aw.Audit(tmp_path)
    yield it
    if it.proc.poll() is None:
        it.kill()


def opening(n):
    op = aw.ulid(n)
    return (w.text(op) + w.u8(0) + w.u32(80) + w.u32(24) + w.text("xterm") +
            w.text("t") + aw.event("operation.decide", operation=op,
                                   command="id", verdict="allow"))


def test_audit_twice(audit):
    """What names nothing that there is, and what comes again."""
    link, null = audit.policy, os.open("/dev/null", os.O_RDWR)
    w.send(link, "OP_OPEN", opening(1), (), 1)
    m = w.expect(link, "OP_OPENED", 60)
    assert m.u32() == 0
    m.close()
    session = aw.event("session.open", session=aw.ulid(7))
    for i in range(2):
        for op in (1, 9):
            w.send(link, "OP_STARTED", w.text(aw.ulid(op)), [null])
        w.send(link, "OP_ABORT", w.text(aw.ulid(9)) + w.text("no"))
        w.send(link, "FORGET", w.text("1/x"))
        w.send(link, "SETTLED")
        w.send(link, "KEEP", w.text("1/y") + w.u64(1 << 40) + w.text("v"), (),
               2)
        assert w.expect(link, "KEPT", 60).u32() == 0
        w.send(link, "RECALL", w.text(""), (), 3)
        m = w.expect(link, "RECALLED", 60)
        assert (m.u32(), m.u8(), m.u32(), m.text()) == (0, 0, 1, "1/y")
        w.send(audit.parent, "ANCHOR_DONE", w.u32(1) + w.text("no"), (), 9)
        w.send(link, "EVENT", session, (), 4)
        assert w.expect(link, "EVENT_DONE", 60).u32() == 0
    os.close(null)
    assert audit.proc.poll() is None
    lines = (audit.folder / "ledger/ledger.jsonl").read_text() if (
        audit.folder / "ledger/ledger.jsonl").exists() else "".join(
            x.read_text() for x in (audit.folder / "ledger").iterdir()
            if x.is_file() and b"session.open" in x.read_bytes())
    assert lines.count('"session.open"') == 1


# -- processes that end: a sibling or the parent is not what it was ---------------------


@pytest.mark.parametrize("what", [
    "LISTEN", "FOLDER", "GO", "RELOAD", "RELOAD_OVER"])
def test_twice_from_the_parent(tmp_path, program, what):
    """RELOAD: before GO, for after it it may come as often as it likes."""
    tmp_path.chmod(0o755)
    if what == "FOLDER":
        lives = p.Lives(tmp_path, aw.Audit)
        lives.ends(what, lambda it: it.parent,
                   p.raw(w.TYPES[what], w.text("ledger")), 1)
    elif what == "RELOAD":
        for path in ("policy", "signer"):
            c = w.Child(program if path == "policy" else p.ts_program(),
                        tmp_path / path, 0)
            c.folder("policy", tmp_path)
            w.send(c.control, "RELOAD", w.u32(0))
            assert c.proc.wait(60) == 1 and "protocol" in c.log(), c.log()
            c.control.close()
    else:
        lives = p.Lives(tmp_path, lambda d: tp.Policy(program, d))
        body = {"LISTEN": w.text("session"), "RELOAD_OVER": w.u32(0) +
                w.text(""), "GO": w.text("") + w.text("10.91.0.1/32")}[what]
        lives.ends(what, lambda it: it.control, p.raw(w.TYPES[what], body),
                   what == "LISTEN")


def test_recalled_unasked(tmp_path, program):
    tmp_path.chmod(0o755)
    data = p.raw(w.TYPES["RECALLED"], w.u32(0) + w.u8(0) + w.u32(0))
    for sub, make, door in (
            ("p", lambda d: tp.Policy(program, d), lambda it: it.keeper.link),
            ("o", p.oidc_wire.Oidc, lambda it: it.audit)):
        (tmp_path / sub).mkdir(mode=0o755)
        p.Lives(tmp_path / sub, make).ends("RECALLED", door, data, 0)


def test_audit_operation_twice(tmp_path):
    lives = p.Lives(tmp_path, aw.Audit)

    def door(it):
        w.send(it.policy, "OP_OPEN", opening(1), (), 1)
        w.expect(it.policy, "OP_OPENED", 60).close()
        return it.policy
    lives.ends("OP_OPEN", door, p.raw(w.TYPES["OP_OPEN"], opening(1)), 0)


# -- those that are for one thing -------------------------------------------------------


def test_shell(shells):
    """An answer when it is a hop's to speak, and the other way round."""
    good, its = shells.new()
    end = w.u32(0) + w.u32(0)
    for accepted, name, body in (
            (False, "EXIT", end), (True, "ACCEPTED", b""),
            (True, "ANSWER", w.u32(0) + w.text("") * 2)):
        q, conn = shells.new(accepted)
        e.send(conn, p.raw(w.TYPES[name], body), 0)
        shells.ends(name, q, conn)
    w.send(its, "ACCEPTED")
    w.send(its, "EXIT", end)
    assert good.wait(60) == 0


def test_hop(tmp_path, target):
    good = e.Hop(tmp_path, target)
    h = e.Hop(tmp_path, target)
    null = os.open("/dev/null", os.O_RDWR)
    w.send(h.control, "HOP_RUN", h.body(target), [null] * 7)    # once more
    os.close(null)
    w.send(h.shell, "SIGNAL", w.u32(2))
    assert h.ended()[:2] == (0, (1, 2))
    h = e.Hop(tmp_path, target)
    bad = w.u32(1) + w.text("") + w.text("no")
    for _ in range(2):          # the second finds nobody
        e.send(h.cert, p.raw(w.TYPES["CERT"], bad), 0)
    assert h.ended() == (0, (0, 75), (0, 75))
    good.interrupt()


def test_signer_agent(tmp_path):
    """AGENT for a key that no agent holds, and one that nobody asked for."""
    tmp_path.chmod(0o755)
    key = ta.KINDS["p256"]()
    it = ta.Signer(p.ts_program(), tmp_path, key)
    a, late = ta.Agent(key), ta.Agent(key)
    it.give(a, (0, it.wanted[0][1] + 5))    # another question's answer
    a.closed()
    it.give(late, it.asks())
    assert late.answer() == ta.PROBE
    w.send(it.control, "AGENT", w.u8(1))
    assert it.proc.wait(20) != 0


test_module = e.test_module_and_its_answers     # another question's answers


def test_posternd(parent):
    """READY again, and a hop before it: nobody's business but policy's."""
    it = parent()
    for _ in range(2):
        for f in it.child.values():
            w.send(f.control, "READY")
        w.send(it.child["signer"].control, "RELOADED", w.u32(0) + w.text(""))
        w.send(it.child["audit"].control, "ALARM_DONE", w.u32(0), (), 4711)
    a, b = w.pair()
    w.send(it.child["policy"].control, "HOP_START", w.text("0" * 26),
           [b.fileno()], 9)
    m = w.expect(it.child["policy"].control, "HOP_STARTED")
    assert m.u32() > 0
    m.close()
    assert it.proc.poll() is None and "protocol" not in it.log()
    a.close()
    b.close()
