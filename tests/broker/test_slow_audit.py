"""postern-policy with an audit that does not read for a while: what is asked
meanwhile is run or told to come again, nothing is lost, and policy lives."""
import base64
import contextlib
import os
import pathlib
import resource
import select
import socket
import struct
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import wire as w  # noqa: E402
from test_policy_process import (  # noqa: E402
    DENIED, TEMPFAIL, Policy, files, message, program, pytestmark, refused,
    run_body)

__all__ = ["program", "pytestmark"]

ONE = "systemctl restart web"
LINE = "ssh-ed25519 " + base64.b64encode(
    w.text("ssh-ed25519") + w.text(b"k" * 32)).decode() + " job\n"
LIST = "; ".join([ONE] * 4)
SINGLES, LISTS = 220, 8


class Narrow(Policy):
    """What it tells audit waits in its own queue, not in sockets."""

    def link(self, sibling):
        ours, theirs = w.pair()
        if sibling == "audit":
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        w.send(self.control, "LINK", w.text(sibling), [theirs.fileno()])
        theirs.close()
        if sibling != "audit":
            return ours
        self.keeper = w.Keeper(self.rows, ours)
        self.keeper.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        return self.keeper.audit


@pytest.fixture
def policy(tmp_path, program, request):  # noqa: F811
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    it = Narrow(program, tmp_path, getattr(request, "param", ""))
    yield it
    it.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def run(handle, command):
    return message("RUN", run_body(handle, command))


class Neighbours:
    """Audit, parent and signer; and hops that end well when they may."""

    def __init__(self, policy, tmp_path):
        self.policy, self.tmp = policy, tmp_path
        self.hop, self.proc = {}, {}
        self.opened, self.aborted, self.decided = [], [], []
        self.started, self.over = [], set()

    def turn(self, audit=True, seconds=0.05):
        """Hears one message of each; whether there was any."""
        p = self.policy
        those = [p.control, p.signer] + [p.audit] * audit
        got = select.select(those, [], [], seconds)[0]
        for s in got:
            m = w.receive(s)
            assert m is not None, p.log()
            getattr(self, "on_" + m.name.lower())(m)
        return bool(got)

    def until(self, done, audit=True):
        end = time.monotonic() + 60
        while not done():
            assert time.monotonic() < end, self.policy.status()
            self.turn(audit)

    def on_hop_start(self, m):
        op = m.text()
        self.hop[op] = socket.socket(fileno=m.fds[0])
        self.proc[op] = subprocess.Popen(["sleep", "1000"], close_fds=True)
        pidfd = os.pidfd_open(self.proc[op].pid)
        w.send(self.policy.control, "HOP_STARTED", w.u32(self.proc[op].pid),
               [pidfd], m.id)
        os.close(pidfd)

    def on_grant(self, m):
        m.close()

    def on_event(self, m):
        w.send(self.policy.audit, "EVENT_DONE", w.u32(0) + w.u64(7),
               ident=m.id)
        self.decided.append(m.event())

    def on_op_open(self, m):
        fds = files(self.tmp)
        with contextlib.suppress(BrokenPipeError):
            w.send(self.policy.audit, "OP_OPENED", w.u32(0) + w.u64(8) +
                   w.text(""), fds, m.id)
        for fd in fds:
            os.close(fd)
        self.opened.append(m.text())

    def on_op_started(self, m):
        self.started.append(m.text())
        m.close()

    def on_op_abort(self, m):
        self.aborted.append(m.text())

    def end(self, op):
        w.send(self.hop[op], "HOP_ENDED", w.u8(1) + w.u32(0) + w.u32(0))
        self.over.add(op)
        self.proc[op].kill()
        self.proc[op].wait()

    def close(self):
        for op, s in self.hop.items():
            s.close()
            self.proc[op].kill()
            self.proc[op].wait()


def run_or_late(conn):
    """Whether it is run; else it was told to come again."""
    name = w.NAMES[struct.unpack(">HH", conn.recv(4, socket.MSG_PEEK))[1]]
    if name == "ANSWER":
        refused(conn, TEMPFAIL)
    return name != "ANSWER"


@pytest.fixture
def others(policy, tmp_path):
    it = Neighbours(policy, tmp_path)
    yield it
    it.close()


def test_p2_all_at_once_and_audit_does_not_read(policy, others):
    """None is lost, and what is denied is in the ledger."""
    m, handle = policy.login()
    conns, begin = [], time.monotonic()
    for i in range(SINGLES):
        conns.append(m.shell(run(handle, ONE)))
        if i * LISTS // SINGLES != (i + 1) * LISTS // SINGLES:
            conns.append(m.shell(run(handle, LIST)))
        if i % 20 == 0:
            refused(m.shell(run(handle, "id")), DENIED)
        while others.turn(audit=False, seconds=0):
            pass
    denied = len(range(0, SINGLES, 20))
    end = time.monotonic() + 1      # the parent and the signer go on
    while time.monotonic() < end:
        others.turn(audit=False)
    assert not others.opened and policy.alive()
    want = SINGLES + 4 * LISTS
    end = time.monotonic() + 120
    while len(set(others.started + others.aborted)) < want:
        others.turn()
        for op in others.started:   # a list goes on when that is over
            if op not in others.over:
                others.end(op)
        assert time.monotonic() < end, len(others.started)
    assert len(set(others.opened)) == len(others.opened)
    assert set(others.opened) <= set(others.started + others.aborted)
    # 15 s is what each waits for; a machine may be that slow.
    late = others.aborted and time.monotonic() - begin > 12
    assert late or len(others.started) == want and not others.aborted
    assert sum(e["verdict"] == "deny" for e in others.decided) == denied
    assert sum("list" in e for e in others.decided) == 4 * LISTS
    for conn in conns:
        if late and not run_or_late(conn):
            continue
        w.expect(conn, "ACCEPTED")
    policy.wait_status(operations=0)
    # What the next policy would take up, is not there any more.
    others.until(lambda: not any(k.startswith("3/") for k in policy.rows))


@pytest.mark.parametrize("policy", ["operations-max 64\n"], indirect=True)
def test_p2_jobs_that_leave_while_audit_does_not_read(policy, others):
    """Each leaves two messages behind, again and again: at some length of the
    queue the next ones are told so, before anything of theirs has begun."""
    codes, asked = [], 0
    surface, own = policy.login("postern")
    for wave in range(8):
        m, handle = policy.login(first=False)
        conns = [m.shell(run(handle, ONE)) for _ in range(60)]
        asked += len(conns)

        def told(conns=conns):
            return select.select(conns, [], [], 0)[0]
        others.until(lambda n=len(conns): n == policy.status()["operations"] +
                     len(told()), audit=False)
        codes += [refused(c, TEMPFAIL) for c in told()]
        m.kill()
        for conn in conns:
            conn.close()
        policy.wait_status(operations=0)
        if codes:
            break
    assert codes and "is behind" in codes[-1]
    # Nor is a certificate given, and with the same number.
    conn = surface.shell(message("RUN", run_body(own, LINE, kind=3)))
    assert "is behind" in refused(conn, TEMPFAIL)
    # Nor is there anybody let in; and who is denied, is denied on record.
    result, _, reason = policy.new(token="b" * 64)
    assert result != 0 and "behind" in reason
    others.until(lambda: len(others.aborted) == asked - len(codes))
    while others.turn():
        pass
    assert len(others.opened) == asked - len(codes)
    assert sorted(others.opened) == sorted(others.aborted)
    assert policy.alive() and "cannot be told" not in policy.log()
    m, handle = policy.login(token="c" * 64)
    conn = m.shell(run(handle, ONE))
    while not others.started:
        others.turn()
    w.expect(conn, "ACCEPTED")
